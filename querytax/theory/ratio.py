"""The law of a ratio of two noisy outputs, and of the attacker's factor A in it.

An attacker who reads probabilities by their logarithm multiplies its step by
A = ln(y/y')/μ, y and y' the noisy answers at the two queries of a pair. Their ratio has
no mean and no variance, and with outputs near the noise it is far from normal; its
exact law is here. For the sign of one difference none of it is needed: that depends on
:func:`querytax.theory.snr.output` alone.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from scipy.special import dawsn, erf, log_ndtr, ndtr

from querytax.theory.law import Given, law
from querytax.theory.numerics import bivariate as _bivariate
from querytax.theory.numerics.floats import Array, Floats, ratio, root_one_plus
from querytax.theory.numerics.gaussian import ROOT2, pdf
from querytax.theory.relations import log_of

Line: TypeAlias = tuple[Array, Array]
Pair: TypeAlias = tuple[Array, Array, Array]

_OTHER_SIDE = {"below": "above", "above": "below"}
_EXACT = "exact: fresh normal noise on each output, neither reflected nor clipped"
_REAL = "exact, given that both noisy outputs have one sign: else A is not real"
_SOURCE = "Hinkley 1969; replaces N(1, σ_Z²) in Aithal & Li 2022, Theorem 1"
# Without noise a density has no value.
_NOISY = {"sigma": "(0, inf)"}
# Beyond it, where squares leave the floats, an output over its noise is without noise.
_LARGEST = 2e154


def _over(value: Array, sigma: Array) -> Array:
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        return np.clip(np.where(value == 0.0, 0.0, value / sigma), -1e300, 1e300)


def _bounded(line: Line) -> Line:
    """The same distance from a mean no farther than the largest."""
    h = np.clip(line[0], -_LARGEST, _LARGEST)
    most = np.sqrt(_LARGEST - np.abs(h)) * np.sqrt(_LARGEST + np.abs(h))
    return h, np.where(np.hypot(*line) < _LARGEST, line[1], np.copysign(most, line[1]))


def _line(sine: Array, cosine: Array, pair: Pair) -> Line:
    """Distance of the line of ratios sine/cosine from the mean, and along it."""
    one, two, sigma = pair
    h = _over(sine * two - cosine * one, sigma)
    return h, _over(sine * one + cosine * two, sigma)


def _quotient_line(z: Array, pair: Pair) -> Line:
    one, two, sigma = pair
    root = root_one_plus(np.abs(z))
    cosine, sine = 1.0 / root, z / root
    h, u = _line(sine, cosine, pair)
    a, b = sine * two, cosine * one
    close = np.abs(a - b) <= 0.25 * (np.abs(a) + b)
    if np.any(close):
        exact = _bivariate.cross(np.where(close, z, 0.0), two, one * close)
        h = np.where(close, _over(exact * cosine, sigma), h)
    return h, u


def _multiplier_line(y: Array, pair: Pair) -> tuple[Line, Array]:
    """The line of ratios exp(y), and sine times cosine."""
    fall = np.exp(-np.abs(y))
    large = 1.0 / np.sqrt(1.0 + fall * fall)
    sine = np.where(y > 0, large, fall * large)
    cosine = np.where(y > 0, fall * large, large)
    return _line(sine, cosine, pair), fall * large * large


def _wedge(
    quotient: Given, output: Given, other_output: Given, sigma: Given, side: str
) -> tuple[Array, Array]:
    line = _bounded(_quotient_line(quotient, (output, other_output, sigma)))
    t, t_ = _bounded((_over(other_output, sigma), _over(output, sigma)))
    if side == "below":
        return _bivariate.sector((-t, -t_), line, np.arctan2(1.0, -quotient))
    return _bivariate.sector(line, (t, t_), np.arctan2(1.0, quotient))


@law(
    "P(Z <= z) = Φ(h) + Φ(k) - 2 Φ2(h, k; r), "
    "h = (zF' - F)/(σ√(1+z²)), k = -F'/σ, r = -z/√(1+z²)",
    _SOURCE,
    regime=_EXACT,
    value="[0, 1]; rises in quotient",
)
def distribution(
    quotient: Given,
    output: Given,
    other_output: Given,
    sigma: Given,
    side: str = "below",
) -> Floats:
    """Chance that the ratio of two noisy outputs lies below (above) a value.

    The two outputs are a point of the plane; the ratio is the direction of the axis
    through it and 0, and the law a double sector's mass, summed from positive terms.

    >>> round(float(distribution(1.0, 0.3, 0.3, 0.1)), 6)
    0.501348
    >>> round(float(distribution(0.0, 0.3, 0.4, 0.2)), 6)
    0.086518
    """
    mass = _wedge(quotient, output, other_output, sigma, side)
    return _bivariate.probability(*mass)


def _log_distribution(side: str, **given: Given) -> Floats:
    rest = _wedge(**given, side=_OTHER_SIDE[side])
    return _bivariate.logarithm(*_wedge(**given, side=side), rest)


log_distribution = log_of(distribution, _log_distribution)


def _spread(line: Line, pair: Pair) -> Array:
    """Density of the axis' angle, modulo π."""
    one, two, sigma = pair
    gone = np.minimum(np.hypot(_over(one, sigma), _over(two, sigma)), 1e100)
    flat = np.exp(-0.5 * gone * gone) / np.pi
    h, u = np.minimum(np.abs(line[0]), 1e100), np.abs(line[1])
    return flat + u * erf(u / ROOT2) * pdf(h)


