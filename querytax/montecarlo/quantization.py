"""Rounded answers: noise, then rounding to the nearest step, then what one looks at."""

from __future__ import annotations

import math

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _visible(out, first, gap, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        x, _ = uniform_pair(w0, w1, w2, w3)
        out[i] = math.floor(x + gap + 0.5) != math.floor(x + 0.5)


@simulation(keyed="gap step=grain")
def visibility(gap: float, grain: float) -> Experiment:
    """Whether two outputs round to different values, the lower one anywhere."""
    return event(_visible, gap / grain)


@kernel
def _rounded(out, first, output, sigma, step, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    for i in range(out.size):
        x, y = (output + sigma * a[i]) / step, (output + sigma * b[i]) / step
        out[i] = 0.5 * step * (math.floor(x + 0.5) + math.floor(y + 0.5))


@simulation(keyed="output sigma step=grain")
def dither_mean(output: float, sigma: float, grain: float) -> Experiment:
    """A noisy output after rounding; a draw is the mean of two."""
    return mean(_rounded, output, sigma, grain)


@kernel
def _signs(out, first, output, gap, sigma, queries, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    total = np.zeros(out.size)
    for q in range(queries):
        normals(a, b, first, q, 0, k0, k1)
        for i in range(out.size):
            high = math.floor(output + gap + sigma * a[i] + 0.5)
            total[i] += high - math.floor(output + sigma * b[i] + 0.5)
    for i in range(out.size):
        tie = 0.5 if total[i] == 0.0 else 0.0
        out[i] = 1.0 if total[i] < 0.0 else tie


@simulation(
    domain={"queries": "{1, 2, ...}"}, keyed="output gap sigma step=grain queries"
)
def sign_error(
    output: float, gap: float, sigma: float, grain: float, queries: int = 1
) -> Experiment:
    """Whether the means of noisy rounded outputs come in the wrong order.

    Two outputs, each asked so often; a draw is 1 for the wrong order, 1/2 for a tie.
    """
    return mean(
        _signs,
        output / grain,
        gap / grain,
        sigma / grain,
        queries,
        low=0.0,
        high=1.0,
        cost=queries,
    )


@kernel
def _uniform_error(out, first, output, step, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        u, v = uniform_pair(w0, w1, w2, w3)
        x = math.floor(output + (u - 0.5) + 0.5) - output
        y = math.floor(output + (v - 0.5) + 0.5) - output
        out[i] = 0.5 * step * step * (x * x + y * y)


@simulation(keyed="output step=grain")
def uniform_dither_variance(output: float, grain: float) -> Experiment:
    """Squared error of an output rounded under uniform noise; the mean of two."""
    return mean(_uniform_error, output / grain, grain, low=0.0, high=grain * grain)


@kernel
def _uniform_pair(out, first, gap, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        u, v = uniform_pair(w0, w1, w2, w3)
        w0, w1, w2, w3 = philox(first + np.uint64(i), 1, 0, k0, k1)
        x, _ = uniform_pair(w0, w1, w2, w3)
        seen = math.floor(x + gap + v) - math.floor(x + u)
        tie = 0.5 if seen == 0.0 else 0.0
        out[i] = 1.0 if seen < 0.0 else tie


@simulation(keyed="gap step=grain")
def uniform_dither_wrong_sign(gap: float, grain: float) -> Experiment:
    """Whether a pair rounded under uniform noise misleads, from any lower output."""
    return mean(_uniform_pair, gap / grain, low=0.0, high=1.0, cost=2.0)
