"""Bounds on descent against mpmath, descent itself, and known values."""

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


def lost(lip, d, p, s):
    rho = mp.sqrt(2 / mp.pi) * lip / mp.sqrt(p * p + s * s)
    return rho * lip**2 * d * (d + 2 + 2 * (s / p) ** 2) / 2


def test_against_mpmath():
    points = [(lip, p, s) for lip in SIZES for p in SIZES for s in (0.0, *SIZES)]
    assert_matches(
        descent.smoothed_smoothness,
        lambda lip, p, s: mp.sqrt(2 / mp.pi) * lip / mp.sqrt(p * p + s * s),
        points,
        digits=400,
    )
    points = [
        (lip, d, p, s)
        for lip in (0.3, 1e20)
        for d in (1, 3072, 10**9)
        for p in SIZES
        for s in (0.0, *SIZES)
    ]
    assert_matches(descent.coefficient, lost, points, digits=400)
    assert_matches(
        descent.least_noise_ratio,
        lambda d: mp.sqrt(max(d / 2 - 1, 0)),
        [(1,), (2,), (3,), (3072,), (10**9,)],
    )


@pytest.mark.parametrize("form", ["free", "projected"])
def test_steps_and_bounds_against_mpmath(form):
    a, b = (1, 1) if form == "free" else (2, 4)
    points = [
        (fall, lip, d, p, s, t)
        for fall in (1e-20, 3.0)
        for lip in (0.3, 1e10)
        for d in (1, 3072)
        for p in (1e-20, 0.1, 1e20)
        for s in (0.0, 0.2, 1e20)
        for t in (1.0, 1e10)
    ]

    def step(fall, *rest):
        return mp.sqrt(a * fall / (b * rest[-1] * lost(*rest[:-1])))

    def bound(fall, *rest):
        eta = step(fall, *rest)
        return a * fall / (eta * rest[-1]) + b * lost(*rest[:-1]) * eta

    def steps(fall, *rest):
        return 4 * a * b * fall * lost(*rest[:-1]) / rest[-1] ** 2

    def named(law):
        return lambda *x: law(*x, form)

    assert_matches(named(descent.best_step), step, points, digits=100)
    assert_matches(named(descent.bound), bound, points, digits=100)
    assert_matches(named(descent.steps), steps, points, digits=100)
    assert_matches(
        named(descent.model_queries), lambda *x: 2 * steps(*x), points, digits=100
    )


def test_known_numbers():
    # CIFAR-size numbers: L = 4, R = 1, gap 0.1, δ = 1.
    probe = smoothing.largest_probe_at_ratio(0.1, 4.0, 3072, 1.0)
    steps = descent.steps(4.0, 4.0, 3072, probe, probe, 1.0)
    assert steps == pytest.approx(2.5e12, rel=0.01)
    found = descent.coefficient(1.0, 3072, 1.0, [0, 1, 10, 39.2])
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
        ratio = printed / descent.coefficient(1.0, d, 1.0, alpha)
        np.testing.assert_allclose(ratio, row, rtol=6e-3)


def test_the_kink_attains_the_smoothness():
    """L|x₁| by differences of its smoothed slope, from 4·10⁶ normal quantiles."""
    probe, sigma, h = 0.3, 0.4, 1e-2
    u = (np.arange(4_000_000) + 0.5) / 4_000_000
    noise = 0.5 * special.ndtri(u)
    slope = np.sign(noise + h).mean() - np.sign(noise - h).mean()
    law = descent.smoothed_smoothness(1.0, probe, sigma)
    assert slope / (2 * h) == pytest.approx(law, rel=1e-3)


def test_descent_keeps_its_promise():
    """400 steps on L|x| in one and on a norm in three dimensions, 200 runs each."""
    rng = np.random.default_rng(11)
    probe, sigma, count = 0.3, 0.3, 400
    width = np.hypot(probe, sigma)
    for d in (1, 3):
        x = np.full((200, d), 2.0)
        fall = 2.0 * np.sqrt(d) + width * smoothing.mean_norm(d)
        eta = descent.best_step(fall, 1.0, d, probe, sigma, count)
        total = 0.0
        for _ in range(count):
            # ‖∇f‖² from two independent means of the norm's slope.
            v = width * rng.standard_normal((2, 200, 50, d)) + x[:, None]
            slopes = (v / np.linalg.norm(v, axis=-1, keepdims=True)).mean(axis=2)
            total += (slopes[0] * slopes[1]).sum(axis=1).mean()
            u, v, w = rng.standard_normal((3, 200, d))
            high = np.linalg.norm(x + probe * u + sigma * v, axis=1)
            low = np.linalg.norm(x + sigma * w, axis=1)
            x = x - eta * ((high - low) / probe)[:, None] * u
        bound = descent.bound(fall, 1.0, d, probe, sigma, count)
        assert 0.02 * bound < total / count < bound


def test_projected_descent_on_a_linear_loss():
    """f = x₁ on the unit disc; its Moreau envelope's slope is known: min(1, 2ρ(x₁+1))
    on the axis. 1000 steps, 300 runs."""
    rng = np.random.default_rng(12)
    probe, count = 0.3, 1000
    eta = descent.best_step(1.0, 1.0, 2, probe, 0.0, count, "projected")
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
    bound = descent.bound(1.0, 1.0, 2, probe, 0.0, count, "projected")
    assert bound == pytest.approx(0.583, abs=1e-3)
    assert total / count < bound
    # The sheet's simulated value.
    assert total / count == pytest.approx(0.136, abs=0.02)


@given(st.integers(3, 10**6), st.floats(1e-3, 1e3))
def test_the_bound_is_lowest_at_its_ratio(d, probe):
    best = descent.least_noise_ratio(d)
    sigmas = probe * best * np.array([0.9, 1.0, 1.1])
    values = descent.coefficient(1.0, d, probe, sigmas)
    assert values[1] < min(values[0], values[2])


@given(
    st.floats(0.1, 10),
    st.floats(0.1, 10),
    st.integers(1, 1000),
    st.floats(0.01, 1),
    st.floats(0, 1),
    st.floats(10, 1e6),
    st.sampled_from(["free", "projected"]),
)
def test_steps_invert_the_bound(fall, lip, d, probe, sigma, steps, form):
    arguments = (fall, lip, d, probe, sigma)
    delta = descent.bound(*arguments, steps, form)
    assert descent.steps(*arguments, delta, form) == pytest.approx(steps, rel=1e-10)
    half = descent.coefficient(lip, d, probe, sigma)
    rho = descent.smoothed_smoothness(lip, probe, sigma)
    moment = second_moment.lipschitz_bound(lip, d, probe, sigma)
    assert half == pytest.approx(rho * moment / 2, rel=1e-12)


def test_the_best_step_by_search():
    arguments = (2.0, 1.5, 30, 0.1, 0.2)
    lost = descent.coefficient(*arguments[1:])
    found = optimize.minimize_scalar(
        lambda x: np.log(2.0 / (np.exp(x) * 50) + lost * np.exp(x)), bounds=(-20, 0)
    )
    assert descent.best_step(*arguments, 50) == pytest.approx(np.exp(found.x), rel=1e-4)
    assert descent.bound(*arguments, 50) == pytest.approx(np.exp(found.fun), rel=1e-9)
