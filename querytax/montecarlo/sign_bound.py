"""Flipped signs on functions that bounds on them are held against, in full vectors.

Each is Lipschitz; two inputs lie on the first axis, every query has a noise vector of
its own, and a draw is whether the measured difference has the wrong sign.
"""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, normals
from querytax.montecarlo.runs import Experiment

__all__ = ["cusp", "linear", "norm"]

_LINEAR, _NORM, _CUSP = 0, 1, 2
# Half the height of the slope between the two cusps.
_SLOPE = 1e-3


@kernel
def _noisy(  # type: ignore[no-untyped-def]
    total,
    first,
    place,
    apart,
    height,
    sigma,
    dimension,
    form,
    query,
    lane,
    sign,
    k0,
    k1,
):
    """Add a fresh noisy value at ``place`` on the first axis, times ``sign``."""
    size, pairs = total.size, (dimension + 1) // 2
    axis, square = np.empty(size), np.zeros(size)
    a, b = np.empty(size), np.empty(size)
    for j in range(pairs):
        normals(a, b, first, query * pairs + j, lane, k0, k1)
        width = sigma if 2 * j + 1 < dimension else 0.0
        if j == 0:
            for i in range(size):
                axis[i], square[i] = place + sigma * a[i], (width * b[i]) ** 2
            if form == _LINEAR:
                break
        else:
            for i in range(size):
                x, y = sigma * a[i], width * b[i]
                square[i] += x * x + y * y
    for i in range(size):
        x = axis[i]
        value = x
        if form != _LINEAR:
            value = math.sqrt(x * x + square[i])
        if form == _CUSP:
            far = height + math.sqrt((x - apart) ** 2 + square[i])
            middle = min(max(x - 0.5 * apart, -_SLOPE), _SLOPE) + 0.5 * height
            value = max(min(middle, far), -value)
        total[i] += sign * value


@kernel
def _flipped(  # type: ignore[no-untyped-def]
    out, first, base, candidate, height, sigma, dimension, repeats, form, k0, k1
):
    out[:] = 0.0
    apart = candidate - base
    for q in range(repeats):
        _noisy(
            out, first, candidate, apart, height, sigma, dimension, form, q, 0, 1.0,
            k0, k1,
        )  # fmt: skip
        _noisy(
            out, first, base, apart, height, sigma, dimension, form, q, 1, -1.0, k0, k1
        )
    for i in range(out.size):
        out[i] = out[i] * height <= 0.0


def _cost(dimension: int, repeats: int) -> float:
    return repeats * (dimension + 1.0)


def linear(
    difference: float, lipschitz: float, sigma: float, repeats: int = 1
) -> Experiment:
    """Whether noise flips the sign of a linear loss's difference.

    Only the coordinates along its gradient are drawn, the others do not move it.

    Parameters
    ----------
    difference : float
        Size of the noiseless difference, in (0, inf).
    lipschitz : float
        Slope of the loss, in (0, inf).
    sigma : float
        Standard deviation of the noise on each input, in (0, inf).
    repeats : int
        Repeats of both queries, averaged.
    """
    m = int(expect.integer(repeats=repeats))
    apart = float(expect.positive(difference=difference))
    apart /= float(expect.positive(lipschitz=lipschitz))
    return event(
        "sign_bound.linear",
        {
            "difference": difference,
            "lipschitz": lipschitz,
            "sigma": expect.positive(sigma=sigma),
            "repeats": m,
        },
        _flipped,
        0.0,
        apart,
        1.0,
        float(sigma),
        1,
        m,
        _LINEAR,
        cost=_cost(1, m),
    )


def norm(
    near: float, far: float, dimension: int, sigma: float, repeats: int = 1
) -> Experiment:
    """Whether noise flips the sign of a difference of distances from the origin.

    Parameters
    ----------
    near, far : float
        Distances of base and candidate from the origin, ``0 <= near < far``.
    dimension : int
        Dimension of the input.
    sigma : float
        Standard deviation of the noise on each input, in (0, inf).
    repeats : int
        Repeats of both queries, averaged.
    """
    d = int(expect.integer(dimension=dimension))
    m = int(expect.integer(repeats=repeats))
    expect.nonnegative(near=near)
    expect.that(expect.positive(far=far) > near, f"above near, {near:g}", far=far)
    return event(
        "sign_bound.norm",
        {
            "near": near,
            "far": far,
            "dimension": d,
            "sigma": expect.positive(sigma=sigma),
            "repeats": m,
        },
        _flipped,
        float(near),
        float(far),
        1.0,
        float(sigma),
        d,
        m,
        _NORM,
        cost=_cost(d, m),
    )


def cusp(
    difference: float,
    displacement: float,
    dimension: int,
    sigma: float,
    repeats: int = 1,
) -> Experiment:
    """Whether noise flips a sign that two cusps hide, one up and one down.

    ``max(min(clip(y₁ - D/2) - h/2, |y - x'| - h), -|y - x|)`` with the clip to ±0.001
    has Lipschitz constant 1 and differs by -h from x to x', though it does so next to
    these points alone.

    Parameters
    ----------
    difference : float
        Size h of the noiseless difference, in (0, displacement].
    displacement : float
        Distance D of the two inputs, in (0, inf).
    dimension : int
        Dimension of the input.
    sigma : float
        Standard deviation of the noise on each input, in (0, inf).
    repeats : int
        Repeats of both queries, averaged.
    """
    d = int(expect.integer(dimension=dimension))
    m = int(expect.integer(repeats=repeats))
    apart = float(expect.positive(displacement=displacement))
    height = float(expect.positive(difference=difference))
    expect.that(height <= apart, f"at most {apart:g}", difference=difference)
    return event(
        "sign_bound.cusp",
        {
            "difference": height,
            "displacement": apart,
            "dimension": d,
            "sigma": expect.positive(sigma=sigma),
            "repeats": m,
        },
        _flipped,
        0.0,
        apart,
        -height,
        float(sigma),
        d,
        m,
        _CUSP,
        cost=_cost(d, m),
    )
