"""Rounded outputs against mpmath, simulation and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import quantization

from .reference import assert_matches, grid

PHASES = (0.0, 1e-300, 1e-9, 0.1, 0.3, 0.4999, 0.5, 0.77, 1 - 1e-9, 1.0)
NOISES = (1e-9, 0.02, 0.1, 0.25, 0.5, 0.9, 1.399, 1.401, 2.0, 5.0)


def tail(x):
    return mp.mpf(0) if x > 1e4 else mp.erfc(x / mp.sqrt(2)) / 2


def bell(x):
    return mp.mpf(0) if abs(x) > 1e4 else mp.npdf(x)


def test_visibility():
    sizes = grid(1e-300, 1e300, 12)
    points = [(gap, step) for gap in sizes for step in sizes]
    assert_matches(quantization.visibility, lambda g, w: min(1, g / w), points)


def cell(low, high):
    """Fisher information of one cell; mirrored so that its tail is an upper one."""
    if low + high < 0:
        low, high = -high, -low
    mass = tail(low) - tail(high)
    return (bell(low) - bell(high)) ** 2 / mass if mass else mp.mpf(0)


def efficiency(sigma, step, phase):
    h = step / sigma
    reach = int(14 / h) + 2
    cells = range(-reach, reach + 1)
    return sum(cell((k - phase) * h, (k + 1 - phase) * h) for k in cells)


def test_dither_efficiency():
    points = [(s, 1.0, p) for s in NOISES for p in PHASES]
    points += [(0.3 * w, w, 0.3) for w in (1e-150, 1e150)]
    assert_matches(quantization.dither_efficiency, efficiency, points, digits=60)


def phase_mean(sigma, step):
    """Adaptive quadrature over the centres of one cell."""
    h = step / sigma
    far = h / 2 + 12
    cuts = [mp.mpf(k) * far / 12 for k in range(13)]
    if h > 40:
        cuts = [h / 2 + k for k in range(-12, 13, 2)]
    return 2 / h * mp.quad(lambda c: cell(c - h / 2, c + h / 2), cuts)


def test_dither_efficiency_mean():
    points = [(s, 1.0) for s in (0.02, 0.06, 0.1, 0.3, 0.9, 1.39, 1.41, 9.0)]
    assert_matches(quantization.dither_efficiency_mean, phase_mean, points, digits=22)


def test_efficiency_at_the_ends():
    weak, strong = 1e-300, 1e300
    found = quantization.dither_efficiency(weak, 1.0, [0.0, 0.5, 1.0])
    np.testing.assert_allclose(found, [2 / np.pi, 0.0, 2 / np.pi], rtol=1e-14)
    found = quantization.dither_efficiency(strong, 1e-300, [0.0, 0.5])
    np.testing.assert_allclose(found, 1.0, rtol=1e-14)
    per_noise = quantization.dither_efficiency_mean([1e-300, 0.01], 1.0) / [
        1e-300,
        0.01,
    ]
    assert per_noise[0] == pytest.approx(per_noise[1], rel=1e-12)
    # Sheppard's correction; the next term is h⁴/288.
    h = np.array([1e-6, 0.01, 0.1])
    rest = quantization.dither_efficiency_mean(1.0, h) - (1 - h**2 / 12)
    assert np.all(np.abs(rest) <= h**4 / 100 + 1e-14)


def test_known_table():
    rows = [
        (0.1, 1.542e-5, 0.63662, 0.18064),
        (0.2, 0.098956, 0.63663, 0.36105),
        (0.25, 0.256264, 0.637364, 0.44879),
        (0.5, 0.746493, 0.755137, 0.750815),
        (1.0, 0.923085, 0.923085, 0.923085),
    ]
    for sigma, middle, threshold, mean in rows:
        found = [
            *quantization.dither_efficiency(sigma, 1.0, [0.5, 0.0]),
            quantization.dither_efficiency_mean(sigma, 1.0),
        ]
        np.testing.assert_allclose(found, [middle, threshold, mean], rtol=2e-4)


OUTPUTS = (0.0, 1e-9, 0.1, 0.2499, 0.25, 0.3, 0.45, 0.499999, 0.5, 0.7, 7.3)
MEAN_NOISES = (1e-9, 0.01, 0.1, 0.2499, 0.25, 0.3, 0.6, 1.0)


def thresholds_passed(output, sigma, step):
    """Σ of chances to pass each threshold, up less down."""
    reach = int(18 * sigma / step) + 4
    middle = int(mp.nint(output / step))
    total = mp.mpf(middle)
    for j in range(1, reach):
        total += tail(((middle + j - mp.mpf(0.5)) * step - output) / sigma)
        total -= tail((output - (middle - j + mp.mpf(0.5)) * step) / sigma)
    return step * total


def test_dither_mean():
    points = [(f, s, 1.0) for f in OUTPUTS for s in MEAN_NOISES]
    points += [(0.3 * w, 0.1 * w, w) for w in (1e-290, 1e290)]
    assert_matches(quantization.dither_mean, thresholds_passed, points, digits=60)
    tiny = [(1e-300, s, 1.0) for s in (0.02, 0.1, 0.2499, 0.25)]
    assert_matches(quantization.dither_mean, thresholds_passed, tiny, digits=360)


def test_dither_bias():
    points = [(f, s, 1.0) for f in OUTPUTS for s in MEAN_NOISES if f not in (0.0, 0.5)]
    assert_matches(
        quantization.dither_bias,
        lambda f, s, w: thresholds_passed(f, s, w) - f,
        points,
        digits=60,
    )
    # On a rounded value and on a threshold nothing is left.
    middle = quantization.dither_bias([0.0, 0.5, 3.0, 3.5], 0.1, 1.0)
    np.testing.assert_array_equal(middle, 0.0)


def harmonics(angle, sigma):
    return (
        sum(
            mp.exp(-2 * (mp.pi * n * sigma) ** 2) * mp.sin(2 * mp.pi * n * angle) / n
            for n in range(1, int(2 / sigma) + 4)
        )
        / mp.pi
    )


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2, 0.249, 0.25, 0.4, 1.0, 4.0])
def test_largest_dither_bias(sigma):
    """The harmonics' greatest value, by ternary search."""
    with mp.workdps(30):
        s, low, high = mp.mpf(sigma), mp.mpf(0), mp.mpf(0.5)
        for _ in range(50):
            third = (high - low) / 3
            if harmonics(low + third, s) < harmonics(high - third, s):
                low += third
            else:
                high -= third
        exact = harmonics(low, s)
        found = quantization.largest_dither_bias(3 * sigma, 3.0)
        assert abs(mp.mpf(float(found)) / (3 * exact) - 1) < 1e-12


