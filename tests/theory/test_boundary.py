"""Flips near the boundary against mpmath, quadrature, simulation and known values."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, special

from querytax.expect import DomainError
from querytax.theory import boundary

from .reference import assert_matches, grid

SIZES = grid(1e-300, 1e300, 30, span=20.0)
PAIRS = [(m, s) for m in SIZES for s in (1e-300, 1e-5, 0.7, 1.0, 1e300)]
FORMS = ("arcsine", "uniform", "bell", "constant")


def tail(x):
    """Φ(-x), zero where no float is left of it."""
    return mp.mpf(0) if x > 1e4 else mp.erfc(x / mp.sqrt(2)) / 2


def bell(x):
    return mp.mpf(0) if abs(x) > 1e4 else mp.npdf(x)


def test_flip():
    assert_matches(boundary.flip, lambda m, s: tail(abs(m) / s), PAIRS)
    moderate = [(m, s) for m, s in PAIRS if m < 9e3 * s]
    assert_matches(boundary.log_flip, lambda m, s: mp.log(tail(m / s)), moderate)


def test_band_flip():
    def exact(w, s):
        z = w / s
        return (bell(0) - bell(z) + z * tail(z)) / z

    assert_matches(boundary.band_flip, exact, PAIRS, digits=1300)


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


def scaled_flip(a, form):
    """∫ φ(x) P(k > a/x) dx over x > a, x² = a² + 2y, y = v⁴: no closed form used."""
    chance = {
        "arcsine": lambda c: 2 / mp.pi * mp.acos(mp.sqrt(c)),
        "uniform": lambda c: 1 - c,
        "bell": lambda c: (1 - c) ** 2 * (1 + 2 * c),
    }[form]

    def term(v):
        y = v**4
        x = mp.sqrt(a * a + 2 * y)
        return 4 * v**3 * mp.exp(-y) / x * chance(a / x)

    cuts = sorted({mp.mpf(0), *(mp.sqrt(a) * k for k in (0.3, 1, 2) if k * k * a < 9)})
    cuts += [c for c in map(mp.mpf, (0.2, 0.6, 1, 1.5, 2, 2.5, 3)) if c > cuts[-1]]
    return mp.npdf(a) * mp.quad(term, cuts)


@pytest.mark.parametrize("form", FORMS[:3])
def test_scaled_noise(form):
    sizes = (1e-6, 1e-3, 0.1, 0.7, 1.499, 1.501, 2.0, 5.0, 12.0, 37.0)
    assert_matches(
        lambda a: boundary.scaled_noise_flip(a, 1.0, form),
        lambda a: scaled_flip(a, form),
        [(a,) for a in sizes],
        digits=30,
    )


def test_scaled_noise_closed_forms():
    """The exponential integral's forms, in digits enough for their cancellation."""

    def parts(a):
        return tail(a), a * mp.e1(a * a / 2) / (2 * mp.sqrt(2 * mp.pi))

    def uniform(a):
        flat, loss = parts(a)
        return flat - loss

    def bump(a):
        flat, loss = parts(a)
        return (1 + 3 * a * a) * flat - 2 * a * bell(a) - a * a * loss

    points = [(a,) for a in grid(1e-300, 37.0, 40)]
    for form, exact in (("uniform", uniform), ("bell", bump)):
        assert_matches(
            lambda a, form=form: boundary.scaled_noise_flip(a, 1.0, form), exact, points
        )


@pytest.mark.parametrize("form", FORMS)
def test_scaled_noise_at_the_ends(form):
    """1/2 on the boundary; for the arcsine law 1/2 - c√a, c = E√|ξ|/π nearby."""
    ends = boundary.scaled_noise_flip([0.0, 1e-300, 1e5, 1e300], 1e-3, form)
    np.testing.assert_allclose(ends, [0.5, 0.5, 0.0, 0.0], rtol=1e-12)


def test_known_numbers():
    assert boundary.band_flip([1.470, 0.561, 2.974], 1.0) == pytest.approx(
        [0.25, 0.391, 0.134], abs=5e-4
    )
    assert boundary.hopskipjump_gain(1.0, 1.0, 1.0) == pytest.approx(0.43939, abs=5e-6)
    near = [boundary.scaled_noise_flip(0.1, 1.0, form) for form in FORMS]
    np.testing.assert_allclose(near, [0.3297, 0.3659, 0.3936, 0.4207], atol=6e-5)
    far = [boundary.scaled_noise_flip(2.0, 1.0, form) for form in FORMS]
    np.testing.assert_allclose(far, [0.00521, 0.00324, 0.00175, 3.17e-5], atol=6e-6)


def crossing(first, second):
    return optimize.brentq(
        lambda a: (
            boundary.scaled_noise_flip(a, 1.0, first)
            - boundary.scaled_noise_flip(a, 1.0, second)
        ),
        0.2,
        1.0,
    )


