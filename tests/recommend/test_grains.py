"""Walks by squares of pixels, against simulated ones, and steps that are guesses."""

import dataclasses
import math

import numpy as np
import pytest
from synthetic_statistics import synthetic

from querytax.expect import DomainError
from querytax.plans import NESPlan
from querytax.recommend import published_plan
from querytax.recommend.attackers import Attacker
from querytax.recommend.families import Field
from querytax.recommend.grains import grain_of, sides, widened
from querytax.recommend.portfolio import tuned
from querytax.recommend.prediction import PLACES, Predictor

RAW = "output:logits:raw"
SIDE, SIZE, EPS = 2, 16, 0.1


def squares(gradient, side=SIDE):
    parts = SIZE // side
    return gradient.reshape(parts, side, parts, side).sum((1, 3)).ravel()


def gradient(seed=0, fine=0.5):
    """Squares of one size each, and noise inside them."""
    rng = np.random.default_rng(seed)
    whole = np.repeat(np.repeat(rng.normal(size=(8, 8)), SIDE, 0), SIDE, 1)
    return whole + fine * rng.normal(size=(SIZE, SIZE))


def profile(entries):
    return np.quantile(np.abs(entries).ravel(), np.linspace(0.0, 1.0, 33))


def measured(g, gap, n=4, **changes):
    """Statistics of the linear loss ``g . x - gap`` in the box of EPS."""
    w = squares(g)
    width = np.linalg.norm(w) / np.linalg.norm(g)
    stats = synthetic(
        slope=np.linalg.norm(g),
        path=gap / (EPS * np.abs(g).sum()),
        dimension=g.size,
        shape=(1, SIZE, SIZE),
        n=n,
        eps=EPS,
        sites=(RAW,),
        **changes,
    )
    way = np.full((1, n), gap / (EPS * np.abs(w).sum()))
    return dataclasses.replace(
        stats,
        gradient_profile=np.tile(profile(g), (n, 1)),
        block_sides=(SIDE,),
        block_length=way,
        block_wander=way.copy(),
        block_width=np.full((1, 2, n), width),
        block_profile=np.tile(profile(w), (1, n, 1)),
    )


def simulated(g, gap, plan, sigma, runs, rng):
    """Steps of NES runs on that loss, answers of noise sigma; directions by squares."""
    x, steps = np.zeros((runs, SIZE, SIZE)), np.zeros(runs)
    left = np.arange(runs)
    parts = SIZE // plan.block
    while left.size:
        u = rng.normal(size=(left.size, plan.pairs, parts, parts))
        u = np.repeat(np.repeat(u, plan.block, 2), plan.block, 3)
        change = 2 * plan.probe * (u * g).sum((2, 3))
        change += math.sqrt(2.0) * sigma * rng.normal(size=change.shape)
        move = np.sign((change[:, :, None, None] * u).sum(1))
        x[left] = np.clip(x[left] + plan.step * move, -EPS, EPS)
        steps[left] += 1
        left = left[(x[left] * g).sum((1, 2)) < gap]
    return steps


@pytest.mark.parametrize("block", [1, SIDE])
@pytest.mark.parametrize("sigma", [0.0, 0.3])
def test_a_walk_takes_as_many_steps_as_a_simulated_one(block, sigma):
    """To 6 %: 400 runs (1 %), the law's own error, and its profile of 33 points."""
    g = gradient()
    gap = 0.35 * EPS * np.abs(g).sum()
    stats = measured(g, gap)
    plan = NESPlan(
        eps=EPS, pairs=8, step=0.01, step_rule="sign", probe=0.01, block=block
    )
    found = Predictor(stats, RAW, published_plan(stats)).queries(plan, sigma, "upper")
    steps = simulated(g, gap, plan, sigma, 400, np.random.default_rng(1))
    assert found[0] / 17 == pytest.approx(steps.mean(), rel=0.06)


def test_squares_are_the_better_choice_where_the_gradient_is_coarse():
    """And pixels where it is not: signs that change inside squares are out of reach."""
    coarse, fine = gradient(fine=0.1), gradient(fine=30.0)
    for g, block in ((coarse, SIDE), (fine, 1)):
        stats = measured(g, 0.5 * EPS * np.abs(g).sum())
        best = Attacker("best", Predictor(stats, RAW, published_plan(stats)), 0.5)
        assert best.plan(0.3).block == block
        told = dict(tuned(best.plan(0.3)).changes)
        assert told.get("block", 1) == block


