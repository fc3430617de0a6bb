"""Who the attacker is: the published attack, or the best answer to the defence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from querytax import expect
from querytax.plans import LOSSES, NESPlan
from querytax.recommend.prediction import PLACES, Predictor

__all__ = ["ATTACKERS", "Attacker"]

ATTACKERS = ("published", "best")

_PAIRS = (1, 4, 16, 64)
_STEPS = np.geomspace(1e-3, 1.0, 13)
_CANDIDATES = 3
_SEARCH_IMAGES = 64
# Shares of the images that he may be after, besides the exposed one.
_SHARES = (0.5, 0.9)

Answer = tuple[NESPlan, np.ndarray]


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
    _found: dict[tuple[float, str], list[Answer]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _tried: dict[float, list[NESPlan]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        expect.one_of(ATTACKERS, attacker=self.name)

    def plan(self, sigma: float, place: str = "lower") -> NESPlan:
        """What he does against noise of this size, as read at ``place``."""
        return self.answer(sigma, place)[0]

    def answer(self, sigma: float, place: str = "lower") -> Answer:
        """His plan, and the queries that each image then needs."""
        return min(self.answers(sigma, place), key=lambda a: self.level(a[1]))

    def predicted(self, sigma: float) -> tuple[float, float, float]:
        """Queries (lower, estimate, upper) of his best answer under each reading."""
        low, middle, high = (
            self.level(self.answer(sigma, place)[1]) for place in PLACES
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
        return float(min((c >= target).mean() for _, c in self.answers(sigma)))

    def answers(self, sigma: float, place: str = "lower") -> list[Answer]:
        """The plans that he weighs, and the queries of each image by this reading."""
        if (sigma, place) not in self._found:
            self._found[sigma, place] = [
                (plan, self.predictor.queries(plan, sigma, place))
                for plan in self._plans(sigma)
            ]
        return self._found[sigma, place]

    def _plans(self, sigma: float) -> list[NESPlan]:
        """The published plan; the best ones under the two extreme readings.

        All readings choose among the same plans, so that they come in order.
        """
        if self.name == "published":
            return [self.predictor.plan]
        if sigma not in self._tried:
            found = self._search(sigma, "lower") + self._search(sigma, "upper")
            self._tried[sigma] = [
                self.predictor.plan.replace(name="best"),
                *dict.fromkeys(found),
            ]
        return self._tried[sigma]

    def _search(self, sigma: float, place: str) -> list[NESPlan]:
        """The best plan for each share of the images."""
        shares = (1.0 - self.protect, *_SHARES)
        least = np.full(len(shares), np.inf)
        chosen: dict[int, tuple[int, int, int, float]] = {}
        for (loss, beta, pairs), counts in self._counts(sigma, place):
            levels = np.quantile(counts, shares, axis=-1, method="lower")
            for i in np.nonzero(levels.min(1) < least)[0]:
                least[i] = levels[i].min()
                chosen[int(i)] = loss, beta, pairs, _STEPS[levels[i].argmin()]
        stats = self.predictor.stats
        return [
            NESPlan(
                eps=stats.eps,
                norm=stats.norm,
                step_rule=_rule(stats.norm),
                probe=float(stats.betas[beta]),
                pairs=pairs,
                step=float(stats.eps * share),
                loss=LOSSES[loss],
                name="best",
            )
            for loss, beta, pairs, share in dict.fromkeys(chosen.values())
        ]

    def _counts(
        self, sigma: float, place: str
    ) -> Iterator[tuple[tuple[int, int, int], np.ndarray]]:
        """Loss, probe and pairs worth trying; queries for each step and image."""
        p = self.predictor
        # A sample of the images is enough to choose; all of them are predicted.
        some = np.unique(
            np.linspace(0, len(p.displacement) - 1, _SEARCH_IMAGES).astype(int)
        )
        reading = p.reading(sigma, place)
        snr, alignment = reading.snr[..., some], reading.alignment[..., some]
        way = p.displacement[some]
        rule = _rule(p.stats.norm)
        # For few pairs the cosine orders the probes as one pair's does.
        drift = p.drift(snr, alignment, 1, rule)
        with np.errstate(divide="ignore"):
            cost = np.mean(1.0 / np.maximum(drift, 1e-300), axis=2)
        reach = np.isfinite(way)
        typical = np.median(cost[..., reach] if reach.any() else cost, axis=-1)
        order = np.argsort(typical, axis=None)[:_CANDIDATES]
        for loss, beta in zip(*np.unravel_index(order, typical.shape), strict=True):
            for pairs in _PAIRS:
                drift = p.drift(snr[loss, beta], alignment[loss, beta], pairs, rule)
                steps = p.steps(way, drift, _STEPS[:, None, None], place)
                yield (
                    (int(loss), int(beta), pairs),
                    np.maximum(np.ceil(steps), 1.0) * (2 * pairs + 1),
                )


def _rule(norm: str) -> str:
    """The step of fixed length that suits the budget's ball."""
    return "sign" if norm == "Linf" else "unit"
