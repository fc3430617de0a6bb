"""Bounds on descent against mpmath, descent itself, and known values."""

from itertools import product

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special

from querytax.theory import second_moment, smoothing
from querytax.theory import stationarity as descent

from .reference import assert_matches

SIZES = (1e-80, 1e-3, 0.7, 30.0, 1e80)


def lost(lip, p, s, d):
    rho = mp.sqrt(2 / mp.pi) * lip / mp.sqrt(p * p + s * s)
    return rho * lip**2 * d * (d + 2 + 2 * (s / p) ** 2) / 2


def test_against_mpmath():
    assert_matches(
        descent.smoothed_smoothness,
        lambda lip, p, s: mp.sqrt(2 / mp.pi) * lip / mp.sqrt(p * p + s * s),
        product(SIZES, SIZES, (0.0, *SIZES)),
        digits=400,
    )
    points = product((0.3, 1e20), SIZES, (0.0, *SIZES), (1, 3072, 10**9))
    assert_matches(descent.coefficient, lost, points, digits=400)
    assert_matches(
        descent.least_noise_ratio,
        lambda d: mp.sqrt(max(d / 2 - 1, 0)),
        [(1,), (2,), (3,), (3072,), (10**9,)],
    )


@pytest.mark.parametrize("form", ["free", "projected"])
def test_steps_and_bounds_against_mpmath(form):
    a, b = (1, 1) if form == "free" else (2, 4)

    def step(fall, *rest):
        return mp.sqrt(a * fall / (b * rest[-1] * lost(*rest[:-1])))

    def bound(fall, *rest):
        eta = step(fall, *rest)
        return a * fall / (eta * rest[-1]) + b * lost(*rest[:-1]) * eta

    def steps(fall, *rest):
        return 4 * a * b * fall * lost(*rest[:-1]) / rest[-1] ** 2

    for law, exact in (
        (descent.step_size, step),
        (descent.bound, bound),
        (descent.steps, steps),
        (descent.model_queries, lambda *x: 2 * steps(*x)),
    ):
        widths = (1e-20, 0.1, 1e20), (0.0, 0.2, 1e20)
        points = product((1e-20, 3.0), (0.3, 1e10), *widths, (1, 3072), (1.0, 1e10))
        assert_matches(lambda *x, law=law: law(*x, form), exact, points, digits=100)


def test_known_numbers():
    # CIFAR-size numbers: L = 4, R = 1, gap 0.1, δ = 1.
    probe = smoothing.largest_probe_at_ratio(0.1, 4.0, 1.0, 3072)
    steps = descent.steps(4.0, 4.0, probe, probe, 3072, 1.0)
    assert steps == pytest.approx(2.5e12, rel=0.01)
    found = descent.coefficient(1.0, 1.0, [0, 1, 10, 39.2], 3072)
    np.testing.assert_allclose(found, [3.77e6, 2.67e6, 3.99e5, 1.92e5], rtol=2e-3)
    ratios = descent.least_noise_ratio([1, 2, 3072, 150_528])
    np.testing.assert_allclose(ratios, [0, 0, 39.2, 274], atol=0.5)


def test_printed_over_tight():
    """The sheet's table: L³ d^(5/2) (α + 1/√2)²/μ over the coefficient here."""
    table = {1: (0.418, 1.17, 2.07, 3.73, 14.2), 3072: (69.4, 226, 572, 2269, 1.50e5)}
    table[10] = (3.30, 10.3, 23.3, 64.9, 431)
    for d, row in table.items():
        alpha = np.array([0, 0.5, 1, 2, 10])
        printed = d**2.5 * (alpha + np.sqrt(0.5)) ** 2
        ratio = printed / descent.coefficient(1.0, 1.0, alpha, d)
        np.testing.assert_allclose(ratio, row, rtol=6e-3)


def test_the_kink_attains_the_smoothness():
    """L|x₁| by differences of its smoothed slope, from 4·10⁶ normal quantiles."""
    u = (np.arange(4_000_000) + 0.5) / 4_000_000
    noise, h = 0.5 * special.ndtri(u), 1e-2
    slope = np.sign(noise + h).mean() - np.sign(noise - h).mean()
    law = descent.smoothed_smoothness(1.0, 0.3, 0.4)
    assert slope / (2 * h) == pytest.approx(law, rel=1e-3)


def test_projected_descent_on_a_linear_loss():
    """f = x₁ on the unit disc; its Moreau envelope's slope is known: min(1, 2ρ(x₁+1))
    on the axis. 1000 steps, 300 runs."""
    rng = np.random.default_rng(12)
    probe, count = 0.3, 1000
    eta = descent.step_size(1.0, 1.0, probe, 0.0, 2, count, "projected")
    rho = descent.smoothed_smoothness(1.0, probe, 0.0)
    x = np.zeros((300, 2))
    total = 0.0
    for _ in range(count):
        # Proximal point: project x - a/(2ρ) on the disc.
        y = x - np.array([1.0, 0.0]) / (2 * rho)
        y = y / np.maximum(np.linalg.norm(y, axis=1), 1.0)[:, None]
        total += np.mean(np.sum((2 * rho * (x - y)) ** 2, axis=1))
        u = rng.standard_normal((300, 2))
        x = x - eta * u[:, :1] * u
        x = x / np.maximum(np.linalg.norm(x, axis=1), 1.0)[:, None]
    bound = descent.bound(1.0, 1.0, probe, 0.0, 2, count, "projected")
    assert bound == pytest.approx(0.583, abs=1e-3)
    assert total / count < bound
    # The sheet's simulated value.
    assert total / count == pytest.approx(0.136, abs=0.02)


@given(
    st.floats(0.1, 10),
    st.floats(0.01, 1),
    st.floats(0, 1),
    st.integers(3, 1000),
    st.floats(10, 1e6),
    st.sampled_from(["free", "projected"]),
)
def test_the_laws_fit_together(lip, probe, sigma, d, steps, form):
    arguments = (2.0, lip, probe, sigma, d)
    delta = descent.bound(*arguments, steps, form)
    assert descent.steps(*arguments, delta, form) == pytest.approx(steps, rel=1e-10)
    half = descent.coefficient(lip, probe, sigma, d)
    rho = descent.smoothed_smoothness(lip, probe, sigma)
    moment = second_moment.lipschitz_bound(lip, probe, sigma, d)
    assert half == pytest.approx(rho * moment / 2, rel=1e-12)
    sigmas = probe * descent.least_noise_ratio(d) * np.array([0.9, 1.0, 1.1])
    values = descent.coefficient(lip, probe, sigmas, d)
    assert values[1] < min(values[0], values[2])


def test_the_best_step_by_search():
    arguments = (2.0, 1.5, 0.1, 0.2, 30)
    lost = descent.coefficient(*arguments[1:])
    found = optimize.minimize_scalar(
        lambda x: np.log(2.0 / (np.exp(x) * 50) + lost * np.exp(x)), bounds=(-20, 0)
    )
    assert descent.step_size(*arguments, 50) == pytest.approx(np.exp(found.x), rel=1e-4)
    assert descent.bound(*arguments, 50) == pytest.approx(np.exp(found.fun), rel=1e-9)
