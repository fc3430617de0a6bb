"""How many fixed-length steps an attack needs inside its perturbation budget.

An iterate starts at the centre of the ball of radius eps and takes steps of length
``step`` (a fraction of eps) whose cosine with the useful direction is ``drift``. It
drifts that way, and it diffuses in every other. Far from the wall the drift decides:
the number of steps is displacement/(drift * step), and noise costs the square root of
the best-step ratio. At the wall diffusion pushes back: the displacement settles at a
plateau, and an attack whose target lies beyond it never arrives, however many queries
it has, but by a fluctuation: :func:`first_passage` counts those. A shorter step raises
the plateau, and the attacker who tunes it pays the full best-step ratio. None of the
five papers has this law.

In the box each coordinate steps up with chance (1 + c)/2, else down, and is clipped to
the wall, where it then stands: it is not reflected. Slopes are taken to be equal: the
chance is one for all coordinates. With slopes of a normal law the steep ones are at
their wall while flat ones still diffuse, and the plateau is lower once 2c/a is above
one or so: .53 in place of .58 at c = a = 0.1, .87 in place of .90 at c = 0.1, a = 0.02.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.theory import _convergence, _mean_path
from querytax.theory._floats import Array, floats
from querytax.theory.law import law
from querytax.theory.walks import Walk, checked

__all__ = ["displacement", "first_passage", "plateau", "spread", "steps"]

_SYMBOLS = {
    "drift": "c, cosine of a step with the useful direction, ratio, (0, 1]",
    "step": "a, length of a step over the radius of the budget, ratio, (0, inf)",
    "norm": 'the ball: "Linf" or "L2"',
}
_SLOPES = "many coordinates, equal slopes in the box, a smooth loss along the way"
_REGIME = (
    _SLOPES + "; mean path: a walk at its plateau fluctuates, and may cross by chance "
    "what the law calls out of reach"
)
_SOURCE = "derived here (walk with drift, clipped at the walls)"


def _free(drift: Array, step: Array, norm: str) -> Array:
    """Displacement up to which nothing pushes back."""
    if norm == "L2":
        return _convergence.ball_free(drift, step)
    return _mean_path.free(drift, step)[1]


@law(
    formula="L = (1 + a/2) coth((1 + 2/a) atanh c) - a/(2c) in the box where 2/a is "
    "whole, linear in a between, c for a >= 2; root of "
    "2c L^3 + a L^2 - 2c L - a c^2 in the ball",
    latex=r"L_\infty = \left(1 + \frac a2\right)\coth\left(\left(1 + \frac2a\right)"
    r"\operatorname{atanh} c\right) - \frac{a}{2c},\qquad "
    r"2 c L_2^3 + a L_2^2 - 2 c L_2 - a c^2 = 0",
    symbols=_SYMBOLS,
    regime=_SLOPES + "; exact for the mean, in the ball as the dimension grows",
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
        The ball. In the box each coordinate is a walk over sites a step apart that
        stays at a wall it would cross; its chances are geometric in the site. On the
        sphere a step takes m to (m + a c)/sqrt(1 + 2 a c m + a^2).

    Raises
    ------
    DomainError
        If a parameter is outside its range.

    Examples
    --------
    >>> float(plateau(0.5, 0.01).round(4)), float(plateau(0.5, 1.0).round(4))
    (0.995, 0.6154)
    """
    c, a = checked(drift, step, norm)
    find = _convergence.ball if norm == "L2" else _convergence.box_mean
    return find(c, a)[()]


@law(
    formula="v = (a^2/4) [(1-c^2)/c^2 - n^2/sinh^2(n atanh c)], n = 1 + 2/a whole; "
    "the mean square is a parabola in a between",
    latex=r"v = \frac{a^2}{4}\left[\frac{1 - c^2}{c^2} - "
    r"\frac{n^2}{\sinh^2(n \operatorname{atanh} c)}\right],\quad n = 1 + \frac2a",
    symbols={name: _SYMBOLS[name] for name in ("drift", "step")},
    regime="equal slopes in the box; exact",
    source=_SOURCE,
)
def spread(drift: npt.ArrayLike, step: npt.ArrayLike) -> np.ndarray:
    """Variance of one coordinate at the plateau of the box, over the radius squared.

    (1 + a)/3 for weak drift: the walk stands at its walls for a while, and is wider
    than a uniform one.

    Parameters
    ----------
    drift : array_like
        Cosine of a step with the useful direction, in [0, 1].
    step : array_like
        Length of a step over half the width of the box, > 0.

    Raises
    ------
    DomainError
        If a parameter is outside its range.

    Examples
    --------
    >>> float(spread(1e-6, 0.5).round(6)), float(spread(0.5, 0.01).round(6))
    (0.5, 7.5e-05)
    """
    c, a = checked(drift, step, "Linf")
    return _convergence.box_variance(c, a)[()]


