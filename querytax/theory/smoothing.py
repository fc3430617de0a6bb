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
from querytax.theory._floats import Array, Floats, by_region, floats, ratio, square
from querytax.theory.law import law

__all__ = [
    "largest_probe",
    "largest_probe_at_ratio",
    "mean_norm",
    "probe_gap",
    "quadratic_gap",
    "quadratic_spread",
    "smooth_gap",
    "smoothing_gap",
]

_INPUT_SIGMA = "σ, standard deviation of the noise on each input, input unit, (0, inf)"
_DIMENSION = "d, dimension of the noise, count, [1, inf)"
_LIPSCHITZ = "L, Lipschitz constant of f, output per unit of input, [0, inf)"
_SMOOTHNESS = "K, Lipschitz constant of the gradient, output per input², [0, inf]"
_MOST = np.finfo(float).max

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
    d = floats(expect.integer(dimension=dimension))
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
    length = floats(expect.positive(sigma=sigma)) * mean_norm(dimension)
    return floats(expect.nonnegative(lipschitz=lipschitz)) * length


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
    mu = floats(expect.positive(probe=probe))
    nu = floats(expect.positive(sigma=sigma))
    added = mu * (mu / (np.hypot(mu, nu) + nu))
    slope = floats(expect.nonnegative(lipschitz=lipschitz))
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
    d = floats(expect.integer(dimension=dimension))
    spread = 0.5 * d * square(expect.positive(sigma=sigma))
    return floats(expect.finite(curvature=curvature)) * spread


@law(
    formula="sup |f_σ - f| = (K σ² d/2) P(d/2 + 1, t) + L σ κ_d Q((d+1)/2, t) "
    "- L²/(2K) Q(d/2, t), t = L²/(2K²σ²)",
    latex=r"\sup_f |f_\sigma - f| = \tfrac12 K \sigma^2 d\, P\left(\tfrac{d}{2}+1, t"
    r"\right) + L \sigma \kappa_d\, Q\left(\tfrac{d+1}{2}, t\right) - "
    r"\frac{L^2}{2K} Q\left(\tfrac{d}{2}, t\right),\quad t = \frac{L^2}{2K^2\sigma^2}",
    symbols={
        "lipschitz": _LIPSCHITZ,
        "smoothness": _SMOOTHNESS,
        "dimension": _DIMENSION,
        "sigma": _INPUT_SIGMA,
    },
    regime="bound for every such f; attained by Huber's function of ‖y - x‖ at x",
    source="derived here; below both RND 2021, Remark 1, L σ √d, and K σ² d/2",
)
def smooth_gap(
    lipschitz: npt.ArrayLike,
    smoothness: npt.ArrayLike,
    dimension: npt.ArrayLike,
    sigma: npt.ArrayLike,
) -> Floats:
    """Largest distance between a smooth Lipschitz function and its mean under noise.

    Parameters
    ----------
    lipschitz, smoothness : array_like
        Lipschitz constants of the function and of its gradient, in [0, inf) and
        [0, inf].
    dimension : array_like of int
        Dimension d of the input.
    sigma : array_like
        Standard deviation of the noise on each input, in (0, inf).

    Notes
    -----
    Noise is symmetric, so that only (f(x+v) + f(x-v))/2 - f(x) counts, and that is at
    most ∫ min(L, K s) ds over 0 < s < ‖v‖: a parabola that ends in a line. P and Q are
    the regularised incomplete gamma functions.

    Examples
    --------
    >>> round(float(smooth_gap(4.0, 1.0, 3072, 0.07)), 5)
    7.5264
    """
    slope = floats(expect.nonnegative(lipschitz=lipschitz))
    bend = floats(expect.unbounded(smoothness=smoothness))
    nu = floats(expect.positive(sigma=sigma))
    half = 0.5 * floats(expect.integer(dimension=dimension))
    # Where the parabola turns into the line, in units of the noise.
    steep = np.minimum(ratio(slope, nu), _MOST)
    turn = np.minimum(ratio(steep, np.maximum(bend, 5e-324)), 1e150)
    t = 0.5 * np.square(turn)
    # An infinite K leaves no parabola.
    inside = nu * special.gammainc(half + 1.0, t)
    with np.errstate(over="ignore"):
        inner = np.minimum(np.where(bend < np.inf, bend, 0.0) * nu, _MOST) * inside
        inner = inner * half
    outer = mean_norm(dimension) * special.gammaincc(half + 0.5, t)
    outer = outer - 0.5 * turn * special.gammaincc(half, t)
    return inner + slope * nu * outer


