"""The logarithm of a ratio of noisy outputs: its moments, and the SNRs made of it.

Five quantities have been called the SNR of one pair under noise on a probability. For
what follows from S, and for the number of pairs that settle a sign, use
:func:`querytax.theory.snr.output`: raw, or ``form="reflect"`` for magnitudes. Those
here answer narrower questions, named in each. Each function raises ``DomainError``,
naming the parameter, for an argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.theory import _log_ratio
from querytax.theory._floats import Array, Floats, floats, ratio, root_one_plus, square
from querytax.theory.efficiency import log_variance
from querytax.theory.law import law

__all__ = [
    "definition_snr",
    "effective_snr",
    "log_snr",
    "mean",
    "relative_sigma",
    "variance",
    "variance_of_sum",
]

_OUTPUT = "F1, noiseless output in the numerator, probability, [0, inf)"
_OTHER = "F2, noiseless output in the denominator, probability, [0, inf)"
_SIGMA = "σ, standard deviation of the noise on each output, probability, (0, inf)"
_PAIR = {"output": _OUTPUT, "other_output": _OTHER, "sigma": _SIGMA}
_POSITIVE = {
    name: words.replace("[0, inf)", "(0, inf)") for name, words in _PAIR.items()
}
_EXACT = "exact: fresh normal noise on each output; magnitudes where one is negative"


def _weak(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: npt.ArrayLike
) -> Array:
    # An argument that is no number breaks its domain, not this.
    least = np.minimum(np.asarray(output, float), np.asarray(other_output, float))
    return ~(np.asarray(sigma, float) > 0.1 * least)


_WEAK = {"weak noise, sigma <= output/10 for both outputs": _weak}


def _scaled(output: npt.ArrayLike, sigma: npt.ArrayLike) -> Array:
    return np.minimum(ratio(output, sigma), 1e300)


def _spread(one: Array, two: Array) -> Floats:
    """Standard deviation of the logarithm of a ratio, weak noise to first order."""

    def deviation(t: Array) -> Array:
        weak = t > 1e100
        exact = np.sqrt(log_variance(np.where(weak, 1.0, t)))
        return np.where(weak, 1.0 / np.maximum(t, 1.0), exact)

    return np.hypot(deviation(one), deviation(two))


def _three(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: npt.ArrayLike
) -> tuple[Array, Array, Array]:
    return (
        floats(expect.nonnegative(output=output)),
        floats(expect.nonnegative(other_output=other_output)),
        floats(expect.positive(sigma=sigma)),
    )


def _above_zero(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: npt.ArrayLike
) -> tuple[Array, Array, Array]:
    expect.positive(output=output)
    expect.positive(other_output=other_output)
    return _three(output, other_output, sigma)


def _relative(one: Array, two: Array, sigma: Array) -> Floats:
    """σ√(1/F1² + 1/F2²); all but one division is of outputs alone."""
    least = np.minimum(one, two)
    return ratio(sigma, least) * root_one_plus(least / np.maximum(one, two))


@law(
    formula="E ln|y1/y2| = g(F1/σ) - g(F2/σ), g(t) = E ln|ξ + t|",
    latex=r"\mathbb{E}\ln|y_1/y_2| = g(F_1/\sigma) - g(F_2/\sigma),\quad "
    r"g(t) = \mathbb{E}\ln|\xi + t|",
    symbols=dict(_PAIR),
    regime=_EXACT,
    source="derived here; replaces ln(F1/F2) in Aithal & Li 2022, Theorem 1",
)
def mean(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Mean logarithm of the ratio of two noisy outputs: β times the mean of A.

    Keeps its digits for outputs that hardly differ, in noise of any size.

    Parameters
    ----------
    output, other_output : array_like
        Noiseless outputs F1 over F2, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Examples
    --------
    >>> round(float(mean(0.1, 0.05, 0.01)), 5)
    0.70948
    """
    return _log_ratio.gap(*_three(output, other_output, sigma))


