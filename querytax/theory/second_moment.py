"""Mean square of a gradient estimate from random probes under input noise.

One direction u ~ N(0, I): forward differences estimate (f(x + μu + σv) - f(x + σv'))
u/μ, antithetic ones (f(x + μu + σv) - f(x - μu + σv')) u/(2μ); each of the two values
is the mean of M queries.
"""

from __future__ import annotations

import numpy as np

from querytax import expect
from querytax.theory.law import Given, law
from querytax.theory.numerics.floats import Floats, ratio, square

_TWO = {"differences": "'forward' | 'antithetic'"}
_FRESH = "one direction, fresh normal noise on the input of every query"


def _noise_ratio(
    probe: Floats, sigma: Floats, repeats: Floats, differences: str
) -> Floats:
    """σ/μ over the root of the repeats: a reflected pair halves it."""
    # Kept finite, so that a flat loss times it stays 0.
    alpha = np.minimum(ratio(sigma, probe), np.finfo(float).max) / np.sqrt(repeats)
    return alpha if differences == "forward" else 0.5 * alpha


def _expect_hessian(trace: Floats, frobenius: Floats, dimension: Floats) -> None:
    # Multiples of the identity lie on the edge, up to rounding.
    inside = np.abs(trace) <= np.sqrt(dimension) * frobenius * (1.0 + 1e-12)
    expect.that(inside, ">= |trace|/√dimension", frobenius=frobenius)


@law(
    "E‖g‖² = G² (d + 2 + 2 d σ²/(μ² M)); antithetic: σ²/4 for σ²",
    "derived here; RND 2021, Theorem 1, has G² d² (1 + √2 σ/μ)² for it",
    regime=f"linear loss, {_FRESH}",
    domain=_TWO,
    value="[0, inf]; rises in gradient_norm dimension sigma; falls in probe repeats",
)
def linear(
    gradient_norm: Given,
    probe: Given,
    sigma: Given,
    dimension: Given,
    repeats: Given = 1,
    differences: str = "forward",
) -> Floats:
    """Mean square of the estimate of a linear loss.

    >>> float(linear(1.0, 0.01, 0.01, 100))
    302.0
    """
    alpha = _noise_ratio(probe, sigma, repeats, differences)
    with np.errstate(over="ignore"):
        noise = 2.0 * dimension * square(gradient_norm * alpha)
        return (dimension + 2.0) * square(gradient_norm) + noise


@law(
    "(1/M)[2 d G² σ²/μ² + (d+2) ‖A‖² σ² + d ‖A‖² σ⁴/μ²]; "
    "antithetic: (1/M)[d G² σ²/μ² + (d+2) ‖A‖² σ² + d ‖A‖² σ⁴/(2μ²)]/2",
    "derived here; RND 2021, Theorem 2: each of its terms in σ carries 1/M",
    regime=f"quadratic loss, {_FRESH}",
    domain=_TWO,
    value="[0, inf]; rises in gradient_norm frobenius dimension sigma; falls "
    "in probe repeats",
)
def noise(
    gradient_norm: Given,
    frobenius: Given,
    probe: Given,
    sigma: Given,
    dimension: Given,
    repeats: Given = 1,
    differences: str = "forward",
) -> Floats:
    """What the noise adds to the mean square; averaging removes all of it.

    >>> float(noise(1.0, 2.0, 0.5, 0.5, 100, repeats=4))
    100.5
    """
    alpha = _noise_ratio(probe, sigma, repeats, differences)
    turned = frobenius * sigma
    # Both queries of a pair bring the slope's noise; a reflected pair halves it all.
    along = (1.0 if differences == "forward" else 0.5) * square(turned) / repeats
    with np.errstate(over="ignore"):
        across = 2.0 * square(alpha * gradient_norm) + square(alpha * turned)
        return dimension * across + (dimension + 2.0) * along


@law(
    "E‖g‖² = (d+2) G² + (μ²/4)(d+4)[(tr A)² + 2‖A‖²] + noise; "
    "antithetic: (d+2) G² + noise",
    "derived here; the exact value behind RND 2021, Theorem 2",
    regime=f"quadratic loss, {_FRESH}",
    domain=_TWO,
    value="[0, inf]; rises in gradient_norm frobenius dimension sigma; falls "
    "in repeats",
)
def quadratic(
    gradient_norm: Given,
    trace: Given,
    frobenius: Given,
    probe: Given,
    sigma: Given,
    dimension: Given,
    repeats: Given = 1,
    differences: str = "forward",
) -> Floats:
    """Mean square of the estimate of a quadratic loss.

    Antithetic probes cancel the loss's even part, and with it every term that grows
    with the probe.

    >>> float(quadratic(1.0, 10.0, 2.0, 0.5, 0.5, 100, repeats=4))
    904.5
    """
    _expect_hessian(trace, frobenius, dimension)
    value = noise(
        gradient_norm, frobenius, probe, sigma, dimension, repeats, differences
    )
    value = value + (dimension + 2.0) * square(gradient_norm)
    if differences == "antithetic":
        return value + 0.0 * trace
    reach = 0.5 * probe
    bent = square(reach * trace) + 2.0 * square(reach * frobenius)
    return value + (dimension + 4.0) * bent


