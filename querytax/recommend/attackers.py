"""Who the attacker is: the published attack, or the best answer to the defence."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from querytax import expect
from querytax.plans import LOSSES, NESPlan
from querytax.recommend.grains import Reading, widened
from querytax.recommend.prediction import PLACES, Predictor
from querytax.recommend.tuning import best_settings

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
            ] + self._guesses
        return self._found[sigma, place]

    @functools.cached_property
    def _guesses(self) -> list[Answer]:
        """Steps across the whole budget, whatever their direction: guesses.

        A sign step of twice eps ends in a corner of the budget. Where noise rules it is
        a random one, constant on squares as the directions are, and no noise hinders
        that; every other one is better aimed. A step of one pair costs three queries.
        """
        stats = self.predictor.stats
        hits = stats.blind_of("blocks")
        if self.name == "published" or hits is None or not stats.block_sides:
            return []
        plan = NESPlan(
            eps=stats.eps,
            norm=stats.norm,
            step_rule=_rule(stats.norm),
            probe=float(stats.betas[-1]),
            pairs=1,
            step=2.0 * stats.eps,
            loss="margin",
            block=stats.block_sides[-1],
            name="best",
        )
        return [(plan, (plan.queries_per_step + 1) * hits)]

    def _plans(self, sigma: float) -> list[NESPlan]:
        """The published plan; the best ones under the two extreme readings.

        All readings choose among the same plans, so that they come in order. What was
        found at a probed level is weighed at every other one too: a search that
        overlooks a plan must not make more noise look like more than it is.
        """
        if self.name == "published":
            return [self.predictor.plan]
        found = [plan for s in (sigma, *self._probed) for plan in self._own(s)]
        return [self.predictor.plan.replace(name="best"), *dict.fromkeys(found)]

    @property
    def _probed(self) -> tuple[float, ...]:
        return tuple(float(s) for s in self.predictor.measured.sigmas)

    def _own(self, sigma: float) -> list[NESPlan]:
        """What a search at this very level finds."""
        if sigma not in self._tried:
            found = self._search(sigma, "lower") + self._search(sigma, "upper")
            self._tried[sigma] = list(dict.fromkeys(found))
        return self._tried[sigma]

    def _search(self, sigma: float, place: str) -> list[NESPlan]:
        """The best plan for each share of the images."""
        tried = list(self._candidates(sigma, place))
        keys, drift, way = zip(*tried, strict=True)
        shares = (1.0 - self.protect, *_SHARES)
        cost = np.array([2.0 * pairs + 1.0 for *_, pairs in keys])
        found = best_settings(
            self.predictor,
            place,
            np.array([side for side, *_ in keys]),
            np.stack(drift),
            np.stack(way),
            cost,
            _STEPS,
            shares,
        )
        return [self._plan_of(keys[one], float(_STEPS[step])) for one, step in found]

    def _plan_of(self, chosen: tuple[int, int, int, int], share: float) -> NESPlan:
        side, loss, beta, pairs = chosen
        stats = self.predictor.stats
        return NESPlan(
            eps=stats.eps,
            norm=stats.norm,
            step_rule=_rule(stats.norm),
            probe=float(stats.betas[beta]),
            pairs=pairs,
            step=float(stats.eps * share),
            loss=LOSSES[loss],
            block=side,
            name="best",
        )

    def _candidates(
        self, sigma: float, place: str
    ) -> Iterator[tuple[tuple[int, int, int, int], np.ndarray, np.ndarray]]:
        """Side, loss, probe and pairs worth trying; drifts, and ways to go."""
        p = self.predictor
        reading = p.reading(sigma, place)
        for side, grain in p.grains.items():
            yield from self._of_side(
                side, widened(reading, grain, p.stats.betas), p.way(side)
            )

    def _of_side(
        self, side: int, reading: Reading, way: np.ndarray
    ) -> Iterator[tuple[tuple[int, int, int, int], np.ndarray, np.ndarray]]:
        p = self.predictor
        # A sample of the images is enough to choose; all of them are predicted.
        some = np.unique(np.linspace(0, len(way) - 1, _SEARCH_IMAGES).astype(int))
        snr, alignment = reading.snr[..., some], reading.alignment[..., some]
        way = way[some]
        rule = _rule(p.stats.norm)
        # For few pairs the cosine orders the probes as one pair's does.
        drift = p.drift(snr, alignment, 1, rule, side)
        with np.errstate(divide="ignore"):
            cost = np.mean(1.0 / np.maximum(drift, 1e-300), axis=2)
        reach = np.isfinite(way)
        typical = np.median(cost[..., reach] if reach.any() else cost, axis=-1)
        order = np.argsort(typical, axis=None)[:_CANDIDATES]
        for loss, beta in zip(*np.unravel_index(order, typical.shape), strict=True):
            for pairs in _PAIRS:
                own = p.drift(snr[loss, beta], alignment[loss, beta], pairs, rule, side)
                yield (side, int(loss), int(beta), pairs), own, way


def _rule(norm: str) -> str:
    """The step of fixed length that suits the budget's ball."""
    return "sign" if norm == "Linf" else "unit"
