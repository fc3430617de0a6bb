"""Noisy hard labels near the decision boundary: how often they flip, what probes see.

The information in one noisy label is in
:func:`querytax.theory.floors.hard_label_information`. Each function raises
``DomainError``, naming the parameter, for an argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory import _gaussian
from querytax.theory._floats import Floats, by_region, floats, ratio, square
from querytax.theory.law import law

__all__ = [
    "band_flip",
    "flip",
    "flip_rate",
    "hopskipjump_cost",
    "hopskipjump_gain",
    "log_flip",
    "net_loss",
    "scaled_noise_flip",
]

_MARGIN = "m, noiseless margin of the label, its unit, finite"
_SIGMA = "s, standard deviation of the noise on the margin, its unit, (0, inf)"
_LINEAR = "two classes, margin linear over the noise (s = σG), normal noise"
_SMALL = "leading term for noise small against the scale on which the density varies"
_PROBE = "δ, standard deviation of the probe on each input, input, (0, inf)"
_INPUT = "σ, standard deviation of the noise on each input, input, (0, inf)"
_OFFSET = "m, distance from the boundary, input, finite"
_FORMS = ("arcsine", "uniform", "bell", "constant")


def _scaled(margin: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """|m|/s."""
    return ratio(
        np.abs(floats(expect.finite(margin=margin))), expect.positive(sigma=sigma)
    )


@law(
    formula="P = Φ(-|m|/s)",
    latex=r"P = \Phi(-|m|/s)",
    symbols={"margin": _MARGIN, "sigma": _SIGMA},
    regime=_LINEAR,
    source="derived here for SND 2022, P_mis; RFD 2024, eq. (9), with one noise draw",
)
def flip(margin: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Probability that noise changes one label.

    Parameters
    ----------
    margin : array_like
        Noiseless margin m; its sign does not matter.
    sigma : array_like
        Standard deviation s of the noise on the margin, in (0, inf).

    Examples
    --------
    >>> round(float(flip(1.0, 1.0)), 6)
    0.158655
    """
    return special.ndtr(-_scaled(margin, sigma))


