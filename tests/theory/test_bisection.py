"""Votes and bisection against mpmath, enumeration and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from querytax.expect import DomainError
from querytax.theory import bisection

from .reference import assert_matches, grid

# Where the boundary may be, off the cells' own edges.
PLACES = 0.3 + 0.4 * (np.arange(64) * 0.6180339887498949 % 1)


def binomial_tail(p, votes):
    """More than half of the votes wrong, and half of a tie."""
    t = int(votes)
    weight = [mp.binomial(t, i) * p**i * (1 - p) ** (t - i) for i in range(t + 1)]
    tie = weight[t // 2] / 2 if t % 2 == 0 else 0
    return sum(weight[t // 2 + 1 :]) + tie


def test_majority():
    rates = (0.0, *grid(1e-300, 0.5, 14), 0.9, 1 - 1e-9, 1.0)
    points = [(p, t) for p in rates for t in (1, 2, 3, 4, 11, 20, 101, 1000)]
    assert_matches(bisection.majority, binomial_tail, points)


def test_voted_sigma():
    def exact(s, votes):
        t = int(votes)
        t -= t % 2 == 0
        return s * 2 ** (t - 1) / (t * mp.binomial(t - 1, (t - 1) // 2))

    points = [
        (s, t) for s in (1e-300, 0.3, 1e300) for t in (1, 2, 3, 8, 51, 1001, 40001)
    ]
    assert_matches(bisection.voted_sigma, exact, points)
    # It is the slope of the votes.
    rise = bisection.majority(special.ndtr(1e-6), [1, 5, 21]) - 0.5
    slope = rise / 1e-6 * np.sqrt(2 * np.pi)
    found = bisection.voted_sigma(1.0, [1, 5, 21])
    np.testing.assert_allclose(found, 1 / slope, rtol=1e-7)


def enumerated(boundary, sigma, halvings, votes):
    """Law of the returned cell: every path of answers, one at a time."""
    laws = {}
    for path in range(2**halvings):
        low, width, chance = mp.mpf(0), mp.mpf(1), mp.mpf(1)
        for step in range(halvings):
            width /= 2
            up = path >> (halvings - 1 - step) & 1
            z = (low + width - boundary) / sigma
            z = -z if up else z
            chance *= binomial_tail(mp.erfc(-z / mp.sqrt(2)) / 2, votes)
            low += width * up
        laws[low + width / 2] = chance
    return laws


CASES = [
    (0.6, 0.1, 3, 1),
    (0.6, 0.02, 4, 1),
    (0.123, 0.3, 4, 5),
    (1.0, 0.05, 4, 2),
    (0.0, 1e6, 3, 3),
]


@pytest.mark.parametrize("arguments", CASES)
def test_bisection(arguments):
    boundary, sigma, halvings, votes = arguments
    with mp.workdps(50):
        exact = enumerated(mp.mpf(boundary), mp.mpf(sigma), halvings, votes)
        mean = sum(x * p for x, p in exact.items())
        rmse = mp.sqrt(sum((x - mp.mpf(boundary)) ** 2 * p for x, p in exact.items()))
        law = [float(exact[x]) for x in sorted(exact)]
    found = bisection.cells(*arguments)
    np.testing.assert_allclose(found, law, rtol=1e-12, atol=2.3e-308)
    assert bisection.mean_estimate(*arguments) == pytest.approx(float(mean), rel=1e-12)
    assert bisection.rmse(*arguments) == pytest.approx(float(rmse), rel=1e-12)


def test_known_numbers():
    known = [3.75e-11, 3.69e-5, 1.939e-3, 0.15668, 0.47007, 0.31507, 0.05604, 1.675e-4]
    found = bisection.cells(0.6, 0.1, 3)
    np.testing.assert_allclose(found, known, rtol=1.5e-3)
    votes = bisection.majority(0.189, [5, 10, 20])
    np.testing.assert_allclose(votes, [0.0498, 0.0154, 0.000998], rtol=4e-3)


@pytest.mark.parametrize(
    ("sigma", "votes"), [(0.05, 1), (0.003, 1), (0.01, 3), (0.01, 51)]
)
def test_the_error_stays_near_0_7_of_the_noise(sigma, votes):
    """About 0.71 over places of the boundary; 0.62 to 0.77 from place to place."""
    ratios = bisection.rmse(PLACES, sigma, 12, votes)
    ratios = ratios / bisection.voted_sigma(sigma, votes)
    assert 0.62 <= ratios.min() <= ratios.max() <= 0.77
    assert np.sqrt(np.mean(ratios**2)) == pytest.approx(0.71, abs=0.025)


def test_information_rmse():
    points = [(s, n) for s in (1e-300, 0.3, 1e300) for n in (1, 64, 1e9)]
    assert_matches(
        bisection.information_rmse, lambda s, n: s * mp.sqrt(mp.pi / (2 * n)), points
    )
    # From the definition: the information of a label at the boundary, by differences.
    step, sigma = 1e-5, 0.01
    slope = (special.ndtr(step) - special.ndtr(-step)) / (2 * step * sigma)
    bound = bisection.information_rmse(sigma, 64)
    assert bound == pytest.approx(1 / np.sqrt(64 * slope**2 / 0.25), rel=1e-9)
    # Voted bisection at its best, over how it spends 64 labels.
    best = min(bisection.rmse(0.37, sigma, 64 // t, t) for t in range(4, 22))
    assert 2.0 < best / bound < 2.7


def test_voted_bisection_falls_behind_the_bound_without_end():
    """Root mean square over 16 places, the best number of halvings; s = 0.01."""
    factors = []
    for labels in (30, 100, 1000, 10_000):
        n = np.arange(4, 17)[:, None]
        errors = np.square(bisection.rmse(PLACES[:16], 0.01, n, labels // n))
        bound = bisection.information_rmse(0.01, labels)
        factors.append(np.sqrt(errors.mean(axis=1)).min() / bound)
    np.testing.assert_allclose(factors, [2.11, 2.33, 2.55, 2.68], atol=0.01)


@given(st.floats(0, 1), st.integers(1, 500))
def test_an_even_count_is_the_odd_one_below(rate, half):
    even, odd = bisection.majority(rate, [2 * half, 2 * half - 1])
    assert even == odd
    assert odd <= rate * (1 + 1e-13) if rate <= 0.5 else odd >= rate * (1 - 1e-13)


@given(st.floats(0, 1), st.floats(1e-9, 1e9), st.integers(1, 10), st.integers(1, 30))
def test_the_law_is_a_law_and_mirrors(boundary, sigma, halvings, votes):
    law = bisection.cells(boundary, sigma, halvings, votes)
    assert law.sum() == pytest.approx(1, abs=1e-12)
    if 1 - (1 - boundary) == boundary:
        mirrored = bisection.cells(1 - boundary, sigma, halvings, votes)[::-1]
        np.testing.assert_allclose(law, mirrored, rtol=1e-10, atol=1e-200)
    spread = bisection.rmse(boundary, sigma, halvings, votes) ** 2
    bias = bisection.mean_estimate(boundary, sigma, halvings, votes) - boundary
    assert spread >= bias**2 - 1e-14


@pytest.mark.parametrize("sigma", [0.0, 1e-300])
def test_without_noise_the_cell_is_the_right_one(sigma):
    assert bisection.cells(0.3, sigma, 6)[int(0.3 * 64)] == 1.0
    assert bisection.rmse(0.3, sigma, 6) == pytest.approx(19.5 / 64 - 0.3)
    # On the boundary itself a label is a coin.
    assert bisection.cells(0.5, sigma, 1).tolist() == [0.5, 0.5]


def test_shapes_of_cells():
    table = bisection.cells(np.array([[0.2], [0.4]]), np.array([0.1, 0.2, 0.3]), 5, 3)
    assert table.shape == (2, 3, 32)
    np.testing.assert_allclose(table[1, 2], bisection.cells(0.4, 0.3, 5, 3), rtol=1e-12)
    with pytest.raises(DomainError, match="expected halvings 5 as elsewhere, got 3"):
        bisection.cells(0.4, 0.1, [3, 5])
    # Elsewhere they may differ from element to element.
    mixed = bisection.rmse(0.4, 0.1, np.array([3, 5, 3]), np.array([1, 3, 5]))
    one_by_one = [bisection.rmse(0.4, 0.1, n, t) for n, t in ((3, 1), (5, 3), (3, 5))]
    np.testing.assert_allclose(mixed, one_by_one, rtol=1e-12)
