"""Squared length of a gradient estimate from one direction, in full vectors.

The loss is asked at ``x + probe u + sigma v`` and at its base, or at the reflected
probe, with a fresh noise vector for every query; their difference over the distance
times u is the estimate. Coordinates are drawn one after another and summed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import listed, mean, normals
from querytax.montecarlo._network import experiment as _of_network
from querytax.montecarlo.runs import Experiment

__all__ = ["linear", "network", "norm", "quadratic"]

_FORMS = ("forward", "antithetic")


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


def _experiment(
    name: str,
    arguments: dict[str, Any],
    slope: float,
    curvature: npt.NDArray[np.float64],
    probe: float,
    sigma: float,
    repeats: int,
    form: str,
    root: bool = False,
) -> Experiment:
    expect.one_of(_FORMS, form=form)
    m = int(expect.integer(repeats=repeats))
    return mean(
        f"second_moment.{name}",
        {
            **arguments,
            "probe": expect.positive(probe=probe),
            "sigma": expect.nonnegative(sigma=sigma),
            "repeats": m,
            "form": form,
        },
        _moment,
        slope / math.sqrt(curvature.size),
        curvature,
        float(probe),
        float(sigma),
        m,
        form == "antithetic",
        root,
        low=0.0,
        cost=curvature.size * (0.5 + m),
    )


def linear(
    gradient_norm: float,
    dimension: int,
    probe: float,
    sigma: float,
    repeats: int = 1,
    form: str = "forward",
) -> Experiment:
    """Squared length of the estimate of a linear loss that weighs all inputs alike.

    Parameters
    ----------
    gradient_norm : float
        Norm of the gradient, in [0, inf).
    dimension : int
        Dimension of the input.
    probe, sigma : float
        Standard deviations of the probe, in (0, inf), and of the noise, in [0, inf),
        on each input.
    repeats : int
        Repeats of every query, averaged.
    form : {"forward", "antithetic"}
        Which differences are taken.
    """
    flat = np.zeros(int(expect.integer(dimension=dimension)))
    slope = float(expect.nonnegative(gradient_norm=gradient_norm))
    arguments = {"gradient_norm": slope, "dimension": flat.size}
    return _experiment("linear", arguments, slope, flat, probe, sigma, repeats, form)


def quadratic(
    gradient_norm: float,
    curvature: npt.ArrayLike,
    probe: float,
    sigma: float,
    repeats: int = 1,
    form: str = "forward",
) -> Experiment:
    """Squared length of the estimate of a quadratic loss.

    Parameters
    ----------
    gradient_norm : float
        Norm of the gradient, in [0, inf); it weighs all inputs alike.
    curvature : array_like
        Eigenvalues of the Hessian, one for each input, finite.
    probe, sigma : float
        Standard deviations of the probe, in (0, inf), and of the noise, in [0, inf),
        on each input.
    repeats : int
        Repeats of every query, averaged.
    form : {"forward", "antithetic"}
        Which differences are taken.
    """
    values = np.atleast_1d(np.asarray(expect.finite(curvature=curvature), dtype=float))
    slope = float(expect.nonnegative(gradient_norm=gradient_norm))
    arguments = {"gradient_norm": slope, "curvature": listed(values)}
    return _experiment(
        "quadratic", arguments, slope, values, probe, sigma, repeats, form
    )


def norm(
    dimension: int,
    probe: float,
    sigma: float,
    repeats: int = 1,
    form: str = "forward",
) -> Experiment:
    """Squared length of the estimate of ``|y - x|`` at x.

    Of all functions of Lipschitz constant 1 it has the longest without noise.

    Parameters
    ----------
    dimension : int
        Dimension of the input.
    probe, sigma : float
        Standard deviations of the probe, in (0, inf), and of the noise, in [0, inf),
        on each input.
    repeats : int
        Repeats of every query, averaged.
    form : {"forward", "antithetic"}
        Which differences are taken.
    """
    d = int(expect.integer(dimension=dimension))
    return _experiment(
        "norm",
        {"dimension": d},
        0.0,
        np.full(d, 2.0),
        probe,
        sigma,
        repeats,
        form,
        root=True,
    )


def network(
    dimension: int,
    hidden: int,
    directions: int,
    probe: float,
    sigma: float,
    scale: float = 1.0,
    form: str = "forward",
    *,
    network: int = 0,
) -> Experiment:
    """Squared length of the estimate of a tanh network's margin, over the gradient's.

    The gradient is that of the noiseless margin at the attacked input.

    Parameters
    ----------
    dimension : int
        Dimension of the input.
    hidden : int
        Hidden units, all tanh.
    directions : int
        Directions averaged.
    probe, sigma : float
        Standard deviations of the probe, in (0, inf), and of the noise, in [0, inf),
        on each input.
    scale : float
        Standard deviation of what a hidden unit is given, in (0, inf): far below 1
        the network is linear.
    form : {"forward", "antithetic", "cached"}
        A base query for each direction, reflected probes, or one base query for all.
    network : int
        Seed of the weights and of the attacked input, at least 0.
    """
    return _of_network(
        "second_moment.network",
        dimension,
        hidden,
        directions,
        probe,
        sigma,
        scale,
        form,
        network,
    )