@law(
    "μ⁴ = (4/M)[2 d G² σ² + d ‖A‖² σ⁴]/((d+4)[(tr A)² + 2‖A‖²])",
    "derived here; the trade-off that SND 2022, Section 3.4, describes",
    regime=f"quadratic loss, forward differences, {_FRESH}",
    domain={"frobenius": "(0, inf)"},
    value="[0, inf]; rises in gradient_norm dimension sigma; falls in repeats",
)
def minimising_probe(
    gradient_norm: Given,
    trace: Given,
    frobenius: Given,
    sigma: Given,
    dimension: Given,
    repeats: Given = 1,
) -> Floats:
    """Width of the probe at which the estimate's mean square is least.

    Antithetic differences of a quadratic have none: a wider probe is always better.

    >>> round(float(minimising_probe(1.0, 10.0, 2.0, 0.01, 100)), 6)
    0.051663
    """
    _expect_hessian(trace, frobenius, dimension)
    root2 = np.sqrt(2.0)
    pull = np.hypot(root2 * gradient_norm, frobenius * sigma)
    pull = pull / np.hypot(trace, root2 * frobenius)
    size = np.sqrt(2.0 * np.sqrt(dimension / (repeats * (dimension + 4.0))))
    return size * np.sqrt(sigma) * np.sqrt(pull)


@law(
    "E‖g‖² <= L² d (d + 2 + 2σ²/(μ² M)); "
    "antithetic: L² d ((d+2)/max(d-1, 1) + σ²/(2μ² M))",
    "RND 2021, Theorem 1; its L² d² (1 + √2 σ/μ)² is false near σ = 0 and d "
    "times too wide in the noise. The antithetic bound is derived here",
    regime=f"every L-Lipschitz loss, {_FRESH}; forward: ‖y - x‖ attains it without "
    "noise, and linear losses the noise's term",
    kind="bound",
    domain=_TWO,
    value="[0, inf]; rises in lipschitz sigma; falls in probe repeats",
)
def lipschitz_bound(
    lipschitz: Given,
    probe: Given,
    sigma: Given,
    dimension: Given,
    repeats: Given = 1,
    differences: str = "forward",
) -> Floats:
    """Bound on the mean square of the estimate, for every Lipschitz loss.

    Given u, the noise's part is a variance, at most 2σ²L²/M by Poincaré's inequality.
    Half the reflected difference is an odd function of u: on each sphere of radius r
    its mean is 0 and its mean square at most r²L²/(d-1), Poincaré's inequality again.

    >>> float(lipschitz_bound(1.0, 0.01, 0.01, 100))
    10400.0
    """
    d = dimension
    alpha = _noise_ratio(probe, sigma, repeats, differences)
    own = d + 2.0 if differences == "forward" else (d + 2.0) / np.maximum(d - 1.0, 1.0)
    with np.errstate(over="ignore"):
        return d * (own * square(lipschitz) + 2.0 * square(lipschitz * alpha))


@law(
    "E‖g‖² <= min{L² d (d+2), (L √(d+2) + (μk/2) √(d(d+2)(d+4)))²} "
    "+ 2 d L² σ²/(μ² M), k = min{K, √(2/π) L/σ}",
    "RND 2021, Theorem 2; corrected (its first term fails at σ = 0) and "
    "sharpened: every term in σ carries 1/M",
    regime=f"every such loss, forward differences, {_FRESH}",
    kind="bound",
    value="[0, inf]; rises in lipschitz smoothness dimension; falls in repeats",
)
def smooth_bound(
    lipschitz: Given,
    smoothness: Given,
    probe: Given,
    sigma: Given,
    dimension: Given,
    repeats: Given = 1,
) -> Floats:
    """Bound on the mean square of the estimate, for smooth Lipschitz losses.

    Noise smooths the loss that a probe sees, so that wide noise lowers the bound of
    a loss that is not smooth itself: K may be infinite.

    >>> round(float(smooth_bound(4.0, 1.0, 0.01, 0.02, 3072)))
    1546571
    """
    d = dimension
    alpha = _noise_ratio(probe, sigma, repeats, "forward")
    bend = np.minimum(ratio(smoothness, lipschitz), ratio(np.sqrt(2.0 / np.pi), sigma))
    # Roots first: d³ would overflow before the bound does.
    with np.errstate(over="ignore"):
        curved = 1.0 + 0.5 * bend * probe * np.sqrt(d) * np.sqrt(d + 4.0)
        gain = np.minimum(np.sqrt(d), curved)
        own = square(lipschitz * np.sqrt(d + 2.0) * gain)
        return own + 2.0 * d * square(lipschitz * alpha)