@law(
    "f(z) = (exp(-(F²+F'²)/(2σ²))/π + |u| erf(|u|/√2) φ(h))/(1+z²), "
    "u = (zF + F')/(σ√(1+z²))",
    "Hinkley 1969; written here without cancelling terms",
    regime=_EXACT,
    domain=_NOISY,
    value="[0, inf]",
)
def density(
    quotient: Given, output: Given, other_output: Given, sigma: Given
) -> Floats:
    """Density of the ratio of two noisy outputs.

    h is that of :func:`distribution`. Without outputs it is Cauchy's 1/(π(1+z²)), and
    for any outputs the tails are as heavy: no mean exists.

    >>> round(float(density(1.0, 0.3, 0.3, 0.1)), 6)
    0.846285
    """
    pair = (output, other_output, sigma)
    root = root_one_plus(np.abs(quotient))
    return (_spread(_quotient_line(quotient, pair), pair) / root / root)[()]


@law(
    "P = Φ(F/σ)Φ(F'/σ) + Φ(-F/σ)Φ(-F'/σ)",
    "derived here; missing from Aithal & Li 2022, Theorem 1",
    regime=_EXACT,
    value="[1/2, 1]; rises in output other_output; falls in sigma",
)
def same_sign(output: Given, other_output: Given, sigma: Given) -> Floats:
    """Chance that A is real: two noisy outputs have one sign.

    >>> float(same_sign(0.3, 0.0, 0.1))
    0.5
    """
    t, t_ = _over(output, sigma), _over(other_output, sigma)
    return ndtr(t) * ndtr(t_) + ndtr(-t) * ndtr(-t_)


@law(
    "P = Φ(F/σ)Φ(-F'/σ) + Φ(-F/σ)Φ(F'/σ)",
    "derived here; missing from Aithal & Li 2022, Theorem 1",
    regime=_EXACT,
    value="[0, 1/2]; rises in sigma; falls in output other_output",
)
def opposite_signs(output: Given, other_output: Given, sigma: Given) -> Floats:
    """Chance that A is not real: two noisy outputs differ in sign.

    >>> round(float(opposite_signs(0.3, 0.4, 0.1)), 9)
    0.001381484
    """
    t, t_ = _over(output, sigma), _over(other_output, sigma)
    return ndtr(t) * ndtr(-t_) + ndtr(-t) * ndtr(t_)


def _log_opposite_signs(output: Given, other_output: Given, sigma: Given) -> Floats:
    t, t_ = _over(output, sigma), _over(other_output, sigma)
    return np.logaddexp(log_ndtr(t) + log_ndtr(-t_), log_ndtr(-t) + log_ndtr(t_))


log_opposite_signs = log_of(opposite_signs, _log_opposite_signs)


def _exponent(multiplier: Given, probe: Given) -> Array:
    with np.errstate(over="ignore"):
        return np.clip(multiplier * probe, -1e4, 1e4)


