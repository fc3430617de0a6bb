"""What an attack cost: query counts, some of them censored, and said to be so."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from querytax import expect
from querytax.plans import NESPlan

__all__ = ["AttackResult", "QueryCount"]


@dataclass(frozen=True)
class QueryCount:
    """Queries until success, right-censored where the budget ended first.

    Attributes
    ----------
    queries : ndarray
        ``(N,)``, queries spent until success, or until the attack gave up.
    success : ndarray
        ``(N,)`` bool; where False the true count is larger than ``queries``.
    """

    queries: np.ndarray
    success: np.ndarray

    def rate(self, within: float = math.inf) -> float:
        """Attack success rate within a number of queries; NaN where N is 0."""
        if not self.success.size:
            return math.nan
        return float(np.mean(self.success & (self.queries <= within)))

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
        survival = self._fit().sf
        reached = survival.probabilities <= 1.0 - q + 1e-12
        return float(survival.quantiles[reached][0]) if reached.any() else math.inf

    def interval(self, q: float = 0.5, confidence: float = 0.95) -> tuple[float, float]:
        """Confidence interval of the quantile, from Greenwood's band inverted.

        The upper end is infinite where the runs are too few to bound the quantile.
        """
        expect.probability(q=q)
        expect.probability(confidence=confidence)
        if not self.success.any():
            return float(self.queries.min()) if self.queries.size else 0.0, math.inf
        survival = self._fit().sf
        # Log-log intervals are undefined where nobody or everybody has fallen, and
        # scipy says so with a warning. Such a point bounds the quantile from below
        # by the estimate, and not at all from above.
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            band = survival.confidence_interval(confidence, method="log-log")
        at, level = survival.quantiles, 1.0 - q
        low = np.where(
            np.isnan(band.low.probabilities),
            survival.probabilities,
            band.low.probabilities,
        )
        high = np.nan_to_num(band.high.probabilities, nan=1.0)
        first = at[low <= level]
        last = at[high <= level]
        return (
            float(first[0]) if first.size else math.inf,
            float(last[0]) if last.size else math.inf,
        )

    def _fit(self) -> Any:
        from scipy import stats

        done = self.queries[self.success].astype(float)
        cut = self.queries[~self.success].astype(float)
        return stats.ecdf(stats.CensoredData(uncensored=done, right=cut))


@dataclass(frozen=True)
class AttackResult:
    """One run of one plan on one model.

    Attributes
    ----------
    plan : NESPlan
    budget : int
        Queries an image.
    attacked : ndarray
        ``(N,)`` bool: images that the clean model got right (for a targeted attack:
        did not already give the target). The others are not attacked, and counts are
        over the attacked ones alone.
    confirmed : QueryCount
        Until the attacker may stop: one noisy answer says adversarial, and the majority
        of ``votes`` fresh ones agrees. All of these queries are counted.
    clean : QueryCount
        Until an iterate is adversarial for the model without noise. The run goes on
        after the attacker could have stopped until this is known as well.
    total_queries : int
        Rows that the oracle answered. More than the sum of the confirmed counts: an
        image whose attacker may stop goes on until ``clean`` is known.
    images : object
        The final images, in the type that the attack was given; ``None`` unless asked.
    seed : int
    """

    plan: NESPlan
    budget: int
    attacked: np.ndarray
    confirmed: QueryCount
    clean: QueryCount
    total_queries: int
    seed: int
    images: Any = None

    def to_json(self) -> dict[str, Any]:
        """Plain data: rates, medians with intervals, censored counts."""
        return {
            "plan": self.plan.describe(),
            "budget": self.budget,
            "seed": self.seed,
            "n_attacked": int(self.attacked.sum()),
            "total_queries": self.total_queries,
            **{
                name: {
                    "success_rate": _finite(count.rate()),
                    "n_censored": int((~count.success).sum()),
                    "median_queries": _finite(count.quantile()),
                    "first_tenth_queries": _finite(count.quantile(0.1)),
                    "median_interval_95": [_finite(v) for v in count.interval()],
                }
                for name, count in (
                    ("confirmed", self.confirmed),
                    ("clean", self.clean),
                )
            },
        }


def _finite(value: float) -> float | None:
    """JSON has no infinity and no NaN: a quantile never reached is null."""
    return value if math.isfinite(value) else None
