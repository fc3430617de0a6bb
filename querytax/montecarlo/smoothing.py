"""What input noise does to a function's mean, in full vectors and for worst cases.

The norm of the distance from one point is the Lipschitz function that noise moves
most; Huber's function of it is that for a gradient that is Lipschitz too.
"""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean, normals
from querytax.montecarlo.runs import Experiment

__all__ = [
    "mean_norm",
    "probe_gap",
    "quadratic_gap",
    "quadratic_variance",
    "smooth_gap",
    "smoothing_gap",
]


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


def mean_norm(dimension: int) -> Experiment:
    """Euclidean norm of a standard normal vector.

    Parameters
    ----------
    dimension : int
        Coordinates drawn.
    """
    d = int(expect.integer(dimension=dimension))
    return mean(
        "smoothing.mean_norm", {"dimension": d}, _norms, 1.0, d, low=0.0, cost=d / 2.0
    )


def smoothing_gap(lipschitz: float, dimension: int, sigma: float) -> Experiment:
    """Rise of ``lipschitz |y - x|`` by noise on the input, at x.

    Parameters
    ----------
    lipschitz : float
        Lipschitz constant, in [0, inf).
    dimension : int
        Dimension of the input.
    sigma : float
        Standard deviation of the noise on each input, in (0, inf).
    """
    d = int(expect.integer(dimension=dimension))
    return mean(
        "smoothing.smoothing_gap",
        {
            "lipschitz": expect.nonnegative(lipschitz=lipschitz),
            "dimension": d,
            "sigma": expect.positive(sigma=sigma),
        },
        _norms,
        float(lipschitz) * sigma,
        d,
        low=0.0,
        cost=d / 2.0,
    )


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


def probe_gap(
    lipschitz: float, dimension: int, probe: float, sigma: float
) -> Experiment:
    """Rise of ``lipschitz |y - x|`` by a normal probe at x, under noise.

    One noise vector serves both values of a draw.

    Parameters
    ----------
    lipschitz : float
        Lipschitz constant, in [0, inf).
    dimension : int
        Dimension of the input.
    probe, sigma : float
        Standard deviations of the probe and of the noise on each input, in (0, inf).
    """
    d = int(expect.integer(dimension=dimension))
    return mean(
        "smoothing.probe_gap",
        {
            "lipschitz": expect.nonnegative(lipschitz=lipschitz),
            "dimension": d,
            "probe": expect.positive(probe=probe),
            "sigma": expect.positive(sigma=sigma),
        },
        _probed,
        float(lipschitz),
        float(probe),
        float(sigma),
        d,
        cost=d,
    )


@kernel
def _huber(out, first, lipschitz, smoothness, sigma, dimension, k0, k1):  # type: ignore[no-untyped-def]
    _norms(out, first, sigma, dimension, k0, k1)
    for i in range(out.size):
        r = out[i]
        line = lipschitz * r - 0.5 * lipschitz * lipschitz / smoothness
        out[i] = 0.5 * smoothness * r * r if smoothness * r < lipschitz else line


def smooth_gap(
    lipschitz: float, smoothness: float, dimension: int, sigma: float
) -> Experiment:
    """Rise of Huber's function of ``|y - x|`` by noise on the input, at x.

    A parabola of second derivative ``smoothness`` that goes on as a line of slope
    ``lipschitz``.

    Parameters
    ----------
    lipschitz, smoothness : float
        Lipschitz constants of the function and of its gradient, in (0, inf).
    dimension : int
        Dimension of the input.
    sigma : float
        Standard deviation of the noise on each input, in (0, inf).
    """
    d = int(expect.integer(dimension=dimension))
    return mean(
        "smoothing.smooth_gap",
        {
            "lipschitz": expect.positive(lipschitz=lipschitz),
            "smoothness": expect.positive(smoothness=smoothness),
            "dimension": d,
            "sigma": expect.positive(sigma=sigma),
        },
        _huber,
        float(lipschitz),
        float(smoothness),
        float(sigma),
        d,
        low=0.0,
        cost=d / 2.0,
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


def quadratic_gap(
    curvature: float, dimension: int, sigma: float, *, gradient_norm: float = 0.0
) -> Experiment:
    """Rise of a quadratic by noise on the input.

    Parameters
    ----------
    curvature : float
        Every eigenvalue of the Hessian, finite.
    dimension : int
        Dimension of the input.
    sigma : float
        Standard deviation of the noise on each input, in (0, inf).
    gradient_norm : float
        Norm of the gradient, in [0, inf).
    """
    d = int(expect.integer(dimension=dimension))
    return mean(
        "smoothing.quadratic_gap",
        {
            "curvature": expect.finite(curvature=curvature),
            "dimension": d,
            "sigma": expect.positive(sigma=sigma),
            "gradient_norm": expect.nonnegative(gradient_norm=gradient_norm),
        },
        _quadratic,
        float(gradient_norm),
        float(curvature),
        float(sigma),
        d,
        cost=d / 2.0,
    )


def quadratic_variance(
    gradient_norm: float, curvature: float, dimension: int, sigma: float
) -> Experiment:
    """Variance of a quadratic under input noise; the law's spread is its root.

    Parameters
    ----------
    gradient_norm : float
        Norm of the gradient, in [0, inf).
    curvature : float
        Every eigenvalue of the Hessian, finite; its Frobenius norm is √d times it.
    dimension : int
        Dimension of the input.
    sigma : float
        Standard deviation of the noise on each input, in (0, inf).
    """
    d = int(expect.integer(dimension=dimension))
    return mean(
        "smoothing.quadratic_variance",
        {
            "gradient_norm": expect.nonnegative(gradient_norm=gradient_norm),
            "curvature": expect.finite(curvature=curvature),
            "dimension": d,
            "sigma": expect.positive(sigma=sigma),
        },
        _squared,
        float(gradient_norm),
        float(curvature),
        float(sigma),
        d,
        low=0.0,
        cost=d,
    )
