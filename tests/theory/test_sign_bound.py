"""Bounds on flipped signs against mpmath, losses that test them, and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import misstep, sign_bound, smoothing

from .reference import assert_matches

SIZES = (1e-100, 1e-3, 0.7, 3.0, 60.0, 1e5)


def kappa(d):
    return mp.sqrt(2) * mp.exp(mp.loggamma((d + 1) / 2) - mp.loggamma(d / 2))


def test_markov():
    points = [
        (h, lip, d, s)
        for h in SIZES
        for lip in (1e-50, 2.0)
        for d in (1, 3072, 10**9)
        for s in SIZES
    ]
    assert_matches(
        sign_bound.markov,
        lambda h, lip, d, s: min(mp.mpf(1), 2 * lip * s * kappa(d) / h),
        points,
    )
    points = [(d, 1.0, s) for d in (1, 3, 3072) for s in (1e-100, 1e-9, 0.003, 0.1)]
    assert_matches(
        sign_bound.markov_share,
        lambda d, p, s: mp.erfc(mp.sqrt(2) * s / p * kappa(d)),
        points,
    )
    points = [(d, q) for d in (1, 3, 3072) for q in (1e-12, 1e-3, 0.3, 0.5, 0.9)]
    assert_matches(
        sign_bound.markov_noise_ratio,
        lambda d, q: mp.erfinv(1 - q) * mp.sqrt(2) / (2 * kappa(d)),
        points,
    )


def test_concentration():
    points = [
        (h * 2 * d**0.5, lip, d, lip, m)
        for h in (0.5, 1.05, 1.3, 2.0, 10.0)
        for lip in (1e-50, 1.0)
        for d in (1, 64, 3072)
        for m in (1, 4)
    ]

    def log(h, lip, d, s, m):
        return -m * max(h / (lip * s) - 2 * kappa(d), mp.mpf(0)) ** 2 / 4

    # lip·s is what counts: scale the difference with it.
    points = [(h * lip * s, lip, d, s, m) for h, lip, d, s, m in points]
    points = [p for p in points if abs(p[0] / (p[1] * p[3]) - 2 * p[2] ** 0.5) > 1e-3]
    with mp.workdps(50):
        for point in points:
            exact = log(*(mp.mpf(float(x)) for x in point))
            found = sign_bound.log_concentration(*point)
            # The threshold's own rounding, in units of the noise.
            slack = (
                4e-16 * 4 * point[4] * (point[2] ** 0.5) * abs(exact) ** mp.mpf("0.5")
            )
            assert abs(found - exact) <= 1e-12 * abs(exact) + slack, point
            both = sign_bound.concentration(*point)
            assert both == np.exp(found)


def test_dimension_free_bounds():
    points = [(h * 1.5, 3.0, 0.5, m) for h in (0.0, *SIZES) for m in (1, 7, 1000)]

    def log(h, lip, s, m):
        return -m * h * h / (4 * lip**2 * s**2)

    def tail(h, lip, s, m):
        return mp.erfc(h * mp.sqrt(m) / (2 * lip * s)) / 2

    assert_matches(sign_bound.log_smoothed, log, points)
    near = [p for p in points if p[0] < 80]
    assert_matches(
        sign_bound.smoothed, lambda *x: mp.exp(log(*x)), near, tolerance=2e-12
    )
    assert_matches(sign_bound.isoperimetric, tail, near, tolerance=2e-12)
    assert_matches(
        sign_bound.log_isoperimetric, lambda *x: mp.log(tail(*x)), near, digits=60
    )


def test_smoothing_shift():
    points = [
        (far, lip, bend, 50, 0.3)
        for far in (0.0, 1e-50, 0.01, 1.0, 1e3)
        for lip in (0.1, 4.0)
        for bend in (0.0, 0.01, 1.0, 1e9)
    ]

    def shift(far, lip, bend, d, s):
        turn = lip / (bend * s) if bend else mp.mpf("1e60")
        t = turn**2 / 2
        gap = bend * s * s * d / 2 * mp.gammainc(d / 2 + 1, 0, t, regularized=True)
        if bend:
            far_part = kappa(d) * mp.gammainc((d + 1) / 2, t, regularized=True)
            far_part -= turn / 2 * mp.gammainc(d / 2, t, regularized=True)
            gap += lip * s * far_part
        return min(2 * gap, bend * s * kappa(d) * far, 2 * lip * far)

    assert_matches(sign_bound.smoothing_shift, shift, points)
    steep = sign_bound.smoothing_shift(1e9, 2.0, np.inf, 50, 0.3)
    assert steep == pytest.approx(2 * smoothing.smoothing_gap(2.0, 50, 0.3))


def test_known_numbers():
    d = 3072
    found = sign_bound.markov(2.1 * np.sqrt(d), 1, d, 1)
    assert found == pytest.approx(0.952, abs=5e-4)
    assert sign_bound.concentration(2.1 * np.sqrt(d), 1, d, 1) == pytest.approx(
        4.5e-4, rel=5e-3
    )
    assert sign_bound.concentration(2.5 * np.sqrt(d), 1, d, 1) == pytest.approx(
        3.6e-84, rel=0.02
    )
    # At the median direction, α = 1, Markov's bound without its cap is 164.
    assert 1 / sign_bound.markov_noise_ratio(d) == pytest.approx(164.3, abs=0.1)
    assert sign_bound.markov_noise_ratio(d) == pytest.approx(0.0061, abs=5e-5)


@pytest.mark.parametrize(("height", "repeats"), [(0.5, 1), (1.5, 1), (1.0, 3)])
def test_linear_losses_attain_isoperimetry(height, repeats):
    """4·10⁵ pairs; five standard errors."""
    rng = np.random.default_rng(41)
    noise = rng.standard_normal((2, repeats, 400_000)).mean(axis=1)
    flips = height + 0.8 * (noise[0] - noise[1]) < 0
    law = sign_bound.isoperimetric(height, 0.4, 2.0, repeats)
    assert abs(flips.mean() - law) < 5 * flips.std() / np.sqrt(flips.size)
    same = misstep.fixed_direction(repeats * height**2 / (2 * 0.8**2))
    assert law == pytest.approx(same, rel=1e-12)


@pytest.mark.parametrize("dimension", [1, 6, 60])
@pytest.mark.parametrize("repeats", [1, 4])
def test_no_loss_passes_the_bounds(dimension, repeats):
    """Cusps both ways, 10⁴ pairs each: no flips above the bound by five errors."""
    rng = np.random.default_rng(42)
    sigma = 0.5
    axis = np.eye(dimension)[0]

    def cusps(y, height, apart):
        down = height + np.linalg.norm(y - apart * axis, axis=-1)
        up = -np.linalg.norm(y, axis=-1)
        middle = np.clip(y[..., 0] - apart / 2, -1e-3, 1e-3) + height / 2
        return np.maximum(np.minimum(middle, down), up)

    apart = 8.0 + 6.0 * np.sqrt(dimension)
    flipped = []
    for height in (-0.5, -1.0, -2.0, -4.0, -8.0):
        noise = sigma * rng.standard_normal((2, repeats, 10_000, dimension))
        there = cusps(noise[0] + apart * axis, height, apart)
        here = cusps(noise[1], height, apart)
        measured = (there - here).mean(axis=0)
        true = cusps(apart * axis, height, apart) - cusps(0 * axis, height, apart)
        assert true == pytest.approx(height)
        flips = np.mean(measured > 0)
        flipped.append(flips)
        slack = 5 * np.sqrt(0.25 / 10_000)
        bounds = (
            sign_bound.markov(-height, 1.0, dimension, sigma),
            sign_bound.concentration(-height, 1.0, dimension, sigma, repeats),
        )
        assert flips <= min(bounds) + slack
        middle, median = measured.mean(), np.median(measured)
        if middle < 0:
            assert flips <= sign_bound.smoothed(-middle, 1.0, sigma, repeats) + slack
        if median < 0:
            bound = sign_bound.isoperimetric(-median, 1.0, sigma, repeats)
            assert flips <= bound + slack
    if dimension == 60:
        # Below the threshold a flip is nearly sure.
        assert flipped[0] > 0.99


@given(
    st.floats(1e-3, 1e3),
    st.floats(1e-3, 1e3),
    st.integers(1, 10**6),
    st.floats(1e-6, 10),
    st.integers(1, 100),
)
def test_order(size, lip, d, sigma, repeats):
    assert sign_bound.isoperimetric(size, lip, sigma, repeats) <= 0.5 * (
        sign_bound.smoothed(size, lip, sigma, repeats) * (1 + 1e-12)
    )
    bound = sign_bound.concentration(size, lip, d, sigma, repeats)
    assert bound >= sign_bound.smoothed(size, lip, sigma, repeats)
    assert sign_bound.concentration(size, lip, d, sigma, repeats + 1) <= bound
    share = sign_bound.markov_share(d, lip, sigma)
    if 1e-300 < share < 1:
        ratio = sign_bound.markov_noise_ratio(d, share)
        assert ratio == pytest.approx(sigma / lip, rel=1e-6)


def test_domains():
    with pytest.raises(DomainError, match="expected difference > 0"):
        sign_bound.markov(0.0, 1.0, 3, 0.1)
    with pytest.raises(DomainError, match="expected share in"):
        sign_bound.markov_noise_ratio(3, 1.0)
