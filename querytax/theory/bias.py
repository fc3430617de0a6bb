"""What averaging noisy answers converges to: the mean, and its distance from clean.

Noise with mean zero shifts the mean of everything that is not affine. Each function
raises ``DomainError``, naming the parameter, for an argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory import _gaussian
from querytax.theory._floats import Array, Floats, by_region, floats, ratio
from querytax.theory.law import law

__all__ = [
    "clipped_mean",
    "gelu_bias",
    "gelu_mean",
    "leaky_relu_mean",
    "reflected_mean",
    "relu_bias",
    "relu_mean",
    "three_class_margin",
    "two_class_margin",
]

_MEAN = "m, noiseless value before the activation, its unit, finite"
_SIGMA = "s, standard deviation of the noise on that value, its unit, (0, inf)"
_OUTPUT_SIGMA = (
    "σ, standard deviation of the noise on the output, probability, (0, inf)"
)
_RELU = "SND 2022, eqs. (5)-(9); rearranged so that no digit cancels"


def _scaled(mean: npt.ArrayLike, sigma: npt.ArrayLike) -> Array:
    """|m|/s, at most 1e100, where every normal tail has vanished."""
    size = np.abs(floats(expect.finite(mean=mean)))
    return np.minimum(ratio(size, expect.positive(sigma=sigma)), 1e100)


@law(
    formula="b = s (φ(t) - |t| Φ(-|t|)), t = m/s",
    latex=r"b = s\left(\varphi(t) - |t|\,\Phi(-|t|)\right),\qquad t = m/s",
    symbols={"mean": _MEAN, "sigma": _SIGMA},
    regime="exact: one ReLU, normal noise on its input",
    source=_RELU,
)
def relu_bias(mean: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Mean of a ReLU under noise, minus the ReLU of the mean.

    Largest at the kink, where it is s/√(2π); s φ(t)/t² far from it, on both sides.

    Parameters
    ----------
    mean : array_like
        Noiseless input m of the activation, finite.
    sigma : array_like
        Standard deviation s of the noise on it, in (0, inf).

    Examples
    --------
    >>> round(float(relu_bias(0.0, 1.0)), 6)
    0.398942
    """
    t = _scaled(mean, sigma)
    return floats(sigma) * (_gaussian.pdf(t) * _gaussian.second_mills(t))


