"""Noise on the logits of unsure answers alone: silent where the top class is likely.

An answer whose greatest probability reaches the threshold leaves as it is; any other
gets normal noise on each logit.
"""

from __future__ import annotations

import numpy as np

from querytax.theory.law import Given, law
from querytax.theory.numerics.floats import Floats, ratio

_SOURCE = "derived here for Boundary Defense 2022"


@law(
    "S = Δ²m/(2kσ²), k of the two answers below θ; infinite for k = 0",
    _SOURCE + "; snr.output_logits for k = 2",
    regime="exact: the margin of two logits, noisy or not, at any noise",
    value="[0, inf]; rises in delta_margin_ms top_probability "
    "other_top_probability; falls in sigma threshold",
)
def snr(
    delta_margin_ms: Given,
    top_probability: Given,
    other_top_probability: Given,
    threshold: Given,
    sigma: Given,
) -> Floats:
    """Decision SNR of a logit margin that is noisy at low confidence alone.

    >>> [float(snr(0.36, 0.3, p, 0.31, 0.3)) for p in (0.28, 0.31)]
    [1.0, 2.0]
    >>> float(snr(0.36, 0.31, 0.31, 0.31, 0.3))
    inf
    """
    noisy = np.add(
        top_probability < threshold, other_top_probability < threshold, dtype=float
    )
    heard = (noisy > 0.0) & (sigma > 0.0)
    noise = np.where(heard, sigma, 1.0)
    value = ratio(ratio(delta_margin_ms, noise), noise * (2.0 * np.maximum(noisy, 1.0)))
    # Without a change nothing is to be told, noise or not.
    silent = np.where(delta_margin_ms > 0.0, np.inf, 0.0)
    return np.where(heard, value, silent)[()]


@law(
    "1 - min(1, max(0, ln(nθ/(1 - θ)))/|m|)",
    _SOURCE + "; the greatest probability is 1/(1 + n e^(-m))",
    regime="exact: the margin falls evenly to 0 and the rivals stay level; two classes "
    "have one rival, and C classes at most C - 1",
    value="[0, 1]; falls in threshold rivals",
)
def silent_share(margin: Given, threshold: Given, rivals: Given = 1) -> Floats:
    """Share of a straight way to the boundary on which no answer is noisy.

    All of it for θ of at most 1/(1 + n): of two classes one always has a half, and of
    C classes one always has 1/C. What is noisy lies next to the boundary.

    >>> float(silent_share(8.0, 0.3)), round(float(silent_share(8.0, 0.3, 9)), 4)
    (1.0, 0.8313)
    """
    excess = ((rivals + 1.0) * threshold - 1.0) / (1.0 - threshold)
    near = np.log1p(np.clip(excess, 0.0, 1.0))
    far = np.log(rivals) + np.log(threshold) - np.log1p(-threshold)
    noisy = np.where(excess < 1.0, near, far)
    size = np.where(noisy > 0.0, np.abs(margin), 1.0)
    return (1.0 - np.minimum(ratio(noisy, size), 1.0))[()]
