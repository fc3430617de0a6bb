"""Multiplied distances against mpmath, simulation and a table."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from querytax.theory import additive, contraction, query_ratio

from .reference import assert_matches, grid

SNRS = grid(1e-300, 1e300, 24, span=10.0)
CONTRACTIONS = (1e-300, 1e-12, 1e-3, 0.2, 0.499, 0.501, 0.9, 1 - 1e-9)


def log_mean(t):
    """E ln|ξ+t|, by its differential equation's solution."""
    start = -(mp.euler + mp.log(2)) / 2
    if t < 40:
        return start + t * t / 2 * mp.hyp2f2(1, 1, 1.5, 2, -t * t / 2)
    terms = (mp.fac2(2 * k - 1) / (2 * k * t ** (2 * k)) for k in range(1, 60))
    return mp.log(t) - sum(terms)


def exponent(s, m):
    return mp.log(m / mp.sqrt(s)) + log_mean(abs(1 - m) * mp.sqrt(s) / m)


def test_mean_square_laws():
    pairs = [(s, m) for s in SNRS for m in (*CONTRACTIONS, 1.0, 1.7, 1e9)]
    assert_matches(contraction.mean_square, lambda s, m: (1 - m) ** 2 + m**2 / s, pairs)
    assert_matches(
        contraction.mean_square_step, lambda s: s / (1 + s), [(s,) for s in SNRS]
    )
    assert_matches(
        contraction.mean_square_threshold,
        lambda m: m / (2 - m),
        [(m,) for m in CONTRACTIONS],
    )
    assert_matches(
        contraction.noiseless_steps,
        lambda m, r: mp.log(r) / mp.log(1 - m),
        [(m, r) for m in CONTRACTIONS for r in (1e-300, 0.01, 0.9, 1 - 1e-9)],
        digits=700,
    )


def test_lyapunov():
    """Away from its zero, where no function of rounded arguments is exact."""
    pairs = [(s, m) for s in SNRS for m in (*CONTRACTIONS[1:], 1.3, 1e9)]
    with mp.workdps(700):
        far = [p for p in pairs if abs(exponent(*map(mp.mpf, p))) > 1e-3 or p[1] < 1e-3]
    assert len(far) > 0.9 * len(pairs)
    assert_matches(contraction.lyapunov, exponent, far, digits=700)


def test_thresholds():
    def exact(m):
        def left(z):
            return log_mean(z) - mp.log(z) + mp.log(1 - m)

        z = mp.findroot(left, (mp.mpf("1e-4") * (1 - m), 1.3), solver="anderson")
        return (z * m / (1 - m)) ** 2

    points = [(m,) for m in (1e-12, 1e-3, 0.2, 0.499, 0.9, 0.999)]
    assert_matches(contraction.almost_sure_threshold, exact, points, digits=30)
    edge = contraction.almost_sure_threshold(0.2)
    assert (
        contraction.lyapunov(edge * 0.99, 0.2)
        > 0
        > contraction.lyapunov(edge * 1.01, 0.2)
    )


def test_best_step():
    """Where the exponent is flat, by its root in mpmath."""

    def best(s):
        root = mp.sqrt(s)

        def flat(z):
            bell = mp.sqrt(mp.pi / 2) * mp.exp(-z * z / 2)
            return bell * mp.erfi(z / mp.sqrt(2)) * (z + root) - 1

        return mp.findroot(flat, (0, mp.mpf(4) / 3), solver="anderson"), root

    def step(s):
        z, root = best(s)
        return root / (z + root)

    def value(s):
        z, root = best(s)
        return log_mean(z) - mp.log(z + root)

    points = [(s,) for s in grid(1e-200, 1e20, 12, span=10.0)]
    assert_matches(contraction.almost_sure_step, step, points, digits=40)
    assert_matches(contraction.best_lyapunov, value, points, digits=40)
    # The printed constants of S -> 0.
    least = contraction.best_lyapunov(0.0)
    assert least == pytest.approx(-0.245357064226880781, rel=1e-14)
    s = contraction.almost_sure_step(1e-300) / 1e-150
    assert s == pytest.approx(0.765152080322709, rel=1e-14)


@given(st.floats(-6, 3), st.floats(0.001, 1.9))
def test_jensen(log_snr, m):
    """The logarithm of the mean square lies above; its least is 1/(1 + S)."""
    s = 10.0**log_snr
    assert 2 * contraction.lyapunov(s, m) <= np.log(contraction.mean_square(s, m))
    least = contraction.mean_square(s, contraction.mean_square_step(s))
    assert least == pytest.approx(1 / (1 + s), rel=1e-12)


