"""Records of pure noise against exact integers and the sheet."""

from itertools import product

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import records

from .reference import assert_matches

COUNTS = (1, 2, 3, 10, 127, 128, 129, 1000, 5000, 10**6, 1e12, 1e100, 1e300)


def test_moments():
    points = [(q,) for q in COUNTS[1:]]
    assert records.accepted_mean(1) == records.accepted_variance(1) == 0.0
    assert_matches(
        records.accepted_mean, lambda q: mp.digamma(q + 1) + mp.euler - 1, points
    )
    assert_matches(
        records.accepted_variance,
        lambda q: mp.digamma(q + 1) + mp.euler - mp.pi**2 / 6 + mp.polygamma(1, q + 1),
        points,
    )


def stirling(count):
    row = [0, 1]
    for q in range(2, count + 1):
        row = [a + (q - 1) * b for a, b in zip([0, *row], [*row, 0], strict=True)]
    return row


@pytest.mark.parametrize("count", [1, 2, 7, 128, 129, 500])
def test_the_law_of_accepted_steps(count):
    most = count if count <= 128 else count // 2
    n = np.arange(most)
    found = records.log_accepted(n, count)
    row = stirling(count)
    with mp.workdps(50):
        for value, share in zip(found, row[1:], strict=False):
            true = mp.log(mp.mpf(share) / mp.factorial(count))
            assert abs(value - true) <= 1e-12 * max(1, abs(true))
    chance = np.exp(found)
    # Independent verdicts of chance 1/k, in turn.
    by_turns = np.ones(1)
    for k in range(2, count + 1):
        by_turns = np.convolve(by_turns, [1 - 1 / k, 1 / k])
    np.testing.assert_allclose(chance, by_turns[:most], rtol=1e-10, atol=1e-290)
    assert chance.sum() == pytest.approx(1, abs=1e-12)
    assert chance @ n == pytest.approx(records.accepted_mean(count), rel=1e-11)
    assert chance @ np.sqrt(n) == pytest.approx(records.accepted_root(count), rel=1e-11)


def test_the_law_of_very_many_answers():
    """It sums to 1, with the moments of the other laws; and falls to its last term."""
    for count in (1e5, 1e12, 1e100, 1e300):
        mean = records.accepted_mean(count)
        n = np.arange(0, int(min(mean + 20 * np.sqrt(mean) + 20, count / 2 - 1)))
        chance = np.exp(records.log_accepted(n, count))
        assert chance.sum() == pytest.approx(1, abs=1e-11)
        assert chance @ n == pytest.approx(mean, rel=1e-11)
        spread = chance @ (n - mean) ** 2
        assert spread == pytest.approx(records.accepted_variance(count), rel=1e-10)
        root = records.accepted_root(count)
        assert chance @ np.sqrt(n) == pytest.approx(root, rel=1e-11)
    # A handful of records among very many: (ln Q)^n/(n! Q), to first order.
    found = records.log_accepted(1, 1e300)
    with mp.workdps(50):
        exact = mp.log(mp.harmonic(mp.mpf(10) ** 300 - 1)) - mp.log(mp.mpf(1e300))
    assert found == pytest.approx(float(exact), rel=1e-13)


def test_accepted_root():
    """By the integral over the transform, in mpmath."""

    def exact(q):
        if q <= 200:
            row = stirling(int(q))
            whole = mp.factorial(int(q))
            return mp.fsum(mp.sqrt(r) * n for r, n in enumerate(row[1:])) / whole

        def inside(y):
            z = mp.exp(-y * y)
            log = mp.loggamma(q + z) - mp.loggamma(1 + z) - mp.loggamma(q + 1)
            return -mp.expm1(log) / y**2

        top = mp.mpf(12)
        body = mp.quad(inside, [0, 0.3, 1.5, 4, top])
        return (body + (1 - 1 / q) / top) / mp.sqrt(mp.pi)

    points = [(q,) for q in (2, 10, 128, 129, 5000)]
    assert records.accepted_root(1) == 0.0
    assert_matches(records.accepted_root, exact, points, digits=25)


