"""How often noise may flip the sign of a loss difference, for every Lipschitz loss.

Two queries f(x' + σv') and f(x + σv) are compared, each the mean of M repeats. These
are worst cases; :mod:`~querytax.theory.misstep` has the linear loss exactly. Each
function raises ``DomainError``, naming the parameter, for an argument outside its
stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory._floats import Floats, floats, ratio, square
from querytax.theory.law import law
from querytax.theory.smoothing import mean_norm, smooth_gap

__all__ = [
    "concentration",
    "isoperimetric",
    "log_concentration",
    "log_isoperimetric",
    "log_smoothed",
    "markov",
    "markov_noise_ratio",
    "markov_share",
    "smoothed",
    "smoothing_shift",
]

_DIFFERENCE = "|h|, noiseless difference of the loss, output unit, (0, inf)"
_SMOOTHED = "|h̄|, difference of the loss smoothed by the noise, output, [0, inf)"
_MEDIAN = "|m|, median of the measured difference, output unit, [0, inf)"
_LIPSCHITZ = "L, Lipschitz constant of f, output per unit of input, (0, inf)"
_DIMENSION = "d, dimension of the input, count, [1, inf)"
_PROBE = "μ, standard deviation of the probe on each input, input unit, (0, inf)"
_SIGMA = "σ, standard deviation of the noise on each input, input unit, (0, inf)"
_REPEATS = "M, repeats of every query, averaged, count, [1, inf)"
_BOUND = "bound for every L-Lipschitz loss, fresh normal noise on every query"
_SIGN = "the sign of the noiseless difference"


def _scaled(
    difference: Floats, lipschitz: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """A difference in units of L σ."""
    slope = floats(expect.positive(lipschitz=lipschitz))
    nu = floats(expect.positive(sigma=sigma))
    with np.errstate(over="ignore", under="ignore"):
        unit = slope * nu
    # One division for two, where the product stays within the floats.
    if np.all((unit > 1e-290) & (unit < 1e290)):
        return ratio(difference, unit)
    return ratio(ratio(difference, slope), nu)


@law(
    formula="P <= min{1, 2 L σ κ_d/|h|}",
    latex=r"P \le \min\left\{1, \frac{2 L \sigma \kappa_d}{|h|}\right\}",
    symbols={
        "difference": _DIFFERENCE,
        "lipschitz": _LIPSCHITZ,
        "dimension": _DIMENSION,
        "sigma": _SIGMA,
    },
    regime=_BOUND,
    source="RND 2021, Theorem 3; sharpened from √d to κ_d",
)
def markov(
    difference: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    dimension: npt.ArrayLike,
    sigma: npt.ArrayLike,
) -> Floats:
    """Bound on a flipped sign by Markov's inequality; 1 for most directions.

    Parameters
    ----------
    difference : array_like
        Size of the noiseless difference |h|, in (0, inf).
    lipschitz : array_like
        Lipschitz constant L of the loss, in (0, inf).
    dimension : array_like of int
        Dimension d of the input.
    sigma : array_like
        Standard deviation of the noise on each input, in (0, inf).

    Examples
    --------
    >>> round(float(markov(2.1 * 3072**0.5, 1.0, 3072, 1.0)), 4)
    0.9523
    """
    h = expect.positive(difference=difference)
    return np.minimum(
        1.0, ratio(2.0 * mean_norm(dimension), _scaled(h, lipschitz, sigma))
    )


@law(
    formula="share = 2 Φ(-2 (σ/μ) κ_d)",
    latex=r"\operatorname{share} = 2\,\Phi\left(-2\kappa_d\,\frac{\sigma}{\mu}\right)",
    symbols={"dimension": _DIMENSION, "probe": _PROBE, "sigma": _SIGMA},
    regime="exact: linear losses of slope L, probes u ~ N(0, I)",
    source="derived here for RND 2021, Theorem 3",
)
def markov_share(
    dimension: npt.ArrayLike, probe: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Share of random directions about which :func:`markov` says anything.

    Parameters
    ----------
    dimension : array_like of int
        Dimension d of the input.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.

    Examples
    --------
    >>> round(float(markov_share(3072, 0.01, 6.085e-5)), 3)
    0.5
    """
    alpha = ratio(expect.positive(sigma=sigma), expect.positive(probe=probe))
    return special.erfc(np.sqrt(2.0) * alpha * mean_norm(dimension))


