"""The way to the boundary: where an attack will stand when it asks its questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from querytax.attacks.oracle import answer_in_batches, even_parts
from querytax.losses import attacker_loss
from querytax.noise import normals, uniforms

__all__ = [
    "DETACHED",
    "BoundaryPath",
    "blockwise",
    "boundary_path",
    "climbed",
    "coarse",
    "has_gradient",
    "margins",
    "no_gradient",
    "scaled",
    "sides_of",
    "sign_gain",
    "slope",
    "stepped",
    "wander",
]

_STEPS = 50

Model = Callable[[Tensor], Tensor]
# What is said of a model that answers without a graph.
DETACHED = "it gives no gradient"


@dataclass(frozen=True)
class BoundaryPath:
    """Points at fractions of the way, and how long the way is.

    Attributes
    ----------
    points : Tensor
        ``(n, T, ...)``.
    length : Tensor
        ``(n,)`` over eps; infinite where the budget ends first.
    crossing : Tensor
        ``(n, ...)`` where the boundary is crossed; the end of the way where it is not.
    """

    points: Tensor
    length: Tensor
    crossing: Tensor


def has_gradient(model: Model, x: Tensor) -> bool:
    """Whether autograd sees through the model."""
    return not no_gradient(model, x)


def no_gradient(model: Model, x: Tensor) -> str:
    """Why autograd does not see through the model; empty where it does."""
    with torch.enable_grad():
        probe = x[:1].detach().clone().requires_grad_(True)
        try:
            answer = model(probe)
            # A model may train on what it computes and yet detach its input.
            if answer.requires_grad:
                found = torch.autograd.grad(answer.sum(), probe, allow_unused=True)[0]
                return "" if found is not None else DETACHED
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            # It answers without a graph: this is about the graph.
            lines = str(error).splitlines() or [""]
            return f"autograd fails: {type(error).__name__}: {lines[0]}"
    return DETACHED


def slope(
    model: Model,
    x: Tensor,
    labels: Tensor,
    loss: str,
    answered: str,
    targeted: bool,
    batch_size: int,
) -> Tensor:
    """Gradient of the attacker's loss with respect to the input."""
    return climbed(model, x, labels, loss, answered, targeted, batch_size)[1]


def climbed(
    model: Model,
    x: Tensor,
    labels: Tensor,
    loss: str,
    answered: str,
    targeted: bool,
    batch_size: int,
) -> tuple[Tensor, Tensor]:
    """The attacker's loss and its gradient, by one pass each way."""
    values, slopes = [], []
    sizes = even_parts(len(x), batch_size)
    for part, goal in zip(x.split(sizes), labels.split(sizes), strict=True):
        with torch.enable_grad():
            part = part.detach().clone().requires_grad_(True)
            value = attacker_loss(
                model(part), goal, loss=loss, answered=answered, targeted=targeted
            )
            slopes.append(torch.autograd.grad(value.sum(), part)[0])
            values.append(value.detach())
    return torch.cat(values), torch.cat(slopes)


def boundary_path(
    model: Model,
    x: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: str,
    stages: Tensor,
    answered: str,
    targeted: bool,
    batch_size: int,
    start: Tensor | None = None,
    side: int = 1,
) -> BoundaryPath:
    """Follow the clean gradient in fixed steps until the decision changes.

    The way begins at ``start``, a point of the budget around the images ``x``; at the
    images themselves without it. The margin's gradient is used: the cross-entropy of a
    confident model vanishes in single precision. Of ``side`` above 1 every step is
    constant on squares of so many pixels a side, the best that such a step can be.
    """
    n, ones = len(x), (1,) * (x.ndim - 1)
    at = x if start is None else start
    trail = [at]
    heard: dict[str, Any] = {
        "loss": "margin",
        "answered": answered,
        "targeted": targeted,
    }
    after, slopes = climbed(model, at, labels, batch_size=batch_size, **heard)
    found = after > 0
    crossed = torch.where(found, 0.0, torch.full_like(after, _STEPS))
    for step in range(1, _STEPS + 1):
        # Those that have crossed stay where they are.
        left = torch.nonzero(~found).flatten()
        if not len(left):
            break
        uphill = slopes[left] if side == 1 else blockwise(slopes[left], side)
        moved = stepped(at[left], uphill, eps / _STEPS, x[left], eps, norm)
        now, slopes[left] = climbed(
            model, moved, labels[left], batch_size=batch_size, **heard
        )
        at = at.index_copy(0, left, moved)
        trail.append(at)
        before = after[left]
        # The crossing lies within the step: where the margin, taken as a line, is 0.
        within = (before / (before - now)).nan_to_num(1.0).clamp(0.0, 1.0)
        crossed[left] = torch.where(now > 0, step - 1 + within, crossed[left])
        after[left], found[left] = now, now > 0
    fractions = torch.cat((stages.to(crossed), torch.ones_like(crossed[:1])))
    place = crossed[:, None] * fractions
    low = place.floor().long()
    share = (place - low).to(x.dtype).view(n, -1, *ones)
    every = torch.stack(trail, 1)
    rows = torch.arange(n, device=x.device)[:, None]
    high = (low + 1).clamp_max(len(trail) - 1)
    points = every[rows, low] * (1 - share) + every[rows, high] * share
    length = torch.where(found, crossed / _STEPS, torch.inf)
    return BoundaryPath(points[:, :-1], length, points[:, -1])