@law(
    formula="T = (D - D0)/(a c) up to the free way; then D = m(T), in the box "
    "m = L + sum_k A_k (sqrt(1-c^2) cos(k pi/n))^T, n = 1 + 2/a, k < n/2; in the ball "
    "ln[(1 + D L)(1 - D0/L)/((1 - D/L)(1 + D0 L))]/rate; infinite for D >= L",
    latex=r"m(T) = L + \sum_{k < n/2} A_k \left(\sqrt{1 - c^2}\,"
    r"\cos\frac{k\pi}{n}\right)^T,\quad n = 1 + \frac2a,\qquad "
    r"T_2 = \frac1\rho \ln\frac{(1 + D L)(1 - D_0/L)}{(1 - D/L)(1 + D_0 L)}",
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
    """Steps until the mean of walks of fixed steps has covered ``displacement``.

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
        Steps, real: round up what is taken. Infinite where the displacement lies
        beyond the plateau.

    Raises
    ------
    DomainError
        If a parameter is outside its range, or ``start`` exceeds ``displacement``.

    Notes
    -----
    In the box nothing pushes back for 1/a steps, the displacement c. Later the path is
    the sum over the modes of the chain that do not change their sign at each step, and
    where drift rules so much that they cancel, the Brownian path of the same mean and
    variance against one wall that has the same plateau. Against the exact chain the
    displacement is right to 0.03 of the plateau for steps up to 0.25, to 0.01 up to
    0.1 (c up to 0.9; to 0.002 for c up to 0.5), and to 0.05 and 0.12 for steps of 0.5
    and 1, whose real path is a staircase. Where 2/a is not whole the plateau is exact
    and the path to it is the one of a chain of real length.

    In the ball the walk is free until it meets the sphere, and from there on the
    distance from the plateau L, as (1 - m/L)/(1 + m L), falls at the rate that a step
    has there.

    Examples
    --------
    >>> float(steps(0.1, 0.5, 0.001).round(1)), float(steps(0.1, 0.001, 0.1))
    (200.0, inf)
    """
    c, a = checked(drift, step, norm)
    c, a, *_ = np.broadcast_arrays(c, a, np.asarray(displacement), np.asarray(start))
    return Walk(c, a, norm).steps(displacement, start)[()]


def _parts(chosen: np.ndarray) -> list[np.ndarray]:
    """Places of the chosen elements, a thousand at a time."""
    places = np.flatnonzero(chosen)
    return np.array_split(places, -(-places.size // 1024)) if places.size else []


@law(
    formula="D = m(T), the inverse of steps; T a c on the free way",
    latex=r"m(T) = L + \sum_{k < n/2} A_k \left(\sqrt{1 - c^2}\,"
    r"\cos\frac{k\pi}{n}\right)^T,\qquad "
    r"D_2 = L\,\frac{E - 1}{E + L^2},\quad E = e^{\rho T}",
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
    """Displacement that walks of fixed steps have covered on average.

    The inverse of :func:`steps`.

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
    >>> float(displacement(steps=10, drift=0.3, step=0.01).round(4))
    0.03
    """
    c, a = checked(drift, step, norm)
    taken, c, a = np.broadcast_arrays(floats(expect.nonnegative(steps=steps)), c, a)
    shape = taken.shape
    taken, c, a = taken.ravel(), c.ravel(), a.ravel()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        free = _free(c, a, norm)
        covered = np.where(c > 0.0, np.minimum(taken * np.minimum(a, 1.0) * c, free), 0)
        late = taken - np.where(c > 0.0, free / c / np.minimum(a, 1.0), 0.0)
        if norm == "L2":
            top = _convergence.ball(c, a)
            rate = -np.maximum(late, 0.0) * a * _convergence.ball_rate(c, a)
            # (1 + m L)/(1 - m/L) grows by E from its value at m = free.
            rest = top - free
            pull = top * rest / (1.0 + free * top) * np.exp(rate)
            return (covered - rest * np.expm1(rate) / (1.0 + pull)).reshape(shape)[()]
        for part in _parts((late > 0.0) & (c > 0.0)):
            top = _convergence.box_mean(c[part], a[part])
            path = _mean_path.Path(c[part], a[part])
            own = path.first + late[part] * path.pace * path.pace
            gone = top * (1.0 - path.missing(own, np.arange(part.size))[0])
            flying = taken[part] * np.minimum(a[part], 1.0) * c[part]
            gone = np.clip(np.minimum(gone, flying), free[part], None)
            covered[part] = np.minimum(gone, np.maximum(top, free[part]))
    return covered.reshape(shape)[()]


@law(
    formula="T = F(D) - F(D0), (D(m)/2) F'' + b(m) F' = 1: b the slope of the mean "
    "path up to L, a linear pull above it",
    latex=r"\frac{D(m)}{2} F'' + b(m) F' = 1,\qquad b(m) = \dot m\ (m < L),\quad "
    r"(L - m)\,\frac{D_L}{2 s^2}\ (m > L),\qquad s^2 = \frac{\pi h^2 v}{2 d}",
    symbols={
        "displacement": "D, distance to cover over the radius, ratio, [0, 1]",
        "drift": _SYMBOLS["drift"],
        "step": _SYMBOLS["step"],
        "dimension": "d, number of coordinates, count, [1, inf)",
        "gain": "h, spread of the gradient over its coordinates, ratio, (0, inf)",
        "norm": _SYMBOLS["norm"],
        "start": "D0, distance covered already over the radius, ratio, [0, D]",
    },
    regime=_SLOPES + "; a diffusion of the mean over coordinates, to some four "
    "standard deviations above the plateau; beyond, right in order of magnitude",
    source="derived here (Fokker-Planck equation of the mean of clipped walks)",
    limits={"dimension >= 10": lambda dimension: dimension >= 10},
)
def first_passage(
    displacement: npt.ArrayLike,
    drift: npt.ArrayLike,
    step: npt.ArrayLike,
    dimension: npt.ArrayLike,
    gain: npt.ArrayLike = 1.0,
    norm: str = "Linf",
    start: npt.ArrayLike = 0.0,
) -> np.ndarray:
    """Mean steps until a fluctuating walk has first covered ``displacement``.

    Parameters
    ----------
    displacement : array_like
        Distance to cover along the useful direction over the radius, in [0, 1].
    drift, step, norm
        As in :func:`plateau`.
    dimension : array_like of int
        Coordinates d: the mean over them fluctuates as 1/sqrt(d).
    gain : array_like
        sqrt(2 d/pi) |g|_2/|g|_1 of the gradient, in the box only: 1 for slopes of a
        normal law, sqrt(2/pi) for equal ones.
    start : array_like
        Distance at the last look, in [0, displacement], as in :func:`steps`: pieces
        of a path add up.

    Returns
    -------
    float or ndarray
        Steps, real; infinite only where the number is beyond the floats.

    Raises
    ------
    DomainError
        If a parameter is outside its range, or ``start`` exceeds ``displacement``.

    Notes
    -----
    The walk is looked at after each step, so that it overshoots: both ends lie farther
    by 0.5826 of the noise of one step.

    Where the plateau is far above, the steps of the mean path; in the box 8 % below
    to 5 % above simulated walks of equal slopes, for d >= 100 and steps up to 0.5, up
    to two standard deviations above the plateau (gain sqrt(2/pi); mean and standard
    error of 150 to 1,500 walks; D/L is the share of the plateau):

    ====  ====  ====  ====  =====  =================
    d     a     c     D/L   law    simulated
    ====  ====  ====  ====  =====  =================
    784   0.1   0.1   0.8   83.24  83.5 +- 0.26
    784   0.1   0.1   1.0   241.4  245.5 +- 1.8
    784   0.1   0.1   1.05  754.8  817.9 +- 24
    784   0.25  0.5   1.0   27.1   26.08 +- 0.18
    784   0.25  0.1   1.1   136    137.9 +- 2.9
    784   0.5   0.1   1.05  18.54  17.9 +- 0.25
    3072  0.25  .057  1.0   53.79  52.94 +- 0.51
    3072  0.25  .057  1.1   174.1  179.2 +- 4.5
    3072  0.25  0.02  1.25  122.8  122.9 +- 2.9
    100   0.25  0.05  1.5   89.77  90.8 +- 1.9
    100   0.1   0.05  1.3   856.3  932.8 +- 24
    784   0.05  0.05  1.0   907.3  915.5 +- 12
    3072  0.02  0.1   1.0   1279   1311 +- 12
    ====  ====  ====  ====  =====  =================

    A step of the whole radius is a staircase that no diffusion knows (15 % above). In
    the ball noise of equal size in all directions is taken for granted: within 5 %
    (d = 400, steps 0.1 to 1, up to 1.5 standard deviations above the plateau). A step
    whose cosine is fixed fluctuates less there, and takes longer above the plateau.

    Examples
    --------
    >>> float(first_passage(0.1, 0.1, 0.1, 784).round(1))
    10.3
    """
    c, a = checked(drift, step, norm)
    others = (displacement, start, dimension, gain)
    c, a, *_ = np.broadcast_arrays(c, a, *map(np.asarray, others))
    return Walk(c, a, norm).first_passage(displacement, dimension, gain, start)[()]
