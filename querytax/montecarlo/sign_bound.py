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
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment

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


@simulation(domain={"gap": "(0, inf)"}, keyed="difference=gap lipschitz sigma repeats")
def linear(gap: float, lipschitz: float, sigma: float, repeats: int = 1) -> Experiment:
    """Whether noise flips the sign of a linear loss's difference.

    Only the coordinates along its gradient are drawn, the others do not move it.
    """
    gap /= lipschitz
    return event(
        _flipped, 0.0, gap, 1.0, sigma, 1, repeats, _LINEAR, cost=_cost(1, repeats)
    )


@simulation(domain={"far": "(0, inf)"}, keyed="near far dimension sigma repeats")
def norm(
    near: float, far: float, sigma: float, dimension: int, repeats: int = 1
) -> Experiment:
    """Whether noise flips the sign of a difference of distances from the origin."""
    expect.that(far > near, f"above near, {near:g}", far=far)
    return event(
        _flipped,
        near,
        far,
        1.0,
        sigma,
        dimension,
        repeats,
        _NORM,
        cost=_cost(dimension, repeats),
    )


@simulation(
    domain={"separation": "(0, inf)", "gap": "(0, inf)"},
    keyed="difference=gap displacement=separation dimension sigma repeats",
)
def cusp(
    gap: float, separation: float, sigma: float, dimension: int, repeats: int = 1
) -> Experiment:
    """Whether noise flips a sign that two cusps hide, one up and one down.

    ``max(min(clip(y₁ - D/2) - h/2, |y - x'| - h), -|y - x|)`` with the clip to ±0.001
    has Lipschitz constant 1 and differs by -h from x to x', though it does so next to
    these points alone.
    """
    expect.that(gap <= separation, f"at most {separation:g}", gap=gap)
    return event(
        _flipped,
        0.0,
        separation,
        -gap,
        sigma,
        dimension,
        repeats,
        _CUSP,
        cost=_cost(dimension, repeats),
    )
