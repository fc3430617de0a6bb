"""Rounded outputs against mpmath, simulation and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.theory import quantization

from .reference import assert_matches, grid

# From a rounded value over a threshold to the next one.
PLACES = (0.5, 0.5 - 1e-16, 0.5 - 1e-9, 0.4, 0.2, 1e-4, 0.0, 0.27, 0.5 + 1e-9, 1.5, 7.6)
NOISES = (1e-9, 0.02, 0.1, 0.25, 0.5, 0.9, 1.399, 1.401, 2.0, 3.3, 3.4, 5.0)
SIZES = grid(1e-300, 1e300, 12)
WIDE = [(gap, grain) for gap in SIZES for grain in SIZES]


def tail(x):
    return mp.mpf(0) if x > 1e4 else mp.erfc(x / mp.sqrt(2)) / 2


def bell(x):
    return mp.mpf(0) if abs(x) > 1e4 else mp.npdf(x)


def test_visibility():
    assert_matches(quantization.visibility, lambda g, w: min(1, g / w), WIDE)


def cell(low, high):
    """Fisher information of one cell; mirrored so that its tail is an upper one."""
    if low + high < 0:
        low, high = -high, -low
    mass = tail(low) - tail(high)
    return (bell(low) - bell(high)) ** 2 / mass if mass else mp.mpf(0)


def efficiency(output, sigma, grain):
    h, place = grain / sigma, output / grain
    place -= mp.nint(place)
    reach = int(14 / h) + 2
    cells = range(-reach, reach + 1)
    return sum(cell((k - 0.5 - place) * h, (k + 0.5 - place) * h) for k in cells)


def test_dither_efficiency():
    points = [(f, s, 1.0) for s in NOISES for f in PLACES]
    points += [(0.8 * w, 0.3 * w, w) for w in (1e-150, 1e150)]
    assert_matches(quantization.dither_efficiency, efficiency, points, digits=60)


def place_mean(sigma, grain):
    """Adaptive quadrature over the centres of one cell."""
    h = grain / sigma
    far = h / 2 + 12
    cuts = [mp.mpf(k) * far / 12 for k in range(13)]
    if h > 40:
        cuts = [h / 2 + k for k in range(-12, 13, 2)]
    return 2 / h * mp.quad(lambda c: cell(c - h / 2, c + h / 2), cuts)


def test_dither_efficiency_mean():
    noises = (0.02, 0.06, 0.1, 0.3, 0.9, 1.39, 1.41, 3.3, 3.4, 9.0)
    points = [(s, 1.0) for s in noises]
    assert_matches(quantization.dither_efficiency_mean, place_mean, points, digits=22)


def test_efficiency_at_the_ends():
    places = [0.5, 0.0, 1.5]
    for weak in (0.0, 1e-300):
        found = quantization.dither_efficiency(places, weak, 1.0)
        np.testing.assert_allclose(found, [2 / np.pi, 0.0, 2 / np.pi], rtol=1e-14)
    found = quantization.dither_efficiency(places, 1e300, 1e-300)
    np.testing.assert_allclose(found, 1.0, rtol=1e-14)
    small = np.array([1e-300, 0.01])
    found = quantization.dither_efficiency_mean(small, 1.0) / small
    assert found[0] == pytest.approx(found[1], rel=1e-12)
    # Sheppard's correction; the next term is below h⁴/100.
    h = np.array([1e-6, 0.01, 0.1])
    rest = quantization.dither_efficiency_mean(1.0, h) - (1 - h**2 / 12)
    assert np.all(np.abs(rest) <= h**4 / 100 + 1e-14)


def test_known_table():
    sigma, middle, threshold, mean = np.transpose(
        [
            (0.1, 1.542e-5, 0.63662, 0.18064),
            (0.2, 0.098956, 0.63663, 0.36105),
            (0.25, 0.256264, 0.637364, 0.44879),
            (0.5, 0.746493, 0.755137, 0.750815),
            (1.0, 0.923085, 0.923085, 0.923085),
        ]
    )
    for place, table in ((0.0, middle), (0.5, threshold)):
        found = quantization.dither_efficiency(place, sigma, 1.0)
        np.testing.assert_allclose(found, table, rtol=2e-4)
    found = quantization.dither_efficiency_mean(sigma, 1.0)
    np.testing.assert_allclose(found, mean, rtol=2e-4)


OUTPUTS = (0.0, 1e-9, 0.1, 0.2499, 0.25, 0.3, 0.45, 0.499999, 0.5, 0.7, 7.3)
MEAN_NOISES = (1e-9, 0.01, 0.1, 0.2499, 0.25, 0.3, 0.6, 1.0)


def thresholds_passed(output, sigma, grain):
    """Σ of chances to pass each threshold, up less down."""
    reach = int(18 * sigma / grain) + 4
    middle = int(mp.nint(output / grain))
    total = mp.mpf(middle)
    for j in range(1, reach):
        total += tail(((middle + j - mp.mpf(0.5)) * grain - output) / sigma)
        total -= tail((output - (middle - j + mp.mpf(0.5)) * grain) / sigma)
    return grain * total


def test_dither_mean_and_bias():
    points = [(f, s, 1.0) for f in OUTPUTS for s in MEAN_NOISES]
    inside = [point for point in points if point[0] not in (0.0, 0.5)]
    points += [(0.3 * w, 0.1 * w, w) for w in (1e-290, 1e290)]
    assert_matches(quantization.dither_mean, thresholds_passed, points, digits=60)
    tiny = [(1e-300, s, 1.0) for s in (0.02, 0.1, 0.2499, 0.25)]
    assert_matches(quantization.dither_mean, thresholds_passed, tiny, digits=360)
    assert_matches(
        quantization.dither_bias,
        lambda f, s, w: thresholds_passed(f, s, w) - f,
        inside,
        digits=60,
    )
    # On a rounded value and on a threshold nothing is left.
    places = [0.0, 0.5, 3.0, 3.5]
    assert np.all(quantization.dither_bias(places, [[0.1], [0.0]], 1.0) == 0.0)
    found = quantization.dither_mean([0.3, 0.5, 0.7, 2.6], 0.0, 1.0)
    assert found.tolist() == [0.0, 0.5, 1.0, 3.0]


def harmonics(angle, sigma):
    return (
        sum(
            mp.exp(-2 * (mp.pi * n * sigma) ** 2) * mp.sin(2 * mp.pi * n * angle) / n
            for n in range(1, int(2 / sigma) + 4)
        )
        / mp.pi
    )


def test_largest_dither_bias():
    """The harmonics' greatest value, by ternary search."""

    def exact(sigma, grain):
        s, low, high = sigma / grain, mp.mpf(0), mp.mpf(0.5)
        for _ in range(50):
            third = (high - low) / 3
            if harmonics(low + third, s) < harmonics(high - third, s):
                low += third
            else:
                high -= third
        return grain * harmonics(low, s)

    noises = (0.05, 0.1, 0.2, 0.249, 0.25, 0.4, 1.0, 4.0)
    points = [(3 * s, 3.0) for s in noises]
    assert_matches(quantization.largest_dither_bias, exact, points, digits=30)


