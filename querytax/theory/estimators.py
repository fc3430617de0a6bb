"""What repeated queries tell about a = ln(F/F'), estimator by estimator.

Averaging the outputs first and taking any logarithm last is the best there is for the
sign, and needs no positive outputs. The other estimators are here to say what they
cost. All take fresh noise at every query.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from querytax import expect
from querytax.theory import log_ratio
from querytax.theory.law import Given, law
from querytax.theory.numerics.bivariate import cross
from querytax.theory.numerics.floats import (
    Array,
    Floats,
    over,
    ratio,
    root_one_plus,
    square,
)
from querytax.theory.numerics.log_ratio import excess, gap
from querytax.theory.relations import log_of

_MODEL = "the noisy ratio over the true one taken as normal, N(1, σ_Z²)"
_ABOVE_ZERO = {"output": "(0, inf)", "other_output": "(0, inf)"}


def _deviations(gap: Given, sigma: Given, correlation: Given, pairs: Given) -> Floats:
    """The mean difference of a pair over its standard deviation."""
    change = np.minimum(over(gap, sigma), 1e300)
    return change * np.sqrt(pairs / (2.0 * (1.0 - correlation)))


@law(
    "P = Φ(-ΔF √p/(σ √(2(1-ρ))))",
    "Aithal & Li 2022, Theorem 4, eq. (65); corrected: (8) lacks its true form",
    regime="exact; noise fresh for each pair, averaged before any nonlinear step",
    value="[0, 1/2]; rises in sigma; falls in gap pairs correlation",
)
def outputs_first(
    gap: Given, sigma: Given, pairs: Given, correlation: Given = 0.0
) -> Floats:
    """Chance of the wrong sign after averaging outputs, then comparing.

    >>> round(float(outputs_first(0.01, 0.1, 200)), 6)
    0.158655
    """
    return special.ndtr(-_deviations(gap, sigma, correlation, pairs))


log_outputs_first = log_of(
    outputs_first, lambda **given: special.log_ndtr(-_deviations(**given))
)


def _not_rare(output: Any, other_output: Any, sigma: Any, pairs: Any) -> Any:
    one = log_ratio.effective_snr(output, other_output, sigma, errors="nan")
    return ~(one * np.asarray(pairs) > 9.0)


@law(
    "P = Φ(-√(p S)), S = (g(t) - g(t'))²/(V(t) + V(t')), t = F/σ, t' = F'/σ",
    "derived here; Aithal & Li 2022, Lemma 4 and eq. (57), without its bias",
    regime="the central limit of many pairs",
    kind="approximation",
    limits={
        "pairs >= 100": lambda pairs: ~(np.asarray(pairs) < 100),
        "no rare error, pairs x log_ratio.effective_snr <= 9": _not_rare,
    },
    value="[0, 1/2]; falls in pairs",
)
def log_first(output: Given, other_output: Given, sigma: Given, pairs: Given) -> Floats:
    """Chance of the wrong sign after averaging logs of noisy magnitudes.

    It falls to zero, for E ln|F + v| rises with F, but at :func:`log_first_cost`.
    Inside the limits from 5 % below to 15 % above the exact chance, to 1.5 % from 1000
    pairs on; for one pair, or errors of 1e-6, several times above it.

    >>> round(float(log_first(0.006, 0.004, 0.02, 20000)), 4)
    0.0138
    """
    snr = log_ratio.effective_snr(output, other_output, sigma)
    return special.ndtr(-np.sqrt(snr) * np.sqrt(pairs))


@law(
    "C = ΔF² (V(t) + V(t'))/(2σ² (g(t) - g(t'))²), ΔF = F - F', t = F/σ, t' = F'/σ",
    "derived here for Aithal & Li 2022, Lemma 4",
    regime="the limit of many pairs, the same error; two different outputs",
    domain=_ABOVE_ZERO,
    value="[1, inf]",
)
def log_first_cost(output: Given, other_output: Given, sigma: Given) -> Floats:
    """Pairs that averaging logs needs, over those of averaging outputs.

    >>> round(float(log_first_cost(1.001, 1.0, 1.0)), 2)
    2.13
    """
    differ = output != other_output
    expect.that(differ, "to differ from output", other_output=other_output)
    # So weak, noise has no part in the cost; so strong, the cost is infinite.
    s = np.maximum(sigma, 1e-100 * np.minimum(output, other_output))
    s = np.minimum(s, 1e160 * np.minimum(np.maximum(output, other_output), 1e140))
    change = np.minimum(ratio(np.abs(output - other_output), s), 1e300)
    drift = np.abs(gap(output, other_output, s))
    spread = np.sqrt(0.5 * log_ratio.variance(output, other_output, s))
    return square(ratio(change, drift) * spread)


@law(
    "a = -ln w, w = (m₁ + √(m₁² + 4σ_Z² m₂))/(2 m₂)",
    "derived here: the root of Aithal & Li 2022, eq. (59), in place of (57)",
    regime=_MODEL,
    value="(-inf, inf); rises in mean_square_ratio; falls in mean_ratio relative_sigma",
)
def likelihood_root(
    mean_ratio: Given, mean_square_ratio: Given, relative_sigma: Given
) -> Floats:
    """Most likely ln(F/F') given single noisy ratios of the two outputs.

    Over the probe size μ it is the most likely factor A. With the raw outputs at hand,
    the logarithm of the ratio of their means is better.

    The log-likelihood of p ratios r with w = exp(-a) is p ln w - Σ(rw - 1)²/(2σ_Z²),
    and its derivative vanishes where m₂ w² - m₁ w - σ_Z² = 0.

    >>> round(float(likelihood_root(1.05, 1.1466, 0.2)), 6)
    0.04879
    """
    m1, m2, s = mean_ratio, mean_square_ratio, relative_sigma
    size = np.sqrt(m2)
    # Rounding may leave equal ratios a mean square just below the squared mean.
    low = size >= m1 * (1.0 - 1e-14)
    expect.that(low, "at least mean_ratio²", mean_square_ratio=m2)
    half = 0.5 * (m1 / size)
    with np.errstate(over="ignore"):
        far = np.log(size) - np.log(half + np.hypot(half, s))
    # Near w = 1 solve for w - 1, whose constant term alone may cancel.
    near = np.abs(far) < 0.25
    t = np.where(near, s, 1.0)
    a, b = np.where(near, m1, 1.0), np.where(near, m2, 2.0)
    # Two floats near 1 that differ do so by far more than so small a square.
    plain = t < 1e-100
    spare = cross(np.where(plain, 1.0, t), t, np.where(plain, t, b - a))
    constant = _two_sum(b, a) - np.where(plain, t * t - (b - a), spare)
    root = np.hypot(a, 2.0 * t * np.sqrt(b))
    middle = 2.0 * b - a
    excess = -2.0 * constant / np.where(middle > 0, middle + root, 1.0)
    excess = np.where(middle > 0, excess, (root - middle) / (2.0 * b))
    return np.where(near, -np.log1p(np.where(near, excess, 0.0)), far)[()]


def _two_sum(b: Array, a: Array) -> Array:
    """What b - a loses to rounding."""
    total = b - a
    back = total - b
    return (b - (total - back)) - (a + back)


@law(
    "I = μ²(1/σ_Z² + 2)",
    "derived here for Aithal & Li 2022, Lemma 3 and eq. (58)",
    regime=_MODEL,
    value="[0, inf]; rises in probe; falls in relative_sigma",
)
def fisher_information(probe: Given, relative_sigma: Given) -> Floats:
    """Fisher information about the noiseless factor in one noisy ratio.

    >>> round(float(fisher_information(0.2, 1.0)), 9)
    0.12
    """
    return square(ratio(probe, relative_sigma)) + 2.0 * square(probe)


@law(
    "Var >= σ_Z²/(p μ² (1 + 2σ_Z²))",
    "derived here for Aithal & Li 2022, Lemma 3 and eq. (58)",
    regime=_MODEL + "; unbiased estimators",
    kind="bound",
    value="[0, inf]; rises in relative_sigma; falls in pairs probe",
)
def variance_bound(probe: Given, relative_sigma: Given, pairs: Given) -> Floats:
    """Least variance of an unbiased estimate of the factor from ratios.

    >>> round(float(200 * variance_bound(1.0, 0.2, 200)), 6)
    0.037037
    """
    wide = root_one_plus(np.sqrt(2.0) * np.minimum(relative_sigma, 1e300))
    return square(ratio(relative_sigma / wide, probe)) / pairs


@law(
    "Var >= σ²(1/F² + 1/F'²)/(p μ²)",
    "derived here for Aithal & Li 2022, eq. (65)",
    regime="exact: both raw noisy outputs of each pair are seen; unbiased estimators",
    kind="bound",
    domain=_ABOVE_ZERO,
    value="[0, inf]; rises in sigma; falls in output other_output pairs probe",
)
def variance_bound_of_pairs(
    output: Given, other_output: Given, probe: Given, sigma: Given, pairs: Given
) -> Floats:
    """Least variance of an unbiased estimate of the factor from raw pairs.

    >>> round(float(variance_bound_of_pairs(0.3, 0.4, 1.0, 0.12, 100)), 9)
    0.0025
    """
    one, two = ratio(sigma, output), ratio(sigma, other_output)
    return (square(ratio(one, probe)) + square(ratio(two, probe))) / pairs


@law(
    "E ln|Z| = ln σ_Z + g(1/σ_Z), Z ~ N(1, σ_Z²)",
    "derived here for Aithal & Li 2022, Lemma 3",
    regime=_MODEL + "; magnitudes where it is negative",
)
def log_bias(relative_sigma: Given) -> Floats:
    """Bias of a mean log of noisy ratios: over μ, that of the mean factor.

    Near -σ_Z²/2 for weak noise.

    >>> round(float(log_bias(0.2)), 6)
    -0.021411
    """
    return excess(np.ones_like(relative_sigma), relative_sigma)
