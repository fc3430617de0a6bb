"""Bounds of what chance brings about, exact for noise of any law.

Each is for one null hypothesis: answers to one image that are exchangeable, as those of
sound noise are. No bound is asymptotic, and none knows the noise's law.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Likeness",
    "agree",
    "kendall_bound",
    "likeness",
    "matching_bound",
    "monotone_bound",
    "period_bound",
    "share_at_least",
    "share_at_most",
]

Array = NDArray[np.float64]


class Likeness(NamedTuple):
    """How alike the noises of two series of answers are.

    ``matches`` of ``n`` answers have their counterpart for nearest neighbour, Kendall's
    ``tau`` is that of the principal component that shows the most, and ``chance``
    bounds the probability of either.
    """

    n: int
    matches: int
    tau: float
    chance: float

    @property
    def same(self) -> bool:
        """Whether it is one noise, rather than two with a part in common."""
        return self.matches >= self.n / 2


def likeness(a: Array, b: Array, rng: np.random.Generator) -> Likeness:
    """Whether the rows of ``a`` and ``b``, ``(n, C)``, go together in pairs.

    The null hypothesis: the rows of ``b`` could stand in any order, given ``a``.
    """
    n = len(a)
    both = np.concatenate((a, b))
    spread = both.std(0)
    live = spread > 0
    if n < 2 or not live.any():
        return Likeness(n, 0, 0.0, 1.0)
    both = (both[:, live] - both[:, live].mean(0)) / spread[live]
    a, b = both[:n], both[n:]
    # Ties are broken by chance, the same for all places of ``b``.
    order = rng.permutation(n)
    gaps = ((a[:, None] - b[order][None]) ** 2).sum(2)
    nearest = order[gaps.argmin(1)]
    # What has many nearest neighbours by ties must not have its own by its place.
    matches = int((nearest == np.arange(n)).sum())
    # Directions that do not change when the rows of ``b`` do.
    _, _, axes = np.linalg.svd(both, full_matrices=False)
    axes = axes[:3]
    best, least = 0.0, 1.0
    for axis in axes:
        tau, bound = _kendall(a @ axis, b @ axis, rng)
        if bound < least or not best:
            best, least = tau, min(least, bound)
    chance = min(1.0, 2 * min(matching_bound(matches), least * len(axes)))
    return Likeness(n, matches, best, chance)


def matching_bound(matches: int) -> float:
    """P(at least so many of n pairs match), for a random order: at most 1 / matches!.

    The k-th factorial moment of the number of i with pi(i) = c(i) is at most 1 for any
    map c, and Markov's inequality does the rest. It holds for every n.
    """
    return math.exp(-math.lgamma(matches + 1))


def kendall_bound(discordant: float, n: int) -> float:
    """P(Kendall's count of discordant pairs is as far from its mean), at most.

    Under a random order the count is a sum of independent uniform numbers on 0..j, j =
    0..n-1 (its inversions, column by column), and Chernoff's bound is taken at the best
    of some exponents.
    """
    mean = n * (n - 1) / 4
    off = abs(discordant - mean)
    if not off:
        return 1.0
    j = np.arange(1, n, dtype=float)
    variance = n * (n - 1) * (2 * n + 5) / 72
    best = 0.0
    for factor in (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 9.0, 20.0):
        t = factor * off / variance
        # E exp(t (U - j/2)) of U uniform on 0..j: sinh((j+1) t/2) / ((j+1) sinh(t/2))
        top = (j + 1) * t / 2
        logs = top + np.log1p(-np.exp(-2 * top)) - math.log(2) - np.log(j + 1)
        half = t / 2
        logs -= half + math.log1p(-math.exp(-2 * half)) - math.log(2)
        best = min(best, float(logs.sum()) - t * off)
    return min(1.0, 2 * math.exp(best))


def _kendall(a: Array, b: Array, rng: np.random.Generator) -> tuple[float, float]:
    """Kendall's tau, ties broken by chance, and its bound."""
    n = len(a)
    first = np.lexsort((rng.random(n), a))
    ranks = np.empty(n)
    ranks[np.lexsort((rng.random(n), b))] = np.arange(n)
    ordered = ranks[first]
    above = np.triu(ordered[:, None] > ordered[None], 1)
    discordant = float(above.sum())
    pairs = n * (n - 1) / 2
    return 1 - 2 * discordant / pairs, kendall_bound(discordant, n)


def agree(
    values: Array, others: Array, rng: np.random.Generator
) -> tuple[float, float]:
    """Kendall's tau of two series of numbers, and a bound of its chance."""
    return _kendall(values, others, rng)


def period_bound(codes: NDArray[np.int64], period: int) -> float:
    """P(a random order of these values comes round with this period), at most.

    ``codes`` number the distinct values. Every periodic order is told by its first
    ``period`` values: ``period!`` words at most if all of them differ, else
    ``distinct ** period``.
    """
    counts = np.unique(codes, return_counts=True)[1]
    distinct = len(counts)
    words = (
        math.lgamma(period + 1) if distinct == period else period * math.log(distinct)
    )
    orders = math.lgamma(len(codes) + 1) - sum(math.lgamma(c + 1) for c in counts)
    return math.exp(min(0.0, words - orders))


def monotone_bound(n: int) -> float:
    """P(n distinct values rise all the way, or fall) in a random order."""
    return math.exp(min(0.0, math.log(2) - math.lgamma(n + 1)))


def share_at_least(successes: int, n: int, chance: float) -> float:
    """Clopper and Pearson's lower bound of a share, wrong with ``chance`` at most."""
    if not successes:
        return 0.0
    from scipy.special import betaincinv

    return float(betaincinv(successes, n - successes + 1, chance))


def share_at_most(successes: int, n: int, chance: float) -> float:
    """Clopper and Pearson's upper bound of a share, wrong with ``chance`` at most."""
    return 1.0 - share_at_least(n - successes, n, chance)
