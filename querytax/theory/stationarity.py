"""How close random-probe descent comes to a stationary point, for Lipschitz losses.

The attacker descends along forward differences of the loss smoothed by probe and noise,
f_{μ,σ} with standard deviation √(μ² + σ²). Free iterates may go anywhere, and the
measure is the mean of ‖∇f_{μ,σ}‖² over the steps; projected ones stay in a convex
set, and the measure is that of the gradient of the Moreau envelope of f_{μ,σ} plus the
set's indicator, at 1/(2ρ). The gradient itself need not fall under projection.
"""

from __future__ import annotations

import numpy as np

from querytax.theory.law import Given, law
from querytax.theory.numerics.floats import Floats, ratio, root_one_plus

_EVERY = "every L-Lipschitz loss, forward differences, constant step"
_SOURCE = (
    "RND 2021, Theorem 1; corrected, since the gradient need not fall under "
    "projection, and sharpened by the order of d^{3/2}"
)
# Best step over √(Δ/(n C)), and bound over √(Δ C/n).
_SHARES = {"free": (1.0, 2.0), "projected": (np.sqrt(0.5), 4.0 * np.sqrt(2.0))}


@law(
    "ρ = √(2/π) L/√(μ² + σ²)",
    "RND 2021, Theorem 1, L √d/μ; sharpened: both widths count, d does not",
    regime="every L-Lipschitz f; attained by L|x₁| at 0",
    kind="bound",
    value="[0, inf]; rises in lipschitz; falls in probe sigma",
)
def smoothed_smoothness(lipschitz: Given, probe: Given, sigma: Given) -> Floats:
    """Lipschitz constant of the gradient of the smoothed loss.

    >>> round(float(smoothed_smoothness(1.0, 0.03, 0.04)), 4)
    15.9577
    """
    return ratio(np.sqrt(2.0 / np.pi) * lipschitz, np.hypot(probe, sigma))


@law(
    "C = (ρ/2) L² d (d + 2 + 2σ²/μ²), ρ = √(2/π) L/√(μ² + σ²)",
    "RND 2021, Theorem 1, L³ d^{5/2} (σ/μ + 1/√2)²/μ; corrected and sharpened",
    regime="every L-Lipschitz loss; its factors are attained, not jointly",
    kind="bound",
    value="[0, inf]; rises in lipschitz dimension; falls in probe",
)
def coefficient(
    lipschitz: Given, probe: Given, sigma: Given, dimension: Given
) -> Floats:
    """What a step of unit size may lose: half the smoothness times E‖g‖².

    Smoothing by the noise gains more than the noise costs as long as σ/μ lies below
    :func:`least_noise_ratio`.

    >>> round(float(coefficient(1.0, 1.0, 10.0, 3072)))
    399254
    """
    alpha = ratio(sigma, probe)
    # Infinite only in the last factor, so that the bound is infinite there.
    finite = np.minimum(alpha, np.finfo(float).max)
    width = root_one_plus(finite)
    with np.errstate(over="ignore"):
        lost = ((dimension + 2.0) / width + 2.0 * (finite / width) * alpha) / probe
        slope = lipschitz / np.sqrt(2.0 * np.pi)
        return lipschitz * (dimension * slope * lost) * lipschitz


@law(
    "σ/μ = √(max(d/2 - 1, 0))",
    "derived here; RND 2021 has a bound that rises with σ/μ",
    regime="minimiser of stationarity.coefficient at a given probe",
    value="[0, inf]; rises in dimension",
)
def least_noise_ratio(dimension: Given) -> Floats:
    """Ratio of noise to probe at which the bound on descent is lowest.

    >>> round(float(least_noise_ratio(3072)), 1)
    39.2
    """
    return np.sqrt(np.maximum(0.5 * dimension - 1.0, 0.0))


@law(
    "η = √(Δ/(n C)); projected: √(Δ/(2 n C))",
    _SOURCE,
    regime=f"minimiser of stationarity.bound: {_EVERY}",
    value="[0, inf]; rises in fall probe; falls in lipschitz dimension steps",
)
def step_size(
    fall: Given,
    lipschitz: Given,
    probe: Given,
    sigma: Given,
    dimension: Given,
    steps: Given,
    iterates: str = "free",
) -> Floats:
    """Constant step size with the lowest bound.

    >>> round(float(step_size(1.0, 1.0, 0.3, 0.0, 2, 1001, "projected")), 6)
    0.006852
    """
    share, _ = _SHARES[iterates]
    lost = coefficient(lipschitz, probe, sigma, dimension)
    return ratio(share * np.sqrt(fall), np.sqrt(steps) * np.sqrt(lost))


