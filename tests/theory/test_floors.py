"""Floors against mpmath, numerical information and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.theory import drift, floors, repeats, snr

from .reference import assert_matches
from .test_repeats import divergence, quantile

ERRORS = (1e-300, 1e-12, 0.01, 0.3, 0.5 - 1e-9)
SIZES = np.geomspace(1e-12, 1e12, 7)


def test_counts():
    points = [(g, s, e) for e in ERRORS for s in SIZES for g in SIZES]
    squared = {e: quantile(mp.mpf(e)) ** 2 for e in ERRORS}
    wide = 6 + 4 * mp.sqrt(2)
    for law, exact in {
        floors.queries_any_attacker: lambda g, s, e: divergence(e) / g**2,
        floors.pairs_per_sign: lambda g, s, e: squared[float(e)] / g**2,
        floors.optimisation_1d: lambda x, s, e: divergence(e) / (wide * x) ** 2,
    }.items():
        assert_matches(law, lambda g, s, e, f=exact: 2 * s**2 * f(g, s, e), points)


def test_gradients():
    points = [
        (g, r, s, d, e)
        for e in (1e-12, 0.25, 0.5 - 1e-9)
        for d in (1, 10**9)
        for s in SIZES
        for g in SIZES
        for r in (1e-6, 1e3)
    ]
    assert_matches(
        floors.gradient_signs,
        lambda g, r, s, d, e: ((1 - 2 * e) * d * s / (g * r)) ** 2,
        points,
    )

    def explained(g, r, s, d, t):
        tau = t * g**2 * r**2 / (d**2 * s**2)
        return tau / (1 + tau)

    points = [(*rest, t) for t in (1e-3, 1e12) for *rest, _ in points]
    assert_matches(floors.explained_fraction, explained, points)
    np.testing.assert_array_equal(
        floors.explained_fraction(1.0, 1.0, 0.0, 10, [0, 1]), [0, 1]
    )


def test_hard_labels():
    def information(m, s):
        u = m / (mp.sqrt(2) * s)
        return mp.npdf(u) ** 2 / (2 * s**2 * mp.ncdf(u) * mp.ncdf(-u))

    points = [
        (sign * u * s, s)
        for u in np.concatenate([np.linspace(0, 38, 20), np.geomspace(1e-12, 50, 12)])
        for s in SIZES
        for sign in (1, -1)
    ]
    assert_matches(floors.hard_label_information, information, points)
    wide = [
        (m, s) for m in np.geomspace(1e-12, 1e3, 8) for s in np.geomspace(0.1, 1e12, 6)
    ]
    assert_matches(
        floors.log_hard_label_information,
        lambda m, s: mp.log(information(m, s)),
        wide,
        digits=80,
    )
    assert np.isfinite(floors.log_hard_label_information(1.0, 1e-12))
    assert floors.log_hard_label_information(1e-9, 0.0) == -np.inf
    assert floors.hard_label_information(0.0, 0.0) == np.inf


def test_known_numbers():
    got = floors.queries_any_attacker(5e-8, 0.01, 0.01)
    assert got == pytest.approx(3.60e11, rel=2e-3)
    # MNIST, a = 1, β = 1e-3, σ = 1e-4, ε = 0.3.
    gap = 4e-4 * np.expm1(1e-3)
    assert floors.pairs_per_sign(gap, 1e-4, 0.3) == pytest.approx(34340, abs=1)
    assert floors.optimisation_1d(1.0, 1.0, 0.1) == pytest.approx(
        0.014719 * float(divergence(mp.mpf("0.1"))), rel=1e-4
    )
    assert floors.hard_label_information(0.0, 0.1) == pytest.approx(31.83, abs=5e-3)


def test_pairs_per_sign_are_attained_by_the_mean_difference():
    """200,000 simulated means of the floor's number of pairs err at the given rate.

    Five standard errors of a rate of 0.05 are 2.4e-3.
    """
    rng = np.random.default_rng(6)
    count = floors.pairs_per_sign(0.1, 0.3, 0.05)
    mean = 0.1 + 0.3 * np.sqrt(2 / count) * rng.standard_normal(200_000)
    assert np.mean(mean < 0) == pytest.approx(0.05, abs=2.4e-3)


def test_two_functions_on_a_line_are_that_close():
    """The pair behind the one-dimensional floor: gap at most b², no common answer."""
    b = 1.0
    x = np.linspace(-3, 5, 800_001)
    triangle = np.clip(np.minimum((x + b) / 2, (3 * b - x) / 2), 0, None)
    area = np.concatenate([[0], np.cumsum((triangle[1:] + triangle[:-1]) / 2)])
    first = x**2 / 2
    second = first - area * (x[1] - x[0]) + b**2
    assert np.abs(first - second).max() == pytest.approx(b**2, abs=1e-6)
    excess = np.maximum(first - first.min(), second - second.min()).min()
    assert excess == pytest.approx(b**2 / (6 + 4 * np.sqrt(2)), abs=1e-5)


@given(st.floats(1e-100, 0.4999), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_floors_agree_with_the_counts_of_pairs(error, sigma, gap):
    ratio = snr.output(gap**2, sigma)
    assert floors.pairs_per_sign(gap, sigma, error) == pytest.approx(
        repeats.fixed(ratio, error), rel=1e-12
    )
    # A pair is two queries, and one of them carries the whole difference.
    assert floors.queries_any_attacker(gap, sigma, error) == pytest.approx(
        2 * repeats.sequential(ratio, error), rel=1e-12
    )


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(1e-6, 1e6))
def test_no_nes_attack_explains_more_than_the_floor_allows(dimension, pairs, sigma):
    """Probes of the ball's radius: β² d = r², S = 4 β² G²/(2σ²), 2p queries."""
    probe = 1 / np.sqrt(dimension)
    ratio = snr.antithetic(1.0, probe, sigma)
    explained = drift.plain(ratio, dimension, pairs) ** 2
    bound = floors.explained_fraction(1.0, 1.0, sigma, dimension, 2 * pairs)
    assert explained <= bound * (1 + 1e-9)


def test_optimisation():
    points = [
        (b, s, d, t)
        for t in (1e3, 1e300)
        for d in (1, 3072)
        for s in (1e-140, 1e-6, 1e3)
        for b in (1.0, 1e80)
    ]
    assert_matches(
        floors.optimisation,
        lambda b, s, d, t: min(4 * (d * s / b) ** 2 / (9 * t), b**2) / 12,
        points,
    )


def test_optimisation_on_its_own_family():
    """d = 2, one query at radius B along each axis: what the best rule still loses.

    e is uniform on the corners (±μ, ±μ), μ² = 4 d σ²/(9 T B²); 2e5 draws.
    """
    rng = np.random.default_rng(11)
    d, sigma, radius, queries = 2, 1.0, 1.5, 2
    mu = np.sqrt(4 * d * sigma**2 / (9 * queries * radius**2))
    e = mu * rng.choice([-1.0, 1.0], (200_000, d))
    answers = radius * e + sigma * rng.standard_normal(e.shape)
    # The best estimate of each coordinate is its posterior mean.
    guess = mu * np.tanh(mu * radius * answers / sigma**2)
    excess = 0.5 * np.square(guess - e).sum(axis=1).mean()
    assert excess > floors.optimisation(radius, sigma, d, queries)
