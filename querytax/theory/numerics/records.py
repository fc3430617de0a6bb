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

from querytax.theory.numerics.floats import Array, Floats, by_region
from querytax.theory.numerics.gaussian import legendre

SMALL = 128


@cache
def tables() -> tuple[Array, Array, Array, Array]:
    """ln P(R), E(R-1), Var R and E √(R-1) for Q up to 128, from exact integers."""
    law = np.full((SMALL + 1, SMALL + 1), -np.inf)
    mean, variance, root = np.zeros((3, SMALL + 1))
    row, factorial = [1], 1
    for q in range(1, SMALL + 1):
        # Stirling numbers of the first kind, without sign, and ln(row[r]/q!).
        row = [a + (q - 1) * b for a, b in zip([0, *row], [*row, 0], strict=True)]
        factorial *= q
        for r in range(1, q + 1):
            shift = factorial.bit_length() - row[r].bit_length()
            share = (row[r] << shift) / factorial
            law[q, r] = np.log(share) - shift * np.log(2.0)
        root[q] = np.sqrt(np.arange(q)) @ np.exp(law[q, 1 : q + 1])
        k = np.arange(2.0, q + 1.0)
        mean[q], variance[q] = (1.0 / k).sum(), ((1.0 - 1.0 / k) / k).sum()
    return law, mean, variance, root


def small_or_far(table: Array, queries: Array, far: Callable[[Array], Array]) -> Floats:
    """Look a small Q up, and work a large one out."""
    small = queries <= SMALL
    return by_region((queries,), (small, lambda q: table[q.astype(int)]), (~small, far))


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
    z = _saddle(records, queries)
    share = special.digamma(queries + z) - special.digamma(z)
    bend = special.polygamma(1, z) - special.polygamma(1, queries + z)
    spread = np.maximum(z * (share - z * bend), 0.0)
    # Aliases come from count further records, Bernstein's bound below e⁻⁴⁵.
    half = np.ceil(0.5 * (32.0 + 10.0 * np.sqrt(spread)))[:, None]
    # No node past the angle at which exp(-spread(1 - cos)) is e⁻⁴².
    j = np.arange(52.0)
    angle = (np.pi / half) * j
    weight = np.where((j == 0.0) | (j == half), 1.0, 2.0)

    def height(point: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            return log_rising(queries[:, None], point) - special.loggamma(point)

    top = height(z[:, None] + 0j)
    turned = height(z[:, None] * np.exp(1j * np.minimum(angle, np.pi)))
    turned = turned - top - 1j * records[:, None] * angle
    inside = (j <= half) & np.isfinite(turned.real)
    terms = np.where(inside, np.exp(turned).real, 0.0)
    total = (weight * terms).sum(axis=1) / (2.0 * half[:, 0])
    found: Array = top[:, 0].real - records * np.log(z) + np.log(total)
    return found


def _saddle(records: Array, queries: Array) -> Array:
    """z with z(ψ(Q+z) - ψ(z)) = R; 0 < z < Q for R <= Q/2, here R > 1."""
    low = np.full_like(records, np.log(1e-3))
    high = np.log(np.minimum(records + 1.0, queries))
    for _ in range(45):
        middle = 0.5 * (low + high)
        z = np.exp(middle)
        over = z * (special.digamma(queries + z) - special.digamma(z)) > records
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
    # ln Γ(Q+1-w) - ln Γ(Q+1), to all digits of w.
    x = queries[:, None] + 1.0
    bent = (x - 0.5 - w) * np.log1p(-w / x) + w - w * np.log(x)
    fall = bent + (_stirling(x - w) - _stirling(x))
    inside = -(weight * np.expm1(fall - gamma)).sum(axis=1)
    # Beyond the last panel exp(-y²) is nought, and P(N = 0) = 1/Q is left.
    return (inside + (1.0 - 1.0 / queries) / 6.4) / np.sqrt(np.pi)


@cache
def _levels() -> tuple[Array, Array]:
    """-Q ln Φ(best) is exponential: its values and weights, evenly in its logarithm."""
    value = np.exp(0.2 * np.arange(-200.0, 21.0))
    return value, 0.2 * value * np.exp(-value)


def best(queries: Array) -> Array:
    """Mean of the greatest of Q standard normals."""
    value, weight = _levels()
    # Sums, not products of matrices: those round by the number of rows.
    mean: Array = (weight * special.ndtri_exp(-value / queries[:, None])).sum(axis=1)
    return np.where(queries == 1.0, 0.0, mean)
