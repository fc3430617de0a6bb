"""Noisy hard labels near the decision boundary: how often they flip, what probes see.

The information in one noisy label is in
:func:`querytax.theory.floors.hard_label_information`.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax.theory.law import Given, law
from querytax.theory.numerics import gaussian as _gaussian
from querytax.theory.numerics.floats import (
    Array,
    Floats,
    by_region,
    over,
    ratio,
    square,
)
from querytax.theory.relations import log_of

_LINEAR = "two classes, margin linear over the noise (s = σG), normal noise"
_SMALL = "noise small against the scale on which the density varies; " + _LINEAR
_PROBE = "margin linear over probe and noise, u ~ N(0, I)"


def _scaled(margin: Array, margin_sigma: Array) -> Floats:
    """|m|/s."""
    return over(np.abs(margin), margin_sigma)


@law(
    "P = Φ(-|m|/s)",
    "derived here for SND 2022, P_mis; RFD 2024, eq. (9), with one noise draw",
    regime=_LINEAR,
    value="[0, 1/2]; rises in margin_sigma",
)
def flip(margin: Given, margin_sigma: Given) -> Floats:
    """Probability that noise changes one label, s the noise of its margin.

    Where each of two outputs has noise of its own, σ, that of their margin is s = √2 σ;
    :func:`querytax.theory.estimators.outputs_first` takes their gap and σ.

    >>> round(float(flip(1.0, 1.0)), 6)
    0.158655
    """
    return special.ndtr(-_scaled(margin, margin_sigma))


log_flip = log_of(flip, lambda **given: special.log_ndtr(-_scaled(**given)))


@law(
    "P = (φ(0) - φ(z) + z Φ(-z))/z, z = w/s",
    "derived here for SND 2022, P_mis",
    regime="margins uniform over the band; " + _LINEAR,
    value="[0, 1/2]; rises in margin_sigma; falls in width",
)
def band_flip(width: Given, margin_sigma: Given) -> Floats:
    """Share of labels that noise changes among margins spread over a band.

    >>> round(float(band_flip(1.47, 1.0)), 4)
    0.25
    """
    z = np.minimum(ratio(width, margin_sigma), 50.0)
    far = ratio(margin_sigma, width) / _gaussian.ROOT2PI
    fall = -np.expm1(-0.5 * z * z) / np.maximum(_gaussian.ROOT2PI * z, 1e-300)
    return np.where(z < 50.0, special.ndtr(-z) + fall, far)[()]


@law(
    "P = √(2/π) f s",
    "derived here for SND 2022, P_mis",
    regime=_SMALL,
    kind="approximation",
    limits={
        "density * margin_sigma <= 0.1": lambda density, margin_sigma: (
            density * margin_sigma <= 0.1
        )
    },
    value="[0, inf]; rises in density margin_sigma",
)
def flip_rate(density: Given, margin_sigma: Given) -> Floats:
    """Share of labels that weak noise changes: linear in the noise.

    Off by at most √(2/π) max abs(f'') s³/3. For normal margins and f s = 0.1 that is
    2 % where they are centred within half a deviation of the boundary, but 13 % at 1.5
    deviations and half at 2: there the noise itself has to be small against them.

    >>> round(float(flip_rate(2.51, 0.001)), 4)
    0.002
    """
    return np.sqrt(2.0 / np.pi) * density * margin_sigma


def _weak(density_slope: Array, margin_sigma: Array) -> Floats:
    return np.abs(density_slope) * square(margin_sigma) <= 0.03


@law(
    "D = f' s²/2",
    "derived here for SND 2022 and RFD 2024, eq. (14)",
    regime=_SMALL,
    kind="approximation",
    limits={"abs(density_slope) * margin_sigma**2 <= 0.03": _weak},
    value="(-inf, inf); rises in density_slope",
)
def net_loss(density_slope: Given, margin_sigma: Given) -> Floats:
    """Accuracy that weak noise costs: quadratic in the noise.

    Flips of right and of wrong labels cancel at first order. Off by at most
    max abs(f''') s⁴/8. For normal margins and f' s² = 0.03 that is 3 to 6 % where they
    are centred 1 to 2 deviations from the boundary, 12 % at half a deviation and more
    than half at 3: there the noise itself has to be small against them.

    >>> round(float(net_loss(0.5, 0.2)), 9)
    0.01
    """
    return 0.5 * density_slope * square(margin_sigma)


@law(
    "g = √(2/π) (μ/T) exp(-m²/(2T²)), T² = μ² + σ²",
    "derived here for SND 2022, Sec. 3.3, on decision-based attacks",
    regime=_PROBE,
    value="[0, 0.8]",
)
def hopskipjump_gain(probe: Given, sigma: Given, offset: Given = 0.0) -> Floats:
    """Length of the mean of ``sign(label) u``, which points along the gradient.

    Probes of unit norm and length l have μ = l/√d for many dimensions.

    >>> round(float(hopskipjump_gain(1.0, 3.0)), 5)
    0.25231
    """
    both = np.hypot(probe, sigma)
    bell = np.exp(-0.5 * square(ratio(np.abs(offset), both)))
    return np.sqrt(2.0 / np.pi) * (probe / both) * bell


@law(
    "R = (1 + σ²/μ²) exp(y² - x²) Φ(y)Φ(-y)/(Φ(x)Φ(-x)), x = m/μ, y = m/√(μ² + σ²)",
    "derived here for SND 2022, Sec. 3.3, on decision-based attacks",
    regime="many dimensions and labels, their mean subtracted; " + _PROBE,
    value="[0, inf]",
)
def hopskipjump_cost(probe: Given, sigma: Given, offset: Given = 0.0) -> Floats:
    """Labels for one direction estimate with noise over those without.

    Below 1 far from the boundary: where probes never change the label, noise does.

    The estimate is the mean of (label - mean label) u. Along the gradient it is
    :func:`hopskipjump_gain`; elsewhere each label adds the variance of a label,
    4Φ(y)Φ(-y), which is why probes from a point off the boundary are centred.

    >>> round(float(hopskipjump_cost(1.0, 3.0)), 9)
    10.0
    >>> round(float(hopskipjump_cost(1.0, 1.0, 1.5)), 4)
    1.2869
    """
    # Beyond 1e150 only the exponential counts, and squares would leave the floats.
    x = np.minimum(ratio(np.abs(offset), probe), 1e150)
    both = np.hypot(probe, sigma)
    y = x * (probe / both)
    # e^(y²/2) Φ(-y) = erfcx(y/√2)/2, of x the same.
    tails = special.erfcx(y / np.sqrt(2.0)) / special.erfcx(x / np.sqrt(2.0))
    others = special.ndtr(y) / special.ndtr(x)
    gain = 2.0 * np.log(np.hypot(1.0, ratio(sigma, probe)))
    with np.errstate(over="ignore"):
        cost = np.exp(gain - 0.5 * square(x * (sigma / both)))
    return cost * (tails * others)


@law(
    "P = E Φ(-|m|/(k s)), k ~ Beta(a, a)",
    "derived here for SND 2022, Sec. 4.7",
    regime=_LINEAR + ", its scale drawn afresh for each answer",
    value="[0, 1/2]; rises in margin_sigma",
)
def scaled_noise_flip(
    margin: Given, margin_sigma: Given, scale_law: str = "uniform"
) -> Floats:
    """Probability that noise of random scale changes one label.

    From a margin of √2 s on the order is arcsine, uniform, bell, constant, the
    greatest first; next to the boundary it is reversed.

    >>> round(float(scaled_noise_flip(0.5, 1.0, "bell")), 6)
    0.147397
    """
    a = np.minimum(_scaled(margin, margin_sigma), 1e100)
    if scale_law == "constant":
        return special.ndtr(-2.0 * a)
    near, far = _gaussian.SCALED[scale_law]
    # Rounding may lift it above a half.
    return np.minimum(by_region((a,), (a < 1.5, near), (a >= 1.5, far)), 0.5)
