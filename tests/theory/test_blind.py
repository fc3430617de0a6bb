"""Blind guesses against exact recursions and attacks played out by their definition."""

import mpmath as mp
import numpy as np
import pytest

from querytax.expect import DomainError
from querytax.theory import blind

# Each comparison with played attacks errs with probability 7e-6.
ERRORS = 4.5


def recursion(success, false_alarm, votes, most):
    """w(0) to w(most) in 40 digits."""
    with mp.workdps(40):
        s, f = mp.mpf(success), mp.mpf(false_alarm)
        w = [mp.mpf(1)] * (votes + 1)
        while len(w) <= most:
            w.append((1 - s - f) * w[-1] + f * w[-1 - votes])
        return w


CHANCES = [
    *((0.3, 0.05, 9), (0.01, 0.05, 9), (1e-6, 0.3, 9), (1e-3, 0.9985, 9)),
    *((1.0, 0.0, 3), (0.0, 0.4, 5), (0.5, 0.5, 3), (0.2, 0.8, 9), (1e-9, 1e-12, 1)),
    *((0.9, 0.1 - 1e-9, 25), (1e-3, 0.0, 9), (0.4, 0.2, 1), (0.05, 1e-200, 7)),
    (0.03, 0.4, 99),
]


@pytest.mark.parametrize(("success", "false_alarm", "votes"), CHANCES)
def test_confirmed_survival_against_the_recursion(success, false_alarm, votes):
    """Slow mixing included, where nearly every guess is called adversarial."""
    exact = recursion(success, false_alarm, votes, 5000)
    t = np.r_[np.arange(120), 500, 999, 2048, 5000]
    found = blind.confirmed_survival([success], [false_alarm], votes, t)
    for at, value in zip(t, found, strict=True):
        assert abs(value - exact[at]) <= max(2e-13 * exact[at], 1e-290), at


def test_confirmed_survival_over_images():
    s, f = [0.3, 0.02, 0.0], [0.1, 0.5, 0.2]
    ways = [recursion(a, b, 5, 300) for a, b in zip(s, f, strict=True)]
    mean = np.array(ways, dtype=float).mean(axis=0)
    t = np.arange(301).reshape(7, 43)
    found = blind.confirmed_survival(s, f, 5, t)
    np.testing.assert_allclose(found, mean[t], rtol=1e-13)
    both = blind.confirmed_survival([s, s[::-1]], [f, f[::-1]], [5, 1], [[40], [80]])
    np.testing.assert_allclose(both[:, 0], mean[[40, 80]], rtol=1e-13)
    assert np.all(both[:, 1] < both[:, 0])


def test_confirmed_queries_against_the_recursion():
    rng = np.random.default_rng(1)
    for _ in range(20):
        images, votes = rng.integers(1, 6), int(rng.choice([1, 3, 9, 15]))
        s = 10 ** rng.uniform(-2.5, -0.5, images)
        f = rng.uniform(0, 1, images) * (1 - s)
        ways = [recursion(a, b, votes, 3000) for a, b in zip(s, f, strict=True)]
        mean = np.array(ways, dtype=float).mean(axis=0)
        share = rng.uniform(0.02, min(0.9, 1 - mean[-1]))
        first = np.flatnonzero(mean <= 1 - share)[0]
        assert blind.confirmed_queries(s, f, votes, share) == first


def test_confirmed_mean_is_the_sum_of_the_survival():
    for *chances, votes in [(0.3, 0.05, 9), (0.05, 0.9, 3), (1.0, 0.0, 5)]:
        total = blind.confirmed_survival(*chances, votes, np.arange(4000)).sum()
        assert blind.confirmed_mean(*chances, votes) == pytest.approx(total, rel=1e-11)
    assert blind.confirmed_mean(0.0, 0.1, 9) == np.inf


