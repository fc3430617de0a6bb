"""Bounds on flipped signs against mpmath, linear losses and known values."""

from itertools import product

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.theory import misstep, sign_bound, smoothing

from .reference import assert_matches, kappa

SIZES = (1e-100, 1e-3, 0.7, 3.0, 60.0, 1e5)


def test_markov():
    assert_matches(
        sign_bound.markov,
        lambda h, lip, s, d: min(mp.mpf(1), 2 * lip * s * kappa(d) / h),
        product(SIZES, (1e-50, 2.0), SIZES, (1, 3072, 10**9)),
    )
    assert_matches(
        sign_bound.markov_share,
        lambda p, s, d: mp.erfc(mp.sqrt(2) * s / p * kappa(d)),
        product((1.0,), (1e-100, 1e-9, 0.003, 0.1), (1, 3, 3072)),
    )
    assert_matches(
        sign_bound.markov_noise_ratio,
        lambda d, q: mp.erfinv(1 - q) * mp.sqrt(2) / (2 * kappa(d)),
        product((1, 3, 3072), (1e-12, 1e-3, 0.3, 0.5, 0.9)),
    )


def test_concentration():
    def log(h, lip, s, d, m):
        return -m * max(h / (lip * s) - 2 * kappa(d), mp.mpf(0)) ** 2 / 4

    heights = (0.5, 1.05, 1.3, 2.0, 10.0)
    with mp.workdps(50):
        for h, lip, d, m in product(heights, (1e-50, 1.0), (1, 64, 3072), (1, 4)):
            # lip·s is what counts: the difference is scaled with it.
            point = (h * 2 * d**0.5 * lip * lip, lip, lip, d, m)
            exact = log(*(mp.mpf(float(x)) for x in point))
            found = sign_bound.log_concentration(*point)
            # The threshold's own rounding, in units of the noise.
            slack = 4e-16 * 4 * m * d**0.5 * abs(exact) ** mp.mpf("0.5")
            assert abs(found - exact) <= 1e-12 * abs(exact) + slack, point
            assert sign_bound.concentration(*point) == np.exp(found)


def test_dimension_free_bounds():
    points = [(h * 1.5, 3.0, 0.5, m) for h in (0.0, *SIZES) for m in (1, 7, 1000)]
    near = [p for p in points if p[0] < 80]

    def log(h, lip, s, m):
        return -m * h * h / (4 * lip**2 * s**2)

    def tail(h, lip, s, m):
        return mp.erfc(h * mp.sqrt(m) / (2 * lip * s)) / 2

    def small(*x):
        return mp.exp(log(*x))

    def log_tail(*x):
        return mp.log(tail(*x))

    assert_matches(sign_bound.log_smoothed, log, points)
    assert_matches(sign_bound.smoothed, small, near, tolerance=2e-12)
    assert_matches(sign_bound.isoperimetric, tail, near, tolerance=2e-12)
    assert_matches(sign_bound.log_isoperimetric, log_tail, near, digits=60)


def test_smoothing_shift():
    def shift(far, lip, bend, s, d):
        turn = lip / (bend * s) if bend else mp.mpf("1e60")
        t = turn**2 / 2
        gap = bend * s * s * d / 2 * mp.gammainc(d / 2 + 1, 0, t, regularized=True)
        if bend:
            far_part = kappa(d) * mp.gammainc((d + 1) / 2, t, regularized=True)
            far_part -= turn / 2 * mp.gammainc(d / 2, t, regularized=True)
            gap += lip * s * far_part
        return min(2 * gap, bend * s * kappa(d) * far, 2 * lip * far)

    bends = (0.0, 0.01, 1.0, 1e9)
    points = product((0.0, 1e-50, 0.01, 1.0, 1e3), (0.1, 4.0), bends, (0.3,), (50,))
    assert_matches(sign_bound.smoothing_shift, shift, points)
    steep = sign_bound.smoothing_shift(1e9, 2.0, np.inf, 0.3, 50)
    assert steep == pytest.approx(2 * smoothing.smoothing_gap(2.0, 0.3, 50))


def test_known_numbers():
    d = 3072
    found = sign_bound.markov(2.1 * np.sqrt(d), 1, 1, d)
    assert found == pytest.approx(0.952, abs=5e-4)
    found = sign_bound.concentration(np.sqrt(d) * np.array([2.1, 2.5]), 1, 1, d)
    assert found[0] == pytest.approx(4.5e-4, rel=5e-3)
    assert found[1] == pytest.approx(3.6e-84, rel=0.02)
    # At the median direction, α = 1, Markov's bound without its cap is 164.
    assert 1 / sign_bound.markov_noise_ratio(d) == pytest.approx(164.3, abs=0.1)
    assert sign_bound.markov_noise_ratio(d) == pytest.approx(0.0061, abs=5e-5)


def test_without_noise_only_a_gap_of_none_flips():
    assert sign_bound.markov([0.0, 1e-300], 2.0, 0.0, 3).tolist() == [1, 0]
    assert sign_bound.concentration([0.0, 1e-300], 2.0, 0.0, 3).tolist() == [1, 0]
    assert sign_bound.smoothed([0.0, 1e-300], 2.0, 0.0).tolist() == [1, 0]
    assert sign_bound.isoperimetric([0.0, 1e-300], 2.0, 0.0).tolist() == [0.5, 0]
    assert sign_bound.log_isoperimetric(1e-300, 2.0, 0.0) == -np.inf


@given(st.floats(1e-3, 1e3), st.floats(1e-6, 10), st.integers(1, 10**6))
def test_equivalents(size, sigma, d):
    share = sign_bound.markov_share(size, sigma, d)
    if 1e-300 < share < 1:
        ratio = sign_bound.markov_noise_ratio(d, share)
        assert ratio == pytest.approx(sigma / size, rel=1e-6)
    # A linear loss attains the isoperimetric bound.
    same = misstep.fixed_direction(3 * size**2 / (2 * (0.4 * sigma) ** 2))
    law = sign_bound.isoperimetric(size, 0.4, sigma, 3)
    assert law == pytest.approx(same, rel=1e-9, abs=1e-300)
