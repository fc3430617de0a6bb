"""The law of a noisy ratio against mpmath, simulation and its limits."""

import functools

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.theory import ratio

from .reference import assert_matches


def phi(x):
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def tail(x):
    return mp.erfc(x / mp.sqrt(2)) / 2


def halves(z, one, two, sigma, side, least=None):
    """By the sign of the denominator x: the numerator below or above z x.

    Given ``least``, only ratios above that.
    """
    t1, t2 = one / sigma, two / sigma
    turn = 1 if side == "below" else -1

    def inner(x):
        sign = turn * (1 if x > 0 else -1)
        value = tail(sign * (t1 - z * x))
        return value if least is None else value - tail(sign * (t1 - least * x))

    # Where the integrand peaks: on the line's nearest point to the mean, or at it.
    peak = (z * t1 + t2) / (1 + z * z)
    width = 1 / mp.sqrt(1 + z * z)
    places = [peak + k * width for k in range(-12, 13, 2)]
    places += [t2 + k for k in range(-12, 13, 2)] + [
        mp.mpf(k) / 2 for k in range(-4, 5, 2)
    ]
    places = sorted(x for x in places if abs(x) <= t2 + 40)

    def over(scale):
        # mpmath's errors are absolute.
        low = [-t2 - 40, *(x for x in places if x < 0), 0]
        high = [0, *(x for x in places if x > 0), t2 + 40]
        return sum(
            mp.quad(lambda x: scale * inner(x) * phi(x - t2), part)
            for part in (low, high)
        )

    rough = over(1)
    return rough if rough > 1e-3 else over(1 / rough) * rough


CASES = [
    (0.7, 0.3, 0.5, 0.02),
    (0.7, 0.3, 0.5, 0.3),
    (1.3, 0.5, 0.4, 0.1),
    (-0.5, 0.3, 0.5, 0.2),
    (-2.0, 0.1, 0.05, 0.03),
    (0.0, 0.2, 0.3, 0.1),
    (3.0, 0.4, 0.1, 1.0),
    (40.0, 0.3, 0.3, 0.1),
    (0.6, 0.9, 0.9, 0.02),
    (1.2, 0.0, 0.3, 0.1),
    (0.8, 0.4, 0.0, 0.1),
    (1e-7, 0.3, 0.2, 0.2),
    (-1e6, 0.3, 0.2, 0.2),
]


@pytest.mark.parametrize("side", ["below", "above"])
def test_distribution(side):
    def exact(*arguments, at=side):
        return halves(*arguments, at)

    def logarithm(*arguments):
        value, other = exact(*arguments), {"below": "above", "above": "below"}[side]
        return mp.log(value) if value < 0.9 else mp.log1p(-exact(*arguments, at=other))

    assert_matches(
        lambda *a: ratio.distribution(*a, side=side),
        exact,
        CASES[::2] if side == "above" else CASES,
        digits=20,
    )
    found = functools.partial(ratio.log_distribution, side=side)
    assert_matches(found, logarithm, CASES[::4], digits=20)


def test_density():
    def exact(z, one, two, sigma):
        t1, t2 = one / sigma, two / sigma
        peak = (z * t1 + t2) / (1 + z * z)
        places = sorted([0, *(peak + k / mp.sqrt(1 + z * z) for k in range(-30, 31))])
        return mp.quad(lambda x: abs(x) * phi(z * x - t1) * phi(x - t2), places)

    cases = [c for c in CASES if abs(c[0]) < 1e3]
    assert_matches(ratio.density, exact, cases, digits=20)


def test_signs():
    def split(one, two, sigma):
        a, b = tail(one / sigma), tail(two / sigma)
        return (1 - a) * (1 - b) + a * b

    def differ(one, two, sigma):
        a, b = tail(one / sigma), tail(two / sigma)
        return (1 - a) * b + a * (1 - b)

    levels = [0.0, 1e-200, 1e-3, 0.1, 0.5, 3.0]
    points = [(a, b, s) for a in levels for b in levels for s in (0.02, 0.3, 1e100)]
    assert_matches(ratio.same_sign, split, points)
    assert_matches(ratio.opposite_signs, differ, points)
    assert_matches(ratio.log_opposite_signs, lambda *a: mp.log(differ(*a)), points)


MULTIPLIERS = [
    (x, *outputs, 0.1)
    for x in (-7.0, 0.3, 90.0)
    for outputs in ((0.3, 0.5, 0.1), (0.2, 0.21, 0.2))
]