@pytest.mark.parametrize(
    ("snr", "way", "misses"),
    [
        (0.0, 10.0, (1e-3, 0.01, 0.1, 0.5, 0.9, 0.99)),
        (0.3, 12.0, (0.01, 0.7)),
        (10.0, 20.0, (0.05, 0.95)),
    ],
)
def test_tuned_steps_against_simulation(snr, way, misses):
    """10⁵ attacks: the least count that leaves so many; 1 % and a step."""
    rng = np.random.default_rng(3)
    s = max(snr, 1e-12)
    m = contraction.almost_sure_step(s)
    log, late = np.zeros(100_000), [1.0]
    while late[-1] > min(misses):
        noise = rng.standard_normal(log.size) / np.sqrt(s)
        log += np.log(np.abs(1 - m * (1 + noise)))
        late.append(np.mean(log > -way))
    for miss in misses:
        found = np.ceil(contraction.tuned_steps(snr, np.exp(-way), miss))
        count = np.argmax(np.array(late) <= miss)
        assert found == pytest.approx(count, rel=0.01, abs=1.0)


def test_tuned_steps_says_where_it_holds():
    assert not contraction.tuned_steps.supports(0.0, 1e-12, 1e-4).holds
    assert not contraction.tuned_steps.supports(1e6, 1e-13, 0.01).holds


# SNR; Λ, MS factor, best constant step, best minibatch, rigorous, a.s., additive, NES.
TABLE = """
1e-12 11.571 4e10  4.463e11 4.983e11 6.694e11 5.777 4.845e14 1e12
1e-9  8.117  4e7   4.463e8  4.983e8  6.694e8  5.776 4.845e11 1e9
1e-6  4.663  4e4   4.463e5  4.983e5  6.694e5  5.748 4.845e8  1e6
1e-4  2.361  400.6 4463     4983     6695     5.502 4.845e6  1e4
1e-3  1.217  40.64 446.5    498.3    669.8    4.979 4.845e5  1001
1e-2  0.136  4.64  44.85    49.83    67.28    3.777 4.845e4  101
0.1   -0.468 1.04  4.682    4.983    7.024    2.027 4845     11
1     -0.258 0.68  1.157    1.157    0.9658   0.756 484.5    2
10    -0.226 0.644 1.014    1.014    0.2792   0.2883 48.45   1.1
100   -0.223 0.6404 1.001   1.001    0.1451   0.1509 4.845   1.01
"""


@pytest.mark.parametrize("row", TABLE.strip().split("\n"))
def test_table(row):
    s, growth, square, constant, minibatch, rigorous, sure, noisy, nes = map(
        float, row.split()
    )
    m, r = 0.2, 0.01
    base = contraction.noiseless_steps(m, r)
    assert base == pytest.approx(20.64, abs=0.005)
    assert contraction.lyapunov(s, m) == pytest.approx(growth, abs=6e-4)
    found = [
        contraction.mean_square(s, m),
        query_ratio.best_constant_step(s, m),
        query_ratio.best_minibatch(s, m),
        query_ratio.guaranteed_steps(s, r, 0.01) / base,
        additive.steps(s, r) / base,
        query_ratio.best_step(s, 10**12, 1),
    ]
    printed = [square, constant, minibatch, rigorous, noisy, nes]
    np.testing.assert_allclose(found, printed, rtol=1.2e-3)
    # The column is the plain central limit count, least over the step.
    steps = np.minimum(np.sqrt(s) * np.geomspace(0.1, 30, 4000), 0.9999)
    steps = np.concatenate([steps, np.linspace(0.5, 0.99999, 2000)])
    decay = -contraction.lyapunov(s, steps)
    spread = -special.ndtri(0.01) * np.sqrt(contraction.lyapunov_variance(s, steps))
    good = decay > 0
    decay, spread = decay[good], spread[good]
    root = spread + np.sqrt(spread**2 - 4 * decay * np.log(r))
    count = np.square(root / (2 * decay)).min()
    assert count / base == pytest.approx(sure, rel=2e-3)


def test_known_numbers():
    growth = contraction.lyapunov(np.array([1.25e-7, 2e-4, 1.25e-11]), 0.2)
    np.testing.assert_allclose(growth, [5.70286, 2.01558, 10.30803], atol=1e-5)