@law(
    formula="σ/μ = -Φ⁻¹(share/2)/(2 κ_d)",
    latex=r"\frac{\sigma}{\mu} = \frac{-\Phi^{-1}(\operatorname{share}/2)}{2\kappa_d}",
    symbols={
        "dimension": _DIMENSION,
        "share": "share of directions, probability, (0, 1)",
    },
    regime="linear losses of slope L, u ~ N(0, I)",
    source="derived here for RND 2021, Theorem 3; the inverse of markov_share",
)
def markov_noise_ratio(dimension: npt.ArrayLike, share: npt.ArrayLike = 0.5) -> Floats:
    """Noise over probe below which :func:`markov` says something of that share.

    Parameters
    ----------
    dimension : array_like of int
        Dimension d of the input.
    share : array_like
        Share of the directions, in (0, 1); a half for the median one.

    Examples
    --------
    >>> round(float(markov_noise_ratio(3072)), 4)
    0.0061
    """
    some = floats(expect.probability(share=share))
    return -special.ndtri(0.5 * some) / (2.0 * mean_norm(dimension))


def _log_concentration(
    difference: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    dimension: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike,
) -> Floats:
    h = _scaled(floats(expect.positive(difference=difference)), lipschitz, sigma)
    over = np.maximum(h - 2.0 * mean_norm(dimension), 0.0)
    m = floats(expect.integer(repeats=repeats))
    return 0.0 - square(np.minimum(over, 1e300) * (0.5 * np.sqrt(m)))


