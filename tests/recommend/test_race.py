"""A race thins a field without losing the best, and says what it is missing."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats
from world import World

from querytax.evidence import Evidence, Trial
from querytax.recommend.portfolio import portfolio
from querytax.recommend.race import (
    EFFORTS,
    Race,
    Standing,
    Wanted,
    most_certifiable,
    race,
    share_bounds,
)

FIELD = portfolio("best")
SITE = "output:probabilities:reflect"
START = Trial(FIELD[0], 0.1, "Linf", "scores", SITE, 0.05, "calibration", 1, 1000)


def raced(world, effort="quick", field=FIELD, early=False, exposed=0.5):
    """Run what is wanted until nothing is; the race, and the calls that it took."""
    known, calls = [], 0
    while True:
        try:
            found = race(
                START,
                field,
                EFFORTS[effort],
                Evidence(known),
                exposed,
                images=world.images,
                early=early,
            )
        except Wanted as missing:
            known += [world.run(t) for t in missing.trials]
            calls += 1
        else:
            return found, calls


@pytest.mark.parametrize("effort", EFFORTS)
def test_every_entrant_is_tried_once_a_stage_and_ranked(effort):
    world = World(seed=3, images=500)
    found, calls = raced(world, effort)
    rungs = EFFORTS[effort].rungs
    assert calls == len(rungs) + 1
    assert len(world.asked) == len(set(world.asked))
    assert {s.contender for s in found.standings} == set(FIELD)
    assert found.field == len(FIELD)
    assert 0 < found.finalists < len(FIELD)
    last = found.standings[: found.finalists]
    assert all(s.images == EFFORTS[effort].images for s in last)
    assert all(s.n_queries == START.n_queries for s in last)
    # Who takes more than the exposed share soonest comes first; else who takes most.
    order = [(s.queries[1], -s.fell) for s in last]
    assert order == sorted(order)


def test_a_race_costs_a_third_of_the_grid_and_finds_the_same_best():
    same, spent, whole = 0, 0, 0
    for seed in range(20):
        world = World(seed=seed, images=64)
        found, _ = raced(world)
        spent += world.rows
        grid = World(seed=seed, images=64)
        trials = [
            grid.run(dataclasses.replace(START, contender=c, images=64)) for c in FIELD
        ]
        whole += grid.rows
        best = max(t.fell.success.sum() for t in trials)
        taken = max(s.fell for s in found.standings[: found.finalists])
        same += taken >= best
    # Rows that fall early are cheap in both: the grid is not 64 x 1,000 an attack.
    assert spent <= 0.35 * whole
    assert same >= 19


def test_it_ends_early_once_an_attack_surely_breaks_enough():
    world = World(seed=1, images=300, median=2.0, hopeless=0.0)
    found, calls = raced(world, early=True)
    assert found.falls()
    assert calls < 3
    assert found.finalists == 0
    assert found.verdict(0.5) == "falls"
    again, _ = raced(World(seed=1, images=300, median=2.0, hopeless=0.0))
    assert again.finalists > 0


def test_what_nobody_breaks_holds():
    found, _ = raced(World(seed=1, hopeless=1.0))
    assert not found.falls()
    assert found.verdict(0.5) == "holds"
    assert math.isinf(found.best.queries[1])
    assert found.best.fell == 0


def standing(fell, images=100, lost=0, broken=None):
    queries = (1.0, 2.0, 3.0)
    kept = fell if broken is None else broken
    return Standing(FIELD[0], images, 1000, fell, kept, lost, queries)


def test_one_of_many_must_break_more_to_be_believed():
    # 66 of 100 against a half: sure for one attack, luck for the best of forty.
    alone = Race(0.1, (standing(66),), 1, 1, 0.5)
    crowd = Race(0.1, (standing(66),), 1, 40, 0.5)
    assert alone.falls()
    assert not crowd.falls()
    assert crowd.verdict(0.5) == "open"
    # The strict count alone says that an attack works.
    assert not Race(0.1, (standing(66, broken=50),), 1, 1, 0.5).falls()


def test_crashes_are_no_success_of_a_defence():
    assert standing(30, images=100, lost=40).share[1] == 0.5
    low, share, high = standing(0, images=10, lost=10).share
    assert (low, share, high) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (0, 0), (57, 200)])
def test_bounds_of_a_share_are_clopper_and_pearsons(k, n):
    low, high = share_bounds(k, n, 0.03)
    if n:
        expected = stats.binomtest(k, n).proportion_ci(0.94, method="exact")
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    else:
        assert (low, high) == (0.0, 1.0)


@pytest.mark.parametrize(("n", "exposed"), [(10, 0.1), (60, 0.1), (300, 0.3), (5, 0.9)])
def test_the_most_that_may_fall_is_the_most(n, exposed):
    most = most_certifiable(n, exposed, 0.025)
    k = round(most * n)
    if most < 0:
        assert share_bounds(0, n, 0.025)[1] > exposed
    else:
        assert share_bounds(k, n, 0.025)[1] <= exposed
        assert share_bounds(k + 1, n, 0.025)[1] > exposed


def test_queries_of_a_share_cover_the_truth():
    rng, share, n, missed = np.random.default_rng(5), 0.3, 60, [0, 0]
    truth = np.exp(stats.norm.ppf(share))
    world = World(seed=0)
    trial = dataclasses.replace(START, images=n, n_queries=10**9)
    for _ in range(400):
        counts = np.exp(rng.normal(size=n))
        tried = world.run(trial)
        found = dataclasses.replace(tried.clean, queries=counts)
        found = dataclasses.replace(found, success=np.ones(n, bool))
        tried = dataclasses.replace(tried, confirmed=found, clean=found)
        low, middle, high = Standing.of(tried, share).queries
        assert low <= middle <= high
        missed[0] += truth < low
        missed[1] += truth > high
    # At most 2.5 % a side are missed; 26 of 400 would be one in 100,000.
    assert max(missed) < 26


def test_beyond_the_budget_nothing_is_known():
    trial = dataclasses.replace(START, images=50, n_queries=100)
    world = World(seed=0, hopeless=0.9)
    low, middle, high = Standing.of(world.run(trial), 0.5).queries
    assert math.isinf(middle)
    assert math.isinf(high)
    assert low > 0
