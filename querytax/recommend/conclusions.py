"""What an answer by laws says: a recommendation as data, from a search that is over."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

import querytax
from querytax.evidence import Contender
from querytax.plans import NESPlan
from querytax.recommend.agnostic import smoothed
from querytax.recommend.portfolio import tuned
from querytax.recommend.recommendation import Frontier, Recommendation
from querytax.statistics import ModelStatistics
from querytax.theory import repeats
from querytax.theory.law import find
from querytax.words import count, percent

if TYPE_CHECKING:
    from querytax.recommend.predicted import Search

__all__ = ["answer", "out_of_regime"]

_FEW_IMAGES = 30
_LAWS = ("repeats.sequential", "accuracy.accuracy_loss")
_WALKS = (
    "convergence.steps",
    "convergence.first_passage",
    "drift.cosine",
    "drift.sign",
    "drift.sign_of",
)
_SEARCHES = ("search.queries", "passage.arrived")


def answer(
    search: Search,
    status: str,
    sigma: float,
    bracket: tuple[float, float],
    need: float,
    largest: float,
) -> Recommendation:
    """What was found, with its reasons, its price and what it rests on."""
    protected = search.attacker.protected(sigma, search.target)
    base = float(np.median(search.predictor.base))
    stalled = search.attacker.endless(sigma)
    probed, known = len(search.stats.probed), search.attacker.predicts(sigma)
    if status == "PREDICTED" and stalled > 0:
        search.notes.append(
            f"for {percent(stalled)} of the images the prediction is 'never': the "
            "way to their boundary is longer than the budget, or the walk stalls "
            "before it"
        )
    if probed < _FEW_IMAGES:
        search.notes.append(
            f"only {probed} images were probed; probe {_FEW_IMAGES} or more "
            "before trusting a share of them"
        )
    told: dict[str, Any] = {}
    if search.guessed():
        told = {
            "evidence": "tried",
            "attack": Contender("patterns"),
            "binding": "blind patterns",
            "advice": f"At most {count(search.ceiling[0])} could be asked for",
        }
    made = Recommendation(
        status=status,
        site=search.site,
        attacker=search.named,
        access=search.access,
        ceiling=search.ceiling if search.stats.blind_tried else None,
        patterns=int(search.stats.blind_tried or 0),
        smoothed=smoothed(search.stats, search.site, sigma),
        sigma=sigma,
        sigma_searched=bracket,
        sigma_interval=(_short(search, need), need),
        target_queries=float(search.target),
        base_queries=base,
        protect=search.protect,
        fraction_protected=protected,
        fraction_interval=_wilson(protected, probed) if known else (0.0, 1.0),
        predicted_queries=search.attacker.predicted(sigma),
        accuracy_loss=search.price.at(sigma),
        clean_accuracy=search.stats.accuracy,
        max_accuracy_loss=search.allowed,
        binding=_binding(search, status, sigma),
        sigma_for_queries=need,
        sigma_for_accuracy=largest,
        predicted_by=search.attacker.predicted_by(sigma),
        unpredicted=search.attacker.unpredicted(sigma),
        plan=search.attacker.plan(sigma),
        floor_queries=_floor(search, sigma),
        advice=_advice(search, status, sigma, need),
        frontier=_frontier(search),
        laws={name: find(name).regime for name in _laws(search)},
        notes=tuple(search.notes),
        provenance={
            **search.stats.provenance,
            "recommended_by": querytax.__version__,
        },
    )
    if status == "INFEASIBLE" and not told and made.predicted_by:
        word = made.predicted_by[0][0]
        shown = tuned(made.plan) if word == "nes" else Contender(word)
        told = {"attack": shown}
    return dataclasses.replace(made, **told)


def _short(search: Search, need: float) -> float:
    """The largest level, below the one that is enough, that is surely not."""
    short = [
        s
        for s in search.seen
        if s < need and search.attacker.predicted(s)[2] < search.target
    ]
    return max(short, default=0.0)


def _laws(search: Search) -> list[str]:
    """The laws that some prediction used."""
    words = {word for s in search.seen for word, _ in search.attacker.predicted_by(s)}
    names = list(_LAWS)
    if "nes" in words:
        names += _WALKS
    if words - {"nes", "patterns"}:
        names += _SEARCHES
    return names


def _frontier(search: Search) -> Frontier:
    sigmas = sorted(search.seen) or [0.0]
    return Frontier(
        sigmas=tuple(sigmas),
        queries=tuple(search.attacker.predicted(s) for s in sigmas),
        accuracy_loss=tuple(search.price.at(s)[1] for s in sigmas),
        plans=tuple(search.attacker.plan(s) for s in sigmas),
    )


def _floor(search: Search, sigma: float) -> float:
    """Median over images of the floor for one reliable sign."""
    if sigma == 0.0:
        return 0.0
    reading = search.predictor.reading(sigma)
    best = reading.snr.max(axis=(0, 1, 2))
    return float(np.median(2.0 * repeats.sequential(best, 0.01)))


def _binding(search: Search, status: str, sigma: float) -> str:
    reached = search.attacker.predicts(sigma)
    reached = reached and not (search.ended or search.straddles)
    return {
        "PREDICTED": "target_queries" if sigma > 0 else "none",
        "INFEASIBLE": "max_accuracy_loss",
        "UNRESOLVED": "probed noise levels" if reached else "laws",
    }[status]


def _advice(search: Search, status: str, sigma: float, need: float) -> str:
    if status == "UNRESOLVED":
        if not search.attacker.predicts(sigma):
            return "No law predicts who listens to the answers here: try it"
        if search.straddles:
            low, middle, _ = search.attacker.predicted(sigma)
            return (
                f"The laws give {count(low)} queries at least and {count(middle)} "
                "as their best guess, on either side of the target: try it"
            )
        if search.ended:
            return f"No law predicts it beyond sigma {sigma:.4g}: try it there"
        return "Probe larger noise levels (sigmas=): the accuracy still allows them"
    if status != "INFEASIBLE":
        return ""
    reach = f"a target of {count(search.level(sigma))} queries"
    if math.isinf(need):
        return (
            f"Feasible would be {reach}; at no probed level, up to "
            f"{search.price.measured.sigmas[-1]:g}, is the target reached"
        )
    price = search.price.at(need)[1]
    return (
        f"Feasible would be {reach}, or sigma {need:.4g} at the price of "
        f"{percent(price)} of accuracy"
    )


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
        "sigma_searched": (0.0, math.inf),
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
