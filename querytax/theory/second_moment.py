"""Mean square of a gradient estimate from random probes under input noise.

One direction u ~ N(0, I): forward differences estimate (f(x + μu + σv) - f(x + σv'))
u/μ, antithetic ones (f(x + μu + σv) - f(x - μu + σv')) u/(2μ); each of the two values
is the mean of M queries. Each function raises ``DomainError``, naming the parameter,
for an argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.theory._floats import Array, Floats, floats, ratio, square
from querytax.theory.law import law

__all__ = [
    "best_probe",
    "linear",
    "lipschitz_bound",
    "noise",
    "quadratic",
    "smooth_bound",
]

FORMS = ("forward", "antithetic")

_SLOPE = "G, norm of the gradient, output per unit of input, [0, inf)"
_TRACE = "tr A, trace of the Hessian, output per input², finite"
_FROBENIUS = "‖A‖, Frobenius norm of the Hessian, output per input², [|tr A|/√d, inf)"
_DIMENSION = "d, dimension of the input, count, [1, inf)"
_PROBE = "μ, standard deviation of the probe on each input, input unit, (0, inf)"
_SIGMA = "σ, standard deviation of the noise on each input, input unit, [0, inf)"
_REPEATS = "M, repeats of every query, averaged, count, [1, inf)"
_FORM = "'forward' or 'antithetic' differences"
_LIPSCHITZ = "L, Lipschitz constant of f, output per unit of input, (0, inf)"
_SMOOTHNESS = "K, Lipschitz constant of the gradient, output per input², [0, inf]"
_FRESH = "fresh normal noise on the input of every query"


def _noise_ratio(
    probe: npt.ArrayLike, sigma: npt.ArrayLike, repeats: npt.ArrayLike, form: str
) -> Floats:
    """σ/μ over the root of the repeats: a reflected pair halves it."""
    expect.one_of(FORMS, form=form)
    mu = floats(expect.positive(probe=probe))
    nu = floats(expect.nonnegative(sigma=sigma))
    # Kept finite, so that a flat loss times it stays 0.
    alpha = np.minimum(ratio(nu, mu), np.finfo(float).max)
    alpha = alpha / np.sqrt(floats(expect.integer(repeats=repeats)))
    return alpha if form == "forward" else 0.5 * alpha


@law(
    formula="E‖g‖² = G² (d + 2 + 2 d σ²/(μ² M)); antithetic: σ²/4 for σ²",
    latex=r"\mathbb{E}\|g\|^2 = G^2\left(d + 2 + \frac{2 d}{M}"
    r"\frac{\sigma^2}{\mu^2}\right)",
    symbols={
        "gradient_norm": _SLOPE,
        "dimension": _DIMENSION,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
        "form": _FORM,
    },
    regime=f"exact: linear loss, one direction, {_FRESH}",
    source="derived here; RND 2021, Theorem 1, has G² d² (1 + √2 σ/μ)² for it",
)
def linear(
    gradient_norm: npt.ArrayLike,
    dimension: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
    form: str = "forward",
) -> Floats:
    """Mean square of the estimate of a linear loss.

    Parameters
    ----------
    gradient_norm : array_like
        Norm G of the gradient, in [0, inf).
    dimension : array_like of int
        Dimension d of the input.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    repeats : array_like of int
        Repeats M of every query, averaged.
    form : {"forward", "antithetic"}
        Which differences are taken.

    Examples
    --------
    >>> float(linear(1.0, 100, 0.01, 0.01))
    302.0
    """
    d = floats(expect.integer(dimension=dimension))
    slope = floats(expect.nonnegative(gradient_norm=gradient_norm))
    alpha = _noise_ratio(probe, sigma, repeats, form)
    with np.errstate(over="ignore"):
        return (d + 2.0) * square(slope) + 2.0 * d * square(slope * alpha)


def _curved(
    trace: npt.ArrayLike, frobenius: npt.ArrayLike, dimension: npt.ArrayLike
) -> tuple[Array, Array, Array]:
    tr = floats(expect.finite(trace=trace))
    norm = floats(expect.nonnegative(frobenius=frobenius))
    d = floats(expect.integer(dimension=dimension))
    # Multiples of the identity lie on the edge, up to rounding.
    inside = np.abs(tr) <= np.sqrt(d) * norm * (1.0 + 1e-12)
    expect.that(inside, ">= |trace|/√dimension", frobenius=norm)
    return tr, norm, d


@law(
    formula="(1/M)[2 d G² σ²/μ² + (d+2) ‖A‖² σ² + d ‖A‖² σ⁴/μ²]; "
    "antithetic: (1/M)[d G² σ²/μ² + (d+2) ‖A‖² σ² + d ‖A‖² σ⁴/(2μ²)]/2",
    latex=r"\frac{1}{M}\left[2 d\, G^2\frac{\sigma^2}{\mu^2} + (d + 2)\|A\|_F^2"
    r"\sigma^2 + d\,\|A\|_F^2\frac{\sigma^4}{\mu^2}\right]",
    symbols={
        "gradient_norm": _SLOPE,
        "frobenius": "‖A‖, Frobenius norm of the Hessian, output per input², [0, inf)",
        "dimension": _DIMENSION,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
        "form": _FORM,
    },
    regime=f"exact: quadratic loss, one direction, {_FRESH}",
    source="derived here; RND 2021, Theorem 2: each of its terms in σ carries 1/M",
)
def noise(
    gradient_norm: npt.ArrayLike,
    frobenius: npt.ArrayLike,
    dimension: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
    form: str = "forward",
) -> Floats:
    """What the noise adds to the mean square; all of it vanishes under averaging.

    Parameters
    ----------
    gradient_norm : array_like
        Norm G of the gradient, in [0, inf).
    frobenius : array_like
        Frobenius norm of the Hessian, in [0, inf).
    dimension : array_like of int
        Dimension d of the input.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    repeats : array_like of int
        Repeats M of every query, averaged.
    form : {"forward", "antithetic"}
        Which differences are taken.

    Examples
    --------
    >>> float(noise(1.0, 2.0, 100, 0.5, 0.5, repeats=4))
    100.5
    """
    d = floats(expect.integer(dimension=dimension))
    slope = floats(expect.nonnegative(gradient_norm=gradient_norm))
    bend = floats(expect.nonnegative(frobenius=frobenius))
    alpha = _noise_ratio(probe, sigma, repeats, form)
    turned = bend * floats(sigma)
    # Both queries of a pair bring the slope's noise; a reflected pair halves it all.
    along = (1.0 if form == "forward" else 0.5) * square(turned) / floats(repeats)
    with np.errstate(over="ignore"):
        value = d * (2.0 * square(alpha * slope) + square(alpha * turned))
        return value + (d + 2.0) * along


@law(
    formula="E‖g‖² = (d+2) G² + (μ²/4)(d+4)[(tr A)² + 2‖A‖²] + noise; "
    "antithetic: (d+2) G² + noise",
    latex=r"\mathbb{E}\|g\|^2 = (d+2) G^2 + \tfrac{\mu^2}{4}(d+4)"
    r"\left[(\operatorname{tr} A)^2 + 2\|A\|_F^2\right] + \frac{1}{M}\left[2 d\, G^2"
    r"\frac{\sigma^2}{\mu^2} + (d + 2)\|A\|_F^2\sigma^2 + d\,\|A\|_F^2"
    r"\frac{\sigma^4}{\mu^2}\right]",
    symbols={
        "gradient_norm": _SLOPE,
        "trace": _TRACE,
        "frobenius": _FROBENIUS,
        "dimension": _DIMENSION,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
        "form": _FORM,
    },
    regime=f"exact: quadratic loss, one direction, {_FRESH}",
    source="derived here; the exact value behind RND 2021, Theorem 2",
)
def quadratic(
    gradient_norm: npt.ArrayLike,
    trace: npt.ArrayLike,
    frobenius: npt.ArrayLike,
    dimension: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
    form: str = "forward",
) -> Floats:
    """Mean square of the estimate of a quadratic loss.

    Antithetic probes cancel the loss's even part, and with it every term that grows
    with the probe.

    Parameters
    ----------
    gradient_norm : array_like
        Norm G of the gradient, in [0, inf).
    trace, frobenius : array_like
        Trace and Frobenius norm of the Hessian; |trace| <= √d frobenius.
    dimension : array_like of int
        Dimension d of the input.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    repeats : array_like of int
        Repeats M of every query, averaged.
    form : {"forward", "antithetic"}
        Which differences are taken.

    Examples
    --------
    >>> float(quadratic(1.0, 10.0, 2.0, 100, 0.5, 0.5, repeats=4))
    904.5
    """
    tr, bend, d = _curved(trace, frobenius, dimension)
    value = noise(gradient_norm, bend, d, probe, sigma, repeats, form)
    value = value + (d + 2.0) * square(gradient_norm)
    if form == "antithetic":
        return value + 0.0 * tr
    reach = 0.5 * floats(probe)
    return value + (d + 4.0) * (square(reach * tr) + 2.0 * square(reach * bend))


@law(
    formula="μ⁴ = (4/M)[2 d G² σ² + d ‖A‖² σ⁴]/((d+4)[(tr A)² + 2‖A‖²])",
    latex=r"\mu^4 = \frac{4 d\,\sigma^2}{M (d + 4)}\;\frac{2 G^2 + \|A\|_F^2\sigma^2}"
    r"{(\operatorname{tr} A)^2 + 2\|A\|_F^2}",
    symbols={
        "gradient_norm": _SLOPE,
        "trace": _TRACE,
        "frobenius": "‖A‖, Frobenius norm of the Hessian, [|tr A|/√d, inf), above 0",
        "dimension": _DIMENSION,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
    },
    regime=f"exact: quadratic loss, forward differences, {_FRESH}",
    source="derived here; the trade-off that SND 2022, Section 3.4, describes",
)
def best_probe(
    gradient_norm: npt.ArrayLike,
    trace: npt.ArrayLike,
    frobenius: npt.ArrayLike,
    dimension: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Standard deviation of the probe at which the estimate's mean square is least.

    Antithetic differences of a quadratic have none: a wider probe is always better.

    Parameters
    ----------
    gradient_norm : array_like
        Norm G of the gradient, in [0, inf).
    trace, frobenius : array_like
        Trace and Frobenius norm of the Hessian; |trace| <= √d frobenius > 0.
    dimension : array_like of int
        Dimension d of the input.
    sigma : array_like
        Standard deviation of the noise on each input.
    repeats : array_like of int
        Repeats M of every query, averaged.

    Examples
    --------
    >>> round(float(best_probe(1.0, 10.0, 2.0, 100, 0.01)), 6)
    0.051663
    """
    expect.positive(frobenius=frobenius)
    tr, bend, d = _curved(trace, frobenius, dimension)
    slope = floats(expect.nonnegative(gradient_norm=gradient_norm))
    nu = floats(expect.nonnegative(sigma=sigma))
    m = floats(expect.integer(repeats=repeats))
    root2 = np.sqrt(2.0)
    pull = np.hypot(root2 * slope, bend * nu) / np.hypot(tr, root2 * bend)
    return np.sqrt(2.0 * np.sqrt(d / (m * (d + 4.0)))) * np.sqrt(nu) * np.sqrt(pull)


