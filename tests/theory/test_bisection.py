"""Votes and bisection against mpmath, enumeration, simulation and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from querytax.expect import DomainError
from querytax.theory import bisection, boundary

from .reference import assert_matches, grid


def binomial_tail(p, votes):
    """More than half of the votes wrong, and half of a tie."""
    t = int(votes)
    weight = [mp.binomial(t, i) * p**i * (1 - p) ** (t - i) for i in range(t + 1)]
    tie = weight[t // 2] / 2 if t % 2 == 0 else 0
    return sum(weight[t // 2 + 1 :]) + tie


RATES = (0.0, *grid(1e-300, 0.5, 14), 0.9, 1 - 1e-9, 1.0)


def test_majority():
    points = [(p, t) for p in RATES for t in (1, 2, 3, 4, 11, 20, 101, 1000)]
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


def enumerated(radius, sigma, halvings, votes):
    """Law of the returned cell: every path of answers, one at a time."""
    laws = {}
    for path in range(2**halvings):
        low, width, chance = mp.mpf(0), mp.mpf(1), mp.mpf(1)
        for step in range(halvings):
            width /= 2
            up = path >> (halvings - 1 - step) & 1
            z = (low + width - radius) / sigma
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


@pytest.mark.parametrize(("radius", "sigma", "halvings", "votes"), CASES)
def test_bisection(radius, sigma, halvings, votes):
    with mp.workdps(50):
        exact = enumerated(mp.mpf(radius), mp.mpf(sigma), halvings, votes)
        mean = sum(x * p for x, p in exact.items())
        rmse = mp.sqrt(sum((x - mp.mpf(radius)) ** 2 * p for x, p in exact.items()))
        law = [float(exact[x]) for x in sorted(exact)]
    arguments = (radius, sigma, halvings, votes)
    found = bisection.cells(*arguments)
    np.testing.assert_allclose(found, law, rtol=1e-12, atol=2.3e-308)
    assert bisection.mean(*arguments) == pytest.approx(float(mean), rel=1e-12)
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
    radii = 0.3 + 0.4 * (np.arange(64) * 0.6180339887498949 % 1)
    ratios = bisection.rmse(radii, sigma, 12, votes)
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
    information = slope**2 / 0.25
    bound = bisection.information_rmse(sigma, 64)
    assert bound == pytest.approx(1 / np.sqrt(64 * information), rel=1e-9)
    # Voted bisection at its best, over how it spends 64 labels.
    best = min(bisection.rmse(0.37, sigma, 64 // t, t) for t in range(4, 22))
    assert 2.0 < best / bound < 2.7


def test_voted_bisection_falls_behind_the_bound_without_end():
    """Root mean square over 16 places, the best number of halvings; s = 0.01."""
    places = 0.3 + 0.4 * (np.arange(16) * 0.6180339887498949 % 1)
    factors = []
    for labels in (30, 100, 1000, 10_000):
        errors = [
            np.sqrt(np.mean(bisection.rmse(places, 0.01, n, labels // n) ** 2))
            for n in range(4, 17)
        ]
        factors.append(min(errors) / bisection.information_rmse(0.01, labels))
    np.testing.assert_allclose(factors, [2.11, 2.33, 2.55, 2.68], atol=0.01)


def test_bisection_against_simulation():
    """2·10⁵ bisections of 8 steps, 4 votes, ties at random; four standard errors."""
    rng = np.random.default_rng(5)
    radius, sigma, trials = 0.37, 0.04, 200_000
    low, width = np.zeros(trials), 1.0
    for _ in range(8):
        width /= 2
        noise = sigma * rng.standard_normal((trials, 4))
        wins = (noise < (low + width - radius)[:, None]).sum(axis=1)
        adversarial = (wins > 2) | ((wins == 2) & (rng.random(trials) < 0.5))
        low += np.where(adversarial, 0.0, width)
    error = low + width / 2 - radius
    assert error.std() / np.sqrt(trials) < 1e-4
    assert bisection.mean(radius, sigma, 8, 4) == pytest.approx(
        radius + error.mean(), abs=4e-4
    )
    rmse = np.sqrt(np.mean(error**2))
    assert bisection.rmse(radius, sigma, 8, 4) == pytest.approx(rmse, rel=0.012)


def test_voted_sigma_is_the_slope_of_the_votes():
    step = 1e-6
    for votes in (1, 5, 21):
        rise = bisection.majority(special.ndtr(step), votes) - 0.5
        slope = rise / step * np.sqrt(2 * np.pi)
        assert bisection.voted_sigma(1.0, votes) == pytest.approx(1 / slope, rel=1e-7)


@given(st.floats(0, 1), st.integers(1, 500))
def test_an_even_count_is_the_odd_one_below(rate, half):
    even, odd = bisection.majority(rate, [2 * half, 2 * half - 1])
    assert even == odd
    assert odd <= rate * (1 + 1e-13) if rate <= 0.5 else odd >= rate * (1 - 1e-13)


@given(st.floats(0, 1), st.floats(1e-9, 1e9), st.integers(1, 10), st.integers(1, 30))
def test_the_law_is_a_law_and_mirrors(radius, sigma, halvings, votes):
    law = bisection.cells(radius, sigma, halvings, votes)
    assert law.sum() == pytest.approx(1, abs=1e-12)
    if 1 - (1 - radius) == radius:
        mirrored = bisection.cells(1 - radius, sigma, halvings, votes)[::-1]
        np.testing.assert_allclose(law, mirrored, rtol=1e-10, atol=1e-200)
    spread = bisection.rmse(radius, sigma, halvings, votes) ** 2
    assert (
        spread >= (bisection.mean(radius, sigma, halvings, votes) - radius) ** 2 - 1e-14
    )


def test_without_noise_the_cell_is_the_right_one():
    law = bisection.cells(0.3, 1e-300, 6)
    assert law[int(0.3 * 64)] == 1.0
    assert bisection.rmse(0.3, 1e-300, 6) == pytest.approx(19.5 / 64 - 0.3)
    # On the boundary itself a label is a coin.
    assert bisection.cells(0.5, 1e-300, 1).tolist() == [0.5, 0.5]
    assert boundary.flip(0.0, 1e-300) == 0.5


def test_shapes():
    radii, sigmas = np.array([[0.2], [0.4]]), np.array([0.1, 0.2, 0.3])
    table = bisection.cells(radii, sigmas, 5, 3)
    assert table.shape == (2, 3, 32)
    alone = bisection.cells(0.4, 0.3, 5, 3)
    np.testing.assert_allclose(table[1, 2], alone, rtol=1e-12)
    mixed = bisection.rmse(0.4, 0.1, np.array([3, 5, 3]), np.array([1, 3, 5]))
    one_by_one = [bisection.rmse(0.4, 0.1, n, t) for n, t in ((3, 1), (5, 3), (3, 5))]
    np.testing.assert_allclose(mixed, one_by_one, rtol=1e-12)


def test_domains():
    with pytest.raises(DomainError, match="expected halvings a whole number <= 20"):
        bisection.rmse(0.5, 0.1, 21)
    with pytest.raises(DomainError, match=r"expected radius in \[0, 1\], got 1.5"):
        bisection.mean(1.5, 0.1, 3)
    with pytest.raises(DomainError, match=r"expected rate in \[0, 1\], got 1.1"):
        bisection.majority(1.1, 3)
