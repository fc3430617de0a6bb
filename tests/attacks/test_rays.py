"""RayS, held against loops over one image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from querytax import demo
from querytax.attacks import attack, find
from querytax.attacks.rays import RaySPlan
from querytax.defenses import OutputNoise
from querytax.expect import DomainError


def by_hand(fooled, x, n, tolerance=1e-3, eps=0.0, floor=False, retreat=0.0):
    """Chen & Gu 2020, Algorithms 2 and 3, in numpy."""
    d, questions = x.size, []
    sign, best, stage = np.ones(d), math.inf, 0

    def holds(radius, direction):
        questions.append(np.clip(x + radius * direction, 0.0, 1.0))
        return fooled(questions[-1])

    while len(questions) < n:
        size = math.ceil(d / 2**stage)
        for begin in range(0, d, size):
            if retreat and best < math.inf and not holds(best, sign):
                best = min(1.0, best * (1.0 + retreat))
            attempt = sign.copy()
            attempt[begin : begin + size] *= -1.0
            high = min(best, 1.0)
            if not holds(high, attempt):
                continue
            low = 2 * eps - high if floor else 0.0
            while high - low > tolerance / math.sqrt(d):
                if floor and high <= eps:
                    break
                middle = (low + high) / 2.0
                if holds(middle, attempt):
                    high = middle
                else:
                    low = middle
            if high < best or (floor and high <= eps):
                best, sign = high, attempt
        if size > 1:
            stage += 1
    return np.stack(questions[:n])


def saying(model):
    def fooled(x):
        row = torch.from_numpy(x).float().view(1, -1)
        return bool(model(row).argmax(1) == 1)

    return fooled


@pytest.mark.parametrize("d", [16, 13])
def test_the_questions_are_the_algorithms(asked, halfspace, d):
    model, x = halfspace(d), torch.full((1, d), 0.5)
    got = asked(model, x, torch.tensor([0]), RaySPlan(eps=1e-3), 300)
    want = by_hand(saying(model), np.full(d, 0.5), 300)
    np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=1e-6)


def test_with_a_floor_the_budget_is_asked_first(asked, halfspace):
    model, x = halfspace(16, margin=0.3), torch.full((1, 16), 0.5)
    plan = RaySPlan(eps=0.05, floor=True, tolerance=0.1, retreat=0.1)
    got = asked(model, x, torch.tensor([0]), plan, 60)
    options = {"tolerance": 0.1, "eps": 0.05, "floor": True, "retreat": 0.1}
    want = by_hand(saying(model), np.full(16, 0.5), 60, **options)
    np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=1e-6)
    away = (got - 0.5).abs().amax(1)
    assert away.min() == pytest.approx(0.05, abs=1e-6)
    assert (away < 0.051).any()


def test_every_answer_inside_the_budget_is_handed_in():
    model = demo.load_model()
    x, y = (part[:20] for part in demo.digits().held_out)
    result = attack(model, x, y, "rays", eps=0.3, n_queries=500)
    assert (result.confirmed.queries == result.submitted.queries)[
        result.confirmed.success
    ].all()


def test_the_adaptive_form_is_stronger_under_noise():
    x, y = (part[:60] for part in demo.digits().held_out)
    medians = []
    for recipe in ("published", "adaptive"):
        model = OutputNoise(demo.load_model(), 0.2, experiment_seed=1)
        result = attack(model, x, y, "rays", eps=0.3, n_queries=600, recipe=recipe)
        medians.append(result.broken.quantile())
    assert medians[1] < medians[0]


@pytest.mark.parametrize("bad", [{"tolerance": 0.0}, {"retreat": -0.1}, {"eps": 0.0}])
def test_a_bad_setting_is_named(bad):
    with pytest.raises(DomainError, match=next(iter(bad))):
        RaySPlan(**{"eps": 0.1, **bad})


def test_euclidean_balls_are_refused():
    with pytest.raises(DomainError, match="norm of rays"):
        find("rays").recipe("published", 1.0, "L2", (1, 8, 8))
