"""The main job: the smallest noise that makes an attack expensive enough."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import querytax
from querytax import expect
from querytax.expect import DomainError
from querytax.plans import NESPlan
from querytax.recommend.attackers import ATTACKERS, Attacker
from querytax.recommend.prediction import Predictor, published_plan
from querytax.recommend.price import Price
from querytax.recommend.recommendation import Frontier, Recommendation, count, percent
from querytax.sites import Site
from querytax.statistics import ModelStatistics
from querytax.theory import repeats
from querytax.theory.law import find

__all__ = ["recommend_sigma"]

_TOLERANCE = 0.01
_FEW_IMAGES = 30
_LAWS = (
    "convergence.steps",
    "query_ratio.cosine",
    "query_ratio.sign_drift",
    "repeats.sequential",
    "accuracy.accuracy_loss",
)


def recommend_sigma(
    stats: ModelStatistics,
    target_queries: float,
    *,
    base_queries: float | np.ndarray | None = None,
    max_accuracy_loss: float = 0.01,
    site: str = "output",
    protect: float = 0.9,
    attacker: str = "best",
    plan: NESPlan | None = None,
) -> Recommendation:
    """Recommend the standard deviation of the noise at one site.

    Parameters
    ----------
    stats : ModelStatistics
        From :func:`querytax.probe`, or a file.
    target_queries : float
        Queries that an attack shall need for an image, at least.
    base_queries : float or array_like, optional
        What the published attack needs without noise: the median over images, or one
        count a probed image (infinite where it fails). By default it is predicted from
        the white-box path.
    max_accuracy_loss : float
        In [0, 1), absolute.
    site : str
        A probed site.
    protect : float
        In (0, 1): share of the correctly classified images that must reach the target.
    attacker : {"best", "published"}
        ``best`` chooses probe size, loss, pairs and step for the noise that he meets;
        ``published`` keeps ``plan``.
    plan : NESPlan, optional
        The published attack; NES with its usual settings by default.

    Returns
    -------
    Recommendation
        Infeasible is a result, not an error.

    Raises
    ------
    DomainError
        One line, for a parameter outside its range, a site that was not probed, or a
        target below the noiseless cost.
    """
    check_question(target_queries, max_accuracy_loss, protect)
    expect.one_of(ATTACKERS, attacker=attacker)
    site = Site.parse(site).name
    stats.site(site)
    plan = published_plan(stats) if plan is None else plan
    if base_queries is not None:
        try:
            given = np.asarray(base_queries, dtype=float)
        except (TypeError, ValueError):
            raise DomainError(
                f"expected base_queries to be numbers, got {base_queries!r}"
            ) from None
        usual = float(np.median(given)) if given.size else math.nan
        if not usual > 0:
            raise DomainError(f"expected base_queries > 0, got {usual:g}")
        if target_queries < usual < math.inf:
            raise DomainError(
                f"expected target_queries >= {usual:g}, the cost without noise, "
                f"got {target_queries:g}"
            )
    reason = _outside(stats, plan)
    if reason:
        return _out_of_regime(
            reason,
            stats,
            site,
            attacker,
            target_queries,
            protect,
            max_accuracy_loss,
            plan,
        )
    search = _Search(
        stats,
        site,
        attacker,
        plan,
        base_queries,
        target_queries,
        protect,
        max_accuracy_loss,
    )
    return search.solve()


def check_question(
    target_queries: float, max_accuracy_loss: float, protect: float
) -> None:
    """Fail on a question that no statistics could answer.

    Raises
    ------
    DomainError
        For a number outside its range.
    """
    expect.positive(target_queries=target_queries)
    expect.fraction(max_accuracy_loss=max_accuracy_loss)
    expect.probability(protect=protect)


def _outside(stats: ModelStatistics, plan: NESPlan) -> str:
    """Why the statistics do not cover the plan, or nothing."""
    if plan.norm != stats.norm or not math.isclose(plan.eps, stats.eps, rel_tol=1e-6):
        return (
            f"they were made for {stats.norm} eps {stats.eps:.4g}, the plan has "
            f"{plan.norm} eps {plan.eps:.4g}; probe again with that budget"
        )
    if not stats.betas[0] <= plan.probe * (1 + 1e-9) <= stats.betas[-1] * (1 + 2e-9):
        return (
            f"they cover probe sizes {stats.betas[0]:g} to {stats.betas[-1]:g}, the "
            f"plan has {plan.probe:g}; probe again with betas that reach it"
        )
    return ""


class _Search:
    """One question; the curve over sigma is evaluated once a level."""

    def __init__(
        self,
        stats: ModelStatistics,
        site: str,
        attacker: str,
        plan: NESPlan,
        base: float | np.ndarray | None,
        target: float,
        protect: float,
        allowed: float,
    ) -> None:
        self.stats, self.site, self.target = stats, site, target
        self.protect, self.allowed = protect, allowed
        self.predictor = Predictor(stats, site, plan, base)
        self.attacker = Attacker(attacker, self.predictor, protect)
        self.price = Price(stats, site)
        self.notes = list(self.predictor.notes)
        self._seen: dict[float, tuple[NESPlan, np.ndarray]] = {}

    def at(self, sigma: float) -> tuple[NESPlan, np.ndarray]:
        """The attacker's plan and the queries an image, read on the safe side."""
        if sigma not in self._seen:
            self._seen[sigma] = self.attacker.answer(sigma)
        return self._seen[sigma]

    def level(self, sigma: float) -> float:
        """Queries of the image that ``protect`` leaves exposed first."""
        return self.attacker.level(self.at(sigma)[1])

    def solve(self) -> Recommendation:
        grid = self.price.measured.sigmas
        largest = self.price.largest(self.allowed)
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
            return self._result("NO_NOISE_NEEDED", 0.0, (0.0, 0.0), 0.0, largest)
        enough = np.nonzero(safe >= self.target)[0]
        if enough.size:
            bracket = self._bisect(float(grid[enough[0] - 1]), float(grid[enough[0]]))
        else:
            bracket = (float(grid[-1]), math.inf)
        need = bracket[1]
        if need <= largest:
            return self._result("FEASIBLE", need, bracket, need, largest)
        # The largest tax that the accuracy allows, by the least noise that exacts it.
        allowed = np.append(grid[grid < largest], largest)
        after = np.append(safe, math.inf)[np.searchsorted(grid, allowed)]
        tax = [
            min(self.level(float(s)), a) for s, a in zip(allowed, after, strict=True)
        ]
        sigma = float(allowed[int(np.argmax(tax))])
        ended = math.isinf(need) and largest >= grid[-1]
        return self._result(
            "UNRESOLVED" if ended else "INFEASIBLE", sigma, bracket, need, largest
        )

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
        plan, queries = self.at(sigma)
        protected = self.attacker.protected(sigma, self.target)
        base = float(np.median(self.predictor.base))
        stalled = float(np.isinf(queries).mean())
        if status in ("FEASIBLE", "NO_NOISE_NEEDED") and stalled > 0:
            # The law of the mean path: a walk at its plateau still fluctuates.
            self.notes.append(
                f"{percent(stalled)} of the images count as safe because a fixed step "
                "stalls at the wall of the budget; chance carries some walks over it, "
                "so hold this one against a real attack"
            )
        if len(queries) < _FEW_IMAGES:
            self.notes.append(
                f"only {len(queries)} images were probed; probe {_FEW_IMAGES} or more "
                "before trusting a share of them"
            )
        return Recommendation(
            status=status,
            site=self.site,
            attacker=self.attacker.name,
            sigma=sigma,
            sigma_bracket=bracket,
            target_queries=float(self.target),
            base_queries=base,
            protect=self.protect,
            fraction_protected=protected,
            fraction_interval=_wilson(protected, len(queries)),
            predicted_queries=self.attacker.predicted(sigma),
            accuracy_loss=self.price.at(sigma),
            clean_accuracy=self.stats.accuracy,
            max_accuracy_loss=self.allowed,
            binding=_binding(status),
            sigma_for_queries=need,
            sigma_for_accuracy=largest,
            plan=plan,
            floor_queries=self._floor(sigma),
            advice=self._advice(status, sigma, need),
            frontier=self._frontier(),
            laws={name: find(name).regime for name in _LAWS},
            notes=tuple(self.notes),
            provenance={
                **self.stats.provenance,
                "recommended_by": querytax.__version__,
            },
        )

    def _frontier(self) -> Frontier:
        sigmas = sorted(self._seen)
        return Frontier(
            sigmas=tuple(sigmas),
            queries=tuple(self.attacker.predicted(s) for s in sigmas),
            accuracy_loss=tuple(self.price.at(s)[1] for s in sigmas),
            plans=tuple(self._seen[s][0] for s in sigmas),
        )

    def _floor(self, sigma: float) -> float:
        """Median over images of the floor for one reliable sign."""
        if sigma == 0.0:
            return 0.0
        reading = self.predictor.reading(sigma)
        best = reading.snr.max(axis=(0, 1, 2))
        return float(np.median(2.0 * repeats.sequential(best, 0.01)))

    def _advice(self, status: str, sigma: float, need: float) -> str:
        if status == "UNRESOLVED":
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


def _binding(status: str) -> str:
    return {
        "FEASIBLE": "target_queries",
        "NO_NOISE_NEEDED": "none",
        "INFEASIBLE": "max_accuracy_loss",
        "UNRESOLVED": "probed noise levels",
    }[status]


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


def _out_of_regime(
    reason: str,
    stats: ModelStatistics,
    site: str,
    attacker: str,
    target: float,
    protect: float,
    allowed: float,
    plan: NESPlan,
) -> Recommendation:
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
