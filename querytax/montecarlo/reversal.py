"""Margins led backwards: answer two margins of a random place, and compare.

The place is drawn over one period, and an answer is made by looking for its attractor.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from querytax import expect
from querytax.kernels import inlined, kernel
from querytax.montecarlo._blocks import event
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo.runs import Experiment

__all__ = ["sine_wrong_sign", "wrong_sign"]


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


def _compared(name: str, fill: Any, gap: float, period: float, **how: float) -> Any:
    ((parameter, value),) = how.items()
    expect.positive(**how)
    return event(
        f"reversal.{name}",
        {
            "gap": expect.positive(gap=gap),
            "period": expect.positive(period=period),
            parameter: value,
        },
        fill,
        float(gap) / float(period),
        float(value),
    )


def wrong_sign(gap: float, period: float, reverse: float) -> Experiment:
    """Whether a rise of the margin is seen as a fall, from any place of a period.

    Parameters
    ----------
    gap : float
        Size of the change of the margin, in (0, inf).
    period : float
        Distance of neighbouring attractors, in (0, inf).
    reverse : float
        Steepness of the answer's fall within a period, in (0, inf).
    """
    made: Experiment = _compared("wrong_sign", _linear, gap, period, reverse=reverse)
    return made


def sine_wrong_sign(gap: float, period: float, amplitude: float) -> Experiment:
    """The same where the answer swings around the margin.

    Parameters
    ----------
    gap : float
        Size of the change of the margin, in (0, inf).
    period : float
        Distance of neighbouring attractors, in (0, inf).
    amplitude : float
        Height of the swing, in periods, in (0, inf).
    """
    made: Experiment = _compared(
        "sine_wrong_sign", _sine, gap, period, amplitude=amplitude
    )
    return made
