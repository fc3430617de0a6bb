"""The law of a ratio of two noisy outputs, and of the attacker's factor A in it.

An attacker who reads probabilities by their logarithm multiplies its step by
A = ln(y1/y2)/β, y1 and y2 the noisy answers at the two queries of a pair. Their ratio
has no mean and no variance, and with outputs near the noise it is far from normal; its
exact law is here. For the sign of one difference none of it is needed: that depends on
:func:`querytax.theory.snr.output` alone. Each function raises ``DomainError``, naming
the parameter, for an argument outside its stated range.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory import _bivariate
from querytax.theory._floats import Array, Floats, floats, ratio, root_one_plus
from querytax.theory.law import law

__all__ = [
    "density",
    "distribution",
    "log_distribution",
    "log_multiplier_distribution",
    "log_opposite_signs",
    "multiplier_density",
    "multiplier_distribution",
    "opposite_signs",
    "same_sign",
]

Line: TypeAlias = tuple[Array, Array]

_QUOTIENT = "z, value of the noisy ratio (F1+v1)/(F2+v2), ratio, (-inf, inf)"
_MULTIPLIER = "x, value of A = ln(y1/y2)/β, 1/input, (-inf, inf)"
_OUTPUT = "F1, noiseless output in the numerator, probability, [0, inf)"
_OTHER = "F2, noiseless output in the denominator, probability, [0, inf)"
_SIGMA = "σ, standard deviation of the noise on each output, probability, (0, inf)"
_PROBE = "β, probe size: queries at x ± βu, input, (0, inf)"
_OTHER_SIDE = {"below": "above", "above": "below"}
_SIDE = "'below' or 'above': which side's probability"
_PAIR = {"output": _OUTPUT, "other_output": _OTHER, "sigma": _SIGMA}
_EXACT = "exact: fresh normal noise on each output, neither reflected nor clipped"
_REAL = "exact, given that both noisy outputs have one sign: else A is not real"
_SOURCE = "Hinkley 1969; replaces N(1, σ_Z²) in Aithal & Li 2022, Theorem 1"
# Beyond it, where squares leave the floats, an output over its noise is without noise.
_LARGEST = 2e154


def _outputs(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: npt.ArrayLike
) -> tuple[Array, Array, Array]:
    return (
        floats(expect.nonnegative(output=output)),
        floats(expect.nonnegative(other_output=other_output)),
        floats(expect.positive(sigma=sigma)),
    )


def _over(value: Array, sigma: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.clip(value / sigma, -1e300, 1e300)


def _bounded(line: Line) -> Line:
    """The same distance from a mean no farther than the largest."""
    h = np.clip(line[0], -_LARGEST, _LARGEST)
    most = np.sqrt(_LARGEST - np.abs(h)) * np.sqrt(_LARGEST + np.abs(h))
    return h, np.where(np.hypot(*line) < _LARGEST, line[1], np.copysign(most, line[1]))


def _line(sine: Array, cosine: Array, pair: tuple[Array, Array, Array]) -> Line:
    """Distance of the line of ratios sine/cosine from the mean, and along it."""
    one, two, sigma = pair
    h = _over(sine * two - cosine * one, sigma)
    return h, _over(sine * one + cosine * two, sigma)


def _quotient_line(z: Array, pair: tuple[Array, Array, Array]) -> Line:
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


def _multiplier_line(y: Array, pair: tuple[Array, Array, Array]) -> tuple[Line, Array]:
    """The line of ratios exp(y), and sine times cosine."""
    fall = np.exp(-np.abs(y))
    large = 1.0 / np.sqrt(1.0 + fall * fall)
    sine, cosine = (
        np.where(y > 0, large, fall * large),
        np.where(y > 0, fall * large, large),
    )
    return _line(sine, cosine, pair), fall * large * large


def _wedge(
    z: npt.ArrayLike,
    pair: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
    direction: str,
) -> tuple[Array, Array]:
    expect.one_of(("below", "above"), direction=direction)
    value = floats(expect.finite(quotient=z))
    one, two, sigma = outputs = _outputs(*pair)
    line = _bounded(_quotient_line(value, outputs))
    t2, t1 = _bounded((_over(two, sigma), _over(one, sigma)))
    if direction == "below":
        return _bivariate.sector((-t2, -t1), line, np.arctan2(1.0, -value))
    return _bivariate.sector(line, (t2, t1), np.arctan2(1.0, value))


@law(
    formula="P(Z <= z) = Φ(h) + Φ(k) - 2 Φ2(h, k; r), "
    "h = (zF2 - F1)/(σ√(1+z²)), k = -F2/σ, r = -z/√(1+z²)",
    latex=r"P(Z \le z) = \Phi(h) + \Phi(k) - 2\Phi_2(h, k; r),\quad "
    r"h = \frac{z F_2 - F_1}{\sigma\sqrt{1+z^2}},\ k = -\frac{F_2}{\sigma},\ "
    r"r = \frac{-z}{\sqrt{1+z^2}}",
    symbols={"quotient": _QUOTIENT, **_PAIR, "direction": _SIDE},
    regime=_EXACT,
    source=_SOURCE,
)
def distribution(
    quotient: npt.ArrayLike,
    output: npt.ArrayLike,
    other_output: npt.ArrayLike,
    sigma: npt.ArrayLike,
    direction: str = "below",
) -> Floats:
    """Probability that the ratio of two noisy outputs lies below (above) a value.

    Parameters
    ----------
    quotient : array_like
        Value z of the ratio, any finite number.
    output, other_output : array_like
        Noiseless outputs F1 over F2, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    direction : {"below", "above"}
        P(Z <= z), or P(Z > z) where that is the small one.

    Notes
    -----
    The two outputs are a point of the plane; the ratio is the direction of the axis
    through it and 0, and the law a double sector's mass, summed from positive terms.

    Examples
    --------
    >>> round(float(distribution(1.0, 0.3, 0.3, 0.1)), 6)
    0.501348
    >>> round(float(distribution(0.0, 0.3, 0.4, 0.2)), 6)
    0.086518
    """
    return _bivariate.probability(
        *_wedge(quotient, (output, other_output, sigma), direction)
    )


@law(
    formula="ln P(Z <= z)",
    latex=r"\ln P(Z \le z)",
    symbols={"quotient": _QUOTIENT, **_PAIR, "direction": _SIDE},
    regime=_EXACT,
    source=_SOURCE,
)
def log_distribution(
    quotient: npt.ArrayLike,
    output: npt.ArrayLike,
    other_output: npt.ArrayLike,
    sigma: npt.ArrayLike,
    direction: str = "below",
) -> Floats:
    """Logarithm of :func:`distribution`, where the probability underflows.

    Parameters
    ----------
    quotient : array_like
        Value z of the ratio, any finite number.
    output, other_output : array_like
        Noiseless outputs F1 over F2, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    direction : {"below", "above"}
        Which side's probability.

    Examples
    --------
    >>> round(float(log_distribution(0.5, 0.9, 0.9, 0.01)), 4)
    -814.6146
    """
    pair = (output, other_output, sigma)
    rest = _wedge(quotient, pair, _OTHER_SIDE.get(direction, direction))
    return _bivariate.logarithm(*_wedge(quotient, pair, direction), rest)


def _spread(line: Line, pair: tuple[Array, Array, Array]) -> Array:
    """Density of the axis' angle, modulo π."""
    one, two, sigma = pair
    h, u = line
    gone = np.minimum(np.hypot(_over(one, sigma), _over(two, sigma)), 1e100)
    flat = np.exp(-0.5 * gone * gone) / np.pi
    h, u = np.minimum(np.abs(h), 1e100), np.abs(u)
    bell = np.exp(-0.5 * h * h) / np.sqrt(2.0 * np.pi)
    return flat + u * special.erf(u / np.sqrt(2.0)) * bell


