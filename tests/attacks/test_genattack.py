"""GenAttack against its generations, written down for one image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from querytax import noise
from querytax.attacks import attack
from querytax.attacks.genattack import GenAttackPlan
from querytax.expect import DomainError


def uniforms(stream, step, shape):
    key = torch.tensor([step])
    return noise.uniforms(0, f"attack/genattack/{stream}", 0 * key, key, shape)[0]


def bred(model, image, plan, n):
    """Questions of algorithm 1."""
    size, count = image.numel(), plan.population
    members = plan.eps * (2 * uniforms("first", 0, (count, size)) - 1)
    members, fitness, asked, generation = list(members), None, [], 0
    while len(asked) < n:
        new = members if fitness is None else members[1:]
        answers = []
        for member in new:
            asked.append((image + member).clamp(0.0, 1.0))
            logits = model(asked[-1][None])[0]
            answers.append(float(logits[1] - logits[0]))
        fitness = answers if fitness is None else [fitness, *answers]
        scores = np.array(fitness)
        elite = int(scores.argmax())
        weights = np.exp((scores - scores.max()) / plan.temperature)
        chances = weights / weights.sum()
        drawn = uniforms("parents", generation, (2, count - 1)).double().numpy()
        u = uniforms("child", generation, (3, count - 1, size))
        children = []
        for k in range(count - 1):
            one, two = np.searchsorted(chances.cumsum(), drawn[:, k], "right")
            share = chances[one] / (chances[one] + chances[two])
            child = torch.where(u[0, k] < share, members[one], members[two])
            change = plan.eps * plan.spread * (2 * u[2, k] - 1)
            child = child + torch.where(u[1, k] < plan.mutation, change, 0.0)
            children.append(child.clamp(-plan.eps, plan.eps))
        fitness = scores[elite]
        members = [members[elite], *children]
        generation += 1
    return torch.stack(asked[:n])


def test_it_breeds_as_published(halfspace, asked):
    model = halfspace(12, margin=10.0)
    image = torch.linspace(0.05, 0.95, 12)
    plan = GenAttackPlan(eps=0.1, mutation=0.3, spread=0.5)
    expected = bred(model, image, plan, 41)
    got = asked(model, image[None], torch.tensor([0]), plan, 41)
    torch.testing.assert_close(got, expected, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize(("incumbent", "each"), [("stale", 4), ("requery", 5)])
def test_the_best_survives(halfspace, asked, incumbent, each):
    model = halfspace(12, margin=10.0)
    plan = GenAttackPlan(eps=0.1, population=5, incumbent=incumbent)
    image = torch.full((1, 12), 0.5)
    got = asked(model, image, torch.tensor([0]), plan, 5 + 6 * each)
    values = got.double() @ model.weight.double()
    if incumbent == "requery":
        for k in range(6):
            before = values[5 * k : 5 * k + 5]
            assert torch.equal(got[5 * k + 5], got[5 * k + int(before.argmax())])
    else:
        assert values[5:].max() > values[:5].max()


def test_mutations_shrink_on_plateaus(halfspace, asked):
    """A model that never answers otherwise: all generations are plateaus."""
    plan = GenAttackPlan(eps=0.1, population=2, annealed=True, mutation=0.2, spread=0.1)
    x = torch.full((1, 200), 0.5)
    n = 2 + 650
    y = torch.tensor([0])
    got = asked(lambda x: 2.0 * torch.eye(2)[[0] * len(x)], x, y, plan, n)
    # With equal fitness the first stays the best, and each child is a mix of it and
    # the one before: what lies off both has mutated.
    first, off = got[0], []
    for before, child in pairwise(got[1:]):
        off.append(float(((child != first) & (child != before)).float().mean()))
    # A half at first, and 0.9 of that after each hundred without success.
    assert np.mean(off[:100]) == pytest.approx(0.5, abs=0.02)
    assert np.mean(off[320:400]) == pytest.approx(0.5 * 0.9**3, abs=0.02)


def test_a_small_space_is_enlarged(halfspace, asked):
    model = halfspace(64, margin=10.0)
    model.weight = model.weight.view(1, 8, 8)
    plan = GenAttackPlan(eps=0.1, side=2)
    image = torch.full((1, 1, 8, 8), 0.5)
    got = asked(model, image, torch.tensor([0]), plan, 11)
    # Bilinear between four corners: no second difference along a row or a column.
    assert got.diff(n=2, dim=3).abs().max() < 1e-6
    assert got.diff(n=2, dim=2).abs().max() < 1e-6


def test_a_target_and_the_incumbents_are_reached(halfspace):
    model = halfspace(12, margin=0.05)
    x, y = torch.full((2, 12), 0.5), torch.zeros(2, dtype=torch.int64)
    for incumbent in ("stale", "requery", "mean"):
        plan = GenAttackPlan(eps=0.3, incumbent=incumbent)
        hit = attack(model, x, y, plan, targets=1 - y, n_queries=400)
        assert hit.broken.success.all()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"population": 1}, "population a whole number >= 2"),
        ({"mutation": 0.0}, "mutation in \\(0, 1\\]"),
        ({"spread": 0.0}, "spread > 0"),
        ({"temperature": -1.0}, "temperature > 0"),
        ({"side": -1}, "side a whole number >= 0"),
        ({"incumbent": "old"}, "incumbent"),
    ],
)
def test_a_plan_is_checked(changes, match):
    with pytest.raises(DomainError, match=match):
        GenAttackPlan(eps=0.1, **changes)