def test_where_the_order_of_the_scales_turns():
    assert crossing("uniform", "arcsine") == pytest.approx(0.4801, abs=6e-5)
    assert crossing("bell", "uniform") == pytest.approx(0.5160, abs=6e-5)
    assert crossing("bell", "constant") == pytest.approx(0.6100, abs=6e-5)


def test_band_is_the_mean_of_flips():
    for width in (0.01, 1.0, 20.0):
        total, _ = integrate.quad(
            lambda m: boundary.flip(m, 0.7), 0, width, epsabs=1e-14, points=[width / 9]
        )
        assert boundary.band_flip(width, 0.7) == pytest.approx(total / width, rel=1e-9)


@pytest.mark.parametrize("sigma", [1e-3, 1e-2])
def test_two_scaling_laws_against_normal_margins(sigma):
    """r ~ N(1, 0.7²): both laws are leading terms, their errors of order s²."""
    mean, spread = 1.0, 0.7
    density = np.exp(-0.5 * (mean / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
    slope = density * mean / spread**2
    flips, _ = integrate.quad(
        lambda u: (
            np.exp(-0.5 * ((sigma * u - mean) / spread) ** 2)
            / (spread * np.sqrt(2 * np.pi))
            * special.ndtr(-abs(u))
        ),
        -12,
        12,
        points=[0],
        epsabs=1e-14,
    )
    assert boundary.flip_rate(density, sigma) == pytest.approx(
        sigma * flips, rel=10 * sigma**2
    )
    loss = special.ndtr(mean / spread) - special.ndtr(mean / np.hypot(spread, sigma))
    assert boundary.net_loss(slope, sigma) == pytest.approx(
        loss, rel=10 * sigma**2 + 1e-10
    )


def test_labels_see_the_gradient_as_hopskipjump_says():
    """10⁶ probes and noises; four standard errors of a mean of sign·u are 0.004."""
    rng = np.random.default_rng(3)
    u, noise = rng.standard_normal((2, 1_000_000))
    for probe, sigma, margin in ((1.0, 3.0, 0.0), (1.0, 1.0, 1.0), (0.3, 0.1, -0.2)):
        labels = np.sign(margin + probe * u + sigma * noise)
        gain = boundary.hopskipjump_gain(probe, sigma, margin)
        assert gain == pytest.approx((labels * u).mean(), abs=0.004)


@pytest.mark.parametrize(
    ("form", "a"), [("arcsine", 0.5), ("uniform", 1.0), ("bell", 2.0)]
)
def test_scaled_noise_against_simulation(form, a):
    """10⁶ draws; four standard errors are at most 0.002."""
    rng = np.random.default_rng(4)
    noise = rng.beta(a, a, 1_000_000) * rng.standard_normal(1_000_000)
    for margin in (0.05, 0.5, 1.7):
        expected = boundary.scaled_noise_flip(margin, 1.0, form)
        assert expected == pytest.approx((noise > margin).mean(), abs=0.002)


@given(st.floats(np.sqrt(2), 37.0))
def test_far_from_the_boundary_a_steady_scale_flips_least(margin):
    found = [boundary.scaled_noise_flip(margin, 1.0, form) for form in FORMS]
    assert all(one > other for one, other in pairwise(found))


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_band_flips_more_than_its_far_edge(width, sigma):
    found = boundary.band_flip(width, sigma)
    assert boundary.flip(width, sigma) <= found <= 0.5
    assert found <= sigma / (np.sqrt(2 * np.pi) * width) * (1 + 1e-14)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(-30, 30))
def test_cost_is_the_ratio_of_squared_gains_over_variances(probe, sigma, offset):
    def needed(noise):
        p = special.ndtr(abs(offset * probe) / np.hypot(probe, noise))
        other = special.ndtr(-abs(offset * probe) / np.hypot(probe, noise))
        gain = boundary.hopskipjump_gain(probe, noise, offset * probe)
        return 4 * p * other / gain**2

    cost = boundary.hopskipjump_cost(probe, sigma, offset * probe)
    if abs(offset) < 25:
        assert cost == pytest.approx(needed(sigma) / needed(1e-300), rel=1e-9)
    assert 0 <= cost <= (1 + (sigma / probe) ** 2) * (1 + 1e-12)
    assert boundary.hopskipjump_cost(probe, sigma, -offset * probe) == cost


def test_noise_off_the_boundary_costs_less_and_far_off_it_helps():
    found = boundary.hopskipjump_cost(1.0, 1.0, [0.0, 1.5, 2.5])
    assert found[0] == pytest.approx(2.0, rel=1e-12)
    assert found[1] == pytest.approx(1.2869, abs=1e-4)
    assert found[2] < 1.0


def test_domains():
    with pytest.raises(DomainError, match="expected form to be one of 'arcsine'"):
        boundary.scaled_noise_flip(0.1, 0.1, "normal")
    with pytest.raises(DomainError, match="expected width > 0 and finite, got 0"):
        boundary.band_flip(0.0, 1.0)
    with pytest.raises(DomainError, match="expected probe > 0 and finite, got 0"):
        boundary.hopskipjump_cost(0.0, 1.0)
