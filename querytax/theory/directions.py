"""Where a budget of queries goes: into more directions, or into repeats.

Gradient estimates average B directions u ~ N(0, I); a search accepts or rejects one
candidate at a time.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax import expect
from querytax.theory.angle import FORMS
from querytax.theory.law import Given, law
from querytax.theory.numerics import search as _search
from querytax.theory.numerics.floats import Array, Floats, by_region, ratio, square
from querytax.theory.numerics.gaussian import pdf

_LINEAR = "linear loss, normal directions, fresh normal noise on every query"
_SEARCH = (
    "normal changes, normal noise independent of them, every measured "
    "improvement accepted"
)


def _noise_ratio(probe: Floats, sigma: Floats) -> Floats:
    # Kept finite, so that a flat loss times it stays 0.
    return np.minimum(ratio(sigma, probe), np.finfo(float).max)


@law(
    "tr Cov = (2/Q) G² [M (d+1) + 2 d σ²/μ²]; antithetic: d σ²/(2μ²); "
    "centred: G² [M (d+1) + d σ²/μ²]/(Q - M)",
    "derived here",
    regime=f"{_LINEAR}; Q a multiple of the queries per direction",
    value="[0, inf]; rises in gradient_norm dimension sigma repeats; falls "
    "in probe queries",
)
def spread(
    gradient_norm: Given,
    probe: Given,
    sigma: Given,
    dimension: Given,
    queries: Given,
    repeats: Given = 1,
    differences: str = "forward",
) -> Floats:
    """Total variance of a gradient estimate from a budget of queries.

    It rises with the repeats in every form: new directions are always better.

    >>> round(float(spread(1.0, 0.01, 0.02, 100, 120)), 4)
    15.0167
    >>> round(float(spread(1.0, 0.01, 0.02, 100, 120, differences="antithetic")), 4)
    5.0167
    """
    expect.that(queries >= 2.0 * repeats, ">= 2 repeats", queries=queries)
    noise, cost = FORMS[differences]
    alpha = _noise_ratio(probe, sigma)
    with np.errstate(over="ignore"):
        own = repeats * (dimension + 1.0) * square(gradient_norm)
        own = own + noise * dimension * square(alpha * gradient_norm)
        # Centred answers take one query each, the others two.
        return own * ((2.0 - cost) / (queries - cost * repeats))


@law(
    "tr Cov = G² [(d+1) + d (1 + 1/M₀) σ²/μ²]/(Q - M₀)",
    "derived here",
    regime=f"{_LINEAR} but the base's, which all directions share",
    value="[0, inf]; rises in gradient_norm dimension sigma; falls in probe queries",
)
def cached_spread(
    gradient_norm: Given,
    probe: Given,
    sigma: Given,
    dimension: Given,
    base_repeats: Given,
    queries: Given,
) -> Floats:
    """Total variance of forward differences from a base value asked once.

    >>> [round(float(cached_spread(1.0, 0.01, 0.02, 100, m, 120)), 3) for m in (1, 9)]
    [7.571, 4.914]
    """
    expect.that(queries >= base_repeats + 1.0, "> base_repeats", queries=queries)
    alpha = _noise_ratio(probe, sigma)
    with np.errstate(over="ignore"):
        noise = dimension * (1.0 + 1.0 / base_repeats) * square(alpha * gradient_norm)
        own = (dimension + 1.0) * square(gradient_norm)
        return (own + noise) / (queries - base_repeats)


@law(
    "M₀ = max{1, ⌈(√((a+2c)² + 4ac(Q-1)) - a - 2c)/(2a)⌉}, c = d σ²/μ², a = d + 1 + c",
    "derived here",
    regime="minimiser of directions.cached_spread over whole numbers",
    domain={"queries": "[2, inf)"},
    value="[1, inf]; rises in dimension sigma queries; falls in probe",
)
def best_base_repeats(
    probe: Given, sigma: Given, dimension: Given, queries: Given
) -> Floats:
    """Repeats of a shared base query that leave the least variance.

    One more repeat pays as long as a M(M+1) < c (Q - 1 - 2M).

    >>> float(best_base_repeats(0.01, 0.02, 100, 120))
    9.0
    """
    # c/a, whose size alone matters.
    with np.errstate(divide="ignore", over="ignore"):
        odds = dimension * square(ratio(sigma, probe))
        share = 1.0 / (1.0 + (dimension + 1.0) / odds)
    middle = 1.0 + 2.0 * share
    root = np.sqrt(square(middle) + 4.0 * share * (queries - 1.0))
    best = np.maximum(np.ceil(2.0 * share * (queries - 1.0) / (middle + root)), 1.0)
    # A whole root may be rounded up.
    below = best - 1.0
    spare = (below >= 1.0) & (below * best >= share * (queries - 1.0 - 2.0 * below))
    return np.where(spare, below, best)[()]


@law(
    "E = √(2/π) G μ",
    "RND 2021, Remark 2, G μ √d at most; corrected: the dimension has no part",
    regime="linear loss, probe μu, u ~ N(0, I)",
    value="[0, inf]; rises in gradient_norm probe",
)
def probe_change(gradient_norm: Given, probe: Given) -> Floats:
    """Mean size of the loss's change over one random probe.

    >>> round(float(probe_change(2.0, 0.1)), 6)
    0.159577
    """
    return np.sqrt(2.0 / np.pi) * gradient_norm * probe


@law(
    "E = (s_H²/W) φ(m/W) - m Φ(-m/W), W² = s_H² + s_N²/M",
    "derived here; RFD 2024, Theorem 1, counts wrong signs only, at m = 0",
    regime=_SEARCH,
    value="(-inf, inf); rises in repeats; falls in comparison_sigma",
)
def progress(
    mean_change: Given,
    candidate_sigma: Given,
    comparison_sigma: Given,
    repeats: Given = 1,
) -> Floats:
    """Mean fall of the loss per candidate of an accept-or-reject search.

    Negative where noise makes the search accept what does harm.

    >>> round(float(progress(0.0, 1.0, 0.0)), 6)
    0.398942
    >>> bool(progress(0.5, 1.0, 2.0) < 0 < progress(0.5, 1.0, 2.0, repeats=4))
    True
    """
    noise = comparison_sigma / np.sqrt(repeats)
    good = mean_change <= 0.0
    return by_region(
        (mean_change, candidate_sigma, noise), (good, _helped), (~good, _hindered)
    )


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
    "E/M",
    "derived here",
    regime=_SEARCH,
    value="(-inf, inf); falls in comparison_sigma",
)
def progress_per_query(
    mean_change: Given,
    candidate_sigma: Given,
    comparison_sigma: Given,
    repeats: Given = 1,
) -> Floats:
    """Mean fall of the loss per repeat of a comparison.

    At m = 0 it is s_H/√(2π M (M + s_N²/s_H²)), best without averaging.

    >>> round(float(progress_per_query(0.0, 1.0, 2.0, 2)), 6)
    0.115165
    """
    return progress(mean_change, candidate_sigma, comparison_sigma, repeats) / repeats


@law(
    "argmax over M >= 1 of E(M)/M",
    "derived here",
    regime=_SEARCH,
    value="[1, inf]; rises in mean_change comparison_sigma; falls in candidate_sigma",
)
def best_repeats(
    mean_change: Given, candidate_sigma: Given, comparison_sigma: Given
) -> Floats:
    """Repeats of every comparison with the most progress per query.

    1 where candidates do good on average; from there the count rises with the noise,
    as M ≈ k s_N²/s_H² with k between 1.78 and 6.28 (m/s_H)².

    >>> best_repeats([0.0, 0.3, 0.5, 1.0], 1.0, 2.0).tolist()
    [1.0, 2.0, 4.0, 11.0]
    """
    noise = ratio(comparison_sigma, candidate_sigma)
    with np.errstate(over="ignore"):
        centre = np.clip(mean_change / candidate_sigma, -1e150, 1e150)
    helped = centre <= 0.0
    return by_region(
        (centre, noise),
        (helped, lambda m, r: np.ones_like(m)),
        (~helped, _search.best_repeats),
    )
