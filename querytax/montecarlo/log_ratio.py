"""Logarithms of ratios of noisy outputs: draw both answers, release, and subtract.

What the defender releases has three forms: ``"raw"``, of which the magnitude is read;
``"reflect"``, min(\\|F+v\\|, 1); and ``"clip"``, F+v cut at 1 and at a floor above 0,
for a clipped answer of 0 has no logarithm.
"""

from __future__ import annotations

import sys

import numpy as np

from querytax import expect
from querytax.kernels import inlined, kernel
from querytax.montecarlo._blocks import mean as mean_of
from querytax.montecarlo._philox import log, normal_pair, philox
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


@inlined
def _draw(sample, step, one, two, sigma, fold, low, high, k0, k1):  # type: ignore[no-untyped-def]
    w0, w1, w2, w3 = philox(sample, step, 0, k0, k1)
    a, b = normal_pair(w0, w1, w2, w3)
    x, y = one + sigma * a, two + sigma * b
    x, y = (abs(x) if fold else x), (abs(y) if fold else y)
    x, y = min(max(x, low), high), min(max(y, low), high)
    return log(x / y)


@kernel
def _logs(out, first, one, two, sigma, fold, low, high, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        sample = first + np.uint64(i)
        out[i] = _draw(sample, 0, one, two, sigma, fold, low, high, k0, k1)


@kernel
def _spreads(out, first, one, two, sigma, fold, low, high, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        sample = first + np.uint64(i)
        x = _draw(sample, 0, one, two, sigma, fold, low, high, k0, k1)
        y = _draw(sample, 1, one, two, sigma, fold, low, high, k0, k1)
        out[i] = 0.5 * (x - y) * (x - y)


_RELEASED = simulation(keyed="output other_output sigma form=release floor")


def _rules(release: str, floor: float) -> tuple[bool, float, float]:
    """Whether outputs are folded, and where they are cut."""
    clipped = release == "clip"
    expect.that(
        (floor > 0.0) == clipped,
        "above 0 where outputs are clipped, else 0",
        floor=floor,
    )
    # The smallest number with a logarithm; no draw comes near.
    low = floor if clipped else sys.float_info.min
    return not clipped, low, sys.float_info.max if release == "raw" else 1.0


@_RELEASED
def mean(
    output: float,
    other_output: float,
    sigma: float,
    floor: float = 0.0,
    release: str = "raw",
) -> Experiment:
    """Mean logarithm of the ratio of two noisy outputs as released."""
    rules = _rules(release, floor)
    return mean_of(_logs, output, other_output, sigma, *rules)


@_RELEASED
def variance(
    output: float,
    other_output: float,
    sigma: float,
    floor: float = 0.0,
    release: str = "raw",
) -> Experiment:
    """Variance of that logarithm: half the squared difference of two of them."""
    rules = _rules(release, floor)
    return mean_of(_spreads, output, other_output, sigma, *rules, cost=2.0)
