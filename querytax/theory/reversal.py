"""Margins led backwards: within each period the answer falls where the margin rises.

An attractor lies in the middle of each period; the answer mirrors the margin at it
(linear) or swings around the margin (sine), and on the average over all places it is
the margin. Nothing is random, so that S does not apply: a small change is seen with
the wrong sign, however often it is asked, and one of some periods with the right sign.
Each function raises ``DomainError``, naming the parameter, for an argument outside its
stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.theory._floats import Array, Floats, floats, ratio
from querytax.theory.law import law

__all__ = ["recovered", "released", "sine_wrong_sign", "wrong_sign"]

_GAP = "|Δm|, change of the margin over a comparison, margin unit, (0, inf)"
_PERIOD = "τ, distance of neighbouring attractors, margin unit, (0, inf)"
_REVERSE = "α, slope of the answer within a period is -α, ratio, (0, inf)"
_PLACE = "exact for a place of the margin spread evenly over a period"
_SOURCE = "derived here for Adversarial Attack on Attackers 2022"


def _periods(gap: npt.ArrayLike, period: npt.ArrayLike) -> tuple[Array, Array, Array]:
    """Whole periods in the gap, the share of the next one, and the share left of it."""
    size = floats(expect.positive(gap=gap))
    width = floats(expect.positive(period=period))
    size, width = np.broadcast_arrays(size, width)
    rest = np.fmod(size, width)
    with np.errstate(over="ignore"):
        whole = np.rint((size - rest) / width)
    # A tiny gap is one all the same.
    share = np.where(whole == 0.0, np.maximum(rest / width, 1e-300), rest / width)
    return whole, share, (width - rest) / width


@law(
    formula="P = 1 - f where α f > n, else 0; n + f = |Δm|/τ, n whole, 0 <= f < 1",
    latex=r"P = \begin{cases} 1 - f & \alpha f > n \\ 0 & \text{else} \end{cases}"
    r",\qquad n = \left\lfloor \frac{|\Delta m|}{\tau} \right\rfloor,\quad "
    r"f = \frac{|\Delta m|}{\tau} - n",
    symbols={"gap": _GAP, "period": _PERIOD, "reverse": _REVERSE},
    regime=_PLACE,
    source=_SOURCE + ", linear",
)
def wrong_sign(
    gap: npt.ArrayLike, period: npt.ArrayLike, reverse: npt.ArrayLike
) -> Floats:
    """Share of places where a change of the margin is seen with the wrong sign.

    The change crosses n or n + 1 borders of periods, each of which gives 1 + α periods
    back. None is seen wrongly from ⌈α⌉ periods on, and the mean seen change is Δm.

    Parameters
    ----------
    gap : array_like
        Size of the change of the margin, in (0, inf).
    period : array_like
        Distance τ of neighbouring attractors, in (0, inf).
    reverse : array_like
        Steepness α of the answer's fall within a period, in (0, inf).

    Examples
    --------
    >>> float(wrong_sign(1.0, 4.0, 1.0)), float(wrong_sign(4.0, 4.0, 1.0))
    (0.75, 0.0)
    """
    whole, share, left = _periods(gap, period)
    steep = floats(expect.positive(reverse=reverse))
    # n + 1 borders always give more back than is lost, and no border gives nothing.
    return np.where((whole == 0.0) | (share * steep > whole), left, 0.0)[()]


@law(
    formula="P = arccos(x)/π for x = |Δm|/(2 α τ |sin(π Δm/τ)|) < 1, else 0",
    latex=r"P = \frac{1}{\pi}\arccos\frac{|\Delta m|}{2\alpha\tau\,|\sin(\pi\Delta m"
    r"/\tau)|}",
    symbols={
        "gap": _GAP,
        "period": _PERIOD,
        "amplitude": "α, height of the swing over the period, ratio, (0, inf)",
    },
    regime=_PLACE,
    source=_SOURCE + ", sine: m - α τ sin(2π (m - attractor)/τ)",
)
def sine_wrong_sign(
    gap: npt.ArrayLike, period: npt.ArrayLike, amplitude: npt.ArrayLike
) -> Floats:
    """Share of places where a change is seen with the wrong sign, by a swinging answer.

    arccos(1/(2π α))/π for a small change, and 0 from 2 α periods on; without any where
    α is at most 1/(2π), for the answer then rises everywhere.

    Parameters
    ----------
    gap : array_like
        Size of the change of the margin, in (0, inf).
    period : array_like
        Distance τ of neighbouring attractors, in (0, inf).
    amplitude : array_like
        Height α of the swing, in periods, in (0, inf).

    Examples
    --------
    >>> round(float(sine_wrong_sign(1e-6, 4.0, 0.7)), 5)
    0.42699
    """
    whole, share, left = _periods(gap, period)
    height = floats(expect.positive(amplitude=amplitude))
    swing = np.sin(np.pi * np.minimum(share, left))
    needed = ratio(0.5 * ratio(whole + share, swing), height)
    return (np.arccos(np.minimum(needed, 1.0)) / np.pi)[()]


def _from_attractor(margin: npt.ArrayLike, period: npt.ArrayLike) -> tuple[Array, ...]:
    m = floats(expect.finite(margin=margin))
    width = floats(expect.positive(period=period))
    return m, np.mod(m, width) - 0.5 * width


@law(
    formula="y = m - (1 + α) (m - A), A = (⌊m/τ⌋ + 1/2) τ",
    latex=r"y = m - (1 + \alpha)(m - A),\qquad "
    r"A = \left(\left\lfloor\frac{m}{\tau}\right\rfloor + \frac{1}{2}\right)\tau",
    symbols={
        "margin": "m, noiseless margin, its unit, finite",
        "period": _PERIOD,
        "reverse": _REVERSE,
    },
    regime="the definition; a border belongs to the period above it",
    source=_SOURCE + ", linear: target = attractor - α (m - attractor)",
)
def released(
    margin: npt.ArrayLike, period: npt.ArrayLike, reverse: npt.ArrayLike
) -> Floats:
    """The margin that is answered in place of a margin.

    Parameters
    ----------
    margin : array_like
        Margin m, finite.
    period : array_like
        Distance τ of neighbouring attractors, in (0, inf).
    reverse : array_like
        Steepness α, in (0, inf).

    Examples
    --------
    >>> float(released(5.0, 4.0, 1.0))
    7.0
    """
    m, beyond = _from_attractor(margin, period)
    with np.errstate(over="ignore"):
        return m - (1.0 + floats(expect.positive(reverse=reverse))) * beyond


@law(
    formula="m = y - (1 + 1/α) (y - A), A = (⌊y/τ⌋ + 1/2) τ",
    latex=r"m = y - \left(1 + \frac{1}{\alpha}\right)(y - A),\qquad "
    r"A = \left(\left\lfloor\frac{y}{\tau}\right\rfloor + \frac{1}{2}\right)\tau",
    symbols={
        "margin": "y, answered margin, its unit, finite",
        "period": _PERIOD,
        "reverse": "α, slope of the answer within a period is -α, ratio, (0, 1]",
    },
    regime="exact inside a period; for α above 1 answers of neighbouring periods "
    "overlap, and one answer belongs to several margins",
    source=_SOURCE + ", linear; its own breaker",
)
def recovered(
    margin: npt.ArrayLike, period: npt.ArrayLike, reverse: npt.ArrayLike
) -> Floats:
    """The noiseless margin behind an answered one: who knows the defence loses nothing.

    For α = 1 the defence undoes itself.

    Parameters
    ----------
    margin : array_like
        Answered margin y, finite.
    period : array_like
        Distance τ of neighbouring attractors, in (0, inf).
    reverse : array_like
        Steepness α, in (0, 1].

    Examples
    --------
    >>> float(recovered(7.0, 4.0, 1.0))
    5.0
    """
    y, beyond = _from_attractor(margin, period)
    steep = floats(expect.positive(reverse=reverse))
    expect.that(steep <= 1.0, "at most 1, where answers are distinct", reverse=reverse)
    with np.errstate(over="ignore"):
        return y - (beyond + ratio(1.0, steep) * beyond)
