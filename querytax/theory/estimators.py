"""What repeated queries tell about a = ln(F1/F2), estimator by estimator.

Averaging the outputs first and taking any logarithm last is the best there is for the
sign, and needs no positive outputs. The other estimators are here to say what they
cost. All take fresh noise at every query. Each function raises ``DomainError``, naming
the parameter, for an argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory import _bivariate, _log_ratio, log_ratio
from querytax.theory._floats import Array, Floats, floats, ratio, root_one_plus, square
from querytax.theory.law import law

__all__ = [
    "fisher_information",
    "likelihood_root",
    "log_bias",
    "log_first",
    "log_first_cost",
    "log_outputs_first",
    "outputs_first",
    "variance_bound",
    "variance_bound_of_pairs",
]

_GAP = "|F1 - F2|, difference of the two noiseless outputs, probability, [0, inf)"
_SIGMA = "σ, standard deviation of the noise on each output, probability, (0, inf)"
_PAIRS = "N, pairs of queries averaged, count, [1, inf)"
_CORRELATION = "ρ, correlation of the two noises of one pair, ratio, (-1, 1)"
_RELATIVE = "σ_Z, standard deviation of the noisy ratio over its value, ratio, (0, inf)"
_PROBE = "β, probe size: queries at x ± βu, input, (0, inf)"
_OUTPUT = "F1, noiseless output in the numerator, probability, (0, inf)"
_OTHER = "F2, noiseless output in the denominator, probability, (0, inf)"
_MODEL = "the noisy ratio over the true one taken as normal, N(1, σ_Z²)"


def _deviations(
    gap: npt.ArrayLike,
    sigma: npt.ArrayLike,
    pairs: npt.ArrayLike,
    correlation: npt.ArrayLike,
) -> Array:
    """The mean difference of a pair over its standard deviation."""
    rho = floats(expect.finite(correlation=correlation))
    expect.that(np.abs(rho) < 1.0, "in (-1, 1)", correlation=correlation)
    change = ratio(expect.nonnegative(gap=gap), expect.positive(sigma=sigma))
    count = floats(expect.integer(pairs=pairs))
    return np.minimum(change, 1e300) * np.sqrt(count / (2.0 * (1.0 - rho)))


_DEVIATIONS = {
    "gap": _GAP,
    "sigma": _SIGMA,
    "pairs": _PAIRS,
    "correlation": _CORRELATION,
}


@law(
    formula="P = Φ(-|F1-F2| √N/(σ√(2(1-ρ))))",
    latex=r"P = \Phi\left(-\frac{|F_1 - F_2|\sqrt{N}}{\sigma\sqrt{2(1-\rho)}}\right)",
    symbols=_DEVIATIONS,
    regime="exact; noise fresh for each pair, averaged before any nonlinear step",
    source="Aithal & Li 2022, Theorem 4, eq. (65); corrected: (8) lacks its true form",
)
def outputs_first(
    gap: npt.ArrayLike,
    sigma: npt.ArrayLike,
    pairs: npt.ArrayLike,
    correlation: npt.ArrayLike = 0.0,
) -> Floats:
    """Probability of the wrong sign after averaging outputs, then comparing.

    Parameters
    ----------
    gap : array_like
        Difference of the two noiseless outputs, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    pairs : array_like of int
        Pairs N averaged, at least 1.
    correlation : array_like, optional
        Correlation ρ of the two noises of one pair, in (-1, 1): noise shared by both
        queries helps the attacker.

    Examples
    --------
    >>> round(float(outputs_first(0.01, 0.1, 200)), 6)
    0.158655
    """
    return special.ndtr(-_deviations(gap, sigma, pairs, correlation))


@law(
    formula="ln P, P = Φ(-|F1-F2| √N/(σ√(2(1-ρ))))",
    latex=r"\ln\Phi\left(-\frac{|F_1 - F_2|\sqrt{N}}{\sigma\sqrt{2(1-\rho)}}\right)",
    symbols=_DEVIATIONS,
    regime="exact; noise fresh for each pair, averaged before any nonlinear step",
    source="Aithal & Li 2022, Theorem 4, eq. (65); corrected: (8) lacks its true form",
)
def log_outputs_first(
    gap: npt.ArrayLike,
    sigma: npt.ArrayLike,
    pairs: npt.ArrayLike,
    correlation: npt.ArrayLike = 0.0,
) -> Floats:
    """Logarithm of :func:`outputs_first`, where the probability underflows.

    Parameters
    ----------
    gap : array_like
        Difference of the two noiseless outputs, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    pairs : array_like of int
        Pairs N averaged, at least 1.
    correlation : array_like, optional
        Correlation ρ of the two noises of one pair, in (-1, 1).

    Examples
    --------
    >>> round(float(log_outputs_first(0.1, 0.001, 1)), 3)
    -2505.178
    """
    return special.log_ndtr(-_deviations(gap, sigma, pairs, correlation))


@law(
    formula="P = Φ(-√(N S)), S = (g(t1) - g(t2))²/(V(t1) + V(t2)), t = F/σ",
    latex=r"P = \Phi(-\sqrt{N S}),\quad "
    r"S = \frac{(g(t_1) - g(t_2))^2}{V(t_1) + V(t_2)}",
    symbols={
        "output": _OUTPUT.replace("(0", "[0"),
        "other_output": _OTHER.replace("(0", "[0"),
        "sigma": _SIGMA,
        "pairs": _PAIRS,
    },
    regime="asymptotic in the pairs (central limit): hundreds, and no rare errors",
    limits={"pairs >= 100": lambda pairs: np.asarray(pairs) >= 100},
    source="derived here; Aithal & Li 2022, Lemma 4 and eq. (57), without its bias",
)
def log_first(
    output: npt.ArrayLike,
    other_output: npt.ArrayLike,
    sigma: npt.ArrayLike,
    pairs: npt.ArrayLike,
) -> Floats:
    """Probability of the wrong sign after averaging logarithms of noisy magnitudes.

    It falls to zero, for E ln|F + v| rises with F, but at :func:`log_first_cost`.

    Parameters
    ----------
    output, other_output : array_like
        Noiseless outputs F1 and F2, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    pairs : array_like of int
        Pairs N averaged, at least 1.

    Examples
    --------
    >>> round(float(log_first(0.006, 0.004, 0.02, 20000)), 4)
    0.0138
    """
    snr = log_ratio.effective_snr(output, other_output, sigma)
    return special.ndtr(-np.sqrt(snr) * np.sqrt(floats(expect.integer(pairs=pairs))))


@law(
    formula="C = (F1-F2)² (V(t1) + V(t2))/(2σ² (g(t1) - g(t2))²), t = F/σ",
    latex=r"C = \frac{(F_1-F_2)^2}{2\sigma^2}\,"
    r"\frac{V(t_1) + V(t_2)}{(g(t_1) - g(t_2))^2}",
    symbols={"output": _OUTPUT, "other_output": _OTHER, "sigma": _SIGMA},
    regime="many pairs, the same error; two different outputs",
    source="derived here for Aithal & Li 2022, Lemma 4",
)
def log_first_cost(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Pairs that averaging logarithms needs, over those of averaging outputs.

    Parameters
    ----------
    output, other_output : array_like
        Noiseless outputs F1 and F2, in (0, inf), not the same.
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Examples
    --------
    >>> round(float(log_first_cost(1.001, 1.0, 1.0)), 2)
    2.13
    """
    one = floats(expect.positive(output=output))
    two = floats(expect.positive(other_output=other_output))
    s = floats(expect.positive(sigma=sigma))
    expect.that(one != two, "to differ from output", other_output=other_output)
    # So weak, noise has no part in the cost; so strong, the cost is infinite.
    s = np.maximum(s, 1e-100 * np.minimum(one, two))
    s = np.minimum(s, 1e160 * np.minimum(np.maximum(one, two), 1e140))
    change = np.minimum(ratio(np.abs(one - two), s), 1e300)
    drift = np.abs(_log_ratio.gap(one, two, s))
    spread = np.sqrt(0.5 * floats(log_ratio.variance(one, two, s)))
    return square(ratio(change, drift) * spread)


