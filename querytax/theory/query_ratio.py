"""What a decision SNR costs an attacker: queries with noise over queries without.

At ``snr = 0`` the ratios are infinite.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax.theory.law import Given, law
from querytax.theory.numerics import angle as _angle
from querytax.theory.numerics.floats import Array, Floats, by_region, ratio
from querytax.theory.smoothing import mean_norm

_MULTIPLICATIVE = "noise in proportion to the distance"


@law(
    "R = 1 + (d/(p + d + 1))/S",
    "derived here for Aithal & Li 2022, Theorem 2, whose printed ratio holds "
    "only up to R = 5",
    regime="NES, smooth loss, step tuned at every iterate, S constant along the path",
    value="[1, inf]; falls in snr pairs",
)
def best_step(snr: Given, dimension: Given, pairs: Given) -> Floats:
    """Query ratio of an NES attack that takes the best plain step.

    The estimate has E‖ĝ‖² = ‖g‖² (1 + (d + 1 + d/S)/p). The best step on a smooth
    loss gains ‖g‖⁴/(2h E‖ĝ‖²), so the numbers of steps stand as (p+d+1+d/S) to
    (p+d+1).

    >>> round(float(best_step(0.01, 100, 10)), 4)
    91.0901
    """
    return 1.0 + ratio(dimension / (pairs + dimension + 1.0), snr)


@law(
    "R = √(1 + 1/S) κ_{d+1}/(κ_{p+d-1} ₂F₁(1 - p/2, ½; d/2 + 1; S/(1+S)))",
    "derived here; Output Randomization 2020, eq. (7), has the step only",
    regime="NES, linear loss, far from the walls of the box and from the minimum; "
    "steps along the normalised estimate, or sign steps in the mean over gradients "
    "with normal entries",
    value="[1, inf]; falls in snr pairs",
)
def fixed_length_step(snr: Given, dimension: Given, pairs: Given) -> Floats:
    """Query ratio of an NES attack whose steps have a fixed length.

    √(1 + (d/(p + d + 1))/S) for many dimensions, the root of :func:`best_step`.

    A step along the normalised estimate gains its length times the slope times the
    cosine between them. Steps of fixed length add up, so that the numbers of steps
    stand as the mean cosine without noise, κ_p/κ_{p+d-1}, to :func:`.drift.cosine`.

    A sign step gains the cosine times ‖g‖₂ times the sum of the sizes of the unit
    estimate's entries. Where the gradient points anywhere alike, that sum does not
    depend on the cosine, and its mean is that of the exact signs.

    >>> round(float(fixed_length_step(0.01, 100, 10)), 4)
    9.676
    """
    tight, loose = snr / (1.0 + snr), 1.0 / (1.0 + snr)
    integral = _angle.integral(dimension, pairs, tight, loose)
    still = np.sqrt(2.0 * np.pi) / mean_norm(pairs + dimension - 1.0)
    return ratio(np.sqrt(1.0 + snr), np.sqrt(snr)) * (still / integral)


@law(
    "R = 1/(2Φ(√S) - 1)",
    "Output Randomization 2020, eq. (7) (row B7); derived here",
    regime="one sign step per coordinate difference; known |slope|, normal noise",
    value="[1, inf]; falls in snr",
)
def sign_coordinate(snr: Given) -> Floats:
    """Query ratio of coordinates that move by the sign of their own difference.

    √(π/(2S)) for small S: a square root, where plain steps pay 1/S.

    >>> round(float(sign_coordinate(0.01)), 3)
    12.554
    """
    return ratio(1.0, special.erf(np.sqrt(snr) / np.sqrt(2.0)))


def _decay(snr: Array, contraction: Array) -> Array:
    """-ln((1-m)² + m²/S) without cancellation, for S above m/(2-m)."""
    m = contraction
    low, left = np.minimum(m, 0.5), np.square(1.0 - m) + m * (m / snr)
    small = np.log1p(-low * (2.0 - low - low / snr))
    return -np.where(m < 0.5, small, np.log(left))


def _unaveraged(snr: Array, contraction: Array, *_: Array) -> Array:
    return ratio(-2.0 * np.log1p(-contraction), _decay(snr, contraction))


@law(
    "R = 2 ln(1/(1-m))/ln(1+S) if S/(1+S) <= m, "
    "else 2 ln(1/(1-m))/(-ln((1-m)² + m²/S))",
    "derived here for Aithal & Li 2022, eq. (32), in place of eq. (6)",
    regime=f"{_MULTIPLICATIVE}; convergence in mean square, step at most m",
    value="[1, inf]; falls in snr",
)
def best_constant_step(snr: Given, contraction: Given) -> Floats:
    """Query ratio of the best constant step, in mean square.

    A step μ multiplies the mean square distance by (1-μ)² + μ²/S, least at
    μ = S/(1+S), where it is 1/(1+S).

    >>> round(float(best_constant_step(0.01, 0.2)), 2)
    44.85
    """
    short = snr * (1.0 - contraction) <= contraction
    return by_region(
        (snr, contraction),
        (short, lambda s, m: ratio(-2.0 * np.log1p(-m), np.log1p(s))),
        (~short, _unaveraged),
    )


def _minibatch_floor(contraction: Array) -> tuple[Array, Array]:
    """The best x = B S and min over x of x·2 ln(1/(1-m))/(-ln((1-m)² + m²/x)).

    With 1 + w = e^v the minimum has v + 1 - e^-v = 2 ln(1/(1-m)), x = m²/((1-m)² w)
    and -ln(...) = 1 - e^-v. Newton's steps rise monotonically to v.
    """
    m = contraction
    length = -np.log1p(-m)
    v = length.copy()
    for _ in range(8):
        v -= (v - np.expm1(-v) - 2.0 * length) / (1.0 + np.exp(-v))
    best = m * (m / (np.square(1.0 - m) * np.expm1(v)))
    return best, best * (2.0 * length / -np.expm1(-v))


@law(
    "R = min over B >= 1 of 2 B ln(1/(1-m))/(-ln((1-m)² + m²/(B S)))",
    "derived here for Aithal & Li 2022, eq. (32), in place of eq. (6)",
    regime=f"{_MULTIPLICATIVE}; mean square, step unchanged, B real",
    value="[1, inf]; falls in snr",
)
def best_minibatch(snr: Given, contraction: Given) -> Floats:
    """Query ratio when the step stays and B pairs are averaged into each step.

    >>> round(float(best_minibatch(0.01, 0.2)), 2)
    49.83
    """
    best, floor = _minibatch_floor(contraction)
    averages = snr < best
    return by_region(
        (snr, contraction, floor),
        (averages, lambda s, m, floor: ratio(floor, s)),
        (~averages, _unaveraged),
    )


@law(
    "N = (2 ln(1/r) + ln(1/ε))/ln(1 + S)",
    "derived here for Aithal & Li 2022, eq. (32)",
    regime=f"{_MULTIPLICATIVE}; best constant step; sufficient (Markov)",
    kind="bound",
    value="[0, inf]; falls in snr miss remaining",
)
def guaranteed_steps(snr: Given, remaining: Given, miss: Given) -> Floats:
    """Steps after which the attack has arrived with probability 1 - ε.

    >>> round(float(guaranteed_steps(0.01, 0.01, 0.01)))
    1388
    """
    return ratio(-2.0 * np.log(remaining) - np.log(miss), np.log1p(snr))
