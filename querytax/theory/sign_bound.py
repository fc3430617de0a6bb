"""How often noise may flip the sign of a loss difference, for every Lipschitz loss.

Two queries f(x' + σv') and f(x + σv) are compared, each the mean of M repeats. These
are worst cases; :mod:`~querytax.theory.misstep` has the linear loss exactly. Where
there is no difference to be seen, a sign says nothing, with noise or without.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax.theory.law import Given, law
from querytax.theory.numerics.floats import Floats, ratio, square
from querytax.theory.relations import log_of
from querytax.theory.smoothing import mean_norm, smooth_gap

_EVERY = "every L-Lipschitz loss, fresh normal noise on every query"
_SIGN = "the sign of the noiseless difference"


def _scaled(gap: Floats, lipschitz: Floats, sigma: Floats) -> Floats:
    """A difference in units of L σ; none is 0 even without noise."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        unit = lipschitz * sigma
        # One division for two, where the product stays within the floats.
        if np.all((unit > 1e-290) & (unit < 1e290)):
            return ratio(gap, unit)
        return np.where(gap > 0.0, ratio(ratio(gap, lipschitz), sigma), 0.0)[()]


@law(
    "P <= min{1, 2 L σ κ_d/ΔF}",
    "RND 2021, Theorem 3; sharpened from √d to κ_d",
    regime=_EVERY,
    kind="bound",
    value="[0, 1]; rises in lipschitz dimension sigma; falls in gap",
)
def markov(gap: Given, lipschitz: Given, sigma: Given, dimension: Given) -> Floats:
    """Bound on a flipped sign by Markov's inequality; 1 for most directions.

    >>> round(float(markov(2.1 * 3072**0.5, 1.0, 1.0, 3072)), 4)
    0.9523
    """
    moved = ratio(2.0 * mean_norm(dimension), _scaled(gap, lipschitz, sigma))
    return np.minimum(1.0, moved)


@law(
    "q = 2 Φ(-2 (σ/μ) κ_d)",
    "derived here for RND 2021, Theorem 3",
    regime="linear losses of slope L, probes u ~ N(0, I)",
    value="[0, 1]; rises in probe; falls in dimension sigma",
)
def markov_share(probe: Given, sigma: Given, dimension: Given) -> Floats:
    """Share of random directions about which :func:`markov` says anything.

    >>> round(float(markov_share(0.01, 6.085e-5, 3072)), 3)
    0.5
    """
    return special.erfc(np.sqrt(2.0) * ratio(sigma, probe) * mean_norm(dimension))


@law(
    "σ/μ = -Φ⁻¹(q/2)/(2 κ_d)",
    "derived here for RND 2021, Theorem 3; the inverse of sign_bound.markov_share",
    regime="linear losses of slope L, u ~ N(0, I)",
    value="[0, inf]; falls in dimension direction_share",
)
def markov_noise_ratio(dimension: Given, direction_share: Given = 0.5) -> Floats:
    """Noise over probe below which :func:`markov` says something.

    >>> round(float(markov_noise_ratio(3072)), 4)
    0.0061
    """
    return -special.ndtri(0.5 * direction_share) / (2.0 * mean_norm(dimension))


def _log_concentration(
    gap: Floats, lipschitz: Floats, sigma: Floats, dimension: Floats, repeats: Floats
) -> Floats:
    gap = _scaled(gap, lipschitz, sigma)
    over = np.maximum(gap - 2.0 * mean_norm(dimension), 0.0)
    return 0.0 - square(np.minimum(over, 1e300) * (0.5 * np.sqrt(repeats)))


