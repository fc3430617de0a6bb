"""How close random-probe descent comes to a stationary point, for Lipschitz losses.

The attacker descends along forward differences of the loss smoothed by probe and noise,
f_{μ,σ} with standard deviation √(μ² + σ²). "free" iterates may go anywhere, and the
measure is the mean of ‖∇f_{μ,σ}‖² over the steps; "projected" ones stay in a convex
set, and the measure is that of the gradient of the Moreau envelope of f_{μ,σ} plus the
set's indicator, at 1/(2ρ). The gradient itself need not fall under projection. Each
function raises ``DomainError``, naming the parameter, for an argument outside its
stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.theory._floats import Floats, floats, ratio, root_one_plus
from querytax.theory.law import law

__all__ = [
    "best_step",
    "bound",
    "coefficient",
    "least_noise_ratio",
    "model_queries",
    "smoothed_smoothness",
    "steps",
]

FORMS = ("free", "projected")

_FALL = "Δ, smoothed loss at the start above its infimum, output unit, (0, inf)"
_LIPSCHITZ = "L, Lipschitz constant of f, output per unit of input, (0, inf)"
_DIMENSION = "d, dimension of the input, count, [1, inf)"
_PROBE = "μ, standard deviation of the probe on each input, input unit, (0, inf)"
_SIGMA = "σ, standard deviation of the noise on each input, input unit, [0, inf)"
_STEPS = "T, steps taken, count, (0, inf)"
_TOLERANCE = "δ, mean square of the gradient to reach, (output per input)², (0, inf)"
_FORM = "'free' or 'projected' iterates"
_BOUND = "upper bound for every L-Lipschitz loss, forward differences, constant step"
_CONSTANT = r"C = \frac{L^3 d\,(d + 2 + 2\sigma^2/\mu^2)}{\sqrt{2\pi(\mu^2+\sigma^2)}}"
_SOURCE = (
    "RND 2021, Theorem 1; corrected, since the gradient need not fall under "
    "projection, and sharpened by the order of d^{3/2}"
)


@law(
    formula="ρ = √(2/π) L/√(μ² + σ²)",
    latex=r"\rho = \sqrt{\frac{2}{\pi}}\,\frac{L}{\sqrt{\mu^2 + \sigma^2}}",
    symbols={"lipschitz": _LIPSCHITZ, "probe": _PROBE, "sigma": _SIGMA},
    regime="bound for every L-Lipschitz f; attained by L|x₁| at 0",
    source="RND 2021, Theorem 1, L √d/μ; sharpened: both widths count, d does not",
)
def smoothed_smoothness(
    lipschitz: npt.ArrayLike, probe: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Lipschitz constant of the gradient of the loss smoothed by probe and noise.

    Parameters
    ----------
    lipschitz : array_like
        Lipschitz constant L of the loss, in (0, inf).
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.

    Examples
    --------
    >>> round(float(smoothed_smoothness(1.0, 0.03, 0.04)), 4)
    15.9577
    """
    slope = np.sqrt(2.0 / np.pi) * floats(expect.positive(lipschitz=lipschitz))
    mu = floats(expect.positive(probe=probe))
    return ratio(slope, np.hypot(mu, floats(expect.nonnegative(sigma=sigma))))


@law(
    formula="C = (ρ/2) L² d (d + 2 + 2σ²/μ²), ρ = √(2/π) L/√(μ² + σ²)",
    latex=_CONSTANT,
    symbols={
        "lipschitz": _LIPSCHITZ,
        "dimension": _DIMENSION,
        "probe": _PROBE,
        "sigma": _SIGMA,
    },
    regime="bound for every L-Lipschitz loss; its factors are attained, not jointly",
    source="RND 2021, Theorem 1, L³ d^{5/2} (σ/μ + 1/√2)²/μ; corrected and sharpened",
)
def coefficient(
    lipschitz: npt.ArrayLike,
    dimension: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
) -> Floats:
    """What a step of unit size may lose: half the smoothness times E‖g‖².

    Parameters
    ----------
    lipschitz : array_like
        Lipschitz constant L of the loss, in (0, inf).
    dimension : array_like of int
        Dimension d of the input.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.

    Notes
    -----
    Smoothing by the noise gains more than the noise costs as long as σ/μ lies below
    :func:`least_noise_ratio`.

    Examples
    --------
    >>> round(float(coefficient(1.0, 3072, 1.0, 10.0)))
    399254
    """
    slope = floats(expect.positive(lipschitz=lipschitz))
    d = floats(expect.integer(dimension=dimension))
    mu = floats(expect.positive(probe=probe))
    nu = floats(expect.nonnegative(sigma=sigma))
    alpha = ratio(nu, mu)
    # Infinite only in the last factor, so that the bound is infinite there.
    finite = np.minimum(alpha, np.finfo(float).max)
    width = root_one_plus(finite)
    with np.errstate(over="ignore"):
        lost = ((d + 2.0) / width + 2.0 * (finite / width) * alpha) / mu
        return slope * (d * (slope / np.sqrt(2.0 * np.pi)) * lost) * slope


