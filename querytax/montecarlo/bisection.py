"""Bisection on noisy labels: ask, take the majority, halve, until the halvings end.

Along the ray the margin is linear: a point at x is called adversarial where
``x + sigma z > radius``, with a fresh normal z for every label. An even number of
votes breaks ties by a coin.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment

_KEY = "radius=boundary sigma=ray_sigma halvings votes"


@kernel
def _coins(out, first, step, lane, k0, k1):  # type: ignore[no-untyped-def]
    """1 or -1 for each sample."""
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), step, lane, k0, k1)
        out[i] = 1.0 if uniform_pair(w0, w1, w2, w3)[0] > 0.5 else -1.0


@kernel
def _majority(out, first, rate, votes, k0, k1):  # type: ignore[no-untyped-def]
    coin, count = np.empty(out.size), np.zeros(out.size)
    for t in range((votes + 1) // 2):
        other = 1.0 if 2 * t + 1 < votes else 0.0
        for i in range(out.size):
            w0, w1, w2, w3 = philox(first + np.uint64(i), t, 0, k0, k1)
            x, y = uniform_pair(w0, w1, w2, w3)
            count[i] += np.float64(x < rate) + other * np.float64(y < rate)
    _coins(coin, first, 0, 1, k0, k1)
    for i in range(out.size):
        out[i] = count[i] + 0.25 * coin[i] > 0.5 * votes


@simulation(keyed="rate=label_error votes")
def majority(label_error: float, votes: int) -> Experiment:
    """Whether the majority of labels is wrong."""
    return event(_majority, label_error, votes, cost=0.5 + votes / 4.0)


@kernel
def _search(out, first, radius, sigma, halvings, votes, k0, k1):  # type: ignore[no-untyped-def]
    """The middle of the last interval, less ``radius``."""
    size, pairs = out.size, (votes + 1) // 2
    low, coin, ballot = np.zeros(size), np.zeros(size), np.empty(size)
    a, b = np.empty(size), np.empty(size)
    width = 1.0
    for step in range(halvings):
        width *= 0.5
        ballot[:] = 0.0
        for t in range(pairs):
            normals(a, b, first, step * pairs + t, 0, k0, k1)
            other = 1.0 if 2 * t + 1 < votes else 0.0
            for i in range(size):
                gap = low[i] + width - radius
                ballot[i] += 1.0 if gap + sigma * a[i] > 0.0 else -1.0
                ballot[i] += other if gap + sigma * b[i] > 0.0 else -other
        if votes % 2 == 0:
            _coins(coin, first, step, 1, k0, k1)
        for i in range(size):
            # Adversarial: the boundary is taken to lie below.
            low[i] += 0.0 if ballot[i] + 0.5 * coin[i] > 0.0 else width
    for i in range(size):
        out[i] = low[i] + 0.5 * width - radius


@kernel
def _found(out, first, radius, sigma, halvings, votes, k0, k1):  # type: ignore[no-untyped-def]
    _search(out, first, radius, sigma, halvings, votes, k0, k1)
    out += radius


@kernel
def _squares(out, first, radius, sigma, halvings, votes, k0, k1):  # type: ignore[no-untyped-def]
    _search(out, first, radius, sigma, halvings, votes, k0, k1)
    out *= out


def _bisected(
    fill: Any, boundary: float, ray_sigma: float, halvings: int, votes: int
) -> Experiment:
    return mean(
        fill,
        boundary,
        ray_sigma,
        halvings,
        votes,
        low=0.0,
        high=1.0,
        cost=halvings * (votes + 1) / 2.0,
    )


@simulation(keyed=_KEY, called="bisection.mean")
def mean_estimate(
    boundary: float, ray_sigma: float, halvings: int, votes: int = 1
) -> Experiment:
    """The point, the middle of the last interval, that bisection returns."""
    return _bisected(_found, boundary, ray_sigma, halvings, votes)


@simulation(keyed=_KEY)
def mean_square(
    boundary: float, ray_sigma: float, halvings: int, votes: int = 1
) -> Experiment:
    """Squared error of the point that bisection returns; the law's rmse is its root."""
    return _bisected(_squares, boundary, ray_sigma, halvings, votes)
