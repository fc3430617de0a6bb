"""N ATTACK against a loop over samples, for one image."""

from __future__ import annotations

import math

import pytest
import torch

from querytax import noise
from querytax.attacks.nattack import NAttackPlan
from querytax.expect import DomainError

IMAGE = torch.linspace(0.0, 1.0, 20)[None]
LABEL, SEED = torch.tensor([0]), 3
PLAN = NAttackPlan(eps=0.1, population=14, spread=0.3, step=0.5)


def flat(model):
    return lambda x: model(x.flatten(1))


def reference(model, plan, steps):
    """Li et al. 2019, algorithm 1, uphill: each question in order."""
    asked, origin = [], IMAGE[0].double()

    def draw(name, step, count):
        one = torch.tensor([0]), torch.tensor([step])
        return noise.normals(SEED, f"attack/{name}", *one, (count, 20))[0].double()

    mean = 1e-3 * draw("nattack/start", 0, 1)[0]
    for step in range(steps):
        losses, samples = [], draw("nattack", step, plan.population)
        for e in samples:
            z = mean + plan.spread * e
            if plan.latent == "image":
                # In float32 the published code too: the last bits matter near white.
                home = torch.atanh((2 * IMAGE[0] - 1) * (1 - 1e-6)).double()
                away = 0.5 * (torch.tanh(home + z) + 1) - origin
            else:
                away = plan.eps * torch.tanh(z)
            if plan.norm == "Linf":
                away = away.clamp(-plan.eps, plan.eps)
            else:
                away = away * min(1.0, plan.eps / float(away.norm()))
            asked.append((origin + away).clamp(0, 1))
            out = model(asked[-1][None])[0]
            losses.append(float(out[1] - out[0]))
        centre = sum(losses) / len(losses)
        deviation = math.sqrt(sum((v - centre) ** 2 for v in losses) / len(losses))
        change = torch.zeros(20).double()
        for value, e in zip(losses, samples, strict=True):
            change += (value - centre) / deviation * e
        mean = (1 - plan.forget) * mean
        mean = mean + plan.step / (plan.population * plan.spread) * change
    return torch.stack(asked).float()


@pytest.mark.parametrize(
    "change",
    [{}, {"norm": "L2"}, {"latent": "ball"}, {"latent": "ball", "forget": 0.3}],
)
def test_questions_are_the_published_algorithm(asked, halfspace, change):
    plan, model = PLAN.replace(**change), halfspace(20, margin=10.0)
    found = asked(model, IMAGE, LABEL, plan, 42, rng=SEED)
    expected = reference(model, plan, 3)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_every_sample_is_handed_in_and_a_run_ends_within_its_population(halfspace):
    from querytax.attacks import attack

    plan = PLAN.replace(population=300, latent="ball")
    model = halfspace(20, margin=0.005)
    result = attack(model, torch.full((1, 20), 0.5), LABEL, plan, n_queries=400)
    assert list(result.status) == ["broken"]
    assert result.confirmed.queries[0] <= 50
    assert plan.width == 300
    assert plan.least == 10


def test_coarse_samples_move_squares_together(asked, halfspace):
    image = torch.full((1, 1, 4, 4), 0.5)
    plan = PLAN.replace(block=2, latent="ball")
    found = asked(flat(halfspace(16, margin=10.0)), image, LABEL, plan, 40, rng=SEED)
    assert all(len(x.unique()) <= 4 for x in found)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"population": 1}, "population a whole number >= 2, got 1"),
        ({"spread": 0.0}, "spread > 0"),
        ({"step": 0.0}, "step > 0"),
        ({"latent": "pixels"}, "latent to be one of"),
        ({"block": 0}, "block a whole number >= 1"),
        ({"forget": 1.0}, r"forget in \[0, 1\)"),
    ],
)
def test_bad_settings_are_named(change, says):
    with pytest.raises(DomainError, match=f"expected {says}"):
        PLAN.replace(**change)
