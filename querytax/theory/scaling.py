"""Answers times a random factor: every query multiplies its scores by a fresh A.

The factor is spread evenly between ``low`` and ``high``, and a margin m is answered as
A m. It changes no class, and where several score differences of one answer are read
it cancels in their quotients: S of such a reading is infinite. The laws here are of an
attacker who reads one margin, or anything that grows with it, as the cross-entropy of
two classes does.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax import expect
from querytax.theory.law import Given, law
from querytax.theory.numerics.floats import Array, Floats, by_region, ratio, square

_SOURCE = "derived here for Random Logit Scaling, factors U(0.5, 10)"
_AVERAGED = "exact second moments; what follows from S needs averages of many answers"


def _above(low: Array, high: Array) -> None:
    expect.that(high > low, "above low", high=high)


def _largest(n: Array, z: Array) -> Array:
    """₂F₁(1 - n, 1; n + 2; z) = E (1 - z + z e⁻ˢ)ⁿ⁻¹, s exponential of rate n + 1."""
    y, weight = special.roots_laguerre(48)
    fall = -np.expm1(-y / (n[:, None] + 1.0)) * z[:, None]
    powers = (n[:, None] - 1.0) * np.log1p(-np.minimum(fall, 1.0 - 1e-16))
    return np.exp(powers) @ weight


@law(
    "P = M/(M + 1) (1 - t)^(M+1)/q ₂F₁(1 - M, 1; M + 2; (1 - t)/q), "
    "q = |m'/m| < 1, t = (1 - q) b/(b - a) < 1; (1 - t)²/(2q) for M = 1",
    _SOURCE,
    regime="the largest of M answers at each end is kept, each with a factor of its "
    "own; 0 where the margins differ in sign or t >= 1, and a tie counts half",
    value="[0, 1/2]; falls in repeats",
)
def wrong_sign(
    margin: Given, other_margin: Given, low: Given, high: Given, repeats: Given = 1
) -> Floats:
    """Probability that two scaled margins come in the wrong order.

    For margins close to each other it is nearly one half, however many digits are
    answered. The factor ends at ``high``: of repeated answers the largest in size errs
    by a share of 1/M, where their mean errs by one of 1/√M.

    >>> round(float(wrong_sign(2.0, 2.1, 0.5, 10.0)), 5)
    0.47369
    >>> round(float(wrong_sign(2.0, 2.1, 0.5, 10.0, 20)), 5)
    0.17853
    """
    _above(low, high)
    m, o = np.abs(margin), np.abs(other_margin)
    big, small = np.maximum(m, o), np.minimum(m, o)
    unit = np.where(big > 0.0, big, 1.0)
    q, width = np.where(big > 0.0, small / unit, 1.0), (high - low) / high
    # Each difference is one rounding: t where both are close to 1, else 1 - t at once.
    t = np.minimum(((big - small) / unit) / width, 1.0)
    inside = np.clip((q - low / high) / width, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        log_share = np.where(q >= 0.5, np.log1p(-t), np.log(inside))
    share = np.where(q >= 0.5, 1.0 - t, inside)
    z = np.clip(share / np.where(q > 0.0, q, 1.0), 0.0, 1.0)
    rest = by_region((repeats, z), (z >= 0.0, _largest))
    chance = np.exp(repeats * log_share) * (repeats / (repeats + 1.0)) * z * rest
    # Rounding may lift it above a half.
    alike = np.sign(margin) == np.sign(other_margin)
    return np.where(alike, np.minimum(chance, 0.5), 0.0)[()]


@law(
    "S = 3 ((b + a)/(b - a))² (m - m')²/(m² + m'²)",
    _SOURCE,
    regime=_AVERAGED + "; (Δm/m)²/(2 Var[A]/E[A]²) for close margins",
    value="[0, inf]; rises in low; falls in high",
)
def snr(margin: Given, other_margin: Given, low: Given, high: Given) -> Floats:
    """Decision SNR of two scaled margins that are averaged as they are.

    >>> round(float(snr(2.0, 2.1, 0.5, 10.0)), 7)
    0.0043577
    """
    _above(low, high)
    # By powers of two: nothing is rounded, and squares stay within the floats.
    _, power = np.frexp(np.maximum(np.abs(margin), np.abs(other_margin)))
    m, o = np.ldexp(margin, -power), np.ldexp(other_margin, -power)
    size = np.square(m) + np.square(o)
    share = np.square(m - o) / np.where(size > 0.0, size, 1.0)
    return 3.0 * square(ratio(1.0 + low / high, (high - low) / high)) * share


def _sinh_excess(x: Array) -> Array:
    """(sinh x - x)/sinh x for x >= 0."""
    small = np.minimum(x, 1.0)
    series = np.zeros_like(small)
    for k in range(9, 0, -1):
        series = (1.0 + series) * np.square(small) / ((2 * k) * (2 * k + 1))
    large = np.clip(x, 1.0, 300.0)
    # 1 + series is sinh(x)/x.
    return np.where(x < 1.0, series / (1.0 + series), 1.0 - large / np.sinh(large))


@law(
    "S = l²/(2 (1 - (x/sinh x)²)), l = ln m/m', x = ln(b/a)/2",
    _SOURCE + "; ln A is added to the log of a margin",
    regime=_AVERAGED + "; margins of one sign",
    value="[0, inf]; rises in log_ratio low; falls in high",
)
def log_snr(log_ratio: Given, low: Given, high: Given) -> Floats:
    """Decision SNR of two scaled margins whose logs are averaged.

    The noise ln A is the same at any margin; its variance is 1 - (x/sinh x)², 1 where
    the factor may be zero.

    >>> round(float(log_snr(0.04879, 0.5, 10.0)), 7)
    0.0023672
    """
    _above(low, high)
    with np.errstate(divide="ignore", over="ignore"):
        near = np.log1p((high - low) / low)
        x = 0.5 * np.where(high < 2.0 * low, near, np.log(high) - np.log(low))
    excess = _sinh_excess(x)
    # (1 - x/sinh x)(1 + x/sinh x).
    return 0.5 * square(ratio(log_ratio, np.sqrt(excess) * np.sqrt(2.0 - excess)))
