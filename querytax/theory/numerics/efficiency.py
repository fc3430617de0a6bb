"""Information that a noisy probability keeps about a small change of it.

Everything here is in units of sigma: ``t`` is the output, ``c`` the headroom up to
the ceiling, ``b = t + c`` the ceiling itself, ``ξ`` the standard normal noise.
An efficiency is J = (d mean / dt)² / variance for a reading, or the Fisher
information about t for the best reading; J = 1 for the raw value ``t + ξ``.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.polynomial import polynomial
from scipy import special

from querytax import expect
from querytax.theory.numerics.floats import Array, Floats, by_region, over
from querytax.theory.numerics.gaussian import ROOT2, ROOT2PI, legendre, pdf

# Beyond nine standard deviations a wall changes no digit: Φ(-9) = 1e-19.
FAR = 9.0
# Efficiencies are 1 to all digits here, and squares stay finite.
_HUGE = 1e100


def _hazard(x: Array) -> Array:
    """φ(x)/Φ(-x)."""
    return 2.0 / (ROOT2PI * special.erfcx(x / ROOT2))


# --- The logarithm of a folded normal -------------------------------------------


@cache
def log_chi_square() -> tuple[Array, Array]:
    """Mean and variance of ln χ_ν for ν = 1, 3, 5, ...; enough for t < 9."""
    half = np.arange(116) + 0.5
    mean = 0.5 * (special.digamma(half) + np.log(2.0))
    return mean, 0.25 * special.polygamma(1, half)


def chances(t: Array) -> tuple[Array, Array]:
    """(ξ+t)² is a Poisson mixture of χ²_{1+2k}: chances up to a factor, and that."""
    half_square = 0.5 * t[:, None] ** 2
    weight = np.ones((t.size, 116))
    np.cumprod(half_square / np.arange(1, 116), axis=1, out=weight[:, 1:])
    return weight, np.exp(-half_square)


def log_moments_near(t: Array) -> tuple[Array, Array]:
    """Mean and variance of ln|ξ+t| for t < 9."""
    mean, variance = log_chi_square()
    weight, factor = chances(t)
    weight *= factor
    g = weight @ mean
    spread = np.square(mean - g[:, None])
    return g, weight @ variance + np.einsum("ij,ij->i", weight, spread)


@cache
def _log_series() -> tuple[Array, Array]:
    """Coefficients of t^-2k, k >= 1: ln t - E ln|ξ+t|, and E ln²|1 + ξ/t|."""
    k = np.arange(1.0, 31.0)
    moments = np.cumprod(2.0 * k - 1.0)
    harmonic = np.cumsum(1.0 / np.arange(1.0, 61.0))[::2]
    return 0.5 * moments / k, moments * harmonic / k


def log_moments_far(t: Array) -> tuple[Array, Array]:
    """E ln|ξ+t| - ln t, and t² Var ln|ξ+t|, by their asymptotic series."""
    first, second = _log_series()
    r2 = np.square(1.0 / t)
    drop = r2 * polynomial.polyval(r2, first)
    return -drop, polynomial.polyval(r2, second) - np.square(drop * t)


def log_mean(t: Array) -> Floats:
    """E ln|ξ+t|."""
    return by_region(
        (t,),
        (t < FAR, lambda t: log_moments_near(t)[0]),
        (t >= FAR, lambda t: np.log(t) + log_moments_far(t)[0]),
    )


def log_variance(t: Array) -> Floats:
    """Var ln|ξ+t|."""
    return by_region(
        (t,),
        (t < FAR, lambda t: log_moments_near(t)[1]),
        (t >= FAR, lambda t: log_moments_far(t)[1] / t / t),
    )


def _released_far(t: Array, c: Array) -> Array:
    """E ln(min(|ξ+t|, t+c)/(t+c)) where t >= 9, below a near ceiling: no folding."""
    u, w = legendre(100)
    width = (c + FAR)[:, None]
    x = width * u - FAR
    read = np.log1p((x - c[:, None]) / (t + c)[:, None])
    return (width * w * pdf(x) * read).sum(axis=1)


def released_log_mean(f: Array, sigma: Array) -> Floats:
    """E ln min(|f + σξ|, 1), of terms that all lie below zero."""

    def folded(t: Array, c: Array, *_: Array) -> Array:
        u, density = _folded(t, c)[:2]
        return (density * np.log(u)).sum(axis=1)

    t, c = np.minimum(over(f, sigma), 1e300), np.minimum(over(1.0 - f, sigma), 1e300)
    near, capped = t < FAR, (c < FAR) & (sigma > 0.0)
    with np.errstate(divide="ignore"):
        log_f, log_s = np.log(f), np.log(sigma)
    return by_region(
        (t, c, log_f, log_s),
        (near & capped, folded),
        (~near & capped, lambda t, c, *_: _released_far(t, c)),
        (near & ~capped, lambda t, c, _, log_s: log_s + log_moments_near(t)[0]),
        (~near & ~capped, lambda t, c, log_f, _: log_f + log_moments_far(t)[0]),
    )


# --- Efficiencies without a ceiling ----------------------------------------------


def _log_near(t: Array) -> Array:
    slope = ROOT2 * special.dawsn(t / ROOT2)
    return np.square(slope) / log_moments_near(t)[1]


def _log_far(t: Array) -> Array:
    slope = t * ROOT2 * special.dawsn(t / ROOT2)
    return np.square(slope) / log_moments_far(t)[1]


def _fold_small(t: Array) -> Array:
    """E[(y tanh(ty) - t)²] for t <= 1 by the trapezoidal rule; no cancellation."""
    step = 0.25
    total = np.zeros_like(t)
    for y in step * np.arange(1, 41):
        total += (
            np.square(y * np.tanh(t * y) - t) * np.exp(-0.5 * y * y) * np.cosh(t * y)
        )
    return 2.0 * step / ROOT2PI * np.exp(-0.5 * t * t) * (total + 0.5 * t * t)


def _fold_middle(t: Array) -> Array:
    """1 - E[y² sech²(ty)] for t > 1 by the trapezoidal rule in z = ty."""
    step = 0.25
    total = np.zeros_like(t)
    for z in step * np.arange(1, 121):
        total += z * z / np.cosh(z) * np.exp(-0.5 * np.square(z / t))
    return 1.0 - 2.0 * step * pdf(t) / t**3 * total


def _abs_open(t: Array) -> Array:
    below = 2.0 * (pdf(t) - t * special.ndtr(-t))
    return np.square(special.erf(t / ROOT2)) / (1.0 - 2.0 * t * below - below**2)


# --- Efficiencies between two walls -----------------------------------------------


def _wall(x: Array) -> Array:
    """Fisher information on one side of t: the values inside, the atom at the wall."""
    return 0.5 * special.erf(x / ROOT2) + pdf(x) * (_hazard(x) - x)


def _clip_best(t: Array, c: Array) -> Array:
    return _wall(t) + _wall(c)


def _clip_mean_wide(t: Array, c: Array) -> Array:
    def second(x: Array) -> Array:
        return 0.5 * special.erf(x / ROOT2) - x * pdf(x) + x * x * special.ndtr(-x)

    shift = pdf(t) - t * special.ndtr(-t) - pdf(c) + c * special.ndtr(-c)
    slope = 0.5 * (special.erf(t / ROOT2) + special.erf(c / ROOT2))
    return np.square(slope) / (second(t) + second(c) - np.square(shift))


def _clip_mean_narrow(t: Array, c: Array) -> Array:
    u, w = legendre(100)
    b = (t + c)[:, None]
    weight = b * w * pdf(b * u - t[:, None])
    low, high = special.ndtr(-t), special.ndtr(-c)
    mean = weight @ u + high
    variance = np.einsum("ij,ij->i", weight, np.square(u - mean[:, None]))
    variance += low * mean**2 + high * np.square(1.0 - mean)
    slope = 0.5 * (special.erf(t / ROOT2) + special.erf(c / ROOT2)) / (t + c)
    return np.square(slope) / variance


def _clip_mean(t: Array, c: Array) -> Array:
    return by_region(
        (t, c), (t + c > 2.0, _clip_mean_wide), (t + c <= 2.0, _clip_mean_narrow)
    )


def _folded(t: Array, c: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Nodes y/b in (0, 1) of the folded normal below the ceiling, and its atom there.

    Returns y/b, the weights of the density φ(y-t) + φ(y+t), those of the
    difference φ(y-t) - φ(y+t), the atom, and the atom's derivative. The nodes
    crowd at 0, where the logarithm is singular.
    """
    u, w = legendre(100)
    fifth = u**5
    b = t + c
    y = b[:, None] * fifth
    bell = b[:, None] * (5.0 * u**4 * w) * pdf(y - t[:, None])
    image = -2.0 * t[:, None] * y
    atom = special.ndtr(-c) + special.ndtr(-(t + b))
    rise = -pdf(c) * np.expm1(-2.0 * t * b)
    return fifth, bell * (1.0 + np.exp(image)), -bell * np.expm1(image), atom, rise


