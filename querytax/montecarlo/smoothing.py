"""What input noise does to a function's mean, in full vectors and for worst cases.

The norm of the distance from one point is the Lipschitz function that noise moves
most; Huber's function of it is that for a gradient that is Lipschitz too.
"""

from __future__ import annotations

import math

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean, normals
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _norms(out, first, sigma, dimension, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    out[:] = 0.0
    for j in range((dimension + 1) // 2):
        normals(a, b, first, j, 0, k0, k1)
        kept = 1.0 if 2 * j + 1 < dimension else 0.0
        for i in range(out.size):
            out[i] += a[i] * a[i] + kept * (b[i] * b[i])
    for i in range(out.size):
        out[i] = sigma * math.sqrt(out[i])


@simulation()
def mean_norm(dimension: int) -> Experiment:
    """Euclidean norm of a standard normal vector."""
    return mean(_norms, 1.0, dimension, low=0.0, cost=dimension / 2.0)


@simulation(domain={"lipschitz": "[0, inf)"}, keyed="lipschitz dimension sigma")
def smoothing_gap(lipschitz: float, sigma: float, dimension: int) -> Experiment:
    """Rise of ``lipschitz |y - x|`` by noise on the input, at x."""
    return mean(_norms, lipschitz * sigma, dimension, low=0.0, cost=dimension / 2.0)


@kernel
def _probed(out, first, lipschitz, probe, sigma, dimension, k0, k1):  # type: ignore[no-untyped-def]
    u, v = np.empty(out.size), np.empty(out.size)
    here, there = np.zeros(out.size), np.zeros(out.size)
    for j in range(dimension):
        normals(u, v, first, j, 0, k0, k1)
        for i in range(out.size):
            x, y = sigma * v[i], probe * u[i] + sigma * v[i]
            here[i] += x * x
            there[i] += y * y
    for i in range(out.size):
        out[i] = lipschitz * (math.sqrt(there[i]) - math.sqrt(here[i]))


@simulation(domain={"lipschitz": "[0, inf)"}, keyed="lipschitz dimension probe sigma")
def probe_gap(
    lipschitz: float, probe: float, sigma: float, dimension: int
) -> Experiment:
    """Rise of ``lipschitz |y - x|`` by a normal probe at x, under noise.

    One noise vector serves both values of a draw.
    """
    return mean(_probed, lipschitz, probe, sigma, dimension, cost=dimension)


@kernel
def _huber(out, first, lipschitz, smoothness, sigma, dimension, k0, k1):  # type: ignore[no-untyped-def]
    _norms(out, first, sigma, dimension, k0, k1)
    for i in range(out.size):
        r = out[i]
        line = lipschitz * r - 0.5 * lipschitz * lipschitz / smoothness
        out[i] = 0.5 * smoothness * r * r if smoothness * r < lipschitz else line


@simulation(
    domain={"smoothness": "(0, inf)"}, keyed="lipschitz smoothness dimension sigma"
)
def smooth_gap(
    lipschitz: float, smoothness: float, sigma: float, dimension: int
) -> Experiment:
    """Rise of Huber's function of ``|y - x|`` by noise on the input, at x.

    A parabola of second derivative ``smoothness`` that goes on as a line of slope
    ``lipschitz``.
    """
    return mean(
        _huber, lipschitz, smoothness, sigma, dimension, low=0.0, cost=dimension / 2.0
    )


@kernel
def _quadratic(out, first, slope, curvature, sigma, dimension, k0, k1):  # type: ignore[no-untyped-def]
    """Rise of a quadratic by noise; its gradient weighs all inputs alike."""
    a, b = np.empty(out.size), np.empty(out.size)
    each, half = slope / math.sqrt(dimension), 0.5 * curvature
    out[:] = 0.0
    for j in range((dimension + 1) // 2):
        normals(a, b, first, j, 0, k0, k1)
        width = sigma if 2 * j + 1 < dimension else 0.0
        for i in range(out.size):
            x, y = sigma * a[i], width * b[i]
            out[i] += each * (x + y) + half * (x * x + y * y)


@kernel
def _squared(out, first, slope, curvature, sigma, dimension, k0, k1):  # type: ignore[no-untyped-def]
    """Half the squared difference of two independent values: its mean is a variance."""
    other = np.empty(out.size)
    _quadratic(out, first, slope, curvature, sigma, dimension, k0, k1)
    # The highest bit of the sample's number sets the second vector apart.
    far = first + (np.uint64(1) << np.uint64(63))
    _quadratic(other, far, slope, curvature, sigma, dimension, k0, k1)
    for i in range(out.size):
        out[i] = 0.5 * (out[i] - other[i]) ** 2


@simulation(keyed="curvature=mean_curvature dimension sigma gradient_norm")
def quadratic_gap(
    mean_curvature: float, sigma: float, dimension: int, gradient_norm: float = 0.0
) -> Experiment:
    """Rise of a quadratic by noise on the input."""
    return mean(
        _quadratic,
        gradient_norm,
        mean_curvature,
        sigma,
        dimension,
        cost=dimension / 2.0,
    )


@simulation(keyed="gradient_norm curvature=mean_curvature dimension sigma")
def quadratic_variance(
    gradient_norm: float, mean_curvature: float, sigma: float, dimension: int
) -> Experiment:
    """Variance of a quadratic under input noise; the law's spread is its root."""
    return mean(
        _squared,
        gradient_norm,
        mean_curvature,
        sigma,
        dimension,
        low=0.0,
        cost=dimension,
    )
