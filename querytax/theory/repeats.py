"""Repeated queries: how many pairs settle the sign of one difference.

Counts are real; a whole number of pairs is the next one up. Each function raises
``DomainError``, naming the parameter, for an argument outside its stated range. At
``snr = 0`` the counts are infinite.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory._floats import Array, Floats, ratio, square
from querytax.theory.law import law

__all__ = [
    "fixed",
    "random_direction",
    "sequential",
    "sequential_saving",
    "shared_across_repeats",
    "shared_within_pair",
    "stopping_log_odds",
    "walds_error",
    "walds_pairs",
]

_SNR = "S, decision signal-to-noise ratio of one pair, power ratio, [0, inf)"
_ERROR = "ε, probability of the wrong sign, probability, (0, 1/2)"
_CORRELATION = "ρ, correlation of the two noises of one pair, ratio, (-1, 1)"
# -ζ(1/2)/√(2π): how far a normal walk of unit steps overshoots a distant barrier.
_OVERSHOOT = 0.5825971579390106702


def divergence(error: npt.ArrayLike) -> Floats:
    """d(ε) = (1-2ε) ln((1-ε)/ε), the divergence of two opposite verdicts, in nats."""
    epsilon = np.asarray(expect.error_rate(error=error), dtype=float)
    return (1.0 - 2.0 * epsilon) * -special.logit(epsilon)


@law(
    formula="N = Φ⁻¹(ε)²/S",
    latex=r"N = \frac{\Phi^{-1}(\varepsilon)^2}{S}",
    symbols={"snr": _SNR, "error": _ERROR},
    regime="fresh normal noise per query, outputs averaged before any other step",
    source=(
        "Aithal & Li 2022, Theorem 4; corrected: eq. (8) without 2σ²/F² in its exponent"
    ),
)
def fixed(snr: npt.ArrayLike, error: npt.ArrayLike) -> Floats:
    """Pairs, fixed in advance, that settle the sign of one difference.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    error : array_like
        Probability ε of the wrong sign, in (0, 1/2).

    Examples
    --------
    >>> round(float(fixed(0.01, 0.01)), 1)
    541.2
    """
    quantile = special.ndtri(np.asarray(expect.error_rate(error=error), dtype=float))
    return ratio(square(quantile), expect.nonnegative(snr=snr))


@law(
    formula="N = 1/(S tan²(π ε))",
    latex=r"N = \frac{1}{S \tan^2(\pi\varepsilon)}",
    symbols={
        "snr": "S, decision SNR averaged over directions, power ratio, [0, inf)",
        "error": _ERROR,
    },
    regime="normal differences over random directions, fresh normal noise",
    source="derived here; the inverse of RFD 2024, Theorem 1, in its exact form",
)
def random_direction(snr: npt.ArrayLike, error: npt.ArrayLike) -> Floats:
    """Pairs per random direction at which a share ``error`` of the signs is wrong.

    Parameters
    ----------
    snr : array_like
        Decision SNR averaged over directions, in [0, inf).
    error : array_like
        Share ε of wrong signs, in (0, 1/2).

    Examples
    --------
    >>> round(float(random_direction(0.01, 0.01)))
    101255
    """
    epsilon = np.asarray(expect.error_rate(error=error), dtype=float)
    # tan(π(1/2-ε)) = 1/tan(πε), and 1/2-ε is exact where the tangent is steep.
    cotangent = np.where(
        epsilon < 0.25,
        1.0 / np.tan(np.pi * np.minimum(epsilon, 0.25)),
        np.tan(np.pi * (0.5 - epsilon)),
    )
    root = np.sqrt(np.asarray(expect.nonnegative(snr=snr), dtype=float))
    return square(ratio(cotangent, root))


@law(
    formula="E N >= d(ε)/(2S), d(ε) = (1-2ε) ln((1-ε)/ε)",
    latex=r"\mathbb{E}N \ge \frac{(1 - 2\varepsilon)"
    r"\ln\frac{1 - \varepsilon}{\varepsilon}}{2 S}",
    symbols={"snr": _SNR, "error": _ERROR},
    regime="lower bound for any stopping rule, size of the difference known",
    source="Wald 1945; restated here for a pair, whose divergence is 2S",
)
def sequential(snr: npt.ArrayLike, error: npt.ArrayLike) -> Floats:
    """Least mean number of pairs of any test that stops when it is sure.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    error : array_like
        Probability ε of the wrong sign, either way, in (0, 1/2).

    Examples
    --------
    >>> round(float(sequential(0.01, 0.01)), 1)
    225.2
    """
    return ratio(0.5 * divergence(error), expect.nonnegative(snr=snr))


@law(
    formula="2 Φ⁻¹(ε)²/d(ε)",
    latex=r"\frac{2\,\Phi^{-1}(\varepsilon)^2}{(1 - 2\varepsilon)"
    r"\ln\frac{1 - \varepsilon}{\varepsilon}}",
    symbols={"error": _ERROR},
    regime="small S, where a sequential test attains its bound",
    source="derived here from the two counts",
)
def sequential_saving(error: npt.ArrayLike) -> Floats:
    """Fixed number of pairs over the sequential bound: π/2 at chance, 4 when sure.

    Parameters
    ----------
    error : array_like
        Probability ε of the wrong sign, in (0, 1/2).

    Examples
    --------
    >>> round(float(sequential_saving(0.01)), 2)
    2.4
    """
    return 2.0 * fixed(1.0, error) / divergence(error)


def _correlation(correlation: npt.ArrayLike) -> Array:
    rho = np.asarray(expect.finite(correlation=correlation), dtype=float)
    expect.that(np.abs(rho) < 1.0, "in (-1, 1)", correlation=correlation)
    return rho


@law(
    formula="N = (1 - ρ) Φ⁻¹(ε)²/S",
    latex=r"N = \frac{(1 - \rho)\,\Phi^{-1}(\varepsilon)^2}{S}",
    symbols={"snr": _SNR, "error": _ERROR, "correlation": _CORRELATION},
    regime="normal noise, fresh for each pair but shared in part by its two queries",
    source="derived here; Aithal & Li 2022, Theorem 4, assumes none is shared",
)
def shared_within_pair(
    snr: npt.ArrayLike, error: npt.ArrayLike, correlation: npt.ArrayLike
) -> Floats:
    """Pairs that settle a sign when a pair's two noises are correlated.

    Noise common to both queries cancels in their difference.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair with independent noises, in [0, inf).
    error : array_like
        Probability ε of the wrong sign, in (0, 1/2).
    correlation : array_like
        Correlation ρ of the two noises of a pair, in (-1, 1).

    Examples
    --------
    >>> round(float(shared_within_pair(0.01, 0.01, 0.9)), 2)
    54.12
    """
    return (1.0 - _correlation(correlation)) * fixed(snr, error)


@law(
    formula="N = (1 - c) q²/(S - c q²) if S > c q², else inf; q = Φ⁻¹(ε)",
    latex=r"N = \frac{(1 - c)\,q^2}{S - c\,q^2} \text{ if } S > c\,q^2,"
    r"\text{ else } \infty;\quad q = \Phi^{-1}(\varepsilon)",
    symbols={
        "snr": _SNR,
        "error": _ERROR,
        "alignment": "c, correlation of the noises of two repeats, ratio, [0, 1]",
    },
    regime="normal noise that repeats of one query share in part; its two ends apart",
    source="derived here; Aithal & Li 2022, Theorem 4, takes every repeat as fresh",
)
def shared_across_repeats(
    snr: npt.ArrayLike, error: npt.ArrayLike, alignment: npt.ArrayLike
) -> Floats:
    """Pairs that settle a sign when repeats of a query share part of their noise.

    Noise seeded by the input alone is shared in full, and no number of repeats helps:
    the count is one or infinite. Near S = c q² few digits are left.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    error : array_like
        Probability ε of the wrong sign, in (0, 1/2).
    alignment : array_like
        Correlation c of the noises of two repeats, in [0, 1].

    Examples
    --------
    >>> round(float(shared_across_repeats(0.01, 0.01, 0.001)), 1)
    1178.4
    >>> float(shared_across_repeats(0.01, 0.01, 0.01))
    inf
    """
    c = np.asarray(expect.unit(alignment=alignment), dtype=float)
    s = np.asarray(expect.nonnegative(snr=snr), dtype=float)
    needed = fixed(1.0, error)
    left = s - c * needed
    count = ratio((1.0 - c) * needed, np.where(left > 0, left, 1.0))
    # One query each is enough where S reaches q² by itself.
    alone = (c == 1.0) & (s >= needed)
    return np.where(alone, 1.0, np.where(left > 0, count, np.inf))[()]


@law(
    formula="b = ln((1-ε)/ε)",
    latex=r"b = \ln\frac{1 - \varepsilon}{\varepsilon}",
    symbols={"error": _ERROR},
    regime="size of the difference known; exact in the limit of small S",
    source="Wald 1945",
)
def stopping_log_odds(error: npt.ArrayLike) -> Floats:
    """Log odds of the sign at which Wald's sequential test stops, in nats.

    Parameters
    ----------
    error : array_like
        Probability ε of the wrong sign, in (0, 1/2).

    Notes
    -----
    Every pair that reads D of variance v adds 2 E|D| D/v to the log odds.

    Examples
    --------
    >>> round(float(stopping_log_odds(0.01)), 4)
    4.5951
    """
    return -special.logit(np.asarray(expect.error_rate(error=error), dtype=float))


_SMALL = {
    "snr <= 0.1 and error <= 0.1": lambda snr, error: (
        ~((np.asarray(snr, float) > 0.1) | (np.asarray(error, float) > 0.1))
    )
}


def _barrier(snr: npt.ArrayLike, error: npt.ArrayLike) -> Array:
    """Where the log odds stand on average when the test has stopped."""
    # The log odds move by steps of standard deviation 2√S.
    root = np.sqrt(np.asarray(expect.nonnegative(snr=snr), dtype=float))
    return stopping_log_odds(error) + 2.0 * _OVERSHOOT * root


@law(
    formula="ε' = 1/(1 + exp(b + 2κ√S)), b = ln((1-ε)/ε), κ = -ζ(1/2)/√(2π)",
    latex=r"\varepsilon' = \frac{1}{1 + e^{b + 2\kappa\sqrt{S}}},\quad "
    r"b = \ln\frac{1-\varepsilon}{\varepsilon},\ "
    r"\kappa = -\frac{\zeta(1/2)}{\sqrt{2\pi}}",
    symbols={"snr": _SNR, "error": _ERROR},
    regime="small S: relative error below 0.1 S; size of the difference known",
    source="Siegmund 1979, the overshoot; for a pair of queries, derived here",
    limits=_SMALL,
)
def walds_error(snr: npt.ArrayLike, error: npt.ArrayLike) -> Floats:
    """Error of Wald's test, set to ``error`` and asked once a pair: somewhat less.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    error : array_like
        Probability ε that the boundary is set for, in (0, 1/2).

    Examples
    --------
    >>> round(float(walds_error(0.01, 0.01)), 6)
    0.00891
    """
    return special.expit(-_barrier(snr, error))


@law(
    formula="E N = d(ε')/(2S) + 1/4, ε' = 1/(1 + exp(b + 2κ√S))",
    latex=r"\mathbb{E}N = \frac{(1-2\varepsilon')\ln\frac{1-\varepsilon'}"
    r"{\varepsilon'}}{2S} + \frac{1}{4},\quad "
    r"\varepsilon' = \frac{1}{1 + e^{b + 2\kappa\sqrt{S}}}",
    symbols={"snr": _SNR, "error": _ERROR},
    regime="small S: within √S/20 pairs; size of the difference known",
    source="Wald 1945; Siegmund 1979, the overshoot; derived here for pairs of queries",
    limits=_SMALL,
)
def walds_pairs(snr: npt.ArrayLike, error: npt.ArrayLike) -> Floats:
    """Mean number of pairs of Wald's test; :func:`sequential` is what it reaches for.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    error : array_like
        Probability ε that the boundary is set for, in (0, 1/2).

    Examples
    --------
    >>> round(float(walds_pairs(0.01, 0.01)), 1)
    231.6
    """
    far = _barrier(snr, error)
    # The overshoot's next term, a quarter of the drift, is a quarter of a pair.
    return ratio(0.5 * far * np.tanh(0.5 * far), snr) + 0.25
