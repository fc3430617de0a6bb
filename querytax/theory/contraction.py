"""A distance that a noisy step multiplies: v <- v |1 - m (1 + ξ/√S)|, ξ ~ N(0, 1).

The noise shrinks with the distance, as it does where the noise is in the gain. Noise
on a model's outputs does not: :mod:`querytax.theory.additive` is its law.

Each function raises ``DomainError``, naming the parameter, for an argument outside
its stated range.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory import _efficiency
from querytax.theory._floats import Array, Floats, by_region, floats, ratio, square
from querytax.theory.law import law

__all__ = [
    "almost_sure_step",
    "almost_sure_threshold",
    "best_lyapunov",
    "lyapunov",
    "lyapunov_variance",
    "mean_square",
    "mean_square_step",
    "mean_square_threshold",
    "noiseless_steps",
    "tuned_steps",
]

_SNR = "S, decision signal-to-noise ratio of one pair, power ratio, [0, inf)"
_STEP = "m, distance that a noiseless step removes, 1 in one step, ratio, (0, inf)"
_CONTRACTION = "m, noiseless contraction per step, fraction, (0, 1)"
_MODEL = "multiplicative noise model, constant step, one mode"
_SOURCE = "derived here for Aithal & Li 2022, eq. (32)"
# Where the slope of E ln|1 + sξ| vanishes, as t = 1/s.
_LEAST = 1.30692972771928
_ROOT2 = np.sqrt(2.0)


def _pair(snr: npt.ArrayLike, contraction: npt.ArrayLike) -> tuple[Array, Array]:
    s = floats(expect.nonnegative(snr=snr))
    m = floats(expect.positive(contraction=contraction))
    s, m = np.broadcast_arrays(s, m)
    return s, m


@law(
    formula="E|1 - A|^2 = (1-m)^2 + m^2/S",
    latex=r"\mathbb{E}|1 - A|^2 = (1 - m)^2 + \frac{m^2}{S}",
    symbols={"snr": _SNR, "contraction": _STEP},
    regime=_MODEL,
    source=_SOURCE,
)
def mean_square(snr: npt.ArrayLike, contraction: npt.ArrayLike) -> Floats:
    """Factor of one step on the mean square distance; above 1 it diverges.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    contraction : array_like
        Distance m that a noiseless step removes; above 1 it overshoots.

    Examples
    --------
    >>> round(float(mean_square(0.1, 0.2)), 6)
    1.04
    """
    s, m = _pair(snr, contraction)
    with np.errstate(over="ignore"):
        return square(1.0 - m) + square(ratio(m, np.sqrt(s)))


@law(
    formula="S = m/(2-m)",
    latex=r"S = \frac{m}{2 - m}",
    symbols={"contraction": _CONTRACTION},
    regime=_MODEL,
    source=_SOURCE,
)
def mean_square_threshold(contraction: npt.ArrayLike) -> Floats:
    """SNR below which the mean square distance diverges.

    Parameters
    ----------
    contraction : array_like
        Fraction m of the distance that a noiseless step removes, in (0, 1).

    Examples
    --------
    >>> round(float(mean_square_threshold(0.2)), 6)
    0.111111
    """
    m = floats(expect.probability(contraction=contraction))
    return m / (2.0 - m)


@law(
    formula="m = S/(1+S)",
    latex=r"m = \frac{S}{1 + S}",
    symbols={"snr": _SNR},
    regime=_MODEL,
    source=_SOURCE,
)
def mean_square_step(snr: npt.ArrayLike) -> Floats:
    """Step, as a contraction, that lowers the mean square distance most: by 1 + S.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).

    Examples
    --------
    >>> float(mean_square_step(0.25))
    0.2
    """
    s = floats(expect.nonnegative(snr=snr))
    return s / (1.0 + s)


def _log_excess(t: Array) -> Array:
    """E ln|ξ+t| - ln t for t >= 5."""
    return by_region(
        (t,),
        (t < 9.0, lambda t: _efficiency._log_moments_near(t)[0] - np.log(t)),
        (t >= 9.0, lambda t: _efficiency._log_moments_far(t)[0]),
    )


def _log_gap(m: Array) -> Array:
    """ln|1 - m|."""
    low = np.minimum(m, 0.5)
    with np.errstate(divide="ignore"):
        return np.where(m < 0.5, np.log1p(-low), np.log(np.abs(1.0 - m)))


@law(
    formula="Λ = ln(m/√S) + g(|1-m| √S/m), g(t) = E ln|ξ + t|",
    latex=r"\Lambda = \ln\frac{m}{\sqrt S} + "
    r"g\left(\frac{|1 - m| \sqrt S}{m}\right),\quad g(t) = \mathbb{E}\ln|\xi + t|",
    symbols={"snr": _SNR, "contraction": _STEP},
    regime=_MODEL,
    source=_SOURCE,
)
def lyapunov(snr: npt.ArrayLike, contraction: npt.ArrayLike) -> Floats:
    """Mean growth of the logarithm of the distance per step, in nats.

    Negative: the attack converges with probability 1, even where its mean square
    diverges. ln|1-m| without noise.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf); infinite growth at 0.
    contraction : array_like
        Distance m that a noiseless step removes; above 1 it overshoots.

    Examples
    --------
    >>> round(float(lyapunov(1.25e-7, 0.2)), 5)
    5.70286
    """
    s, m = _pair(snr, contraction)
    root = np.sqrt(s)
    t = np.minimum(np.abs(1.0 - m) * ratio(root, m), 1e300)
    near = (t < 5.0) & (s > 0.0)
    return by_region(
        (root, m, t),
        (
            near,
            lambda root, m, t: np.log(m) - np.log(root) + _efficiency.log_mean(t),
        ),
        (t >= 5.0, lambda root, m, t: _log_gap(m) + _log_excess(t)),
        (s == 0.0, lambda root, m, t: np.full_like(m, np.inf)),
    )


@law(
    formula="Var ln|1 - A| = V(|1-m| √S/m), V(t) = Var ln|ξ + t|",
    latex=r"\operatorname{Var}\ln|1 - A| = V\left(\frac{|1 - m| \sqrt S}{m}\right),"
    r"\quad V(t) = \operatorname{Var}\ln|\xi + t|",
    symbols={"snr": _SNR, "contraction": _STEP},
    regime=_MODEL,
    source=_SOURCE,
)
def lyapunov_variance(snr: npt.ArrayLike, contraction: npt.ArrayLike) -> Floats:
    """Variance of the growth of the logarithm of the distance in one step.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    contraction : array_like
        Distance m that a noiseless step removes; above 1 it overshoots.

    Examples
    --------
    >>> round(float(lyapunov_variance(1e-9, 0.2)), 6)
    1.233701
    """
    s, m = _pair(snr, contraction)
    return _efficiency.log_variance(
        np.minimum(np.abs(1.0 - m) * ratio(np.sqrt(s), m), 1e300)
    )


@law(
    formula="Λ(S, m) = 0",
    latex=r"\Lambda(S, m) = 0",
    symbols={"contraction": _CONTRACTION},
    regime=_MODEL,
    source=_SOURCE,
)
def almost_sure_threshold(contraction: npt.ArrayLike) -> Floats:
    """SNR below which the distance grows without bound, with probability 1.

    Parameters
    ----------
    contraction : array_like
        Fraction m of the distance that a noiseless step removes, in (0, 1).

    Notes
    -----
    With z = (1-m)√S/m the condition is g(z) - ln z = -ln(1-m). The left side is
    convex and falls in ln z, and Newton's steps rise to the root.

    Examples
    --------
    >>> round(float(almost_sure_threshold(0.2)), 7)
    0.0139179
    """
    m = floats(expect.probability(contraction=contraction))
    nats = -np.log1p(-m)
    log_z = float(_MEAN(floats(0.0))) - nats
    for _ in range(8):
        z = np.exp(log_z)
        left = _efficiency.log_mean(z) - log_z - nats
        log_z = log_z + left / (1.0 - z * _slope(z))
    return square(m * np.exp(log_z + nats))


def _slope(z: Array) -> Array:
    """g'(z)."""
    return _ROOT2 * special.dawsn(z / _ROOT2)


