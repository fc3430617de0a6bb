"""Query counts, some of them censored, and said to be so; plain data, no torch."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from querytax import expect
from querytax.intervals import share

__all__ = ["QueryCount"]


@dataclass(frozen=True)
class QueryCount:
    """Queries until success, right-censored where the budget ended first.

    Attributes
    ----------
    queries : ndarray
        ``(N,)``, queries until success; the budget where there was none within it; or
        what a run had spent when it crashed.
    success : ndarray
        ``(N,)`` bool; where False the true count is larger than ``queries``.
    cut : ndarray, optional
        ``(N,)`` bool: runs that crashed. Kaplan-Meier's quantiles count them up to
        there; success rates leave those without success out, which are no success of
        a defence.
    """

    queries: np.ndarray
    success: np.ndarray
    cut: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.cut is None:
            object.__setattr__(self, "cut", np.zeros(self.success.shape, dtype=bool))

    def rate(self, within: float = math.inf) -> float:
        """Attack success rate within a number of queries, over the runs not cut.

        NaN where there is none.
        """
        fell = self._uncut()
        if not fell.size:
            return math.nan
        return float(np.mean(fell & (self.queries[~self._lost()] <= within)))

    def _lost(self) -> np.ndarray:
        """Runs of which nothing is known: cut off before any success."""
        return np.asarray(self.cut) & ~self.success

    def _uncut(self) -> np.ndarray:
        fell: np.ndarray = self.success[~self._lost()]
        return fell

    def quantile(self, q: float = 0.5) -> float:
        """Kaplan-Meier quantile of the count; infinite if never reached.

        Parameters
        ----------
        q : float
            In (0, 1); 0.5 is the median.
        """
        expect.probability(q=q)
        if not self.success.any():
            return math.inf
        survival = self._fit.sf
        reached = survival.probabilities <= 1.0 - q + 1e-12
        return float(survival.quantiles[reached][0]) if reached.any() else math.inf

    def interval(self, q: float = 0.5, confidence: float = 0.95) -> tuple[float, float]:
        """Confidence interval of the quantile, from Greenwood's band inverted.

        The ends are 0 and infinite where the runs are too few to bound the quantile.
        """
        expect.probability(q=q)
        expect.probability(confidence=confidence)
        level = 1.0 - q
        # Before the first success: so few runs may all have been lucky.
        if not self.success.size or self._edge(confidence) <= level:
            begin = 0.0
        else:
            begin = float(self.queries.min())
        if not self.success.any():
            return begin, math.inf
        at, _, low, high = self._band(confidence)
        first = at[low <= level]
        last = at[high <= level]
        start = float(first[0]) if first.size else math.inf
        return (
            start if begin else 0.0,
            float(last[0]) if last.size else math.inf,
        )

    def curve(self, confidence: float = 0.95) -> dict[str, np.ndarray]:
        """Kaplan-Meier success rate against queries, with its pointwise band.

        Returns
        -------
        dict
            ``queries``, ``rate``, ``lower`` and ``upper``, ascending; steps to the
            right. Where nobody or everybody has fallen the band is not defined by
            Greenwood's formula, and Clopper and Pearson's stands in for it. Without
            any run, all empty.
        """
        expect.probability(confidence=confidence)
        if not self.success.size:
            return dict.fromkeys(("queries", "rate", "lower", "upper"), np.zeros(0))
        if not self.success.any():
            edge = self._edge(confidence)
            at, rate = np.array([float(self.queries.max())]), np.zeros(1)
            low, high = np.array([edge]), np.ones(1)
        else:
            at, rate, low, high = self._band(confidence)
        return {"queries": at, "rate": rate, "lower": 1.0 - high, "upper": 1.0 - low}

    def upto(self, images: int, n_queries: int) -> QueryCount:
        """The first so many runs, as a smaller budget would have seen them."""
        cut = np.asarray(self.cut)[:images]
        queries, success = self.queries[:images], self.success[:images]
        success = success & (queries <= n_queries)
        # A run that crashed later than that had failed by then, and is known.
        return QueryCount(
            np.minimum(queries, n_queries), success, cut & (queries < n_queries)
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data: the rate, the median and a tenth, with 95 % intervals."""
        fell = self._uncut()
        rate = share(int(fell.sum()), fell.size) if fell.size else None
        return {
            "success_rate": rate.value if rate else None,
            "success_interval_95": [rate.lower, rate.upper] if rate else [None, None],
            "n_censored": int((~self.success).sum()),
            "median_queries": _finite(self.quantile()),
            "first_tenth_queries": _finite(self.quantile(0.1)),
            "median_interval_95": [_finite(v) for v in self.interval()],
        }

    def _edge(self, confidence: float) -> float:
        """Clopper and Pearson's lower bound of survival where all runs survive."""
        return float(((1.0 - confidence) / 2.0) ** (1.0 / self.success.size))

    def _band(self, confidence: float) -> tuple[np.ndarray, ...]:
        """Queries, success rate, and the band of survival: Greenwood's, log-log."""
        survival = self._fit.sf
        # Log-log intervals are undefined where nobody or everybody has fallen, and
        # scipy says so with a warning. The bounds there are exact.
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            band = survival.confidence_interval(confidence, method="log-log")
        left, edge = survival.probabilities, self._edge(confidence)
        low = np.where(left >= 1.0, edge, band.low.probabilities)
        high = np.where(left <= 0.0, 1.0 - edge, band.high.probabilities)
        return (
            survival.quantiles,
            1.0 - left,
            np.nan_to_num(low, nan=0.0),
            np.nan_to_num(high, nan=1.0),
        )

    @cached_property
    def _fit(self) -> Any:
        """Kaplan and Meier's, which takes a sort."""
        from scipy import stats

        done = self.queries[self.success].astype(float)
        cut = self.queries[~self.success].astype(float)
        return stats.ecdf(stats.CensoredData(uncensored=done, right=cut))


def _finite(value: float) -> float | None:
    """JSON has no infinity and no NaN: a quantile never reached is null."""
    return value if math.isfinite(value) else None
