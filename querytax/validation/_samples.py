"""Experiments of single claims: a value from the normals of a draw, in numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from querytax.montecarlo.runs import Experiment
from querytax.montecarlo.streams import Stream

__all__ = ["Normals", "differences", "drawn"]

# A step's two fresh standard normals a draw, shape (draws, 2).
Normals: TypeAlias = Callable[[int], npt.NDArray[np.float64]]


def drawn(
    name: str,
    arguments: Mapping[str, Any],
    value: Callable[[Normals], npt.ArrayLike],
    *,
    cost: float = 1.0,
    event: bool = False,
    low: float = -math.inf,
    high: float = math.inf,
) -> Experiment:
    """The experiment whose draws are worth ``value(normals)``.

    Parameters
    ----------
    name : str
        The claim.
    arguments : mapping
        What the value depends on.
    value : callable
        Values of a block of draws; ``normals(step)`` are theirs alone.
    cost : float
        Steps used.
    event : bool
        Whether the values are 0 or 1.
    low, high : float
        Bounds of a value that is no event.
    """

    def block(
        first: int, count: int, centre: float, k0: Any, k1: Any
    ) -> tuple[float, float]:
        stream = Stream((int(k0), int(k1)))
        found = value(lambda step: stream.normals(first, count, step))
        x = np.asarray(found, dtype=float) - centre
        return float(x.sum()), float(np.square(x).sum())

    bounds = (0.0, 1.0) if event else (low, high)
    return Experiment(name, arguments, block, *bounds, event=event, cost=cost)


def differences(
    name: str,
    *,
    terms: int,
    divisor: float,
    probe_sigma: float,
    step: float,
    gradient_norm: float,
    sigma: float,
) -> Experiment:
    """A sum of forward differences of a noisy linear loss, along its gradient.

    Each term is ``(L(x + step u + η) - L(x + η'))/step u`` with fresh noise on both
    inputs, in two dimensions; the sum is divided by ``divisor``.
    """
    along = np.array([0.6, 0.8])

    def value(normals: Normals) -> npt.ArrayLike:
        total: Any = 0.0
        for i in range(terms):
            u = probe_sigma * normals(3 * i)
            noise = sigma * (normals(3 * i + 1) - normals(3 * i + 2))
            change = gradient_norm * ((step * u + noise) @ along)
            total = total + change / step * (u @ along)
        return total / divisor

    arguments = {
        "terms": terms,
        "divisor": divisor,
        "probe_sigma": probe_sigma,
        "step": step,
        "gradient_norm": gradient_norm,
        "sigma": sigma,
    }
    return drawn(name, arguments, value, cost=3.0 * terms)
