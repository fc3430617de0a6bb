"""Attacks on labels at a flat boundary, by their moves on vectors of slopes."""

from __future__ import annotations

import math

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _share(out, first, checks, dimension, k0, k1):  # type: ignore[no-untyped-def]
    size = out.size
    gains = np.empty((size, dimension + 1))
    u, v = np.empty(size), np.empty(size)
    for j in range((dimension + 1) // 2):
        normals(u, v, first, j, 0, k0, k1)
        gains[:, 2 * j] = u
        gains[:, 2 * j + 1] = v
    for i in range(size):
        gain = 0.0
        for j in range(dimension):
            gain += gains[i, j]
        stage, start = 0, 0
        for _ in range(checks):
            side = (dimension + 2**stage - 1) // 2**stage
            stop = min(start + side, dimension)
            run = 0.0
            for j in range(start, stop):
                run += gains[i, j]
            if run < 0.0:
                # Flipped, it gains: the ray to the boundary is shorter.
                gain -= 2.0 * run
                for j in range(start, stop):
                    gains[i, j] = -gains[i, j]
            start = stop
            if start >= dimension:
                start = 0
                stage += 1 if side > 1 else 0
        out[i] = gain / (dimension * math.sqrt(2.0 / math.pi))


@simulation()
def rays_share(checks: int, dimension: int) -> Experiment:
    """Gain of RayS' pattern after some checks, over the mean of the best one's.

    Slopes are drawn, signs begin as all alike, and runs of them are flipped where that
    gains: all, halves, quarters, and so on, sides rounded up.
    """
    return mean(
        _share, checks, dimension, cost=dimension * (1.0 + math.log2(checks + 1.0))
    )


@kernel
def _accepted(out, first, margin, sigma, halvings, k0, k1):  # type: ignore[no-untyped-def]
    size = out.size
    u, v = np.empty(size), np.empty(size)
    low, high = np.zeros(size), np.ones(size)
    checked = np.empty(size)
    normals(u, v, first, 0, 0, k0, k1)
    for i in range(size):
        checked[i] = margin + sigma * u[i] > 0.0
    for n in range(halvings):
        normals(u, v, first, n, 1, k0, k1)
        for i in range(size):
            middle = 0.5 * (low[i] + high[i])
            # At a share of the best radius; at the image the margin is -1.
            if middle * (1.0 + margin) - 1.0 + sigma * u[i] > 0.0:
                high[i] = middle
            else:
                low[i] = middle
    for i in range(size):
        out[i] = 1.0 if checked[i] and high[i] < 1.0 else 0.0


@simulation(keyed="margin=beyond sigma=ray_sigma halvings")
def rays_accepted(beyond: float, ray_sigma: float, halvings: int) -> Experiment:
    """Whether a check and a bisection below the best radius find a shorter one."""
    return event(_accepted, beyond, ray_sigma, halvings, cost=1.0 + halvings)


@kernel
def _stepped(out, first, distance, step, cosine, dimension, k0, k1):  # type: ignore[no-untyped-def]
    size = out.size
    u, v = np.empty(size), np.empty(size)
    along, square = np.zeros(size), np.zeros(size)
    # Coordinates across the normal; the iterate lies along the first of them.
    for j in range((dimension - 1) // 2 + (dimension - 1) % 2):
        normals(u, v, first, j, 0, k0, k1)
        if 2 * j + 2 > dimension - 1:
            v[:] = 0.0
        if j == 0:
            along[:] = u
        for i in range(size):
            square[i] += u[i] * u[i] + v[i] * v[i]
    lateral = math.sqrt(distance * distance - 1.0)
    across = step * math.sqrt(1.0 - cosine * cosine)
    for i in range(size):
        ahead = 1.0 + step * cosine
        beside = lateral + across * along[i] / math.sqrt(square[i])
        rest = across * across * (1.0 - along[i] * along[i] / square[i])
        length = math.sqrt(ahead * ahead + beside * beside + rest)
        # Back on the line to the image until the margin, 1 at the start, is gone.
        out[i] = length / ahead


@simulation(
    domain={"dimension": "{3, 4, ...}", "step": "[0, inf)"},
    keyed="distance step cosine dimension",
)
def distance_after_step(
    distance: float, cosine: float, step: float, dimension: int = 10_000
) -> Experiment:
    """Distance from the image of the next point on a plane at distance 1.

    The step's part across the normal has a direction of its own, drawn in full.
    """
    return mean(_stepped, distance, step, cosine, dimension, cost=dimension / 2.0)
