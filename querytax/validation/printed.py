"""Formulas as papers printed them, beyond the regime in which they are true.

Nothing here is for use: the true laws are in :mod:`querytax.theory`. Each function
warns or refuses where its print fails.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory._floats import Floats, floats
from querytax.theory.law import Law, RegimeWarning, law, registered

__all__ = ["printed_laws", "query_ratio_6", "repeats_8"]


def printed_laws() -> tuple[Law, ...]:
    """Every printed formula, in the order of its definition.

    Examples
    --------
    >>> [entry.name for entry in printed_laws()]
    ['printed.query_ratio_6', 'printed.repeats_8']
    """
    package = __name__.rpartition(".")[0]
    return tuple(entry for entry in registered(package) if entry.topic == "printed")


@law(
    formula="R = (sqrt(K² + 4) - K)²/4, K = Φ⁻¹(ε) sqrt(m/(S (1-r)))",
    latex=r"R = \frac{\left(\sqrt{K^2 + 4} - K\right)^2}{4},\qquad "
    r"K = \Phi^{-1}(\varepsilon)\sqrt{\frac{m}{S(1 - r)}}",
    symbols={
        "snr": "S, signal-to-noise ratio of one pair, power ratio, (0, inf)",
        "contraction": "m = aλ, noiseless contraction per step, fraction, (0, 1)",
        "remaining": "r = η/v0, distance left over distance at the start, (0, 1)",
        "error": "ε, probability of not arriving, probability, (0, 1)",
    },
    regime="as printed; true only for R up to about 5: K² <= |q| sqrt(2/(1-r))",
    source="Aithal & Li 2022, Theorem 2, eq. (6)",
)
def query_ratio_6(
    snr: npt.ArrayLike,
    contraction: npt.ArrayLike,
    remaining: npt.ArrayLike = 0.01,
    error: npt.ArrayLike = 0.01,
) -> Floats:
    """Query ratio as printed in eq. (6) of Aithal & Li; not a prediction.

    The true ratios are in :mod:`querytax.theory.query_ratio`.

    Parameters
    ----------
    snr : array_like
        Signal-to-noise ratio S of one pair, in (0, inf).
    contraction : array_like
        Noiseless contraction m = aλ per step, in (0, 1).
    remaining : array_like
        Share r of the starting distance that may remain, in (0, 1).
    error : array_like
        Probability ε of not arriving, in (0, 1).

    Raises
    ------
    DomainError
        If an argument is out of its domain.

    Warns
    -----
    RegimeWarning
        If for any element the linearised product is used beyond its range,
        K² > abs(q) sqrt(2/(1-r)), or the recursion diverges in mean square,
        S < m/(2-m).

    Examples
    --------
    >>> round(float(query_ratio_6(10.0, 0.002, 0.9)), 2)
    1.11
    """
    s = floats(expect.positive(snr=snr))
    m = floats(expect.probability(contraction=contraction))
    left = 1.0 - floats(expect.probability(remaining=remaining))
    quantile = special.ndtri(floats(expect.probability(error=error)))
    k = quantile * np.sqrt(m / left) / np.sqrt(s)
    beyond = np.abs(k) > np.sqrt(np.abs(quantile) * np.sqrt(2.0 / left))
    diverges = s < m / (2.0 - m)
    if np.any(beyond | diverges):
        warnings.warn(
            "eq. (6) of Aithal & Li is used outside its regime; "
            "query_ratio.best_step holds there",
            RegimeWarning,
            stacklevel=2,
        )
    # Where K > 0 the difference cancels; its conjugate does not.
    half = 0.5 * (np.hypot(k, 2.0) + np.abs(k))
    with np.errstate(over="ignore"):
        return np.square(np.where(k > 0, 1.0 / half, half))[()]


@law(
    formula="N = (2σ²/F²) (Φ⁻¹(ε)/(exp(2σ²/F² - aβ) - 1))²",
    latex=r"N = \frac{2\sigma^2}{F^2}\left(\frac{\Phi^{-1}(\varepsilon)}"
    r"{e^{2\sigma^2/F^2 - a\beta} - 1}\right)^2",
    symbols={
        "log_ratio": "aβ = ln(F1/F2), log ratio of the pair's outputs, nat, (0, inf)",
        "sigma": "σ, standard deviation of the output noise, probability, (0, inf)",
        "output": "F, noiseless output, probability, (0, 1]",
        "error": "ε, probability of the wrong sign, probability, (0, 1/2)",
    },
    regime="as printed; refused at and beyond its pole, 2σ²/F² >= aβ",
    source="Aithal & Li 2022, Theorem 4, eq. (8)",
)
def repeats_8(
    log_ratio: npt.ArrayLike,
    sigma: npt.ArrayLike,
    output: npt.ArrayLike,
    error: npt.ArrayLike,
) -> Floats:
    """Repeated queries as printed in eq. (8) of Aithal & Li; not a prediction.

    The true count is :func:`querytax.theory.repeats.fixed`.

    Parameters
    ----------
    log_ratio : array_like
        Logarithm aβ of the ratio of the pair's outputs, in (0, inf).
    sigma : array_like
        Standard deviation of the output noise, in (0, inf).
    output : array_like
        Noiseless output F, in (0, 1].
    error : array_like
        Probability ε of the wrong sign, in (0, 1/2).

    Raises
    ------
    DomainError
        If an argument is out of its domain, or 2σ²/F² reaches aβ: beyond that pole
        the print returns finite, falling, meaningless counts.

    Examples
    --------
    >>> round(float(repeats_8(1e-3, 5e-6, 4e-4, 0.3)), 1)
    181.9
    """
    drift = floats(expect.positive(log_ratio=log_ratio))
    level = floats(expect.unit(output=expect.positive(output=output)))
    quantile = special.ndtri(floats(expect.error_rate(error=error)))
    with np.errstate(over="ignore"):
        variance = 2.0 * np.square(floats(expect.positive(sigma=sigma)) / level)
    past, shown = np.broadcast_arrays(variance >= drift, variance)
    if past.any():
        raise expect.DomainError(
            f"expected sigma with 2σ²/F² below log_ratio, the pole of eq. (8), "
            f"got 2σ²/F² = {shown[past].flat[0]:g}"
        )
    excess = np.expm1(variance - drift)
    return np.square(np.sqrt(variance) * quantile / excess)[()]
