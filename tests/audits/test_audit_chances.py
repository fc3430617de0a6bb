"""Bounds of chance: exact values at small sizes, and that they hold."""

import itertools
import math

import numpy as np
import pytest

from querytax.audits.chances import (
    kendall_bound,
    likeness,
    matching_bound,
    monotone_bound,
    period_bound,
    share_at_least,
    share_at_most,
)

ORDERS = list(itertools.permutations(range(7)))


def test_matches_of_all_orders_lie_below_the_bound():
    """For every map, not one to one alone."""
    rng = np.random.default_rng(0)
    maps = [np.arange(7), np.zeros(7, int), *rng.integers(0, 7, (20, 7))]
    for chosen in maps:
        found = np.array([(np.array(order) == chosen).sum() for order in ORDERS])
        for matches in range(1, 8):
            assert (found >= matches).mean() <= matching_bound(matches) + 1e-12
    # One to one, it is nearly reached: P(all 7) = 1/7!.
    assert matching_bound(7) == pytest.approx(1 / math.factorial(7))


def test_kendall_s_count_of_all_orders_lies_below_the_bound():
    pairs = list(itertools.combinations(range(7), 2))
    counts = np.array([sum(o[i] > o[j] for i, j in pairs) for o in ORDERS])
    mean = counts.mean()
    for off in np.arange(0.5, 11):
        exact = (np.abs(counts - mean) >= off).mean()
        bound = kendall_bound(mean + off, 7)
        assert exact <= bound
        # Chernoff's bound is within a factor of 8 here.
        assert bound <= max(8 * exact, 2 / math.factorial(7)) or bound == 1.0


def test_periods_of_all_orders_lie_below_the_bound():
    for values in ([0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 0]):
        orders = set(itertools.permutations(values))
        for period in range(1, 6):
            good = [o for o in orders if o[period:] == o[:-period]]
            bound = period_bound(np.array(values), period)
            assert len(good) / len(orders) <= bound + 1e-12
    assert period_bound(np.zeros(50, int), 1) == 1.0


def test_monotone_and_shares():
    assert monotone_bound(4) == pytest.approx(2 / 24)
    assert share_at_least(0, 10, 0.01) == 0.0
    # Ten of ten: p with p^10 = chance.
    assert share_at_least(10, 10, 0.01) == pytest.approx(0.01**0.1)
    assert share_at_most(0, 10, 0.01) == pytest.approx(1 - 0.01**0.1)
    assert share_at_most(10, 10, 0.01) == 1.0


@pytest.mark.parametrize("width", [1, 2, 10])
@pytest.mark.parametrize("law", ["normal", "cauchy", "coarse", "constant", "few"])
def test_independent_series_hardly_ever_look_alike(width, law):
    """2,000 pairs: fewer than 1 in 100 below 1/1000 would be 20; the bound says 2."""
    rng = np.random.default_rng(1)

    def drawn():
        z = rng.standard_cauchy((31, width)) if law == "cauchy" else None
        z = rng.standard_normal((31, width)) if z is None else z
        if law == "coarse":
            z = z.round()
        if law == "constant":
            z = np.zeros_like(z)
        if law == "few":
            z[3:] = 0
        return rng.permutation(z)

    chances = [likeness(drawn(), drawn(), rng).chance for _ in range(2000)]
    assert (np.array(chances) <= 1e-3).sum() <= 12


@pytest.mark.parametrize("width", [1, 10])
def test_the_same_noise_is_always_seen(width):
    rng = np.random.default_rng(2)
    for _ in range(50):
        a = rng.standard_normal((31, width))
        found = likeness(a, 3 * a + 1e-3 * rng.standard_normal(a.shape), rng)
        assert found.chance < 1e-8
    # A correlation of 0.75 in 96 pairs of ten numbers too.
    for _ in range(20):
        a = rng.standard_normal((96, 10))
        b = 0.75 * a + math.sqrt(1 - 0.75**2) * rng.standard_normal(a.shape)
        assert likeness(a, b, rng).chance < 1e-8