def test_best_of():
    def exact(q):
        def inside(x):
            return x * q * mp.npdf(x) * mp.ncdf(x) ** (q - 1)

        return mp.quad(inside, mp.linspace(-12, 0, 5)) + mp.quad(
            inside, mp.linspace(0, 16, 9)
        )

    points = [(q,) for q in (2, 3, 10, 100, 10**4)]
    assert_matches(records.best_of, exact, points, digits=20)
    assert records.best_of(1) == 0.0
    assert records.best_of(10) == pytest.approx(1.54, abs=0.005)

    def far(q):
        # x = (y/b + b), b near the level: the greatest is exponential about it.
        level = mp.findroot(
            lambda x: mp.log(mp.erfc(x / mp.sqrt(2)) / 2) + mp.log(q),
            mp.sqrt(2 * mp.log(q)),
        )

        def chance(x):
            return mp.exp(-q * mp.erfc(x / mp.sqrt(2)) / 2)

        low = level - 12 / level
        above = mp.quad(lambda x: 1 - chance(x), mp.linspace(level, level + 3, 7))
        below = mp.quad(chance, mp.linspace(low, level, 5))
        return level + above - below

    assert_matches(records.best_of, far, [(1e100,), (1e300,)], digits=40)


def test_known_numbers():
    counts = [5000, 10_000, 20_000]
    mean, root = records.accepted_mean(counts), records.accepted_root(counts)
    np.testing.assert_allclose(mean, [8.0945, 8.7876, 9.4807], atol=5e-5)
    np.testing.assert_allclose(0.2 * root, [0.5604, 0.5846, 0.6078], atol=5e-5)


@given(st.integers(2, 10**9))
def test_orders(count):
    assert records.accepted_root(count) <= np.sqrt(records.accepted_mean(count))
    assert records.accepted_variance(count) <= records.accepted_mean(count)
    assert records.best_of(count) <= np.sqrt(2 * np.log(count))


def test_ties():
    """All rows of four answers of three values, counted; then as exact sums."""
    chances = np.array([0.5, 0.3, 0.2])
    mean = 0.0
    for row in product(range(3), repeat=4):
        bests = sum(row[k] > max(row[:k]) for k in range(1, 4))
        mean += bests * np.prod(chances[list(row)])
    assert records.accepted_mean_tied(chances, 4) == pytest.approx(mean, rel=1e-12)

    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.dirichlet(np.full(6, 0.2))
        p /= p.sum()
        for q in (1, 2, 7, 10**6, 1e12):
            with mp.workdps(60):
                values = [mp.mpf(float(x)) for x in p]
                below = [sum(values[:j], mp.mpf(0)) / sum(values) for j in range(6)]
                exact = sum(
                    x * f * (1 - f ** (mp.mpf(q) - 1)) / (1 - f)
                    for x, f in zip(values, below, strict=True)
                    if x
                )
            found = records.accepted_mean_tied(p, q)
            assert found == pytest.approx(float(exact), rel=1e-11)


def test_many_rare_values_are_no_ties():
    chances = np.full(10**5, 1e-5)
    for q in (1, 2, 50):
        found = records.accepted_mean_tied(chances, q)
        assert found == pytest.approx(records.accepted_mean(q), rel=1e-3)
        assert found <= records.accepted_mean(q)
    # Two values: one step at most.
    assert records.accepted_mean_tied([0.5, 0.5], 1e300) == pytest.approx(0.5)
    assert records.accepted_mean_tied([[1.0, 0.0], [0.0, 1.0]], 9).tolist() == [0, 0]


def test_domains():
    for n, count in ((10, 10), (70, 130)):
        with pytest.raises(DomainError, match="expected accepted below queries, below"):
            records.log_accepted(n, count)
    with pytest.raises(DomainError, match="expected chances to add up to 1"):
        records.accepted_mean_tied([0.5, 0.6], 3)
