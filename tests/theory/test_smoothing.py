"""Smoothing gaps against mpmath, the functions that attain them, and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import smoothing

from .reference import assert_matches

DIMENSIONS = (*range(1, 140), 3072, 150_528, 10**6, 10**9, 10**15)
LENGTHS = (1e-100, 1e-9, 0.02, 1.0, 1e100)


def kappa(d):
    return mp.sqrt(2) * mp.exp(mp.loggamma((d + 1) / 2) - mp.loggamma(d / 2))


def test_mean_norm():
    points = [(d,) for d in DIMENSIONS]
    assert_matches(smoothing.mean_norm, kappa, points, tolerance=5e-14, digits=60)


def test_gaps():
    some = (1, 64, 3072, 10**9)
    assert_matches(
        smoothing.smoothing_gap,
        lambda c, d, s: c * kappa(d) * s,
        [(c, d, s) for c in (0.5, 4.0) for d in some for s in LENGTHS],
    )
    assert_matches(
        smoothing.probe_gap,
        lambda c, d, p, s: c * kappa(d) * (mp.sqrt(p * p + s * s) - s),
        [(4.0, d, p, s) for d in some for p in LENGTHS for s in LENGTHS],
        digits=500,
    )
    assert_matches(
        smoothing.quadratic_gap,
        lambda c, d, s: c * d * s * s / 2,
        [(c, d, s) for c in (-2.0, 0.5) for d in some for s in LENGTHS],
    )


def test_known_numbers():
    found = smoothing.mean_norm([1, 10, 3072, 150528])
    np.testing.assert_allclose(
        found, [0.79788, 3.08433, 55.42112, 387.97874], atol=5e-6
    )
    assert smoothing.probe_gap(1, 3072, 0.01, 0.02) == pytest.approx(0.13083, abs=5e-6)
    assert smoothing.quadratic_gap(2, 150_528, 0.001) == pytest.approx(0.150528)


@pytest.mark.parametrize("dimension", [1, 3, 70])
def test_the_norm_attains_both_gaps(dimension):
    """10⁵ draws; four standard errors are at most 1 %."""
    rng = np.random.default_rng(7)
    noise = rng.standard_normal((100_000, dimension))
    noisy = 0.2 * np.linalg.norm(noise, axis=1).mean()
    probed = np.hypot(0.2, 0.3) / 0.2 * noisy
    assert smoothing.smoothing_gap(1, dimension, 0.2) == pytest.approx(noisy, rel=0.01)
    gap = smoothing.probe_gap(1, dimension, 0.3, 0.2)
    assert gap == pytest.approx(probed - noisy, rel=0.01)


def test_a_quadratic_attains_its_gap_everywhere():
    """x'Ax/2 at a random point, 4·10⁵ draws; four standard errors are 1.1 %."""
    rng = np.random.default_rng(8)
    a = rng.standard_normal((6, 6))
    a = a @ a.T
    noise = 0.5 * rng.standard_normal((200_000, 6))
    point = 0.1 * rng.standard_normal(6)
    # Antithetic draws remove the linear term.
    values = [
        0.5 * np.einsum("ij,jk,ik->i", point + v, a, point + v) for v in (noise, -noise)
    ]
    gap = np.mean(values) - 0.5 * point @ a @ point
    expected = smoothing.quadratic_gap(np.trace(a) / 6, 6, 0.5)
    assert gap == pytest.approx(expected, rel=0.015)


def huber(lip, bend, d, sigma):
    """E of a parabola that ends in a line, by quadrature over the noise's length."""
    edge = lip / (bend * sigma)
    centre = mp.sqrt(d)
    low, high = max(mp.mpf(0), centre - 14), centre + 14
    cuts = {low + (high - low) * k / 12 for k in range(13)}
    cuts |= {edge} if low < edge < high else set()
    log = (d / 2 - 1) * mp.log(2) + mp.loggamma(d / 2)

    def value(r):
        density = mp.exp((d - 1) * mp.log(r) - r * r / 2 - log) if r else mp.mpf(0)
        inner = bend * sigma * r * r / 2 if r < edge else lip * r - lip * edge / 2
        return density * inner

    return sigma * mp.quad(value, sorted(cuts))


def test_smooth_gap():
    points = [
        (2.0, 2.0 / (0.3 * reach), d, 0.3)
        for d in (2, 3, 64, 3072, 150_528)
        for reach in (1e-3, 0.5, d**0.5 - 1, d**0.5, d**0.5 + 2, 3 * d**0.5)
        if reach > 0
    ]
    assert_matches(smoothing.smooth_gap, huber, points, digits=30)
    # Each end is a law of its own.
    assert smoothing.smooth_gap(4.0, np.inf, 7, 0.2) == pytest.approx(
        smoothing.smoothing_gap(4.0, 7, 0.2), rel=1e-14
    )
    assert smoothing.smooth_gap(1e9, 3.0, 7, 0.2) == pytest.approx(
        smoothing.quadratic_gap(3.0, 7, 0.2), rel=1e-14
    )
    assert smoothing.smooth_gap(0.0, [0.0, 1.0, np.inf], 7, 0.2).tolist() == [0, 0, 0]