@law(
    formula="σ/μ = √(max(d/2 - 1, 0))",
    latex=r"\frac{\sigma}{\mu} = \sqrt{\max\left(\tfrac{d}{2} - 1, 0\right)}",
    symbols={"dimension": _DIMENSION},
    regime="minimiser of the bound at a given probe; Lipschitz losses",
    source="derived here; RND 2021 has a bound that rises with σ/μ",
)
def least_noise_ratio(dimension: npt.ArrayLike) -> Floats:
    """Ratio of noise to probe at which the bound on descent is lowest.

    Parameters
    ----------
    dimension : array_like of int
        Dimension d of the input.

    Examples
    --------
    >>> round(float(least_noise_ratio(3072)), 1)
    39.2
    """
    d = floats(expect.integer(dimension=dimension))
    return np.sqrt(np.maximum(0.5 * d - 1.0, 0.0))


def _share(form: str) -> tuple[float, float]:
    """Best step over √(Δ/(T C)), and bound over √(Δ C/T)."""
    expect.one_of(FORMS, form=form)
    return (1.0, 2.0) if form == "free" else (np.sqrt(0.5), 4.0 * np.sqrt(2.0))


@law(
    formula="η = √(Δ/(T C)); projected: √(Δ/(2 T C))",
    latex=r"\eta = \sqrt{\frac{\Delta}{T C}},\quad " + _CONSTANT,
    symbols={
        "fall": _FALL,
        "lipschitz": _LIPSCHITZ,
        "dimension": _DIMENSION,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "steps": _STEPS,
        "form": _FORM,
    },
    regime="minimiser of the bound over constant steps",
    source=_SOURCE,
)
def best_step(
    fall: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    dimension: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    steps: npt.ArrayLike,
    form: str = "free",
) -> Floats:
    """Constant step size with the lowest bound.

    Parameters
    ----------
    fall : array_like
        How far the smoothed loss may fall, Δ; at most L times the distance to its
        minimum.
    lipschitz : array_like
        Lipschitz constant L of the loss, in (0, inf).
    dimension : array_like of int
        Dimension d of the input.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    steps : array_like
        Number T of steps.
    form : {"free", "projected"}
        Whether the iterates are confined.

    Examples
    --------
    >>> round(float(best_step(1.0, 1.0, 2, 0.3, 0.0, 1001, "projected")), 6)
    0.006852
    """
    share, _ = _share(form)
    drop = floats(expect.positive(fall=fall))
    spent = floats(expect.positive(steps=steps))
    lost = coefficient(lipschitz, dimension, probe, sigma)
    return share * np.sqrt(drop) / (np.sqrt(spent) * np.sqrt(lost))