@law(
    formula="ln P = ln Φ(-|m|/s)",
    latex=r"\ln P = \ln\Phi(-|m|/s)",
    symbols={"margin": _MARGIN, "sigma": _SIGMA},
    regime=_LINEAR,
    source="derived here for SND 2022, P_mis; RFD 2024, eq. (9), with one noise draw",
)
def log_flip(margin: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Logarithm of :func:`flip`, where the probability underflows.

    Parameters
    ----------
    margin : array_like
        Noiseless margin m; its sign does not matter.
    sigma : array_like
        Standard deviation s of the noise on the margin, in (0, inf).

    Examples
    --------
    >>> round(float(log_flip(100.0, 1.0)), 2)
    -5005.52
    """
    return special.log_ndtr(-_scaled(margin, sigma))


@law(
    formula="P = (φ(0) - φ(z) + z Φ(-z))/z, z = w/s",
    latex=r"P = \frac{\varphi(0) - \varphi(z) + z\,\Phi(-z)}{z},\qquad z = w/s",
    symbols={
        "width": "w, width of the band of margins [0, w], margin's unit, (0, inf)",
        "sigma": _SIGMA,
    },
    regime="margins uniform over the band; " + _LINEAR,
    source="derived here for SND 2022, P_mis",
)
def band_flip(width: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Share of labels that noise changes among margins spread over a band.

    Parameters
    ----------
    width : array_like
        Width w of the band next to the boundary, in (0, inf).
    sigma : array_like
        Standard deviation s of the noise on the margin, in (0, inf).

    Examples
    --------
    >>> round(float(band_flip(1.47, 1.0)), 4)
    0.25
    """
    width, sigma = expect.positive(width=width), expect.positive(sigma=sigma)
    z, inverse = np.minimum(ratio(width, sigma), 50.0), ratio(sigma, width)
    near = special.ndtr(-z) - np.expm1(-0.5 * z * z) / np.maximum(
        _gaussian.ROOT2PI * z, 1e-300
    )
    return np.where(z < 50.0, near, inverse / _gaussian.ROOT2PI)[()]


@law(
    formula="P = √(2/π) p s",
    latex=r"P = \sqrt{2/\pi}\; p(0)\, s",
    symbols={
        "density": "p, density of signed margins at 0, per margin unit, [0, inf)",
        "sigma": _SIGMA,
    },
    regime=_SMALL + "; " + _LINEAR,
    source="derived here for SND 2022, P_mis",
)
def flip_rate(density: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Share of labels that weak noise changes: linear in the noise.

    Parameters
    ----------
    density : array_like
        Density p of the signed margins at the boundary, in [0, inf).
    sigma : array_like
        Standard deviation s of the noise on the margin, in (0, inf).

    Examples
    --------
    >>> round(float(flip_rate(2.51, 0.001)), 4)
    0.002
    """
    p = floats(expect.nonnegative(density=density))
    return np.sqrt(2.0 / np.pi) * p * floats(expect.positive(sigma=sigma))


@law(
    formula="D = p' s²/2",
    latex=r"D = \tfrac{1}{2}\, p'(0)\, s^2",
    symbols={
        "density_slope": "p', slope of the density of signed margins at 0, positive "
        "where right labels are the more common, per squared margin unit, finite",
        "sigma": _SIGMA,
    },
    regime=_SMALL + "; " + _LINEAR,
    source="derived here for SND 2022 and RFD 2024, eq. (14)",
)
def net_loss(density_slope: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Accuracy that weak noise costs: quadratic in the noise.

    Flips of right and of wrong labels cancel at first order.

    Parameters
    ----------
    density_slope : array_like
        Slope p' of the density of signed margins at the boundary, finite.
    sigma : array_like
        Standard deviation s of the noise on the margin, in (0, inf).

    Examples
    --------
    >>> round(float(net_loss(0.5, 0.2)), 9)
    0.01
    """
    slope = floats(expect.finite(density_slope=density_slope))
    return 0.5 * slope * square(expect.positive(sigma=sigma))


@law(
    formula="g = √(2/π) (δ/S) exp(-m²/(2S²)), S² = δ² + σ²",
    latex=r"g = \sqrt{\frac{2}{\pi}}\,\frac{\delta}{S}\,e^{-m^2/(2S^2)},\qquad "
    r"S^2 = \delta^2 + \sigma^2",
    symbols={"probe": _PROBE, "sigma": _INPUT, "margin": _OFFSET},
    regime="margin linear over probe and noise, u ~ N(0, I); unit-norm probes of "
    "length ℓ have δ = ℓ/√d for many dimensions",
    source="derived here for SND 2022, Sec. 3.3, on decision-based attacks",
)
def hopskipjump_gain(
    probe: npt.ArrayLike, sigma: npt.ArrayLike, margin: npt.ArrayLike = 0.0
) -> Floats:
    """Length of the mean of ``sign(label) u``, which points along the gradient.

    Parameters
    ----------
    probe : array_like
        Standard deviation δ of the probe on each input, in (0, inf).
    sigma : array_like
        Standard deviation of the defence's noise on each input, in (0, inf).
    margin : array_like
        Distance m of the probed point from the boundary; its sign does not matter.

    Examples
    --------
    >>> round(float(hopskipjump_gain(1.0, 3.0)), 5)
    0.25231
    """
    delta = floats(expect.positive(probe=probe))
    noise = floats(expect.positive(sigma=sigma))
    distance = np.abs(floats(expect.finite(margin=margin)))
    both = np.hypot(delta, noise)
    bell = np.exp(-0.5 * square(ratio(distance, both)))
    return np.sqrt(2.0 / np.pi) * (delta / both) * bell


@law(
    formula="R = (g_0²/g_σ²) Φ(y)Φ(-y)/(Φ(x)Φ(-x)), x = m/δ, y = m/√(δ² + σ²), "
    "g_0²/g_σ² = (1 + σ²/δ²) exp(y² - x²)",
    latex=r"R = \left(1 + \frac{\sigma^2}{\delta^2}\right) "
    r"\frac{e^{y^2}\,\Phi(y)\,\Phi(-y)}{e^{x^2}\,\Phi(x)\,\Phi(-x)},\qquad "
    r"x = \frac{m}{\delta},\quad y = \frac{m}{\sqrt{\delta^2 + \sigma^2}}",
    symbols={"probe": _PROBE, "sigma": _INPUT, "margin": _OFFSET},
    regime="many dimensions and labels, their mean subtracted; margin linear over "
    "probe and noise, u ~ N(0, I)",
    source="derived here for SND 2022, Sec. 3.3, on decision-based attacks",
)
def hopskipjump_cost(
    probe: npt.ArrayLike, sigma: npt.ArrayLike, margin: npt.ArrayLike = 0.0
) -> Floats:
    """Labels for one direction estimate with noise over those without.

    Below 1 far from the boundary: where probes never change the label, noise does.

    Parameters
    ----------
    probe : array_like
        Standard deviation δ of the probe on each input, in (0, inf).
    sigma : array_like
        Standard deviation of the defence's noise on each input, in (0, inf).
    margin : array_like
        Distance m of the probed point from the boundary; its sign does not matter.

    Notes
    -----
    The estimate is the mean of (label - mean label) u. Along the gradient it is
    :func:`hopskipjump_gain`; elsewhere each label adds the variance of a label,
    4Φ(m/S)Φ(-m/S), which is why probes from a point off the boundary are centred.

    Examples
    --------
    >>> round(float(hopskipjump_cost(1.0, 3.0)), 9)
    10.0
    >>> round(float(hopskipjump_cost(1.0, 1.0, 1.5)), 4)
    1.2869
    """
    delta = floats(expect.positive(probe=probe))
    noise = floats(expect.positive(sigma=sigma))
    # Beyond 1e150 only the exponential counts, and squares would leave the floats.
    x = np.minimum(ratio(np.abs(floats(expect.finite(margin=margin))), delta), 1e150)
    both = np.hypot(delta, noise)
    y = x * (delta / both)
    # e^(y²/2) Φ(-y) = erfcx(y/√2)/2, of x the same.
    tails = special.erfcx(y / np.sqrt(2.0)) / special.erfcx(x / np.sqrt(2.0))
    others = special.ndtr(y) / special.ndtr(x)
    gain = 2.0 * np.log(np.hypot(1.0, ratio(noise, delta)))
    with np.errstate(over="ignore"):
        cost = np.exp(gain - 0.5 * square(x * (noise / both)))
    return cost * (tails * others)


@law(
    formula="P = E Φ(-|m|/(k s)), k ~ Beta(a, a)",
    latex=r"P = \mathbb{E}\,\Phi\left(-\frac{|m|}{k s}\right),\qquad "
    r"k \sim \mathrm{Beta}(a, a)",
    symbols={
        "margin": _MARGIN,
        "sigma": _SIGMA,
        "form": "law of the scale k on [0, 1], mean 1/2: 'arcsine' (a = 1/2), "
        "'uniform' (a = 1), 'bell' (a = 2), 'constant' (k = 1/2)",
    },
    regime=_LINEAR + ", its scale drawn afresh for each answer",
    source="derived here for SND 2022, Sec. 4.7",
)
def scaled_noise_flip(
    margin: npt.ArrayLike, sigma: npt.ArrayLike, form: str = "uniform"
) -> Floats:
    """Probability that noise of random scale changes one label.

    From a margin of √2 s on the order is arcsine, uniform, bell, constant, the
    greatest first; next to the boundary it is reversed.

    Parameters
    ----------
    margin : array_like
        Noiseless margin m; its sign does not matter.
    sigma : array_like
        Standard deviation s of the noise on the margin at full scale, in (0, inf).
    form : {"arcsine", "uniform", "bell", "constant"}
        Law of the scale.

    Examples
    --------
    >>> round(float(scaled_noise_flip(0.5, 1.0, "bell")), 6)
    0.147397
    """
    expect.one_of(_FORMS, form=form)
    a = np.minimum(_scaled(margin, sigma), 1e100)
    if form == "constant":
        return special.ndtr(-2.0 * a)
    near, far = _gaussian.SCALED[form]
    # Rounding may lift it above a half.
    return np.minimum(by_region((a,), (a < 1.5, near), (a >= 1.5, far)), 0.5)
