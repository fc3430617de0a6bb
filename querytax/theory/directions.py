"""Where a budget of queries goes: into more directions, or into repeats.

Gradient estimates average B directions u ~ N(0, I); a search accepts or rejects one
candidate at a time. Each function raises ``DomainError``, naming the parameter, for an
argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory import _search
from querytax.theory._floats import Array, Floats, by_region, floats, ratio, square
from querytax.theory._gaussian import pdf
from querytax.theory.law import law

__all__ = [
    "best_base_repeats",
    "best_repeats",
    "cached_spread",
    "progress",
    "progress_per_query",
    "spread",
]

# Queries per direction and repeat; noise of one answer's difference over a query's;
# directions that the method itself costs.
FORMS = {
    "forward": (2.0, 2.0, 0.0),
    "antithetic": (2.0, 0.5, 0.0),
    "centred": (1.0, 1.0, 1.0),
}

_SLOPE = "G, norm of the gradient, output per unit of input, [0, inf)"
_DIMENSION = "d, dimension of the input, count, [1, inf)"
_PROBE = "μ, standard deviation of the probe on each input, input unit, (0, inf)"
_SIGMA = "σ, standard deviation of the noise on each input, input unit, [0, inf)"
_REPEATS = "M, repeats of every query, averaged, count, [1, inf)"
_LINEAR = "exact: linear loss, normal directions, fresh normal noise on every query"
_MEAN = "m, mean change of the loss by a candidate, output unit, finite"
_CANDIDATE = "s_H, standard deviation of that change, output unit, (0, inf)"
_NOISE = "s_N, noise of one comparison, standard deviation, output unit, [0, inf)"
_SEARCH = (
    "exact: normal changes, normal noise independent of them, every measured "
    "improvement accepted"
)


@law(
    formula="tr Cov = (2/N) G² [M (d+1) + 2 d σ²/μ²]; antithetic: d σ²/(2μ²); "
    "centred: G² [M (d+1) + d σ²/μ²]/(N - M)",
    latex=r"\operatorname{tr}\operatorname{Cov} = \frac{2 G^2}{N}"
    r"\left[M (d + 1) + 2 d\,\frac{\sigma^2}{\mu^2}\right]",
    symbols={
        "gradient_norm": _SLOPE,
        "dimension": _DIMENSION,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "queries": "N, queries for the estimate, count, [2M, inf)",
        "repeats": _REPEATS,
        "form": "'forward', 'antithetic' or 'centred' differences",
    },
    regime=f"{_LINEAR}; N a multiple of the queries per direction",
    source="derived here",
)
def spread(
    gradient_norm: npt.ArrayLike,
    dimension: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    queries: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
    form: str = "forward",
) -> Floats:
    """Total variance of a gradient estimate from a budget of queries.

    It rises with the repeats in every form: new directions are always better.

    Parameters
    ----------
    gradient_norm : array_like
        Norm G of the gradient, in [0, inf).
    dimension : array_like of int
        Dimension d of the input.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    queries : array_like
        Budget N, at least twice the repeats.
    repeats : array_like of int
        Repeats M of every query, averaged.
    form : {"forward", "antithetic", "centred"}
        Differences from a base query of their own, of reflected probes, or of answers
        centred by their mean.

    Examples
    --------
    >>> round(float(spread(1.0, 100, 0.01, 0.02, 120)), 4)
    15.0167
    >>> round(float(spread(1.0, 100, 0.01, 0.02, 120, form="antithetic")), 4)
    5.0167
    """
    expect.one_of(FORMS, form=form)
    each, noise, cost = FORMS[form]
    slope = floats(expect.nonnegative(gradient_norm=gradient_norm))
    d = floats(expect.integer(dimension=dimension))
    alpha = ratio(expect.nonnegative(sigma=sigma), expect.positive(probe=probe))
    m = floats(expect.integer(repeats=repeats))
    n = floats(expect.positive(queries=queries))
    expect.that(n >= 2.0 * m, ">= 2 repeats", queries=n)
    alpha = np.minimum(alpha, np.finfo(float).max)
    with np.errstate(over="ignore"):
        own = m * (d + 1.0) * square(slope) + noise * d * square(alpha * slope)
        return own * (each / (n - cost * m))


@law(
    formula="tr Cov = G² [(d+1) + d (1 + 1/M₀) σ²/μ²]/(N - M₀)",
    latex=r"\operatorname{tr}\operatorname{Cov} = \frac{G^2}{N - M_0}\left[d + 1 + d"
    r"\left(1 + \frac{1}{M_0}\right)\frac{\sigma^2}{\mu^2}\right]",
    symbols={
        "gradient_norm": _SLOPE,
        "dimension": _DIMENSION,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "queries": "N, queries for the estimate, count, [M₀ + 1, inf)",
        "base_repeats": "M₀, repeats of the base query, count, [1, N - 1]",
    },
    regime=f"{_LINEAR} but the base's, which all directions share",
    source="derived here",
)
def cached_spread(
    gradient_norm: npt.ArrayLike,
    dimension: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    queries: npt.ArrayLike,
    base_repeats: npt.ArrayLike,
) -> Floats:
    """Total variance of forward differences from one base value, measured once.

    Parameters
    ----------
    gradient_norm : array_like
        Norm G of the gradient, in [0, inf).
    dimension : array_like of int
        Dimension d of the input.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    queries : array_like
        Budget N; what the base leaves goes into one query per direction.
    base_repeats : array_like of int
        Repeats M₀ of the base query, averaged.

    Examples
    --------
    >>> [round(float(cached_spread(1.0, 100, 0.01, 0.02, 120, m)), 3) for m in (1, 9)]
    [7.571, 4.914]
    """
    slope = floats(expect.nonnegative(gradient_norm=gradient_norm))
    d = floats(expect.integer(dimension=dimension))
    alpha = ratio(expect.nonnegative(sigma=sigma), expect.positive(probe=probe))
    n = floats(expect.positive(queries=queries))
    base = floats(expect.integer(base_repeats=base_repeats))
    expect.that(n >= base + 1.0, "> base_repeats", queries=n)
    alpha = np.minimum(alpha, np.finfo(float).max)
    with np.errstate(over="ignore"):
        noise = d * (1.0 + 1.0 / base) * square(alpha * slope)
        return ((d + 1.0) * square(slope) + noise) / (n - base)


@law(
    formula="M₀ = max{1, ⌈(√((a+2c)² + 4ac(N-1)) - a - 2c)/(2a)⌉}, "
    "c = d σ²/μ², a = d + 1 + c",
    latex=r"M_0 = \max\left\{1, \left\lceil\frac{\sqrt{(a+2c)^2 + 4ac(N-1)} - a - 2c}"
    r"{2a}\right\rceil\right\},\quad c = d\,\frac{\sigma^2}{\mu^2},\ a = d + 1 + c",
    symbols={
        "dimension": _DIMENSION,
        "probe": _PROBE,
        "sigma": _SIGMA,
        "queries": "N, queries for the estimate, count, [2, inf)",
    },
    regime="exact minimiser of cached_spread over whole numbers",
    source="derived here",
)
def best_base_repeats(
    dimension: npt.ArrayLike,
    probe: npt.ArrayLike,
    sigma: npt.ArrayLike,
    queries: npt.ArrayLike,
) -> Floats:
    """Repeats of a shared base query at which the estimate's variance is least.

    Parameters
    ----------
    dimension : array_like of int
        Dimension d of the input.
    probe, sigma : array_like
        Standard deviations of the probe and of the noise on each input.
    queries : array_like of int
        Budget N of queries.

    Notes
    -----
    One more repeat pays as long as a M(M+1) < c (N - 1 - 2M).

    Examples
    --------
    >>> float(best_base_repeats(100, 0.01, 0.02, 120))
    9.0
    """
    d = floats(expect.integer(dimension=dimension))
    alpha = ratio(expect.nonnegative(sigma=sigma), expect.positive(probe=probe))
    n = floats(expect.integer(2, queries=queries))
    # c/a, whose size alone matters.
    with np.errstate(divide="ignore", over="ignore"):
        share = 1.0 / (1.0 + (d + 1.0) / (d * square(alpha)))
    middle = 1.0 + 2.0 * share
    root = np.sqrt(square(middle) + 4.0 * share * (n - 1.0))
    best = np.maximum(np.ceil(2.0 * share * (n - 1.0) / (middle + root)), 1.0)
    # A whole root may be rounded up.
    below = best - 1.0
    spare = (below >= 1.0) & (below * best >= share * (n - 1.0 - 2.0 * below))
    return np.where(spare, below, best)[()]


@law(
    formula="E = (s_H²/S) φ(m/S) - m Φ(-m/S), S² = s_H² + s_N²/M",
    latex=r"E = \frac{s_H^2}{S}\,\varphi\left(\frac{m}{S}\right) - "
    r"m\,\Phi\left(-\frac{m}{S}\right),\quad S^2 = s_H^2 + \frac{s_N^2}{M}",
    symbols={
        "mean": _MEAN,
        "candidate_sigma": _CANDIDATE,
        "noise_sigma": _NOISE,
        "repeats": _REPEATS,
    },
    regime=_SEARCH,
    source="derived here; RFD 2024, Theorem 1, counts wrong signs only, at m = 0",
)
def progress(
    mean: npt.ArrayLike,
    candidate_sigma: npt.ArrayLike,
    noise_sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Mean fall of the loss per candidate of a search that accepts improvements.

    Negative where noise makes the search accept what does harm.

    Parameters
    ----------
    mean : array_like
        Mean change m of the loss by a candidate; above 0 where curvature works
        against the search.
    candidate_sigma : array_like
        Standard deviation s_H of the change over candidates, in (0, inf).
    noise_sigma : array_like
        Standard deviation s_N of one comparison's noise, in [0, inf).
    repeats : array_like of int
        Repeats M of every comparison, averaged.

    Examples
    --------
    >>> round(float(progress(0.0, 1.0, 0.0)), 6)
    0.398942
    >>> bool(progress(0.5, 1.0, 2.0) < 0 < progress(0.5, 1.0, 2.0, repeats=4))
    True
    """
    m = floats(expect.finite(mean=mean))
    own = floats(expect.positive(candidate_sigma=candidate_sigma))
    noise = floats(expect.nonnegative(noise_sigma=noise_sigma))
    noise = noise / np.sqrt(floats(expect.integer(repeats=repeats)))
    arguments = tuple(np.broadcast_arrays(m, own, noise))
    good = arguments[0] <= 0.0
    return by_region(arguments, (good, _helped), (~good, _hindered))


