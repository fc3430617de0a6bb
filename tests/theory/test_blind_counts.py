"""Counts of adversarial patterns: unbiased, and intervals that hold."""

from fractions import Fraction
from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from scipy import stats

from querytax.expect import DomainError
from querytax.theory import blind, blind_counts

# Each test of coverage fails with probability 1e-6 at worst where the interval holds.
FALSE_ALARM = 1e-6


def exact(hits, tried, queries):
    ways = [
        Fraction(comb(n - k, queries), comb(n, queries))
        for k, n in zip(hits, tried, strict=True)
    ]
    return float(sum(ways) / len(ways))


def test_survival_in_fractions():
    hits, tried, t = [0, 1, 7, 60, 100], [100, 130, 100, 250, 100], np.arange(101)
    wanted = [exact(hits, tried, int(n)) for n in t]
    found = blind_counts.survival(hits, tried, t)
    np.testing.assert_allclose(found, wanted, rtol=1e-13)
    many = exact([2], [10**6], 3000)
    assert blind_counts.survival([2], 10**6, 3000) == pytest.approx(many, rel=1e-13)


def test_survival_is_unbiased():
    """Over every count of hits, weighed by its chance; the plug-in is not."""
    p, n = np.array([0.001, 0.03, 0.4]), 50
    k = np.arange(n + 1)
    chance = stats.binom.pmf(k[:, None], n, p)
    for t in (1, 10, 50):
        found = blind_counts.survival(k[:, None], n, t)
        np.testing.assert_allclose(
            found @ chance, blind.survival(p[:, None], t), rtol=1e-11, atol=1e-300
        )
    plug_in = blind.survival((k / n)[:, None], 50) @ chance
    assert plug_in[1] > 1.5 * blind.survival([0.03], 50)


def test_error_is_that_of_fresh_images():
    """2000 samples of 30 images: standard deviation of the mean within 10 %."""
    rng = np.random.default_rng(2)
    p = 10 ** rng.normal(-2.5, 1.0, (2000, 30)).clip(-9, 0)
    hits = rng.binomial(200, p)
    spread = blind_counts.survival(hits, 200, 100).std()
    found = np.sqrt(np.mean(np.square(blind_counts.error(hits, 200, 100))))
    assert found == pytest.approx(spread, rel=0.1)
    assert blind_counts.error([4], [10], 3) == np.inf


def populations():
    rng = np.random.default_rng(3)
    some = rng.random(20_000)
    return {
        "spread": 10 ** rng.normal(-2.5, 1.2, 20_000).clip(-9, 0),
        "half immune": np.where(some < 0.5, 0.0, rng.beta(0.5, 3.0, 20_000)),
        "all or none": (some < 0.4) * 1.0,
        "alike": np.full(20_000, 0.01),
        "rare": np.where(some < 0.08, 0.5, 1e-5),
    }


SHARES, TRIED = np.array([0.05, 0.25, 0.45]), 200


def check_coverage(truth, sampled):
    """200 samples: a side that misses more than 2.5 % by chance alone is allowed.

    A side that misses 15 % or more is caught with probability .95.
    """
    low, high = np.zeros(3), np.zeros(3)
    for _ in range(200):
        lower, value, upper = sampled()
        assert np.all((lower >= 1) & (lower <= value) & (value <= upper))
        assert np.all((lower <= TRIED) & ((upper <= TRIED) | (upper == np.inf)))
        low, high = low + (lower > truth), high + (upper < truth)
    allowed = stats.binom.isf(FALSE_ALARM / 6, 200, 0.025)
    assert stats.binom.cdf(allowed, 200, 0.15) < 0.05
    assert max(low.max(), high.max()) <= allowed


@pytest.mark.parametrize("images", [60, 6, 2])
@pytest.mark.parametrize("name", list(populations()))
def test_the_interval_holds(name, images):
    p, rng = populations()[name], np.random.default_rng(7)

    def sampled():
        hits = rng.binomial(TRIED, rng.choice(p, images))
        return blind_counts.interval(hits, TRIED, SHARES)

    check_coverage(blind.queries(p, SHARES), sampled)


