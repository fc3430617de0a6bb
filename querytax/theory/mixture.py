"""Noise whose scale is drawn as well: for each answer anew, from a list or a Beta law.

Any noise of finite variance averages at the rate 1/n; the law of the scale changes the
constant alone, and in the attacker's favour: among answers of many scales some have
hardly any noise, and a median weighs these more than a mean does. For one noisy answer
against a settled one, or a label: :func:`querytax.theory.boundary.scaled_noise_flip`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax.theory.law import Given, law
from querytax.theory.numerics.floats import Array, Floats, by_region, ratio
from querytax.theory.snr import output as _of_output

_BETA = "derived here for SND 2022, Sec. 4.7"
_MIXED = "derived here for Output Randomization 2020, appendix, on mixtures"
_NORMAL = "normal noise, its scale drawn for each answer"
_AVERAGED = "exact second moments; what follows from S needs averages of many answers"
_MANY = f"exact in the limit of many answers to each question; {_NORMAL}"
_SHAPES = {"arcsine": 0.5, "uniform": 1.0, "bell": 2.0}


@law(
    "E[k^j] = Π_{i<j} (a + i)/(2a + i), k ~ Beta(a, a)",
    _BETA,
    value="[0, 1/2]; falls in shape order",
)
def beta_moment(shape: Given, order: Given) -> Floats:
    """Moment of a noise scale that follows a Beta law on [0, 1].

    The mean is 1/2; the mean square, (a + 1)/(4a + 2), is what averages suffer from.

    >>> [float(beta_moment(1.0, order)) for order in (1, 2, 3)]
    [0.5, 0.3333333333333333, 0.25]
    """
    i = np.arange(60.0)
    factors = 1.0 / (1.0 + shape[..., None] / (shape[..., None] + i))
    return np.where(i < order[..., None], factors, 1.0).prod(axis=-1)


@law(
    "S = Δ² (2a + 1)/((a + 1) σ²)",
    _BETA,
    regime=_AVERAGED,
    value="[0, inf]; rises in delta_ms shape; falls in sigma",
)
def beta_snr(delta_ms: Given, sigma: Given, shape: Given) -> Floats:
    """Decision SNR of two answers whose noise has a scale by a Beta law.

    >>> round(float(beta_snr(0.02, 0.3, 1.0)), 9)
    0.333333333
    """
    # 2 (2a + 1)/(a + 1), in steps that do not overflow.
    inverse = 2.0 * (1.0 + shape / (shape + 1.0))
    with np.errstate(over="ignore"):
        return inverse * _of_output(delta_ms, sigma)


@law(
    "((a + 1)/(2a + 1)) ((2a - 1)/(a - 1))²/π; infinite for a of at most 1",
    _BETA + "; variance of the mean over that of the median",
    regime=_MANY,
    value="[0, inf]; falls in shape",
)
def beta_median_gain(shape: Given) -> Floats:
    """How many times the answers a mean needs of a median's, Beta scale.

    For a of at most 1 it grows without end as more answers are asked: scales near zero
    come so often that the density of the noise is infinite at zero.

    >>> round(float(beta_median_gain(2.0)), 4), float(beta_median_gain(1.0))
    (1.7189, inf)
    """
    beyond = np.where(shape > 1.0, shape - 1.0, 1.0)
    square = 0.5 * (1.0 + 1.0 / (2.0 * np.minimum(shape, 1e300) + 1.0))
    finite = square * np.square(2.0 + 1.0 / beyond) / np.pi
    return np.where(shape > 1.0, finite, np.inf)[()]


@cache
def _scales(shape: float) -> tuple[Array, Array]:
    """Scales and their weights for a mean over Beta(a, a): k = expit(π sinh t)."""
    step = 0.05
    t = step * np.arange(-80.0, 81.0)
    u = np.pi * np.sinh(t)
    scale = special.expit(u)
    density = np.power(scale * special.expit(-u), shape) / special.beta(shape, shape)
    weight = step * np.pi * np.cosh(t) * density
    kept = weight > 1e-30
    return scale[kept], weight[kept]


@law(
    "P = E Φ(-ΔF/(σ√(k² + k'²))), k and k' ~ Beta(a, a)",
    _BETA + "; of two answers, where boundary.scaled_noise_flip is of one",
    regime=_NORMAL,
    value="[0, 1/2]; rises in sigma; falls in gap",
)
def beta_wrong_sign(gap: Given, sigma: Given, scale_law: str = "uniform") -> Floats:
    """Probability that two answers with noise of random scale mislead.

    >>> round(float(beta_wrong_sign(0.5, 1.0, "bell")), 6)
    0.235663
    """
    a = np.minimum(_relative(gap, sigma), 1e100)
    if scale_law == "constant":
        return special.ndtr(-np.sqrt(2.0) * a)
    scale, weight = _scales(_SHAPES[scale_law])

    def mean(a: Array) -> Array:
        total = np.zeros_like(a)
        for i, (k, w) in enumerate(zip(scale, weight, strict=True)):
            # Each pair of scales once.
            pairs = 2.0 * w * weight[: i + 1]
            pairs[i] *= 0.5
            both = np.hypot(k, scale[: i + 1])
            total += special.ndtr(-a[:, None] / both) @ pairs
        return total

    # Rounding may lift it above a half; beyond 60 nothing is left.
    chance = by_region((a,), (a < 60.0, mean), (a >= 60.0, np.zeros_like))
    return np.minimum(chance, 0.5)


# --- Scales of a list ----------------------------------------------------------------


def _relative(gap: Array, sigma: Array) -> Array:
    """The gap over the noise; a tie stays one without noise."""
    return ratio(gap, np.where(gap > 0.0, sigma, 1.0))


def _listed(sigmas: Array, weights: Array) -> tuple[Array, Array]:
    """Scales and chances, on one last axis."""
    s, w = np.broadcast_arrays(sigmas, weights)
    w = w / w.max(axis=-1, keepdims=True)
    return s, w / w.sum(axis=-1, keepdims=True)


def _close(table: Array) -> npt.NDArray[np.bool_]:
    """Whether numbers on the last axis lie within a factor of 1e6; NaN may."""
    table = np.atleast_1d(np.asarray(table, dtype=float))
    far = table.max(axis=-1) > 1e6 * table.min(axis=-1)
    return np.asarray(~far)[..., None]


def _deviation(s: Array, w: Array) -> Array:
    """Root of the mean square scale."""
    top = s.max(axis=-1)
    unit = np.where(top > 0.0, top, 1.0)[..., None]
    return top * np.sqrt((w * np.square(s / unit)).sum(axis=-1))


@law(
    "S = Δ²/(2 Σ w_i σ_i²), Σ w_i = 1",
    _MIXED,
    regime=_AVERAGED,
    value="[0, inf]",
)
def snr(delta_ms: Given, sigmas: Given, weights: Given) -> Floats:
    """Decision SNR of two answers under a mixture of normal noises.

    >>> round(float(snr(0.02, [0.1, 0.3], [1, 1])), 9)
    0.2
    """
    return _of_output(delta_ms, _deviation(*_listed(sigmas, weights)))


@law(
    "P = Σ_ij w_i w_j Φ(-ΔF/√(σ_i² + σ_j²)), Σ w_i = 1",
    _MIXED,
    regime=_NORMAL,
    value="[0, 1/2]; falls in gap",
)
def wrong_sign(gap: Given, sigmas: Given, weights: Given) -> Floats:
    """Probability that two answers under a mixture of normal noises mislead.

    >>> round(float(wrong_sign(0.1, [0.1, 0.3], [1, 1])), 6)
    0.349603
    """
    s, w = _listed(sigmas, weights)
    both = np.hypot(s[..., :, None], s[..., None, :])
    chance = w[..., :, None] * w[..., None, :]
    tail = special.ndtr(-_relative(gap[..., None, None], both))
    # Rounding may lift it above a half.
    return np.minimum((chance * tail).sum(axis=(-2, -1)), 0.5)


@law(
    "(2/π) (Σ w_i σ_i²) (Σ w_i/σ_i)², Σ w_i = 1",
    _MIXED + "; variance of the mean over that of the median",
    regime=_MANY,
    domain={"sigmas": "(0, inf)"},
    value="[0, inf]",
)
def median_gain(sigmas: Given, weights: Given) -> Floats:
    """How many times the answers a mean needs of a median's.

    2/π for one scale, where the mean is the better; above 1 for scales that differ
    much, and without end for one that goes to 0.

    >>> round(float(median_gain([0.1, 1.0], [1, 1])), 4)
    9.7252
    """
    s, w = _listed(sigmas, weights)
    least = s.min(axis=-1, keepdims=True)
    inverse = (w * (least / s)).sum(axis=-1)
    with np.errstate(over="ignore"):
        return (2.0 / np.pi) * np.square(inverse * (_deviation(s, w) / least[..., 0]))


@law(
    "J = (Σ w_i σ_i²) ∫ f'²/f, f = Σ w_i φ(x/σ_i)/σ_i, Σ w_i = 1",
    _MIXED,
    regime=_MANY,
    limits={
        "scales within a factor of 1e6": lambda sigmas: _close(sigmas),
        "weights within a factor of 1e6": lambda weights: _close(weights),
    },
    domain={"sigmas": "(0, inf)"},
    value="[0, inf]",
)
def information(sigmas: Given, weights: Given) -> Floats:
    """How many times the answers a mean needs of the best estimate's.

    The Fisher information of one answer over that under one normal noise of the same
    variance: at least 1, and at most the mean of the square scale times that of its
    inverse, which is what an attacker who saw each answer's scale would have.

    >>> round(float(information([0.1, 1.0], [1, 1])), 3)
    17.438
    """
    s, w = _listed(sigmas, weights)
    s = s / s.min(axis=-1, keepdims=True)
    # In the log of x by even steps: from where x³ is nothing to where φ is.
    step, span = 0.01, np.log(np.minimum(s.max(), 1e6))
    x = np.exp(np.arange(-13.0, span + 2.4, step))
    y = x[:, None] / s[..., None, :]
    exponent = np.log(w / s)[..., None, :] - 0.5 * np.square(y)
    top = exponent.max(axis=-1, keepdims=True)
    part = np.exp(exponent - top)
    mass = part.sum(axis=-1)
    slope = (part / np.square(s)[..., None, :]).sum(axis=-1) / mass
    density = mass * np.exp(top[..., 0]) / np.sqrt(2.0 * np.pi)
    told = 2.0 * step * (np.square(x * slope) * density * x).sum(axis=-1)
    return np.square(_deviation(s, w)) * told


@law(
    "(Σ w_i σ_i²) (Σ w_i/σ_i²)",
    "derived here; Output Randomization 2020, appendix",
    regime="each answer's scale is told or can be read off",
    value="[1, inf]",
)
def known_scale_gain(sigmas: Given, weights: Given) -> Floats:
    """Queries saved by one who knows each answer's scale and weights it so.

    >>> round(float(known_scale_gain([1.0, 3.0], 1.0)), 4)
    2.7778
    """
    s, w = _listed(sigmas, weights)
    return np.maximum((w * np.square(s)).sum(-1) * (w / np.square(s)).sum(-1), 1.0)
