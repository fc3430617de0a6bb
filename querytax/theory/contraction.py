"""A distance that a noisy step multiplies: v <- v |1 - A|, A = m (1 + ξ/√S).

ξ is standard normal. The noise shrinks with the distance, as it does where the noise is
in the gain. Noise on a model's outputs does not: :mod:`querytax.theory.additive` is its
law. A step of contraction 1 would get there at once, and a longer one overshoots.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import special

from querytax.theory.law import Given, law
from querytax.theory.numerics import efficiency as _efficiency
from querytax.theory.numerics.floats import (
    Array,
    Floats,
    by_region,
    log_gap,
    ratio,
    square,
)
from querytax.theory.numerics.gaussian import ROOT2

_MODEL = "multiplicative noise, constant step, one mode"
_SOURCE = "derived here for Aithal & Li 2022, eq. (32)"
_ANY_STEP = {"contraction": "(0, inf)"}
# Where the slope of E ln|1 + sξ| vanishes, as t = 1/s.
_LEAST = 1.30692972771928


def _way(snr: Array, contraction: Array) -> Array:
    """|1-m| √S/m: how far from zero the factor of a step lies, in its noise."""
    way = np.abs(1.0 - contraction) * ratio(np.sqrt(snr), contraction)
    return np.minimum(way, 1e300)


def _slope(z: Array) -> Array:
    """g'(z)."""
    return ROOT2 * special.dawsn(z / ROOT2)


@cache
def _log_chi() -> tuple[Array, Array, Array]:
    """First three cumulants of ln χ_ν for ν = 1, 3, 5, ...; enough for t < 1.4."""
    half = np.arange(40) + 0.5
    mean = 0.5 * (special.digamma(half) + np.log(2.0))
    return mean, special.polygamma(1, half) / 4.0, special.polygamma(2, half) / 8.0


def _moment(t: Array, order: int) -> Floats:
    """Mean, variance or third central moment of ln|ξ+t| for t < 1.4."""

    def value(t: Array) -> Array:
        mean, variance, third = _log_chi()
        k = np.arange(1, mean.size)
        half_square = 0.5 * np.square(t)[:, None]
        weight = np.ones((t.size, mean.size))
        np.cumprod(half_square / k, axis=1, out=weight[:, 1:])
        weight *= np.exp(-half_square)
        # Sums, not products of matrices: those round by the number of rows.
        centre = (weight * mean).sum(axis=1)
        if order == 1:
            return centre
        gap = mean - centre[:, None]
        terms = (variance + gap * gap, third + gap * (3.0 * variance + gap * gap))
        return (weight * terms[order - 2]).sum(axis=1)

    return by_region((t,), (t >= 0.0, value))


def _best(snr: Array) -> Array:
    """z = (1-m)√S/m of the step with the least exponent: g'(z)(z + √S) = 1."""
    root = np.sqrt(snr)
    z = _LEAST / (1.0 + _LEAST * root)
    for _ in range(6):
        h = _slope(z)
        z = z - (h * (z + root) - 1.0) / ((1.0 - z * h) * (z + root) + h)
    return z


def _least(z: Array) -> Array:
    """The exponent of that step."""
    return _moment(z, 1) + np.log(_slope(z))


@law(
    "E|1-A|² = (1-m)² + m²/S",
    _SOURCE,
    regime=_MODEL,
    domain=_ANY_STEP,
    value="[0, inf]; falls in snr",
)
def mean_square(snr: Given, contraction: Given) -> Floats:
    """Factor of one step on the mean square distance; above 1 it diverges.

    >>> round(float(mean_square(0.1, 0.2)), 6)
    1.04
    """
    with np.errstate(over="ignore"):
        return square(1.0 - contraction) + square(ratio(contraction, np.sqrt(snr)))


@law("S = m/(2-m)", _SOURCE, regime=_MODEL, value="[0, 1]; rises in contraction")
def mean_square_threshold(contraction: Given) -> Floats:
    """SNR below which the mean square distance diverges.

    >>> round(float(mean_square_threshold(0.2)), 6)
    0.111111
    """
    return contraction / (2.0 - contraction)


