"""Smoothing gaps against mpmath, each other, and known values."""

from itertools import product

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.theory import smoothing

from .reference import assert_matches, kappa

DIMENSIONS = (*range(1, 140), 3072, 150_528, 10**6, 10**9, 10**15)
LENGTHS = (1e-100, 1e-9, 0.02, 1.0, 1e100)


def test_mean_norm():
    points = [(d,) for d in DIMENSIONS]
    assert_matches(smoothing.mean_norm, kappa, points, tolerance=5e-14, digits=60)


def test_gaps():
    some = (1, 64, 3072, 10**9)
    assert_matches(
        smoothing.smoothing_gap,
        lambda c, s, d: c * kappa(d) * s,
        product((0.5, 4.0), LENGTHS, some),
    )
    assert_matches(
        smoothing.probe_gap,
        lambda c, p, s, d: c * kappa(d) * (mp.sqrt(p * p + s * s) - s),
        product((4.0,), LENGTHS, (0.0, *LENGTHS), some),
        digits=500,
    )
    assert_matches(
        smoothing.quadratic_gap,
        lambda c, s, d: c * d * s * s / 2,
        product((-2.0, 0.5), LENGTHS, some),
    )


def test_known_numbers():
    found = smoothing.mean_norm([1, 10, 3072, 150528])
    np.testing.assert_allclose(
        found, [0.79788, 3.08433, 55.42112, 387.97874], atol=5e-6
    )
    assert smoothing.probe_gap(1, 0.01, 0.02, 3072) == pytest.approx(0.13083, abs=5e-6)
    assert smoothing.quadratic_gap(2, 0.001, 150_528) == pytest.approx(0.150528)
    # x'x at ‖x‖ = 3 in eight dimensions, and at 0 in many.
    law = smoothing.quadratic_spread(6.0, 2 * np.sqrt(8), 0.5)
    assert law**2 == pytest.approx(2 * 8 * 0.5**4 + 4 * 0.5**2 * 9)
    large = smoothing.quadratic_spread(0, 2 * np.sqrt(150_528), 0.01)
    assert large == pytest.approx(0.0549, abs=5e-5)


def huber(lip, bend, sigma, d):
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
        (2.0, 2.0 / (0.3 * reach), 0.3, d)
        for d in (2, 3, 64, 3072, 150_528)
        for reach in (1e-3, 0.5, d**0.5 - 1, d**0.5, d**0.5 + 2, 3 * d**0.5)
        if reach > 0
    ]
    assert_matches(smoothing.smooth_gap, huber, points, digits=30)
    # Each end is a law of its own.
    line = smoothing.smoothing_gap(4.0, 0.2, 7)
    assert smoothing.smooth_gap(4.0, np.inf, 0.2, 7) == pytest.approx(line, rel=1e-14)
    parabola = smoothing.quadratic_gap(3.0, 0.2, 7)
    assert smoothing.smooth_gap(1e9, 3.0, 0.2, 7) == pytest.approx(parabola, rel=1e-14)
    flat = smoothing.smooth_gap(0.0, [0.0, 1.0, np.inf], [[0.2], [0.0]], 7)
    assert flat.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_largest_probes_and_spread():
    rest = (1e-50, 4.0), (0.0, *LENGTHS), (1, 3072, 10**9)

    def inverse(gap, lip, s, d):
        e = gap / (lip * kappa(d))
        return mp.sqrt((e + s) ** 2 - s * s)

    points = product(LENGTHS, *rest)
    assert_matches(smoothing.largest_probe, inverse, points, digits=500)
    assert_matches(
        smoothing.largest_probe_at_ratio,
        lambda gap, lip, a, d: gap / (lip * kappa(d) * (mp.sqrt(1 + a * a) - a)),
        product(LENGTHS, *rest),
        digits=500,
    )
    assert_matches(
        smoothing.quadratic_spread,
        lambda g, a, s: s * mp.sqrt(g * g + s * s * a * a / 2),
        product((0.0, *LENGTHS), (0.0, *LENGTHS), LENGTHS),
        digits=500,
    )


@given(st.floats(1e-3, 1e3), st.integers(1, 10**6), st.floats(1e-3, 1e3))
def test_the_largest_probe_uses_its_gap(gap, d, sigma):
    probe = smoothing.largest_probe(gap, 2.0, sigma, d)
    assert smoothing.probe_gap(2.0, probe, sigma, d) == pytest.approx(gap, rel=1e-12)
    same = smoothing.largest_probe_at_ratio(gap, 2.0, sigma / probe, d)
    assert same == pytest.approx(probe, rel=1e-9)


@given(st.integers(1, 10**12))
def test_mean_norm_lies_between_its_bounds(d):
    """√(d - 1/2) < κ < √d, and κ_d κ_{d+1} = d."""
    found = smoothing.mean_norm(d)
    assert np.sqrt(d - 0.5) * (1 - 1e-14) <= found <= np.sqrt(d)
    assert found * smoothing.mean_norm(d + 1) == pytest.approx(d, rel=1e-13)