def test_what_a_wider_direction_meets_is_what_a_larger_probe_meets():
    g = gradient()
    stats = measured(g, 0.1, signal=1.0)
    predictor = Predictor(stats, RAW, published_plan(stats))
    reading = predictor.reading(0.1)
    found = widened(reading, grain_of(stats, SIDE), stats.betas)
    width = np.square(stats.block_width[0, 0, 0])
    # The square of the size, up to the largest that was probed.
    np.testing.assert_allclose(found.snr[:, :2], width * reading.snr[:, :2], rtol=1e-9)
    np.testing.assert_allclose(found.snr[:, 2], reading.snr[:, 2], rtol=1e-9)
    assert widened(reading, grain_of(stats, 1), stats.betas) is reading


def test_readings_of_squares_come_in_order():
    g = gradient()
    stats = measured(g, 0.6 * EPS * np.abs(g).sum())
    stats = dataclasses.replace(stats, block_wander=0.7 * stats.block_length)
    predictor = Predictor(stats, RAW, published_plan(stats))
    plan = NESPlan(eps=EPS, step=0.02, block=SIDE, probe=0.1)
    for sigma in (0.0, 0.1, 1.0):
        low, middle, high = (predictor.queries(plan, sigma, p)[0] for p in PLACES)
        assert low <= middle <= high


def test_an_image_that_no_square_reaches_is_never_broken_by_squares():
    g = gradient()
    stats = measured(g, 0.3 * EPS * np.abs(g).sum())
    stats.block_length[0, 1] = np.inf
    predictor = Predictor(stats, RAW, published_plan(stats))
    plan = NESPlan(eps=EPS, step=0.02, block=SIDE)
    assert np.isinf(predictor.queries(plan, 0.0)).tolist() == [False, True] + 2 * [
        False
    ]


@pytest.mark.parametrize(
    ("plan", "base", "says"),
    [
        ({"block": 4}, None, "expected block among 1, 2, as probed, got 4"),
        ({"block": 2, "step_rule": "plain"}, None, "expected step_rule sign or unit"),
        ({"block": 2}, 100.0, "expected block 1 of a plan with base_queries, got 2"),
    ],
)
def test_bad_plans(plan, base, says):
    stats = measured(gradient(), 0.1)
    assert sides(stats) == (1, 2)
    with pytest.raises(DomainError, match=says):
        Predictor(stats, RAW, NESPlan(eps=EPS, **plan), base).queries(
            NESPlan(eps=EPS, **plan), 0.1
        )


# -- guesses ------------------------------------------------------------------------


def guessed(hits, kinds=("rows 2", "blocks 4")):
    """Outcomes of turns of two kinds: (tried,) of each image; the walk is endless."""
    g = gradient()
    stats = measured(g, 0.9 * EPS * np.abs(g).sum(), n=len(hits))
    outcomes = np.array(hits, dtype=bool)
    stats = dataclasses.replace(
        stats,
        blind_hits=outcomes.sum(1),
        blind_tried=outcomes.shape[1],
        blind_outcomes=outcomes,
        blind_turn=len(kinds),
        blind_kinds=kinds,
    )
    nes = Attacker("best", Predictor(stats, RAW, published_plan(stats)), 0.5)
    return stats, Field(stats, RAW, "nes", "scores", nes, 0.5)


def test_steps_across_the_budget_are_guesses_at_three_queries():
    row = [0, 0, 0, 1, 1, 0, 0, 1]  # the second of its blocks, the fourth of all
    stats, field = guessed([row] * 40)
    assert stats.blind_of().tolist() == [4.0] * 40
    assert stats.blind_of("blocks").tolist() == [2.0] * 40
    assert stats.blind_of("blocks 8") is None
    low, middle, high = field.predicted(10.0)
    assert (low, middle, high) == (6.0, 6.0, 6.0)
    plan = field.plan(10.0)
    assert (plan.pairs, plan.block, plan.step) == (1, SIDE, 2 * EPS)


def test_the_lower_reading_is_no_higher_than_guesses_of_any_kind():
    row = [0, 0, 1, 0, 0, 0]  # by the other kind alone
    _, field = guessed([row] * 40)
    low, middle, _ = field.predicted(10.0)
    assert low == 9.0
    assert middle > 1e3
