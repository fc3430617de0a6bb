"""An error that a noisy step moves: e <- e - c (λe + τξ), ξ ~ N(0, 1).

The noise stays as the error falls, as it does for noise on a model's outputs. The SNR
here is that at the start, λ²e₀²/τ² for one pair of queries; at a distance r of the
start's it is r² of that, so the end of the path costs most. The contraction of a step
is cλ.

Counts are real; a whole number of steps is the next one up.
"""

from __future__ import annotations

import numpy as np

from querytax.theory.law import Given, law
from querytax.theory.numerics.floats import Array, Floats, by_region, log_gap, ratio

_BEST = "one mode, normal noise of constant size, the best step each time"
_CONSTANT = "one mode, normal noise of constant size, constant step"
_SOURCE = "derived here, in place of the recursion of Aithal & Li 2022, eq. (32)"
_NES = (
    "isotropic quadratic, gradient estimates of NES, the step that is best for the "
    "mean square distance at each iterate"
)


@law(
    "n = (1/r² - 1)/S",
    _SOURCE,
    regime=_BEST,
    value="[0, inf]; falls in snr remaining",
)
def steps(snr: Given, remaining: Given) -> Floats:
    """Steps of the best schedule until so much of the error is left.

    A step multiplies the mean square E by (1-cλ)² and adds c²τ². The best c has
    1/E' = 1/E + λ²/τ²: every step adds the same information.

    >>> round(float(steps(1.0, 0.01)))
    9999
    """
    r = remaining
    # In this order no square of a small r leaves the floats before S is divided out.
    return ratio(ratio((1.0 - r) * (1.0 + r) / r, snr), r)


@law(
    "r = 1/sqrt(1 + n S)",
    _SOURCE,
    regime=_BEST,
    value="[0, 1]; falls in snr steps",
)
def remaining(snr: Given, steps: Given) -> Floats:
    """Root-mean-square error after steps of the best schedule, over the start's.

    >>> float(remaining(1.0, 99))
    0.1
    """
    return 1.0 / np.hypot(1.0, np.sqrt(snr) * np.sqrt(steps))


@law(
    "r = sqrt(m/((2-m) S))",
    _SOURCE,
    regime=_CONSTANT,
    domain={"contraction": "(0, 2)"},
    value="[0, inf]; rises in contraction; falls in snr",
)
def constant_step_floor(snr: Given, contraction: Given) -> Floats:
    """Root-mean-square error at which a constant step stalls, over the start's.

    A step of contraction 2 or more diverges.

    >>> round(float(constant_step_floor(1.0, 0.2)), 6)
    0.333333
    """
    return ratio(np.sqrt(contraction / (2.0 - contraction)), np.sqrt(snr))


@law(
    "r² = (1-m)^(2n) + (1 - (1-m)^(2n)) m/((2-m) S)",
    _SOURCE,
    regime=_CONSTANT,
    domain={"contraction": "(0, 2)"},
    value="[0, inf]; falls in snr",
)
def constant_step_remaining(snr: Given, contraction: Given, steps: Given) -> Floats:
    """Root-mean-square error after steps of constant size, over the start's.

    >>> round(float(constant_step_remaining(1.0, 0.2, 1)), 6)
    0.824621
    """
    floor = constant_step_floor(snr, contraction)
    with np.errstate(invalid="ignore"):
        nats = np.where(steps == 0.0, 0.0, log_gap(contraction) * steps)
        gained = np.where(steps == 0.0, 0.0, np.sqrt(-np.expm1(2.0 * nats)) * floor)
    return np.hypot(np.exp(nats), gained)


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
    "n = min over 0 < f < 1 of ln((1/r² - f)/(1 - f))/(4 artanh(S r² f)); "
    "1 if S >= 1/r² - 1",
    _SOURCE,
    regime=_CONSTANT + ", the best one; exact once rounded up",
    value="[1, inf]; falls in snr remaining",
)
def constant_steps(snr: Given, remaining: Given) -> Floats:
    """Steps of the best constant size until so much of the error is left.

    3.189/(S r²) for r = 0.01 and small S: three times the best schedule's.

    A constant step of contraction m stalls at the mean square m/((2-m)S) = f r²,
    and has r² = (1-m)^(2n) (1 - f r²) + f r². One step of m = S/(1+S) does it once
    1/(1+S) <= r².

    >>> round(float(constant_steps(1e-4, 0.01)) * 1e-8, 4)
    3.1891
    """
    r = remaining
    end = snr * r * r
    one = end >= (1.0 - r) * (1.0 + r)
    # From here on the count goes as 1/S.
    tiny = ~one & (end < 1e-300)
    return by_region(
        (np.log(r), end),
        (one, lambda _, end: np.ones_like(end)),
        (tiny, lambda r, s: ratio(1e-290 * _constant(r, np.full_like(s, 1e-290)), s)),
        (~one & ~tiny, _constant),
    )


@law(
    "Q/2 = (d/S)(1/r² - 1) + 2 (p+d+1) ln(1/r)",
    _SOURCE,
    regime=_NES + "; sufficient, once rounded up to whole steps",
    kind="bound",
    value="[0, inf]; rises in dimension pairs; falls in snr remaining",
)
def nes_pairs(snr: Given, dimension: Given, pairs: Given, remaining: Given) -> Floats:
    """Pairs of queries that suffice an NES attack in many dimensions.

    With w = 1/r², a step has w' = w (a + bw)/(a - p + bw), a = p+d+1, b = d/S. So w
    keeps ahead of the flow dw/dn = p w/(a + bw), whose time this is, and behind that
    with a - p in place of a, whose time is :func:`nes_least_pairs`.

    >>> round(float(nes_pairs(2.0, 20, 5, 0.2)), 1)
    323.7
    """
    with np.errstate(over="ignore"):
        noise = dimension * steps(snr, remaining)
    return noise - 2.0 * (pairs + dimension + 1.0) * np.log(remaining)


@law(
    "Q/2 = (d/S)(1/r² - 1) + 2 (d+1) ln(1/r)",
    _SOURCE,
    regime=_NES + "; necessary, for any number of pairs in a step",
    kind="bound",
    value="[0, inf]; rises in dimension; falls in snr remaining",
)
def nes_least_pairs(snr: Given, dimension: Given, remaining: Given) -> Floats:
    """Pairs of queries below which no NES attack has arrived in the mean square.

    >>> round(float(nes_least_pairs(2.0, 20, 0.2)), 1)
    307.6
    """
    with np.errstate(over="ignore"):
        noise = dimension * steps(snr, remaining)
    return noise - 2.0 * (dimension + 1.0) * np.log(remaining)


@law(
    "r = w_n^(-1/2), w_0 = 1, w' = w (1 + p/(d + 1 + d w/S))",
    _SOURCE,
    regime=_NES,
    domain={"steps": "{0, ..., 10000}"},
    value="[0, 1]; rises in dimension; falls in snr pairs steps",
)
def nes_remaining(snr: Given, dimension: Given, pairs: Given, steps: Given) -> Floats:
    """Root-mean-square distance after steps of an NES attack, over the start's.

    >>> round(float(nes_remaining(2.0, 20, 5, 63)), 4)
    0.1983
    """
    noise = ratio(dimension, snr)
    w = np.ones(np.broadcast(noise, pairs, steps).shape)
    with np.errstate(over="ignore"):
        for k in range(int(np.max(steps, initial=0.0))):
            grown = w * (1.0 + pairs / (dimension + 1.0 + noise * w))
            w = np.where(k < steps, grown, w)
    return (1.0 / np.sqrt(w))[()]