@law(
    "P <= exp(-M ((ΔF - 2 L σ κ_d)_+)²/(4 L² σ²))",
    "derived here (Gaussian concentration) in place of RND 2021, Theorem 3",
    regime=f"{_EVERY}; below its threshold some losses flip nearly always",
    kind="bound",
    value="[0, 1]; rises in lipschitz dimension sigma; falls in gap repeats",
)
def concentration(
    gap: Given, lipschitz: Given, sigma: Given, dimension: Given, repeats: Given = 1
) -> Floats:
    """Bound on a flipped sign past what smoothing alone may bridge.

    The measured difference is a function of 2Md normal values with Lipschitz constant
    √(2/M) L σ, and its mean lies within 2 L σ κ_d of ΔF.

    >>> print(f"{concentration(2.1 * 3072**0.5, 1.0, 1.0, 3072):.1e}")
    4.5e-04
    """
    return np.exp(_log_concentration(gap, lipschitz, sigma, dimension, repeats))


log_concentration = log_of(concentration, _log_concentration)


def _log_smoothed(
    smoothed_gap: Floats, lipschitz: Floats, sigma: Floats, repeats: Floats
) -> Floats:
    scaled = 0.5 * _scaled(smoothed_gap, lipschitz, sigma)
    return 0.0 - square(ratio(scaled, 1.0 / np.sqrt(repeats)))


@law(
    "P <= exp(-M ΔF̄²/(4 L² σ²))",
    "derived here (Gaussian concentration) in place of RND 2021, Theorem 3",
    regime=f"{_EVERY}; ΔF̄ with {_SIGN}; any dimension",
    kind="bound",
    value="[0, 1]; rises in lipschitz sigma; falls in smoothed_gap repeats",
)
def smoothed(
    smoothed_gap: Given, lipschitz: Given, sigma: Given, repeats: Given = 1
) -> Floats:
    """Bound on a sign against that of the smoothed loss, at any dimension.

    >>> round(float(smoothed(2.0, 1.0, 1.0)), 4)
    0.3679
    """
    return np.exp(_log_smoothed(smoothed_gap, lipschitz, sigma, repeats))


log_smoothed = log_of(smoothed, _log_smoothed)


def _quantile(
    median_gap: Floats, lipschitz: Floats, sigma: Floats, repeats: Floats
) -> Floats:
    return -ratio(_scaled(median_gap, lipschitz, sigma), np.sqrt(2.0 / repeats))


@law(
    "P <= Φ(-ΔF½ √M/(√2 L σ))",
    "derived here (Gaussian isoperimetry) in place of RND 2021, Theorem 3",
    regime=f"{_EVERY}; median with {_SIGN}; linear losses attain it; any dimension",
    kind="bound",
    value="[0, 1/2]; rises in lipschitz sigma; falls in median_gap repeats",
)
def isoperimetric(
    median_gap: Given, lipschitz: Given, sigma: Given, repeats: Given = 1
) -> Floats:
    """Sharp bound on a sign against that of the median measured difference.

    >>> round(float(isoperimetric(2.0, 1.0, 1.0)), 4)
    0.0786
    """
    return special.ndtr(_quantile(median_gap, lipschitz, sigma, repeats))


log_isoperimetric = log_of(
    isoperimetric, lambda **given: special.log_ndtr(_quantile(**given))
)


@law(
    "|ΔF̄ - ΔF| <= min{2 sup|f_σ - f|, K σ κ_d D, 2 L D}",
    "derived here",
    regime="every such loss; sup|f_σ - f| is smoothing.smooth_gap",
    kind="bound",
    value="[0, inf]; rises in separation lipschitz smoothness dimension sigma",
)
def smoothing_shift(
    separation: Given,
    lipschitz: Given,
    smoothness: Given,
    sigma: Given,
    dimension: Given,
) -> Floats:
    """Largest change that smoothing makes to a difference of the loss.

    Where it is below ΔF, both differences have one sign, and :func:`smoothed` at
    ΔF less this shift bounds the flips.

    >>> round(float(smoothing_shift(0.01, 4.0, 1.0, 0.05, 3072)), 5)
    0.02771
    """
    two = 2.0 * smooth_gap(lipschitz, smoothness, sigma, dimension)
    with np.errstate(over="ignore"):
        bent = np.minimum(smoothness, 1e300) * sigma * mean_norm(dimension)
        moved = np.minimum(bent, 2.0 * lipschitz) * separation
    return np.minimum(two, moved)
