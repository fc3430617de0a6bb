"""Margins led backwards: answer two margins of a random place, and compare.

The place is drawn over one period, and an answer is made by looking for its attractor.
"""

from __future__ import annotations

import math

import numpy as np

from querytax.kernels import inlined, kernel
from querytax.montecarlo._blocks import event
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


@inlined
def _attractor(x):  # type: ignore[no-untyped-def]
    """The middle of the period of x, in periods."""
    return math.floor(x) + 0.5


@kernel
def _linear(out, first, gap, reverse, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        x, _ = uniform_pair(w0, w1, w2, w3)
        y = x + gap
        a, b = _attractor(x), _attractor(y)
        out[i] = b - reverse * (y - b) < a - reverse * (x - a)


@kernel
def _sine(out, first, gap, amplitude, k0, k1):  # type: ignore[no-untyped-def]
    turn = 2.0 * math.pi
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        x, _ = uniform_pair(w0, w1, w2, w3)
        y = x + gap
        one = x - amplitude * math.sin(turn * (x - _attractor(x)))
        two = y - amplitude * math.sin(turn * (y - _attractor(y)))
        out[i] = two < one


@simulation(domain={"gap": "(0, inf)"})
def wrong_sign(gap: float, period: float, reverse: float) -> Experiment:
    """Whether a rise of the margin is seen as a fall, from any place of a period."""
    return event(_linear, gap / period, reverse)


@simulation(domain={"gap": "(0, inf)"})
def sine_wrong_sign(gap: float, period: float, amplitude: float) -> Experiment:
    """The same where the answer swings around the margin."""
    return event(_sine, gap / period, amplitude)
