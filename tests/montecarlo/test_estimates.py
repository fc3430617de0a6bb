"""Intervals cover at every look at once, and do not depend on how one looks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from querytax.expect import DomainError
from querytax.montecarlo.estimates import (
    Moments,
    mean_interval,
    probability_interval,
    quantile_ranks,
)

# A test's own draws: NumPy, not the generator under test.


@pytest.mark.parametrize("p", [0.5, 0.03, 1e-3])
def test_probability_intervals_cover_at_all_looks_at_once(p):
    """400 runs of 30 looks, alpha = 5 %: more than 40 misses have chance 2e-5."""
    rng, misses = np.random.default_rng(1), 0
    sizes = np.diff([0, *np.unique(np.geomspace(10, 20_000, 30).astype(int))])
    for _ in range(400):
        counts, trials = np.cumsum(rng.binomial(sizes, p)), np.cumsum(sizes)
        intervals = [
            probability_interval(int(c), int(n), 0.05)
            for c, n in zip(counts, trials, strict=True)
        ]
        misses += any(not low <= p <= high for low, high in intervals)
    assert misses <= 40


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-math.inf, math.inf)])
def test_mean_intervals_cover_at_all_looks_at_once(bounds):
    """400 runs; Beta(1/2, 2) draws of mean 1/5, heaped at zero."""
    rng, misses = np.random.default_rng(2), 0
    for _ in range(400):
        moments, missed = Moments(centre=0.2), False
        for _ in range(12):
            x = rng.beta(0.5, 2.0, 1000) - 0.2
            moments = moments.after(1000, x.sum(), np.square(x).sum())
            low, high = mean_interval(moments, *bounds, 0.05)
            missed |= not low <= 0.2 <= high
        misses += missed
    assert misses <= 40


def test_mean_intervals_narrow_like_their_variance():
    rng = np.random.default_rng(3)
    x = rng.beta(0.5, 2.0, 1_000_000)
    moments = Moments(centre=0.2).after(
        x.size, (x - 0.2).sum(), np.square(x - 0.2).sum()
    )
    low, high = mean_interval(moments, 0.0, 1.0, 1e-6)
    assert low < x.mean() < high
    # Within three of the normal interval of the same level at one look.
    normal = 2 * -special.ndtri(5e-7) * x.std() / 1e3
    assert high - low < 3 * normal


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.floats(1e-12, 0.5))
def test_probability_interval_properties(count, trials, alpha):
    count = min(count, trials)
    low, high = probability_interval(count, trials, alpha)
    assert 0 <= low <= count / trials <= high <= 1
    wider = probability_interval(count, trials, alpha / 10)
    assert wider[0] <= low
    assert high <= wider[1]
    mirrored = probability_interval(trials - count, trials, alpha)
    assert mirrored[0] == pytest.approx(1 - high, abs=1e-12)


def test_probability_interval_against_a_search():
    """A grid of p: where the evidence against it stays below 1/alpha."""
    count, trials, alpha = 7, 50, 0.01
    p = np.linspace(1e-6, 1 - 1e-6, 200_001)
    mixture = special.beta(count + 1, trials - count + 1)
    kept = p[mixture / (p**count * (1 - p) ** (trials - count)) <= 1 / alpha]
    found = probability_interval(count, trials, alpha)
    np.testing.assert_allclose(found, (kept[0], kept[-1]), atol=1e-5)


def test_small_probabilities():
    low, high = probability_interval(0, 10**9, 1e-6)
    assert low == 0
    assert 1e-8 < high < 4e-8


def test_quantile_ranks_cover():
    rng, misses = np.random.default_rng(4), 0
    for _ in range(300):
        x, missed = rng.exponential(size=2000), False
        for n in (50, 200, 700, 2000):
            low, high = quantile_ranks(0.9, n, 0.05)
            order = np.concatenate([[-np.inf], np.sort(x[:n]), [np.inf]])
            missed |= not order[low] <= math.log(10) <= order[high]
        misses += missed
    assert misses <= 30
    assert quantile_ranks(0.5, 1, 0.05) == (0, 2)


def test_bad_input_is_named():
    with pytest.raises(DomainError, match="expected alpha in"):
        probability_interval(1, 2, 0.0)
    with pytest.raises(DomainError, match="expected count between 0 and 2, got 3"):
        probability_interval(3, 2, 0.1)
    with pytest.raises(DomainError, match="expected trials a whole number >= 0"):
        probability_interval(0, -1, 0.1)
