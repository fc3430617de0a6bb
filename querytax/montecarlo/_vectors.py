"""Losses along full vectors, drawn coordinate by coordinate for a block of samples.

What is kept of a vector is its products with others, so that memory does not grow with
the dimension.
"""

from __future__ import annotations

import math

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import normals


@kernel
def layer_noise(  # type: ignore[no-untyped-def]
    out, first, scale, features, repeats, base_repeats, lane, k0, k1
):
    """Add the noise of one layer's features to a difference of two mean losses."""
    size = out.size
    slope, slope1 = np.empty(size), np.empty(size)
    a, b = np.empty(size), np.empty(size)
    here, there, square = np.zeros(size), np.zeros(size), np.zeros(size)
    for j in range((features + 1) // 2):
        normals(slope, slope1, first, j, lane, k0, k1)
        if 2 * j + 1 == features:
            slope1[:] = 0.0
        for i in range(size):
            square[i] += slope[i] * slope[i] + slope1[i] * slope1[i]
        for k in range(repeats):
            normals(a, b, first, j * repeats + k, lane + 1, k0, k1)
            for i in range(size):
                here[i] += slope[i] * a[i] + slope1[i] * b[i]
        for k in range(base_repeats):
            normals(a, b, first, j * base_repeats + k, lane + 2, k0, k1)
            for i in range(size):
                there[i] += slope[i] * a[i] + slope1[i] * b[i]
    for i in range(size):
        noise = here[i] / repeats
        if base_repeats > 0:
            noise -= there[i] / base_repeats
        out[i] += scale * noise / math.sqrt(square[i])


@kernel
def loss_change(  # type: ignore[no-untyped-def]
    out, first, slope, step, curvature, dimension, k0, k1
):
    """Change of a quadratic loss over a step along a fresh normal vector."""
    size = out.size
    g, u = np.empty(size), np.empty(size)
    along, length, square = np.zeros(size), np.zeros(size), np.zeros(size)
    for j in range(dimension):
        normals(g, u, first, j, 0, k0, k1)
        for i in range(size):
            along[i] += g[i] * u[i]
            length[i] += g[i] * g[i]
            square[i] += u[i] * u[i]
    for i in range(size):
        out[i] = slope * step * along[i] / math.sqrt(length[i])
        out[i] += 0.5 * curvature * step * step * square[i]