@law(
    formula="std f(x + σv) = σ √(G² + σ²‖A‖²/2)",
    latex=r"\operatorname{std} f(x + \sigma v) = "
    r"\sigma\sqrt{G^2 + \tfrac12\sigma^2\|A\|_F^2}",
    symbols={
        "gradient_norm": "G, norm of the gradient, output per unit of input, [0, inf)",
        "frobenius": "‖A‖, Frobenius norm of the Hessian, output per input², [0, inf)",
        "sigma": _INPUT_SIGMA,
    },
    regime="exact for quadratics, normal noise",
    source="derived here for SND 2022, Example 1: 2σ √(‖x‖² + σ² d/2) for x'x",
)
def quadratic_spread(
    gradient_norm: npt.ArrayLike, frobenius: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Standard deviation of a quadratic under input noise.

    Parameters
    ----------
    gradient_norm : array_like
        Norm G of the gradient, in [0, inf).
    frobenius : array_like
        Frobenius norm of the Hessian, in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each input, in (0, inf).

    Examples
    --------
    >>> round(float(quadratic_spread(0.0, 2 * 150528**0.5, 0.01)), 4)
    0.0549
    """
    nu = floats(expect.positive(sigma=sigma))
    bend = nu * np.sqrt(0.5) * floats(expect.nonnegative(frobenius=frobenius))
    slope = floats(expect.nonnegative(gradient_norm=gradient_norm))
    return nu * np.hypot(slope, bend)


@law(
    formula="μ = √(e (e + 2σ)), e = gap/(L κ_d)",
    latex=r"\mu = \sqrt{e\,(e + 2\sigma)},\quad e = \frac{\varepsilon}{L\kappa_d}",
    symbols={
        "gap": "ε, allowed |f_{μ,σ} - f_σ|, output unit, [0, inf)",
        "lipschitz": "L, Lipschitz constant of f, output per unit of input, (0, inf)",
        "dimension": _DIMENSION,
        "sigma": "σ, standard deviation of the noise on each input, input, [0, inf)",
    },
    regime="sufficient for every L-Lipschitz f, necessary for ‖y - x‖",
    source="RND 2021, Theorem 1, ε/(L √d); sharpened, the inverse of probe_gap",
)
def largest_probe(
    gap: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    dimension: npt.ArrayLike,
    sigma: npt.ArrayLike,
) -> Floats:
    """Widest probe that moves no L-Lipschitz loss under this noise by more than a gap.

    Parameters
    ----------
    gap : array_like
        Allowed change ε of the smoothed loss.
    lipschitz : array_like
        Lipschitz constant L, in (0, inf).
    dimension : array_like of int
        Dimension d of the input.
    sigma : array_like
        Standard deviation of the noise on each input, in [0, inf).

    Examples
    --------
    >>> round(float(largest_probe(0.13083, 1.0, 3072, 0.02)), 5)
    0.01
    """
    allowed = floats(expect.nonnegative(gap=gap))
    slope = floats(expect.positive(lipschitz=lipschitz))
    e = ratio(ratio(allowed, mean_norm(dimension)), slope)
    nu = floats(expect.nonnegative(sigma=sigma))
    with np.errstate(over="ignore"):
        square = e * (e + 2.0 * nu)
    # One root for two, where the square stays within the floats.
    if np.all((square > 1e-290) & (square < np.inf)):
        return np.sqrt(square)
    return np.sqrt(e) * np.sqrt(e + 2.0 * nu)


@law(
    formula="μ = ε (√(1 + α²) + α)/(L κ_d)",
    latex=r"\mu = \frac{\varepsilon}{L \kappa_d}\left(\sqrt{1 + \alpha^2} + "
    r"\alpha\right)",
    symbols={
        "gap": "ε, allowed |f_{μ,σ} - f_σ|, output unit, [0, inf)",
        "lipschitz": "L, Lipschitz constant of f, output per unit of input, (0, inf)",
        "dimension": _DIMENSION,
        "noise_ratio": "α, noise over probe, ratio of standard deviations, [0, inf)",
    },
    regime="sufficient for every L-Lipschitz f, necessary for ‖y - x‖",
    source="RND 2021, Theorem 1, ε/(L √d); sharpened at a fixed noise over probe",
)
def largest_probe_at_ratio(
    gap: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    dimension: npt.ArrayLike,
    noise_ratio: npt.ArrayLike,
) -> Floats:
    """Widest probe within a gap where the noise is a given multiple of the probe.

    Parameters
    ----------
    gap : array_like
        Allowed change ε of the smoothed loss.
    lipschitz : array_like
        Lipschitz constant L, in (0, inf).
    dimension : array_like of int
        Dimension d of the input.
    noise_ratio : array_like
        Noise over probe α, in [0, inf).

    Examples
    --------
    >>> round(float(largest_probe_at_ratio(0.13083, 1.0, 3072, 2.0)), 5)
    0.01
    """
    allowed = floats(expect.nonnegative(gap=gap))
    slope = floats(expect.positive(lipschitz=lipschitz))
    e = ratio(ratio(allowed, mean_norm(dimension)), slope)
    alpha = floats(expect.nonnegative(noise_ratio=noise_ratio))
    with np.errstate(over="ignore"):
        return e * (np.hypot(1.0, alpha) + alpha)
