"""Real attacks held against predictions, on the demo network."""

import dataclasses
import json
import math

import numpy as np
import pytest

from querytax import demo
from querytax.plans import NESPlan
from querytax.proof import Trial, prove, trials_of
from querytax.recommend import recommend_sigma
from querytax.recommend.prediction import Predictor

PLAN = demo.PLAN.replace(step=0.03, probe=0.1)
BUDGET = 150


@pytest.fixture(scope="module")
def question(demo_stats):
    recommendations = [
        recommend_sigma(demo_stats, 900, protect=0.5, plan=PLAN, attacker=name)
        for name in ("published", "best")
    ]
    return demo_stats, recommendations, Predictor(demo_stats, "output", PLAN)


@pytest.fixture(scope="module")
def trials(demo_model, question):
    return proved(demo_model, question)


def proved(model, question, **more):
    x, y = (part[:12] for part in demo.digits().held_out)
    return prove(model, x, y, *question, budget=BUDGET, **more)


def test_no_noise_and_each_level_by_both_attackers(question, trials):
    stats, recommendations, predictor = question
    planned = trials_of(stats, recommendations, predictor)
    assert [(t.sigma, t.attacker) for t in trials] == [p[:2] for p in planned]
    assert [t.plan for t in trials] == [p[2] for p in planned]
    assert trials[0].sigma == 0.0
    assert {t.sigma for t in trials} == {0.0, *(r.sigma for r in recommendations)}
    assert {t.attacker for t in trials} == {"published", "best"}
    assert all(t.quantile == 0.5 and t.budget == BUDGET for t in trials)
    assert all(t.site == "output:probabilities:reflect" for t in trials)


def test_numbers_of_a_trial_hang_together(question, trials):
    _, _, predictor = question
    for t in trials:
        assert 0 < t.n_images <= 12
        assert t.predicted[0] <= t.predicted[2]
        assert t.interval[0] <= t.measured <= t.interval[1]
        assert 0 <= t.success_rate <= 1
        assert math.isinf(t.measured) or t.measured <= BUDGET
        queries = predictor.queries(t.plan, t.sigma)
        assert t.predicted[0] == np.quantile(queries, 0.5, method="lower")
        assert t.predicted_rate == (queries <= BUDGET).mean()
    assert trials[1].success_rate >= 0.5  # the best attack, without noise


def test_the_same_numbers_in_any_batch(demo_model, question, trials):
    assert proved(demo_model, question, batch_size=17) == trials
    assert proved(demo_model, question, rng=2) != trials


def test_a_trial_is_plain_json(trials):
    for trial in trials:
        plain = json.loads(json.dumps(trial.to_json(), allow_nan=False))
        assert plain["agrees"] == trial.agrees
        assert NESPlan(**plain["plan"]) == trial.plan
        for key in ("predicted", "interval"):
            given = [math.inf if v is None else v for v in plain[key]]
            assert tuple(given) == getattr(trial, key)


def trial(**values):
    return Trial(
        **{
            "site": "input",
            "sigma": 0.1,
            "attacker": "best",
            "plan": PLAN,
            "quantile": 0.5,
            "predicted": (100.0, 150.0, 200.0),
            "measured": 150.0,
            "interval": (120.0, 180.0),
            "confirmed": 160.0,
            "success_rate": 0.9,
            "confirmed_rate": 0.9,
            "predicted_rate": 0.9,
            "n_images": 60,
            "budget": 1000,
            "seed": 1,
            **values,
        }
    )


@pytest.mark.parametrize(
    ("predicted", "measured", "interval", "agrees"),
    [
        ((100, 150, 200), 150, (120, 180), True),
        ((100, 150, 200), 250, (200, 300), True),
        ((100, 150, 200), 250, (201, 300), False),
        ((100, 150, 200), 50, (20, 99), False),
        ((100, 150, 200), 50, (20, math.inf), True),
        # Nothing was broken: all that is known is "more than the budget".
        ((100, 150, 999), math.inf, (1000, math.inf), False),
        ((100, 150, 1000), math.inf, (1000, math.inf), True),
        ((5000, 6000, 7000), math.inf, (1000, math.inf), True),
        ((5000, 6000, 7000), math.inf, (math.inf, math.inf), True),
        ((math.inf,) * 3, math.inf, (math.inf, math.inf), True),
        ((math.inf,) * 3, 500, (300, 800), False),
        # Some were: the interval begins below the budget.
        ((100, 400, 700), math.inf, (600, math.inf), True),
        ((100, 400, 500), math.inf, (600, math.inf), False),
    ],
)
def test_agreement_is_overlap(predicted, measured, interval, agrees):
    one = trial(predicted=predicted, measured=measured, interval=interval)
    assert one.agrees is agrees


def test_a_trial_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        trial().sigma = 1.0
