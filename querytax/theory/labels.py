"""Attacks on labels at a flat boundary: RayS' patterns and HopSkipJump's steps.

Each function raises ``DomainError``, naming the parameter, for an argument outside
its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory._floats import Array, Floats, floats, ratio
from querytax.theory.law import law

__all__ = ["distance_after_step", "rays_accepted", "rays_checks", "rays_share"]

_DIMENSION = "d, numbers of an image, count, {1, 2, ...}"
_PATTERNS = (
    "flat boundary, no noise, slopes independent and normal of mean 0, a radius "
    "known; exact for d a power of two, whose runs of signs halve, up to 4 % off "
    "for d = 784 and 3072, where their lengths are rounded up"
)
_STEP = float(np.sqrt(2.0) - 1.0)


def _stage(size: Array) -> Array:
    """s of a share's scale √d A = size >= 1, of 2^((s-1)/2) to 2^(s/2)."""
    return np.floor(2.0 * np.log2(size)) + 1.0


@law(
    formula="A = min(1, √(2^(s-1)/d) (1 + (√2 - 1)((q + 1)/2^s - 1))), "
    "s = ⌊log2(q + 1)⌋",
    latex=r"A = \min\left(1, \sqrt{\frac{2^{s-1}}{d}}\left(1 + (\sqrt2 - 1)"
    r"\left(\frac{q + 1}{2^s} - 1\right)\right)\right),\qquad s = "
    r"\lfloor\log_2(q + 1)\rfloor",
    symbols={
        "checks": "q, runs of signs tried, count, {1, 2, ...}",
        "dimension": _DIMENSION,
    },
    regime=_PATTERNS,
    source="derived here for Chen & Gu 2020, Algorithm 3",
)
def rays_share(checks: npt.ArrayLike, dimension: npt.ArrayLike) -> Floats:
    """What a pattern of RayS gains, over what the best of all patterns gains.

    Ratio of the means. A pattern whose radius is 1/A of the nearest boundary's: with q
    checks it is about sqrt((q + 1)/(2d)) of the way there, and sure of it after 2d.

    Parameters
    ----------
    checks : array_like of int
        Runs of signs q that were tried, from all of the image on; at least 1.
    dimension : array_like of int
        Numbers d of an image, at least 1.

    Examples
    --------
    >>> rays_share([1, 3, 100, 511], 256).round(4).tolist()
    [0.0625, 0.0884, 0.4382, 1.0]
    """
    x = floats(expect.integer(checks=checks)) + 1.0
    d = floats(expect.integer(dimension=dimension))
    power = np.exp2(np.floor(np.log2(x)))
    along = 1.0 + _STEP * (x / power - 1.0)
    return np.minimum(np.sqrt(0.5 * power / d) * along, 1.0)


@law(
    formula="q = 2^s (1 + (A √(d/2^(s-1)) - 1)/(√2 - 1)) - 1, s = ⌊log2(A² d)⌋ + 1; "
    "q = A √d where that is below 1",
    latex=r"q = 2^s\left(1 + \frac{A\sqrt{d/2^{s-1}} - 1}{\sqrt2 - 1}\right) - 1,"
    r"\qquad s = \lfloor\log_2(A^2 d)\rfloor + 1",
    symbols={
        "share": "A, gain of a pattern over that of the best one, ratio, (0, 1]",
        "dimension": _DIMENSION,
    },
    regime=_PATTERNS + "; where the mean path is, not the mean over paths",
    source="derived here for Chen & Gu 2020, Algorithm 3",
)
def rays_checks(share: npt.ArrayLike, dimension: npt.ArrayLike) -> Floats:
    """Runs of signs that RayS tries until its mean gain has come to a share of all.

    Its radius is then 1/A of the nearest boundary's: about 2d A² checks bring it
    within a budget that is 1/A times the way to the boundary.

    Parameters
    ----------
    share : array_like
        Gain A of a pattern over that of the best of all, in (0, 1].
    dimension : array_like of int
        Numbers d of an image, at least 1.

    Examples
    --------
    >>> rays_checks([0.5, 0.9], [784, 784]).round(1).tolist()
    [401.7, 1304.1]
    """
    part = expect.positive(share=expect.unit(share=share))
    size = floats(part) * np.sqrt(floats(expect.integer(dimension=dimension)))
    s = _stage(np.maximum(size, 1.0))
    along = (np.maximum(size, 1.0) / np.exp2(0.5 * (s - 1.0)) - 1.0) / _STEP
    return np.where(size < 1.0, size, np.exp2(s) * (1.0 + along) - 1.0)[()]


