"""What the kernels of all topics share: normals of a block, a walk, and their sums.

A topic's kernel is ``fill(out, first, *values, k0, k1)``: it writes into ``out`` what
the samples ``first``, ``first + 1``, ... are worth, by their number alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._philox import normal_pair, philox
from querytax.montecarlo.runs import Draws, Experiment

Fill = Callable[..., Any]
LANES = 64
# As many samples at once as have their buffers in the cache of one core.
_CHUNK = 1 << 14


def _filled(fill: Fill, values: tuple[Any, ...]) -> Callable[..., Draws]:
    def draws(first: int, count: int, k0: Any, k1: Any) -> Draws:
        out = np.empty(count)
        for start in range(0, count, _CHUNK):
            part = out[start : start + _CHUNK]
            fill(part, np.uint64(first + start), *values, k0, k1)
        return out

    return draws


def event(fill: Fill, *values: Any, cost: float = 1.0) -> Experiment:
    """The experiment whose kernel writes 1 where the event happened, else 0."""
    draws = _filled(fill, values)

    def block(
        first: int, count: int, _: float, k0: Any, k1: Any
    ) -> tuple[float, float]:
        return float(draws(first, count, k0, k1).sum()), 0.0

    return Experiment("", {}, block, cost=cost, values=draws)


def mean(
    fill: Fill,
    *values: Any,
    low: float = -math.inf,
    high: float = math.inf,
    cost: float = 1.0,
) -> Experiment:
    """The experiment whose kernel writes numbers from ``low`` to ``high``."""
    draws = _filled(fill, values)

    def block(
        first: int, count: int, centre: float, k0: Any, k1: Any
    ) -> tuple[float, float]:
        out = draws(first, count, k0, k1)
        out -= centre
        total = float(out.sum())
        return total, float(np.square(out, out=out).sum())

    return Experiment("", {}, block, low, high, event=False, cost=cost, values=draws)


@kernel
def normals(even, odd, first, step, lane, k0, k1):  # type: ignore[no-untyped-def]
    """Two standard normals for each sample ``first + i`` at one step and lane."""
    for i in range(even.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), step, lane, k0, k1)
        even[i], odd[i] = normal_pair(w0, w1, w2, w3)


@kernel
def sums(total, first, number, lane, k0, k1):  # type: ignore[no-untyped-def]
    """Add to each sample's total as many fresh standard normals."""
    even, odd = np.empty(total.size), np.empty(total.size)
    for step in range(number // 2):
        normals(even, odd, first, step, lane, k0, k1)
        for i in range(total.size):
            total[i] += even[i] + odd[i]
    if number % 2:
        normals(even, odd, first, number // 2, lane, k0, k1)
        for i in range(total.size):
            total[i] += even[i]


@kernel
def settle(  # type: ignore[no-untyped-def]
    times, ends, at, end, sample, turn, place, start, active, following
):
    """Write down the lanes that are done, and give them the next samples.

    A lane is done where ``at`` is above 0. Returns how many lanes go on, and the
    number of the next sample. Without one, the last lane moves to the free place.
    """
    j = 0
    while j < active:
        if at[j] == 0.0:
            j += 1
            continue
        times[np.int64(sample[j])] = at[j]
        ends[np.int64(sample[j])] = end[j]
        if following < times.size:
            sample[j], turn[j], place[j] = np.uint64(following), np.uint64(0), start
            following += 1
            j += 1
        else:
            active -= 1
            sample[j], turn[j] = sample[active], turn[active]
            place[j], at[j], end[j] = place[active], at[active], end[active]
    return active, following


@kernel
def walk(  # type: ignore[no-untyped-def]
    times, ends, first, low, high, drift, spread, limit, k0, k1
):
    """Steps until a walk from 0 leaves [low, high], and where it then is.

    Its steps are N(drift, spread²). After ``limit`` steps it stays where it is, and
    its time is ``limit + 1``. Lanes that are done take the next sample.
    """
    place = np.zeros(LANES)
    turn = np.zeros(LANES, dtype=np.uint64)
    sample = np.arange(LANES).astype(np.uint64)
    at, end = np.empty(LANES), np.empty(LANES)
    active = following = min(times.size, LANES)
    while active > 0:
        left = 0
        for j in range(active):
            w0, w1, w2, w3 = philox(first + sample[j], turn[j], 0, k0, k1)
            a, b = normal_pair(w0, w1, w2, w3)
            x = place[j] + drift + spread * a
            y = x + drift + spread * b
            now = 2.0 * np.float64(np.int64(turn[j]))
            turn[j] += np.uint64(1)
            place[j] = y
            gone_x, gone_y = (x > high) | (x < low), (y > high) | (y < low)
            # The first of the two steps may be the last one allowed.
            over_x, over_y = now + 1.0 >= limit, now + 2.0 >= limit
            time = now + 2.0 if gone_y else limit + 1.0
            time = limit + 1.0 if over_x else time
            time = now + 1.0 if gone_x else time
            done = gone_x | gone_y | over_x | over_y
            at[j] = time if done else 0.0
            end[j] = x if gone_x | over_x else y
            left += done
        if left > 0:
            active, following = settle(
                times, ends, at, end, sample, turn, place, 0.0, active, following
            )
