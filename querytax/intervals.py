"""Measured numbers with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from querytax import expect

__all__ = [
    "LEVEL",
    "Interval",
    "about",
    "changed",
    "exact",
    "mean",
    "quantile",
    "share",
]

# Of every interval here.
LEVEL = 0.95


class Interval(NamedTuple):
    """A value, its 95 % interval, and the number of samples behind it."""

    value: float
    lower: float
    upper: float
    n: int


def exact(value: float, n: int = 1) -> Interval:
    """A number without sampling error: computed, or counted in full."""
    return Interval(float(value), float(value), float(value), n)


def share(successes: int, n: int) -> Interval:
    """A share of independent trials, with Wilson's interval.

    Raises
    ------
    DomainError
        Unless ``0 <= successes <= n`` and ``n > 0``.
    """
    from scipy.stats import binomtest

    expect.integer(1, n=n)
    expect.that(0 <= successes <= n, f"in [0, {n}]", successes=successes)
    found = binomtest(int(successes), int(n)).proportion_ci(LEVEL, method="wilson")
    return Interval(successes / n, float(found.low), float(found.high), int(n))


def mean(values: npt.ArrayLike) -> Interval:
    """A mean of independent values, with Student's interval.

    One value alone has an infinite interval; NaN among them is refused.
    """
    from scipy.special import stdtrit

    x = _values(values)
    if x.size == 1:
        return Interval(float(x[0]), -math.inf, math.inf, 1)
    half = float(stdtrit(x.size - 1, 0.5 + LEVEL / 2) * x.std(ddof=1)) / x.size**0.5
    centre = float(x.mean())
    return Interval(centre, centre - half, centre + half, x.size)


def quantile(values: npt.ArrayLike, q: float) -> Interval:
    """A quantile of independent values, its interval from the order statistics.

    The interval holds for every distribution; a side that the sample is too small to
    bound is infinite.
    """
    from scipy.stats import binom

    expect.probability(q=q)
    x = np.sort(_values(values))
    n = x.size
    tail = (1.0 - LEVEL) / 2.0
    # The quantile lies below the k-th smallest with probability P(Bin(n, q) >= k).
    low = int(binom.ppf(tail, n, q))
    high = int(binom.ppf(1.0 - tail, n, q)) + 1
    lower = float(x[low - 1]) if low >= 1 else -math.inf
    upper = float(x[high - 1]) if high <= n else math.inf
    return Interval(float(np.quantile(x, q)), lower, upper, n)


def changed(interval: Interval, function: Callable[[float], float]) -> Interval:
    """A rising or falling function of a measured number."""
    value, *ends = (float(function(x)) for x in interval[:3])
    return Interval(value, min(ends), max(ends), interval.n)


def about(law: float, excess: Interval) -> Interval:
    """What was measured, from its distance to a law that holds image by image."""
    return changed(excess, lambda x: law + x)


def _values(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    x = np.asarray(values, dtype=float).ravel()
    expect.that(x.size > 0, "not empty", values=x)
    return expect.finite(values=x)
