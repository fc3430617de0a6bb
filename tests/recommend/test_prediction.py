"""Predicted queries, against a loop that shares no code with the predictor."""

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from synthetic_statistics import synthetic

from querytax.expect import DomainError
from querytax.plans import NESPlan
from querytax.recommend import published_plan
from querytax.recommend.attackers import Attacker
from querytax.recommend.prediction import PLACES, Predictor
from querytax.theory import drift as drifts


def naive_cosine(snr, rho, dimension, pairs):
    """Mean cosine of an estimate, by the integral over tanh of its angle's law."""
    share = rho**2 / (1 + 1 / snr)
    value = integrate.quad(
        lambda x: (
            (1 - x * x) ** ((dimension - 1) / 2)
            * (1 - share * x * x) ** (pairs / 2 - 1)
        ),
        -1,
        1,
        epsabs=0,
        epsrel=1e-12,
    )[0]
    length = math.exp(math.lgamma((pairs + 1) / 2) - math.lgamma(pairs / 2))
    return math.sqrt(share / math.pi) * length * value


def naive_path(c, a, norm, top):
    """Mean displacement step by step until it is at ``top`` or moves no more.

    In the box by the chances of a clipped walk's sites, in a ball of endless dimension
    by the squared distance from its centre.
    """
    path, chance = [0.0], np.zeros(round(2 / a) + 1)
    place, square = np.linspace(-1, 1, chance.size), 0.0
    chance[chance.size // 2] = 1.0
    while path[-1] < top:
        if norm == "Linf":
            high, low = chance * (1 + c) / 2, chance * (1 - c) / 2
            chance = np.zeros(chance.size)
            chance[1:] += high[:-1]
            chance[-1] += high[-1]
            chance[:-1] += low[1:]
            chance[0] += low[0]
            m = chance @ place
        else:
            square += 2 * a * c * path[-1] + a * a
            m = path[-1] + a * c
            if square > 1:
                m, square = m / math.sqrt(square), 1.0
        if m - path[-1] < 1e-10:
            return None
        path.append(m)
    return np.array(path)


def naive_queries(path, snr, rho, dimension, pairs, step, weights, norm="Linf"):
    """One image: steps of the mean path from one stage's begin to its end."""
    total, begin = 0.0, 0.0
    for share in weights:
        end = begin + path * share
        c = naive_cosine(snr, rho, dimension, pairs)
        way = naive_path(c, step, norm, end)
        if way is None:
            return math.inf
        total += np.diff(np.interp([begin, end], way, np.arange(way.size)))[0]
        begin = end
    return math.ceil(total) * (2 * pairs + 1)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_predicted_queries_are_the_naive_loops(norm):
    """Eight images of eight slopes and ways, at levels on and between the grid's."""
    rng = np.random.default_rng(3)
    slope, path = rng.lognormal(0, 1, 8), rng.uniform(0.05, 0.8, 8)
    rho = (1.0, 0.9, 0.6)
    stats = synthetic(
        slope=slope, path=path, alignment=rho, weights=(0.2, 0.3, 0.5), norm=norm
    )
    rule = "sign" if norm == "Linf" else "unit"
    reached = 0
    for probe, index in ((1e-3, 0), (0.01, 1), (0.1, 2)):
        plan = NESPlan(
            eps=0.1, norm=norm, probe=probe, pairs=7, step=0.004, step_rule=rule
        )
        predictor = Predictor(stats, "output", plan)
        for sigma in (0.0, 1e-5, 1e-3, 3e-3, 0.02, 0.1, 0.7):
            found = predictor.queries(plan, sigma, "upper")
            for i in range(8):
                snr = math.inf
                if sigma:
                    snr = (2 * probe * slope[i]) ** 2 / (2 * sigma**2)
                expected = naive_queries(
                    path[i], snr, rho[index], 64, 7, 0.04, (0.2, 0.3, 0.5), norm
                )
                # One step more or less, where the real number sits on a whole one or
                # where the ball's walk meets the sphere, and the law's own error.
                assert found[i] == expected or abs(found[i] - expected) <= 15 + (
                    5e-3 * expected
                )
                reached += math.isfinite(expected)
    assert reached > 80


def test_far_from_the_wall_noise_costs_the_square_root():
    stats = synthetic(path=0.01, sigmas=(0.0, 0.01, 1.0))
    plan = NESPlan(eps=0.1, probe=0.1, pairs=10, step=1e-7)
    predictor = Predictor(stats, "output", plan)
    clean = predictor.queries(plan, 0.0)[0]
    for sigma in (0.03, 0.1, 0.3):
        snr = (2 * 0.1) ** 2 / (2 * sigma**2)
        ratio = predictor.queries(plan, sigma)[0] / clean
        law = naive_cosine(math.inf, 1, 64, 10) / naive_cosine(snr, 1, 64, 10)
        assert ratio == pytest.approx(law, rel=2e-3)
        root = math.sqrt(1 + 64 / (10 + 64 + 1) / snr)
        assert ratio == pytest.approx(root, rel=0.02)


def test_the_best_attacker_pays_the_full_ratio_once_noise_rules():
    """He shortens his steps to raise the plateau: tenfold noise, hundredfold price."""
    stats = synthetic(betas=(0.01, 0.1), sigmas=(0.0, 0.01, 1.0, 10.0), dimension=256)
    predictor = Predictor(stats, "output", published_plan(stats))
    best = Attacker("best", predictor, 0.9)
    ratio = best.predicted(10.0)[0] / best.predicted(1.0)[0]
    assert ratio == pytest.approx(100, rel=0.15)


def test_signal_and_noise_count_by_their_ratio_alone():
    plan = NESPlan(eps=0.1)
    one = Predictor(synthetic(), "output", plan)
    steep = Predictor(synthetic(slope=2.0), "output", plan)
    loud = Predictor(synthetic(noise=8.0), "output", plan)
    for sigma in (0.002, 0.05, 0.3):
        expected = one.queries(plan, sigma)
        assert (steep.queries(plan, 2 * sigma) == expected).all()
        assert (loud.queries(plan, sigma / 2) == expected).all()


@settings(max_examples=60, deadline=None)
@given(
    slope=st.floats(1e-2, 1e2),
    path=st.floats(0.01, 1.0),
    step=st.floats(1e-3, 0.1),
    pairs=st.integers(1, 50),
    closer=st.floats(0.4, 1.0),
    norm=st.sampled_from(["Linf", "L2"]),
)
def test_more_noise_never_helps_and_readings_come_in_order(
    slope, path, step, pairs, closer, norm
):
    """For a diffuse attack that still has 40 % of its way to go."""
    stats = synthetic(slope=slope, path=path, wander=path * closer, norm=norm, n=2)
    plan = NESPlan(
        eps=0.1,
        norm=norm,
        pairs=pairs,
        step=step,
        step_rule="sign" if norm == "Linf" else "unit",
        probe=0.1,
    )
    predictor = Predictor(stats, "output", plan)
    sigmas = (0.0, 1e-4, 2e-3, 0.01, 0.05, 0.2, 1.0)
    for place in PLACES:
        counts = [predictor.queries(plan, s, place)[0] for s in sigmas]
        # A step more or less is rounding, and a walk that stalls short of the boundary
        # crosses by its fluctuations, which noise makes a little larger: by 6.5 % of
        # 8e9 queries where the way is the whole budget.
        slack = 0.0 if place == "upper" else 0.1
        for a, b in itertools.pairwise(counts):
            assert b >= (1.0 - slack) * a - 2 * pairs - 1
    for sigma in sigmas:
        low, middle, high = (predictor.queries(plan, sigma, p)[0] for p in PLACES)
        # The middle is a geometric mean, which rounds.
        assert low <= middle * (1 + 1e-12)
        assert middle <= high * (1 + 1e-12)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_best_attacker_never_needs_more_than_the_published(data):
    """At any level and for any statistics, of more images than the search looks at."""
    n = data.draw(st.sampled_from([1, 5, 300]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    stats = synthetic(
        n=n,
        slope=rng.lognormal(0, 2, n),
        path=np.where(rng.random(n) < 0.2, np.inf, rng.uniform(0.02, 1, n)),
        alignment=np.sort(rng.random(3))[::-1],
    )
    protect = data.draw(st.floats(0.05, 0.95))
    plan = NESPlan(
        eps=0.1,
        probe=data.draw(st.floats(1e-3, 0.1)),
        pairs=data.draw(st.integers(1, 100)),
        step=data.draw(st.floats(1e-4, 0.1)),
        step_rule=data.draw(st.sampled_from(["sign", "unit"])),
        loss=data.draw(st.sampled_from(["ce", "margin"])),
    )
    predictor = Predictor(stats, "output", plan)
    best, published = (
        Attacker(name, predictor, protect) for name in ("best", "published")
    )
    sigma = data.draw(st.sampled_from([0.0, 1e-4, 0.004, 0.1, 1.0]))
    theirs, his = published.predicted(sigma), best.predicted(sigma)
    assert all(b <= p for b, p in zip(his, theirs, strict=True))
    assert his[0] <= his[1] <= his[2]
    target = data.draw(st.floats(10, 1e6))
    assert best.protected(sigma, target) <= published.protected(sigma, target)
    if his[0] >= target:
        assert best.protected(sigma, target) >= protect - 1e-12


# -- how far the attack has to go -------------------------------------------------


def test_a_median_count_is_reproduced():
    rng = np.random.default_rng(0)
    stats = synthetic(n=33, path=rng.uniform(0.1, 0.6, 33))
    plan = NESPlan(eps=0.1, step=0.001)
    for base in (210, 2100, 5000):
        predictor = Predictor(stats, "output", plan, base)
        assert np.median(predictor.base) == pytest.approx(base, abs=21)
        # The order of the images is the path's.
        counts = predictor.base[np.argsort(stats.path_length)].tolist()
        assert counts == sorted(counts)
        assert predictor.notes == []


def test_counts_an_image_are_reproduced_and_failures_fall_back_to_the_path():
    stats = synthetic(path=[0.2, 0.3, 0.4, 0.5, 0.6, 0.7, np.inf, 0.3])
    plan = NESPlan(eps=0.1, step=0.001)
    base = np.array([21, 210, 420, 840, 1680, np.inf, np.inf, np.inf])
    predictor = Predictor(stats, "output", plan, base)
    np.testing.assert_allclose(predictor.base[:5], base[:5], atol=21)
    # The published attack failed; another may not.
    np.testing.assert_array_equal(predictor.displacement[5:], [0.7, np.inf, 0.3])
    assert np.isinf(predictor.base[6])


def test_without_gradients_counts_are_the_only_measure_of_the_way():
    stats = synthetic(path=np.nan, wander=np.nan)
    plan = NESPlan(eps=0.1, step=0.001)
    with pytest.raises(DomainError, match="base_queries for a model without gradients"):
        Predictor(stats, "output", plan)
    predictor = Predictor(stats, "output", plan, 420)
    np.testing.assert_allclose(predictor.base, 420, atol=21)
    counts = np.where(np.arange(8) < 4, 420.0, np.inf)
    predictor = Predictor(stats, "output", plan, counts)
    assert np.isinf(predictor.base[4:]).all()
    assert np.isfinite(predictor.queries(plan, 0.001)[:4]).all()


def test_a_count_that_cannot_be_matched_is_said():
    stats = synthetic(path=0.05)
    predictor = Predictor(stats, "output", NESPlan(eps=0.1, step=0.1), 1e9)
    assert "more than steps of 0.1 can spend" in predictor.notes[0]
    stats = synthetic(path=[0.1] * 2 + [np.inf] * 6)
    predictor = Predictor(stats, "output", NESPlan(eps=0.1), 500)
    assert "base_queries cannot be matched" in predictor.notes[0]


@pytest.mark.parametrize(
    ("base", "says"),
    [
        (-1.0, "expected base_queries > 0, got -1"),
        ([1.0, 2.0], r"one number or 8, one a probed image, got shape \(2,\)"),
        ([1.0] * 7 + [np.nan], "expected base_queries > 0"),
    ],
)
def test_bad_counts(base, says):
    with pytest.raises(DomainError, match=says):
        Predictor(synthetic(), "output", NESPlan(eps=0.1), base)


def test_a_diffuse_attack_is_nearer_but_for_the_upper_reading():
    plan = NESPlan(eps=0.1, step=0.01, probe=0.1)
    straight = Predictor(synthetic(path=0.3), "output", plan)
    closer = Predictor(synthetic(path=0.3, wander=0.15), "output", plan)
    for sigma in (0.0, 0.05):
        assert closer.queries(plan, sigma)[0] < straight.queries(plan, sigma)[0]
        assert (
            closer.queries(plan, sigma, "upper")
            == straight.queries(plan, sigma, "upper")
        ).all()


def test_the_better_signal_of_the_two_places_is_the_lower_reading():
    stats = synthetic()
    site = stats.site("output")
    site.signal[:, :, :, 1] *= 4.0
    reading = [
        Predictor(stats, "output", NESPlan(eps=0.1)).reading(0.03, p).snr[0, 0, 0, 0]
        for p in PLACES
    ]
    base = (2 * 1e-3) ** 2 / (2 * 0.03**2)
    np.testing.assert_allclose(reading, [4 * base, 2 * base, base])


def test_outside_the_probed_levels_and_sizes():
    stats = synthetic()
    predictor = Predictor(stats, "output", NESPlan(eps=0.1))
    with pytest.raises(DomainError, match="expected sigma <= 10, the largest probed"):
        predictor.queries(NESPlan(eps=0.1), 10.1)
    for probe in (1e-4, 0.2):
        with pytest.raises(DomainError, match=r"expected probe in \[0.001, 0.1\]"):
            predictor.queries(NESPlan(eps=0.1, probe=probe), 0.1)
    with pytest.raises(DomainError, match="expected place to be one of"):
        predictor.reading(0.1, "middle")


def test_step_rules_in_the_other_norm():
    """A unit step in the box is short; a sign step in the ball is long."""
    d = 64
    box, ball = synthetic(norm="Linf"), synthetic(norm="L2")
    for stats, rule, length in (
        (box, "sign", 0.01),
        (box, "unit", 0.01 / math.sqrt(d)),
        (ball, "sign", 0.01 * math.sqrt(d)),
        (ball, "unit", 0.01),
    ):
        plan = NESPlan(eps=0.1, norm=stats.norm, step=0.01, step_rule=rule)
        predictor = Predictor(stats, "output", plan)
        reading = predictor.at_probe(predictor.reading(0.0), plan)
        share = predictor.step_share(reading, plan, np.ones((2, 8)))
        assert share == pytest.approx(length / 0.1)


def test_a_plain_step_is_as_long_as_its_estimate():
    """E|g|^2 = slope^2 (d + p + 1 + d/S)/p for one image, rate and pairs alike."""
    stats = synthetic(slope=3.0, norm="L2")
    plan = NESPlan(eps=0.1, norm="L2", step=1e-3, step_rule="plain", pairs=5, probe=0.1)
    predictor = Predictor(stats, "output", plan)
    for sigma in (0.0, 0.1):
        noisy = 64 * 2 * sigma**2 / (2 * 0.1 * 3.0) ** 2
        length = 3.0 * math.sqrt((64 + 5 + 1 + noisy) / 5)
        reading = predictor.at_probe(predictor.reading(sigma), plan)
        drift = drifts.plain(reading.snr, 64, 5, reading.alignment)
        share = predictor.step_share(reading, plan, drift)
        np.testing.assert_allclose(share, 1e-3 * length / 0.1, rtol=1e-9)


@pytest.mark.parametrize("slope", [1e-150, 1e-3, 1e150])
@pytest.mark.parametrize("noise", [1e-300, 1.0, 1e300])
@pytest.mark.parametrize("rho", [0.0, 1e-200, 1.0])
def test_extremes_are_numbers_without_warnings(slope, noise, rho):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stats = synthetic(slope=slope, noise=noise, alignment=rho, n=2)
        for name in ("sign", "plain"):
            plan = NESPlan(eps=0.1, step_rule=name, probe=0.05)
            predictor = Predictor(stats, "output", plan)
            for who in ("published", "best"):
                for sigma in (0.0, 1e-9, 0.03, 1.0):
                    found = Attacker(who, predictor, 0.5).predicted(sigma)
                    assert not any(math.isnan(v) for v in found)
                    assert found[0] > 0
    if rho == 0.0:
        assert math.isinf(found[0])


def test_one_probe_size():
    stats = synthetic(betas=(0.01,))
    plan = published_plan(stats)
    predictor = Predictor(stats, "output", plan)
    three = Predictor(synthetic(), "output", plan)
    for sigma in (0.0, 0.02):
        one, many = (p.queries(plan, sigma) for p in (predictor, three))
        np.testing.assert_allclose(one, many, rtol=1e-12)
    assert Attacker("best", predictor, 0.9).plan(0.02).probe == 0.01