@law(
    formula="E‖g‖² <= L² d (d + 2 + 2σ²/(μ² M)); "
    "antithetic: L² d ((d+2)/max(d-1, 1) + σ²/(2μ² M))",
    latex=r"\mathbb{E}\|g\|^2 \le L^2 d\left(d + 2 + \frac{2}{M}"
    r"\frac{\sigma^2}{\mu^2}\right)",
    symbols={
        "lipschitz": _LIPSCHITZ,
        "dimension": _DIMENSION,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
        "form": _FORM,
    },
    regime=f"bound for every L-Lipschitz loss, {_FRESH}; forward: ‖y - x‖ attains it "
    "without noise, and linear losses the noise's term",
    source="RND 2021, Theorem 1; its L² d² (1 + √2 σ/μ)² is false near σ = 0 and d "
    "times too wide in the noise. The antithetic bound is derived here",
)
def lipschitz_bound(
    lipschitz: npt.ArrayLike,
    dimension: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
    form: str = "forward",
) -> Floats:
    """Bound on the mean square of the estimate, for every Lipschitz loss.

    Parameters
    ----------
    lipschitz : array_like
        Lipschitz constant L of the loss, in (0, inf).
    dimension : array_like of int
        Dimension d of the input.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    repeats : array_like of int
        Repeats M of every query, averaged.
    form : {"forward", "antithetic"}
        Which differences are taken.

    Notes
    -----
    Given u, the noise's part is a variance, at most 2σ²L²/M by Poincaré's inequality.
    Half the reflected difference is an odd function of u: on each sphere of radius r
    its mean is 0 and its mean square at most r²L²/(d-1), Poincaré's inequality again.

    Examples
    --------
    >>> float(lipschitz_bound(1.0, 100, 0.01, 0.01))
    10400.0
    """
    d = floats(expect.integer(dimension=dimension))
    slope = floats(expect.positive(lipschitz=lipschitz))
    alpha = _noise_ratio(probe, sigma, repeats, form)
    own = d + 2.0 if form == "forward" else (d + 2.0) / np.maximum(d - 1.0, 1.0)
    with np.errstate(over="ignore"):
        return d * (own * square(slope) + 2.0 * square(slope * alpha))


