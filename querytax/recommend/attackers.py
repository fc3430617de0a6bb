"""Who the attacker is: the published attack, or the best answer to the defence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from querytax import expect
from querytax.plans import LOSSES, NESPlan
from querytax.recommend.prediction import PLACES, Predictor
from querytax.theory import query_ratio

__all__ = ["ATTACKERS", "Attacker"]

ATTACKERS = ("published", "best")

_PAIRS = (1, 4, 16, 64)
_STEPS = np.geomspace(1e-3, 1.0, 13)
_CANDIDATES = 3
_SEARCH_IMAGES = 128


@dataclass(frozen=True)
class Attacker:
    """An attacker who knows the defence, and what he may choose.

    Attributes
    ----------
    name : {"published", "best"}
        ``published`` keeps the plan. ``best`` chooses loss, probe size, pairs and
        step for the noise that he meets: one plan for all images.
    predictor : Predictor
    protect : float
        Share of the images to protect: the best attacker aims at the queries that
        break the rest.
    """

    name: str
    predictor: Predictor
    protect: float

    def __post_init__(self) -> None:
        expect.one_of(ATTACKERS, attacker=self.name)

    def plan(self, sigma: float, place: str = "lower") -> NESPlan:
        """What he does against noise of this size, as read at ``place``."""
        if self.name == "published":
            return self.predictor.plan
        return self._search(sigma, place)

    def predicted(self, sigma: float) -> tuple[float, float, float]:
        """Queries (lower, estimate, upper) of his best answer under each reading."""
        low, middle, high = (
            self.level(self.predictor.queries(self.plan(sigma, place), sigma, place))
            for place in PLACES
        )
        return low, middle, high

    def level(self, queries: np.ndarray) -> float:
        """The count that the protected share of the images reaches."""
        return float(np.quantile(queries, 1.0 - self.protect, method="lower"))

    def protected(self, sigma: float, target: float) -> float:
        """Share of the images that need ``target`` queries against his worst plan.

        The plan that breaks the easiest images soonest is not the one that breaks the
        most of them within the target: this is about the latter.
        """
        queries = self.predictor.queries(self.predictor.plan, sigma)
        share = float((queries >= target).mean())
        if self.name == "published":
            return share
        return min(share, *((c >= target).mean() for _, c in self._answers(sigma)))

    def _search(self, sigma: float, place: str) -> NESPlan:
        p = self.predictor
        best, least = p.plan, np.inf
        for plan, counts in self._answers(sigma, place):
            level = self.level(counts)
            if level < least:
                best, least = plan, level
        if least < self.level(p.queries(p.plan, sigma, place)):
            return best
        return p.plan.replace(name="best")

    def _answers(
        self, sigma: float, place: str = "lower"
    ) -> Iterator[tuple[NESPlan, np.ndarray]]:
        """Plans worth trying against this noise, and the queries an image of each."""
        p = self.predictor
        stats = p.stats
        # A sample of the images is enough to choose; all of them are predicted.
        some = np.unique(
            np.linspace(0, len(p.displacement) - 1, _SEARCH_IMAGES).astype(int)
        )
        reading = p.reading(sigma, place)
        snr, alignment = reading.snr[..., some], reading.alignment[..., some]
        way = p.displacement[some]
        # For few pairs the cosine orders the probes as one pair's does.
        drift = query_ratio.cosine(snr, stats.dimension, 1, alignment)
        with np.errstate(divide="ignore"):
            cost = np.mean(1.0 / np.maximum(drift, 1e-300), axis=2)
        reach = np.isfinite(way)
        typical = np.median(cost[..., reach] if reach.any() else cost, axis=-1)
        order = np.argsort(typical, axis=None)[:_CANDIDATES]
        rule = "sign" if stats.norm == "Linf" else "unit"
        for loss, beta in zip(*np.unravel_index(order, typical.shape), strict=True):
            for pairs in _PAIRS:
                drift = query_ratio.cosine(
                    snr[loss, beta], stats.dimension, pairs, alignment[loss, beta]
                )
                steps = p.steps(way, drift, _STEPS[:, None, None], some, place)
                counts = np.ceil(steps) * (2 * pairs + 1)
                for share, queries in zip(_STEPS, counts, strict=True):
                    yield (
                        NESPlan(
                            eps=stats.eps,
                            norm=stats.norm,
                            step_rule=rule,
                            probe=float(stats.betas[beta]),
                            pairs=pairs,
                            step=float(stats.eps * share),
                            loss=LOSSES[loss],
                            name="best",
                        ),
                        queries,
                    )
