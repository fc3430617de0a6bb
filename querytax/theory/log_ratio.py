"""The logarithm of a ratio of noisy outputs: its moments, and the SNRs made of it.

Five quantities have been called the SNR of one pair under noise on a probability. For
what follows from S, and for the number of pairs that settle a sign, use
:func:`querytax.theory.snr.output`: raw, or ``release="reflect"`` for magnitudes. Those
here answer narrower questions, named in each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from querytax.theory.law import Given, law
from querytax.theory.numerics.efficiency import log_variance
from querytax.theory.numerics.floats import Floats, over, ratio, root_one_plus, square
from querytax.theory.numerics.log_ratio import deviation, excess, gap, log_quotient

_EXACT = "exact: fresh normal noise on each output; magnitudes where one is negative"
_ABOVE_ZERO = {"output": "(0, inf)", "other_output": "(0, inf)"}


def _weak(output: Any, other_output: Any, sigma: Any) -> Any:
    return ~(np.asarray(sigma) > 0.1 * np.minimum(output, other_output))


_WEAK = {"weak noise, sigma <= output/10 for both outputs": _weak}


def _variance(output: Given, sigma: Given) -> Floats:
    return log_variance(np.minimum(over(output, sigma), 1e300))


def _first_order(one: Given, two: Given, sigma: Given) -> Floats:
    """σ√(1/F1² + 1/F2²); all but one division is of outputs alone."""
    least = np.minimum(one, two)
    return ratio(sigma, least) * root_one_plus(least / np.maximum(one, two))


@law(
    "E ln|y/y'| = g(F/σ) - g(F'/σ), g(t) = E ln|ξ + t|",
    "derived here; replaces ln(F/F') in Aithal & Li 2022, Theorem 1",
    regime=_EXACT,
    value="[-inf, inf]; rises in output; falls in other_output",
)
def mean(output: Given, other_output: Given, sigma: Given) -> Floats:
    """Mean logarithm of the ratio of two noisy outputs: μ times A's mean.

    Keeps its digits for outputs that hardly differ, in noise of any size.

    >>> round(float(mean(0.1, 0.05, 0.01)), 5)
    0.70948
    """
    return gap(output, other_output, sigma)


@law(
    "Var ln|y/y'| = V(F/σ) + V(F'/σ), V(t) = Var ln|ξ + t|",
    "derived here; replaces σ_Z² in Aithal & Li 2022, Theorem 1",
    regime=_EXACT,
    value="[0, 2.46740110027]; rises in sigma; falls in output other_output",
)
def variance(output: Given, other_output: Given, sigma: Given) -> Floats:
    """Variance of the logarithm of that ratio: μ² times the variance of A.

    At most π²/4, however strong the noise.

    >>> round(float(variance(4.05e-4, 4e-4, 0.01)), 4)
    2.4674
    """
    return _variance(output, sigma) + _variance(other_output, sigma)


@law(
    "Var Σ ±ln|y_i| = Σ V(F_i/σ)",
    "derived here; Aithal & Li 2022, Theorem 3 and eq. (7), has small noise",
    regime=_EXACT,
    domain={"outputs": "[0, inf)"},
    value="[0, inf); rises in sigma",
)
def variance_of_sum(outputs: Given, sigma: Given) -> Floats:
    """Variance of sums and differences of logarithms of noisy outputs.

    Four outputs, two classes at two queries, make the factor of a margin of logarithms:
    its variance is this over μ².

    >>> round(float(variance_of_sum([0.6, 0.59, 0.2, 0.21], 0.01)), 6)
    0.005362
    """
    return np.asarray(_variance(outputs, sigma[..., None])).sum(axis=-1)[()]


@law(
    "σ_Z = σ √(1/F² + 1/F'²)",
    "Aithal & Li 2022, Theorem 1",
    regime="weak noise, to first order in σ/F",
    kind="approximation",
    limits=_WEAK,
    domain=_ABOVE_ZERO,
    value="[0, inf]; rises in sigma",
)
def relative_sigma(output: Given, other_output: Given, sigma: Given) -> Floats:
    """Standard deviation of the logarithm of the ratio, for weak noise.

    Inside its limits at most 1.4 % too low; √:func:`variance` is exact.

    >>> round(float(relative_sigma(0.3, 0.4, 0.012)), 12)
    0.05
    """
    return _first_order(output, other_output, sigma)


@law(
    "ln²(F/F')/σ_Z²",
    "Aithal & Li 2022, Lemma 1 before its ratio was linearised; symmetric",
    regime="weak noise, to first order in σ/F",
    kind="approximation",
    limits=_WEAK,
    domain=_ABOVE_ZERO,
    value="[0, inf]; falls in sigma",
)
def log_snr(output: Given, other_output: Given, sigma: Given) -> Floats:
    """Squared logarithm of the ratio over its variance, for weak noise.

    For one reading of A as a number, where it is at most 3 % above
    :func:`definition_snr`. For its sign, at any noise, use
    :func:`querytax.theory.snr.output`, which is exact there. Both agree for F near F'.

    >>> round(float(log_snr(0.11, 0.1, 0.001)), 3)
    49.736
    """
    signal = np.abs(log_quotient(output, other_output))
    return square(over(signal, _first_order(output, other_output, sigma)))


@law(
    "l²/(V(t) + V(t') + (g(t) - g(t') - l)²), l = ln(F/F'), t = F/σ, t' = F'/σ",
    "Aithal & Li 2022, the SNR of A as defined there, without a limit",
    regime="exact for reflected outputs |F + v|, without a ceiling",
    domain=_ABOVE_ZERO,
    value="[0, inf]",
)
def definition_snr(output: Given, other_output: Given, sigma: Given) -> Floats:
    """The noiseless factor squared over the noisy one's mean square error.

    For the error of A as a number. Not for how often its sign is wrong: it stops
    falling as the noise grows, at l²/(π²/4 + l²), while the sign becomes a coin. Use
    :func:`querytax.theory.snr.output`.

    >>> round(float(definition_snr(0.2, 0.1, 100.0)), 6)
    0.162984
    """
    signal = np.abs(log_quotient(output, other_output))
    spread = np.hypot(deviation(output, sigma), deviation(other_output, sigma))
    bias = excess(output, sigma) - excess(other_output, sigma)
    return square(over(signal, np.hypot(spread, bias)))


@law(
    "(g(t) - g(t'))²/(V(t) + V(t')), t = F/σ, t' = F'/σ",
    "derived here for Aithal & Li 2022, Lemma 1, with its practical noise",
    regime="exact for |F + v| without a ceiling; of the sign, for many pairs",
    value="[0, inf]",
)
def effective_snr(output: Given, other_output: Given, sigma: Given) -> Floats:
    """Decision SNR of an attacker who averages logs of reflected outputs.

    For that attacker alone. The best one on the same answers has
    ``snr.output(..., release="reflect")``, up to 2.47 times as much.

    >>> round(float(effective_snr(0.006, 0.004, 0.02)), 9)
    0.000242744
    """
    spread = np.hypot(deviation(output, sigma), deviation(other_output, sigma))
    return square(over(np.abs(gap(output, other_output, sigma)), spread))


@law(
    "P = Π_i Φ(F_i/σ)",
    "derived here; Output Randomization 2020, section 4.2",
    regime="independent normal noise",
    value="[0, 1]",
)
def all_positive(outputs: Given, sigma: Given) -> Floats:
    """Chance that every noisy output has a logarithm.

    >>> round(float(all_positive([0.1, 0.2], 0.1)), 6)
    0.822204
    """
    return special.ndtr(over(outputs, sigma[..., None])).prod(axis=-1)
