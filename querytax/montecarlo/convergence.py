"""Walks of fixed steps in a budget: step every coordinate and clip, step by step.

In the box the attack steps each coordinate by ``step`` up with chance (1 + drift)/2,
else down, and is clipped to [-1, 1]; its displacement is the mean over coordinates. In
the ball it steps by ``step`` along its direction, whose cosine with the first axis is
``drift`` and the rest of which is uniform, and is projected onto the unit ball.
"""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals
from querytax.montecarlo._philox import philox
from querytax.montecarlo.runs import Experiment

__all__ = ["arrived", "displacement", "first_passage", "plateau", "spread"]


@kernel
def _coordinate(out, first, up, step, steps, lane, k0, k1):  # type: ignore[no-untyped-def]
    """Where one coordinate is after the steps; a word of 32 bits decides each."""
    for i in range(out.size):
        x = 0.0
        for t in range((steps + 3) // 4):
            words = philox(first + np.uint64(i), t, lane, k0, k1)
            for j in range(min(4, steps - 4 * t)):
                x += step if np.float64(np.int64(words[j])) < up else -step
                x = min(max(x, -1.0), 1.0)
        out[i] = x


@kernel
def _place(out, first, up, step, steps, k0, k1):  # type: ignore[no-untyped-def]
    _coordinate(out, first, up, step, steps, 0, k0, k1)


@kernel
def _square_gap(out, first, up, step, steps, k0, k1):  # type: ignore[no-untyped-def]
    other = np.empty(out.size)
    _coordinate(out, first, up, step, steps, 0, k0, k1)
    _coordinate(other, first, up, step, steps, 1, k0, k1)
    for i in range(out.size):
        out[i] = 0.5 * (out[i] - other[i]) ** 2


@kernel
def _in_ball(out, first, drift, step, steps, dimension, k0, k1):  # type: ignore[no-untyped-def]
    """Displacement of whole walks; ``goal`` above 1 is never reached."""
    even, odd = np.empty(1), np.empty(1)
    x, move = np.empty(dimension), np.empty(dimension + 1)
    for i in range(out.size):
        sample = first + np.uint64(i)
        x[:] = 0.0
        for t in range(steps):
            _ball_step(x, move, even, odd, sample, t, drift, step, k0, k1)
        out[i] = x[0]


@kernel
def _ball_step(x, move, even, odd, sample, t, drift, step, k0, k1):  # type: ignore[no-untyped-def]
    d = x.size
    total = 0.0
    for j in range((d + 1) // 2):
        normals(even, odd, sample, t, j, k0, k1)
        move[2 * j], move[2 * j + 1] = even[0], odd[0]
    for j in range(1, d):
        total += move[j] * move[j]
    side = math.sqrt((1.0 - drift * drift) / total)
    length = 0.0
    x[0] += step * drift
    for j in range(1, d):
        x[j] += step * side * move[j]
    for j in range(d):
        length += x[j] * x[j]
    if length > 1.0:
        for j in range(d):
            x[j] /= math.sqrt(length)


@kernel
def _passed(out, first, goal, up, step, dimension, limit, k0, k1):  # type: ignore[no-untyped-def]
    """Steps until the mean over the coordinates is at the goal; ``limit`` at most."""
    x = np.empty(dimension)
    for i in range(out.size):
        sample = first + np.uint64(i)
        x[:] = 0.0
        taken = limit
        for t in range(limit):
            total = 0.0
            for block in range((dimension + 3) // 4):
                words = philox(sample, t, block, k0, k1)
                for j in range(4 * block, min(4 * block + 4, dimension)):
                    word = np.float64(np.int64(words[j - 4 * block]))
                    x[j] += step if word < up else -step
                    x[j] = min(max(x[j], -1.0), 1.0)
                    total += x[j]
            # A sum of steps rounds: a goal met in exact numbers counts as met.
            if total >= (goal - 1e-12) * dimension:
                taken = t + 1
                break
        out[i] = taken


@kernel
def _in_time(out, first, goal, up, step, dimension, limit, k0, k1):  # type: ignore[no-untyped-def]
    _passed(out, first, goal, up, step, dimension, limit + 1, k0, k1)
    for i in range(out.size):
        out[i] = out[i] <= limit


def _chance(drift: float, step: float) -> tuple[float, float]:
    """Words below which a coordinate goes up, and the step."""
    expect.unit(drift=drift)
    return 0.5 * (1.0 + drift) * 2.0**32, float(expect.positive(step=step))


def displacement(
    steps: int, drift: float, step: float, norm: str = "Linf", dimension: int = 400
) -> Experiment:
    """Mean displacement of walks after so many steps.

    Parameters
    ----------
    steps : int
        Steps, at least 1.
    drift : float
        Cosine of a step with the useful direction, in [0, 1].
    step : float
        Length of a step over the radius, > 0.
    norm : {"Linf", "L2"}
        The ball. In the box coordinates are independent, and one is drawn at a time.
    dimension : int
        Coordinates of the ball, at least 2.
    """
    n = int(expect.integer(steps=steps))
    up, length = _chance(drift, step)
    arguments: dict[str, float | str] = {"steps": n, "drift": drift, "step": step}
    expect.one_of(("Linf", "L2"), norm=norm)
    if norm == "Linf":
        return mean(
            "convergence.displacement",
            arguments,
            _place,
            up,
            length,
            n,
            low=-1.0,
            high=1.0,
            cost=n / 4.0,
        )
    d = int(expect.integer(2, dimension=dimension))
    return mean(
        "convergence.displacement",
        {**arguments, "norm": norm, "dimension": d},
        _in_ball,
        float(drift),
        length,
        n,
        d,
        low=-1.0,
        high=1.0,
        cost=0.5 * n * d,
    )


def plateau(
    drift: float,
    step: float,
    norm: str = "Linf",
    burn: int = 1000,
    dimension: int = 400,
) -> Experiment:
    """Mean displacement of walks after ``burn`` steps; parameters as before."""
    return displacement(burn, drift, step, norm, dimension)


def spread(drift: float, step: float, burn: int = 1000) -> Experiment:
    """Variance of one coordinate of the box after ``burn`` steps: half a squared gap.

    Parameters
    ----------
    drift : float
        Cosine of a step with the useful direction, in [0, 1].
    step : float
        Length of a step over the radius, > 0.
    burn : int
        Steps, at least 1.
    """
    n = int(expect.integer(burn=burn))
    return mean(
        "convergence.spread",
        {"drift": drift, "step": step, "burn": n},
        _square_gap,
        *_chance(drift, step),
        n,
        low=0.0,
        high=2.0,
        cost=n / 2.0,
    )


def _walk(
    displacement: float, drift: float, step: float, dimension: int, limit: int
) -> tuple[dict[str, float | str], tuple[float, ...]]:
    d, n = int(expect.integer(dimension=dimension)), int(expect.integer(limit=limit))
    values = (
        float(expect.unit(displacement=displacement)),
        *_chance(drift, step),
        d,
        n,
    )
    arguments: dict[str, float | str] = {
        "displacement": displacement,
        "drift": drift,
        "step": step,
        "dimension": d,
        "limit": n,
    }
    return arguments, values


def first_passage(
    displacement: float, drift: float, step: float, dimension: int, limit: int
) -> Experiment:
    """Mean steps until the mean over the box's coordinates is at the displacement.

    Parameters
    ----------
    displacement : float
        Distance to cover over the radius, in [0, 1].
    drift : float
        Chance of a step up less that of one down, in [0, 1].
    step : float
        Length of a step over the radius, > 0.
    dimension : int
        Coordinates, at least 1.
    limit : int
        Steps after which a walk is given up, and counts as so many.
    """
    arguments, values = _walk(displacement, drift, step, dimension, limit)
    return mean(
        "convergence.first_passage",
        arguments,
        _passed,
        *values,
        low=1.0,
        high=float(limit),
        cost=dimension * 16.0,
    )


def arrived(
    steps: int, displacement: float, drift: float, step: float, dimension: int
) -> Experiment:
    """Share of walks that have been at the displacement after so many steps.

    Parameters
    ----------
    steps : int
        Steps, at least 1.
    displacement, drift, step, dimension
        As in :func:`first_passage`.
    """
    n = int(expect.integer(steps=steps))
    arguments, values = _walk(displacement, drift, step, dimension, n)
    return event(
        "convergence.arrived", arguments, _in_time, *values, cost=dimension * n / 4.0
    )
