"""The Boundary attack, held against a loop over one image."""

from __future__ import annotations

import pytest
import torch

from querytax import noise
from querytax.attacks.boundary import BoundaryPlan
from querytax.expect import DomainError

D = 16


def draw(kind, stream, step):
    key, at = torch.tensor([0]), torch.tensor([step])
    return getattr(noise, kind)(0, f"attack/{stream}", key, at, (D,))[0]


def by_hand(model, x, n, plan):
    """Brendel, Rauber & Bethge 2018, Algorithm 1, for one image of label 0."""
    questions, spherical, steps = [], [], []

    def holds(at):
        questions.append(at)
        return bool(model(at[None]).argmax(1) == 1)

    tries = (draw("uniforms", "boundary/start", i) for i in range(100))
    start = next(at for at in tries if holds(at))
    low, high = 0.0, 1.0
    while high - low > plan.tolerance:
        middle = (low + high) / 2
        if holds(x + middle * (start - x)):
            high = middle
        else:
            low = middle
    best, delta, epsilon, step = (
        x + high * (start - x),
        plan.orthogonal,
        plan.towards,
        0,
    )
    while len(questions) < n:
        if plan.retreat and not holds(best):
            best = (x + (1 + plan.retreat) * (best - x)).clamp(0, 1)
        size = (best - x).norm()
        toward = (x - best) / size
        noise_ = draw("normals", "boundary", step).view(D)
        noise_ = noise_ - (noise_ @ toward) * toward
        aside = best + delta * size * noise_ / noise_.norm()
        # Back on the sphere.
        aside = x + (aside - x) * size / (aside - x).norm()
        aside = aside.clamp(0, 1)
        if plan.floor and size <= plan.eps * (1 + 1e-6):
            goal = size
        else:
            goal = (1 - epsilon) * size
        nearer = x + (aside - x) * min(1.0, goal / (aside - x).norm())
        look = step % plan.every == 0
        if look:
            spherical.append(holds(aside))
        hit = holds(nearer)
        if look:
            steps.append(hit)
        if hit:
            best = nearer
        step += 1
        if not look:
            continue
        if len(spherical) >= plan.window:
            rate = sum(spherical[-plan.window :]) / plan.window
            scale = plan.factor if rate > 0.5 else 1 / plan.factor if rate < 0.2 else 1
            delta, epsilon = delta * scale, epsilon * scale
            spherical = [] if scale != 1 else spherical
        if len(steps) >= plan.step_window:
            rate = sum(steps[-plan.step_window :]) / plan.step_window
            scale = plan.factor if rate > 0.25 else 1 / plan.factor if rate < 0.1 else 1
            epsilon = epsilon * scale
            steps = [] if scale != 1 else steps
        epsilon = min(epsilon, 0.9)
    return torch.stack(questions[:n])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"every": 2, "window": 5, "step_window": 3},
        {"every": 1, "window": 7, "step_window": 12},
        {"every": 3, "window": 4, "step_window": 4, "orthogonal": 0.3, "retreat": 0.1},
    ],
)
def test_the_questions_are_the_algorithms(asked, halfspace, settings):
    model, x = halfspace(D, margin=0.2), torch.full((1, D), 0.5)
    plan = BoundaryPlan(eps=0.1, **settings)
    got = asked(model, x, torch.tensor([0]), plan, 150)
    want = by_hand(model, x[0], 150, plan)
    torch.testing.assert_close(got, want, rtol=0, atol=5e-6)


def test_the_walk_comes_near_the_nearest_point(asked, halfspace):
    """The boundary of a half-space at Euclidean distance 0.2."""
    model, x = halfspace(D, margin=0.2), torch.full((1, D), 0.5)
    plan = BoundaryPlan(
        eps=0.01, every=2, window=10, step_window=5, orthogonal=0.1, towards=0.05
    )
    got = asked(model, x, torch.tensor([0]), plan, 3000)
    away = (got - x).norm(dim=1)[model(got).argmax(1) == 1]
    assert 0.2 < away.min() < 0.202


@pytest.mark.parametrize(
    "bad",
    [
        {"orthogonal": 0.0},
        {"towards": -1.0},
        {"factor": 1.0},
        {"every": 0},
        {"tolerance": 0.0},
        {"retreat": -1.0},
    ],
)
def test_a_bad_setting_is_named(bad):
    with pytest.raises(DomainError, match=next(iter(bad))):
        BoundaryPlan(eps=0.1, **bad)