def test_the_first_harmonic_alone_is_no_bound():
    first = np.exp(-2 * (np.pi * 0.2) ** 2) / np.pi
    assert first == pytest.approx(0.1445, abs=5e-5)
    assert quantization.largest_dither_bias(0.2, 1.0) > first * 1.003
    assert quantization.largest_dither_bias(1e-300, 1.0) == pytest.approx(0.5)
    tiny = quantization.largest_dither_bias(1e300, 1.0)
    assert tiny == 0.0


@pytest.mark.parametrize(("output", "sigma"), [(0.37, 0.1), (1.45, 0.3), (0.2, 0.6)])
def test_against_simulation(output, sigma):
    """10⁶ roundings of noisy values; four standard errors are at most 0.003."""
    noise = sigma * np.random.default_rng(6).standard_normal(1_000_000)
    rounded = np.round(output + noise)
    mean = quantization.dither_mean(output, sigma, 1.0)
    assert mean == pytest.approx(rounded.mean(), abs=0.003)
    # Score: J/σ² is the variance of d ln P(cell)/dF, with P from the same draws.
    values, counts = np.unique(rounded, return_counts=True)
    scores = [noise[rounded == v].mean() / sigma for v in values]
    found = np.sum(np.square(scores) * counts) / noise.size
    phase = (output + 0.5) % 1
    expected = quantization.dither_efficiency(sigma, 1.0, phase)
    assert expected == pytest.approx(found, abs=0.006)


