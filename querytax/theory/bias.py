"""What averaging noisy answers converges to: the mean, and its distance from clean.

Noise with mean zero shifts the mean of everything that is not affine.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax.theory.law import Given, law
from querytax.theory.numerics import gaussian as _gaussian
from querytax.theory.numerics.floats import Floats, by_region, over

_RELU = "SND 2022, eqs. (5)-(9); rearranged so that no digit cancels"
_AFTER = "derived here, after SND 2022, eq. (9)"
_PRACTICAL = "derived here for the practical noise of Aithal & Li 2022, Sec. IV-B"
_GELU = "one GELU x Φ(x), not its tanh approximation, normal noise"


@law(
    "b = s (φ(t) - |t| Φ(-|t|)), t = x/s",
    _RELU,
    regime="one ReLU, normal noise on its input",
    value="[0, inf]; rises in value_sigma",
)
def relu_bias(value: Given, value_sigma: Given) -> Floats:
    """Mean of a ReLU under noise, minus the ReLU of the mean.

    Largest at the kink, where it is s/√(2π); s φ(t)/t² far from it, on both sides.

    >>> round(float(relu_bias(0.0, 1.0)), 6)
    0.398942
    """
    # From 1e100 on every normal tail has vanished.
    t = np.minimum(over(np.abs(value), value_sigma), 1e100)
    return value_sigma * (_gaussian.pdf(t) * _gaussian.second_mills(t))


@law(
    "E = x Φ(t) + s φ(t), t = x/s",
    _RELU + "; the proof's Pr(Y>0) = 1 - Φ(μ/σ) is a slip for Φ(μ/σ)",
    regime="one ReLU, normal noise on its input",
    value="[0, inf]; rises in value value_sigma",
)
def relu_mean(value: Given, value_sigma: Given) -> Floats:
    """Mean of a ReLU whose input carries normal noise.

    >>> round(float(relu_mean(0.04, 0.02)), 6)
    0.04017
    """
    return np.maximum(value, 0.0) + relu_bias(value, value_sigma)


@law(
    "E = a x + (1 - a)(x Φ(t) + s φ(t)), t = x/s",
    _AFTER,
    regime="one leaky ReLU, normal noise on its input",
    value="(-inf, inf); rises in value value_sigma",
)
def leaky_relu_mean(value: Given, negative_slope: Given, value_sigma: Given) -> Floats:
    """Mean of a leaky ReLU whose input carries normal noise.

    Its bias is (1 - a) times :func:`relu_bias`.

    >>> round(float(leaky_relu_mean(0.0, 0.5, 1.0)), 6)
    0.199471
    """
    a, bent = negative_slope, relu_bias(value, value_sigma)
    return np.where(value < 0.0, a, 1.0) * value + (1.0 - a) * bent


@law(
    "E = x Φ(x/r) + (s²/r) φ(x/r), r = √(1 + s²)",
    _AFTER,
    regime=_GELU,
)
def gelu_mean(value: Given, value_sigma: Given) -> Floats:
    """Mean of a GELU whose input carries normal noise.

    >>> round(float(gelu_mean(0.0, 1.0)), 6)
    0.282095
    """
    x, s = np.broadcast_arrays(np.abs(value), value_sigma)
    # The means at x and -x differ by x.
    return np.maximum(value, 0.0) + _gaussian.gelu_below(x, s)


@law(
    "b = x Φ(x/r) + (s²/r) φ(x/r) - x Φ(x), r = √(1 + s²)",
    _AFTER,
    regime=_GELU,
)
def gelu_bias(value: Given, value_sigma: Given) -> Floats:
    """Mean of a GELU under noise, minus the GELU of the mean.

    Even in x; (s²/2)(2 - x²) φ(x) for small noise, hence negative for x beyond √2.

    >>> print(f"{gelu_bias(0.0, 1e-3):.6g}")
    3.98942e-07
    """
    x, s = np.broadcast_arrays(np.abs(value), value_sigma)
    # Noise spreads φ by less than eight in the exponent.
    near = (s <= 1.0) & (np.minimum(x, 1e100) * s < 4.0)
    return by_region(
        (x, s),
        (near, _gaussian.gelu_heat),
        (~near, lambda x, s: _gaussian.gelu_below(x, s) + x * special.ndtr(-x)),
    )


@law(
    "E = E tanh(D/2), D ~ N(m, s²)",
    "derived here, after SND 2022, Example 2",
    regime="softmax of two logits whose difference is normal",
    value="[-1, 1]; rises in margin",
)
def two_class_margin(margin: Given, margin_sigma: Given) -> Floats:
    """Mean difference of two softmax probabilities of noisy logits.

    >>> round(float(two_class_margin(1.0, 0.8)), 6)
    0.414085
    """
    s, size = margin_sigma, np.minimum(np.abs(margin), 1e300)
    far = (size > 9.0 * s) | (s == 0.0)
    regions, below = [], np.zeros(s.shape, dtype=bool)
    # The narrower the noise, the fewer nodes.
    for top in (1.0, 2.0, 4.0):
        inside = (s <= top) & ~below
        regions += [(inside & ~far, _gaussian.tanh_near(top))]
        regions += [(inside & far, _gaussian.tanh_far(top))]
        below = s <= top
    regions += [(~below & np.ones_like(far), _gaussian.tanh_wide)]
    return np.sign(margin) * by_region((size, s), *regions)


@law(
    "E = min(m, m₂) - s_R (φ(t) - |t| Φ(-|t|)), t = (m - m₂)/s_R",
    "Clark 1961, the mean of the greater of two normals; rearranged",
    regime="three logits, jointly normal noise of mean zero",
    value="(-inf, inf); rises in margin second_margin; falls in rivals_sigma",
)
def three_class_margin(
    margin: Given, second_margin: Given, rivals_sigma: Given
) -> Floats:
    """Mean margin of one logit over the better of two rivals, under noise.

    Always below the clean margin: the maximum favours the luckier rival.

    >>> round(float(three_class_margin(0.4, 0.4, 1.0)), 6)
    0.001058
    """
    luck = relu_bias(margin - second_margin, rivals_sigma)
    return np.minimum(margin, second_margin) - luck


@law(
    "E = F + 2σ (φ(t) - t Φ(-t)), t = F/σ",
    _PRACTICAL,
    regime="exact without a ceiling; with one at 1, for 1 - F some σ or more",
    value="[0, inf]; rises in output sigma",
)
def reflected_mean(output: Given, sigma: Given) -> Floats:
    """Mean of a noisy output that is reflected at zero.

    >>> round(float(reflected_mean(3e-4, 0.01)), 6)
    0.007982
    """
    return output + 2.0 * relu_bias(output, sigma)


@law(
    "E = F + b(F) - b(1-F), b(F) = σ (φ(F/σ) - (F/σ) Φ(-F/σ))",
    _PRACTICAL,
    regime="normal noise, then clipping to [0, 1]",
    domain={"output": "[0, 1]"},
    value="[0, 1]; rises in output",
)
def clipped_mean(output: Given, sigma: Given) -> Floats:
    """Mean of a noisy probability that is clipped to [0, 1].

    >>> round(float(clipped_mean(0.0, 0.1)), 6)
    0.039894
    """
    return by_region(
        (output, sigma),
        (sigma > 0.5, _gaussian.clipped_wide),
        (sigma <= 0.5, lambda f, s: f + relu_bias(f, s) - relu_bias(1.0 - f, s)),
    )