def test_the_interval_is_hardly_wider_than_the_normal_one():
    """60 images of 300 patterns: S(t) ± 1.96 errors, inverted, in decades."""
    rng = np.random.default_rng(8)
    p, t = populations()["spread"], np.arange(1.0, 301.0)
    mine, normal = [], []
    for _ in range(20):
        hits = rng.binomial(300, rng.choice(p, 60))
        lower, _, upper = blind_counts.interval(hits, 300, 0.3)
        s = blind_counts.survival(hits, 300, t)
        half = 1.96 * blind_counts.error(hits, 300, t)
        ends = [t[np.argmax(s - half <= 0.7)], t[np.argmax(s + half <= 0.7)]]
        if upper < np.inf and np.any(s + half <= 0.7):
            mine.append(np.log10(upper / lower))
            normal.append(np.log10(ends[1] / ends[0]))
    assert len(mine) > 10
    assert 1.0 <= np.mean(mine) / np.mean(normal) <= 1.2


def test_luck_gives_no_narrow_interval():
    """Images that all agree: Clopper and Pearson's ends on images."""
    for images in (1, 2, 10, 60):
        none = 0.025 ** (1.0 / images)
        # With no hit at all S may be as low as that; no count is refuted below it.
        hits, most = np.zeros(images), 1.0 - none
        wide = blind_counts.interval(hits, 100, most + 1e-9)
        assert wide == (100.0, np.inf, np.inf)
        assert blind_counts.interval(hits, 100, most - 1e-9)[0] == 1.0
        # With hits alone it may be as high as 1 less that.
        hits = np.full(images, 100)
        assert blind_counts.interval(hits, 100, none - 1e-9) == (1.0, 1.0, 1.0)
        assert blind_counts.interval(hits, 100, none + 1e-9) == (1.0, 1.0, np.inf)


def test_one_image():
    """Clopper and Pearson hold at every p: their chance to miss, summed exactly."""
    n, k = 40, np.arange(41)
    lower, value, upper = blind_counts.image_interval(k, n, 0.5)
    assert np.all((lower <= value) & (value <= upper))
    assert value[0] == upper[0] == np.inf
    assert lower[n] == value[n] == 1
    for p in np.geomspace(1e-4, 0.99, 60):
        truth, chance = blind.queries([p], 0.5), stats.binom.pmf(k, n, p)
        assert chance @ (lower > truth) <= 0.025 + 1e-12
        assert chance @ (upper < truth) <= 0.025 + 1e-12


def test_one_image_by_fractions():
    for k, n, share in ((1, 10, 0.5), (3, 1000, 0.5), (7, 100, 0.9), (5, 5, 0.2)):
        value = blind_counts.image_interval(k, n, share)[1]
        wanted = Fraction(1) - Fraction(share)
        left = [Fraction(comb(n - k, t), comb(n, t)) for t in range(n + 1)]
        assert value == next(t for t in range(1, n + 1) if left[t] <= wanted)


# Kinds of pattern that come in turns.


def by_hand(queries, outcomes, turn):
    """Every way to draw as many of each kind as the attack has come to."""
    total = Fraction(0)
    for row in outcomes:
        left = Fraction(1)
        for j in range(turn):
            kind = row[j::turn]
            drawn = len(range(j, queries, turn))
            ways = list(combinations(kind, drawn))
            left *= Fraction(sum(not any(way) for way in ways), len(ways))
        total += left
    return float(total / len(outcomes))


@pytest.mark.parametrize("turn", [1, 2, 3, 4, 11, 10**12])
def test_scheduled_survival_by_all_draws(turn):
    rng = np.random.default_rng(4)
    hit = rng.random((6, 11)) < rng.random((6, 1)) * np.linspace(0.7, 0.1, 11)
    found = blind_counts.scheduled_survival(hit, turn, np.arange(12))
    wanted = [by_hand(t, hit.tolist(), min(turn, 11)) for t in range(12)]
    np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-300)
    assert np.all(np.diff(found) <= 0)