@law(
    formula="P <= exp(-M ((|h| - 2 L σ κ_d)_+)²/(4 L² σ²))",
    latex=r"P \le \exp\left(-\frac{M\left(|h| - 2 L\sigma\kappa_d\right)_+^2}"
    r"{4 L^2\sigma^2}\right)",
    symbols={
        "difference": _DIFFERENCE,
        "lipschitz": _LIPSCHITZ,
        "dimension": _DIMENSION,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
    },
    regime=f"{_BOUND}; below its threshold some losses flip nearly always",
    source="derived here (Gaussian concentration) in place of RND 2021, Theorem 3",
)
def concentration(
    difference: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    dimension: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Bound on a flipped sign past the threshold that smoothing alone may bridge.

    Parameters
    ----------
    difference : array_like
        Size of the noiseless difference |h|, in (0, inf).
    lipschitz : array_like
        Lipschitz constant L of the loss, in (0, inf).
    dimension : array_like of int
        Dimension d of the input.
    sigma : array_like
        Standard deviation of the noise on each input, in (0, inf).
    repeats : array_like of int
        Repeats M of every query, averaged.

    Notes
    -----
    The measured difference is a function of 2Md normal values with Lipschitz constant
    √(2/M) L σ, and its mean lies within 2 L σ κ_d of h.

    Examples
    --------
    >>> print(f"{concentration(2.1 * 3072**0.5, 1.0, 3072, 1.0):.1e}")
    4.5e-04
    """
    return np.exp(_log_concentration(difference, lipschitz, dimension, sigma, repeats))


@law(
    formula="ln P <= -M ((|h| - 2 L σ κ_d)_+)²/(4 L² σ²)",
    latex=r"\ln P \le -\frac{M\left(|h| - 2 L\sigma\kappa_d\right)_+^2}"
    r"{4 L^2\sigma^2}",
    symbols={
        "difference": _DIFFERENCE,
        "lipschitz": _LIPSCHITZ,
        "dimension": _DIMENSION,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
    },
    regime=f"{_BOUND}; below its threshold some losses flip nearly always",
    source="derived here (Gaussian concentration) in place of RND 2021, Theorem 3",
)
def log_concentration(
    difference: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    dimension: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Logarithm of :func:`concentration`, where the probability underflows.

    Parameters
    ----------
    difference : array_like
        Size of the noiseless difference |h|, in (0, inf).
    lipschitz : array_like
        Lipschitz constant L of the loss, in (0, inf).
    dimension : array_like of int
        Dimension d of the input.
    sigma : array_like
        Standard deviation of the noise on each input, in (0, inf).
    repeats : array_like of int
        Repeats M of every query, averaged.

    Examples
    --------
    >>> round(float(log_concentration(2.5 * 3072**0.5, 1.0, 3072, 1.0)), 1)
    -192.1
    """
    return _log_concentration(difference, lipschitz, dimension, sigma, repeats)


def _log_smoothed(
    smoothed_difference: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike,
) -> Floats:
    h = expect.nonnegative(smoothed_difference=smoothed_difference)
    m = floats(expect.integer(repeats=repeats))
    scaled = 0.5 * _scaled(floats(h), lipschitz, sigma)
    return 0.0 - square(ratio(scaled, 1.0 / np.sqrt(m)))


@law(
    formula="P <= exp(-M h̄²/(4 L² σ²))",
    latex=r"P \le \exp\left(-\frac{M \bar h^2}{4 L^2\sigma^2}\right)",
    symbols={
        "smoothed_difference": _SMOOTHED,
        "lipschitz": _LIPSCHITZ,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
    },
    regime=f"{_BOUND}; h̄ with {_SIGN}; any dimension",
    source="derived here (Gaussian concentration) in place of RND 2021, Theorem 3",
)
def smoothed(
    smoothed_difference: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Bound on a sign against that of the smoothed loss: dimension has no part in it.

    Parameters
    ----------
    smoothed_difference : array_like
        Size |h̄| of the mean of the measured difference, in [0, inf).
    lipschitz : array_like
        Lipschitz constant L of the loss, in (0, inf).
    sigma : array_like
        Standard deviation of the noise on each input, in (0, inf).
    repeats : array_like of int
        Repeats M of every query, averaged.

    Examples
    --------
    >>> round(float(smoothed(2.0, 1.0, 1.0)), 4)
    0.3679
    """
    return np.exp(_log_smoothed(smoothed_difference, lipschitz, sigma, repeats))


@law(
    formula="ln P <= -M h̄²/(4 L² σ²)",
    latex=r"\ln P \le -\frac{M \bar h^2}{4 L^2\sigma^2}",
    symbols={
        "smoothed_difference": _SMOOTHED,
        "lipschitz": _LIPSCHITZ,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
    },
    regime=f"{_BOUND}; h̄ with {_SIGN}; any dimension",
    source="derived here (Gaussian concentration) in place of RND 2021, Theorem 3",
)
def log_smoothed(
    smoothed_difference: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Logarithm of :func:`smoothed`, where the probability underflows.

    Parameters
    ----------
    smoothed_difference : array_like
        Size |h̄| of the mean of the measured difference, in [0, inf).
    lipschitz : array_like
        Lipschitz constant L of the loss, in (0, inf).
    sigma : array_like
        Standard deviation of the noise on each input, in (0, inf).
    repeats : array_like of int
        Repeats M of every query, averaged.

    Examples
    --------
    >>> float(log_smoothed(200.0, 1.0, 1.0))
    -10000.0
    """
    return _log_smoothed(smoothed_difference, lipschitz, sigma, repeats)


def _quantile(
    median: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike,
) -> Floats:
    middle = _scaled(floats(expect.nonnegative(median=median)), lipschitz, sigma)
    return -ratio(middle, np.sqrt(2.0 / floats(expect.integer(repeats=repeats))))


@law(
    formula="P <= Φ(-|m| √M/(√2 L σ))",
    latex=r"P \le \Phi\left(-\frac{|m|\sqrt{M}}{\sqrt{2}\,L\sigma}\right)",
    symbols={
        "median": _MEDIAN,
        "lipschitz": _LIPSCHITZ,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
    },
    regime=f"{_BOUND}; median with {_SIGN}; linear losses attain it; any dimension",
    source="derived here (Gaussian isoperimetry) in place of RND 2021, Theorem 3",
)
def isoperimetric(
    median: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Sharp bound on a sign against that of the median of the measured difference.

    Parameters
    ----------
    median : array_like
        Size |m| of the measured difference's median, in [0, inf).
    lipschitz : array_like
        Lipschitz constant L of the loss, in (0, inf).
    sigma : array_like
        Standard deviation of the noise on each input, in (0, inf).
    repeats : array_like of int
        Repeats M of every query, averaged; the median is that of the averages.

    Examples
    --------
    >>> round(float(isoperimetric(2.0, 1.0, 1.0)), 4)
    0.0786
    """
    return special.ndtr(_quantile(median, lipschitz, sigma, repeats))


@law(
    formula="ln P <= ln Φ(-|m| √M/(√2 L σ))",
    latex=r"\ln P \le \ln\Phi\left(-\frac{|m|\sqrt{M}}{\sqrt{2}\,L\sigma}\right)",
    symbols={
        "median": _MEDIAN,
        "lipschitz": _LIPSCHITZ,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
    },
    regime=f"{_BOUND}; median with {_SIGN}; linear losses attain it; any dimension",
    source="derived here (Gaussian isoperimetry) in place of RND 2021, Theorem 3",
)
def log_isoperimetric(
    median: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Logarithm of :func:`isoperimetric`, where the probability underflows.

    Parameters
    ----------
    median : array_like
        Size |m| of the measured difference's median, in [0, inf).
    lipschitz : array_like
        Lipschitz constant L of the loss, in (0, inf).
    sigma : array_like
        Standard deviation of the noise on each input, in (0, inf).
    repeats : array_like of int
        Repeats M of every query, averaged; the median is that of the averages.

    Examples
    --------
    >>> round(float(log_isoperimetric(200.0, 1.0, 1.0)), 2)
    -10005.87
    """
    return special.log_ndtr(_quantile(median, lipschitz, sigma, repeats))


@law(
    formula="|h̄ - h| <= min{2 sup|f_σ - f|, K σ κ_d D, 2 L D}",
    latex=r"|\bar h - h| \le \min\left\{2\sup|f_\sigma - f|,\, K\sigma\kappa_d D,\, "
    r"2 L D\right\}",
    symbols={
        "displacement": "D, distance of the two inputs, input unit, [0, inf)",
        "lipschitz": _LIPSCHITZ,
        "smoothness": "K, Lipschitz constant of the gradient, output per input², "
        "[0, inf]",
        "dimension": _DIMENSION,
        "sigma": _SIGMA,
    },
    regime="bound for every such loss; sup|f_σ - f| is smoothing.smooth_gap",
    source="derived here",
)
def smoothing_shift(
    displacement: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    smoothness: npt.ArrayLike,
    dimension: npt.ArrayLike,
    sigma: npt.ArrayLike,
) -> Floats:
    """Largest change that smoothing makes to a difference of the loss.

    Where it is below |h|, both differences have one sign, and :func:`smoothed` at
    |h| less this shift bounds the flips.

    Parameters
    ----------
    displacement : array_like
        Distance D of the two inputs, in [0, inf).
    lipschitz, smoothness : array_like
        Lipschitz constants of the loss, in (0, inf), and of its gradient, in [0, inf].
    dimension : array_like of int
        Dimension d of the input.
    sigma : array_like
        Standard deviation of the noise on each input, in (0, inf).

    Examples
    --------
    >>> round(float(smoothing_shift(0.01, 4.0, 1.0, 3072, 0.05)), 5)
    0.02771
    """
    far = floats(expect.nonnegative(displacement=displacement))
    slope = floats(expect.positive(lipschitz=lipschitz))
    own = np.minimum(expect.unbounded(smoothness=smoothness), 1e300)
    two = 2.0 * smooth_gap(slope, smoothness, dimension, sigma)
    with np.errstate(over="ignore"):
        bent = own * floats(sigma) * mean_norm(dimension)
    return np.minimum(two, np.minimum(bent, 2.0 * slope) * far)