def _helped(m: Array, own: Array, noise: Array) -> Array:
    """Both terms are positive."""
    width = np.hypot(own, noise)
    t = np.minimum(ratio(-m, width), 1e100)
    return own * (own / width) * pdf(t) - m * special.ndtr(t)


def _hindered(m: Array, own: Array, noise: Array) -> Array:
    width = np.hypot(own, noise)
    t = np.minimum(ratio(m, width), 1e100)
    quiet, loud = square(own / width), square(noise / width)
    return width * (pdf(t) * _search.kept(t, quiet, loud))


@law(
    formula="E/M",
    latex=r"\frac{E}{M},\quad E = \frac{s_H^2}{S}\,\varphi\left(\frac{m}{S}\right) - "
    r"m\,\Phi\left(-\frac{m}{S}\right),\quad S^2 = s_H^2 + \frac{s_N^2}{M}",
    symbols={
        "mean": _MEAN,
        "candidate_sigma": _CANDIDATE,
        "noise_sigma": _NOISE,
        "repeats": _REPEATS,
    },
    regime=_SEARCH,
    source="derived here",
)
def progress_per_query(
    mean: npt.ArrayLike,
    candidate_sigma: npt.ArrayLike,
    noise_sigma: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Mean fall of the loss per repeat of a comparison.

    At m = 0 it is s_H/√(2π M (M + s_N²/s_H²)), best without averaging.

    Parameters
    ----------
    mean : array_like
        Mean change m of the loss by a candidate.
    candidate_sigma : array_like
        Standard deviation s_H of the change over candidates, in (0, inf).
    noise_sigma : array_like
        Standard deviation s_N of one comparison's noise, in [0, inf).
    repeats : array_like of int
        Repeats M of every comparison, averaged.

    Examples
    --------
    >>> round(float(progress_per_query(0.0, 1.0, 2.0, 2)), 6)
    0.115165
    """
    return progress(mean, candidate_sigma, noise_sigma, repeats) / floats(repeats)


@law(
    formula="argmax over M >= 1 of E(M)/M",
    latex=r"\operatorname*{argmax}_{M \ge 1} \frac{1}{M}\left[\frac{s_H^2}{S}\,\varphi"
    r"\left(\frac{m}{S}\right) - m\,\Phi\left(-\frac{m}{S}\right)\right],\quad "
    r"S^2 = s_H^2 + \frac{s_N^2}{M}",
    symbols={
        "mean": _MEAN,
        "candidate_sigma": _CANDIDATE,
        "noise_sigma": _NOISE,
    },
    regime=_SEARCH,
    source="derived here",
)
def best_repeats(
    mean: npt.ArrayLike, candidate_sigma: npt.ArrayLike, noise_sigma: npt.ArrayLike
) -> Floats:
    """Repeats of every comparison with the most progress per query.

    1 where candidates do good on average; from there the count rises with the noise,
    as M ≈ k s_N²/s_H² with k between 1.78 and 6.28 (m/s_H)².

    Parameters
    ----------
    mean : array_like
        Mean change m of the loss by a candidate.
    candidate_sigma : array_like
        Standard deviation s_H of the change over candidates, in (0, inf).
    noise_sigma : array_like
        Standard deviation s_N of one comparison's noise, in [0, inf).

    Examples
    --------
    >>> best_repeats([0.0, 0.3, 0.5, 1.0], 1.0, 2.0).tolist()
    [1.0, 2.0, 4.0, 11.0]
    """
    m = floats(expect.finite(mean=mean))
    own = floats(expect.positive(candidate_sigma=candidate_sigma))
    noise = ratio(expect.nonnegative(noise_sigma=noise_sigma), own)
    with np.errstate(over="ignore"):
        centre = np.clip(m / own, -1e150, 1e150)
    centre, noise = np.broadcast_arrays(centre, noise)
    helped = centre <= 0.0
    return by_region(
        (centre, noise),
        (helped, lambda m, r: np.ones_like(m)),
        (~helped, _search.best_repeats),
    )