@law(
    formula="a = -ln w, w = (m1 + √(m1² + 4σ_Z² m2))/(2 m2)",
    latex=r"\hat a = -\ln w,\quad "
    r"w = \frac{m_1 + \sqrt{m_1^2 + 4\sigma_Z^2 m_2}}{2 m_2}",
    symbols={
        "mean_ratio": "m1, mean of the noisy ratios y1/y2, ratio, (0, inf)",
        "mean_square_ratio": "m2, mean of their squares, ratio², [m1², inf)",
        "relative_sigma": _RELATIVE,
    },
    regime=_MODEL,
    source="derived here: the root of Aithal & Li 2022, eq. (59), in place of (57)",
)
def likelihood_root(
    mean_ratio: npt.ArrayLike,
    mean_square_ratio: npt.ArrayLike,
    relative_sigma: npt.ArrayLike,
) -> Floats:
    """Most likely ln(F1/F2) given single noisy ratios of the two outputs.

    Over the probe size β it is the most likely factor A. With the raw outputs at hand,
    the logarithm of the ratio of their means is better.

    Parameters
    ----------
    mean_ratio, mean_square_ratio : array_like
        Mean of the noisy ratios and of their squares, in (0, inf); the second at least
        the first's square.
    relative_sigma : array_like
        Standard deviation σ_Z of a noisy ratio over its noiseless value, in (0, inf).

    Notes
    -----
    The log-likelihood of N ratios r with w = exp(-a) is N ln w - Σ(rw - 1)²/(2σ_Z²),
    and its derivative vanishes where m2 w² - m1 w - σ_Z² = 0.

    Examples
    --------
    >>> round(float(likelihood_root(1.05, 1.1466, 0.2)), 6)
    0.04879
    """
    m1 = floats(expect.positive(mean_ratio=mean_ratio))
    m2 = floats(expect.positive(mean_square_ratio=mean_square_ratio))
    s = floats(expect.positive(relative_sigma=relative_sigma))
    # Rounding may leave equal ratios a mean square just below the squared mean.
    low = np.sqrt(m2) >= m1 * (1.0 - 1e-14)
    expect.that(low, "at least mean_ratio²", mean_square_ratio=mean_square_ratio)
    size = np.sqrt(m2)
    share = m1 / size
    with np.errstate(over="ignore"):
        far = np.log(size) - np.log(0.5 * share + np.hypot(0.5 * share, s))
    # Near w = 1 solve for w - 1, whose constant term alone may cancel.
    near = np.abs(far) < 0.25
    t = np.where(near, s, 1.0)
    a, b = np.where(near, m1, 1.0), np.where(near, m2, 2.0)
    # Two floats near 1 that differ do so by far more than so small a square.
    plain = t < 1e-100
    spare = _bivariate.cross(np.where(plain, 1.0, t), t, np.where(plain, t, b - a))
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
    formula="I = β²(1/σ_Z² + 2)",
    latex=r"I = \beta^2\left(\frac{1}{\sigma_Z^2} + 2\right)",
    symbols={"relative_sigma": _RELATIVE, "probe": _PROBE},
    regime=_MODEL,
    source="derived here for Aithal & Li 2022, Lemma 3 and eq. (58)",
)
def fisher_information(relative_sigma: npt.ArrayLike, probe: npt.ArrayLike) -> Floats:
    """Fisher information about the noiseless factor in one noisy ratio.

    Parameters
    ----------
    relative_sigma : array_like
        Standard deviation σ_Z of a noisy ratio over its noiseless value, in (0, inf).
    probe : array_like
        Probe size β, in (0, inf).

    Examples
    --------
    >>> round(float(fisher_information(0.2, 1.0)), 9)
    27.0
    """
    s = floats(expect.positive(relative_sigma=relative_sigma))
    beta = floats(expect.positive(probe=probe))
    return square(ratio(beta, s)) + 2.0 * square(beta)


