"""How many fixed-length steps an attack needs inside its perturbation budget.

An iterate starts at the centre of the ball of radius eps and takes steps of length
``step`` (a fraction of eps) whose cosine with the useful direction is ``drift``. It
drifts that way, and it diffuses in every other. Far from the wall the drift decides:
the number of steps is displacement/(drift * step), and noise costs the square root of
the best-step ratio. At the wall diffusion pushes back: the displacement settles at a
plateau, and an attack whose target lies beyond it never arrives, however many queries
it has; a shorter step raises the plateau, and the attacker who tunes it pays the full
best-step ratio. None of the five papers has this law.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.theory.law import law

__all__ = ["displacement", "plateau", "steps"]

_SYMBOLS = {
    "drift": "c, cosine of a step with the useful direction, ratio, (0, 1]",
    "step": "a, length of a step over the radius of the budget, ratio, (0, inf)",
    "norm": 'the ball: "Linf" or "L2"',
}
_REGIME = (
    "many coordinates of comparable slope, a smooth loss along the way; mean path: "
    "a walk at its plateau fluctuates, and may cross by chance what the law calls "
    "out of reach"
)
_SOURCE = "derived here (reflected random walk with drift)"


def _checked(
    drift: npt.ArrayLike, step: npt.ArrayLike, norm: str
) -> tuple[np.ndarray, np.ndarray]:
    expect.one_of(("Linf", "L2"), norm=norm)
    return (
        np.asarray(expect.unit(drift=drift), dtype=float),
        np.asarray(expect.positive(step=step), dtype=float),
    )


def _plateau(
    drift: np.ndarray, step: np.ndarray, norm: str
) -> tuple[np.ndarray, np.ndarray]:
    """The plateau L and c/L, which stays in range where L itself underflows."""
    if norm == "L2":
        half = step / 4.0
        quotient = half + np.hypot(half, drift)
        return drift / quotient, quotient
    # coth(k) - 1/k cancels for small k; its series is exact to rounding there.
    with np.errstate(over="ignore"):
        k = 2.0 * drift / step
    k2 = np.square(np.minimum(k, 0.1))
    series = 1.0 - k2 / 9.9
    for divisor in (10.0, 10.5, 15.0):
        series = 1.0 - k2 / divisor * series
    large = np.maximum(k, 0.1)
    near = k < 0.1
    top = np.where(near, k / 3.0 * series, 1.0 / np.tanh(large) - 1.0 / large)
    return top, np.where(near, 1.5 * step / series, drift / np.maximum(top, 0.03))


def _free(drift: np.ndarray, step: np.ndarray, norm: str) -> np.ndarray:
    """Displacement up to which nothing pushes back.

    A walk from the centre of the ball meets the sphere when a^2 T + (c a T)^2 = 1, at
    the displacement c a T that is the plateau of twice the step. In the box some
    coordinates meet their wall early: there is no such point.
    """
    if norm == "L2":
        return _plateau(drift, 2.0 * step, norm)[0]
    return np.zeros(np.broadcast_shapes(drift.shape, step.shape))


@law(
    formula="L = coth(2c/a) - a/(2c) in the box; L = 4c/(a + sqrt(a^2 + 16 c^2)) "
    "in the ball",
    latex=r"L_\infty = \coth\frac{2c}{a} - \frac{a}{2c},\qquad "
    r"L_2 = \frac{4c}{a + \sqrt{a^2 + 16c^2}}",
    symbols=_SYMBOLS,
    regime=_REGIME,
    source=_SOURCE,
)
def plateau(
    drift: npt.ArrayLike, step: npt.ArrayLike, norm: str = "Linf"
) -> np.ndarray:
    """Displacement at which a walk with fixed steps settles, a fraction of the budget.

    Parameters
    ----------
    drift : array_like
        Cosine of a step with the useful direction, in [0, 1].
    step : array_like
        Length of a step over the radius of the ball, > 0.
    norm : {"Linf", "L2"}
        The ball. In the box each coordinate is a reflected walk with drift c a and
        variance a^2 a step, whose stationary density is exp(2 c x / a) on [-1, 1]:
        its mean is the Langevin function of 2c/a. On the sphere projection shrinks
        the displacement by a^2/2 + a c m a step, which balances the drift c a.

    Raises
    ------
    DomainError
        If a parameter is outside its range.

    Examples
    --------
    >>> float(plateau(0.5, 0.01).round(4)), float(plateau(0.001, 0.1).round(6))
    (0.99, 0.006666)
    """
    c, a = _checked(drift, step, norm)
    return _plateau(c, a, norm)[0][()]


@law(
    formula="T = ln[(1 + D L)(1 - D0/L)/((1 - D/L)(1 + D0 L))] / (a c (L + 1/L)); "
    "infinite for D >= L; in the ball (D - D0)/(a c) up to L(2a)",
    latex=r"T = \frac{1}{a c (L + 1/L)}"
    r"\ln\frac{(1 + D L)(1 - D_0/L)}{(1 - D/L)(1 + D_0 L)}",
    symbols={
        "displacement": "D, distance to cover over the radius, ratio, [0, 1]",
        **_SYMBOLS,
        "start": "D0, distance covered already over the radius, ratio, [0, D]",
    },
    regime=_REGIME,
    source=_SOURCE,
)
def steps(
    displacement: npt.ArrayLike,
    drift: npt.ArrayLike,
    step: npt.ArrayLike,
    norm: str = "Linf",
    start: npt.ArrayLike = 0.0,
) -> np.ndarray:
    """Steps until a walk of fixed step length has covered ``displacement``.

    Parameters
    ----------
    displacement : array_like
        Distance to cover along the useful direction over the radius, in [0, 1].
    drift, step, norm
        As in :func:`plateau`.
    start : array_like
        Distance covered before, in [0, displacement]: a path whose drift changes on
        the way is the sum of its pieces.

    Returns
    -------
    float or ndarray
        Steps, real; infinite where the displacement lies beyond the plateau.

    Raises
    ------
    DomainError
        If a parameter is outside its range, or ``start`` exceeds ``displacement``.

    Notes
    -----
    The mean displacement m obeys dm/dT = a c (1 - m/L)(1 + m L) with the plateau L:
    the projection onto the sphere to first order in the step, once the walk has
    reached it and free before; and for the box an interpolation between its two exact
    ends, relaxation at one rate when diffusion rules (L -> 0) and drift up to the wall
    when it does not (L -> 1).

    Against simulated walks the displacement is right within 1.5 % in the ball for steps
    up to 0.1 (5 % up to 0.3), and within 15 % in the box for steps up to 0.1. Near the
    plateau a small error of displacement is a large one of steps.

    Examples
    --------
    >>> float(steps(0.1, 0.5, 0.001).round(1)), float(steps(0.1, 0.001, 0.1))
    (200.7, inf)
    """
    c, a = _checked(drift, step, norm)
    end = np.asarray(expect.unit(displacement=displacement), dtype=float)
    begin = np.asarray(expect.unit(start=start), dtype=float)
    expect.that(begin <= end, "at most the displacement", start=begin)
    top, quotient = _plateau(c, a, norm)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        free = _free(c, a, norm)
        flown = np.minimum(end, free) - np.minimum(begin, free)
        since = np.maximum(begin, free)
        way = np.maximum(end, free) - since
        # Where the walk is free as far as the plateau, rounded, there is no way left.
        share = np.where(way > 0.0, way / (top - since), 0.0)
        relaxed = np.log1p(way * top / (1.0 + since * top)) - np.log1p(-share)
        # a c (L + 1/L), divided by one factor at a time: their product underflows.
        taken = flown / c / a + relaxed / a / (c * top + quotient)
    return np.where(end == begin, 0.0, np.where(end < top, taken, np.inf))[()]


@law(
    formula="D = L (E - 1)/(E + L^2), E = exp(T a c (L + 1/L)); "
    "in the ball T a c up to L(2a)",
    latex=r"D = L\,\frac{E - 1}{E + L^2},\qquad E = e^{T a c (L + 1/L)}",
    symbols={"steps": "T, number of steps, count, [0, inf)", **_SYMBOLS},
    regime=_REGIME,
    source=_SOURCE,
)
def displacement(
    steps: npt.ArrayLike,
    drift: npt.ArrayLike,
    step: npt.ArrayLike,
    norm: str = "Linf",
) -> np.ndarray:
    """Displacement that a walk of fixed step length has covered; inverse of steps.

    Parameters
    ----------
    steps : array_like
        Number of steps, >= 0.
    drift, step, norm
        As in :func:`plateau`.

    Raises
    ------
    DomainError
        If a parameter is outside its range.

    Examples
    --------
    >>> float(displacement(steps=100, drift=0.3, step=0.01).round(4))
    0.2899
    """
    c, a = _checked(drift, step, norm)
    taken = np.asarray(expect.nonnegative(steps=steps), dtype=float)
    top, quotient = _plateau(c, a, norm)
    free = _free(c, a, norm)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        flying = np.where(free > 0.0, np.minimum(taken * a * c, free), 0.0)
        left = np.where(free > 0.0, np.maximum(taken - free / a / c, 0.0), taken)
        rate = -left * a * (c * top + quotient)
        # (1 + m L)/(1 - m/L) grows by E from its value at m = free.
        rest = top - free
        pull = top * rest / (1.0 + free * top) * np.exp(rate)
        return (flying - rest * np.expm1(rate) / (1.0 + pull))[()]