def test_huber_attains_the_smooth_gap():
    """2·10⁵ draws; five standard errors."""
    rng = np.random.default_rng(9)
    r = 0.4 * np.linalg.norm(rng.standard_normal((200_000, 5)), axis=1)
    values = np.where(r < 0.75, 2.0 * r**2, 3.0 * r - 1.125)
    law = smoothing.smooth_gap(3.0, 4.0, 5, 0.4)
    assert abs(values.mean() - law) < 5 * values.std() / np.sqrt(r.size)


def test_largest_probes_and_spread():
    points = [
        (gap, lip, d, s)
        for gap in LENGTHS
        for lip in (1e-50, 4.0)
        for d in (1, 3072, 10**9)
        for s in (0.0, *LENGTHS)
    ]

    def inverse(gap, lip, d, s):
        e = gap / (lip * kappa(d))
        return mp.sqrt((e + s) ** 2 - s * s)

    assert_matches(smoothing.largest_probe, inverse, points, digits=500)
    assert_matches(
        smoothing.largest_probe_at_ratio,
        lambda gap, lip, d, a: gap / (lip * kappa(d) * (mp.sqrt(1 + a * a) - a)),
        points,
        digits=500,
    )
    assert_matches(
        smoothing.quadratic_spread,
        lambda g, a, s: s * mp.sqrt(g * g + s * s * a * a / 2),
        [(g, a, s) for g in (0.0, *LENGTHS) for a in (0.0, *LENGTHS) for s in LENGTHS],
        digits=500,
    )


def test_spread_of_a_square():
    """x'x at ‖x‖ = 3 in eight dimensions, 2·10⁵ draws: five standard errors, 1 %."""
    rng = np.random.default_rng(10)
    point = 3.0 * np.eye(8)[0]
    noisy = point + 0.5 * rng.standard_normal((200_000, 8))
    found = (noisy**2).sum(axis=1).std()
    law = smoothing.quadratic_spread(6.0, 2 * np.sqrt(8), 0.5)
    assert found == pytest.approx(law, rel=0.01)
    assert law**2 == pytest.approx(2 * 8 * 0.5**4 + 4 * 0.5**2 * 9)
    large = smoothing.quadratic_spread(0, 2 * np.sqrt(150_528), 0.01)
    assert large == pytest.approx(0.0549, abs=5e-5)


@given(
    st.floats(1e-3, 1e3),
    st.floats(1e-3, 1e3),
    st.integers(1, 10**6),
    st.floats(1e-6, 1e3),
)
def test_smooth_gap_is_below_both_of_its_ends(lip, bend, d, sigma):
    found = smoothing.smooth_gap(lip, bend, d, sigma)
    ends = (
        smoothing.smoothing_gap(lip, d, sigma),
        smoothing.quadratic_gap(bend, d, sigma),
    )
    assert 0.25 * min(ends) <= found <= min(ends) * (1 + 1e-12)


@given(st.floats(1e-3, 1e3), st.integers(1, 10**6), st.floats(1e-3, 1e3))
def test_the_largest_probe_uses_its_gap(gap, d, sigma):
    probe = smoothing.largest_probe(gap, 2.0, d, sigma)
    assert smoothing.probe_gap(2.0, d, probe, sigma) == pytest.approx(gap, rel=1e-12)
    same = smoothing.largest_probe_at_ratio(gap, 2.0, d, sigma / probe)
    assert same == pytest.approx(probe, rel=1e-9)


@given(st.integers(1, 10**12))
def test_mean_norm_lies_between_its_bounds(d):
    """√(d - 1/2) < κ < √d, and κ_d κ_{d+1} = d."""
    found = smoothing.mean_norm(d)
    assert np.sqrt(d - 0.5) * (1 - 1e-14) <= found <= np.sqrt(d)
    assert found * smoothing.mean_norm(d + 1) == pytest.approx(d, rel=1e-13)


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_a_probe_adds_less_than_it_would_alone(probe, sigma):
    alone = smoothing.smoothing_gap(1.0, 10, probe)
    assert smoothing.probe_gap(1.0, 10, probe, sigma) <= alone


def test_domains():
    with pytest.raises(DomainError, match="expected dimension a whole number >= 1"):
        smoothing.mean_norm(0)
    with pytest.raises(DomainError, match="expected lipschitz >= 0 and finite, got -1"):
        smoothing.smoothing_gap(-1, 3, 0.1)