@law(
    formula="mean E‖∇f_{μ,σ}‖² <= 2 √(Δ C/T); projected: 4 √(2 Δ C/T)",
    latex=r"\overline{\mathbb{E}\|\nabla f_{\mu,\sigma}\|^2} \le "
    r"2\sqrt{\frac{\Delta C}{T}},\quad " + _CONSTANT,
    symbols={
        "fall": _FALL,
        "lipschitz": _LIPSCHITZ,
        "dimension": _DIMENSION,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "steps": _STEPS,
        "form": _FORM,
    },
    regime=_BOUND,
    source=_SOURCE,
)
def bound(
    fall: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    dimension: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    steps: npt.ArrayLike,
    form: str = "free",
) -> Floats:
    """Bound on the mean square gradient after so many steps of the best size.

    Above L² it says nothing.

    Parameters
    ----------
    fall : array_like
        How far the smoothed loss may fall, Δ.
    lipschitz : array_like
        Lipschitz constant L of the loss, in (0, inf).
    dimension : array_like of int
        Dimension d of the input.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    steps : array_like
        Number T of steps.
    form : {"free", "projected"}
        Whether the iterates are confined.

    Notes
    -----
    Descent gives η E‖∇‖² <= fall per step + C η², so that the mean over T steps is at
    most Δ/(η T) + C η. The projected form is 2Δ/(η T) + 4 C η (Davis and Drusvyatskiy
    2019, Theorem 3.1, at half the envelope's largest parameter).

    Examples
    --------
    >>> round(float(bound(1.0, 1.0, 2, 0.3, 0.0, 1001, "projected")), 3)
    0.583
    """
    _, share = _share(form)
    drop = floats(expect.positive(fall=fall))
    spent = floats(expect.positive(steps=steps))
    lost = coefficient(lipschitz, dimension, probe, sigma)
    return share * np.sqrt(drop) * (np.sqrt(lost) / np.sqrt(spent))


@law(
    formula="T = 4 Δ C/δ²; projected: 32 Δ C/δ²",
    latex=r"T = \frac{4\,\Delta\,C}{\delta^2},\quad " + _CONSTANT,
    symbols={
        "fall": _FALL,
        "lipschitz": _LIPSCHITZ,
        "dimension": _DIMENSION,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "tolerance": _TOLERANCE,
        "form": _FORM,
    },
    regime=f"sufficient: {_BOUND}",
    source=_SOURCE,
)
def steps(
    fall: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    dimension: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    tolerance: npt.ArrayLike,
    form: str = "free",
) -> Floats:
    """Steps after which the mean square gradient is surely below ``tolerance``.

    Parameters
    ----------
    fall : array_like
        How far the smoothed loss may fall, Δ.
    lipschitz : array_like
        Lipschitz constant L of the loss, in (0, inf).
    dimension : array_like of int
        Dimension d of the input.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    tolerance : array_like
        Mean square δ of the gradient to reach, in (0, inf).
    form : {"free", "projected"}
        Whether the iterates are confined.

    Examples
    --------
    >>> print(f"{steps(4.0, 4.0, 3072, 1.089e-3, 1.089e-3, 1.0):.3g}")
    2.51e+12
    """
    _, share = _share(form)
    drop = floats(expect.positive(fall=fall))
    delta = floats(expect.positive(tolerance=tolerance))
    lost = coefficient(lipschitz, dimension, probe, sigma)
    with np.errstate(over="ignore"):
        return ratio(share**2 * (drop / delta) * lost, delta)


@law(
    formula="N = 2 T = 8 Δ C/δ²; projected: 64 Δ C/δ²",
    latex=r"N = \frac{8\,\Delta\,C}{\delta^2},\quad " + _CONSTANT,
    symbols={
        "fall": _FALL,
        "lipschitz": _LIPSCHITZ,
        "dimension": _DIMENSION,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "tolerance": _TOLERANCE,
        "form": _FORM,
    },
    regime=f"sufficient: {_BOUND}",
    source=_SOURCE,
)
def model_queries(
    fall: npt.ArrayLike,
    lipschitz: npt.ArrayLike,
    dimension: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    tolerance: npt.ArrayLike,
    form: str = "free",
) -> Floats:
    """Queries of the model in so many :func:`steps`, two each.

    Parameters
    ----------
    fall : array_like
        How far the smoothed loss may fall, Δ.
    lipschitz : array_like
        Lipschitz constant L of the loss, in (0, inf).
    dimension : array_like of int
        Dimension d of the input.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    tolerance : array_like
        Mean square δ of the gradient to reach, in (0, inf).
    form : {"free", "projected"}
        Whether the iterates are confined.

    Examples
    --------
    >>> print(f"{model_queries(4.0, 4.0, 3072, 1.089e-3, 1.089e-3, 1.0):.3g}")
    5.01e+12
    """
    taken = steps(fall, lipschitz, dimension, probe, sigma, tolerance, form)
    return ratio(taken, 0.5)