@law(
    formula="f(z) = (exp(-(F1²+F2²)/(2σ²))/π + |u| erf(|u|/√2) φ(h))/(1+z²), "
    "u = (zF1 + F2)/(σ√(1+z²))",
    latex=r"f(z) = \frac{1}{1+z^2}\left(\frac{1}{\pi}e^{-(F_1^2+F_2^2)/(2\sigma^2)} "
    r"+ |u|\operatorname{erf}\frac{|u|}{\sqrt 2}\,\phi(h)\right),\quad "
    r"u = \frac{z F_1 + F_2}{\sigma\sqrt{1+z^2}}",
    symbols={"quotient": _QUOTIENT, **_PAIR},
    regime=_EXACT,
    source="Hinkley 1969; written here without cancelling terms",
)
def density(
    quotient: npt.ArrayLike,
    output: npt.ArrayLike,
    other_output: npt.ArrayLike,
    sigma: npt.ArrayLike,
) -> Floats:
    """Density of the ratio of two noisy outputs.

    Parameters
    ----------
    quotient : array_like
        Value z of the ratio, any finite number.
    output, other_output : array_like
        Noiseless outputs F1 over F2, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Notes
    -----
    h is that of :func:`distribution`. Without outputs it is Cauchy's 1/(π(1+z²)), and
    for any outputs the tails are as heavy: no mean exists.

    Examples
    --------
    >>> round(float(density(1.0, 0.3, 0.3, 0.1)), 6)
    0.846285
    """
    z = floats(expect.finite(quotient=quotient))
    pair = _outputs(output, other_output, sigma)
    root = root_one_plus(np.abs(z))
    return (_spread(_quotient_line(z, pair), pair) / root / root)[()]


