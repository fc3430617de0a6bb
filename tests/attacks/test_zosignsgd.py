"""ZO-signSGD against a loop over directions, for one image."""

from __future__ import annotations

import math

import pytest
import torch

from querytax import noise
from querytax.attacks.zosignsgd import ZOSignSGDPlan
from querytax.expect import DomainError

IMAGE, LABEL, SEED = torch.full((1, 20), 0.5), torch.tensor([0]), 3
PLAN = ZOSignSGDPlan(eps=0.05, probe=0.02, directions=4, step=0.01, loss="margin")


def flat(model):
    return lambda x: model(x.flatten(1))


def reference(model, plan, steps):
    """Liu et al. 2019, algorithm 1, uphill: each question in order."""
    x, asked, memory = IMAGE[0].double(), [], torch.zeros(20).double()

    def loss(point):
        asked.append(point)
        out = model(point[None])[0]
        return float(out[1] - out[0])

    for step in range(steps):
        one = torch.tensor([0]), torch.tensor([step])
        z = noise.normals(SEED, "attack/zosignsgd", *one, (plan.directions, 20))[0]
        base = loss(x)
        unit = [v.double() / v.double().norm() for v in z]
        length = plan.probe * math.sqrt(20)
        up = [loss(x + length * v) for v in unit]
        if plan.difference == "central":
            down = [loss(x - length * v) for v in unit]
            change = [0.5 * (a - b) for a, b in zip(up, down, strict=True)]
        elif plan.difference == "forward":
            change = [a - base for a in up]
        else:
            change = [a - sum(up) / len(up) for a in up]
        g = torch.zeros(20).double()
        for c, v in zip(change, unit, strict=True):
            estimate = 20 / length * c * v
            g += (estimate.sign() if plan.vote else estimate) / plan.directions
        if not plan.vote:
            memory = g = g + plan.momentum * memory
        x = x + plan.step * g.sign()
        x = x.clamp(IMAGE[0] - plan.eps, IMAGE[0] + plan.eps).clamp(0, 1)
    return torch.stack(asked).float()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"difference": "central"},
        {"difference": "mean"},
        {"vote": True},
        {"momentum": 0.5},
    ],
)
def test_questions_are_the_published_algorithm(asked, halfspace, change):
    plan, model = PLAN.replace(**change), halfspace(20, margin=10.0)
    n = 4 * (1 + plan.width)
    # Probes are asked only where the next iterate can be, too.
    found = asked(model, IMAGE, LABEL, plan, n + 1, rng=SEED)[:n]
    expected = reference(model, plan, 4)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_a_base_answer_is_the_iterate_inside_the_budget(asked, halfspace):
    plan = PLAN.replace(step=0.04)
    found = asked(halfspace(20, margin=10.0), IMAGE, LABEL, plan, 50, rng=SEED)
    base = found[::5]
    assert torch.equal(base[0], IMAGE[0])
    assert (base - IMAGE).abs().max() <= plan.eps * (1 + 1e-5)
    # Probes have one length, and move coarse squares together.
    away = (found[1:5] - base[0]).norm(dim=1)
    torch.testing.assert_close(away, torch.full((4,), 0.02 * math.sqrt(20)))
    image = torch.full((1, 1, 4, 4), 0.5)
    coarse = asked(
        flat(halfspace(16, margin=10.0)),
        image,
        LABEL,
        plan.replace(block=2),
        6,
        rng=SEED,
    )
    assert len(coarse[1].unique()) == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"probe": 0.0}, "probe > 0"),
        ({"directions": 0}, "directions a whole number >= 1, got 0"),
        (
            {"directions": 1, "difference": "mean"},
            "directions at least 2 for the mean, got 1",
        ),
        ({"step": -1.0}, "step > 0"),
        ({"difference": "backward"}, "difference to be one of"),
        ({"block": 0}, "block a whole number >= 1"),
        ({"momentum": 1.0}, r"momentum in \[0, 1\)"),
    ],
)
def test_bad_settings_are_named(change, says):
    with pytest.raises(DomainError, match=f"expected {says}"):
        PLAN.replace(**change)