def _fold_capped_best(t: Array, c: Array) -> Array:
    u, density, _, atom, rise = _folded(t, c)
    y = (t + c)[:, None] * u
    column = t[:, None]
    score = np.square(y * np.tanh(column * y) - column)
    return np.einsum("ij,ij->i", density, score) + rise**2 / atom


def _fold_capped_abs(t: Array, c: Array) -> Array:
    u, density, difference, atom, _ = _folded(t, c)
    b = t + c
    mean = density @ u + atom
    variance = np.einsum("ij,ij->i", density, np.square(u - mean[:, None]))
    variance += atom * np.square(1.0 - mean)
    return np.square(difference.sum(axis=1) / b) / variance


def _fold_capped_log(t: Array, c: Array) -> Array:
    u, density, difference, atom, _ = _folded(t, c)
    b, log = t + c, np.log(u)
    mean = density @ log
    variance = np.einsum("ij,ij->i", density, np.square(log - mean[:, None]))
    variance += atom * mean**2
    return np.square((difference / u).sum(axis=1) / b) / variance


def _capped_log_far(t: Array, c: Array) -> Array:
    """The logarithm below a ceiling where t >= 9: no folding."""
    u, w = legendre(100)
    width = (c + FAR)[:, None]
    x = width * u - FAR
    weight = width * w * pdf(x)
    t = t[:, None]
    read, top = t * np.log1p(x / t), t[:, 0] * np.log1p(c / t[:, 0])
    atom = special.ndtr(-c)
    mean = np.einsum("ij,ij->i", weight, read) + atom * top
    variance = np.einsum("ij,ij->i", weight, np.square(read - mean[:, None]))
    variance += atom * np.square(top - mean)
    return np.square(np.einsum("ij,ij->i", weight, 1.0 / (1.0 + x / t))) / variance


