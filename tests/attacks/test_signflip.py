"""SignFlip, held against a loop over one image."""

from __future__ import annotations

import pytest
import torch

from querytax import noise
from querytax.attacks.signflip import SignFlipPlan
from querytax.expect import DomainError

SHAPE = (1, 1, 16)


def draw(kind, stream, step):
    key, at = torch.tensor([0]), torch.tensor([step])
    return getattr(noise, kind)(0, f"attack/{stream}", key, at, SHAPE)[0]


def by_hand(model, x, n, plan):
    """Chen, Zhang, Hu & Wu 2020, Algorithm 1, for one image of label 0."""
    questions = []

    def holds(delta):
        questions.append((x + delta).clamp(0, 1))
        return bool(model(questions[-1][None]).argmax(1) == 1)

    def cut(delta, reach):
        return torch.clamp(delta, -reach, reach)

    tries = (draw("uniforms", "signflip/start", i) - x for i in range(100))
    start = next(delta for delta in tries if holds(delta))
    low, high, longest = 0.0, 1.0, float(start.abs().max())
    for _ in range(10):
        middle = (low + high) / 2
        if holds(cut(start, middle * longest)):
            high = middle
        else:
            low = middle
    delta, alpha = cut(start, high * longest), plan.step
    keep = torch.full(SHAPE, plan.keep)
    step, shrunk, flipped = 0, 0, 0
    while len(questions) < n:
        if plan.retreat and not holds(delta):
            delta = delta * (1 + plan.retreat)
        eta = alpha * draw("signs", "signflip/project", step)
        reach = float(delta.abs().max()) - alpha
        reach = max(reach, plan.eps) if plan.floor else reach
        smaller = cut(delta + eta, reach)
        if holds(smaller):
            delta, shrunk = smaller, shrunk + 1
        s = torch.ones(SHAPE)
        s[draw("uniforms", "signflip/flip", step) >= keep] = -1.0
        if holds(delta * s):
            delta, flipped = delta * s, flipped + 1
            keep = (keep - 1e-4 * s).clamp(plan.least_keep, plan.most_keep)
        step += 1
        if step % 10 == 0:
            alpha *= 1.5 if shrunk > 7 else 1 / 1.5 if shrunk < 3 else 1.0
            keep = keep - 0.001 * (flipped > 7) + 0.001 * (flipped < 3)
            keep = keep.clamp(plan.least_keep, plan.most_keep)
            shrunk = flipped = 0
    return torch.stack(questions[:n])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"keep": 0.8, "least_keep": 0.5, "step": 0.02},
        {"keep": 0.9, "least_keep": 0.5, "step": 0.02, "floor": True, "retreat": 0.1},
    ],
)
def test_the_questions_are_the_algorithms(asked, halfspace, settings):
    model, x = halfspace(16, margin=0.2), torch.full((1, *SHAPE), 0.5)
    plan = SignFlipPlan(eps=0.01, **settings)
    got = asked(model, x, torch.tensor([0]), plan, 150)
    want = by_hand(model, x[0], 150, plan)
    torch.testing.assert_close(got, want, rtol=0, atol=2e-6)


def test_draws_may_be_coarser_than_the_image(asked, halfspace):
    model, x = halfspace(16, margin=0.2), torch.full((1, 1, 4, 4), 0.5)
    model.weight = model.weight.view(4, 4)
    plan = SignFlipPlan(eps=0.01, resize=2.0, bisections=3)
    got = asked(model, x, torch.tensor([0]), plan, 80)
    assert len(got) == 80
    assert got.min() >= 0
    assert got.max() <= 1


@pytest.mark.parametrize(
    "bad",
    [
        {"step": 0.0},
        {"keep": 1.0},
        {"least_keep": 0.99999},
        {"resize": 0.5},
        {"bisections": 0},
        {"retreat": -1.0},
    ],
)
def test_a_bad_setting_is_named(bad):
    with pytest.raises(DomainError, match=next(iter(bad))):
        SignFlipPlan(eps=0.1, **bad)
