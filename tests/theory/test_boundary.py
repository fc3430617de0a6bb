"""Flips near the boundary against mpmath, quadrature and known values."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, special

from querytax.theory import boundary

from .reference import assert_matches, grid

SIZES = grid(1e-300, 1e300, 30, span=20.0)
PAIRS = [(m, s) for m in SIZES for s in (1e-300, 1e-5, 0.7, 1.0, 1e300)]
SCALES = ("arcsine", "uniform", "bell", "constant")


def tail(x):
    """Φ(-x), zero where no float is left of it."""
    return mp.mpf(0) if x > 1e4 else mp.erfc(x / mp.sqrt(2)) / 2


def bell(x):
    return mp.mpf(0) if abs(x) > 1e4 else mp.npdf(x)


def test_flips():
    assert_matches(boundary.flip, lambda m, s: tail(abs(m) / s), PAIRS)
    moderate = [(m, s) for m, s in PAIRS if m < 9e3 * s]
    assert_matches(boundary.log_flip, lambda m, s: mp.log(tail(m / s)), moderate)

    def band(w, s):
        z = w / s
        return (bell(0) - bell(z) + z * tail(z)) / z

    assert_matches(boundary.band_flip, band, PAIRS, digits=1300)


def test_hopskipjump():
    points = [
        (d, s, m)
        for d in (1e-100, 1e-5, 0.1, 3.0, 1e100)
        for s in (1e-100, 0.01, 2.0, 1e100)
        for m in (0.0, 1e-7, 0.3, -5.0)
    ]

    def gain(d, s, m):
        size = mp.sqrt(d * d + s * s)
        return 2 * d / size * bell(m / size)

    assert_matches(boundary.hopskipjump_gain, gain, points)

    def cost(d, s, m):
        """Variance of a label over its squared gain, with noise over without."""
        big = d * d + s * s
        gains = mp.exp(mp.log(big / d**2) + m * m / big - m * m / d**2)

        def variance(x):
            right = 1 - tail(abs(x)) if abs(x) < 40 else 1
            return 4 * right * tail(abs(x))

        return gains * variance(m / mp.sqrt(big)) / variance(m / d)

    mild = [p for p in points if abs(p[2] / p[0]) < 1e4]
    assert_matches(boundary.hopskipjump_cost, cost, mild, digits=500)


def scaled_flip(a, scale):
    """∫ φ(x) P(k > a/x) dx over x > a, x² = a² + 2y, y = v⁴: no closed form used."""
    chance = {
        "arcsine": lambda c: 2 / mp.pi * mp.acos(mp.sqrt(c)),
        "uniform": lambda c: 1 - c,
        "bell": lambda c: (1 - c) ** 2 * (1 + 2 * c),
    }[scale]

    def term(v):
        x = mp.sqrt(a * a + 2 * v**4)
        return 4 * v**3 * mp.exp(-(v**4)) / x * chance(a / x)

    cuts = sorted({mp.mpf(0), *(mp.sqrt(a) * k for k in (0.3, 1, 2) if k * k * a < 9)})
    cuts += [c for c in map(mp.mpf, (0.2, 0.6, 1, 1.5, 2, 2.5, 3)) if c > cuts[-1]]
    return mp.npdf(a) * mp.quad(term, cuts)


@pytest.mark.parametrize("scale", SCALES[:3])
def test_scaled_noise(scale):
    sizes = (1e-6, 1e-3, 0.1, 0.7, 1.499, 1.501, 2.0, 5.0, 12.0, 37.0)
    assert_matches(
        lambda a: boundary.scaled_noise_flip(a, 1.0, scale),
        lambda a: scaled_flip(a, scale),
        [(a,) for a in sizes],
        digits=30,
    )
    # 1/2 on the boundary; for the arcsine law 1/2 - c√a, c = E√|ξ|/π nearby.
    ends = boundary.scaled_noise_flip([0.0, 1e-300, 1e5, 1e300], 1e-3, scale)
    np.testing.assert_allclose(ends, [0.5, 0.5, 0.0, 0.0], rtol=1e-12)


def test_scaled_noise_closed_forms():
    """The exponential integral's forms, in digits enough for their cancellation."""

    def loss(a):
        return a * mp.e1(a * a / 2) / (2 * mp.sqrt(2 * mp.pi))

    def bump(a):
        return (1 + 3 * a * a) * tail(a) - 2 * a * bell(a) - a * a * loss(a)

    points = [(a,) for a in grid(1e-300, 37.0, 40)]
    for scale, exact in (("uniform", lambda a: tail(a) - loss(a)), ("bell", bump)):
        assert_matches(
            lambda a, scale=scale: boundary.scaled_noise_flip(a, 1.0, scale),
            exact,
            points,
        )