@law(
    formula="P = Φ(t1)Φ(t2) + Φ(-t1)Φ(-t2), t = F/σ",
    latex=r"P = \Phi(t_1)\Phi(t_2) + \Phi(-t_1)\Phi(-t_2),\quad t_i = F_i/\sigma",
    symbols=dict(_PAIR),
    regime=_EXACT,
    source="derived here; missing from Aithal & Li 2022, Theorem 1",
)
def same_sign(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Probability that A is real: two noisy outputs have one sign.

    Parameters
    ----------
    output, other_output : array_like
        Noiseless outputs F1 and F2, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Examples
    --------
    >>> float(same_sign(0.3, 0.0, 0.1))
    0.5
    """
    one, two, s = _outputs(output, other_output, sigma)
    t1, t2 = _over(one, s), _over(two, s)
    both = special.ndtr(t1) * special.ndtr(t2)
    return both + special.ndtr(-t1) * special.ndtr(-t2)


@law(
    formula="P = Φ(t1)Φ(-t2) + Φ(-t1)Φ(t2), t = F/σ",
    latex=r"P = \Phi(t_1)\Phi(-t_2) + \Phi(-t_1)\Phi(t_2),\quad t_i = F_i/\sigma",
    symbols=dict(_PAIR),
    regime=_EXACT,
    source="derived here; missing from Aithal & Li 2022, Theorem 1",
)
def opposite_signs(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Probability that A is not real: two noisy outputs differ in sign.

    Parameters
    ----------
    output, other_output : array_like
        Noiseless outputs F1 and F2, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Examples
    --------
    >>> round(float(opposite_signs(0.3, 0.4, 0.1)), 9)
    0.001381484
    """
    one, two, s = _outputs(output, other_output, sigma)
    t1, t2 = _over(one, s), _over(two, s)
    first = special.ndtr(t1) * special.ndtr(-t2)
    return first + special.ndtr(-t1) * special.ndtr(t2)


@law(
    formula="ln P, P = Φ(t1)Φ(-t2) + Φ(-t1)Φ(t2)",
    latex=r"\ln P,\quad P = \Phi(t_1)\Phi(-t_2) + \Phi(-t_1)\Phi(t_2)",
    symbols=dict(_PAIR),
    regime=_EXACT,
    source="derived here; missing from Aithal & Li 2022, Theorem 1",
)
def log_opposite_signs(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Logarithm of :func:`opposite_signs`, where the probability underflows.

    Parameters
    ----------
    output, other_output : array_like
        Noiseless outputs F1 and F2, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Examples
    --------
    >>> round(float(log_opposite_signs(0.3, 0.4, 0.001)), 3)
    -45006.623
    """
    one, two, s = _outputs(output, other_output, sigma)
    t1, t2 = _over(one, s), _over(two, s)
    return np.logaddexp(
        special.log_ndtr(t1) + special.log_ndtr(-t2),
        special.log_ndtr(-t1) + special.log_ndtr(t2),
    )


def _tail(
    multiplier: npt.ArrayLike,
    pair: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
    probe: npt.ArrayLike,
    direction: str,
) -> tuple[Array, Array]:
    expect.one_of(("below", "above"), direction=direction)
    x = floats(expect.finite(multiplier=multiplier))
    one, two, s = outputs = _outputs(*pair)
    with np.errstate(over="ignore"):
        y = np.clip(x * floats(expect.positive(probe=probe)), -1e4, 1e4)
    line = _bounded(_multiplier_line(y, outputs)[0])
    t1, t2 = _over(one, s), _over(two, s)
    if direction == "below":
        angle = np.arctan(np.exp(np.minimum(y, 700)))
        mass = _bivariate.sector(_bounded((-t1, t2)), line, angle)
    else:
        angle = np.arctan(np.exp(np.minimum(-y, 700)))
        mass = _bivariate.sector(line, _bounded((t2, t1)), angle)
    return mass[0] / same_sign(one, two, s), mass[1]


@law(
    formula="P(A <= x | A real) = P(0 < Z <= exp(βx))/P(Z > 0)",
    latex=r"P(A \le x \mid A \text{ real}) = "
    r"\frac{P(0 < Z \le e^{\beta x})}{P(Z > 0)}",
    symbols={
        "multiplier": _MULTIPLIER,
        **_PAIR,
        "probe": _PROBE,
        "direction": _SIDE,
    },
    regime=_REAL,
    source="derived here for Aithal & Li 2022, Theorem 1 and eq. (17)",
)
def multiplier_distribution(
    multiplier: npt.ArrayLike,
    output: npt.ArrayLike,
    other_output: npt.ArrayLike,
    sigma: npt.ArrayLike,
    probe: npt.ArrayLike,
    direction: str = "below",
) -> Floats:
    """Probability that the noisy factor A lies below (above) a value, given it exists.

    Times :func:`same_sign` it is the share of all pairs; the rest, of
    :func:`opposite_signs`, have no A. At the place where ln(F1/F2)/β is itself asked
    for, it keeps about F/σ rounding errors.

    Parameters
    ----------
    multiplier : array_like
        Value x of A, any finite number.
    output, other_output : array_like
        Noiseless outputs F1 over F2, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    probe : array_like
        Probe size β, in (0, inf).
    direction : {"below", "above"}
        P(A <= x), or P(A > x) where that is the small one.

    Examples
    --------
    >>> round(float(multiplier_distribution(0.0, 0.3, 0.3, 0.2, 0.1)), 12)
    0.5
    >>> round(float(multiplier_distribution(0.0, 0.11, 0.1, 0.01, 0.1)), 6)
    0.23975
    """
    pair = (output, other_output, sigma)
    return _bivariate.probability(*_tail(multiplier, pair, probe, direction))


@law(
    formula="ln P(A <= x | A real)",
    latex=r"\ln P(A \le x \mid A \text{ real})",
    symbols={
        "multiplier": _MULTIPLIER,
        **_PAIR,
        "probe": _PROBE,
        "direction": _SIDE,
    },
    regime=_REAL,
    source="derived here for Aithal & Li 2022, Theorem 1 and eq. (17)",
)
def log_multiplier_distribution(
    multiplier: npt.ArrayLike,
    output: npt.ArrayLike,
    other_output: npt.ArrayLike,
    sigma: npt.ArrayLike,
    probe: npt.ArrayLike,
    direction: str = "below",
) -> Floats:
    """Logarithm of :func:`multiplier_distribution`, where the probability underflows.

    Parameters
    ----------
    multiplier : array_like
        Value x of A, any finite number.
    output, other_output : array_like
        Noiseless outputs F1 over F2, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    probe : array_like
        Probe size β, in (0, inf).
    direction : {"below", "above"}
        Which side's probability.

    Examples
    --------
    >>> round(float(log_multiplier_distribution(0.0, 0.9, 0.3, 0.01, 0.1)), 3)
    -904.667
    """
    pair = (output, other_output, sigma)
    rest = _tail(multiplier, pair, probe, _OTHER_SIDE.get(direction, direction))
    return _bivariate.logarithm(*_tail(multiplier, pair, probe, direction), rest)


@law(
    formula="f(x) = β exp(βx) f_Z(exp(βx))/P(Z > 0)",
    latex=r"f_A(x) = \frac{\beta e^{\beta x} f_Z(e^{\beta x})}{P(Z > 0)}",
    symbols={"multiplier": _MULTIPLIER, **_PAIR, "probe": _PROBE},
    regime=_REAL,
    source="derived here; Aithal & Li 2022, eq. (17), corrected and made exact",
)
def multiplier_density(
    multiplier: npt.ArrayLike,
    output: npt.ArrayLike,
    other_output: npt.ArrayLike,
    sigma: npt.ArrayLike,
    probe: npt.ArrayLike,
) -> Floats:
    """Density of the noisy factor A, given that it exists.

    Parameters
    ----------
    multiplier : array_like
        Value x of A, any finite number.
    output, other_output : array_like
        Noiseless outputs F1 over F2, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    probe : array_like
        Probe size β, in (0, inf).

    Examples
    --------
    >>> round(float(multiplier_density(0.0, 0.3, 0.3, 0.1, 0.1)), 6)
    0.084857
    """
    x = floats(expect.finite(multiplier=multiplier))
    one, two, s = outputs = _outputs(output, other_output, sigma)
    beta = floats(expect.positive(probe=probe))
    with np.errstate(over="ignore"):
        y = np.clip(x * beta, -1e4, 1e4)
    line, slope = _multiplier_line(y, outputs)
    value: Any = _spread(line, outputs) * slope * ratio(beta, same_sign(one, two, s))
    return value[()]
