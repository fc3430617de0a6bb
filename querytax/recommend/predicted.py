"""The answer by laws, from statistics alone."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

import querytax
from querytax.evidence import Contender
from querytax.plans import NESPlan
from querytax.recommend.agnostic import smoothed
from querytax.recommend.attackers import Attacker
from querytax.recommend.families import Field
from querytax.recommend.portfolio import tuned
from querytax.recommend.prediction import Predictor
from querytax.recommend.price import Price
from querytax.recommend.recommendation import Frontier, Recommendation
from querytax.statistics import ModelStatistics
from querytax.theory import blind as guesses
from querytax.theory import repeats
from querytax.theory.law import find
from querytax.words import count, percent

__all__ = ["Search", "out_of_regime"]

_TOLERANCE = 0.01
# Probed images that laws are evaluated on.
_SAMPLE = 128
_FEW_IMAGES = 30
_LAWS = ("repeats.sequential", "accuracy.accuracy_loss")
_WALKS = (
    "convergence.steps",
    "convergence.first_passage",
    "query_ratio.cosine",
    "query_ratio.sign_drift",
    "query_ratio.sign_drift_of",
)
_SEARCHES = ("search.queries", "passage.arrived")


class Search:
    """One question; the curve over sigma is evaluated once a level."""

    def __init__(
        self,
        stats: ModelStatistics,
        site: str,
        attacker: str,
        access: str,
        plan: NESPlan,
        base: float | np.ndarray | None,
        target: float,
        protect: float,
        allowed: float,
    ) -> None:
        self.stats, self.site, self.target = stats, site, target
        self.protect, self.allowed = protect, allowed
        self.named, self.access = attacker, access
        # Laws cost time an image; an even sample of many says the same.
        some, index = _sample(stats)
        if base is not None and np.shape(base) == stats.probed.shape:
            base = np.asarray(base, dtype=float)[index]
        self.predictor = Predictor(some, site, plan, base)
        law = "published" if attacker.startswith("published") else "best"
        nes = Attacker(law, self.predictor, protect)
        self.attacker = Field(some, site, attacker, access, nes, protect)
        self.price = Price(stats, site)
        self.notes = list(self.predictor.notes)
        self._seen: dict[float, float] = {}
        # Whether laws end before the accuracy does, and whether they leave it open.
        self._ended = self._straddles = False

    def level(self, sigma: float) -> float:
        """Queries of the image that ``protect`` leaves exposed first, at least."""
        if sigma not in self._seen:
            self._seen[sigma] = self.attacker.lower(sigma)
        return self._seen[sigma]

    def solve(self) -> Recommendation:
        """The ceiling first: where guessing is cheap, nothing else is computed."""
        if self._guessed():
            return self._result("INFEASIBLE", 0.0, (0.0, math.inf), math.inf, 0.0)
        grid = self.price.measured.sigmas
        largest = self.price.largest(self.allowed)
        known = [self.attacker.predicts(float(s)) for s in grid]
        if not known[0]:
            return self._result("UNRESOLVED", 0.0, (0.0, math.inf), math.inf, largest)
        # As far as laws reach.
        if False in known:
            grid = grid[: known.index(False)]
            self._ended = bool(largest >= grid[-1])
            largest = min(largest, float(grid[-1]))
        levels = np.array([self.level(float(s)) for s in grid])
        # From each level up: what it guarantees even if more noise were to help the
        # attacker. A curve that falls is taken at its later, lower values.
        safe = np.minimum.accumulate(levels[::-1])[::-1]
        if (levels > safe * 1.05).any():
            self.notes.append(
                "predicted queries are not monotone in sigma; each level is credited "
                "with the least of all larger ones"
            )
        if not self.price.monotone:
            self.notes.append(
                "measured accuracy is not monotone in sigma; its worst so far counts"
            )
        if levels[0] >= self.target:
            return self._result("PREDICTED", 0.0, (0.0, 0.0), 0.0, largest)
        enough = np.nonzero(safe >= self.target)[0]
        if enough.size:
            bracket = self._bisect(float(grid[enough[0] - 1]), float(grid[enough[0]]))
        else:
            bracket = (float(grid[-1]), math.inf)
        need = bracket[1]
        if need <= largest:
            return self._result("PREDICTED", need, bracket, need, largest)
        # The largest tax that the accuracy allows, by the least noise that exacts it.
        allowed = np.append(grid[grid < largest], largest)
        after = np.append(safe, math.inf)[np.searchsorted(grid, allowed)]
        tax = [
            min(self.level(float(s)), a) for s, a in zip(allowed, after, strict=True)
        ]
        sigma = float(allowed[int(np.argmax(tax))])
        ended = math.isinf(need) and largest >= grid[-1]
        # It falls by the reading that believes in the attacker; by the middle one too?
        self._straddles = not ended and self.attacker.predicted(sigma)[1] >= self.target
        status = "UNRESOLVED" if ended or self._straddles else "INFEASIBLE"
        return self._result(status, sigma, bracket, need, largest)

    def _bisect(self, low: float, high: float) -> tuple[float, float]:
        """Shrink a bracket in sigma; its upper end was evaluated and is sufficient."""
        low = max(low, high * 1e-3) if low == 0.0 else low
        if self.level(low) >= self.target:
            return 0.0, low
        while high > low * (1 + _TOLERANCE):
            middle = _rounded_up(math.sqrt(low * high))
            if not low < middle < high:
                break
            if self.level(middle) >= self.target:
                high = middle
            else:
                low = middle
        return low, high

    def _result(
        self,
        status: str,
        sigma: float,
        bracket: tuple[float, float],
        need: float,
        largest: float,
    ) -> Recommendation:
        protected = self.attacker.protected(sigma, self.target)
        base = float(np.median(self.predictor.base))
        stalled = self.attacker.endless(sigma)
        probed, known = len(self.stats.probed), self.attacker.predicts(sigma)
        if status == "PREDICTED" and stalled > 0:
            self.notes.append(
                f"for {percent(stalled)} of the images the prediction is 'never': the "
                "way to their boundary is longer than the budget, or the walk stalls "
                "before it"
            )
        if probed < _FEW_IMAGES:
            self.notes.append(
                f"only {probed} images were probed; probe {_FEW_IMAGES} or more "
                "before trusting a share of them"
            )
        told: dict[str, Any] = {}
        if self._guessed():
            told = {
                "evidence": "tried",
                "attack": Contender("patterns"),
                "binding": "blind patterns",
                "advice": f"At most {count(self.ceiling[0])} could be asked for",
            }
        made = Recommendation(
            status=status,
            site=self.site,
            attacker=self.named,
            access=self.access,
            ceiling=self.ceiling if self.stats.blind_tried else None,
            patterns=int(self.stats.blind_tried or 0),
            smoothed=smoothed(self.stats, self.site, sigma),
            sigma=sigma,
            sigma_bracket=bracket,
            target_queries=float(self.target),
            base_queries=base,
            protect=self.protect,
            fraction_protected=protected,
            fraction_interval=_wilson(protected, probed) if known else (0.0, 1.0),
            predicted_queries=self.attacker.predicted(sigma),
            accuracy_loss=self.price.at(sigma),
            clean_accuracy=self.stats.accuracy,
            max_accuracy_loss=self.allowed,
            binding=self._binding(status, sigma),
            sigma_for_queries=need,
            sigma_for_accuracy=largest,
            predicted_by=self.attacker.predicted_by(sigma),
            unpredicted=self.attacker.unpredicted(sigma),
            plan=self.attacker.plan(sigma),
            floor_queries=self._floor(sigma),
            advice=self._advice(status, sigma, need),
            frontier=self._frontier(),
            laws={name: find(name).regime for name in self._laws()},
            notes=tuple(self.notes),
            provenance={
                **self.stats.provenance,
                "recommended_by": querytax.__version__,
            },
        )
        if status == "INFEASIBLE" and not told and made.predicted_by:
            word = made.predicted_by[0][0]
            shown = tuned(made.plan) if word == "nes" else Contender(word)
            told = {"attack": shown}
        return dataclasses.replace(made, **told)

    def _guessed(self) -> bool:
        """Whether guessing alone surely costs less than the target."""
        return self.named == "best" and self.ceiling[2] < self.target

    @functools.cached_property
    def ceiling(self) -> tuple[float, float, float]:
        """Blind patterns until the exposed share has fallen, as far as counted."""
        hits, tried = self.stats.blind_hits, self.stats.blind_tried
        if hits is None or not tried:
            return 0.0, math.inf, math.inf
        each, exposed = self.stats.blind_outcomes, 1.0 - self.protect
        if each is None:
            low, middle, high = guesses.interval(hits, tried, exposed)
        else:
            turn = self.stats.blind_turn
            low, middle, high = guesses.scheduled_interval(each, turn, exposed)
        return float(low), float(middle), float(high)

    def _laws(self) -> list[str]:
        """The laws that some prediction used."""
        words = {word for s in self._seen for word, _ in self.attacker.predicted_by(s)}
        names = list(_LAWS)
        if "nes" in words:
            names += _WALKS
        if words - {"nes", "patterns"}:
            names += _SEARCHES
        return names

    def _frontier(self) -> Frontier:
        sigmas = sorted(self._seen) or [0.0]
        return Frontier(
            sigmas=tuple(sigmas),
            queries=tuple(self.attacker.predicted(s) for s in sigmas),
            accuracy_loss=tuple(self.price.at(s)[1] for s in sigmas),
            plans=tuple(self.attacker.plan(s) for s in sigmas),
        )

    def _floor(self, sigma: float) -> float:
        """Median over images of the floor for one reliable sign."""
        if sigma == 0.0:
            return 0.0
        reading = self.predictor.reading(sigma)
        best = reading.snr.max(axis=(0, 1, 2))
        return float(np.median(2.0 * repeats.sequential(best, 0.01)))

    def _binding(self, status: str, sigma: float) -> str:
        reached = self.attacker.predicts(sigma)
        reached = reached and not (self._ended or self._straddles)
        return {
            "PREDICTED": "target_queries" if sigma > 0 else "none",
            "INFEASIBLE": "max_accuracy_loss",
            "UNRESOLVED": "probed noise levels" if reached else "laws",
        }[status]

    def _advice(self, status: str, sigma: float, need: float) -> str:
        if status == "UNRESOLVED":
            if not self.attacker.predicts(sigma):
                return "No law predicts who listens to the answers here: try it"
            if self._straddles:
                low, middle, _ = self.attacker.predicted(sigma)
                return (
                    f"The laws give {count(low)} queries at least and {count(middle)} "
                    "as their best guess, on either side of the target: try it"
                )
            if self._ended:
                return f"No law predicts it beyond sigma {sigma:.4g}: try it there"
            return "Probe larger noise levels (sigmas=): the accuracy still allows them"
        if status != "INFEASIBLE":
            return ""
        reach = f"a target of {count(self.level(sigma))} queries"
        if math.isinf(need):
            return (
                f"Feasible would be {reach}; at no probed level, up to "
                f"{self.price.measured.sigmas[-1]:g}, is the target reached"
            )
        price = self.price.at(need)[1]
        return (
            f"Feasible would be {reach}, or sigma {need:.4g} at the price of "
            f"{percent(price)} of accuracy"
        )


def _sample(stats: ModelStatistics) -> tuple[ModelStatistics, np.ndarray]:
    """Statistics of an even sample of the probed images, and which these are."""
    n = len(stats.probed)
    index = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(int))
    if len(index) == n:
        return stats, index

    def taken(data: Any, axis: int, *names: str) -> dict[str, Any]:
        given = {name: getattr(data, name) for name in names}
        return {k: v.take(index, axis) for k, v in given.items() if v is not None}

    sites = {
        name: dataclasses.replace(
            site,
            **taken(site, -1, "signal", "signal_error", "noise", "alignment"),
            **taken(site, -1, "label_share"),
        )
        for name, site in stats.sites.items()
    }
    fewer = {
        **taken(stats, 0, "probed", "path_length", "wander_length", "blind_hits"),
        **taken(stats, 0, "blind_outcomes", "gaps", "probability_gaps"),
        **taken(stats, 0, "boundary_norm", "gradient_profile"),
        **taken(stats, 3, "proposals", "probability_proposals"),
    }
    if len(stats.sign_gain) == n:
        fewer["sign_gain"] = stats.sign_gain[index]
    return dataclasses.replace(stats, sites=sites, **fewer), index


def _rounded_up(value: float) -> float:
    """To three significant digits, never down."""
    digits = 2 - math.floor(math.log10(value))
    scale = 10.0**digits
    up = math.ceil(value * scale - 1e-9) / scale
    return up if up >= value else math.nextafter(up, math.inf)


def _wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's interval of a binomial share."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return max(0.0, middle - half), min(1.0, middle + half)


def out_of_regime(
    reason: str,
    stats: ModelStatistics,
    *,
    plan: NESPlan,
    site: str,
    attacker: str,
    access: str,
    target: float,
    protect: float,
    allowed: float,
) -> Recommendation:
    """The answer that the statistics cannot give."""
    nothing: dict[str, Any] = {
        "sigma": 0.0,
        "sigma_bracket": (0.0, math.inf),
        "base_queries": 1.0,
        "fraction_protected": 0.0,
        "fraction_interval": (0.0, 1.0),
        "predicted_queries": (1.0, 1.0, math.inf),
        "accuracy_loss": (0.0, 0.0, 1.0),
        "sigma_for_queries": math.inf,
        "sigma_for_accuracy": 0.0,
        "floor_queries": 0.0,
    }
    return Recommendation(
        status="OUT_OF_REGIME",
        site=site,
        attacker=attacker,
        access=access,
        target_queries=target,
        protect=protect,
        clean_accuracy=stats.accuracy,
        max_accuracy_loss=allowed,
        binding="statistics",
        plan=plan,
        advice=reason,
        frontier=Frontier((0.0,), ((1.0, 1.0, math.inf),), (0.0,), (plan,)),
        provenance=dict(stats.provenance),
        **nothing,
    )
