"""The budget of perturbation: a ball around an image, cut by [0, 1]."""

from __future__ import annotations

from torch import Tensor

__all__ = ["distance", "inside", "lengths", "project", "shaped"]

# Rounding of a projection in float32, of images of a hundred thousand pixels too.
_SLACK = 4e-6


def shaped(values: Tensor, like: Tensor) -> Tensor:
    """``(N,)`` values as ``(N, 1, 1, ...)``, to meet images ``(N, ...)``."""
    return values.view(-1, *(1,) * (like.ndim - 1))


def lengths(x: Tensor) -> Tensor:
    """``(N,)`` Euclidean lengths; no smaller than 1e-30, to divide by."""
    return x.flatten(1).norm(dim=1).clamp_min(1e-30)


def distance(x: Tensor, origin: Tensor, norm: str) -> Tensor:
    """``(N,)`` distances of images from where they began."""
    away = (x - origin).flatten(1)
    return away.abs().amax(1) if norm == "Linf" else away.norm(dim=1)


def project(x: Tensor, origin: Tensor, eps: float, norm: str) -> Tensor:
    """The nearest images inside the ball, cut to [0, 1].

    The cut brings an image nearer to an origin that is itself inside [0, 1], so both
    hold at once.
    """
    away = x - origin
    if norm == "Linf":
        away = away.clamp(-eps, eps)
    else:
        size = eps / lengths(away)
        away = away * shaped(size.clamp_max(1.0), away)
    return (origin + away).clamp(0.0, 1.0)


def inside(x: Tensor, origin: Tensor, eps: float, norm: str) -> Tensor:
    """``(N,)`` bool: in the ball, up to rounding. The cut by [0, 1] is not checked."""
    return distance(x, origin, norm) <= eps * (1.0 + _SLACK) + 1e-6