@law(
    formula="Var >= σ_Z²/(N β² (1 + 2σ_Z²))",
    latex=r"\operatorname{Var}\hat a \ge \frac{\sigma_Z^2}{N\beta^2(1 + 2\sigma_Z^2)}",
    symbols={"relative_sigma": _RELATIVE, "pairs": _PAIRS, "probe": _PROBE},
    regime=_MODEL + "; unbiased estimators",
    source="derived here for Aithal & Li 2022, Lemma 3 and eq. (58)",
)
def variance_bound(
    relative_sigma: npt.ArrayLike, pairs: npt.ArrayLike, probe: npt.ArrayLike
) -> Floats:
    """Least variance of an unbiased estimate of the factor from N noisy ratios.

    Parameters
    ----------
    relative_sigma : array_like
        Standard deviation σ_Z of a noisy ratio over its noiseless value, in (0, inf).
    pairs : array_like of int
        Pairs N, at least 1.
    probe : array_like
        Probe size β, in (0, inf).

    Examples
    --------
    >>> round(float(200 * variance_bound(0.2, 200, 1.0)), 6)
    0.037037
    """
    s = floats(expect.positive(relative_sigma=relative_sigma))
    count = floats(expect.integer(pairs=pairs))
    beta = floats(expect.positive(probe=probe))
    wide = root_one_plus(np.sqrt(2.0) * np.minimum(s, 1e300))
    return square(ratio(s / wide, beta)) / count


