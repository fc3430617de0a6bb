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
from querytax.theory._floats import Floats, ratio, square
from querytax.theory.law import law

__all__ = ["fixed", "random_direction", "sequential", "sequential_saving"]

_SNR = "S, decision signal-to-noise ratio of one pair, power ratio, [0, inf)"
_ERROR = "ε, probability of the wrong sign, probability, (0, 1/2)"


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
