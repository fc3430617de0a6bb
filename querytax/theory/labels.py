"""Attacks on labels at a flat boundary: RayS' patterns and HopSkipJump's steps."""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax.theory.law import Given, law
from querytax.theory.numerics.floats import Array, Floats, over

_PATTERNS = (
    "flat boundary, no noise, slopes independent and normal of mean 0, a radius known"
)
_HALVED = {
    "dimension a power of two": lambda dimension: np.frexp(dimension)[0] == 0.5,
}
_STEP = float(np.sqrt(2.0) - 1.0)


@law(
    "A = min(1, √(2^(s-1)/d) (1 + (√2 - 1)((C + 1)/2^s - 1))), s = ⌊log2(C + 1)⌋",
    "derived here for Chen & Gu 2020, Algorithm 3",
    regime=_PATTERNS,
    limits=_HALVED,
    value="[0, 1]; rises in checks; falls in dimension",
)
def rays_share(checks: Given, dimension: Given) -> Floats:
    """What a pattern of RayS gains, over what the best of all gains.

    Ratio of the means. A pattern whose radius is 1/A of the nearest boundary's: with C
    checks it is about sqrt((C + 1)/(2d)) of the way there, and sure of it after 2d.

    Runs of signs halve if d is a power of two. Elsewhere their lengths are rounded up,
    and it is up to 8 % too high or 4 % too low, as simulated at 60 of the d up to 3072:
    worst 8 % at d = 19, 3 % at 784 and 4 % at 3072.

    >>> rays_share([1, 3, 100, 511], 256).round(4).tolist()
    [0.0625, 0.0884, 0.4382, 1.0]
    """
    x = checks + 1.0
    power = np.exp2(np.floor(np.log2(x)))
    along = 1.0 + _STEP * (x / power - 1.0)
    return np.minimum(np.sqrt(0.5 * power / dimension) * along, 1.0)


@law(
    "C = 2^s (1 + (A √(d/2^(s-1)) - 1)/(√2 - 1)) - 1, s = ⌊log2(A² d)⌋ + 1; "
    "C = A √d where that is below 1",
    "derived here for Chen & Gu 2020, Algorithm 3",
    regime=_PATTERNS + "; where the mean path is, not the mean over paths",
    limits=_HALVED,
    value="[0, inf]; rises in gain_share dimension",
)
def rays_checks(gain_share: Given, dimension: Given) -> Floats:
    """Runs of signs that RayS tries until its mean gain is a share of all.

    Its radius is then 1/A of the nearest boundary's: about 2d A² checks bring it
    within a budget that is 1/A times the way to the boundary. The inverse of
    :func:`rays_share`: where d is no power of two, up to 15 % too few or 6 % too many.

    >>> rays_checks([0.5, 0.9], 1024).round(1).tolist()
    [511.0, 1697.4]
    """
    size = gain_share * np.sqrt(dimension)
    within = np.maximum(size, 1.0)
    # The stage whose runs gain from 2^((s-1)/2) to 2^(s/2).
    s = np.floor(2.0 * np.log2(within)) + 1.0
    along = (within / np.exp2(0.5 * (s - 1.0)) - 1.0) / _STEP
    return np.where(size < 1.0, size, np.exp2(s) * (1.0 + along) - 1.0)[()]


@law(
    "P = Φ(y/s) (1 - Π_k Φ(-y_k/s)), y_k = (1 + y)(1 - 2^-k) - 1, k = 1..h",
    "derived here for Chen & Gu 2020, Algorithm 2",
    regime="margin linear along the ray, fresh normal noise; a bisection from 0",
    value="[0, 1]; rises in beyond halvings",
)
def rays_accepted(beyond: Given, ray_sigma: Given, halvings: Given) -> Floats:
    """Probability that RayS takes a pattern for shorter than its best.

    The check at the best radius and one answer at least of the bisection below it have
    to be adversarial. A worse pattern has to be lucky twice.

    >>> rays_accepted([-0.1, 0.0, 0.1], 0.1, 8).round(4).tolist()
    [0.0747, 0.4687, 0.841]
    """
    y, s, n = np.broadcast_arrays(beyond, ray_sigma, halvings)
    missed = np.zeros(y.shape)
    for k in range(1, int(n.max(initial=0)) + 1):
        # (1 + y)(1 - 2^-k) - 1, without the loss of a small y.
        at = y - np.ldexp(1.0 + y, -k)
        with np.errstate(over="ignore"):
            missed += np.where(k <= n, special.log_ndtr(-_signed(at, s)), 0.0)
    return (special.ndtr(_signed(y, s)) * np.abs(np.expm1(missed)))[()]


def _signed(y: Array, sigma: Array) -> Array:
    """y/s, infinite where it passes the floats."""
    return np.copysign(over(np.abs(y), sigma), y)


@law(
    "r' = √(1 + (r² - 1 + a²(1 - c²))/(1 + a c)²)",
    "derived here for Chen et al. 2020, Algorithm 2, L2",
    regime="flat boundary, exact bisection; d -> inf: what a step has across the "
    "normal is at right angles to the way from the image",
    domain={"step": "[0, inf)"},
    value="[1, inf]; rises in distance; falls in cosine",
)
def distance_after_step(distance: Given, cosine: Given, step: Given) -> Floats:
    """Distance of HopSkipJump's next iterate, after step and bisection.

    >>> distance_after_step(10.0, 0.2, [0.0, 1.0, 10.0]).round(3).tolist()
    [10.0, 8.391, 4.761]
    """
    across = step * np.sqrt((1.0 - cosine) * (1.0 + cosine))
    lateral = np.sqrt((distance - 1.0) * (distance + 1.0))
    return np.hypot(1.0, np.hypot(lateral, across) / (1.0 + step * cosine))