def efficiency(t: Array, c: Array, form: str, reading: str) -> Floats:
    """J of a reading of the released value; ``c`` is infinite without a ceiling."""
    if form == "clip":
        expect.one_of(("best", "abs"), reading=reading)
    t, c = np.minimum(t, _HUGE), np.minimum(c, _HUGE)
    if form == "raw" and reading == "best":
        return np.ones(np.broadcast_shapes(t.shape, c.shape))[()]
    if form == "clip":
        clip = _clip_best if reading == "best" else _clip_mean
        return by_region((t, c), (t >= 0.0, clip))
    if form == "raw":
        # The attacker folds the value; no ceiling cuts it.
        c = np.full_like(c, _HUGE)
    folds, capped = t < FAR, c < FAR
    if reading == "log":
        return by_region(
            (t, c),
            (folds & capped, _fold_capped_log),
            (~folds & capped, _capped_log_far),
            (folds & ~capped, lambda t, c: _log_near(t)),
            (~folds & ~capped, lambda t, c: _log_far(t)),
        )
    if reading == "abs":
        return by_region(
            (t, c),
            (folds & capped, _fold_capped_abs),
            (folds & ~capped, lambda t, c: _abs_open(t)),
            (~folds, _clip_mean),
        )
    return by_region(
        (t, c),
        (folds & capped, _fold_capped_best),
        ((t <= 1.0) & ~capped, lambda t, c: _fold_small(t)),
        ((t > 1.0) & folds & ~capped, lambda t, c: _fold_middle(t)),
        (~folds, _clip_best),
    )
