"""First passages: let noisy paths run until they are there.

A walk has steps of N(√S, 1) and is looked at after each. A path in continuous time is
drawn at instants, and between two of them it crosses with the chance that a Brownian
bridge has.
"""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import LANES, event, mean, settle, walk
from querytax.montecarlo._philox import log, normal_pair, philox, uniform_pair
from querytax.montecarlo.declared import settled, simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _times(out, first, goal, drift, k0, k1):  # type: ignore[no-untyped-def]
    ends = np.empty(out.size)
    walk(out, ends, first, -np.inf, goal, drift, 1.0, np.inf, k0, k1)


@kernel
def _beyond(out, first, goal, drift, k0, k1):  # type: ignore[no-untyped-def]
    times = np.empty(out.size)
    walk(times, out, first, -np.inf, goal, drift, 1.0, np.inf, k0, k1)
    out -= goal


@kernel
def _within(out, first, goal, drift, steps, inside, k0, k1):  # type: ignore[no-untyped-def]
    ends = np.empty(out.size)
    walk(out, ends, first, -np.inf, goal, drift, 1.0, steps, k0, k1)
    for i in range(out.size):
        out[i] = (out[i] <= steps) == inside


@simulation(domain={"snr": "(0, inf)"}, keyed="snr steps=noiseless_steps")
def walk_mean(snr: float, noiseless_steps: float) -> Experiment:
    """Mean number of steps until a walk is beyond its goal."""
    root = math.sqrt(snr)
    return mean(
        _times,
        noiseless_steps * root,
        root,
        low=1.0,
        cost=1.0 + (noiseless_steps + 1.0 / root) / 2.0,
    )


@simulation(domain={"snr": "(0, inf)"})
def first_gain(snr: float) -> Experiment:
    """Mean number of steps until a walk first lies above its start."""
    root = math.sqrt(snr)
    return mean(_times, 0.0, root, low=1.0, cost=1.0 + 0.5 / root)


@simulation(domain={"snr": "(0, inf)"}, keyed="snr distance=level")
def overshoot(snr: float, level: float = 10.0) -> Experiment:
    """Mean overshoot of a walk over a level, in noise of one step."""
    root = math.sqrt(snr)
    return mean(_beyond, level, root, low=0.0, cost=1.0 + 0.5 * (level + 1.0) / root)


@simulation(domain={"steps": "{1, 2, ...}"})
def no_gain(steps: int, snr: float = 0.0) -> Experiment:
    """Share of walks that have not yet been above their start."""
    return event(
        _within, 0.0, math.sqrt(snr), float(steps), False, cost=math.sqrt(steps)
    )


def _way(snr: float, noiseless_steps: float) -> tuple[float, float]:
    """The goal and the drift of a step, both in its noise."""
    return noiseless_steps * math.sqrt(snr), math.sqrt(snr)


@simulation(
    domain={"snr": "(0, inf)", "steps": "{1, 2, ...}"}, keyed="steps distance drift"
)
def walk_arrived(snr: float, noiseless_steps: float, steps: int) -> Experiment:
    """Share of walks that have been beyond their goal, looked at after each step."""
    goal, drift = _way(snr, noiseless_steps)
    cost = (steps + 1) / 2.0
    drawn = event(_within, goal, drift, float(steps), True, cost=cost)
    return settled(drawn, distance=goal, drift=drift)


@kernel
def _path(  # type: ignore[no-untyped-def]
    times, first, start, goal, keep, drift, spread, limit, k0, k1
):
    """Steps until x <- keep x + drift + spread ξ has crossed the goal between two.

    The crossing counts as halfway through its step; ``limit + 1`` if there is none.
    """
    place, turn = np.full(LANES, start), np.zeros(LANES, dtype=np.uint64)
    sample = np.arange(LANES).astype(np.uint64)
    at, end, ends = np.empty(LANES), np.empty(LANES), np.empty(times.size)
    active = following = min(times.size, LANES)
    bridge = 2.0 / (spread * spread)
    while active > 0:
        left = 0
        for j in range(active):
            w0, w1, w2, w3 = philox(first + sample[j], turn[j], 0, k0, k1)
            a, b = normal_pair(w0, w1, w2, w3)
            w0, w1, w2, w3 = philox(first + sample[j], turn[j], 1, k0, k1)
            u, v = uniform_pair(w0, w1, w2, w3)
            o = place[j]
            x = keep * o + drift + spread * a
            y = keep * x + drift + spread * b
            now = 2.0 * np.float64(np.int64(turn[j]))
            turn[j] += np.uint64(1)
            place[j] = end[j] = y
            # A bridge between two points below the goal reaches it with this chance.
            gone_x = -log(u) > bridge * (goal - o) * (goal - x)
            gone_y = -log(v) > bridge * (goal - x) * (goal - y)
            over_x, over_y = now + 1.0 >= limit, now + 2.0 >= limit
            time = now + 1.5 if gone_y else limit + 1.0
            time = limit + 1.0 if over_x else time
            time = now + 0.5 if gone_x else time
            done = gone_x | gone_y | over_x | over_y
            at[j] = time if done else 0.0
            left += done
        if left > 0:
            active, following = settle(
                times, ends, at, end, sample, turn, place, start, active, following
            )


@kernel
def _reached(out, first, goal, drift, spread, looks, k0, k1):  # type: ignore[no-untyped-def]
    _path(out, first, 0.0, goal, 1.0, drift, spread, looks, k0, k1)
    for i in range(out.size):
        out[i] = out[i] <= looks


@simulation(
    domain={"snr": "(0, inf)", "steps": "(0, inf)"}, keyed="steps distance drift looks"
)
def arrived(
    snr: float, noiseless_steps: float, steps: float, looks: int = 10
) -> Experiment:
    """Share of drifting Brownian paths that have reached their goal by some time."""
    goal, drift = _way(snr, noiseless_steps)
    drawn = event(
        _reached,
        goal,
        drift * steps / looks,
        math.sqrt(steps / looks),
        float(looks),
        cost=looks + 1.0,
    )
    return settled(drawn, distance=goal, drift=drift)


@kernel
def _held(out, first, start, goal, interval, k0, k1):  # type: ignore[no-untyped-def]
    keep = math.exp(-interval)
    spread = math.sqrt(-math.expm1(-2.0 * interval))
    _path(out, first, start, goal, keep, 0.0, spread, np.inf, k0, k1)
    out *= interval


@simulation()
def ou_mean(origin: float, target: float, interval: float = 0.01) -> Experiment:
    """Mean time until a path held about a mean first reaches a goal above it.

    In units of 1/θ, θ the rate of the pull. The path is exact at its instants; between
    them the pull is left out: the time is too long by parts in 10³ for an interval of
    0.02, and by parts in 10² for 0.1.
    """
    expect.that(target > origin, "above the origin", target=target)
    return mean(_held, origin, target, interval, low=0.0, cost=1.0 + 2.0 / interval)
