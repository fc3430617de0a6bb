"""Intervals that hold at every sample size at once: a run may stop when it likes.

A confidence sequence of level alpha misses the truth at some sample size with
probability alpha at most, over the whole run. Looking at it after every block costs
nothing. Counts and sums are all it needs: runs can be merged, saved and resumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from querytax import expect

__all__ = ["Moments", "mean_interval", "probability_interval", "quantile_ranks"]


def _log_evidence(count: Any, trials: float, p: float) -> Any:
    """ln of the uniform mixture's likelihood over that of ``p``: a martingale at p."""
    mixed = special.betaln(count + 1.0, trials - count + 1.0)
    return mixed - special.xlogy(count, p) - special.xlog1py(trials - count, -p)


def probability_interval(
    count: float, trials: float, alpha: float
) -> tuple[float, float]:
    """Interval for a probability that holds at every number of trials at once.

    Parameters
    ----------
    count, trials : float
        Successes among trials; whole numbers.
    alpha : float
        Probability of ever missing the truth, in (0, 1).

    Returns
    -------
    low, high : float
        The probabilities whose likelihood a uniform mixture does not beat by a factor
        1/alpha (Ville's inequality; the beta-binomial mixture of Robbins).

    Examples
    --------
    >>> low, high = probability_interval(50, 100, 0.05)
    >>> round(low, 3), round(high, 3)
    (0.345, 0.655)
    """
    expect.integer(0, trials=trials)
    expect.that(0 <= count <= trials, f"between 0 and {trials:g}", count=count)
    limit = -math.log(expect.probability(alpha=alpha))
    if trials == 0:
        return 0.0, 1.0
    centre = count / trials

    def edge(outside: float, inside: float) -> float:
        """Where the evidence crosses the limit, by bisection of logits."""
        if _log_evidence(count, trials, outside) <= limit:
            return outside
        for _ in range(200):
            middle = 0.5 * (outside + inside)
            if middle in (outside, inside):
                break
            if _log_evidence(count, trials, middle) > limit:
                outside = middle
            else:
                inside = middle
        return outside

    return edge(0.0, centre), edge(1.0, centre)


@dataclass(frozen=True)
class Moments:
    """Sums over draws, shifted by a centre that was known before them.

    Attributes
    ----------
    count : int
        Draws so far.
    total : float
        Sum of x - centre.
    spread : float
        Sum of (x - centre)².
    centre : float
        Near the mean, so that nothing cancels and the spread is the variance's.
    clipped : int
        Draws that were beyond stated bounds and count as these.
    """

    count: int = 0
    total: float = 0.0
    spread: float = 0.0
    centre: float = 0.0
    clipped: int = 0

    @property
    def mean(self) -> float:
        """Mean of the draws; the centre before the first."""
        return self.centre + (self.total / self.count if self.count else 0.0)

    @property
    def sound(self) -> bool:
        """Whether they could be sums over draws."""
        finite = all(map(math.isfinite, (self.total, self.spread, self.centre)))
        return finite and self.spread >= 0.0 and 0 <= self.clipped <= self.count

    def plus(self, other: Moments) -> Moments:
        """Both together; they must have one centre."""
        return self.after(other.count, other.total, other.spread, other.clipped)

    def after(
        self, count: int, total: float, spread: float, clipped: float = 0.0
    ) -> Moments:
        """With the sums of one more block."""
        return Moments(
            self.count + count,
            self.total + total,
            self.spread + spread,
            self.centre,
            self.clipped + round(clipped),
        )


def mean_interval(
    moments: Moments, low: float, high: float, alpha: float
) -> tuple[float, float]:
    """Interval for the mean of a bounded quantity, at every sample size at once.

    Parameters
    ----------
    moments : Moments
    low, high : float
        Bounds of one draw. Infinite ones leave the interval of the central limit
        theorem, made to hold at all sample sizes, which is asymptotic and said so by
        whoever reports it.
    alpha : float
        Probability of ever missing the truth, in (0, 1).

    Returns
    -------
    low, high : float

    Notes
    -----
    Empirical Bernstein: the deviation of the sum is below a boundary in the variance
    process Σ(x - c)², for any c known before the draw (Howard, Ramdas, McAuliffe and
    Sekhon 2021, Theorem 4, stitched with η = 2 and s = 1.4).
    """
    alpha = expect.probability(alpha=alpha)
    n, mean = moments.count, moments.mean
    if n == 0:
        return low, high
    if math.isinf(low) or math.isinf(high):
        # Mixture over normal shifts (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas).
        rho2 = 1e-4
        if moments.spread == 0.0:
            # Draws that are all the same say nothing about the rest.
            return low, high
        variance = moments.spread / n
        inner = (n * rho2 + 1.0) / (n * rho2)
        width = 2.0 * math.log(1.0 / alpha) + math.log(n * rho2 + 1.0)
        half = math.sqrt(variance * inner * width / n)
        return float(mean - half), float(mean + half)
    span = high - low
    variance = max(moments.spread, span**2)
    ratio = math.log(2.0 * variance / span**2) / math.log(2.0)
    level = 1.4 * math.log(max(ratio, 1.0)) + math.log(
        float(special.zeta(1.4)) / (0.5 * alpha)
    )
    k1, k2 = (2.0**0.25 + 2.0**-0.25) / math.sqrt(2.0), (math.sqrt(2.0) + 1.0) / 2.0
    linear = k2 * span * level
    half = (math.sqrt(k1**2 * variance * level + linear**2) + linear) / n
    return float(max(low, mean - half)), float(min(high, mean + half))


def quantile_ranks(share: float, trials: int, alpha: float) -> tuple[int, int]:
    """Ranks, from 1, of the order statistics that enclose a quantile at all times.

    Parameters
    ----------
    share : float
        Which quantile, in (0, 1).
    trials : int
        Draws so far.
    alpha : float
        Probability of ever missing the truth, in (0, 1).

    Returns
    -------
    low, high : int
        Rank 0 stands for minus infinity, ``trials + 1`` for infinity.
    """
    expect.probability(share=share)
    expect.integer(trials=trials)
    limit = -math.log(expect.probability(alpha=alpha))
    # The number of draws below the quantile is binomial with chance ``share``.
    counts = np.arange(trials + 1.0)
    kept = np.flatnonzero(_log_evidence(counts, trials, share) <= limit)
    return int(kept[0]), int(kept[-1]) + 1
