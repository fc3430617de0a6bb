"""Answers times a random factor: every query multiplies its scores by a fresh A.

The factor is spread evenly between ``low`` and ``high``, and a margin m is answered as
A m. It changes no class, and where several score differences of one answer are read
it cancels in their quotients: S of such a reading is infinite. The laws here are of an
attacker who reads one margin, or anything that grows with it, as the cross-entropy of
two classes does. Each function raises ``DomainError``, naming the parameter, for an
argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory._floats import Array, Floats, by_region, floats, ratio, square
from querytax.theory.law import law

__all__ = ["log_snr", "snr", "wrong_sign"]

_MARGINS = {
    "margin": "m, noiseless margin at one end of the comparison, its unit, finite",
    "other_margin": "m', noiseless margin at the other end, its unit, finite",
}
_RANGE = {
    "low": "a, least factor, ratio, [0, high)",
    "high": "b, greatest factor, ratio, (low, inf)",
}
_SOURCE = "derived here for Random Logit Scaling, factors U(0.5, 10)"


def _range(low: npt.ArrayLike, high: npt.ArrayLike) -> tuple[Array, Array]:
    a = floats(expect.nonnegative(low=low))
    b = floats(expect.positive(high=high))
    expect.that(b > a, "above low", high=high)
    return a, b


def _largest(n: Array, z: Array) -> Array:
    """₂F₁(1 - n, 1; n + 2; z) = E (1 - z + z e⁻ˢ)ⁿ⁻¹, s exponential of rate n + 1."""
    y, weight = special.roots_laguerre(48)
    fall = -np.expm1(-y / (n[:, None] + 1.0)) * z[:, None]
    powers = (n[:, None] - 1.0) * np.log1p(-np.minimum(fall, 1.0 - 1e-16))
    return np.exp(powers) @ weight


@law(
    formula="P = n/(n + 1) (1 - t)^(n+1)/q ₂F₁(1 - n, 1; n + 2; (1 - t)/q), "
    "q = |m'/m| < 1, t = (1 - q) b/(b - a) < 1; (1 - t)²/(2q) for n = 1",
    latex=r"P = \frac{n}{n + 1}\,\frac{(1 - t)^{n + 1}}{q}\,"
    r"{}_2F_1\left(1 - n, 1; n + 2; \frac{1 - t}{q}\right),\qquad "
    r"q = \left|\frac{m'}{m}\right| < 1,\quad t = \frac{(1 - q)\,b}{b - a} < 1",
    symbols={
        **_MARGINS,
        **_RANGE,
        "repeats": "n, answers at each end, of which the largest is kept, count, "
        "[1, inf)",
    },
    regime="exact; a fresh factor for every answer; 0 where the margins differ in sign "
    "or t >= 1, and a tie counts half",
    source=_SOURCE,
)
def wrong_sign(
    margin: npt.ArrayLike,
    other_margin: npt.ArrayLike,
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Probability that two scaled margins come in the wrong order.

    For margins close to each other it is nearly one half, however many digits are
    answered. The factor ends at ``high``: of repeated answers the largest in size errs
    by a share of 1/n, where their mean errs by one of 1/√n.

    Parameters
    ----------
    margin, other_margin : array_like
        Noiseless margins at the two ends, finite; their order does not matter.
    low, high : array_like
        Range of the factor, ``0 <= low < high``.
    repeats : array_like of int
        Answers n at each end; the largest in size is compared.

    Examples
    --------
    >>> round(float(wrong_sign(2.0, 2.1, 0.5, 10.0)), 5)
    0.47369
    >>> round(float(wrong_sign(2.0, 2.1, 0.5, 10.0, 20)), 5)
    0.17853
    """
    m, other = floats(expect.finite(margin=margin)), other_margin
    o = floats(expect.finite(other_margin=other))
    a, b = _range(low, high)
    n = floats(expect.integer(repeats=repeats))
    big, small = np.maximum(np.abs(m), np.abs(o)), np.minimum(np.abs(m), np.abs(o))
    unit = np.where(big > 0.0, big, 1.0)
    q, width = np.where(big > 0.0, small / unit, 1.0), (b - a) / b
    # Each difference is one rounding: t where both are close to 1, else 1 - t at once.
    near = q >= 0.5
    t = np.minimum(((big - small) / unit) / width, 1.0)
    inside = np.clip((q - a / b) / width, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        log_inside = np.where(near, np.log1p(-t), np.log(inside))
    share = np.where(near, 1.0 - t, inside)
    z = np.clip(share / np.where(q > 0.0, q, 1.0), 0.0, 1.0)
    log_inside, z, n = np.broadcast_arrays(log_inside, z, n)
    rest = by_region((n, z), (z >= 0.0, _largest))
    with np.errstate(over="ignore"):
        chance = np.exp(n * log_inside) * (n / (n + 1.0)) * z * rest
    alike = np.sign(m) == np.sign(o)
    # Rounding may lift it above a half.
    return np.where(alike, np.minimum(chance, 0.5), 0.0)[()]


@law(
    formula="S = 3 ((b + a)/(b - a))² (m - m')²/(m² + m'²)",
    latex=r"S = 3\left(\frac{b + a}{b - a}\right)^2 \frac{(m - m')^2}{m^2 + m'^2}",
    symbols={**_MARGINS, **_RANGE},
    regime="exact second moments; consequences need averages of many answers, since "
    "the factor is not normal; (Δm/m)²/(2 Var[A]/E[A]²) for close margins",
    source=_SOURCE,
)
def snr(
    margin: npt.ArrayLike,
    other_margin: npt.ArrayLike,
    low: npt.ArrayLike,
    high: npt.ArrayLike,
) -> Floats:
    """Decision SNR of two scaled margins that are averaged as they are.

    Parameters
    ----------
    margin, other_margin : array_like
        Noiseless margins at the two ends, finite.
    low, high : array_like
        Range of the factor, ``0 <= low < high``.

    Examples
    --------
    >>> round(float(snr(2.0, 2.1, 0.5, 10.0)), 7)
    0.0043577
    """
    m, o = np.broadcast_arrays(
        floats(expect.finite(margin=margin)),
        floats(expect.finite(other_margin=other_margin)),
    )
    a, b = _range(low, high)
    # By powers of two: nothing is rounded, and squares stay within the floats.
    _, power = np.frexp(np.maximum(np.abs(m), np.abs(o)))
    m, o = np.ldexp(m, -power), np.ldexp(o, -power)
    size = np.square(m) + np.square(o)
    share = np.square(m - o) / np.where(size > 0.0, size, 1.0)
    inverse = ratio(1.0 + a / b, (b - a) / b)
    return 3.0 * square(inverse) * share


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
    formula="S = (ln m/m')²/(2 (1 - (x/sinh x)²)), x = ln(b/a)/2",
    latex=r"S = \frac{\left(\ln\frac{m}{m'}\right)^2}"
    r"{2\left(1 - (x/\sinh x)^2\right)},\qquad x = \frac{1}{2}\ln\frac{b}{a}",
    symbols={
        "log_ratio": "|ln m/m'|, log of the margins' quotient, nats, [0, inf)",
        **_RANGE,
    },
    regime="exact second moments; margins of one sign; consequences need averages of "
    "many answers",
    source=_SOURCE + "; ln A is added to the log of a margin",
)
def log_snr(
    log_ratio: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike
) -> Floats:
    """Decision SNR of two scaled margins whose logs are averaged.

    The noise ln A is the same at any margin; its variance is 1 - (x/sinh x)², 1 where
    the factor may be zero.

    Parameters
    ----------
    log_ratio : array_like
        Size of the log of the margins' quotient, in [0, inf).
    low, high : array_like
        Range of the factor, ``0 <= low < high``.

    Examples
    --------
    >>> round(float(log_snr(0.04879, 0.5, 10.0)), 7)
    0.0023672
    """
    change = floats(expect.nonnegative(log_ratio=log_ratio))
    a, b = _range(low, high)
    with np.errstate(divide="ignore", over="ignore"):
        near = np.log1p((b - a) / a)
        x = 0.5 * np.where(b < 2.0 * a, near, np.log(b) - np.log(a))
    excess = _sinh_excess(x)
    # (1 - x/sinh x)(1 + x/sinh x).
    deviation = np.sqrt(excess) * np.sqrt(2.0 - excess)
    return 0.5 * square(ratio(change, deviation))