@law(
    formula="P = Φ(y/s) (1 - Π_k Φ(-y_k/s)), y_k = (1 + y)(1 - 2^-k) - 1, k = 1..n",
    latex=r"P = \Phi\left(\frac{y}{s}\right)\left(1 - \prod_{k=1}^{n}"
    r"\Phi\left(-\frac{y_k}{s}\right)\right),\qquad y_k = (1 + y)(1 - 2^{-k}) - 1",
    symbols={
        "margin": "y, how far beyond the boundary the pattern is at the best radius, "
        "unit of the way from image to boundary, finite",
        "sigma": "s, standard deviation of the noise on it, the same unit, (0, inf)",
        "halvings": "n, questions of the bisection, count, [1, 60]",
    },
    regime="margin linear along the ray, fresh normal noise; a bisection from 0",
    source="derived here for Chen & Gu 2020, Algorithm 2",
)
def rays_accepted(
    margin: npt.ArrayLike, sigma: npt.ArrayLike, halvings: npt.ArrayLike
) -> Floats:
    """Probability that RayS takes a pattern for shorter than its best, under noise.

    The check at the best radius and one answer at least of the bisection below it have
    to be adversarial. A worse pattern has to be lucky twice.

    Parameters
    ----------
    margin : array_like
        How far the pattern is beyond the boundary at the best radius, y; below 0 for
        one that is worse; -1 is where the image is.
    sigma : array_like
        Standard deviation s of the noise on it, in (0, inf).
    halvings : array_like of int
        Questions n of the bisection, from 1 to 60.

    Examples
    --------
    >>> rays_accepted([-0.1, 0.0, 0.1], 0.1, 8).round(4).tolist()
    [0.0747, 0.4687, 0.841]
    """
    y, s = floats(expect.finite(margin=margin)), floats(expect.positive(sigma=sigma))
    n = floats(expect.integer(halvings=halvings))
    expect.that(n <= 60, "a whole number <= 60", halvings=halvings)
    y, s, n = np.broadcast_arrays(y, s, n)
    missed = np.zeros(y.shape)
    for k in range(1, int(n.max()) + 1 if n.size else 1):
        # (1 + y)(1 - 2^-k) - 1, without the loss of a small y.
        at = y - np.ldexp(1.0 + y, -k)
        with np.errstate(over="ignore"):
            missed += np.where(k <= n, special.log_ndtr(-_over(at, s)), 0.0)
    return (special.ndtr(_over(y, s)) * -np.expm1(missed))[()]


def _over(y: Array, sigma: Array) -> Array:
    """y/s, infinite where it passes the floats."""
    return np.copysign(ratio(np.abs(y), sigma), y)


@law(
    formula="r' = √(1 + (r² - 1 + ξ²(1 - c²))/(1 + ξ c)²)",
    latex=r"r' = \sqrt{1 + \frac{r^2 - 1 + \xi^2 (1 - c^2)}{(1 + \xi c)^2}}",
    symbols={
        "distance": "r, from the image to an iterate on the boundary, unit of the "
        "boundary's distance, [1, inf)",
        "step": "ξ, length of the step, the same unit, [0, inf)",
        "cosine": "c, of the step and the boundary's normal, ratio, [0, 1]",
    },
    regime="flat boundary, exact bisection; d -> inf: what a step has across the "
    "normal is at right angles to the way from the image",
    source="derived here for Chen et al. 2020, Algorithm 2, L2",
)
def distance_after_step(
    distance: npt.ArrayLike, step: npt.ArrayLike, cosine: npt.ArrayLike
) -> Floats:
    """Distance of HopSkipJump's next iterate, after a step and its bisection.

    Parameters
    ----------
    distance : array_like
        Distance r of an iterate on the boundary from the image, in units of that of
        the boundary, in [1, inf).
    step : array_like
        Length of the step, in the same units, in [0, inf).
    cosine : array_like
        Cosine c between the step and the normal of the boundary, in [0, 1].

    Examples
    --------
    >>> distance_after_step(10.0, 10.0, [0.0, 0.2, 1.0]).round(3).tolist()
    [14.142, 4.761, 1.348]
    """
    r = floats(expect.finite(distance=distance))
    expect.that(r >= 1.0, "a number >= 1", distance=distance)
    xi = floats(expect.nonnegative(step=step))
    c = floats(expect.unit(cosine=cosine))
    ahead = 1.0 + xi * c
    across = xi * np.sqrt((1.0 - c) * (1.0 + c))
    lateral = np.sqrt((r - 1.0) * (r + 1.0))
    return np.hypot(1.0, np.hypot(lateral, across) / ahead)
