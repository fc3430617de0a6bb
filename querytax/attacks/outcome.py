"""What an attack cost: query counts, some of them censored, and said to be so."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from querytax import expect
from querytax.intervals import share
from querytax.plans import Plan

__all__ = ["CUT", "ENDED", "SUCCESSES", "AttackResult", "QueryCount"]

# Four meanings of success, the most generous to the attacker first.
SUCCESSES = ("noisy", "submitted", "confirmed", "clean")

# The status of a run whose attack had nothing more to ask; and how those begin that
# say nothing about what the rest of the budget would have brought.
ENDED = "ended"
CUT = ("crashed", "out of time")


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
        survival = self._fit().sf
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
        survival = self._fit().sf
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
    plan : Plan
    budget : int
        Queries an image.
    attacked : ndarray
        ``(N,)`` bool: images that the clean model got right (for a targeted attack:
        did not already give the target). The others are not attacked, and counts are
        over the attacked ones alone.
    noisy : QueryCount
        Until one noisy answer to an image inside the budget was adversarial. The most
        generous meaning: noise alone brings it about.
    submitted : QueryCount
        Until the same image was sent ``votes`` times more, and one of these answers at
        least was adversarial: an attacker who may submit so often has won.
    confirmed : QueryCount
        Until the majority of these answers was: the attacker may stop. All of these
        queries are counted.
    clean : QueryCount
        Until an image that was handed in is adversarial for the model without noise.
        The run goes on after the attacker could have stopped until this is known.
    total_queries : int
        Rows that the model with its noise answered.
    images : object
        The confirmed images, or the last that were handed in, in the type that the
        attack was given; ``None`` unless asked.
    seed : int
    votes : int
    access : {"scores", "top1", "labels"}
        What the API gave away.
    spent : dict of str to ndarray
        ``(n_attacked,)`` rows by purpose: ``start``, ``search``, ``line``, ``votes``.
        They sum to all rows asked about an image.
    status : tuple of str
        ``(N,)``: ``broken`` (confirmed, and the clean model fooled), ``open`` (the
        budget ended), ``ended`` (the attack had nothing more to ask), ``misclassified``
        or ``target already`` (not attacked), ``crashed: ...``, or why the attack gave
        the image up.
    judged : int
        Rows that the model without its noise answered, to tell who is attacked and
        what fools it; charged to nobody.
    own_noise : bool
        Whether the model, without a defence of ours, answered the same image in two
        ways: ``clean`` is then one more of its noisy answers.
    """

    plan: Plan
    budget: int
    attacked: np.ndarray
    noisy: QueryCount
    submitted: QueryCount
    confirmed: QueryCount
    clean: QueryCount
    total_queries: int
    seed: int
    votes: int
    access: str
    spent: dict[str, np.ndarray]
    status: tuple[str, ...]
    judged: int = 0
    own_noise: bool = False
    images: Any = None

    @property
    def broken(self) -> QueryCount:
        """Until confirmed by votes and adversarial without the noise, both."""
        both = self.confirmed.success & self.clean.success
        most = np.maximum(self.confirmed.queries, self.clean.queries)
        return QueryCount(most, both, self.confirmed.cut)

    def to_json(self) -> dict[str, Any]:
        """Plain data: rates, medians with intervals, censored counts, the charges."""
        return {
            "attack": self.plan.attack,
            "recipe": self.plan.name,
            "plan": self.plan.describe(),
            "settings": dataclasses.asdict(self.plan),
            "access": self.access,
            "votes": self.votes,
            "budget": self.budget,
            "seed": self.seed,
            "n_attacked": int(self.attacked.sum()),
            "total_queries": self.total_queries,
            "judged_free_of_charge": self.judged,
            "own_noise": self.own_noise,
            "queries_by_purpose": {
                purpose: int(rows.sum()) for purpose, rows in self.spent.items()
            },
            "status": dict(Counter(word.partition(":")[0] for word in self.status)),
            "crashes": [w for w in self.status if w.startswith("crashed")],
            **{name: getattr(self, name).to_json() for name in (*SUCCESSES, "broken")},
        }


def _finite(value: float) -> float | None:
    """JSON has no infinity and no NaN: a quantile never reached is null."""
    return value if math.isfinite(value) else None
