"""The angle between a gradient estimate and the gradient: exact for linear losses.

B directions u ~ N(0, I) are averaged. The cosine is W/√(W² + χ²_{d-1}) with W = ρ χ_B
+ √(1-ρ²) Z, where 1/ρ² = 1 + c σ²/(μ² M): c = 2 for forward differences, each with a
base query of its own; ½ for antithetic ones; and 1 for answers that are centred by
their mean, which costs one direction. Each function raises ``DomainError``, naming the
parameter, for an argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.theory import _angle
from querytax.theory._floats import Array, Floats, by_region, floats, ratio
from querytax.theory.law import law
from querytax.theory.smoothing import mean_norm

__all__ = ["backwards", "log_backwards", "mean_cosine", "rms_cosine"]

# Noise of one answer's difference over that of one query, and directions it costs.
FORMS = {"forward": (2.0, 0), "antithetic": (0.5, 0), "centred": (1.0, 1)}

_DIMENSION = "d, dimension of the input, count, [1, inf)"
_DIRECTIONS = "B, directions averaged, count, [1, inf); from 2 on where centred"
_PROBE = "μ, standard deviation of the probe on each input, input unit, (0, inf)"
_SIGMA = "σ, standard deviation of the noise on each input, input unit, [0, inf)"
_REPEATS = "M, repeats of every query, averaged, count, [1, inf)"
_FORM = "'forward', 'antithetic' or 'centred' differences"
_REGIME = "exact: linear loss, normal directions, fresh normal noise on every query"
_RHO = r"\rho^2 = \frac{1}{1 + 2\sigma^2/(\mu^2 M)}"


def _parts(
    directions: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike,
    form: str,
) -> tuple[Array, Array]:
    """Degrees of freedom of the answers, and √(1/ρ² - 1)."""
    expect.one_of(FORMS, form=form)
    noise, cost = FORMS[form]
    count = floats(expect.integer(1 + cost, directions=directions)) - cost
    nu = floats(expect.nonnegative(sigma=sigma))
    alpha = ratio(nu, expect.positive(probe=probe))
    m = floats(expect.integer(repeats=repeats))
    return count, np.minimum(alpha * np.sqrt(noise / m), 1e300)


def _shares(spread: Array) -> tuple[Array, Array, Array]:
    """ρ, ρ² and 1 - ρ², each to full accuracy."""
    root = 1.0 / np.hypot(1.0, spread)
    return root, np.square(root), np.square(spread * root)


@law(
    formula="E cos = ρ (κ_B/κ_{d+1}) ₂F₁(1 - B/2, ½; d/2 + 1; ρ²), "
    "1/ρ² = 1 + c σ²/(μ² M), c = 2, ½, 1 with B - 1 for B",
    latex=r"\mathbb{E}\cos = \rho\,\frac{\kappa_B}{\kappa_{d+1}}\,"
    r"{}_2F_1\left(1 - \tfrac{B}{2}, \tfrac12; \tfrac{d}{2} + 1; \rho^2\right),\quad "
    + _RHO,
    symbols={
        "dimension": _DIMENSION,
        "directions": _DIRECTIONS,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
        "form": _FORM,
    },
    regime=_REGIME,
    source="derived here; κ is smoothing.mean_norm",
)
def mean_cosine(
    dimension: npt.ArrayLike,
    directions: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
    form: str = "forward",
) -> Floats:
    """Mean cosine between a gradient estimate and the gradient.

    Parameters
    ----------
    dimension : array_like of int
        Dimension d of the input.
    directions : array_like of int
        Directions B averaged; at least 2 where the answers are centred.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    repeats : array_like of int
        Repeats M of every query, averaged.
    form : {"forward", "antithetic", "centred"}
        Which differences are taken: 2BM, 2BM and BM queries.

    Notes
    -----
    With 1/√Q = ∫ exp(-tQ)/√(πt) dt both W and χ integrate out, which leaves
    (ρ κ_B/√(2π)) ∫ cosh^-(d+1)(y) (1 - ρ² tanh² y)^((B-2)/2) dy over the line.

    Examples
    --------
    >>> round(float(mean_cosine(50, 20, 0.01, 0.01)), 6)
    0.339548
    >>> round(float(mean_cosine(50, 20, 0.01, 0.01, form="antithetic")), 6)
    0.456493
    """
    d = floats(expect.integer(dimension=dimension))
    count, spread = _parts(directions, probe, sigma, repeats, form)
    root, tight, loose = _shares(spread)
    integral = _angle.integral(d, count, tight, loose)
    # A cosine, which rounding may lift above 1.
    return np.minimum(root * (mean_norm(count) / np.sqrt(2.0 * np.pi) * integral), 1.0)


@law(
    formula="E cos² = ₂F₁((1-B)/2, 1; d/2 + 1; ρ²)/d "
    "+ ρ² (B-1)/(d+2) ₂F₁((3-B)/2, 1; d/2 + 2; ρ²); its root",
    latex=r"\sqrt{\mathbb{E}\cos^2} = \sqrt{\tfrac1d\,{}_2F_1\left(\tfrac{1-B}{2}, 1;"
    r"\tfrac{d}{2} + 1; \rho^2\right) + \tfrac{(B-1)\rho^2}{d+2}\,{}_2F_1\left("
    r"\tfrac{3-B}{2}, 1; \tfrac{d}{2} + 2; \rho^2\right)},\quad " + _RHO,
    symbols={
        "dimension": _DIMENSION,
        "directions": _DIRECTIONS,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
        "form": _FORM,
    },
    regime=_REGIME,
    source="derived here; query_ratio.plain_drift is ‖E g‖/√E‖g‖² in its place",
)
def rms_cosine(
    dimension: npt.ArrayLike,
    directions: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
    form: str = "forward",
) -> Floats:
    """Root-mean-square cosine between a gradient estimate and the gradient.

    A pure guess has 1/√d.

    Parameters
    ----------
    dimension : array_like of int
        Dimension d of the input.
    directions : array_like of int
        Directions B averaged; at least 2 where the answers are centred.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    repeats : array_like of int
        Repeats M of every query, averaged.
    form : {"forward", "antithetic", "centred"}
        Which differences are taken.

    Examples
    --------
    >>> round(float(rms_cosine(50, 20, 0.01, 0.01)), 6)
    0.357594
    """
    d = floats(expect.integer(dimension=dimension))
    count, spread = _parts(directions, probe, sigma, repeats, form)
    _, tight, loose = _shares(spread)
    integral = by_region((d, count, tight, loose), (d > 0.0, _angle.second))
    return np.minimum(np.sqrt(integral), 1.0)


def _log_backwards(count: Array, spread: Array) -> Floats:
    root, _, _ = _shares(spread)
    integral = by_region((count, root), (count > 0.0, _angle.below))
    share = mean_norm(count) * integral / np.sqrt(2.0 * np.pi)
    with np.errstate(divide="ignore"):
        return _angle.log_power(count, spread) + np.log(share)


@law(
    formula="P(cos < 0) = ½ I_{1-ρ²}(B/2, ½)",
    latex=r"P(\cos < 0) = \tfrac12 I_{1-\rho^2}\left(\tfrac{B}{2}, \tfrac12\right),"
    r"\quad " + _RHO,
    symbols={
        "directions": _DIRECTIONS,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
        "form": _FORM,
    },
    regime=f"{_REGIME}; any dimension",
    source="derived here; at B = 1 it is RFD 2024, Theorem 1, in its exact form",
)
def backwards(
    directions: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
    form: str = "forward",
) -> Floats:
    """Probability that a gradient estimate points the wrong way.

    A tail of Student's t with B degrees of freedom: W < 0 where -Z/χ_B > ρ/√(1-ρ²).

    Parameters
    ----------
    directions : array_like of int
        Directions B averaged; at least 2 where the answers are centred.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    repeats : array_like of int
        Repeats M of every query, averaged.
    form : {"forward", "antithetic", "centred"}
        Which differences are taken.

    Examples
    --------
    >>> round(float(backwards([1, 20], 0.01, 0.01)[0]), 6)
    0.304087
    """
    count, spread = _parts(directions, probe, sigma, repeats, form)
    return np.exp(_log_backwards(count, spread))


@law(
    formula="ln P(cos < 0)",
    latex=r"\ln P(\cos < 0) = \ln\tfrac12 I_{1-\rho^2}\left(\tfrac{B}{2}, "
    r"\tfrac12\right),\quad " + _RHO,
    symbols={
        "directions": _DIRECTIONS,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
        "form": _FORM,
    },
    regime=f"{_REGIME}; any dimension",
    source="derived here",
)
def log_backwards(
    directions: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
    form: str = "forward",
) -> Floats:
    """Logarithm of :func:`backwards`, where the probability underflows.

    Parameters
    ----------
    directions : array_like of int
        Directions B averaged; at least 2 where the answers are centred.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    repeats : array_like of int
        Repeats M of every query, averaged.
    form : {"forward", "antithetic", "centred"}
        Which differences are taken.

    Examples
    --------
    >>> round(float(log_backwards(10000, 0.01, 0.01)), 2)
    -2032.3
    """
    count, spread = _parts(directions, probe, sigma, repeats, form)
    return _log_backwards(count, spread)