def test_known_numbers():
    assert boundary.band_flip([1.470, 0.561, 2.974], 1.0) == pytest.approx(
        [0.25, 0.391, 0.134], abs=5e-4
    )
    assert boundary.hopskipjump_gain(1.0, 1.0, 1.0) == pytest.approx(0.43939, abs=5e-6)
    # Off the boundary noise costs less, and far off it helps.
    found = boundary.hopskipjump_cost(1.0, 1.0, [0.0, 1.5, 2.5])
    assert found[:2] == pytest.approx([2.0, 1.2869], abs=1e-4)
    assert found[2] < 1.0
    near = [boundary.scaled_noise_flip(0.1, 1.0, scale) for scale in SCALES]
    np.testing.assert_allclose(near, [0.3297, 0.3659, 0.3936, 0.4207], atol=6e-5)
    far = [boundary.scaled_noise_flip(2.0, 1.0, scale) for scale in SCALES]
    np.testing.assert_allclose(far, [0.00521, 0.00324, 0.00175, 3.17e-5], atol=6e-6)


@pytest.mark.parametrize(
    ("first", "second", "margin"),
    [
        ("uniform", "arcsine", 0.4801),
        ("bell", "uniform", 0.5160),
        ("bell", "constant", 0.6100),
    ],
)
def test_where_the_order_of_the_scales_turns(first, second, margin):
    def lead(a):
        one, other = (boundary.scaled_noise_flip(a, 1.0, k) for k in (first, second))
        return one - other

    assert optimize.brentq(lead, 0.2, 1.0) == pytest.approx(margin, abs=6e-5)


def normal_margins(mean, sigma):
    """Labels changed and accuracy lost, margins N(mean, 1); density and its slope."""
    flips, _ = integrate.quad(
        lambda u: np.exp(-0.5 * (sigma * u - mean) ** 2) * special.ndtr(-abs(u)),
        *(-12, 12),
        points=[0],
        epsabs=1e-14,
    )
    lost = special.ndtr(mean) - special.ndtr(mean / np.hypot(1.0, sigma))
    density = np.exp(-0.5 * mean**2) / np.sqrt(2 * np.pi)
    return sigma * flips / np.sqrt(2 * np.pi), lost, density, density * mean


@pytest.mark.parametrize("sigma", [1e-3, 1e-2])
def test_two_scaling_laws_against_normal_margins(sigma):
    """Both are leading terms, their errors of order s²."""
    flips, lost, density, slope = normal_margins(1.0 / 0.7, sigma)
    near = boundary.flip_rate(density, sigma)
    assert near == pytest.approx(flips, rel=5 * sigma**2)
    near = boundary.net_loss(slope, sigma)
    assert near == pytest.approx(lost, rel=5 * sigma**2 + 1e-10)


@pytest.mark.parametrize(
    ("mean", "of_flips", "of_loss"),
    [(0.5, 0.020, 0.116), (1.5, -0.134, 0.032), (2.0, -0.524, -0.043)],
)
def test_the_scaling_laws_at_their_limits_are_as_good_as_they_say(
    mean, of_flips, of_loss
):
    density, slope = normal_margins(mean, 1.0)[2:]
    wide, other = 0.1 / density * (1 - 1e-15), np.sqrt(0.03 / slope) * (1 - 1e-15)
    error = boundary.flip_rate(density, wide) / normal_margins(mean, wide)[0] - 1
    assert error == pytest.approx(of_flips, abs=1e-3)
    error = boundary.net_loss(slope, other) / normal_margins(mean, other)[1] - 1
    assert error == pytest.approx(of_loss, abs=1e-3)
    # Greatest second and third derivatives of the normal density.
    off = abs(of_flips) * normal_margins(mean, wide)[0]
    assert off <= np.sqrt(2 / np.pi) * 0.39894 * wide**3 / 3
    assert abs(of_loss) * normal_margins(mean, other)[1] <= 0.5506 * other**4 / 8


@given(st.floats(np.sqrt(2), 37.0))
def test_far_from_the_boundary_a_steady_scale_flips_least(margin):
    found = [boundary.scaled_noise_flip(margin, 1.0, scale) for scale in SCALES]
    assert all(one > other for one, other in pairwise(found))


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_band_flips_more_than_its_far_edge(width, sigma):
    found = boundary.band_flip(width, sigma)
    assert boundary.flip(width, sigma) <= found
    assert found <= sigma / (np.sqrt(2 * np.pi) * width) * (1 + 1e-14)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(-30, 30))
def test_cost_is_at_most_that_on_the_boundary_and_even(probe, sigma, offset):
    cost = boundary.hopskipjump_cost(probe, sigma, offset * probe)
    assert 0 <= cost <= (1 + (sigma / probe) ** 2) * (1 + 1e-12)
    assert boundary.hopskipjump_cost(probe, sigma, -offset * probe) == cost