@law("m = S/(1+S)", _SOURCE, regime=_MODEL, value="[0, 1]; rises in snr")
def mean_square_step(snr: Given) -> Floats:
    """Contraction of the step that lowers the mean square most: by 1 + S.

    >>> float(mean_square_step(0.25))
    0.2
    """
    return snr / (1.0 + snr)


def _log_excess(t: Array) -> Array:
    """E ln|ξ+t| - ln t for t >= 5."""
    return by_region(
        (t,),
        (t < 9.0, lambda t: _efficiency.log_moments_near(t)[0] - np.log(t)),
        (t >= 9.0, lambda t: _efficiency.log_moments_far(t)[0]),
    )


@law(
    "Λ = ln(m/√S) + g(|1-m| √S/m), g(t) = E ln|ξ + t|",
    _SOURCE,
    regime=_MODEL,
    domain=_ANY_STEP,
)
def lyapunov(snr: Given, contraction: Given) -> Floats:
    """Mean growth of the logarithm of the distance per step, in nats.

    Negative: the attack converges with probability 1, even where its mean square
    diverges. ln|1-m| without noise, infinite without signal.

    >>> round(float(lyapunov(1.25e-7, 0.2)), 5)
    5.70286
    """
    t = _way(snr, contraction)

    def near(s: Array, m: Array, t: Array) -> Array:
        return np.log(m) - np.log(np.sqrt(s)) + _efficiency.log_mean(t)

    with np.errstate(divide="ignore"):
        return by_region(
            (snr, contraction, t),
            (t < 5.0, near),
            (t >= 5.0, lambda _, m, t: log_gap(m) + _log_excess(t)),
        )


@law(
    "Var ln|1-A| = V(|1-m| √S/m), V(t) = Var ln|ξ + t|",
    _SOURCE,
    regime=_MODEL,
    domain=_ANY_STEP,
    value="[0, 1.23370055014]; falls in snr",
)
def lyapunov_variance(snr: Given, contraction: Given) -> Floats:
    """Variance of the growth of the logarithm of the distance in one step.

    >>> round(float(lyapunov_variance(1e-9, 0.2)), 6)
    1.233701
    """
    return _efficiency.log_variance(_way(snr, contraction))


@law("Λ(S, m) = 0", _SOURCE, regime=_MODEL, value="[0, 1]; rises in contraction")
def almost_sure_threshold(contraction: Given) -> Floats:
    """SNR below which the distance grows without bound, with probability 1.

    With z = (1-m)√S/m the condition is g(z) - ln z = -ln(1-m). The left side is
    convex and falls in ln z, and Newton's steps rise to the root.

    >>> round(float(almost_sure_threshold(0.2)), 7)
    0.0139179
    """
    nats = -np.log1p(-contraction)
    log_z = float(_moment(np.zeros(()), 1)) - nats
    for _ in range(8):
        z = np.exp(log_z)
        left = _efficiency.log_mean(z) - log_z - nats
        log_z = log_z + left / (1.0 - z * _slope(z))
    return square(contraction * np.exp(log_z + nats))


@law(
    "m = √S g'(z), g'(z)(z + √S) = 1, g'(z) = √2 Dawson(z/√2)",
    _SOURCE,
    regime=_MODEL,
    value="[0, 1]; rises in snr",
)
def almost_sure_step(snr: Given) -> Floats:
    """Contraction of the step that converges fastest with probability 1.

    0.765152 √S for small S: far longer than the step that is best in mean square.

    >>> round(float(almost_sure_step(1e-12) / 1e-6), 6)
    0.765152
    """
    # Rounding may lift it above 1.
    return np.minimum(np.sqrt(snr) * _slope(_best(snr)), 1.0)


@law(
    "Λ = g(z) + ln g'(z), g'(z)(z + √S) = 1",
    _SOURCE,
    regime="multiplicative noise, the step best with probability 1, one mode",
    value="(-inf, -0.245357064]; falls in snr",
)
def best_lyapunov(snr: Given) -> Floats:
    """Least growth per step of the log distance, over all steps.

    -0.245357 even at S = 0: noise that vanishes with the distance cannot stop a
    tuned step.

    >>> round(float(best_lyapunov(0.0)), 12)
    -0.245357064227
    """
    return _least(_best(snr))


