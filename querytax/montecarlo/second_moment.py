"""Squared length of a gradient estimate from one direction, in full vectors.

The loss is asked at ``x + probe u + sigma v`` and at its base, or at the reflected
probe, with a fresh noise vector for every query; their difference over the distance
times u is the estimate. Coordinates are drawn one after another and summed.
"""

from __future__ import annotations

import math

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean, normals
from querytax.montecarlo._network import DIFFERENCES, KEY, of_network, weights
from querytax.montecarlo.declared import Table, simulation
from querytax.montecarlo.runs import Experiment

_DIFFERENCES = {"differences": "'forward' | 'antithetic'"}


@kernel
def _moment(  # type: ignore[no-untyped-def]
    out, first, slope, curvature, probe, sigma, repeats, reflected, root, k0, k1
):
    """Of ``slope·x + Σ curvature x²/2``, or of its root."""
    size, dimension = out.size, curvature.size
    u, spare = np.empty(size), np.empty(size)
    ahead, behind = np.zeros((repeats, size)), np.zeros((repeats, size))
    v, w, square = np.empty(size), np.empty(size), np.zeros(size)
    back = -probe if reflected else 0.0
    for j in range(dimension):
        if j % 2 == 0:
            normals(u, spare, first, j // 2, 0, k0, k1)
        else:
            u[:] = spare
        half = 0.5 * curvature[j]
        for i in range(size):
            square[i] += u[i] * u[i]
        for k in range(repeats):
            if slope == 0.0 and half == 0.0:
                continue
            normals(v, w, first, j * repeats + k, 1, k0, k1)
            high, low = ahead[k], behind[k]
            for i in range(size):
                x, y = probe * u[i] + sigma * v[i], back * u[i] + sigma * w[i]
                high[i] += x * (slope + half * x)
                low[i] += y * (slope + half * y)
    distance = (2.0 if reflected else 1.0) * probe * repeats
    for i in range(size):
        change = 0.0
        for k in range(repeats):
            if root:
                change += math.sqrt(ahead[k, i]) - math.sqrt(behind[k, i])
            else:
                change += ahead[k, i] - behind[k, i]
        out[i] = (change / distance) ** 2 * square[i]


def _of(
    slope: float,
    curvatures: Table,
    probe: float,
    sigma: float,
    repeats: int,
    differences: str,
    root: bool = False,
) -> Experiment:
    return mean(
        _moment,
        slope / math.sqrt(curvatures.size),
        curvatures,
        probe,
        sigma,
        repeats,
        differences == "antithetic",
        root,
        low=0.0,
        cost=curvatures.size * (0.5 + repeats),
    )


@simulation(
    domain=_DIFFERENCES,
    keyed="gradient_norm dimension probe sigma repeats form=differences",
)
def linear(
    gradient_norm: float,
    probe: float,
    sigma: float,
    dimension: int,
    repeats: int = 1,
    differences: str = "forward",
) -> Experiment:
    """Squared length of the estimate of a linear loss that weighs all inputs alike."""
    flat = np.zeros(dimension)
    return _of(gradient_norm, flat, probe, sigma, repeats, differences)


@simulation(
    domain=_DIFFERENCES,
    keyed="gradient_norm curvature=curvatures probe sigma repeats form=differences",
)
def quadratic(
    gradient_norm: float,
    curvatures: Table,
    probe: float,
    sigma: float,
    repeats: int = 1,
    differences: str = "forward",
) -> Experiment:
    """Squared length of the estimate of a quadratic loss, as many inputs as curvatures.

    The gradient weighs all inputs alike.
    """
    return _of(gradient_norm, curvatures, probe, sigma, repeats, differences)


@simulation(domain=_DIFFERENCES, keyed="dimension probe sigma repeats form=differences")
def norm(
    probe: float,
    sigma: float,
    dimension: int,
    repeats: int = 1,
    differences: str = "forward",
) -> Experiment:
    """Squared length of the estimate of ``|y - x|`` at x.

    Of all functions of Lipschitz constant 1 it has the longest without noise.
    """
    bowl = np.full(dimension, 2.0)
    return _of(0.0, bowl, probe, sigma, repeats, differences, root=True)


@simulation(domain=DIFFERENCES, keyed=KEY)
def network(
    probe: float,
    sigma: float,
    dimension: int,
    hidden: int,
    directions: int,
    scale: float = 1.0,
    network: int = 0,
    differences: str = "forward",
) -> Experiment:
    """Squared length of the estimate of a tanh network's margin, over the gradient's.

    As :func:`querytax.montecarlo.angle.network`.
    """
    layers = weights(dimension, hidden, scale, network)
    return of_network(False, probe, sigma, directions, differences, layers)
