"""The generator: known answers, any order and split, and the whole tail."""

import subprocess
import sys

import numba
import numpy as np
import pytest
from scipy import special

from querytax.expect import DomainError
from querytax.kernels import kernel
from querytax.montecarlo._philox import log, normal_pair, philox
from querytax.montecarlo.streams import Stream

WORD = 2**32 - 1
# Random123's known answers for philox4x32, ten rounds: counter, key, words.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (WORD, WORD, WORD, WORD),
        (WORD, WORD),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_known_answers(counter, key, words):
    sample = counter[0] + (counter[1] << 32)
    found = Stream(key).words(sample, 1, step=counter[2], lane=counter[3])
    assert found[0].tolist() == list(words)


def test_any_split_and_order_is_the_same_stream():
    stream = Stream.of(3, "a test", 0.5)
    whole = stream.normals(10**12, 1000, step=7, lane=2)
    pieces = [
        stream.normals(10**12 + first, count, step=7, lane=2)
        for first, count in ((900, 100), (0, 1), (1, 136), (137, 763))
    ]
    order = np.concatenate([pieces[1], pieces[2], pieces[3], pieces[0]])
    np.testing.assert_array_equal(order, whole)
    one_by_one = [stream.normals(10**12 + i, 1, step=7, lane=2)[0] for i in range(50)]
    np.testing.assert_array_equal(one_by_one, whole[:50])


def test_streams_of_other_meaning_are_others():
    draws = [
        Stream.of(seed, *meaning).normals(0, 1000, step, lane)[:, 0]
        for seed, meaning, step, lane in (
            (1, ("a", 0.1), 0, 0),
            (2, ("a", 0.1), 0, 0),
            (1, ("b", 0.1), 0, 0),
            (1, ("a", 0.2), 0, 0),
            (1, ("a", 0.1), 1, 0),
            (1, ("a", 0.1), 0, 1),
        )
    ]
    # Correlations of independent streams: five standard errors of 1/√1000.
    correlations = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlations).max() < 5 / np.sqrt(1000)
    same = Stream.of(1, "a", np.float64(0.1)).normals(0, 1000)[:, 0]
    np.testing.assert_array_equal(same, draws[0])


def test_normals_are_normal():
    """4e6 draws; moments within five standard errors, and Kolmogorov's distance."""
    z = np.sort(Stream.of(5, "moments").normals(0, 2_000_000).ravel())
    n = z.size
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert np.mean(z**power) == pytest.approx(mean, abs=5 * np.sqrt(variance / n))
    ranks = (np.arange(n) + 0.5) / n
    # P(√n D > 2.7) = 2 exp(-2·2.7²) = 9e-7.
    assert np.abs(special.ndtr(z) - ranks).max() * np.sqrt(n) < 2.7
    pairs = Stream.of(6, "pairs").normals(0, 1_000_000)
    product = np.prod(pairs, axis=1)
    assert product.mean() == pytest.approx(0, abs=5e-3)
    squares = np.prod(pairs**2 - 1, axis=1)
    assert squares.mean() == pytest.approx(0, abs=5 * 2 / 1e3)


@kernel
def _pairs(words, out):
    for i in range(words.shape[0]):
        out[i, 0], out[i, 1] = normal_pair(
            words[i, 0], words[i, 1], words[i, 2], words[i, 3]
        )


def test_the_tail_goes_on_past_eight_sigma():
    """The radius at the smallest uniforms is the exact one, and reaches 8.6."""
    k = np.arange(0, 200, dtype=np.uint64)  # the 53-bit uniform (k + 1/2) 2^-53
    words = np.zeros((k.size, 4), dtype=np.uint64)
    words[:, 1] = k << np.uint64(11)
    out = np.empty((k.size, 2))
    _pairs(words, out)
    radius = np.hypot(out[:, 0], out[:, 1])
    exact = np.sqrt(-2 * np.log((k + 0.5) * 2.0**-53))
    np.testing.assert_allclose(radius, exact, rtol=2e-15)
    assert radius.max() > 8.6
    # Of 2^53 radii, as many lie beyond 8 as a Rayleigh variable has there.
    assert (radius > 8).sum() == pytest.approx(2**53 * np.exp(-32), abs=1)


@kernel
def _logs(x, out):
    for i in range(x.size):
        out[i] = log(x[i])


def test_own_logarithm_and_circle():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.random(100_000), np.geomspace(1e-300, 1e300, 10_001)])
    out = np.empty_like(x)
    _logs(x, out)
    ulps = np.abs(out - np.log(x)) / np.spacing(np.abs(np.log(x)))
    assert ulps.max() <= 2
    # All angles at one radius: the words of u are fixed, those of v go round.
    n = 100_000
    words = np.zeros((n, 4), dtype=np.uint64)
    words[:, 0] = 1 << 31
    words[:, 2] = rng.integers(0, 2**32, n, dtype=np.uint64)
    found = np.empty((n, 2))
    _pairs(words, found)
    v = (words[:, 2].astype(float) * 2**21 + 0.5) * 2.0**-53
    radius = np.sqrt(-2 * np.log((2.0**52 + 0.5) * 2.0**-53))
    angle = 2 * np.pi * v
    np.testing.assert_allclose(found[:, 0], radius * np.cos(angle), atol=2e-15)
    np.testing.assert_allclose(found[:, 1], radius * np.sin(angle), atol=2e-15)


@kernel
def _draw(out, k0, k1):
    for i in range(out.size):
        words = philox(np.uint64(i), np.uint64(0), np.uint64(0), k0, k1)
        out[i] = normal_pair(words[0], words[1], words[2], words[3])[0]


def test_the_loop_is_simd_code():
    """Otherwise it is four times slower, and nothing else would tell."""

    compiled = numba.njit(_draw.py_func, error_model="numpy")
    compiled(np.empty(4), np.uint64(1), np.uint64(2))
    (code,) = compiled.inspect_asm().values()
    assert "zmm" in code or "ymm" in code or "\tfmul\tv" in code


def test_bad_input_is_named():
    stream = Stream.of(0)
    with pytest.raises(DomainError, match="expected first a whole number >= 0, got -1"):
        stream.normals(-1, 10)
    with pytest.raises(DomainError, match="expected count a whole number >= 0"):
        stream.uniforms(0, 2.5)
    with pytest.raises(DomainError, match="expected rng to be"):
        Stream.of("seed")


def test_a_read_only_home_is_no_error(tmp_path):
    code = (
        "import querytax.kernels as k; from pathlib import Path; "
        "assert k._cache_directory(Path(k.__file__).parent) is None; "
        "from querytax.montecarlo.streams import Stream; "
        "print(Stream.of(1).normals(0, 1).shape)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        env={"XDG_CACHE_HOME": "/proc/none", "HOME": "/proc/none", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert out.stdout.strip() == "(1, 2)", out.stderr