def test_success_and_false_alarm():
    """They part what is called adversarial; majorities by exact binomial sums."""
    rate = np.array([1e-12, 0.03, 0.4, 0.5, 0.9, 1.0])

    def confirmed(x, votes):
        most = range(votes // 2 + 1, votes + 1)
        return x * mp.fsum(
            mp.binomial(votes, i) * x**i * (1 - x) ** (votes - i) for i in most
        )

    for votes in (1, 3, 9, 21):
        s = blind.success(rate[:, None], votes)
        f = blind.false_alarm(rate[:, None], votes)
        np.testing.assert_allclose(s + f, rate, rtol=1e-14)
        with mp.workdps(40):
            exact = [float(confirmed(mp.mpf(q), votes)) for q in rate]
        np.testing.assert_allclose(s, exact, rtol=1e-13)
    whole = blind.success(rate, 21)
    assert whole == pytest.approx(s.mean(), rel=1e-14)


def played(rng, rate, votes, attacks, guesses):
    """Queries of attacks played out label by label; inf where none was confirmed.

    ``rate`` holds the chance of an adversarial label, images by patterns.
    """
    image = rng.integers(0, len(rate), attacks)
    asked, done = np.zeros(attacks), np.full(attacks, np.inf)
    for _ in range(guesses):
        q = rate[image, rng.integers(0, rate.shape[1], attacks)]
        called = rng.random(attacks) < q
        yes = (rng.random((attacks, votes)) < q[:, None]).sum(axis=1)
        asked += 1 + votes * called
        sure = called & (2 * yes > votes) & (done == np.inf)
        done[sure] = asked[sure]
    return done


@pytest.fixture(scope="module")
def population():
    """Margins of 40 images by 500 patterns, under noise of their own size."""
    rng = np.random.default_rng(3)
    margin = rng.normal(rng.uniform(-0.5, 3.5, (40, 1)), 1.0, (40, 500))
    return 1.0 / (1.0 + np.exp(3.0 * margin))


@pytest.mark.parametrize("votes", [1, 9])
def test_against_played_attacks(population, votes):
    """4000 attacks: what is found by the law's quantiles, and up to 800 queries."""
    done = played(np.random.default_rng(4), population, votes, 4000, 800)
    s, f = blind.success(population, votes), blind.false_alarm(population, votes)
    for share in (0.1, 0.25, 0.5, 0.75):
        t = blind.confirmed_queries(s, f, votes, share)
        assert t < 800
        assert blind.confirmed_survival(s, f, votes, t) <= 1 - share
        assert blind.confirmed_survival(s, f, votes, t - 1) > 1 - share
    t = np.unique(np.geomspace(1, 800, 25).astype(int))
    law = blind.confirmed_survival(s, f, votes, t)
    share = (done > t[:, None]).mean(axis=1)
    error = np.sqrt(law * (1 - law) / 4000)
    assert np.all(np.abs(share - law) <= ERRORS * error + 1e-12)


def test_plain_guesses_against_played_ones_and_in_logarithms():
    rng = np.random.default_rng(5)
    p = 10 ** rng.normal(-2.0, 1.0, 300).clip(-6, -0.1)
    first = rng.geometric(rng.choice(p, 20_000))
    t = np.array([1, 10, 100, 1000, 10_000])
    law = blind.survival(p, t)
    share = (first > t[:, None]).mean(axis=1)
    assert np.all(np.abs(share - law) <= ERRORS * np.sqrt(law * (1 - law) / 20_000))
    p = [1e-300, 1e-12, 0.5, 1.0]
    t = np.array([0, 1, 2, 10**12])
    with mp.workdps(400):
        exact = [float(mp.fsum((1 - mp.mpf(x)) ** int(n) for x in p) / 4) for n in t]
    np.testing.assert_allclose(blind.survival(p, t), exact, rtol=1e-14)


def test_queries_of_single_images():
    p = np.array([1.0, 0.5, 0.1, 1e-3, 1e-9])
    found = blind.queries(p[:, None], 0.5)
    with mp.workdps(40):
        exact = [1, 1, *(float(mp.ceil(mp.log(0.5) / mp.log1p(-x))) for x in p[2:])]
    np.testing.assert_array_equal(found, exact)
    # Ties are counts reached, whatever a rounding says.
    assert blind.queries([0.5], 0.75) == 2
    assert blind.queries([0.1], 1 - 0.9**7) == 7
    # A share far below the rounding of 1.
    assert blind.queries([1e-25], 1e-20) == pytest.approx(1e5, abs=1)
    found = blind.confirmed_queries([1e-25], 0.2, 9, 1e-20)
    assert found == pytest.approx(1e-20 * blind.confirmed_mean(1e-25, 0.2, 9), rel=1e-3)


def test_shares_that_are_never_reached():
    p = [1.0, 0.5, 0.0, 0.0]
    assert blind.queries(p, 0.25) == 1
    assert blind.queries(p, 0.49) == 5
    assert blind.queries(p, 0.5) == np.inf
    assert blind.queries([1.0, 1.0, 0.0, 0.0], 0.5) == 1
    assert blind.queries([1e-20], 0.5) == np.inf
    assert blind.confirmed_queries(p, 0.0, 9, 0.25) == 10
    assert blind.confirmed_queries(p, 0.0, 9, 0.5) == np.inf
    assert blind.confirmed_queries([0.0], 0.5, 9, 0.1) == np.inf
    assert blind.confirmed_survival([0.0], 0.5, 9, 2**53) == 1


def test_domains():
    with pytest.raises(DomainError, match="expected votes odd, got 4"):
        blind.success([0.5], 4)
    with pytest.raises(DomainError, match=r"expected votes a whole number .* 999"):
        blind.confirmed_mean(0.1, 0.1, 1001)
    with pytest.raises(DomainError, match="expected false_alarm at most 1 - success"):
        blind.confirmed_survival([0.6], [0.5], 9, 3)
    with pytest.raises(DomainError, match="expected queries a whole number"):
        blind.confirmed_survival([0.1], 0.0, 9, 1e17)
    # A mean of chances may pass 1 by a rounding.
    assert blind.confirmed_survival([0.7], [0.3 + 1e-16], 9, 10) == pytest.approx(0.3)