@law(
    formula="E = m Φ(t) + s φ(t), t = m/s",
    latex=r"\mathbb{E} = m\,\Phi(t) + s\,\varphi(t),\qquad t = m/s",
    symbols={"mean": _MEAN, "sigma": _SIGMA},
    regime="exact: one ReLU, normal noise on its input",
    source=_RELU + "; the proof's Pr(Y>0) = 1 - Φ(μ/σ) is a slip for Φ(μ/σ)",
)
def relu_mean(mean: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Mean of a ReLU whose input carries normal noise.

    Parameters
    ----------
    mean : array_like
        Noiseless input m of the activation, finite.
    sigma : array_like
        Standard deviation s of the noise on it, in (0, inf).

    Examples
    --------
    >>> round(float(relu_mean(0.04, 0.02)), 6)
    0.04017
    """
    m = floats(expect.finite(mean=mean))
    return np.maximum(m, 0.0) + relu_bias(m, sigma)


@law(
    formula="E = a m + (1 - a)(m Φ(t) + s φ(t)), t = m/s",
    latex=r"\mathbb{E} = a m + (1 - a)\left(m\,\Phi(t) + s\,\varphi(t)\right)",
    symbols={
        "mean": _MEAN,
        "sigma": _SIGMA,
        "slope": "a, slope below zero, ratio, [0, 1]",
    },
    regime="exact: one leaky ReLU, normal noise on its input",
    source="derived here, after SND 2022, eq. (9)",
)
def leaky_relu_mean(
    mean: npt.ArrayLike, sigma: npt.ArrayLike, slope: npt.ArrayLike
) -> Floats:
    """Mean of a leaky ReLU whose input carries normal noise.

    Its bias is (1 - a) times :func:`relu_bias`.

    Parameters
    ----------
    mean : array_like
        Noiseless input m of the activation, finite.
    sigma : array_like
        Standard deviation s of the noise on it, in (0, inf).
    slope : array_like
        Slope a below zero, in [0, 1].

    Examples
    --------
    >>> round(float(leaky_relu_mean(0.0, 1.0, 0.5)), 6)
    0.199471
    """
    a, m = floats(expect.unit(slope=slope)), floats(expect.finite(mean=mean))
    return np.where(m < 0.0, a, 1.0) * m + (1.0 - a) * relu_bias(mean, sigma)


@law(
    formula="E = m Φ(m/r) + (s²/r) φ(m/r), r = √(1 + s²)",
    latex=r"\mathbb{E} = m\,\Phi(m/r) + \frac{s^2}{r}\,\varphi(m/r),\qquad "
    r"r = \sqrt{1 + s^2}",
    symbols={"mean": _MEAN, "sigma": _SIGMA},
    regime="exact: one GELU x Φ(x), not its tanh approximation, normal noise",
    source="derived here, after SND 2022, eq. (9)",
)
def gelu_mean(mean: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Mean of a GELU whose input carries normal noise.

    Parameters
    ----------
    mean : array_like
        Noiseless input m of the activation, finite.
    sigma : array_like
        Standard deviation s of the noise on it, in (0, inf).

    Examples
    --------
    >>> round(float(gelu_mean(0.0, 1.0)), 6)
    0.282095
    """
    m, x, s = _gelu_arguments(mean, sigma)
    # E GELU(m) - E GELU(-m) = m
    return np.maximum(m, 0.0) + _gaussian.gelu_below(x, s)


def _gelu_arguments(
    mean: npt.ArrayLike, sigma: npt.ArrayLike
) -> tuple[Array, Array, Array]:
    m = floats(expect.finite(mean=mean))
    m, s = np.broadcast_arrays(m, floats(expect.positive(sigma=sigma)))
    return m, np.abs(m), s


@law(
    formula="b = m Φ(m/r) + (s²/r) φ(m/r) - m Φ(m), r = √(1 + s²)",
    latex=r"b = m\left(\Phi(m/r) - \Phi(m)\right) + \frac{s^2}{r}\,\varphi(m/r)",
    symbols={"mean": _MEAN, "sigma": _SIGMA},
    regime="exact: one GELU x Φ(x), not its tanh approximation, normal noise",
    source="derived here, after SND 2022, eq. (9)",
)
def gelu_bias(mean: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Mean of a GELU under noise, minus the GELU of the mean.

    Even in the mean; (s²/2)(2 - m²) φ(m) for small noise, hence negative for m
    beyond √2.

    Parameters
    ----------
    mean : array_like
        Noiseless input m of the activation, finite.
    sigma : array_like
        Standard deviation s of the noise on it, in (0, inf).

    Examples
    --------
    >>> print(f"{gelu_bias(0.0, 1e-3):.6g}")
    3.98942e-07
    """
    _, x, s = _gelu_arguments(mean, sigma)
    # Noise spreads φ by less than eight in the exponent.
    near = (s <= 1.0) & (np.minimum(x, 1e100) * s < 4.0)
    return by_region(
        (x, s),
        (near, _gaussian.gelu_heat),
        (~near, lambda x, s: _gaussian.gelu_below(x, s) + x * special.ndtr(-x)),
    )


# --- Outputs and margins ----------------------------------------------------------


@law(
    formula="E tanh(D/2), D ~ N(m, s²)",
    latex=r"\mathbb{E}\tanh(D/2),\qquad D \sim \mathcal{N}(m, s^2)",
    symbols={
        "margin": "m, noiseless difference of the two logits, logit, finite",
        "sigma": "s, standard deviation of the noise on it, logit, (0, inf)",
    },
    regime="exact: softmax of two logits whose difference is normal",
    source="derived here, after SND 2022, Example 2",
)
def two_class_margin(margin: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Mean difference of two softmax probabilities when their logits carry noise.

    Parameters
    ----------
    margin : array_like
        Noiseless difference m of the two logits, finite.
    sigma : array_like
        Standard deviation s of the noise on the difference, in (0, inf); √2 times
        that of each logit when they are independent.

    Examples
    --------
    >>> round(float(two_class_margin(1.0, 0.8)), 6)
    0.414085
    """
    m = floats(expect.finite(margin=margin))
    s = floats(expect.positive(sigma=sigma))
    size = np.minimum(np.abs(m), 1e300)
    regions, below, far = [], np.zeros(s.shape, dtype=bool), size > 9.0 * s
    # The narrower the noise, the fewer nodes.
    for top in (1.0, 2.0, 4.0):
        inside = (s <= top) & ~below
        regions += [(inside & ~far, _gaussian.tanh_near(top))]
        regions += [(inside & far, _gaussian.tanh_far(top))]
        below = s <= top
    regions += [(~below & np.ones_like(far), _gaussian.tanh_wide)]
    return np.sign(m) * by_region((size, s), *regions)


@law(
    formula="E = min(δ₁, δ₂) - θ (φ(t) - |t| Φ(-|t|)), t = (δ₁ - δ₂)/θ",
    latex=r"\mathbb{E} = \min(\delta_1, \delta_2) - \theta\left(\varphi(t) - "
    r"|t|\,\Phi(-|t|)\right),\qquad t = \frac{\delta_1 - \delta_2}{\theta}",
    symbols={
        "margin": "δ₁, noiseless logit over the first rival's, logit, finite",
        "other_margin": "δ₂, the same over the second rival's, logit, finite",
        "sigma": "θ, standard deviation of the difference of the two rivals' logits, "
        "logit, (0, inf)",
    },
    regime="exact: three logits, jointly normal noise of mean zero",
    source="Clark 1961, the mean of the greater of two normals; rearranged",
)
def three_class_margin(
    margin: npt.ArrayLike, other_margin: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Mean margin of one logit over the better of two rivals, under noise.

    Always below the clean margin: the maximum favours the luckier rival.

    Parameters
    ----------
    margin, other_margin : array_like
        Noiseless logit minus each rival's, finite.
    sigma : array_like
        Standard deviation θ of the difference of the rivals' logits, in (0, inf);
        √2 times that of each logit when they are independent.

    Examples
    --------
    >>> round(float(three_class_margin(0.4, 0.4, 1.0)), 6)
    0.001058
    """
    first = floats(expect.finite(margin=margin))
    second = floats(expect.finite(other_margin=other_margin))
    return np.minimum(first, second) - relu_bias(first - second, sigma)


@law(
    formula="E|F+v| = F + 2σ (φ(t) - t Φ(-t)), t = F/σ",
    latex=r"\mathbb{E}|F + v| = \sigma\sqrt{2/\pi}\,e^{-t^2/2} + "
    r"F \operatorname{erf}(t/\sqrt{2}),\qquad t = F/\sigma",
    symbols={
        "output": "F, noiseless output, probability, [0, inf)",
        "sigma": _OUTPUT_SIGMA,
    },
    regime="exact without a ceiling; with one at 1, for 1 - F some σ or more",
    source="derived here for the practical noise of Aithal & Li 2022, Sec. IV-B",
)
def reflected_mean(output: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Mean of a noisy output that is reflected at zero.

    Parameters
    ----------
    output : array_like
        Noiseless output F, in [0, inf).
    sigma : array_like
        Standard deviation of its noise, in (0, inf).

    Examples
    --------
    >>> round(float(reflected_mean(3e-4, 0.01)), 6)
    0.007982
    """
    return floats(expect.nonnegative(output=output)) + 2.0 * relu_bias(output, sigma)


@law(
    formula="E = F + b(F) - b(1-F), b(F) = σ (φ(F/σ) - (F/σ) Φ(-F/σ))",
    latex=r"\mathbb{E} = \int_0^1 \Phi\left(\frac{F - y}{\sigma}\right) dy",
    symbols={
        "output": "F, noiseless output, probability, [0, 1]",
        "sigma": _OUTPUT_SIGMA,
    },
    regime="exact: normal noise, then clipping to [0, 1]",
    source="derived here for the practical noise of Aithal & Li 2022, Sec. IV-B",
)
def clipped_mean(output: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Mean of a noisy probability that is clipped to [0, 1].

    Parameters
    ----------
    output : array_like
        Noiseless output F, in [0, 1].
    sigma : array_like
        Standard deviation of its noise, in (0, inf).

    Examples
    --------
    >>> round(float(clipped_mean(0.0, 0.1)), 6)
    0.039894
    """
    f = floats(expect.unit(output=output))
    s = floats(expect.positive(sigma=sigma))
    return by_region(
        (f, s),
        (s > 0.5, _gaussian.clipped_wide),
        (s <= 0.5, lambda f, s: f + relu_bias(f, s) - relu_bias(1.0 - f, s)),
    )
