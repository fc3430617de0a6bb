"""Formulas as papers printed them, beyond the regime in which they are true.

Nothing here is for use: the true laws are in :mod:`querytax.theory`. Each function
warns or refuses where its print fails. All of them, by their claims' ids, are in
:mod:`querytax.validation.printed_forms`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy import special

from querytax.expect import DomainError
from querytax.parameters import named
from querytax.theory.law import RegimeWarning
from querytax.validation.printed_forms import find_printed, printed_laws

__all__ = ["find_printed", "printed_laws", "query_ratio_6", "repeats_8"]

_POSITIVE = {
    name: named(name).within("(0, inf)").checked()
    for name in ("snr", "log_ratio", "sigma")
}
_OUTPUT = named("output").within("(0, 1]").checked()
_CONTRACTION, _REMAINING, _ERROR = (
    named(name).checked() for name in ("contraction", "remaining", "error")
)
_NOT_ARRIVED = named("error").within("(0, 1)").checked()


def query_ratio_6(
    snr: Any, contraction: Any, remaining: Any = 0.01, error: Any = 0.01
) -> Any:
    """Query ratio as printed in eq. (6) of Aithal & Li: Theorem 2; not a prediction.

    It warns where the linearised product is used beyond its range,
    K² > abs(q) sqrt(2/(1-r)), or the recursion diverges in mean square, S < m/(2-m).

    Examples
    --------
    >>> round(float(query_ratio_6(10.0, 0.002, 0.9)), 2)
    1.11
    """
    s, m = _POSITIVE["snr"](snr), _CONTRACTION(contraction)
    left = 1.0 - _REMAINING(remaining)
    quantile = special.ndtri(_NOT_ARRIVED(error))
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


def repeats_8(log_ratio: Any, sigma: Any, output: Any, error: Any) -> Any:
    """Repeated pairs as printed in eq. (8) of Aithal & Li: Theorem 4; no prediction.

    The true count is :func:`querytax.theory.repeats.fixed`. At and beyond its pole,
    2σ²/F² of aβ, the print has finite, falling, meaningless counts; it is refused.

    Examples
    --------
    >>> round(float(repeats_8(1e-3, 5e-6, 4e-4, 0.3)), 1)
    181.9
    """
    drift, noise = _POSITIVE["log_ratio"](log_ratio), _POSITIVE["sigma"](sigma)
    level, quantile = _OUTPUT(output), special.ndtri(_ERROR(error))
    with np.errstate(over="ignore"):
        variance = 2.0 * np.square(noise / level)
    past, shown = np.broadcast_arrays(variance >= drift, variance)
    if past.any():
        raise DomainError(
            f"expected sigma with 2σ²/F² below log_ratio, the pole of eq. (8), "
            f"got 2σ²/F² = {shown[past].flat[0]:g}"
        )
    excess = np.expm1(variance - drift)
    return np.square(np.sqrt(variance) * quantile / excess)[()]
