"""The way to the boundary: where an attack will stand when it asks its questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from querytax.losses import attacker_loss
from querytax.noise import normals, uniforms

__all__ = [
    "BoundaryPath",
    "boundary_path",
    "has_gradient",
    "sign_gain",
    "slope",
    "wander",
]

_STEPS = 50

Model = Callable[[Tensor], Tensor]


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
    with torch.enable_grad():
        probe = x[:1].detach().clone().requires_grad_(True)
        answer = model(probe)
        # A model may train on what it computes and yet detach its input.
        return bool(answer.requires_grad) and (
            torch.autograd.grad(answer.sum(), probe, allow_unused=True)[0] is not None
        )


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
    found = []
    for part, goal in zip(x.split(batch_size), labels.split(batch_size), strict=True):
        with torch.enable_grad():
            part = part.detach().clone().requires_grad_(True)
            value = attacker_loss(
                model(part), goal, loss=loss, answered=answered, targeted=targeted
            )
            found.append(torch.autograd.grad(value.sum(), part)[0])
    return torch.cat(found)


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
) -> BoundaryPath:
    """Follow the clean gradient in fixed steps until the decision changes.

    The way begins at ``start``, a point of the budget around the images ``x``; at the
    images themselves without it. The margin's gradient is used: the cross-entropy of a
    confident model vanishes in single precision.
    """
    n, ones = len(x), (1,) * (x.ndim - 1)
    at = x if start is None else start
    trail = [at]

    @torch.no_grad()
    def margins(points: Tensor) -> Tensor:
        return torch.cat(
            [
                attacker_loss(
                    model(part),
                    goal,
                    loss="margin",
                    answered=answered,
                    targeted=targeted,
                )
                for part, goal in zip(
                    points.split(batch_size), labels.split(batch_size), strict=True
                )
            ]
        )

    after = margins(at)
    found = after > 0
    crossed = torch.where(found, 0.0, torch.full_like(after, _STEPS))
    for step in range(1, _STEPS + 1):
        g = slope(model, at, labels, "margin", answered, targeted, batch_size)
        if norm == "Linf":
            away = at + eps / _STEPS * g.sign() - x
            away = away.clamp(-eps, eps)
        else:
            length = g.flatten(1).norm(dim=1).clamp_min(1e-30).view(-1, *ones)
            away = at + eps / _STEPS * g / length - x
            size = away.flatten(1).norm(dim=1).clamp_min(1e-30).view(-1, *ones)
            away = away * (eps / size).clamp_max(1.0)
        at = (x + away).clamp(0.0, 1.0)
        trail.append(at)
        before, after = after, margins(at)
        # The crossing lies within the step: where the margin, taken as a line, is 0.
        within = (before / (before - after)).nan_to_num(1.0).clamp(0.0, 1.0)
        fooled = after > 0
        crossed = torch.where(fooled & ~found, step - 1 + within, crossed)
        found |= fooled
        if bool(found.all()):
            break
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


def sign_gain(gradient: Tensor) -> Tensor:
    """How much better a sign step drifts than on a gradient of Gaussian entries.

    ``sqrt(2 kappa / pi)`` over the last axis, with ``kappa = d |g|_2^2 / |g|_1^2``.
    """
    d = gradient.shape[-1]
    ratio = gradient.norm(dim=-1) / gradient.abs().sum(-1).clamp_min(1e-300)
    return (2.0 * d / torch.pi) ** 0.5 * torch.where(ratio > 0, ratio, d**-0.5)


def wander(
    points: Tensor, origin: Tensor, *, eps: float, norm: str, seed: int, rows: Tensor
) -> Tensor:
    """The points, moved at random within the budget around their images."""
    n, stages = points.shape[:2]
    keys = rows.repeat_interleave(stages)
    stage = torch.arange(stages, device=points.device).repeat(n)
    shape = points.shape[2:]
    away = points - origin[:, None]
    if norm == "Linf":
        u = uniforms(seed, "probe/wander", keys, stage, shape, dtype=points.dtype)
        away = (away + eps * (2 * u - 1).view_as(points)).clamp(-eps, eps)
    else:
        u = normals(seed, "probe/wander", keys, stage, shape, dtype=points.dtype)
        size = u.flatten(1).norm(dim=1).view(-1, *(1,) * len(shape))
        away = away + eps * (u / size).view_as(points)
        size = away.flatten(2).norm(dim=2).view(n, stages, *(1,) * len(shape))
        away = away * (eps / size).clamp_max(1.0)
    return (origin[:, None] + away).clamp(0.0, 1.0)