def _tail(
    multiplier: Given,
    output: Given,
    other_output: Given,
    probe: Given,
    sigma: Given,
    side: str,
) -> tuple[Array, Array]:
    y = _exponent(multiplier, probe)
    line = _bounded(_multiplier_line(y, (output, other_output, sigma))[0])
    t, t_ = _over(output, sigma), _over(other_output, sigma)
    if side == "below":
        angle = np.arctan(np.exp(np.minimum(y, 700)))
        scale, exponent = _bivariate.sector(_bounded((-t, t_)), line, angle)
    else:
        angle = np.arctan(np.exp(np.minimum(-y, 700)))
        scale, exponent = _bivariate.sector(line, _bounded((t_, t)), angle)
    return scale / same_sign(output, other_output, sigma), exponent


@law(
    "P(A <= x | A real) = P(0 < Z <= exp(μx))/P(Z > 0)",
    "derived here for Aithal & Li 2022, Theorem 1 and eq. (17)",
    regime=_REAL,
    value="[0, 1]; rises in multiplier",
)
def multiplier_distribution(
    multiplier: Given,
    output: Given,
    other_output: Given,
    probe: Given,
    sigma: Given,
    side: str = "below",
) -> Floats:
    """Chance that a real noisy factor A lies below (above) a value.

    Times :func:`same_sign` it is the share of all pairs; the rest, of
    :func:`opposite_signs`, have no A. At the place where ln(F/F')/μ is itself asked
    for, it keeps about F/σ rounding errors.

    >>> round(float(multiplier_distribution(0.0, 0.3, 0.3, 0.1, 0.2)), 12)
    0.5
    >>> round(float(multiplier_distribution(0.0, 0.11, 0.1, 0.1, 0.01)), 6)
    0.23975
    """
    mass = _tail(multiplier, output, other_output, probe, sigma, side)
    return _bivariate.probability(*mass)


def _log_multiplier_distribution(side: str, **given: Given) -> Floats:
    rest = _tail(**given, side=_OTHER_SIDE[side])
    return _bivariate.logarithm(*_tail(**given, side=side), rest)


log_multiplier_distribution = log_of(
    multiplier_distribution, _log_multiplier_distribution
)


@law(
    "f(x) = μ exp(μx) f_Z(exp(μx))/P(Z > 0)",
    "derived here; Aithal & Li 2022, eq. (17), corrected and made exact",
    regime=_REAL,
    domain=_NOISY,
    value="[0, inf]",
)
def multiplier_density(
    multiplier: Given, output: Given, other_output: Given, probe: Given, sigma: Given
) -> Floats:
    """Density of the noisy factor A, given that it is real.

    >>> round(float(multiplier_density(0.0, 0.3, 0.3, 0.1, 0.1)), 6)
    0.084857
    """
    pair = (output, other_output, sigma)
    line, slope = _multiplier_line(_exponent(multiplier, probe), pair)
    value: Any = _spread(line, pair) * slope * ratio(probe, same_sign(*pair))
    return value[()]


@law(
    "P = P(Z <= 1)/P(Z > 0), Z positive",
    "derived here; Aithal & Li 2022, Remark 2, corrected: exact, at any noise",
    regime="the ratio is positive, as its logarithm wants",
    domain={"sigma": "(0, inf)"},
    value="[0, 1]; rises in other_output",
)
def wrong_order(output: Given, other_output: Given, sigma: Given) -> Floats:
    """Chance that a pair's log ratio says that the first output is the smaller.

    >>> round(float(wrong_order(0.6, 0.5, 0.1)), 6)
    0.23975
    """
    return multiplier_distribution(0.0, output, other_output, 1.0, sigma)


@law(
    "E Z = √2 (F/σ) D(F'/(√2 σ)), D Dawson's integral",
    "derived here; Aithal & Li 2022, Lemma 4, eq. (67)",
    regime="principal value: the mean itself does not exist",
    domain={"sigma": "(0, inf)"},
    value="[0, inf]; rises in output",
)
def principal_mean(output: Given, other_output: Given, sigma: Given) -> Floats:
    """Mean ratio of two noisy outputs, where poles on both sides cancel.

    F/F' for weak noise, and 0 where the denominator drowns in it.

    >>> round(float(principal_mean(0.6, 0.5, 0.1)), 6)
    1.255475
    """
    near = dawsn(np.minimum(ratio(other_output, sigma), 1e300) / ROOT2)
    with np.errstate(over="ignore"):
        return ROOT2 * (output / sigma) * near
