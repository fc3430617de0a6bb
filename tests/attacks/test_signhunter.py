"""SignHunter against its algorithm, written down for one image."""

from __future__ import annotations

import math

import pytest
import torch

from querytax import noise
from querytax.attacks import attack
from querytax.attacks.signhunter import SignHunterPlan
from querytax.expect import DomainError


def hunted(model, image, plan, n):
    """Questions of algorithm 2; later passes are rolled by a keyed share."""
    size, shape = image.numel(), image.shape
    reach = plan.eps if plan.norm == "Linf" else plan.eps / size**0.5

    def at(sign):
        change = reach * sign.view(shape)
        return (image + change).clamp(0.0, 1.0)

    def loss(x):
        logits = model(x[None])[0]
        return float(logits[1] - logits[0])

    sign, asked, turn = torch.ones(size), [], 0
    while len(asked) < n:
        asked.append(at(sign))
        best = loss(asked[-1])
        key = torch.tensor([turn])
        u = noise.uniforms(0, "attack/signhunter", 0 * key, key, (1,))[0]
        roll = int(u.double() * size) if turn else 0
        for h in range(math.ceil(math.log2(size)) + 1):
            chunk = math.ceil(size / 2**h)
            for i in range(2**h):
                if i * chunk >= size:
                    break
                trial = torch.roll(sign, roll)
                trial[i * chunk : (i + 1) * chunk] *= -1.0
                trial = torch.roll(trial, -roll)
                asked.append(at(trial))
                if loss(asked[-1]) >= best:
                    best, sign = loss(asked[-1]), trial
        turn += 1
    return torch.stack(asked[:n])


@pytest.mark.parametrize("size", [16, 11])
@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.1), ("L2", 0.3)])
def test_it_hunts_as_published(halfspace, asked, norm, eps, size):
    model = halfspace(size, margin=10.0)
    image = torch.linspace(0.05, 0.95, size)
    plan = SignHunterPlan(eps=eps, norm=norm)
    expected = hunted(model, image, plan, 70)
    got = asked(model, image[None], torch.tensor([0]), plan, 70)
    torch.testing.assert_close(got, expected, rtol=0.0, atol=1e-6)


def test_a_linear_model_is_solved_in_one_pass(halfspace, asked):
    """After a pass each sign is that of the gradient: the corner FGSM would find."""
    model = halfspace(16, margin=10.0)
    plan = SignHunterPlan(eps=0.1)
    image = torch.full((1, 16), 0.5)
    runs = len(list(plan.runs(16)))
    assert runs == 31
    got = asked(model, image, torch.tensor([0]), plan, 2 + runs + 31)
    rise = (got.double() @ model.weight.double()).amax()
    best = float(
        (image[0] + 0.1 * model.weight.sign()).double() @ model.weight.double()
    )
    assert float(rise) == pytest.approx(best, abs=1e-7)


@pytest.mark.parametrize("finest", [1, 3, 4, 100])
def test_runs_are_no_shorter_than_the_finest(finest):
    plan = SignHunterPlan(eps=0.1, finest=finest)
    runs = list(plan.runs(50))
    assert runs[0] == (0, 50)
    whole = [end - begin for begin, end in runs if end < 50]
    assert min(whole, default=50) >= min(finest, 50)


def test_a_target_and_the_incumbents_are_reached(halfspace):
    model = halfspace(12, margin=0.05)
    x, y = torch.full((2, 12), 0.5), torch.zeros(2, dtype=torch.int64)
    for incumbent in ("stale", "requery", "mean"):
        plan = SignHunterPlan(eps=0.2, incumbent=incumbent)
        hit = attack(model, x, y, plan, targets=1 - y, n_queries=200)
        assert hit.broken.success.all()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"finest": 0}, "finest a whole number >= 1"),
        ({"incumbent": "best"}, "incumbent"),
    ],
)
def test_a_plan_is_checked(changes, match):
    with pytest.raises(DomainError, match=match):
        SignHunterPlan(eps=0.1, **changes)
