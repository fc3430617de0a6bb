"""Numerics of the records of exchangeable draws.

Of Q draws in random order the k-th is the best so far with probability 1/k,
independently: R records, E z^R = Γ(Q+z)/(Γ(z) Γ(Q+1)).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.polynomial import polynomial
from scipy import special

from querytax.theory._floats import Array, by_region
from querytax.theory._gaussian import legendre

SMALL = 128


@cache
def tables() -> tuple[Array, Array, Array, Array]:
    """ln P(R), E(R-1), Var R and E √(R-1) for Q up to 128, from exact integers."""
    law = np.full((SMALL + 1, SMALL + 1), -np.inf)
    mean, variance, root = np.zeros((3, SMALL + 1))
    row, factorial = [0, 1], 1
    for q in range(1, SMALL + 1):
        if q > 1:
            # Stirling numbers of the first kind, without sign.
            row = [
                (row[r - 1] if r else 0) + (q - 1) * (row[r] if r < q else 0)
                for r in range(q + 1)
            ]
            factorial *= q
        for r in range(1, q + 1):
            law[q, r] = _log_ratio(row[r], factorial)
        chance = np.exp(law[q, 1 : q + 1])
        accepted = np.arange(q)
        root[q] = np.sqrt(accepted) @ chance
        k = np.arange(2.0, q + 1.0)
        mean[q], variance[q] = (1.0 / k).sum(), ((1.0 - 1.0 / k) / k).sum()
    return law, mean, variance, root


def _log_ratio(part: int, whole: int) -> float:
    """ln(part/whole), of integers that floats may not hold."""
    shift = whole.bit_length() - part.bit_length()
    return float(np.log((part << shift) / whole) - shift * np.log(2.0))


def _stirling(z: Array) -> Array:
    """ln Γ(z) - (z - 1/2) ln z + z - ln √(2π), for |z| > 60."""
    even = 1.0 / z / z
    return (1.0 - even * (1.0 / 30.0 - even * (1.0 / 105.0 - even / 140.0))) / 12.0 / z


def log_rising(queries: Array, z: Array) -> Array:
    """ln Γ(Q+z) - ln Γ(Q+1), Q > 128, |z| at most about Q."""
    q = queries
    rise = (q - 0.5) * special.log1p(z / q) - (q + 0.5) * special.log1p(1.0 / q)
    bent = z * (special.log1p(z / q) - 1.0) + 1.0
    return (z - 1.0) * np.log(q) + rise + bent + _stirling(q + z) - _stirling(q + 1.0)


def log_pmf(records: Array, queries: Array) -> Array:
    """ln P(R) for Q > 128, R <= Q/2: trapezoids on the circle through the saddle.

    On the circle the law is a tilted one of mean R, and its terms fall off from it.
    """
    r = np.maximum(records, 1.0)
    z = _saddle(r, queries)
    share = special.digamma(queries + z) - special.digamma(z)
    bend = special.polygamma(1, z) - _trigamma_far(queries + z)
    spread = np.maximum(z * (share - z * bend), 0.0)
    # Aliases come from count further records, Bernstein's bound below e⁻⁴⁵.
    count = 2.0 * np.ceil(0.5 * (32.0 + 10.0 * np.sqrt(spread)))
    # No node past the angle at which exp(-spread(1 - cos)) is e⁻⁴².
    j = np.arange(52.0)
    angle = (2.0 * np.pi / count)[:, None] * j
    inside = j <= (0.5 * count)[:, None]
    weight = np.where((j == 0.0) | (j == (0.5 * count)[:, None]), 1.0, 2.0)
    point = z[:, None] * np.exp(1j * np.minimum(angle, np.pi))

    def height(point: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            return log_rising(queries[:, None], point) - special.loggamma(point)

    top = height(z[:, None] + 0j)
    turned = height(point) - top - 1j * r[:, None] * angle
    terms = np.where(inside & np.isfinite(turned.real), np.exp(turned).real, 0.0)
    total = (weight * terms).sum(axis=1) / count
    found: Array = top[:, 0].real - r * np.log(z) + np.log(total)
    return found


def _trigamma_far(x: Array) -> Array:
    return special.polygamma(1, np.minimum(x, 1e150)) * (1e150 / np.maximum(x, 1e150))


def _saddle(records: Array, queries: Array) -> Array:
    """z with z(ψ(Q+z) - ψ(z)) = R; 0 < z < Q for R <= Q/2, here R > 1."""
    low = np.full_like(records, np.log(1e-3))
    high = np.log(np.minimum(records + 1.0, queries))
    target = np.maximum(records, 1.01)
    for _ in range(45):
        middle = 0.5 * (low + high)
        z = np.exp(middle)
        over = z * (special.digamma(queries + z) - special.digamma(z)) > target
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return np.exp(0.5 * (low + high))


@cache
def _lgamma_series() -> Array:
    """Coefficients of ln Γ(2 - w) about w = 0: Σ (ζ(k) - 1) wᵏ/k, and (γ - 1) w."""
    k = np.arange(2.0, 62.0)
    return np.concatenate([[0.0, np.euler_gamma - 1.0], special.zetac(k) / k])


@cache
def _root_nodes() -> tuple[Array, Array]:
    """Weights of panels in y for ∫ (1 - E exp(-y² N)) dy/y², and w = 1 - exp(-y²)."""
    u, weight = legendre(24)
    edges = np.array([0.0, 0.04, 0.1, 0.22, 0.45, 0.8, 1.3, 2.2, 3.6, 6.4])
    y = (edges[:-1, None] + np.diff(edges)[:, None] * u).ravel()
    step = (np.diff(edges)[:, None] * weight).ravel()
    return step / np.square(y), -np.expm1(-np.square(y))


def root_mean(queries: Array) -> Array:
    """E √N for Q > 128, N = R - 1: √N = ∫ (1 - exp(-y² N))/y² dy/√π."""
    weight, w = _root_nodes()
    gamma = polynomial.polyval(w, _lgamma_series())
    column = queries[:, None]
    inside = -(weight * np.expm1(_fall(column, w) - gamma)).sum(axis=1)
    # Beyond the last panel exp(-y²) is nought, and P(N = 0) = 1/Q is left.
    return (inside + (1.0 - 1.0 / queries) / 6.4) / np.sqrt(np.pi)


def _fall(queries: Array, w: Array) -> Array:
    """ln Γ(Q+1-w) - ln Γ(Q+1) for 0 <= w <= 1, to all digits of w."""
    x = queries + 1.0
    cut = np.log1p(-w / x)
    bent = (x - 0.5 - w) * cut + w - w * np.log(x)
    return bent + (_stirling(x - w) - _stirling(x))


@cache
def _levels() -> tuple[Array, Array]:
    """-Q ln Φ(best) is exponential: its values and weights, evenly in its logarithm."""
    log = 0.2 * np.arange(-200.0, 21.0)
    value = np.exp(log)
    return value, 0.2 * value * np.exp(-value)


def best(queries: Array) -> Array:
    """Mean of the greatest of Q standard normals."""
    value, weight = _levels()
    # Sums, not products of matrices: those round by the number of rows.
    mean: Array = (weight * special.ndtri_exp(-value / queries[:, None])).sum(axis=1)
    return np.where(queries == 1.0, 0.0, mean)


def small_or_far(table: Array, queries: Array, far: Callable[[Array], Array]) -> Array:
    """Look a small Q up, and work a large one out."""
    return by_region(
        (queries,),
        (queries <= SMALL, lambda q: table[q.astype(int)]),
        (queries > SMALL, far),
    )
