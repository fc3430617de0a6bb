"""SPSA against a loop over pairs and torch's own Adam, for one image."""

from __future__ import annotations

import pytest
import torch

from querytax import noise
from querytax.attacks.spsa import SPSAPlan
from querytax.expect import DomainError

IMAGE, LABEL, SEED = torch.full((1, 20), 0.5), torch.tensor([0]), 3
PLAN = SPSAPlan(eps=0.05, probe=0.02, pairs=3, step=0.01)


def flat(model):
    return lambda x: model(x.flatten(1))


def reference(model, plan, steps):
    """Uesato et al. 2018, algorithm 1, with Adam: each question in order."""
    x = IMAGE[0].double().clone().requires_grad_()
    betas = (plan.momentum, plan.decay)
    adam = torch.optim.Adam([x], lr=plan.step, betas=betas, maximize=True)
    asked = []

    def loss(point):
        asked.append(point.detach().clone())
        out = model(point.detach()[None])[0]
        return float(out[1] - out[0])

    for step in range(steps):
        one = torch.tensor([0]), torch.tensor([step])
        v = noise.signs(SEED, "attack/spsa", *one, (plan.pairs, 20))[0].double()
        up = [loss(x + plan.probe * row) for row in v]
        down = [loss(x - plan.probe * row) for row in v]
        x.grad = torch.zeros_like(x)
        for a, b, row in zip(up, down, v, strict=True):
            x.grad += (a - b) / (2 * plan.probe) / row / plan.pairs
        adam.step()
        with torch.no_grad():
            x.clamp_(0.5 - plan.eps, 0.5 + plan.eps)
        loss(x)
    return torch.stack(asked).float()


@pytest.mark.parametrize("change", [{}, {"momentum": 0.5, "decay": 0.9}])
def test_questions_are_the_published_algorithm(asked, halfspace, change):
    plan, model = PLAN.replace(**change), halfspace(20, margin=10.0)
    found = asked(model, IMAGE, LABEL, plan, 12 * 7, rng=SEED)
    expected = reference(model, plan, 12)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    # Long enough to meet the rim of the budget.
    iterates = found[6::7] - 0.5
    assert (iterates.abs() > 0.0499).any()


def test_coarse_signs_move_squares_together(asked, halfspace):
    image = torch.full((1, 2, 5, 4), 0.5)
    plan = PLAN.replace(block=2, norm="L2", eps=0.1)
    found = asked(flat(halfspace(40, margin=10.0)), image, LABEL, plan, 21, rng=SEED)
    probes = (found[:3] - 0.5) / plan.probe
    one = torch.tensor([0]), torch.tensor([0])
    v = noise.signs(SEED, "attack/spsa", *one, (3, 2, 3, 2))[0]
    torch.testing.assert_close(probes[:, :, ::2, ::2], v)
    torch.testing.assert_close(probes[:, :, 1::2, 1::2], v[:, :, :2])
    assert (found[6::7] - 0.5).flatten(1).norm(dim=1).max() <= 0.1 * (1 + 1e-5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"probe": 0.0}, "probe > 0"),
        ({"pairs": 0}, "pairs a whole number >= 1, got 0"),
        ({"step": 0.0}, "step > 0"),
        ({"momentum": 1.0}, r"momentum in \[0, 1\)"),
        ({"decay": -0.1}, r"decay in \[0, 1\)"),
        ({"block": 0}, "block a whole number >= 1"),
    ],
)
def test_bad_settings_are_named(change, says):
    with pytest.raises(DomainError, match=f"expected {says}"):
        PLAN.replace(**change)
