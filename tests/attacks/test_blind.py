"""Attacks without feedback: patterns, uniform noise, and one image again and again."""

from __future__ import annotations

import math

import pytest
import torch

from querytax import noise
from querytax.attacks import attack
from querytax.attacks.patterns import KINDS, MIXED, PatternsPlan
from querytax.attacks.resubmit import ResubmitPlan
from querytax.attacks.uniform import UniformPlan
from querytax.expect import DomainError

SHAPES = [(3, 5, 7), (1, 8, 8), (3, 1, 6), (2, 7, 1), (1, 1, 1), (9,), (4, 5)]


def never(x):
    """A model that nothing fools."""
    return torch.tensor([2.0, -1.0]).repeat(len(x), 1)


def image(*shape):
    count = math.prod(shape)
    return torch.linspace(0.05, 0.95, count).view(1, *shape)


def draws(kind, stream, step, shape, seed=0, key=0):
    draw = getattr(noise, kind)
    at = torch.tensor([key]), torch.tensor([step])
    return draw(seed, f"attack/{stream}", *at, shape)[0]


def naive(place, cycle, channels, height, width):
    """A pattern pixel by pixel."""
    kind, size, grey = MIXED[place]
    drawn = 1 if grey else channels
    if kind in ("rows", "columns") and 1 in (height, width):
        kind = "columns" if height == 1 else "rows"
    parts = {
        "rows": (math.ceil(height / size), 1),
        "columns": (1, math.ceil(width / size)),
        "corners": (height, width),
        "solid": (1, 1),
    }.get(kind, (min(size, height), min(size, width)))
    of = "normals" if kind == "smooth" else "signs"
    u = draws(of, f"patterns/{place}", cycle, (drawn, *parts))
    z = torch.empty(channels, height, width)
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                own = u[0 if grey else c]
                if kind == "smooth":
                    wave = sum(
                        float(own[a, b])
                        * math.cos(math.pi * (i + 0.5) * a / height)
                        * math.cos(math.pi * (j + 0.5) * b / width)
                        for a in range(parts[0])
                        for b in range(parts[1])
                    )
                    z[c, i, j] = -1.0 if wave < 0 else 1.0
                elif kind == "rows":
                    z[c, i, j] = own[i // size if parts[0] > 1 else 0, 0]
                elif kind == "columns":
                    z[c, i, j] = own[0, j // size if parts[1] > 1 else 0]
                else:
                    z[c, i, j] = own[i * parts[0] // height, j * parts[1] // width]
    return z


@pytest.mark.parametrize("shape", SHAPES)
def test_patterns_are_those_of_a_pixel_by_pixel_reference(asked, shape):
    x = image(*shape)
    plan = PatternsPlan(eps=0.1)
    rows = asked(never, x, torch.tensor([0]), plan, 2 * len(MIXED))
    channels, height, width = (1, 1, *shape)[-3:]
    for i, row in enumerate(rows):
        z = naive(i % len(MIXED), i // len(MIXED), channels, height, width)
        want = (x[0] + 0.1 * z.view(shape)).clamp(0.0, 1.0)
        torch.testing.assert_close(row, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_pattern_is_in_the_budget_and_as_far_out_as_it_goes(
    asked, shape, norm, kind
):
    plan = PatternsPlan(eps=0.2, norm=norm, kind=kind, size=3)
    x = image(*shape)
    rows = asked(never, x, torch.tensor([0]), plan, 20)
    away = (rows - x).flatten(1)
    size = away.abs().amax(1) if norm == "Linf" else away.norm(dim=1)
    assert (size <= 0.2 * (1 + 1e-5)).all()
    assert rows.min() >= 0
    assert rows.max() <= 1
    if away.shape[1] > 1:
        assert (size >= 0.19).all()


def test_pixels_that_are_stopped_leave_their_length_to_the_others(asked):
    x = torch.full((1, 1, 6, 6), 0.5)
    x[..., :3] = 0.0
    plan = PatternsPlan(eps=1.0, norm="L2", kind="solid")
    rows = asked(never, x, torch.tensor([0]), plan, 12)
    torch.testing.assert_close((rows - x).flatten(1).norm(dim=1), torch.ones(12))
    down = rows[rows[:, 0, 0, 5] < 0.5]
    assert len(down) > 0
    torch.testing.assert_close(down[0, 0, 0, 5], torch.tensor(0.5 - 1 / 18**0.5))


def test_no_answer_changes_what_is_asked(asked):
    x, label = image(1, 4, 4), torch.tensor([0])

    def other(x):
        # Fooled by the one answer that votes do not confirm.
        score = x.flatten(1).sum(1)
        return torch.stack((3.0 + score, 2.0 - score), 1)

    for plan in (PatternsPlan(eps=0.1), UniformPlan(eps=0.1)):
        assert torch.equal(
            asked(never, x, label, plan, 9), asked(other, x, label, plan, 9)
        )


@pytest.mark.parametrize("place", ["ball", "surface"])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_uniform_noise_is_that_of_the_reference(asked, norm, place):
    x, eps = image(2, 3, 5), 0.2
    plan = UniformPlan(eps=eps, norm=norm, place=place)
    rows = asked(never, x, torch.tensor([0]), plan, 5)
    for step, row in enumerate(rows):
        if norm == "Linf" and place == "ball":
            away = eps * (2 * draws("uniforms", "uniform", step, (2, 3, 5)) - 1)
        elif norm == "Linf":
            away = eps * draws("signs", "uniform", step, (2, 3, 5))
        else:
            away = draws("normals", "uniform", step, (2, 3, 5))
            away = eps * away / away.norm()
            if place == "ball":
                share = draws("uniforms", "uniform/radius", step, (1,))
                away = away * share ** (1 / 30)
        want = (x[0] + away).clamp(0.0, 1.0)
        torch.testing.assert_close(row, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("of", ["original", "pattern"])
def test_one_image_is_handed_in_so_often_and_no_more(asked, of):
    x, label = image(1, 4, 4), torch.tensor([0])
    plan = ResubmitPlan(eps=0.1, submissions=7, of=of)
    rows = asked(never, x, label, plan, 7)
    first = x if of == "original" else asked(never, x, label, PatternsPlan(eps=0.1), 1)
    assert torch.equal(rows, first.expand(7, -1, -1, -1))
    result = attack(never, x, label, plan, n_queries=100)
    assert result.total_queries == 7
    assert not result.confirmed.success.any()


@pytest.mark.parametrize(
    "build",
    [
        lambda: PatternsPlan(eps=0.1, kind="dots"),
        lambda: PatternsPlan(eps=0.1, size=0),
        lambda: UniformPlan(eps=0.1, place="centre"),
        lambda: ResubmitPlan(eps=0.1, submissions=0),
        lambda: ResubmitPlan(eps=0.1, of="other"),
    ],
)
def test_a_setting_outside_its_range_is_refused(build):
    with pytest.raises(DomainError, match="expected"):
        build()
