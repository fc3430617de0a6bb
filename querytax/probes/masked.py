"""Whether a model's gradient is the slope of its answers.

Rounding, a detached part or a backward pass of its own can make it another one. A way
to the boundary that such a gradient does not find may be there all the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from querytax.models import Model
from querytax.noise import normals

__all__ = ["masked"]

# Steps a pixel that answers are compared over; the longer pass eight bits' rounding.
_STEPS = (0.003, 0.01, 0.05)
_IMAGES, _DIRECTIONS = 16, 8
# A gradient that foretells less of the answers' change, more, or another one is
# another function's.
_LEAST_SIZE, _MOST_SIZE, _LEAST_CORRELATION = 0.1, 5.0, 0.2
# Share of the images without a slope that leaves the others' to be believed.
_DEAD = 0.1


def masked(model: Model, x: Tensor, labels: Tensor, seed: int) -> str:
    """Why the gradient is not to be believed; empty where it is.

    It must be there at nine images of ten. Changes of the logit margin along random
    directions are held against those that it foretells, at three lengths; each must
    fail by size or by correlation.

    Parameters
    ----------
    model : nn.Module or callable
        With a gradient of some kind.
    x, labels : Tensor
        Images that it gets right; the first 16 are used.
    seed : int
    """
    x, labels = x[:_IMAGES], labels[:_IMAGES]
    with torch.enable_grad():
        at = x.detach().clone().requires_grad_(True)
        gradient = torch.autograd.grad(_margin(model, at, labels).sum(), at)[0]
    gradient = gradient.double().flatten(1)
    alive = gradient.isfinite().all(1) & (gradient != 0).any(1)
    dead = len(x) - int(alive.sum())
    if dead > _DEAD * len(x):
        return (
            f"the model's gradient is zero, or no number, at {dead} of {len(x)} "
            "images, where its answers may change all the same"
        )
    x, labels, gradient = x[alive], labels[alive], gradient[alive]
    rows = torch.arange(len(x), device=x.device)
    for step in _STEPS:
        told, seen = [], []
        for k in range(_DIRECTIONS):
            turn = torch.full_like(rows, k)
            u = step * normals(seed, "probe/masked", rows, turn, x.shape[1:])
            u = u.to(x.dtype)
            ends = [_margin(model, x + s * u, labels) for s in (1, -1)]
            seen.append((ends[0] - ends[1]).detach().double())
            told.append(2.0 * (gradient * u.double().flatten(1)).sum(1))
        change, linear = torch.stack(seen), torch.stack(told)
        moved = change.square().mean(0).sqrt()
        # Image by image: of one that changes most the others would not be heard.
        size = float((linear.square().mean(0).sqrt() / moved).median())
        scale = moved * linear.square().mean(0).sqrt()
        each = (change * linear).mean(0) / scale
        correlation = float(torch.where(moved > 0, each, 0.0).mean())
        sized = _LEAST_SIZE <= size <= _MOST_SIZE
        if sized and correlation >= _LEAST_CORRELATION:
            return ""
    share = 100 * min(size, max(correlation, 0.0))
    return (
        "the model's gradient is not the slope of its answers, of whose changes it "
        f"foretells {share:.0f} % (rounding, or a backward pass of its own)"
    )


def _margin(model: Model, x: Tensor, labels: Tensor) -> Tensor:
    """Of logits, which do not saturate where the model is sure."""
    said: Tensor = model(x)
    if getattr(model, "answers", "logits") == "probabilities":
        said = said.clamp_min(1e-30).log()
    own = nn.functional.one_hot(labels, said.shape[1]).bool()
    return said[own] - said.masked_fill(own, -torch.inf).amax(1)
