"""Noise whose scale is drawn as well: for each answer anew, from a list or a Beta law.

Any noise of finite variance averages at the rate 1/n; the law of the scale changes the
constant alone, and in the attacker's favour: among answers of many scales some have
hardly any noise, and a median weighs these more than a mean does. Scales of a list
stand on the last axis. One noisy answer against a settled one, or a label, is
:func:`querytax.theory.boundary.scaled_noise_flip`. Each function raises
``DomainError``, naming the parameter, for an argument outside its stated range.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory._floats import Array, Floats, by_region, floats, ratio
from querytax.theory.law import law
from querytax.theory.snr import output as _of_output

__all__ = [
    "beta_median_gain",
    "beta_snr",
    "beta_wrong_sign",
    "information",
    "median_gain",
    "snr",
    "wrong_sign",
]

_CHANGE = "E[ΔF²], mean square change of the output, its unit², [0, inf)"
_GAP = "|ΔF|, change of the output over the comparison, its unit, (0, inf)"
_FULL = "σ, standard deviation of the noise at full scale, output unit, (0, inf)"
_SHAPE = "a, of the scale's law Beta(a, a) on [0, 1], ratio, (0, inf)"
_LIST = {
    "sigma": "σ_i on the last axis, standard deviations, output unit, (0, inf)",
    "weight": "w_i on the last axis, their chances up to a factor, (0, inf)",
}
_TABLES = {"sigma": 1, "weight": 1}
_NORMAL = "exact: normal noise, its scale drawn for each answer"
_BETA = "derived here for SND 2022, Sec. 4.7"
_MIXED = "derived here for Output Randomization 2020, appendix, on mixtures"
_SHAPES = {"arcsine": 0.5, "uniform": 1.0, "bell": 2.0}


@law(
    formula="S = E[ΔF²] (2a + 1)/((a + 1) σ²)",
    latex=r"S = \frac{\mathbb{E}[\Delta F^2]}{2\sigma^2\,\mathbb{E}[k^2]},\qquad "
    r"\mathbb{E}[k^2] = \frac{a + 1}{2(2a + 1)}",
    symbols={
        "delta_ms": _CHANGE,
        "sigma": _FULL,
        "shape": _SHAPE,
    },
    regime="exact second moments; consequences need averages of many answers",
    source=_BETA,
)
def beta_snr(
    delta_ms: npt.ArrayLike, sigma: npt.ArrayLike, shape: npt.ArrayLike
) -> Floats:
    """Decision SNR of two answers under noise whose scale follows a Beta law.

    Parameters
    ----------
    delta_ms : array_like
        Second moment of the noiseless change, in [0, inf).
    sigma : array_like
        Standard deviation of the noise at scale 1, in (0, inf); the mean scale is 1/2.
    shape : array_like
        Shape a of Beta(a, a), in (0, inf): 1 for an even scale.

    Examples
    --------
    >>> round(float(beta_snr(0.02, 0.3, 1.0)), 9)
    0.333333333
    """
    a = floats(expect.positive(shape=shape))
    # 2 (2a + 1)/(a + 1), in steps that do not overflow.
    inverse = 2.0 * (1.0 + a / (a + 1.0))
    with np.errstate(over="ignore"):
        return inverse * _of_output(delta_ms, sigma)


@law(
    formula="((a + 1)/(2a + 1)) ((2a - 1)/(a - 1))²/π; infinite for a of at most 1",
    latex=r"\frac{2}{\pi}\,\mathbb{E}[k^2]\,\mathbb{E}[1/k]^2 = "
    r"\frac{1}{\pi}\,\frac{a + 1}{2a + 1}\left(\frac{2a - 1}{a - 1}\right)^2",
    symbols={"shape": _SHAPE},
    regime="many answers to each question; normal noise, its scale drawn for each",
    source=_BETA + "; variance of the mean over that of the median",
)
def beta_median_gain(shape: npt.ArrayLike) -> Floats:
    """How many times more answers a mean needs than a median, for a Beta scale.

    For a of at most 1 it grows without end as more answers are asked: scales near zero
    come so often that the density of the noise is infinite at zero.

    Parameters
    ----------
    shape : array_like
        Shape a of Beta(a, a), in (0, inf).

    Examples
    --------
    >>> round(float(beta_median_gain(2.0)), 4), float(beta_median_gain(1.0))
    (1.7189, inf)
    """
    a = floats(expect.positive(shape=shape))
    beyond = np.where(a > 1.0, a - 1.0, 1.0)
    square = 0.5 * (1.0 + 1.0 / (2.0 * np.minimum(a, 1e300) + 1.0))
    finite = square * np.square(2.0 + 1.0 / beyond) / np.pi
    return np.where(a > 1.0, finite, np.inf)[()]


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
    formula="P = E Φ(-|ΔF|/(σ√(k² + k'²))), k and k' ~ Beta(a, a)",
    latex=r"P = \mathbb{E}\,\Phi\left(-\frac{|\Delta F|}{\sigma\sqrt{k^2 + k'^2}}"
    r"\right),\qquad k, k' \sim \mathrm{Beta}(a, a)",
    symbols={
        "gap": _GAP,
        "sigma": _FULL,
        "form": "law of the scale k on [0, 1], mean 1/2: 'uniform' (a = 1), "
        "'arcsine' (a = 1/2), 'bell' (a = 2), 'constant' (k = 1/2)",
    },
    regime=_NORMAL,
    source=_BETA + "; of two answers, where boundary.scaled_noise_flip is of one",
)
def beta_wrong_sign(
    gap: npt.ArrayLike, sigma: npt.ArrayLike, form: str = "uniform"
) -> Floats:
    """Probability that two answers, each of a noise of random scale, mislead.

    Parameters
    ----------
    gap : array_like
        Size |ΔF| of the noiseless change, in (0, inf).
    sigma : array_like
        Standard deviation of the noise at full scale, in (0, inf).
    form : {"uniform", "arcsine", "bell", "constant"}
        Law of the scale.

    Examples
    --------
    >>> round(float(beta_wrong_sign(0.5, 1.0, "bell")), 6)
    0.235663
    """
    expect.one_of((*_SHAPES, "constant"), form=form)
    width = ratio(expect.positive(gap=gap), expect.positive(sigma=sigma))
    a = floats(np.minimum(width, 1e100))
    if form == "constant":
        return special.ndtr(-np.sqrt(2.0) * a)
    scale, weight = _scales(_SHAPES[form])

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
    return np.minimum(
        by_region((a,), (a < 60.0, mean), (a >= 60.0, np.zeros_like)), 0.5
    )


# --- Scales of a list ----------------------------------------------------------------


def _listed(sigma: npt.ArrayLike, weight: npt.ArrayLike) -> tuple[Array, Array]:
    """Scales and chances, on one last axis."""
    s = np.atleast_1d(floats(expect.positive(sigma=sigma)))
    w = np.atleast_1d(floats(expect.positive(weight=weight)))
    s, w = np.broadcast_arrays(s, w)
    w = w / w.max(axis=-1, keepdims=True)
    return s, w / w.sum(axis=-1, keepdims=True)


def _close(value: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether numbers on the last axis lie within a factor of 1e6; NaN may."""
    table = np.atleast_1d(floats(value))
    far = table.max(axis=-1) > 1e6 * table.min(axis=-1)
    return np.asarray(~far)[..., None]