@law(
    formula="Var >= σ²(1/F1² + 1/F2²)/(N β²)",
    latex=r"\operatorname{Var}\hat a \ge "
    r"\frac{\sigma^2}{N\beta^2}\left(\frac{1}{F_1^2} + \frac{1}{F_2^2}\right)",
    symbols={
        "output": _OUTPUT,
        "other_output": _OTHER,
        "sigma": _SIGMA,
        "pairs": _PAIRS,
        "probe": _PROBE,
    },
    regime="exact: both raw noisy outputs of each pair are seen; unbiased estimators",
    source="derived here for Aithal & Li 2022, eq. (65)",
)
def variance_bound_of_pairs(
    output: npt.ArrayLike,
    other_output: npt.ArrayLike,
    sigma: npt.ArrayLike,
    pairs: npt.ArrayLike,
    probe: npt.ArrayLike,
) -> Floats:
    """Least variance of an unbiased estimate of the factor from N pairs of raw outputs.

    Parameters
    ----------
    output, other_output : array_like
        Noiseless outputs F1 and F2, in (0, inf).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    pairs : array_like of int
        Pairs N, at least 1.
    probe : array_like
        Probe size β, in (0, inf).

    Examples
    --------
    >>> round(float(variance_bound_of_pairs(0.3, 0.4, 0.12, 100, 1.0)), 9)
    0.0025
    """
    s = floats(expect.positive(sigma=sigma))
    one = ratio(s, expect.positive(output=output))
    two = ratio(s, expect.positive(other_output=other_output))
    count = floats(expect.integer(pairs=pairs))
    beta = expect.positive(probe=probe)
    return (square(ratio(one, beta)) + square(ratio(two, beta))) / count


@law(
    formula="E ln|Z| = ln σ_Z + g(1/σ_Z), Z ~ N(1, σ_Z²)",
    latex=r"\mathbb{E}\ln|Z| = \ln\sigma_Z + g(1/\sigma_Z),\quad "
    r"Z \sim \mathcal{N}(1, \sigma_Z^2)",
    symbols={"relative_sigma": _RELATIVE},
    regime=_MODEL + "; magnitudes where it is negative",
    source="derived here for Aithal & Li 2022, Lemma 3",
)
def log_bias(relative_sigma: npt.ArrayLike) -> Floats:
    """Bias of a mean logarithm of noisy ratios: over β, that of the mean factor.

    Near -σ_Z²/2 for weak noise.

    Parameters
    ----------
    relative_sigma : array_like
        Standard deviation σ_Z of a noisy ratio over its noiseless value, in (0, inf).

    Examples
    --------
    >>> round(float(log_bias(0.2)), 6)
    -0.021411
    """
    s = floats(expect.positive(relative_sigma=relative_sigma))
    return _log_ratio.excess_inverse(s)
