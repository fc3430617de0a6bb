"""How far a function moves when its input is smoothed by normal noise."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import polynomial
from scipy import special

from querytax.theory.law import Given, law
from querytax.theory.numerics.floats import Array, Floats, by_region, ratio, square

_MOST, _LEAST = np.finfo(float).max, 5e-324
# A constant function is a Lipschitz one.
_FLAT = {"lipschitz": "[0, inf)"}

# Γ(n+½)/Γ(n) = √n Σ c_k n^-k
_GAMMA_RATIO = (
    1.0,
    -1.0 / 8.0,
    1.0 / 128.0,
    5.0 / 1024.0,
    -21.0 / 32768.0,
    -399.0 / 262144.0,
    869.0 / 4194304.0,
    39325.0 / 33554432.0,
)


def _by_gamma(d: Array) -> Array:
    return np.sqrt(2.0) * special.gamma(0.5 * (d + 1.0)) / special.gamma(0.5 * d)


def _by_series(d: Array) -> Array:
    return np.sqrt(d) * polynomial.polyval(2.0 / d, _GAMMA_RATIO)


@law(
    "κ = √2 Γ((d+1)/2)/Γ(d/2)",
    "derived here; √d in RND 2021, Remark 1, is its upper bound",
    value="[0, inf]; rises in dimension",
)
def mean_norm(dimension: Given) -> Floats:
    """Mean Euclidean norm of standard normal noise: √d (1 - 1/(4d) + ...).

    >>> round(float(mean_norm(3072)), 5)
    55.42112
    """
    small = dimension < 64.0
    return by_region((dimension,), (small, _by_gamma), (~small, _by_series))


@law(
    "sup |f_σ - f| = σ L κ_d",
    "RND 2021, Remark 1; sharpened from √d to κ_d",
    regime="every L-Lipschitz f; attained by L‖y - x‖ at x",
    kind="bound",
    domain=_FLAT,
    value="[0, inf]; rises in lipschitz sigma dimension",
)
def smoothing_gap(lipschitz: Given, sigma: Given, dimension: Given) -> Floats:
    """Largest distance between a function and its mean under input noise.

    >>> round(float(smoothing_gap(1.0, 0.01, 3072)), 6)
    0.554211
    """
    return lipschitz * (sigma * mean_norm(dimension))


@law(
    "sup |f_{μ,σ} - f_σ| = L κ_d (√(μ² + σ²) - σ)",
    "RND 2021, Remark 1, first bound μ L √d; sharpened (Wasserstein distance)",
    regime="every L-Lipschitz f; attained by L‖y - x‖ at x",
    kind="bound",
    domain=_FLAT,
    value="[0, inf]; rises in lipschitz probe dimension; falls in sigma",
)
def probe_gap(lipschitz: Given, probe: Given, sigma: Given, dimension: Given) -> Floats:
    """Largest distance that normal probes add to the smoothing by the noise.

    >>> round(float(probe_gap(1.0, 0.01, 0.02, 3072)), 5)
    0.13083
    """
    added = probe * (probe / (np.hypot(probe, sigma) + sigma))
    return lipschitz * mean_norm(dimension) * added


@law(
    "f_σ - f = σ² c d/2, c = tr H/d",
    "SND 2022, Example 1; RND 2021, Remark 1; RFD 2024, Assumption 1 has 0",
    regime="quadratics; a bound where c is the gradient's Lipschitz constant",
    value="(-inf, inf); rises in mean_curvature",
)
def quadratic_gap(mean_curvature: Given, sigma: Given, dimension: Given) -> Floats:
    """Mean of a quadratic under input noise, minus its noiseless value.

    The same everywhere, so that differences and gradients keep their noiseless mean.

    >>> round(float(quadratic_gap(2.0, 0.01, 150528)), 4)
    15.0528
    """
    return mean_curvature * (0.5 * dimension * square(sigma))


@law(
    "sup |f_σ - f| = (K σ² d/2) P(d/2 + 1, t) + L σ κ_d Q((d+1)/2, t) "
    "- L²/(2K) Q(d/2, t), t = L²/(2K²σ²)",
    "derived here; below both RND 2021, Remark 1, L σ √d, and K σ² d/2",
    regime="every such f; attained by Huber's function of ‖y - x‖ at x",
    kind="bound",
    domain=_FLAT,
    value="[0, inf]; rises in lipschitz smoothness dimension sigma",
)
def smooth_gap(
    lipschitz: Given, smoothness: Given, sigma: Given, dimension: Given
) -> Floats:
    """Largest distance between a smooth Lipschitz function and its mean.

    Noise is symmetric, so that only (f(x+v) + f(x-v))/2 - f(x) counts, and that is at
    most ∫ min(L, K s) ds over 0 < s < ‖v‖: a parabola that ends in a line. P and Q are
    the regularised incomplete gamma functions.

    >>> round(float(smooth_gap(4.0, 1.0, 0.07, 3072)), 5)
    7.5264
    """
    half = 0.5 * dimension
    # Where the parabola turns into the line, in units of the noise.
    steep = np.minimum(ratio(lipschitz, np.maximum(sigma, _LEAST)), _MOST)
    turn = np.minimum(ratio(steep, np.maximum(smoothness, _LEAST)), 1e150)
    t = 0.5 * np.square(turn)
    # An infinite K leaves no parabola.
    inside = sigma * special.gammainc(half + 1.0, t)
    bend = np.where(smoothness < np.inf, smoothness, 0.0)
    with np.errstate(over="ignore"):
        inner = np.minimum(bend * sigma, _MOST) * inside * half
    outer = mean_norm(dimension) * special.gammaincc(half + 0.5, t)
    outer = outer - 0.5 * turn * special.gammaincc(half, t)
    return inner + lipschitz * sigma * outer


@law(
    "std f(x + σv) = σ √(G² + σ²‖A‖²/2)",
    "derived here for SND 2022, Example 1: 2σ √(‖x‖² + σ² d/2) for x'x",
    regime="quadratics, normal noise",
    value="[0, inf]; rises in gradient_norm frobenius sigma",
)
def quadratic_spread(gradient_norm: Given, frobenius: Given, sigma: Given) -> Floats:
    """Standard deviation of a quadratic under input noise.

    >>> round(float(quadratic_spread(0.0, 2 * 150528**0.5, 0.01)), 4)
    0.0549
    """
    return sigma * np.hypot(gradient_norm, sigma * np.sqrt(0.5) * frobenius)


def _unit_gap(allowed_gap: Floats, lipschitz: Floats, dimension: Floats) -> Floats:
    return ratio(ratio(allowed_gap, mean_norm(dimension)), lipschitz)


@law(
    "μ = √(x (x + 2σ)), x = e/(L κ_d)",
    "RND 2021, Theorem 1, ε/(L √d); sharpened, the inverse of smoothing.probe_gap",
    regime="sufficient for every L-Lipschitz f, necessary for ‖y - x‖",
    kind="bound",
    value="[0, inf]; rises in allowed_gap sigma; falls in lipschitz dimension",
)
def largest_probe(
    allowed_gap: Given, lipschitz: Given, sigma: Given, dimension: Given
) -> Floats:
    """Widest probe that moves no L-Lipschitz loss by more than a gap.

    >>> round(float(largest_probe(0.13083, 1.0, 0.02, 3072)), 5)
    0.01
    """
    e = _unit_gap(allowed_gap, lipschitz, dimension)
    with np.errstate(over="ignore"):
        product = e * (e + 2.0 * sigma)
    # One root for two, where the product stays within the floats.
    if np.all((product > 1e-290) & (product < np.inf)):
        return np.sqrt(product)
    return np.sqrt(e) * np.sqrt(e + 2.0 * sigma)


@law(
    "μ = e (√(1 + α²) + α)/(L κ_d)",
    "RND 2021, Theorem 1, ε/(L √d); sharpened at a fixed noise over probe",
    regime="sufficient for every L-Lipschitz f, necessary for ‖y - x‖",
    kind="bound",
    value="[0, inf]; rises in allowed_gap noise_ratio; falls in lipschitz dimension",
)
def largest_probe_at_ratio(
    allowed_gap: Given, lipschitz: Given, noise_ratio: Given, dimension: Given
) -> Floats:
    """Widest probe within a gap where noise is a multiple of the probe.

    >>> round(float(largest_probe_at_ratio(0.13083, 1.0, 2.0, 3072)), 5)
    0.01
    """
    e = _unit_gap(allowed_gap, lipschitz, dimension)
    with np.errstate(over="ignore"):
        return e * (np.hypot(1.0, noise_ratio) + noise_ratio)
