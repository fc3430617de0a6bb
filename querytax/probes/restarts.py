"""Ways to the boundary that descent from the image misses: begun anywhere, often."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from querytax.attacks.oracle import Model, answer_in_batches
from querytax.noise import normals, uniforms
from querytax.probes.path import BoundaryPath, climbed, margins, stepped

__all__ = ["restarted"]

# Starts an image, and steps of each: fewer gradients than the descent itself takes.
_STARTS = 4
_STEPS = 20
# Points of the straight way back at which the boundary is looked for.
_LOOKS = 20


@torch.no_grad()
def restarted(
    model: Model,
    path: BoundaryPath,
    x: Tensor,
    labels: Tensor,
    keys: Tensor,
    *,
    eps: float,
    norm: str,
    stages: Tensor,
    answered: str,
    targeted: bool,
    batch_size: int,
    seed: int,
) -> BoundaryPath:
    """A path with new ways for the images that it did not bring across the boundary.

    Each starts at random points of its budget and climbs in steps that fall from the
    whole budget to a twentieth of it, each time towards another class, the likeliest
    first. From the first point that fools the model a straight line leads to the image:
    the way is that line as far as it first crosses.

    Parameters
    ----------
    model, x, labels, eps, norm, stages, answered, targeted, batch_size
        As in :func:`querytax.probes.path.boundary_path`.
    path : BoundaryPath
    keys : Tensor
        ``(n,)`` what the draws of each image are keyed by.
    seed : int

    Returns
    -------
    BoundaryPath
        Where nothing was found, ``path`` as it was.
    """
    heard: dict[str, Any] = {
        "answered": answered,
        "targeted": targeted,
        "batch_size": batch_size,
    }
    left = torch.nonzero(path.length.isinf()).flatten()
    if not len(left):
        return path
    towards = _towards(answer_in_batches(model, x[left], batch_size), labels[left])
    rows, ends = [], []
    for turn in range(_STARTS):
        origin, goal = x[left], labels[left]
        at = _anywhere(origin, keys[left], turn, eps, norm, seed)
        fooled = torch.zeros(len(left), dtype=torch.bool, device=x.device)
        want = {**heard, "loss": "margin", "targeted": True}
        aim = goal if targeted else towards[:, turn % towards.shape[1]]
        for step in range(_STEPS):
            # Where a class is reached the model is fooled, whatever the class.
            go = torch.nonzero(~fooled).flatten()
            if not len(go):
                break
            uphill = climbed(model, at[go], aim[go], **want)[1]
            length = eps * (1.0 - step / _STEPS)
            at[go] = stepped(at[go], uphill, length, origin[go], eps, norm)
            fooled[go] = margins(model, at[go], goal[go], **heard) > 0
        rows.append(left[fooled])
        ends.append(at[fooled])
        left, towards = left[~fooled], towards[~fooled]
        if not len(left):
            break
    which, end = torch.cat(rows), torch.cat(ends)
    if not len(which):
        return path
    return _straight(
        model, path, which, x[which], end, labels[which], eps, norm, stages, heard
    )


def _towards(answers: Tensor, labels: Tensor) -> Tensor:
    """The other classes, the likeliest first: ``(n, C - 1)``."""
    others = answers.scatter(1, labels[:, None], -torch.inf)
    return others.argsort(dim=1, descending=True)[:, :-1]


def _anywhere(
    origin: Tensor, keys: Tensor, turn: int, eps: float, norm: str, seed: int
) -> Tensor:
    """A random point of each budget: evenly in the box, on the ball's surface."""
    shape, turns = origin.shape[1:], torch.full_like(keys, turn)
    draw = uniforms if norm == "Linf" else normals
    u = draw(seed, "probe/restart", keys, turns, shape, dtype=origin.dtype)
    if norm == "Linf":
        away = eps * (2.0 * u - 1.0)
    else:
        size = u.flatten(1).norm(dim=1).view(-1, *(1,) * len(shape))
        away = eps * u / size
    return (origin + away).clamp(0.0, 1.0)


def _straight(
    model: Model,
    path: BoundaryPath,
    which: Tensor,
    origin: Tensor,
    end: Tensor,
    labels: Tensor,
    eps: float,
    norm: str,
    stages: Tensor,
    heard: dict[str, Any],
) -> BoundaryPath:
    """The path with straight ways to points that fool the model in some rows."""
    n, ones = len(which), (1,) * (origin.ndim - 1)
    away = end - origin
    looks = torch.arange(_LOOKS + 1, device=origin.device) / _LOOKS
    share = looks.to(origin.dtype).view(1, -1, *ones)
    line = (origin[:, None] + share * away[:, None]).flatten(0, 1)
    goals = labels.repeat_interleave(_LOOKS + 1)
    loss = margins(model, line, goals, **heard).view(n, -1)
    # What fools the model at its place may fall short by rounding in another batch.
    loss[:, -1] = loss[:, -1].clamp_min(torch.finfo(loss.dtype).tiny)
    high = (loss > 0).double().argmax(1, keepdim=True).clamp_min(1)
    after, before = loss.gather(1, high)[:, 0], loss.gather(1, high - 1)[:, 0]
    within = (before / (before - after)).nan_to_num(1.0).clamp(0.0, 1.0)
    crossed = (high[:, 0] - 1 + within) / _LOOKS
    size = (
        away.flatten(1).abs().amax(dim=1)
        if norm == "Linf"
        else away.flatten(1).norm(dim=1)
    )
    shares = crossed[:, None] * torch.cat(
        (stages.to(crossed), torch.ones_like(crossed[:1]))
    )
    places = (
        origin[:, None] + shares.to(origin.dtype).view(n, -1, *ones) * away[:, None]
    )
    return BoundaryPath(
        path.points.index_copy(0, which, places[:, :-1]),
        path.length.index_copy(0, which, crossed * size.double() / eps),
        path.crossing.index_copy(0, which, places[:, -1]),
    )