@given(st.floats(0.01, 10), st.floats(0, 1), st.floats(1e-3, 1e3))
def test_efficiency_is_a_share_and_symmetric(sigma, phase, step):
    found = quantization.dither_efficiency(sigma * step, step, phase)
    assert 0 <= found <= 1 + 1e-14
    if 1 - (1 - phase) == phase:
        mirrored = quantization.dither_efficiency(sigma * step, step, 1 - phase)
        assert found == pytest.approx(mirrored, rel=1e-10, abs=1e-300)


@given(st.floats(0, 100), st.floats(1e-3, 5), st.floats(1e-3, 1e3))
def test_bias_is_what_the_mean_lacks(output, sigma, step):
    output, sigma = output * step, sigma * step
    bias = quantization.dither_bias(output, sigma, step)
    mean = quantization.dither_mean(output, sigma, step)
    assert mean - output == pytest.approx(bias, abs=1e-13 * (output + step))
    largest = quantization.largest_dither_bias(sigma, step)
    assert abs(bias) <= largest * (1 + 1e-12) <= 0.5 * step * (1 + 1e-12)


@given(st.floats(1e-3, 3))
def test_mean_lies_among_the_phases(sigma):
    some = quantization.dither_efficiency(sigma, 1.0, np.linspace(0, 1, 401))
    mean = quantization.dither_efficiency_mean(sigma, 1.0)
    assert some.min() * (1 - 1e-12) <= mean <= some.max() * (1 + 1e-12)
    if sigma > 0.05:
        assert mean == pytest.approx(some[:-1].mean(), rel=1e-12)


def test_domains():
    with pytest.raises(DomainError, match=r"expected phase in \[0, 1\], got 1.5"):
        quantization.dither_efficiency(0.1, 1.0, 1.5)
    with pytest.raises(DomainError, match="expected step > 0 and finite, got 0"):
        quantization.dither_mean(0.1, 1.0, 0.0)
    with pytest.raises(DomainError, match="expected output >= 0 and finite, got -1"):
        quantization.dither_bias(-1.0, 1.0, 1.0)


def test_uniform_dither():
    def variance(output, step):
        part = output / step - mp.floor(output / step)
        return step**2 * part * (1 - part)

    def wrong(gap, step):
        d = gap / step
        if d < 1:
            return (1 - d + d**3 / 6) / 2
        return max(mp.mpf(0), 2 - d) ** 3 / 12

    points = [(f, w) for f in (1e-9, 0.2, 0.5, 3.3, 1e6 + 0.3) for w in (0.7, 1.0, 9.0)]
    assert_matches(quantization.uniform_dither_variance, variance, points)
    sizes = grid(1e-300, 1e300, 12)
    points = [(g, w) for g in sizes for w in sizes] + [(0.7, 1.0), (1.0, 1.0), (1.7, 1)]
    assert_matches(quantization.uniform_dither_wrong_sign, wrong, points, digits=700)
    assert_matches(
        quantization.uniform_dither_snr, lambda g, w: 3 * (g / w) ** 2, points
    )
    assert quantization.uniform_dither_variance(3.0, 0.5) == 0.0


@pytest.mark.parametrize("gap", [0.1, 0.6, 1.4])
def test_uniform_dither_against_simulation(gap):
    """2 10⁶ pairs at any place; five standard errors are 0.0018 and 1 %."""
    rng = np.random.default_rng(8)
    low, u, v = rng.random((3, 2_000_000))
    one, two = np.round(low + u - 0.5), np.round(low + gap + v - 0.5)
    wrong = np.mean(two < one) + 0.5 * np.mean(two == one)
    law = quantization.uniform_dither_wrong_sign(gap, 1.0)
    assert law == pytest.approx(wrong, abs=0.0018)
    # The mean is right and the error has no part that the place explains.
    error = (two - low - gap) - (one - low)
    assert error.mean() == pytest.approx(0.0, abs=0.0021)
    law = quantization.uniform_dither_snr(gap, 1.0)
    assert law == pytest.approx(gap**2 / error.var(), rel=0.01)