def margins(
    model: Model,
    x: Tensor,
    labels: Tensor,
    answered: str,
    targeted: bool,
    batch_size: int,
) -> Tensor:
    """The attacker's margin loss, ``(n,)``: above 0 where the model is fooled."""
    answers = answer_in_batches(model, x, batch_size)
    return attacker_loss(
        answers, labels, loss="margin", answered=answered, targeted=targeted
    )


def stepped(
    at: Tensor, slopes: Tensor, length: float, origin: Tensor, eps: float, norm: str
) -> Tensor:
    """A step uphill, of each number in Linf, of the whole in L2; within the budget."""
    ones = (1,) * (at.ndim - 1)
    if norm == "Linf":
        away = (at + length * slopes.sign() - origin).clamp(-eps, eps)
    else:
        slopes = scaled(slopes)
        size = slopes.flatten(1).norm(dim=1).clamp_min(1e-30).view(-1, *ones)
        away = at + length * slopes / size - origin
        size = away.flatten(1).norm(dim=1).clamp_min(1e-30).view(-1, *ones)
        away = away * (eps / size).clamp_max(1.0)
    return (origin + away).clamp(0.0, 1.0)


def scaled(slopes: Tensor) -> Tensor:
    """Each slope ``(n, ...)`` by a power of two, so that its largest entry is about 1.

    Exact; the squares of slopes of any size stay among the floats.
    """
    largest = slopes.flatten(1).abs().amax(1).double()
    exponent = torch.frexp(largest).exponent.view(-1, *(1,) * (slopes.ndim - 1))
    return torch.ldexp(slopes.double(), -exponent).to(slopes.dtype)


def sides_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Sides of the squares that attacks make their directions of, the finer first."""
    if len(shape) != 3:
        return ()
    side = max(2, min(shape[-2:]) // 14)
    return tuple(s for s in (side, 2 * side) if s < min(shape[-2:]))


def coarse(images: Tensor, side: int) -> Tensor:
    """``(n, C, h, w)`` sums over squares of ``side`` pixels; whole rows at the ends."""
    return functional.avg_pool2d(
        images, side, ceil_mode=True, count_include_pad=False, divisor_override=1
    )


def blockwise(images: Tensor, side: int) -> Tensor:
    """The same sums, each written into every pixel of its square."""
    height, width = images.shape[-2:]
    fine = functional.interpolate(coarse(images, side), scale_factor=float(side))
    return fine[..., :height, :width]


def sign_gain(gradient: Tensor) -> Tensor:
    """How much better a sign step drifts than on a gradient of Gaussian entries.

    ``sqrt(2 kappa / pi)`` over the last axis, with ``kappa = d |g|_2^2 / |g|_1^2``.
    """
    d, gradient = gradient.shape[-1], gradient.double()
    ratio = gradient.norm(dim=-1) / gradient.abs().sum(-1).clamp_min(1e-300)
    return (2.0 * d / torch.pi) ** 0.5 * torch.where(ratio > 0, ratio, d**-0.5)


def wander(
    points: Tensor,
    origin: Tensor,
    *,
    eps: float,
    norm: str,
    seed: int,
    rows: Tensor,
    side: int = 1,
) -> Tensor:
    """The points, moved at random within the budget around their images.

    Of ``side`` above 1 all pixels of a square move together.
    """
    n, stages = points.shape[:2]
    keys = rows.repeat_interleave(stages)
    stage = torch.arange(stages, device=points.device).repeat(n)
    shape, drawn = points.shape[2:], points.shape[2:]
    if side > 1:
        drawn = coarse(torch.zeros_like(origin[:1]), side).shape[1:]

    def spread(u: Tensor) -> Tensor:
        if side == 1:
            return u
        fine = functional.interpolate(u, scale_factor=float(side))
        return fine[..., : shape[-2], : shape[-1]]

    away = points - origin[:, None]
    if norm == "Linf":
        u = uniforms(seed, "probe/wander", keys, stage, drawn, dtype=points.dtype)
        u = spread(u)
        away = (away + eps * (2 * u - 1).view_as(points)).clamp(-eps, eps)
    else:
        u = normals(seed, "probe/wander", keys, stage, drawn, dtype=points.dtype)
        u = spread(u)
        size = u.flatten(1).norm(dim=1).view(-1, *(1,) * len(shape))
        away = away + eps * (u / size).view_as(points)
        size = away.flatten(2).norm(dim=2).view(n, stages, *(1,) * len(shape))
        away = away * (eps / size).clamp_max(1.0)
    return (origin[:, None] + away).clamp(0.0, 1.0)