@cache
def _log_chi() -> tuple[Array, Array, Array]:
    """First three cumulants of ln χ_ν for ν = 1, 3, 5, ...; enough for t < 1.4."""
    half = np.arange(40) + 0.5
    mean = 0.5 * (special.digamma(half) + np.log(2.0))
    return mean, special.polygamma(1, half) / 4.0, special.polygamma(2, half) / 8.0


def _moment(order: int) -> Callable[[Array], Array]:
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
        gap = mean - centre[:, None]
        terms = (variance + gap * gap, third + gap * (3.0 * variance + gap * gap))
        return centre if order == 1 else (weight * terms[order - 2]).sum(axis=1)

    return lambda t: by_region((t,), (np.ones_like(t, dtype=bool), value))


_MEAN, _VARIANCE, _THIRD = (_moment(order) for order in (1, 2, 3))


def _best(snr: Array) -> Array:
    """z = (1-m)√S/m of the step with the least exponent: g'(z)(z + √S) = 1."""
    root = np.sqrt(snr)
    z = _LEAST / (1.0 + _LEAST * root)
    for _ in range(6):
        h = _slope(z)
        z = z - (h * (z + root) - 1.0) / ((1.0 - z * h) * (z + root) + h)
    return z


@law(
    formula="m = √S g'(z), g'(z)(z + √S) = 1, g'(z) = √2 Dawson(z/√2)",
    latex=r"m = \sqrt S\, g'(z),\quad g'(z)\,(z + \sqrt S) = 1,\quad "
    r"g'(z) = \sqrt2\,\operatorname{Dawson}(z/\sqrt2)",
    symbols={"snr": _SNR},
    regime=_MODEL,
    source=_SOURCE,
)
def almost_sure_step(snr: npt.ArrayLike) -> Floats:
    """Step, as a contraction, whose distance falls fastest with probability 1.

    0.765152 √S for small S: far longer than the step that is best in mean square.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).

    Examples
    --------
    >>> round(float(almost_sure_step(1e-12) / 1e-6), 6)
    0.765152
    """
    s = floats(expect.nonnegative(snr=snr))
    # Rounding may lift it above 1.
    return np.minimum(np.sqrt(s) * _slope(_best(s)), 1.0)


