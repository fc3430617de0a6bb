"""How far a function moves when its input is smoothed by normal noise.

Each function raises ``DomainError``, naming the parameter, for an argument outside
its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.polynomial import polynomial
from scipy import special

from querytax import expect
from querytax.theory._floats import Array, Floats, by_region, square
from querytax.theory.law import law

__all__ = ["mean_norm", "probe_gap", "quadratic_gap", "smoothing_gap"]

_INPUT_SIGMA = "σ, standard deviation of the noise on each input, input unit, (0, inf)"
_DIMENSION = "d, dimension of the noise, count, [1, inf)"
_LIPSCHITZ = "L, Lipschitz constant of f, output per unit of input, [0, inf)"

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


def _float(value: npt.ArrayLike) -> Array:
    return np.asarray(value, dtype=float)


def _by_gamma(d: Array) -> Array:
    """E‖N(0, I_d)‖ for small d."""
    return np.sqrt(2.0) * special.gamma(0.5 * (d + 1.0)) / special.gamma(0.5 * d)


def _by_series(d: Array) -> Array:
    """E‖N(0, I_d)‖ for d of 64 or more."""
    return np.sqrt(d) * polynomial.polyval(2.0 / d, _GAMMA_RATIO)


@law(
    formula="κ = √2 Γ((d+1)/2)/Γ(d/2)",
    latex=r"\kappa_d = \sqrt{2}\,\frac{\Gamma((d+1)/2)}{\Gamma(d/2)}",
    symbols={"dimension": _DIMENSION},
    regime="exact",
    source="derived here; √d in RND 2021, Remark 1, is its upper bound",
)
def mean_norm(dimension: npt.ArrayLike) -> Floats:
    """Mean Euclidean norm of standard normal noise: √d (1 - 1/(4d) + ...).

    Parameters
    ----------
    dimension : array_like of int
        Dimension d of the noise.

    Examples
    --------
    >>> round(float(mean_norm(3072)), 5)
    55.42112
    """
    d = _float(expect.integer(dimension=dimension))
    return by_region(
        (d,),
        (d < 64.0, _by_gamma),
        (d >= 64.0, _by_series),
    )


@law(
    formula="sup |f_σ - f| = σ L κ_d",
    latex=r"\sup_f |f_\sigma - f| = \sigma L \kappa_d",
    symbols={
        "lipschitz": _LIPSCHITZ,
        "dimension": _DIMENSION,
        "sigma": _INPUT_SIGMA,
    },
    regime="bound for every L-Lipschitz f; attained by L‖y - x‖ at x",
    source="RND 2021, Remark 1; sharpened from √d to κ_d",
)
def smoothing_gap(
    lipschitz: npt.ArrayLike, dimension: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Largest distance between a function and its mean under input noise.

    Parameters
    ----------
    lipschitz : array_like
        Lipschitz constant L, in [0, inf).
    dimension : array_like of int
        Dimension d of the input.
    sigma : array_like
        Standard deviation of the noise on each input, in (0, inf).

    Examples
    --------
    >>> round(float(smoothing_gap(1.0, 3072, 0.01)), 6)
    0.554211
    """
    length = _float(expect.positive(sigma=sigma)) * mean_norm(dimension)
    return _float(expect.nonnegative(lipschitz=lipschitz)) * length


@law(
    formula="sup |f_{μ,σ} - f_σ| = L κ_d (√(μ² + σ²) - σ)",
    latex=r"\sup_f |f_{\mu,\sigma} - f_\sigma| = L \kappa_d "
    r"\left(\sqrt{\mu^2 + \sigma^2} - \sigma\right)",
    symbols={
        "lipschitz": _LIPSCHITZ,
        "dimension": _DIMENSION,
        "probe": "μ, standard deviation of the probe on each input, input, (0, inf)",
        "sigma": _INPUT_SIGMA,
    },
    regime="bound for every L-Lipschitz f; attained by L‖y - x‖ at x",
    source="RND 2021, Remark 1, first bound μ L √d; sharpened (Wasserstein distance)",
)
def probe_gap(
    lipschitz: npt.ArrayLike,
    dimension: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
) -> Floats:
    """Largest distance that normal probes add to the smoothing by the noise.

    Parameters
    ----------
    lipschitz : array_like
        Lipschitz constant L, in [0, inf).
    dimension : array_like of int
        Dimension d of the input.
    probe : array_like
        Standard deviation μ of the probe on each input, in (0, inf).
    sigma : array_like
        Standard deviation of the noise on each input, in (0, inf).

    Examples
    --------
    >>> round(float(probe_gap(1.0, 3072, 0.01, 0.02)), 5)
    0.13083
    """
    mu = _float(expect.positive(probe=probe))
    nu = _float(expect.positive(sigma=sigma))
    added = mu * (mu / (np.hypot(mu, nu) + nu))
    slope = _float(expect.nonnegative(lipschitz=lipschitz))
    return slope * mean_norm(dimension) * added


@law(
    formula="f_σ - f = σ² c d/2, c = tr H/d",
    latex=r"f_\sigma - f = \tfrac{1}{2}\sigma^2 \operatorname{tr} H = "
    r"\tfrac{1}{2}\sigma^2 c\, d",
    symbols={
        "curvature": "c, mean eigenvalue of the Hessian, output per input², finite",
        "dimension": _DIMENSION,
        "sigma": _INPUT_SIGMA,
    },
    regime="exact for quadratics; a bound where c is the gradient's Lipschitz constant",
    source="SND 2022, Example 1; RND 2021, Remark 1; RFD 2024, Assumption 1 has 0",
)
def quadratic_gap(
    curvature: npt.ArrayLike, dimension: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Mean of a quadratic under input noise, minus its noiseless value.

    The same everywhere, so that differences and gradients keep their noiseless mean.

    Parameters
    ----------
    curvature : array_like
        Mean eigenvalue c of the Hessian, finite.
    dimension : array_like of int
        Dimension d of the input.
    sigma : array_like
        Standard deviation of the noise on each input, in (0, inf).

    Examples
    --------
    >>> round(float(quadratic_gap(2.0, 150528, 0.01)), 4)
    15.0528
    """
    d = _float(expect.integer(dimension=dimension))
    spread = 0.5 * d * square(expect.positive(sigma=sigma))
    return _float(expect.finite(curvature=curvature)) * spread
