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
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


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


def _up(drift: float) -> float:
    """Words below which a coordinate goes up."""
    return 0.5 * (1.0 + drift) * 2.0**32


@simulation(domain={"steps": "{1, 2, ...}"}, keyed="steps drift step [norm dimension]")
def displacement(
    drift: float, step: float, steps: int, dimension: int = 400, norm: str = "Linf"
) -> Experiment:
    """Mean displacement of walks after so many steps, lengths over the radius.

    In the box coordinates are independent, and one is drawn at a time, whatever the
    dimension; the ball has at least two.
    """
    if norm == "Linf":
        box = _up(drift), step, steps
        return mean(_place, *box, low=-1.0, high=1.0, cost=steps / 4.0)
    expect.that(dimension > 1, "a whole number >= 2", dimension=dimension)
    ball = drift, step, steps, dimension
    cost = 0.5 * steps * dimension
    return mean(_in_ball, *ball, low=-1.0, high=1.0, cost=cost)


@simulation()
def plateau(
    drift: float,
    step: float,
    dimension: int = 400,
    burn: int = 1000,
    norm: str = "Linf",
) -> Experiment:
    """Mean displacement of walks after ``burn`` steps."""
    return displacement(drift, step, burn, dimension, norm)


@simulation()
def spread(drift: float, step: float, burn: int = 1000) -> Experiment:
    """Variance of one coordinate of the box: half a squared gap of two."""
    return mean(_square_gap, _up(drift), step, burn, low=0.0, high=2.0, cost=burn / 2.0)


@simulation()
def first_passage(
    displacement: float, drift: float, step: float, dimension: int, limit: int
) -> Experiment:
    """Mean steps until the mean over the box's coordinates is at the displacement.

    A walk that is given up counts as ``limit`` steps.
    """
    return mean(
        _passed,
        displacement,
        _up(drift),
        step,
        dimension,
        limit,
        low=1.0,
        high=float(limit),
        cost=dimension * 16.0,
    )


@simulation(
    domain={"steps": "{1, 2, ...}"},
    keyed="displacement drift step dimension limit=steps",
)
def arrived(
    displacement: float, drift: float, step: float, dimension: int, steps: int
) -> Experiment:
    """Share of walks that have been at the displacement after so many steps."""
    return event(
        _in_time,
        displacement,
        _up(drift),
        step,
        dimension,
        steps,
        cost=dimension * steps / 4.0,
    )
