"""A model that no law predicts: trials alone tell what attacks on it need."""

from __future__ import annotations

import numpy as np

from querytax.plans import NESPlan
from querytax.recommend.families import UNKNOWN
from querytax.recommend.portfolio import portfolio
from querytax.recommend.predicted import Search
from querytax.recommend.recommendation import Interval
from querytax.sites import Site
from querytax.statistics import ModelStatistics

__all__ = ["Untold", "told"]


def told(stats: ModelStatistics, site: str, base: float | np.ndarray | None) -> bool:
    """Whether laws have anything to start from: a way, or the queries without noise.

    They are about noise: what a rival of it makes of a comparison, the catalogue says.
    """
    if Site.parse(site).word:
        return False
    return base is not None or not bool(np.isnan(stats.path_length).any())


class _Nobody:
    """The field of attackers, of whom nothing is predicted."""

    def __init__(
        self, stats: ModelStatistics, named: str, access: str, plan: NESPlan
    ) -> None:
        self._plan = plan
        entries = portfolio(
            named,
            access=access,
            norm=stats.norm,
            planar=stats.shape is None or len(stats.shape) == 3,
            surrogate=named not in ("best", "published"),
        )
        self._words = tuple(dict.fromkeys(entry.attack for entry in entries))

    def predicts(self, sigma: float) -> bool:
        return False

    def predicted(self, sigma: float) -> Interval:
        return UNKNOWN

    def predicted_by(self, sigma: float) -> tuple[tuple[str, Interval], ...]:
        return ()

    def unpredicted(self, sigma: float) -> tuple[str, ...]:
        return self._words

    def lower(self, sigma: float) -> float:
        return UNKNOWN[0]

    def protected(self, sigma: float, target: float) -> float:
        return 0.0

    def endless(self, sigma: float) -> float:
        return 0.0

    def plan(self, sigma: float) -> NESPlan:
        return self._plan


class _Unknown:
    """What a predictor would say of the queries without noise."""

    base = np.ones(1)


def _why(stats: ModelStatistics, site: str) -> str:
    """Why nothing is predicted."""
    if (word := Site.parse(site).word) and not stats.provenance.get("unpredicted"):
        return f"no law here predicts what {word} makes of an attack's queries"
    why = stats.provenance.get("unpredicted") or "it gives no gradient"
    return f"no law predicts the queries of this model ({why})"


class Untold(Search):
    """One question about a model without a way to its boundary.

    Its price and its blind ceiling are measured; everything else is for trials.
    """

    def _enter(self, plan: NESPlan, base: float | np.ndarray | None) -> None:
        self.predictor = _Unknown()  # type: ignore[assignment]
        nobody = _Nobody(self.stats, self.named, self.access, plan)
        self.attacker = nobody  # type: ignore[assignment]
        self.notes.append(
            f"{_why(self.stats, self.site)}: trials alone decide, as far as their "
            "budget"
        )
