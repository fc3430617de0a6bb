"""Noise on the logits of unsure answers alone: silent where the top class is likely.

An answer whose greatest probability reaches the threshold leaves as it is; any other
gets normal noise on each logit. Each function raises ``DomainError``, naming the
parameter, for an argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.theory._floats import Floats, floats, ratio
from querytax.theory.law import law

__all__ = ["silent_share", "snr"]

_THRESHOLD = "θ, greatest probability from which on no noise is added, (0, 1)"
_SOURCE = "derived here for Boundary Defense 2022"


@law(
    formula="S = E[Δm²]/(2kσ²), k of the two answers below θ; infinite for k = 0",
    latex=r"S = \frac{\mathbb{E}[\Delta m^2]}{2k\sigma^2},\qquad "
    r"k = [p < \theta] + [p' < \theta]",
    symbols={
        "delta_margin_ms": "E[Δm²], mean square change of the logit margin over a "
        "pair, logit², [0, inf)",
        "sigma": "σ, standard deviation of the noise on each logit, logit, (0, inf)",
        "confidence": "p, greatest probability at one end, [0, 1]",
        "other_confidence": "p', greatest probability at the other end, [0, 1]",
        "threshold": _THRESHOLD,
    },
    regime="exact: the margin of two logits, noisy or not, at any noise",
    source=_SOURCE + "; snr.output_logits for k = 2",
)
def snr(
    delta_margin_ms: npt.ArrayLike,
    sigma: npt.ArrayLike,
    confidence: npt.ArrayLike,
    other_confidence: npt.ArrayLike,
    threshold: npt.ArrayLike,
) -> Floats:
    """Decision SNR of a logit margin that is noisy at low confidence alone.

    Parameters
    ----------
    delta_margin_ms : array_like
        Second moment of the change of the noiseless margin, in logit², in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each logit, in (0, inf).
    confidence, other_confidence : array_like
        Greatest probability at the two ends, in [0, 1].
    threshold : array_like
        Confidence θ from which on answers are silent, in (0, 1).

    Examples
    --------
    >>> [float(snr(0.36, 0.3, p, 0.28, 0.3)) for p in (0.28, 0.31)]
    [1.0, 2.0]
    >>> float(snr(0.36, 0.3, 0.31, 0.31, 0.3))
    inf
    """
    change = floats(expect.nonnegative(delta_margin_ms=delta_margin_ms))
    noise = floats(expect.positive(sigma=sigma))
    one = floats(expect.unit(confidence=confidence))
    other = floats(expect.unit(other_confidence=other_confidence))
    least = floats(expect.probability(threshold=threshold))
    noisy = (one < least).astype(float) + (other < least)
    value = ratio(ratio(change, noise), noise * (2.0 * np.maximum(noisy, 1.0)))
    # Without a change nothing is to be told, noise or not.
    silent = np.where(change > 0.0, np.inf, 0.0)
    return np.where(noisy > 0.0, value, silent)[()]


@law(
    formula="1 - min(1, max(0, ln(nθ/(1 - θ)))/|m|)",
    latex=r"1 - \min\left(1, \frac{\max\left(0, "
    r"\ln\frac{n\theta}{1 - \theta}\right)}{|m|}\right)",
    symbols={
        "margin": "m, logit margin over the rivals where the way begins, logit, finite",
        "threshold": _THRESHOLD,
        "rivals": "n, rivals, all at the same logit, count, [1, inf)",
    },
    regime="exact: the margin falls evenly to 0 and the rivals stay level; two classes "
    "have one rival, and C classes at most C - 1",
    source=_SOURCE + "; the greatest probability is 1/(1 + n e^(-m))",
)
def silent_share(
    margin: npt.ArrayLike, threshold: npt.ArrayLike, rivals: npt.ArrayLike = 1
) -> Floats:
    """Share of a straight way to the boundary on which no answer is noisy.

    All of it for θ of at most 1/(1 + n): of two classes one always has a half, and of
    C classes one always has 1/C. What is noisy lies next to the boundary.

    Parameters
    ----------
    margin : array_like
        Logit margin where the way begins; its sign does not matter.
    threshold : array_like
        Confidence θ from which on answers are silent, in (0, 1).
    rivals : array_like of int
        Number n of rivals.

    Examples
    --------
    >>> float(silent_share(8.0, 0.3)), round(float(silent_share(8.0, 0.3, 9)), 4)
    (1.0, 0.8313)
    """
    size = np.abs(floats(expect.finite(margin=margin)))
    level = floats(expect.probability(threshold=threshold))
    n = floats(expect.integer(rivals=rivals))
    excess = ((n + 1.0) * level - 1.0) / (1.0 - level)
    near = np.log1p(np.clip(excess, 0.0, 1.0))
    far = np.log(n) + np.log(level) - np.log1p(-level)
    noisy = np.where(excess < 1.0, near, far)
    with np.errstate(invalid="ignore"):
        share = np.where(noisy > 0.0, np.minimum(ratio(noisy, size), 1.0), 0.0)
    return (1.0 - share)[()]
