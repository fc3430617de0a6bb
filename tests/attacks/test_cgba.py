"""CGBA, held against a loop over one image."""

from __future__ import annotations

import math

import pytest
import torch

from querytax import noise
from querytax.attacks.cgba import CGBAPlan
from querytax.expect import DomainError

D = 16


def draw(kind, stream, step, shape=(D,)):
    key, at = torch.tensor([0]), torch.tensor([step])
    return getattr(noise, kind)(0, f"attack/{stream}", key, at, shape)[0]


def by_hand(model, x, n, plan):
    """Reza, Rahmati, Wu & Dai 2023, Algorithms 1 and 2, for one image of label 0."""
    questions = []

    def holds(at):
        questions.append(at.clamp(0, 1))
        return bool(model(questions[-1][None]).argmax(1) == 1)

    tries = (draw("uniforms", "cgba/start", i) for i in range(100))
    start = next(at for at in tries if holds(at))
    low, high = 0.0, 1.0
    while high - low > plan.tolerance:
        middle = (low + high) / 2
        if holds(x + middle * (start - x)):
            high = middle
        else:
            low = middle
    best, step = x + high * (start - x), 0
    while len(questions) < n:
        count = int(plan.first * math.sqrt(step + 1))
        normal = torch.zeros(D)
        for u in draw("normals", "cgba", step, (count, D)):
            normal += u if holds(best + plan.probe * u) else -u
        size = (best - x).norm()
        v = (best - x) / size
        w = normal - (normal @ v) * v
        w = w / w.norm()

        def at(angle, v=v, w=w, size=size):
            toward = math.cos(angle) * v + math.sin(angle) * w
            # Thales: the circle over the line from the origin to the boundary point.
            return x + toward * size * (toward @ v)

        angle, known = 0.0, math.pi / 2
        for k in range(1, 40):
            further = math.pi / 2 * (1 - 2**-k)
            if not holds(at(further)):
                known = further
                break
            angle = further
        while float(size) * (known - angle) >= plan.tolerance:
            middle = (angle + known) / 2
            if holds(at(middle)):
                angle = middle
            else:
                known = middle
        best = at(angle).clamp(0, 1) if angle else best
        step += 1
    return torch.stack(questions[:n])


@pytest.mark.parametrize("settings", [{}, {"probe": 0.1, "tolerance": 0.01}])
def test_the_questions_are_the_algorithms(asked, halfspace, settings):
    model, x = halfspace(D, margin=0.2), torch.full((1, D), 0.5)
    plan = CGBAPlan(eps=0.1, **settings)
    # The start, and four normals with their semicircles.
    got = asked(model, x, torch.tensor([0]), plan, 250)
    want = by_hand(model, x[0], len(got), plan)
    assert len(got) > 200
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


def test_the_nearest_point_of_a_halfspace_is_found(asked, halfspace):
    model, x = halfspace(D, margin=0.2), torch.full((1, D), 0.5)
    plan = CGBAPlan(eps=0.01)
    got = asked(model, x, torch.tensor([0]), plan, 1500)
    away = (got - x).norm(dim=1)[model(got).argmax(1) == 1]
    assert 0.2 - 1e-6 < away.min() < 0.203


def test_with_a_floor_nothing_is_asked_on_the_circle_inside_the_budget(
    asked, halfspace
):
    model, x = halfspace(D, margin=0.2), torch.full((1, D), 0.5)
    plan = CGBAPlan(eps=0.19, floor=True, probe=1e-6, tolerance=1e-3, retreat=0.1)
    got = asked(model, x, torch.tensor([0]), plan, 600)
    away = (got - x).norm(dim=1)
    # But for the bisection of the start.
    assert (away[40:] > 0.1899).all()
    assert (away < 0.1901).any()


@pytest.mark.parametrize(
    "bad", [{"probe": 0.0}, {"first": 0}, {"most": 0}, {"tolerance": 0.0}]
)
def test_a_bad_setting_is_named(bad):
    with pytest.raises(DomainError, match=next(iter(bad))):
        CGBAPlan(eps=0.1, **bad)