@law(
    "mean E‖∇f_{μ,σ}‖² <= 2 √(Δ C/n); projected: 4 √(2 Δ C/n)",
    _SOURCE,
    regime=_EVERY,
    kind="bound",
    value="[0, inf]; rises in fall lipschitz dimension; falls in probe steps",
)
def bound(
    fall: Given,
    lipschitz: Given,
    probe: Given,
    sigma: Given,
    dimension: Given,
    steps: Given,
    iterates: str = "free",
) -> Floats:
    """Bound on the mean square gradient after steps of the best size.

    Above L² it says nothing.

    Descent gives η E‖∇‖² <= fall per step + C η², so that the mean over n steps is at
    most Δ/(η n) + C η. The projected form is 2Δ/(η n) + 4 C η (Davis and Drusvyatskiy
    2019, Theorem 3.1, at half the envelope's largest parameter).

    >>> round(float(bound(1.0, 1.0, 0.3, 0.0, 2, 1001, "projected")), 3)
    0.583
    """
    _, share = _SHARES[iterates]
    lost = coefficient(lipschitz, probe, sigma, dimension)
    return share * np.sqrt(fall) * ratio(np.sqrt(lost), np.sqrt(steps))


@law(
    "mean E‖∇f_{μ,σ}‖² <= Δ/(n a) + C a; projected: 2 Δ/(n a) + 4 C a",
    _SOURCE,
    regime=_EVERY,
    kind="bound",
    value="[0, inf]; rises in fall lipschitz dimension; falls in steps",
)
def bound_at_step(
    fall: Given,
    lipschitz: Given,
    probe: Given,
    step: Given,
    sigma: Given,
    dimension: Given,
    steps: Given,
    iterates: str = "free",
) -> Floats:
    """Bound on the mean squared gradient over the steps, for any constant step.

    Least, and :func:`bound`, at :func:`step_size`.

    >>> at = {"fall": 1.0, "lipschitz": 1.0, "probe": 0.1, "sigma": 0.1}
    >>> best = step_size(**at, dimension=10, steps=1e6)
    >>> least = bound_at_step(**at, dimension=10, steps=1e6, step=best)
    >>> bool(np.isclose(least, bound(**at, dimension=10, steps=1e6)))
    True
    """
    best, least = _SHARES[iterates]
    # Of x/a + y a, whose least value is 2 √(x y), at a = √(x/y).
    share = coefficient(lipschitz, probe, sigma, dimension)
    with np.errstate(over="ignore"):
        x = 0.5 * least * best * ratio(fall, steps)
        y = 0.5 * least / best * share
        return ratio(x, step) + y * step


@law(
    "n = 4 Δ C/δ²; projected: 32 Δ C/δ²",
    _SOURCE,
    regime=f"sufficient for {_EVERY}",
    kind="bound",
    value="[0, inf]; rises in fall lipschitz dimension; falls in probe gradient_ms",
)
def steps(
    fall: Given,
    lipschitz: Given,
    probe: Given,
    sigma: Given,
    dimension: Given,
    gradient_ms: Given,
    iterates: str = "free",
) -> Floats:
    """Steps after which the mean square gradient is surely below δ.

    >>> print(f"{steps(4.0, 4.0, 1.089e-3, 1.089e-3, 3072, 1.0):.3g}")
    2.51e+12
    """
    _, share = _SHARES[iterates]
    lost = coefficient(lipschitz, probe, sigma, dimension)
    with np.errstate(over="ignore"):
        return ratio(share**2 * (fall / gradient_ms) * lost, gradient_ms)


@law(
    "N = 2 n = 8 Δ C/δ²; projected: 64 Δ C/δ²",
    _SOURCE,
    regime=f"sufficient for {_EVERY}",
    kind="bound",
    value="[0, inf]; rises in fall lipschitz dimension; falls in probe gradient_ms",
)
def model_queries(
    fall: Given,
    lipschitz: Given,
    probe: Given,
    sigma: Given,
    dimension: Given,
    gradient_ms: Given,
    iterates: str = "free",
) -> Floats:
    """Queries of the model in so many :func:`steps`, two each.

    >>> print(f"{model_queries(4.0, 4.0, 1.089e-3, 1.089e-3, 3072, 1.0):.3g}")
    5.01e+12
    """
    taken = steps(fall, lipschitz, probe, sigma, dimension, gradient_ms, iterates)
    return ratio(taken, 0.5)