@law(
    formula="min over m of Λ = g(z) + ln g'(z), g'(z)(z + √S) = 1",
    latex=r"\min_m \Lambda = g(z) + \ln g'(z),\quad g'(z)\,(z + \sqrt S) = 1",
    symbols={"snr": _SNR},
    regime=_MODEL,
    source=_SOURCE,
)
def best_lyapunov(snr: npt.ArrayLike) -> Floats:
    """Least growth per step of the logarithm of the distance, over all steps.

    -0.245357 even at S = 0: noise that vanishes with the distance cannot stop a
    tuned step.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).

    Examples
    --------
    >>> round(float(best_lyapunov(0.0)), 12)
    -0.245357064227
    """
    z = _best(floats(expect.nonnegative(snr=snr)))
    return _MEAN(z) + np.log(_slope(z))


@law(
    formula="N |Λ| = ln(1/r) + q √(N V) + (q² - 1) κ/(6V), q = -Φ⁻¹(ε)",
    latex=r"N |\Lambda| = \ln\frac1r + q\sqrt{N V} + \frac{(q^2 - 1)\,\kappa}{6 V},"
    r"\quad q = -\Phi^{-1}(\varepsilon)",
    symbols={
        "snr": _SNR,
        "error": "ε, probability of not arriving, probability, (0, 1/2)",
        "nats": "ln(1/r), r the distance left over that at the start, nats, (0, inf)",
    },
    regime=(
        "multiplicative noise model, the step best with probability 1; central limit "
        "with its first correction: within 4 % and a step once steps are many"
    ),
    source=_SOURCE + "; κ is the third central moment of ln|1 - A|",
    limits={
        "an error of at least 0.001": lambda error: ~(np.asarray(error) < 1e-3),
        "ten steps or more: nats >= 6.4 + 5 ln(1 + snr)": lambda snr, nats: (
            ~(np.asarray(nats) < 6.4 + 5.0 * np.log1p(np.maximum(snr, 0.0)))
        ),
    },
)
def tuned_steps(
    snr: npt.ArrayLike, error: npt.ArrayLike, nats: npt.ArrayLike
) -> Floats:
    """Steps after which the best-tuned attack has arrived, but for ``error``.

    Bounded for small SNR, unlike every law of noise that stays at the goal.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    error : array_like
        Probability ε of not having arrived, in (0, 1/2).
    nats : array_like
        Logarithm of the distance at the start over that which may remain.

    Examples
    --------
    >>> round(float(tuned_steps(0.0, 0.01, 10.0)), 1)
    149.8
    """
    s = floats(expect.nonnegative(snr=snr))
    epsilon = floats(expect.error_rate(error=error))
    goal = floats(expect.positive(nats=nats))
    z = _best(s)
    decay = -(_MEAN(z) + np.log(_slope(z)))
    variance, third = _VARIANCE(z), _THIRD(z)
    q = -special.ndtri(epsilon)
    way = np.maximum(goal + (q * q - 1.0) * third / (6.0 * variance), 0.0)
    spread = q * np.sqrt(variance)
    root = (spread + np.sqrt(spread * spread + 4.0 * decay * way)) / (2.0 * decay)
    return root * root


@law(
    formula="n = ln r/ln(1-m)",
    latex=r"n = \frac{\ln r}{\ln(1 - m)}",
    symbols={
        "contraction": _CONTRACTION,
        "remaining": "r, distance left over distance at the start, ratio, (0, 1)",
    },
    regime="exact steps on one mode",
    source="Aithal & Li 2022, eq. (29); exact in place of eq. (30)",
)
def noiseless_steps(contraction: npt.ArrayLike, remaining: npt.ArrayLike) -> Floats:
    """Steps without noise; a real number, of which the next whole one suffices.

    Parameters
    ----------
    contraction : array_like
        Fraction m of the distance that a step removes, in (0, 1).
    remaining : array_like
        Distance r that may remain, as a fraction of the start's, in (0, 1).

    Examples
    --------
    >>> round(float(noiseless_steps(0.2, 0.01)), 2)
    20.64
    """
    m = floats(expect.probability(contraction=contraction))
    return np.log(floats(expect.probability(remaining=remaining))) / np.log1p(-m)