@law(
    formula="Var ln|y1/y2| = V(F1/σ) + V(F2/σ), V(t) = Var ln|ξ + t|",
    latex=r"\operatorname{Var}\ln|y_1/y_2| = V(F_1/\sigma) + V(F_2/\sigma),\quad "
    r"V(t) = \operatorname{Var}\ln|\xi + t|",
    symbols=dict(_PAIR),
    regime=_EXACT,
    source="derived here; replaces σ_Z² in Aithal & Li 2022, Theorem 1",
)
def variance(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Variance of the logarithm of that ratio: β² times the variance of A.

    At most π²/4, however strong the noise.

    Parameters
    ----------
    output, other_output : array_like
        Noiseless outputs F1 over F2, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Examples
    --------
    >>> round(float(variance(4.05e-4, 4e-4, 0.01)), 4)
    2.4674
    """
    one, two, s = _three(output, other_output, sigma)
    return log_variance(_scaled(one, s)) + log_variance(_scaled(two, s))


@law(
    formula="Var Σ ±ln|y_i| = Σ V(F_i/σ)",
    latex=r"\operatorname{Var}\sum_i \pm\ln|y_i| = \sum_i V(F_i/\sigma)",
    symbols={
        "output": "F_i on the last axis, one per noisy answer, probability, [0, inf)",
        "sigma": _SIGMA,
    },
    regime=_EXACT,
    source="derived here; Aithal & Li 2022, Theorem 3 and eq. (7), has small noise",
    tables={"output": 1},
)
def variance_of_sum(output: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Variance of sums and differences of logarithms of noisy outputs.

    Four outputs, two classes at two queries, make the factor of a margin of logarithms:
    its variance is this over β².

    Parameters
    ----------
    output : array_like
        Noiseless outputs F_i, on the last axis, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Examples
    --------
    >>> round(float(variance_of_sum([0.6, 0.59, 0.2, 0.21], 0.01)), 6)
    0.005362
    """
    levels = np.atleast_1d(floats(expect.nonnegative(output=output)))
    s = floats(expect.positive(sigma=sigma))[..., None]
    return np.asarray(log_variance(_scaled(levels, s))).sum(axis=-1)[()]


@law(
    formula="σ_Z = σ√(1/F1² + 1/F2²)",
    latex=r"\sigma_Z = \sigma\sqrt{1/F_1^2 + 1/F_2^2}",
    symbols=dict(_POSITIVE),
    regime="weak noise, to first order in σ/F",
    source="Aithal & Li 2022, Theorem 1",
    limits=_WEAK,
)
def relative_sigma(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Standard deviation of the logarithm of the ratio, for weak noise.

    Parameters
    ----------
    output, other_output : array_like
        Noiseless outputs F1 over F2, in (0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Examples
    --------
    >>> round(float(relative_sigma(0.3, 0.4, 0.012)), 12)
    0.05
    """
    return _relative(*_above_zero(output, other_output, sigma))


@law(
    formula="ln²(F1/F2)/σ_Z²",
    latex=r"\frac{\ln^2(F_1/F_2)}{\sigma_Z^2}",
    symbols=dict(_POSITIVE),
    regime="weak noise, to first order in σ/F",
    source="Aithal & Li 2022, Lemma 1 before its ratio was linearised; symmetric",
    limits=_WEAK,
)
def log_snr(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Squared logarithm of the ratio over its variance, for weak noise.

    For one reading of A as a number. For its sign, at any noise, use
    :func:`querytax.theory.snr.output`, which is exact there. Both agree for F1 near F2.

    Parameters
    ----------
    output, other_output : array_like
        Noiseless outputs F1 over F2, in (0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Examples
    --------
    >>> round(float(log_snr(0.11, 0.1, 0.001)), 3)
    49.736
    """
    one, two, s = _above_zero(output, other_output, sigma)
    signal = np.abs(_log_ratio.log_quotient(one, two))
    return square(ratio(signal, _relative(one, two, s)))


@law(
    formula="l²/(V(t1) + V(t2) + (g(t1) - g(t2) - l)²), l = ln(F1/F2), t = F/σ",
    latex=r"\frac{\ell^2}{V(t_1) + V(t_2) + (g(t_1) - g(t_2) - \ell)^2},\quad "
    r"\ell = \ln\frac{F_1}{F_2},\ t_i = \frac{F_i}{\sigma}",
    symbols=dict(_POSITIVE),
    regime="exact for reflected outputs |F + v|, without a ceiling",
    source="Aithal & Li 2022, the SNR of A as defined there, without a limit",
)
def definition_snr(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """The noiseless factor squared over the mean square error of one noisy factor.

    For the error of A as a number. Not for how often its sign is wrong: it stops
    falling as the noise grows, at l²/(π²/4 + l²), while the sign becomes a coin. Use
    :func:`querytax.theory.snr.output`.

    Parameters
    ----------
    output, other_output : array_like
        Noiseless outputs F1 over F2, in (0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Examples
    --------
    >>> round(float(definition_snr(0.2, 0.1, 100.0)), 6)
    0.162984
    """
    one, two, s = _above_zero(output, other_output, sigma)
    t1, t2 = _scaled(one, s), _scaled(two, s)
    signal = np.abs(_log_ratio.log_quotient(one, two))
    # An output that vanishes over the noise has a bias beyond the floats' logarithms.
    lost = np.minimum(t1, t2) < 1e-300
    bias = np.where(
        lost,
        signal - np.abs(_log_ratio.gap(one, two, s)),
        _log_ratio.excess(np.maximum(t1, 1e-300))
        - _log_ratio.excess(np.maximum(t2, 1e-300)),
    )
    return square(ratio(signal, np.hypot(_spread(t1, t2), bias)))


@law(
    formula="(g(t1) - g(t2))²/(V(t1) + V(t2)), t = F/σ",
    latex=r"\frac{(g(t_1) - g(t_2))^2}{V(t_1) + V(t_2)},\quad t_i = \frac{F_i}{\sigma}",
    symbols=dict(_PAIR),
    regime="exact for |F + v| without a ceiling; of the sign, for many pairs",
    source="derived here for Aithal & Li 2022, Lemma 1, with its practical noise",
)
def effective_snr(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Decision SNR of an attacker who averages logarithms of reflected outputs.

    For that attacker alone. The best one on the same answers has
    ``snr.output(..., form="reflect")``, up to 2.47 times as much.

    Parameters
    ----------
    output, other_output : array_like
        Noiseless outputs F1 over F2, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Examples
    --------
    >>> round(float(effective_snr(0.006, 0.004, 0.02)), 9)
    0.000242744
    """
    one, two, s = _three(output, other_output, sigma)
    spread = _spread(_scaled(one, s), _scaled(two, s))
    return square(ratio(np.abs(_log_ratio.gap(one, two, s)), spread))