def test_scheduled_survival_is_unbiased():
    """Over all 2^9 outcomes, by their chances; the plain one is far too slow."""
    p, turn = np.array([0.6, 0.1, 0.02]), 3
    t = np.arange(10)
    drawn = np.array([[len(range(j, n, turn)) for j in range(turn)] for n in t])
    truth = np.prod((1 - p) ** drawn, axis=1)
    each = np.array(list(product([0, 1], repeat=9)))
    chance = np.prod(np.where(each, np.tile(p, 3), 1 - np.tile(p, 3)), axis=1)
    found = blind_counts.scheduled_survival(each[:, None], turn, t[:, None])
    np.testing.assert_allclose(found @ chance, truth, rtol=1e-12)
    plain = blind_counts.survival(each.sum(1)[:, None], 9, t[:, None]) @ chance
    assert plain[1] > 1.5 * truth[1]


def test_one_kind_is_no_schedule():
    rng = np.random.default_rng(5)
    hit = rng.random((20, 70)) < 10 ** rng.uniform(-3, -0.3, (20, 1))
    hits, t, sure = hit.sum(1), np.arange(71), [[0.9], [0.99]]
    one = blind_counts.scheduled_survival(hit, 1, t)
    np.testing.assert_allclose(one, blind_counts.survival(hits, 70, t), rtol=1e-13)
    one = blind_counts.scheduled_interval(hit, 1, SHARES, sure)
    plain = blind_counts.interval(hits, 70, SHARES, sure)
    np.testing.assert_array_equal(one, plain)


TURN = 8


def schedules():
    """Chances by image and kind, the best kinds first."""
    rng = np.random.default_rng(6)
    p = populations()["spread"][:, None]
    best = np.geomspace(8.0, 0.1, TURN)
    own = rng.lognormal(0.0, 1.0, (len(p), TURN))
    return {
        "best first": (p * best).clip(0, 1),
        "own best": (p * best * own).clip(0, 1),
        "one kind": np.where(np.arange(TURN) == 2, 20 * p, 0.0).clip(0, 1),
        "alike": np.full((20_000, TURN), 0.01),
    }


@pytest.mark.parametrize("images", [60, 6])
@pytest.mark.parametrize("name", list(schedules()))
def test_the_scheduled_interval_holds(name, images):
    p, rng = schedules()[name], np.random.default_rng(9)
    kind, curve = np.arange(4000) % TURN, np.zeros(4001)
    for part in np.split(p, 20):
        left = np.log1p(-np.minimum(part, 1 - 1e-16))
        rounds = np.cumsum(np.take(left, kind, axis=1), axis=1)
        curve += np.append(len(part), np.exp(rounds).sum(0))
    truth = np.array([np.argmax(curve / len(p) <= 1 - q) for q in SHARES], dtype=float)
    truth[truth == 0] = np.inf

    def sampled():
        some = p[rng.integers(len(p), size=images)]
        hit = rng.random((images, TRIED)) < some[:, kind[:TRIED]]
        return blind_counts.scheduled_interval(hit, TURN, SHARES)

    check_coverage(truth, sampled)


def test_scheduled_places():
    rng = np.random.default_rng(10)
    hit = rng.random((4, 1, 5, 30)) < 0.1
    ends = blind_counts.scheduled_interval(
        hit, [1, 3, 16], [[0.2], [0.6], [0.3], [0.6]]
    )
    assert {x.shape for x in ends} == {(4, 3)}
    one = blind_counts.scheduled_interval(hit[3, 0], 16, 0.6)
    assert tuple(x[3, 2] for x in ends) == one
    curve = blind_counts.scheduled_survival(hit, [1, 3, 16], [[[0]], [[7]]])
    assert curve.shape == (2, 4, 3)
    assert curve[1, 2, 1] == blind_counts.scheduled_survival(hit[2, 0], 3, 7)


def test_domains():
    for call, message in (
        (lambda: blind_counts.interval([3, 11], 10, 0.5), "hits at most tried, got 11"),
        (lambda: blind_counts.survival([3, 4], [30, 10], 11), "queries at most tried"),
        (
            lambda: blind_counts.scheduled_survival([[0, 1]], 1, 3),
            "at most tried, got 3",
        ),
        (lambda: blind_counts.scheduled_survival([[0.5, 1]], 1, 1), "outcomes a whole"),
        (
            lambda: blind_counts.scheduled_interval(np.zeros((3, 0)), 1, 0.5),
            "outcomes not empty",
        ),
    ):
        with pytest.raises(DomainError, match=message):
            call()