@pytest.mark.parametrize("side", ["below", "above"])
def test_multiplier(side):
    """The same integral over ratios between 0 and exp(μx)."""

    def exact(x, one, two, probe, sigma, side=side):
        if side == "above":
            # The ratio's inverse lies below the inverse.
            return exact(-x, two, one, probe, sigma, "below")
        a, b = tail(one / sigma), tail(two / sigma)
        real = 1 - a - b + 2 * a * b
        return halves(mp.exp(probe * x), one, two, sigma, "below", mp.mpf(0)) / real

    points = [
        p for p in MULTIPLIERS if (-8 < p[0] < 5 if side == "below" else p[0] > -0.2)
    ]
    found = functools.partial(ratio.multiplier_distribution, side=side)
    assert_matches(found, exact, points, digits=20)
    found = functools.partial(ratio.log_multiplier_distribution, side=side)
    assert_matches(found, lambda *a: mp.log(exact(*a)), points, digits=20)


def test_the_multiplier_s_density_is_its_law_s_slope():
    x = np.linspace(-60, 60, 40001)
    for pair in ((0.3, 0.5, 0.1), (0.2, 0.21, 0.2)):
        density = ratio.multiplier_density(x, *pair, 0.1)
        middle = 0.5 * (density[1:] + density[:-1]) * np.diff(x)
        # Beyond ±60 the law of the ratio leaves exp(-6)-like tails.
        ends = ratio.multiplier_distribution([-60.0, 60.0], *pair, 0.1)
        assert middle.sum() == pytest.approx(ends[1] - ends[0], rel=1e-7)


def test_without_outputs_it_is_cauchy_s_law():
    z = np.array([-3.0, 0.0, 0.5, 10.0])
    found = ratio.distribution(z, 0.0, 0.0, 0.1)
    np.testing.assert_allclose(found, 0.5 + np.arctan(z) / np.pi, rtol=1e-14)
    found = ratio.density(z, 0.0, 0.0, 0.1)
    np.testing.assert_allclose(found, 1 / (np.pi * (1 + z**2)), rtol=1e-14)
    assert ratio.same_sign(0.0, 0.0, 1.0) == 0.5


def test_without_noise():
    below = ratio.distribution([0.4, 0.5, 0.6], 0.25, 0.5, 0.0)
    np.testing.assert_allclose(below, [0.0, 0.5, 1.0], rtol=1e-13)
    nothing = ratio.distribution([-3.0, 0.5], 0.0, 0.0, [0.1, 0.0])
    np.testing.assert_allclose(nothing, 0.5 + np.arctan([-3.0, 0.5]) / np.pi)
    assert ratio.same_sign([0.3, 0.0, 0.0], [0.3, 0.3, 0.0], 0.0).tolist() == [
        1,
        0.5,
        0.5,
    ]
    real = ratio.multiplier_distribution([-8.0, -6.0], 0.25, 0.5, 0.1, 0.0)
    assert real == pytest.approx([0.0, 1.0], abs=1e-13)


def test_at_one_it_is_the_sign_of_the_difference():
    """Where no output is negative, P(Z <= 1) = Φ(-(F1-F2)/(√2 σ)), to all digits."""
    from scipy.special import ndtr

    for sigma in (1e-3, 0.02, 0.03):
        found = ratio.distribution(1.0, 0.55, 0.5, sigma)
        assert found == pytest.approx(ndtr(-0.05 / (np.sqrt(2) * sigma)), rel=1e-11)
    # Outputs that differ in their tenth digit, in noise as small.
    gap = 0.5 + 1e-10 - 0.5
    found = ratio.distribution(1.0, 0.5 + 1e-10, 0.5, 1e-10)
    assert found == pytest.approx(ndtr(-gap / (np.sqrt(2) * 1e-10)), rel=1e-13)


OUTPUTS = st.floats(0.0, 1.0)


@given(st.floats(-1e6, 1e6), OUTPUTS, OUTPUTS, st.floats(1e-3, 1e3))
def test_the_two_sides_are_all(z, one, two, sigma):
    low = ratio.distribution(z, one, two, sigma)
    high = ratio.distribution(z, one, two, sigma, side="above")
    assert low + high == pytest.approx(1, abs=1e-12)
    both = ratio.same_sign(one, two, sigma) + ratio.opposite_signs(one, two, sigma)
    assert both == pytest.approx(1, abs=1e-14)
    # A common scale changes nothing; swapping the outputs inverts the ratio.
    scaled = ratio.distribution(z, 8 * one, 8 * two, 8 * sigma)
    assert scaled == pytest.approx(low, rel=1e-12)
    swapped = ratio.multiplier_distribution(0.3, one, two, 1.0, sigma)
    other = ratio.multiplier_distribution(-0.3, two, one, 1.0, sigma, "above")
    assert swapped == pytest.approx(other, rel=1e-10, abs=1e-300)


def test_extremes_are_quiet():
    assert ratio.log_distribution(0.5, 1e300, 1e300, 1e-300) < -1e250
    assert ratio.distribution(2.0, 1e300, 1e300, 1e-300) == pytest.approx(1.0)
    assert ratio.distribution(1e300, 0.5, 1e-300, 0.1) == pytest.approx(1.0)
    most = ratio.multiplier_distribution(1e300, 0.5, 0.5, 1e10, 0.1)
    assert most == pytest.approx(1.0)
