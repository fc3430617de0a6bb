"""An error that a noisy step moves: e <- e - c (λe + τξ), ξ ~ N(0, 1).

The noise stays as the error falls, as it does for noise on a model's outputs. The SNR
here is that at the start, λ²e₀²/τ² for one pair of queries; at a distance r of the
start's it is r² of that, so the end of the path costs most.

Counts are real; a whole number of steps is the next one up. Each function raises
``DomainError``, naming the parameter, for an argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.theory._floats import Array, Floats, by_region, floats, ratio
from querytax.theory.law import law

__all__ = [
    "constant_step_floor",
    "constant_step_remaining",
    "constant_steps",
    "nes_least_pairs",
    "nes_pairs",
    "nes_remaining",
    "remaining",
    "steps",
]

_SNR = "S, decision SNR of one pair at the start, power ratio, [0, inf)"
_REMAINING = "r, root-mean-square error left over the error at the start, (0, 1)"
_STEPS = "n, steps, count, [0, inf)"
_STEP = "m = cλ, part of the error that a noiseless step removes, ratio, (0, 2)"
_DIMENSION = "d, dimension of the searched space, count, [1, inf)"
_PAIRS = "p, pairs of queries averaged into one gradient estimate, count, [1, inf)"
_MODEL = "one mode, additive normal noise of constant size"
_SOURCE = "derived here, in place of the recursion of Aithal & Li 2022, eq. (32)"
_NES = (
    "isotropic quadratic, gradient estimates of NES, the step that is best for the "
    "mean square distance at each iterate"
)


@law(
    formula="N = (1/r² - 1)/S",
    latex=r"N = \frac{1/r^2 - 1}{S}",
    symbols={"snr": _SNR, "remaining": _REMAINING},
    regime=_MODEL + ", the best step each time",
    source=_SOURCE,
)
def steps(snr: npt.ArrayLike, remaining: npt.ArrayLike) -> Floats:
    """Steps of the best schedule until so much of the error is left.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair at the start, in [0, inf).
    remaining : array_like
        Root-mean-square error r left, as a fraction of that at the start, in (0, 1).

    Notes
    -----
    A step multiplies the mean square E by (1-cλ)² and adds c²τ². The best c has
    1/E' = 1/E + λ²/τ²: every step adds the same information.

    Examples
    --------
    >>> round(float(steps(1.0, 0.01)))
    9999
    """
    r = floats(expect.probability(remaining=remaining))
    s = floats(expect.nonnegative(snr=snr))
    # In this order no square of a small r leaves the floats before S is divided out.
    return ratio(ratio((1.0 - r) * (1.0 + r) / r, s), r)


@law(
    formula="r = 1/sqrt(1 + n S)",
    latex=r"r = \frac{1}{\sqrt{1 + n S}}",
    symbols={"snr": _SNR, "steps": _STEPS},
    regime=_MODEL + ", the best step each time",
    source=_SOURCE,
)
def remaining(snr: npt.ArrayLike, steps: npt.ArrayLike) -> Floats:
    """Root-mean-square error after steps of the best schedule, over the start's.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair at the start, in [0, inf).
    steps : array_like
        Steps n, in [0, inf).

    Examples
    --------
    >>> float(remaining(1.0, 99))
    0.1
    """
    s = np.sqrt(floats(expect.nonnegative(snr=snr)))
    return 1.0 / np.hypot(1.0, s * np.sqrt(floats(expect.nonnegative(steps=steps))))


def _step(contraction: npt.ArrayLike) -> Array:
    m = floats(expect.positive(contraction=contraction))
    expect.that(~(m >= 2.0), "below 2, where steps diverge", contraction=contraction)
    return m


@law(
    formula="r = sqrt(m/((2-m) S))",
    latex=r"r = \sqrt{\frac{m}{(2 - m) S}}",
    symbols={"snr": _SNR, "contraction": _STEP},
    regime=_MODEL + ", constant step",
    source=_SOURCE,
)
def constant_step_floor(snr: npt.ArrayLike, contraction: npt.ArrayLike) -> Floats:
    """Root-mean-square error at which a constant step stalls, over the start's.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair at the start, in [0, inf).
    contraction : array_like
        Part m of the error that a noiseless step removes, in (0, 2).

    Examples
    --------
    >>> round(float(constant_step_floor(1.0, 0.2)), 6)
    0.333333
    """
    m = _step(contraction)
    s = floats(expect.nonnegative(snr=snr))
    return ratio(np.sqrt(m / (2.0 - m)), np.sqrt(s))


@law(
    formula="r² = (1-m)^(2n) + (1 - (1-m)^(2n)) m/((2-m) S)",
    latex=r"r^2 = (1 - m)^{2n} + \left(1 - (1 - m)^{2n}\right)\frac{m}{(2 - m) S}",
    symbols={"snr": _SNR, "contraction": _STEP, "steps": _STEPS},
    regime=_MODEL + ", constant step",
    source=_SOURCE,
)
def constant_step_remaining(
    snr: npt.ArrayLike, contraction: npt.ArrayLike, steps: npt.ArrayLike
) -> Floats:
    """Root-mean-square error after steps of constant size, over the start's.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair at the start, in [0, inf).
    contraction : array_like
        Part m of the error that a noiseless step removes, in (0, 2).
    steps : array_like
        Steps n, in [0, inf).

    Examples
    --------
    >>> round(float(constant_step_remaining(1.0, 0.2, 1)), 6)
    0.824621
    """
    m = _step(contraction)
    s = floats(expect.nonnegative(snr=snr))
    n = floats(expect.nonnegative(steps=steps))
    low = np.minimum(m, 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        nats = np.where(m < 0.5, np.log1p(-low), np.log(np.abs(1.0 - m))) * n
        nats = np.where(n == 0.0, 0.0, nats)
        floor = ratio(np.sqrt(m / (2.0 - m)), np.sqrt(s))
        gained = np.sqrt(-np.expm1(2.0 * nats)) * floor
    return np.hypot(np.exp(nats), np.where(n == 0.0, 0.0, gained))


def _constant(log_r: Array, end: Array) -> Array:
    """min over f of ln((1 - uf)/(u(1-f)))/(4 artanh(sf)), u = r², s = S r².

    f is the share of r² that the stalled error takes up.
    """
    u, lost = np.exp(2.0 * log_r), -np.expm1(2.0 * log_r)

    def nats(f: Array) -> Array:
        # lost/u would overflow for small u, and 1 - u cancel for u near 1.
        wide = -2.0 * log_r + np.log1p(-u * f) - np.log1p(-f)
        near = np.log1p(lost / (np.maximum(u, 0.1) * (1.0 - f)))
        return np.where(u < 0.1, wide, near)

    low, high = np.zeros_like(u), np.ones_like(u)
    for _ in range(45):
        f = 0.5 * (low + high)
        x = end * f
        # artanh(x)/x, one for the least S.
        stretch = np.where(x > 1e-9, np.arctanh(x) / np.maximum(x, 1e-300), 1.0)
        rises = lost * f * stretch * (1.0 - x * x) > nats(f) * (1.0 - u * f) * (1.0 - f)
        high, low = np.where(rises, f, high), np.where(rises, low, f)
    f = 0.5 * (low + high)
    return nats(f) / (4.0 * np.arctanh(end * f))


@law(
    formula="N = min over 0 < f < 1 of ln((1/r² - f)/(1 - f))/(4 artanh(S r² f)); "
    "1 if S >= 1/r² - 1",
    latex=r"N = \min_{0 < f < 1} \frac{\ln\frac{1/r^2 - f}{1 - f}}"
    r"{4\operatorname{artanh}(S r^2 f)};\quad 1 \text{ if } S \ge 1/r^2 - 1",
    symbols={"snr": _SNR, "remaining": _REMAINING},
    regime=_MODEL + ", the best constant step; rounded up, exact",
    source=_SOURCE,
)
def constant_steps(snr: npt.ArrayLike, remaining: npt.ArrayLike) -> Floats:
    """Steps of the best constant size until so much of the error is left.

    3.189/(S r²) for r = 0.01 and small S: three times the best schedule's.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair at the start, in [0, inf).
    remaining : array_like
        Root-mean-square error r left, as a fraction of that at the start, in (0, 1).

    Notes
    -----
    A constant step of contraction m stalls at the mean square m/((2-m)S) = f r²,
    and has r² = (1-m)^(2N) (1 - f r²) + f r². One step of m = S/(1+S) does it once
    1/(1+S) <= r².

    Examples
    --------
    >>> round(float(constant_steps(1e-4, 0.01)) * 1e-8, 4)
    3.1891
    """
    s = floats(expect.nonnegative(snr=snr))
    r = floats(expect.probability(remaining=remaining))
    s, r = np.broadcast_arrays(s, r)
    one = s * r * r >= (1.0 - r) * (1.0 + r)
    end = s * r * r
    none = ~one & (end < 1e-300)
    # -ln r without cancellation near 1 is what log gives.
    return by_region(
        (np.log(r), end),
        (one, lambda log_r, end: np.ones_like(end)),
        (
            none,
            lambda log_r, end: ratio(
                1e-290 * _constant(log_r, 0.0 * end + 1e-290), end
            ),
        ),
        (~one & ~none, _constant),
    )


def _nes(
    snr: npt.ArrayLike, dimension: npt.ArrayLike, remaining: npt.ArrayLike
) -> tuple[Array, Array]:
    """d, and the pairs that the noise asks for."""
    d = floats(expect.integer(dimension=dimension))
    with np.errstate(over="ignore"):
        return d, d * steps(snr, remaining)


@law(
    formula="(d/S)(1/r² - 1) + 2 (p+d+1) ln(1/r)",
    latex=r"\frac{d}{S}\left(\frac1{r^2} - 1\right) + 2 (p + d + 1)\ln\frac1r",
    symbols={
        "snr": _SNR,
        "dimension": _DIMENSION,
        "pairs": _PAIRS,
        "remaining": _REMAINING,
    },
    regime=_NES + "; sufficient, once rounded up to whole steps",
    source=_SOURCE,
)
def nes_pairs(
    snr: npt.ArrayLike,
    dimension: npt.ArrayLike,
    pairs: npt.ArrayLike,
    remaining: npt.ArrayLike,
) -> Floats:
    """Pairs of queries that suffice an NES attack in many dimensions.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair at the start, in [0, inf).
    dimension : array_like of int
        Dimension d of the searched space.
    pairs : array_like of int
        Pairs p averaged into one gradient estimate.
    remaining : array_like
        Root-mean-square distance r left, as a fraction of the start's, in (0, 1).

    Notes
    -----
    With w = 1/r², a step has w' = w (a + bw)/(a - p + bw), a = p+d+1, b = d/S. So w
    keeps ahead of the flow dw/dn = p w/(a + bw), whose time this is, and behind that
    with a - p in place of a, whose time is :func:`nes_least_pairs`.

    Examples
    --------
    >>> round(float(nes_pairs(2.0, 20, 5, 0.2)), 1)
    323.7
    """
    d, noise = _nes(snr, dimension, remaining)
    p = floats(expect.integer(pairs=pairs))
    return noise - 2.0 * (p + d + 1.0) * np.log(floats(remaining))


@law(
    formula="(d/S)(1/r² - 1) + 2 (d+1) ln(1/r)",
    latex=r"\frac{d}{S}\left(\frac1{r^2} - 1\right) + 2 (d + 1)\ln\frac1r",
    symbols={"snr": _SNR, "dimension": _DIMENSION, "remaining": _REMAINING},
    regime=_NES + "; necessary, for any number of pairs in a step",
    source=_SOURCE,
)
def nes_least_pairs(
    snr: npt.ArrayLike, dimension: npt.ArrayLike, remaining: npt.ArrayLike
) -> Floats:
    """Pairs of queries below which no NES attack has arrived in the mean square.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair at the start, in [0, inf).
    dimension : array_like of int
        Dimension d of the searched space.
    remaining : array_like
        Root-mean-square distance r left, as a fraction of the start's, in (0, 1).

    Examples
    --------
    >>> round(float(nes_least_pairs(2.0, 20, 0.2)), 1)
    307.6
    """
    d, noise = _nes(snr, dimension, remaining)
    return noise - 2.0 * (d + 1.0) * np.log(floats(remaining))


_MOST = 10_000


@law(
    formula="r = w_n^(-1/2), w_0 = 1, w' = w (1 + p/(d + 1 + d w/S))",
    latex=r"r = w_n^{-1/2},\quad w_0 = 1,\quad "
    r"w_{k+1} = w_k\left(1 + \frac{p}{d + 1 + d w_k/S}\right)",
    symbols={
        "snr": _SNR,
        "dimension": _DIMENSION,
        "pairs": _PAIRS,
        "steps": "n, steps of p pairs each, count, 0 to 10000",
    },
    regime=_NES,
    source=_SOURCE,
)
def nes_remaining(
    snr: npt.ArrayLike,
    dimension: npt.ArrayLike,
    pairs: npt.ArrayLike,
    steps: npt.ArrayLike,
) -> Floats:
    """Root-mean-square distance after steps of an NES attack, over the start's.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair at the start, in [0, inf).
    dimension : array_like of int
        Dimension d of the searched space.
    pairs : array_like of int
        Pairs p averaged into one gradient estimate.
    steps : array_like of int
        Steps n, from 0 to 10000.

    Examples
    --------
    >>> round(float(nes_remaining(2.0, 20, 5, 63)), 4)
    0.1983
    """
    s = floats(expect.nonnegative(snr=snr))
    d = floats(expect.integer(dimension=dimension))
    p = floats(expect.integer(pairs=pairs))
    n = floats(expect.integer(0, steps=steps))
    expect.that(~(n > _MOST), f"at most {_MOST}", steps=steps)
    s, d, p, n = np.broadcast_arrays(s, d, p, n)
    noise = ratio(d, s)
    w = np.ones(n.shape)
    with np.errstate(over="ignore"):
        for k in range(int(n.max(initial=0.0))):
            w = np.where(k < n, w * (1.0 + p / (d + 1.0 + noise * w)), w)
    return (1.0 / np.sqrt(w))[()]