def test_the_first_harmonic_alone_is_no_bound():
    first = np.exp(-2 * (np.pi * 0.2) ** 2) / np.pi
    assert first == pytest.approx(0.1445, abs=5e-5)
    assert quantization.largest_dither_bias(0.2, 1.0) > first * 1.003
    ends = quantization.largest_dither_bias([0.0, 1e-300, 1e300], 1.0)
    assert ends == pytest.approx([0.5, 0.5, 0.0])


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
    law = quantization.dither_efficiency(output, sigma, 1.0)
    assert law == pytest.approx(found, abs=0.006)


@given(st.floats(0, 100), st.floats(1e-3, 5), st.floats(1e-3, 1e3))
def test_bias_is_what_the_mean_lacks(output, sigma, grain):
    output, sigma = output * grain, sigma * grain
    bias = quantization.dither_bias(output, sigma, grain)
    mean = quantization.dither_mean(output, sigma, grain)
    assert mean - output == pytest.approx(bias, abs=1e-13 * (output + grain))
    largest = quantization.largest_dither_bias(sigma, grain)
    assert abs(bias) <= largest * (1 + 1e-12) <= 0.5 * grain * (1 + 1e-12)


@given(st.floats(1e-3, 3))
def test_mean_lies_among_the_places(sigma):
    some = quantization.dither_efficiency(np.linspace(0, 1, 401), sigma, 1.0)
    np.testing.assert_allclose(some, some[::-1], rtol=1e-10, atol=1e-300)
    mean = quantization.dither_efficiency_mean(sigma, 1.0)
    assert some.min() * (1 - 1e-12) <= mean <= some.max() * (1 + 1e-12)
    if sigma > 0.05:
        assert mean == pytest.approx(some[:-1].mean(), rel=1e-12)


def test_uniform_dither():
    def variance(output, grain):
        part = output / grain - mp.floor(output / grain)
        return grain**2 * part * (1 - part)

    def wrong(gap, grain):
        d = gap / grain
        return (1 - d + d**3 / 6) / 2 if d < 1 else max(mp.mpf(0), 2 - d) ** 3 / 12

    outputs = (1e-9, 0.2, 0.5, 3.3, 1e6 + 0.3)
    points = [(f, w) for f in outputs for w in (0.7, 1.0, 9.0)]
    assert_matches(quantization.uniform_dither_variance, variance, points)
    points = [*WIDE, (0.7, 1.0), (1.0, 1.0), (1.7, 1)]
    law = quantization.uniform_dither_wrong_sign
    assert_matches(law, wrong, points, digits=700)
    law = quantization.uniform_dither_snr
    assert_matches(law, lambda g, w: 3 * (g / w) ** 2, points)
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