def _deviation(s: Array, w: Array) -> Array:
    """Root of the mean square scale."""
    top = s.max(axis=-1)
    return top * np.sqrt((w * np.square(s / top[..., None])).sum(axis=-1))


@law(
    formula="S = E[ΔF²]/(2 Σ w_i σ_i²)",
    latex=r"S = \frac{\mathbb{E}[\Delta F^2]}{2\sum_i w_i\sigma_i^2}",
    symbols={"delta_ms": _CHANGE, **_LIST},
    regime="exact second moments; consequences need averages of many answers",
    source=_MIXED,
    tables=_TABLES,
)
def snr(delta_ms: npt.ArrayLike, sigma: npt.ArrayLike, weight: npt.ArrayLike) -> Floats:
    """Decision SNR of two answers under a mixture of normal noises.

    Parameters
    ----------
    delta_ms : array_like
        Second moment of the noiseless change, in [0, inf).
    sigma, weight : array_like
        Standard deviations on the last axis, and how often each is drawn.

    Examples
    --------
    >>> round(float(snr(0.02, [0.1, 0.3], [1, 1])), 9)
    0.2
    """
    return _of_output(delta_ms, _deviation(*_listed(sigma, weight)))


@law(
    formula="P = Σ_ij w_i w_j Φ(-|ΔF|/√(σ_i² + σ_j²))",
    latex=r"P = \sum_{i,j} w_i w_j\,\Phi\left(-\frac{|\Delta F|}"
    r"{\sqrt{\sigma_i^2 + \sigma_j^2}}\right)",
    symbols={"gap": _GAP, **_LIST},
    regime=_NORMAL,
    source=_MIXED,
    tables=_TABLES,
)
def wrong_sign(
    gap: npt.ArrayLike, sigma: npt.ArrayLike, weight: npt.ArrayLike
) -> Floats:
    """Probability that two answers under a mixture of normal noises mislead.

    Parameters
    ----------
    gap : array_like
        Size |ΔF| of the noiseless change, in (0, inf).
    sigma, weight : array_like
        Standard deviations on the last axis, and how often each is drawn.

    Examples
    --------
    >>> round(float(wrong_sign(0.1, [0.1, 0.3], [1, 1])), 6)
    0.349603
    """
    change = floats(expect.positive(gap=gap))[..., None, None]
    s, w = _listed(sigma, weight)
    both = np.hypot(s[..., :, None], s[..., None, :])
    chance = w[..., :, None] * w[..., None, :]
    # Rounding may lift it above a half.
    total = (chance * special.ndtr(-ratio(change, both))).sum(axis=(-2, -1))
    return np.minimum(total, 0.5)