@law(
    "n |Λ| = ln(1/r) + q √(n V) + (q² - 1) κ/(6V), q = -Φ⁻¹(ε)",
    _SOURCE + "; κ is the third central moment of ln|1-A|",
    regime="multiplicative noise, the step best with probability 1, one mode; central "
    "limit with its first correction",
    kind="approximation",
    limits={
        "0.001 <= miss <= 0.99": lambda miss: (miss >= 1e-3) & (miss <= 0.99),
        "ten steps or more: ln(1/remaining) >= 6.4 + 5 ln(1 + snr)": (
            lambda snr, remaining: -np.log(remaining) >= 6.4 + 5.0 * np.log1p(snr)
        ),
    },
    value="[0, inf]; falls in remaining miss",
)
def tuned_steps(snr: Given, remaining: Given, miss: Given) -> Floats:
    """Steps after which the best-tuned attack has arrived, but for ``miss``.

    Bounded for small SNR, unlike every law of noise that stays at the goal. Rounded up
    it is the count of simulated attacks to 1 % and a step; outside the limits 12 % too
    many at a miss of 1e-5 and a fifth of the way, 5 % too few at 1e-4 and S = 1.

    >>> round(float(tuned_steps(0.0, 4.54e-5, 0.01)), 1)
    149.8
    """
    z = _best(snr)
    decay, variance = -_least(z), _moment(z, 2)
    q = -special.ndtri(miss)
    skewed = (q * q - 1.0) * _moment(z, 3) / (6.0 * variance)
    way = np.maximum(-np.log(remaining) + skewed, 0.0)
    spread = q * np.sqrt(variance)
    root = (spread + np.sqrt(spread * spread + 4.0 * decay * way)) / (2.0 * decay)
    return root * root


@law(
    "n = ln r/ln(1-m)",
    "Aithal & Li 2022, eq. (29); exact in place of eq. (30)",
    regime="one mode",
    value="[0, inf]; falls in contraction remaining",
)
def noiseless_steps(contraction: Given, remaining: Given) -> Floats:
    """Steps without noise; the next whole number of them suffices.

    >>> round(float(noiseless_steps(0.2, 0.01)), 2)
    20.64
    """
    return np.log(remaining) / np.log1p(-contraction)


@law(
    "r = (1 - m)^n",
    "Aithal & Li 2022, eq. (29)",
    regime="no noise, one mode; more modes leave more than the one of the least slope",
    value="[0, 1]; falls in contraction steps",
)
def noiseless_remaining(contraction: Given, steps: Given) -> Floats:
    """Distance that so many steps leave without noise, over that at the start.

    >>> round(float(noiseless_remaining(0.1, 20.0)), 4)
    0.1216
    """
    return np.exp(steps * np.log1p(-contraction))


@law(
    "P = Φ((n Λ + ln(1/r))/√(n V)), Λ of lyapunov, V of lyapunov_variance",
    "derived here; Aithal & Li 2022, Theorem 2 and eq. (34), in the logarithm",
    regime=_MODEL,
    kind="approximation",
    limits={"steps >= 30": lambda steps: steps >= 30.0},
    domain=_ANY_STEP | {"snr": "(0, inf)", "steps": "(0, inf)"},
    value="[0, 1]; falls in remaining",
)
def not_arrived(
    snr: Given, contraction: Given, steps: Given, remaining: Given
) -> Floats:
    """Chance that the distance after so many noisy steps is more than asked for.

    The logarithm of the distance is a sum of independent terms, read by the central
    limit: within 0.03 from 30 steps on and within 0.017 from 100 on, at six pairs of S
    and m and quantiles from 2 to 98 %; its tails are worse.

    >>> round(float(not_arrived(0.1, 0.1, 40.0, 0.1)), 4)
    0.0392
    """
    way = steps * lyapunov(snr, contraction) - np.log(remaining)
    return special.ndtr(way / np.sqrt(steps * lyapunov_variance(snr, contraction)))
