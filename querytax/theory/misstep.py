"""How often noise turns one comparison the wrong way.

Each function raises ``DomainError``, naming the parameter, for an argument outside
its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory._floats import Array, Floats
from querytax.theory.law import law
from querytax.theory.snr import averaged

__all__ = [
    "after_repeats",
    "fixed_direction",
    "log_fixed_direction",
    "log_random_direction",
    "random_direction",
]

_SNR = "S, decision signal-to-noise ratio of one pair, power ratio, [0, inf)"
_MEAN_SNR = "S, decision SNR averaged over directions, power ratio, [0, inf)"
_FIXED = "normal noise; one direction, whose difference is given"
_RANDOM = "normal differences over directions (linear loss), normal noise"


def _root(snr: npt.ArrayLike) -> Array:
    return np.sqrt(np.asarray(expect.nonnegative(snr=snr), dtype=float))


@law(
    formula="P = Φ(-√S)",
    latex=r"P = \Phi(-\sqrt{S})",
    symbols={"snr": _SNR},
    regime=_FIXED,
    source="Aithal & Li 2022, Remark 2; corrected to raw outputs: Φ(-ΔF/(√2 σ))",
)
def fixed_direction(snr: npt.ArrayLike) -> Floats:
    """Probability that a pair along a given direction shows the wrong sign.

    Parameters
    ----------
    snr : array_like
        Decision SNR of the pair, in [0, inf).

    Examples
    --------
    >>> round(float(fixed_direction(1.0)), 6)
    0.158655
    """
    return special.ndtr(-_root(snr))


@law(
    formula="ln P = ln Φ(-√S)",
    latex=r"\ln P = \ln\Phi(-\sqrt{S})",
    symbols={"snr": _SNR},
    regime=_FIXED,
    source="Aithal & Li 2022, Remark 2; corrected to raw outputs: Φ(-ΔF/(√2 σ))",
)
def log_fixed_direction(snr: npt.ArrayLike) -> Floats:
    """Logarithm of :func:`fixed_direction`, where the probability underflows.

    Parameters
    ----------
    snr : array_like
        Decision SNR of the pair, in [0, inf).

    Examples
    --------
    >>> round(float(log_fixed_direction(1e6)), 2)
    -500007.83
    """
    return special.log_ndtr(-_root(snr))


@law(
    formula="P = arctan(1/√S)/π",
    latex=r"P = \frac{1}{\pi}\arctan\frac{1}{\sqrt{S}}",
    symbols={"snr": _MEAN_SNR},
    regime=_RANDOM,
    source="RFD 2024, Theorem 1, with R = 1/S; the exact form of its correlation",
)
def random_direction(snr: npt.ArrayLike) -> Floats:
    """Share of random directions whose pair shows the wrong sign.

    Parameters
    ----------
    snr : array_like
        Decision SNR averaged over directions, in [0, inf).

    Examples
    --------
    >>> float(random_direction(1.0))
    0.25
    """
    return np.arctan2(1.0, _root(snr)) / np.pi


@law(
    formula="ln P = ln(arctan(1/√S)/π)",
    latex=r"\ln P = \ln\left(\frac{1}{\pi}\arctan\frac{1}{\sqrt{S}}\right)",
    symbols={"snr": _MEAN_SNR},
    regime=_RANDOM,
    source="RFD 2024, Theorem 1, with R = 1/S; the exact form of its correlation",
)
def log_random_direction(snr: npt.ArrayLike) -> Floats:
    """Logarithm of :func:`random_direction`.

    Parameters
    ----------
    snr : array_like
        Decision SNR averaged over directions, in [0, inf).

    Examples
    --------
    >>> round(float(log_random_direction(1.0)), 6)
    -1.386294
    """
    return np.log(random_direction(snr))


@law(
    formula="P(M S)",
    latex=r"P_M(S) = P(M S)",
    symbols={
        "snr": _SNR,
        "repeats": "M, repeats of every query of the pair, count, [1, inf)",
        "direction": "'random' or 'fixed'",
    },
    regime="fresh normal noise per query, averaged before any nonlinear step",
    source="RFD 2024, Theorem 1 with R/M; Aithal & Li 2022, Theorem 4, corrected",
)
def after_repeats(
    snr: npt.ArrayLike, repeats: npt.ArrayLike, direction: str = "random"
) -> Floats:
    """Probability of the wrong sign after each query was repeated and averaged.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    repeats : array_like of int
        Repeats M of every query, at least 1.
    direction : {"random", "fixed"}
        Whether directions are drawn at random or one is given.

    Examples
    --------
    >>> float(after_repeats(0.25, 4))
    0.25
    """
    expect.one_of(("random", "fixed"), direction=direction)
    law_of_one = random_direction if direction == "random" else fixed_direction
    return law_of_one(averaged(snr, repeats))