@law(
    formula="(2/π) (Σ w_i σ_i²) (Σ w_i/σ_i)²",
    latex=r"\frac{2}{\pi}\left(\sum_i w_i\sigma_i^2\right)"
    r"\left(\sum_i \frac{w_i}{\sigma_i}\right)^2",
    symbols=dict(_LIST),
    regime="many answers to each question; normal noise, its scale drawn for each",
    source=_MIXED + "; variance of the mean over that of the median",
    tables=_TABLES,
)
def median_gain(sigma: npt.ArrayLike, weight: npt.ArrayLike) -> Floats:
    """How many times more answers a mean needs than a median.

    2/π for one scale, where the mean is the better; above 1 for scales that differ
    much.

    Parameters
    ----------
    sigma, weight : array_like
        Standard deviations on the last axis, and how often each is drawn.

    Examples
    --------
    >>> round(float(median_gain([0.1, 1.0], [1, 1])), 4)
    9.7252
    """
    s, w = _listed(sigma, weight)
    least = s.min(axis=-1, keepdims=True)
    inverse = (w * (least / s)).sum(axis=-1)
    with np.errstate(over="ignore"):
        return (2.0 / np.pi) * np.square(inverse * (_deviation(s, w) / least[..., 0]))


@law(
    formula="J = (Σ w_i σ_i²) ∫ f'²/f, f = Σ w_i φ(x/σ_i)/σ_i",
    latex=r"J = \Big(\sum_i w_i\sigma_i^2\Big)\int \frac{f'(x)^2}{f(x)}\,dx,\qquad "
    r"f(x) = \sum_i \frac{w_i}{\sigma_i}\,\varphi\Big(\frac{x}{\sigma_i}\Big)",
    symbols=dict(_LIST),
    regime="many answers to each question; normal noise, its scale drawn for each",
    source=_MIXED,
    limits={
        "scales within a factor of 1e6": lambda sigma: _close(sigma),
        "weights within a factor of 1e6": lambda weight: _close(weight),
    },
    tables=_TABLES,
)
def information(sigma: npt.ArrayLike, weight: npt.ArrayLike) -> Floats:
    """How many times more answers a mean needs than the best estimate.

    The Fisher information of one answer over that under one normal noise of the same
    variance: at least 1, and at most the mean of the square scale times that of its
    inverse, which is what an attacker who saw each answer's scale would have.

    Parameters
    ----------
    sigma, weight : array_like
        Standard deviations on the last axis, and how often each is drawn.

    Examples
    --------
    >>> round(float(information([0.1, 1.0], [1, 1])), 3)
    17.438
    """
    s, w = _listed(sigma, weight)
    least = s.min(axis=-1, keepdims=True)
    s = s / least
    # In the log of x by even steps: from where x³ is nothing to where φ is.
    step, span = 0.01, np.log(np.minimum(s.max(), 1e6))
    x = np.exp(np.arange(-13.0, span + 2.4, step))
    exponent = np.log(w / s)[..., None, :] - 0.5 * np.square(
        x[:, None] / s[..., None, :]
    )
    top = exponent.max(axis=-1, keepdims=True)
    part = np.exp(exponent - top)
    mass = part.sum(axis=-1)
    slope = (part / np.square(s)[..., None, :]).sum(axis=-1) / mass
    density = mass * np.exp(top[..., 0]) / np.sqrt(2.0 * np.pi)
    told = 2.0 * step * (np.square(x * slope) * density * x).sum(axis=-1)
    return np.square(_deviation(s, w)) * told
