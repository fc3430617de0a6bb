"""Prove a recommendation: attack for real and compare the counts."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from querytax.attacks import AttackResult, nes
from querytax.attacks.oracle import Model
from querytax.defenses import defend
from querytax.plans import NESPlan
from querytax.recommend import Recommendation
from querytax.recommend.attackers import ATTACKERS, Attacker
from querytax.recommend.prediction import PLACES, Predictor
from querytax.statistics import ModelStatistics

__all__ = ["Trial", "prove", "trials_of"]


@dataclass(frozen=True)
class Trial:
    """One attack against one noise level, predicted and measured.

    Attributes
    ----------
    site, sigma, attacker, plan
        What was attacked, and how.
    quantile : float
        Share of images broken at the counts below.
    predicted : (lower, estimate, upper)
        Queries at that quantile, from the statistics of other images.
    measured : float
        Kaplan-Meier quantile of the queries until an iterate fools the clean model;
        infinite if the budget ended first.
    interval : (float, float)
        Its 95 % interval.
    confirmed : float
        The same until the guarded model itself confirms by a majority of fresh votes.
    success_rate, confirmed_rate, predicted_rate : float
        Within the budget; the prediction is (lower) by the same law.
    n_images, budget, seed : int
    """

    site: str
    sigma: float
    attacker: str
    plan: NESPlan
    quantile: float
    predicted: tuple[float, float, float]
    measured: float
    interval: tuple[float, float]
    confirmed: float
    success_rate: float
    confirmed_rate: float
    predicted_rate: float
    n_images: int
    budget: int
    seed: int

    @property
    def agrees(self) -> bool:
        """Whether the measured interval and the predicted range overlap.

        Beyond the budget nothing was measured: an interval that begins there agrees
        with every larger prediction.
        """
        low, high = self.predicted[0], self.predicted[2]
        begins = min(self.interval[0], self.budget)
        return low <= self.interval[1] and high >= begins

    def to_json(self) -> dict[str, Any]:
        """Plain data; infinities are null."""
        plain = dataclasses.asdict(self)
        for key in ("predicted", "interval"):
            plain[key] = [v if math.isfinite(v) else None for v in plain[key]]
        for key in ("measured", "confirmed"):
            plain[key] = plain[key] if math.isfinite(plain[key]) else None
        return {**plain, "agrees": self.agrees}


def trials_of(
    stats: ModelStatistics,
    recommendations: list[Recommendation],
    predictor: Predictor,
) -> list[tuple[float, str, NESPlan]]:
    """What to attack: no noise and each recommended level, by both attackers."""
    levels = dict.fromkeys([0.0, *(r.sigma for r in recommendations)])
    protect = recommendations[0].protect
    return [
        (sigma, name, Attacker(name, predictor, protect).plan(sigma))
        for sigma in levels
        for name in ATTACKERS
    ]


def prove(
    model: Model,
    images: Tensor,
    labels: Tensor,
    stats: ModelStatistics,
    recommendations: list[Recommendation],
    predictor: Predictor,
    *,
    budget: int,
    batch_size: int = 256,
    rng: int = 1,
    verbose: bool = False,
) -> list[Trial]:
    """Run the attacks on images that the statistics have not seen.

    Parameters
    ----------
    model, images, labels
        The model without a defence, and held-out data.
    stats, recommendations, predictor
        What was predicted, all for one site.
    budget : int
        Queries an image; counts beyond it are censored.
    batch_size, rng, verbose
        As in :func:`querytax.nes`.
    """
    site, protect = recommendations[0].site, recommendations[0].protect
    trials = []
    for sigma, name, plan in trials_of(stats, recommendations, predictor):
        guarded = defend(model, site, sigma, rng=rng)
        result = nes(
            guarded,
            images,
            labels,
            plan,
            budget=budget,
            batch_size=batch_size,
            rng=rng,
            verbose=verbose,
        )
        by_place = [predictor.queries(plan, sigma, place) for place in PLACES]
        trials.append(
            _trial(
                result, plan, site, sigma, name, 1.0 - protect, by_place, budget, rng
            )
        )
    return trials


def _trial(
    result: AttackResult,
    plan: NESPlan,
    site: str,
    sigma: float,
    name: str,
    quantile: float,
    by_place: list[np.ndarray],
    budget: int,
    seed: int,
) -> Trial:
    low, estimate, high = (
        float(np.quantile(q, quantile, method="lower")) for q in by_place
    )
    return Trial(
        site=site,
        sigma=sigma,
        attacker=name,
        plan=plan,
        quantile=quantile,
        predicted=(low, estimate, high),
        measured=result.clean.quantile(quantile),
        interval=result.clean.interval(quantile),
        confirmed=result.confirmed.quantile(quantile),
        success_rate=result.clean.rate(),
        confirmed_rate=result.confirmed.rate(),
        predicted_rate=float((by_place[0] <= budget).mean()),
        n_images=int(result.attacked.sum()),
        budget=budget,
        seed=seed,
    )
