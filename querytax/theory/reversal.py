"""Margins led backwards: within each period the answer falls where the margin rises.

An attractor lies in the middle of each period; the answer mirrors the margin at it
(linear) or swings around the margin (sine), and on the average over all places it is
the margin. Nothing is random, so that S does not apply: a small change is seen with
the wrong sign, however often it is asked, and one of some periods with the right sign.
"""

from __future__ import annotations

import numpy as np

from querytax.theory.law import Given, law
from querytax.theory.numerics.floats import Array, Floats, ratio

_PLACE = "exact for a place of the margin spread evenly over a period"
_SOURCE = "derived here for Adversarial Attack on Attackers 2022"


def _periods(gap: Array, period: Array) -> tuple[Array, Array, Array]:
    """Whole periods in the gap, the share of the next one, and the share left of it."""
    rest = np.fmod(gap, period)
    with np.errstate(over="ignore"):
        whole = np.rint((gap - rest) / period)
    # A tiny gap is one all the same.
    share = np.where(whole == 0.0, np.maximum(rest / period, 1e-300), rest / period)
    return whole, share, (period - rest) / period


@law(
    "P = 1 - f where α f > k, else 0; ΔF/τ = k + f, k whole, 0 <= f < 1",
    _SOURCE + ", linear",
    regime=_PLACE,
    value="[0, 1]; rises in reverse",
)
def wrong_sign(gap: Given, period: Given, reverse: Given) -> Floats:
    """Share of places where a change of the margin is seen reversed.

    The change crosses k or k + 1 borders of periods, each of which gives 1 + α periods
    back. None is seen wrongly from ⌈α⌉ periods on, and the mean seen change is ΔF; a
    change towards 0 is seen wrongly everywhere.

    >>> float(wrong_sign(1.0, 4.0, 1.0)), float(wrong_sign(4.0, 4.0, 1.0))
    (0.75, 0.0)
    """
    whole, share, left = _periods(gap, period)
    # k + 1 borders always give more back than is lost, and no border gives nothing.
    return np.where((whole == 0.0) | (share * reverse > whole), left, 0.0)[()]


@law(
    "P = arccos(x)/π for x = ΔF/(2 α τ |sin(π ΔF/τ)|) < 1, else 0",
    _SOURCE + ", sine: m - α τ sin(2π (m - attractor)/τ)",
    regime=_PLACE,
    value="[0, 1/2]; rises in amplitude",
)
def sine_wrong_sign(gap: Given, period: Given, amplitude: Given) -> Floats:
    """Share of places where a swinging answer shows a change reversed.

    arccos(1/(2π α))/π for a change towards 0, and 0 from 2 α periods on; without any
    where α is at most 1/(2π), for the answer then rises everywhere.

    >>> round(float(sine_wrong_sign(1e-6, 4.0, 0.7)), 5)
    0.42699
    """
    whole, share, left = _periods(gap, period)
    swing = np.sin(np.pi * np.minimum(share, left))
    needed = ratio(0.5 * ratio(whole + share, swing), amplitude)
    return (np.arccos(np.minimum(needed, 1.0)) / np.pi)[()]


def _beyond(place: Array, period: Array) -> Array:
    """How far it lies beyond the attractor of its period."""
    return np.mod(place, period) - 0.5 * period


@law(
    "y = m - (1 + α) (m - A), A = (⌊m/τ⌋ + 1/2) τ",
    _SOURCE + ", linear: target = attractor - α (m - attractor)",
    regime="a border belongs to the period above it",
    kind="definition",
)
def released(margin: Given, period: Given, reverse: Given) -> Floats:
    """The margin that is answered in place of a margin.

    >>> float(released(5.0, 4.0, 1.0))
    7.0
    """
    with np.errstate(over="ignore"):
        return margin - (1.0 + reverse) * _beyond(margin, period)


@law(
    "m = y - (1 + 1/α) (y - A), A = (⌊y/τ⌋ + 1/2) τ",
    _SOURCE + ", linear; its own breaker",
    regime="exact inside a period; above α = 1 one answer belongs to several margins",
    domain={"reverse": "(0, 1]"},
)
def recovered(answered_margin: Given, period: Given, reverse: Given) -> Floats:
    """The noiseless margin behind an answered one, if the defence is known.

    Nothing is lost; for α = 1 the defence undoes itself.

    >>> float(recovered(7.0, 4.0, 1.0))
    5.0
    """
    beyond = _beyond(answered_margin, period)
    with np.errstate(over="ignore"):
        return answered_margin - (beyond + ratio(1.0, reverse) * beyond)