@law(
    formula="E‖g‖² <= min{L² d (d+2), (L √(d+2) + (μK/2) √(d(d+2)(d+4)))²} "
    "+ 2 d L² σ²/(μ² M), K = min{smoothness, √(2/π) L/σ}",
    latex=r"\mathbb{E}\|g\|^2 \le \min\left\{L^2 d (d+2),\, \left(L\sqrt{d+2} + "
    r"\tfrac{\mu K}{2}\sqrt{d (d+2) (d+4)}\right)^2\right\} + \frac{2 d L^2}{M}"
    r"\frac{\sigma^2}{\mu^2}",
    symbols={
        "lipschitz": _LIPSCHITZ,
        "smoothness": _SMOOTHNESS,
        "dimension": _DIMENSION,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "repeats": _REPEATS,
    },
    regime=f"bound for every such loss, forward differences, {_FRESH}",
    source="RND 2021, Theorem 2; corrected (its first term fails at σ = 0) and "
    "sharpened: every term in σ carries 1/M",
)
def smooth_bound(
    lipschitz: npt.ArrayLike,
    smoothness: npt.ArrayLike,
    dimension: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Bound on the mean square of the estimate, for Lipschitz and smooth losses.

    Noise smooths the loss that a probe sees, so that wide noise lowers the bound of
    a loss that is not smooth itself: ``smoothness`` may be infinite.

    Parameters
    ----------
    lipschitz, smoothness : array_like
        Lipschitz constants of the loss, in (0, inf), and its gradient, in [0, inf].
    dimension : array_like of int
        Dimension d of the input.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    repeats : array_like of int
        Repeats M of every query, averaged.

    Examples
    --------
    >>> round(float(smooth_bound(4.0, 1.0, 3072, 0.01, 0.02)))
    1546571
    """
    slope = floats(expect.positive(lipschitz=lipschitz))
    own = floats(expect.unbounded(smoothness=smoothness))
    d = floats(expect.integer(dimension=dimension))
    alpha = _noise_ratio(probe, sigma, repeats, "forward")
    bend = np.minimum(ratio(own, slope), ratio(np.sqrt(2.0 / np.pi), sigma))
    # Roots first: d³ would overflow before the bound does.
    long = np.sqrt(d + 2.0)
    with np.errstate(over="ignore"):
        curved = 1.0 + 0.5 * bend * floats(probe) * np.sqrt(d) * np.sqrt(d + 4.0)
        gain = np.minimum(np.sqrt(d), curved)
        return square(slope * long * gain) + 2.0 * d * square(slope * alpha)
