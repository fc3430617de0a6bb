"""The main job: the smallest noise that makes an attack expensive enough."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from querytax import expect
from querytax.evidence import Contender, Evidence
from querytax.expect import DomainError
from querytax.plans import LOSSES, NESPlan
from querytax.recommend.answers import ATTEMPTS, Question
from querytax.recommend.mixtures import is_sought, settled
from querytax.recommend.portfolio import breakers, portfolio, tuned
from querytax.recommend.predicted import Search, out_of_regime
from querytax.recommend.prediction import published_plan
from querytax.recommend.race import EFFORTS
from querytax.recommend.recommendation import Recommendation, Rival
from querytax.recommend.solver import Solver
from querytax.recommend.untold import Untold, told
from querytax.sites import Site
from querytax.soundness import in_doubt
from querytax.statistics import ModelStatistics

__all__ = ["Inquiry", "best_of", "check_question", "recommend_sigma"]

# The better answer first.
_ORDER = (
    "NO_NOISE_NEEDED",
    "FEASIBLE",
    "PREDICTED",
    "UNRESOLVED",
    "INFEASIBLE",
    "OUT_OF_REGIME",
)


def recommend_sigma(
    stats: ModelStatistics,
    target_queries: float,
    *,
    base_queries: float | np.ndarray | None = None,
    max_accuracy_loss: float = 0.01,
    site: str | Sequence[str] = "output",
    protect: float = 0.9,
    attacker: str = "best",
    access: str = "scores",
    plan: NESPlan | None = None,
    trials: Evidence | None = None,
    images: Mapping[str, int] | None = None,
    prices: Mapping[tuple[str, float], tuple[float, float, float]] | None = None,
    effort: str = "quick",
    surrogate: bool = False,
    networks: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Recommendation:
    """Recommend the standard deviation of the noise, or say that none is enough.

    From statistics alone the answer is what laws predict, and its status is never
    better than ``PREDICTED``. With ``trials`` it rests on attacks: as long as some are
    missing, ``wants`` and ``wants_price`` name those to run next, and the answer is to
    be asked again; :func:`querytax.certify` does this for a model at hand.

    Parameters
    ----------
    stats : ModelStatistics
        From :func:`querytax.probe`, or a file.
    target_queries : float
        Queries that an attack shall need for an image, at least.
    base_queries : float or array_like, optional
        What published NES needs without noise: the median over images, or one count a
        probed image (infinite where it fails). By default it is predicted from the
        white-box path.
    max_accuracy_loss : float
        In [0, 1), absolute.
    site : str or sequence of str
        A probed site, several to choose among, or ``best`` for all that were probed.
        A word with a weight ``?``, as in ``input+layer3*?``, is the most promising of
        the probed mixtures of its places.
    protect : float
        In (0, 1): share of the correctly classified images that must reach the target.
    attacker : str
        ``best``: of all attacks that the access allows, with their choices; an
        attack's word: that one with its choices; ``published``: NES with its published
        settings, or those of ``plan``; ``published:WORD``: another with its own.
    access : {"scores", "top1", "labels"}
        What the API gives away.
    plan : NESPlan, optional
        Published NES, which predictions start from; its usual settings by default.
    trials : Evidence, optional
        What has been tried; empty at first.
    images : mapping of str to int, optional
        How many images of each part, ``calibration`` and ``held_out``, can be tried.
    prices : mapping of (str, float) to (lower, estimate, upper), optional
        Accuracy lost on held-out images, by site and sigma.
    effort : {"quick", "normal", "thorough"}
        What the trials may spend.
    surrogate : bool
        Whether the attacker has a network of his own.
    networks : mapping of str to int, optional
        Other networks that the same noise could guard, by the words that the trials
        know them by, and how many calibration images each gets right.
    seed : int
        Of the trials.

    Returns
    -------
    Recommendation
        Infeasible is a result, not an error.

    Raises
    ------
    DomainError
        One line, for a parameter outside its range, a site that was not probed, an
        attack that the access forbids, or a target below the noiseless cost given.
    """
    inquiry = Inquiry(
        stats,
        target_queries,
        base_queries=base_queries,
        max_accuracy_loss=max_accuracy_loss,
        site=site,
        protect=protect,
        attacker=attacker,
        access=access,
        plan=plan,
        surrogate=surrogate,
    )
    if trials is None:
        return inquiry.predicted()
    return inquiry.answer(
        trials, images or {}, prices or {}, effort=effort, networks=networks, seed=seed
    )


class Inquiry:
    """A question with its answer by laws, to be asked again as trials come in.

    Parameters are those of :func:`recommend_sigma`.
    """

    def __init__(
        self,
        stats: ModelStatistics,
        target_queries: float,
        *,
        base_queries: float | np.ndarray | None,
        max_accuracy_loss: float,
        site: str | Sequence[str],
        protect: float,
        attacker: str,
        access: str,
        plan: NESPlan | None,
        surrogate: bool,
    ) -> None:
        check_question(target_queries, max_accuracy_loss, protect)
        self.stats, self.surrogate = stats, surrogate
        self.planar = stats.shape is None or len(stats.shape) == 3
        portfolio(
            attacker,
            access=access,
            norm=stats.norm,
            planar=self.planar,
            surrogate=surrogate,
        )
        plan = published_plan(stats) if plan is None else plan
        base = _counts(base_queries, target_queries)
        asked: dict[str, Any] = {
            "attacker": attacker,
            "access": access,
            "target": float(target_queries),
            "protect": protect,
            "allowed": max_accuracy_loss,
            "plan": plan,
        }
        sites = _sites(
            stats,
            site,
            max_accuracy_loss=max_accuracy_loss,
            protect=protect,
            attacker=attacker,
            access=access,
            plan=plan,
            base_queries=base,
        )
        reason = _outside(stats, plan)
        self._found: list[tuple[Search | None, Recommendation]] = []
        for one in sites:
            if reason:
                found = out_of_regime(reason, stats, site=one, **asked)
                self._found.append((None, found))
            else:
                kind = Search if told(stats, one, base) else Untold
                search = kind(stats, site=one, base=base, **asked)
                self._found.append((search, search.solve()))

    def predicted(self) -> Recommendation:
        """The answer by laws."""
        return _doubted(best_of([found for _, found in self._found]), self.stats)

    def answer(
        self,
        trials: Evidence,
        images: Mapping[str, int],
        prices: Mapping[tuple[str, float], tuple[float, float, float]],
        *,
        effort: str = "quick",
        networks: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> Recommendation:
        """The answer by what has been tried, or what it waits for."""
        expect.one_of(EFFORTS, effort=effort)
        if not images.get("calibration"):
            raise DomainError(
                "expected images to name how many calibration images there are, "
                f"got {dict(images)!r}"
            )
        answers = []
        for search, found in self._found:
            if search is not None:
                question = Question(
                    EFFORTS[effort],
                    self.stats.eps,
                    self.stats.norm,
                    dict(images),
                    self.planar,
                    self.surrogate,
                    _beside(found),
                    dict(networks or {}),
                    seed,
                    0.05 / ATTEMPTS / len(self._found),
                )
                priced = {s: v for (name, s), v in prices.items() if name == found.site}
                found = Solver(
                    found,
                    search.attacker.predicted,
                    search.price,
                    question,
                    trials,
                    priced,
                ).solve()
            answers.append(found)
        return _doubted(best_of(answers), self.stats)


def _beside(found: Recommendation) -> tuple[Contender, ...]:
    """Who races beside the portfolio: whom laws find best, or a rival's breaker."""
    if Site.parse(found.site).word:
        return breakers(found.site) if found.attacker == "best" else ()
    own = found.attacker in ("best", "nes", "published")
    return (tuned(found.plan),) if own else ()


def _doubted(rec: Recommendation, stats: ModelStatistics) -> Recommendation:
    """The answer with a word on a model that is hardly ever right."""
    note, guesses = in_doubt(stats)
    if not note:
        return rec
    rec = dataclasses.replace(rec, notes=(*rec.notes, note))
    waits = rec.wants or rec.wants_price
    sure = rec.status in ("FEASIBLE", "PREDICTED", "NO_NOISE_NEEDED")
    if waits or not guesses or not sure:
        return rec
    return dataclasses.replace(
        rec, status="UNRESOLVED", binding="accuracy", advice="Look at the labels first"
    )


def _sites(
    stats: ModelStatistics, site: str | Sequence[str], **question: Any
) -> list[str]:
    """The sites in question, by their full names."""
    if site == "best":
        return list(stats.sites)
    words = [site] if isinstance(site, str) else list(site)
    if not words:
        raise DomainError("expected site to name at least one, got none")
    words = [settled(stats, w, **question) if is_sought(w) else w for w in words]
    return list(dict.fromkeys(stats.full_name(word) for word in words))


def _counts(
    base: float | np.ndarray | None, target_queries: float
) -> float | np.ndarray | None:
    """The noiseless counts that were given, checked."""
    if base is None:
        return None
    try:
        given = np.asarray(base, dtype=float)
    except (TypeError, ValueError):
        raise DomainError(
            f"expected base_queries to be numbers, got {base!r}"
        ) from None
    usual = float(np.median(given)) if given.size else math.nan
    if not usual > 0:
        raise DomainError(f"expected base_queries > 0, got {usual:g}")
    if target_queries < usual < math.inf:
        raise DomainError(
            f"expected target_queries >= {usual:g}, the cost without noise, "
            f"got {target_queries:g}"
        )
    return base


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
    if plan.loss not in LOSSES:
        return (
            f"they hold the losses {' and '.join(LOSSES)}, the plan reads {plan.loss}, "
            "which trials alone can tell of"
        )
    if not stats.betas[0] <= plan.probe * (1 + 1e-9) <= stats.betas[-1] * (1 + 2e-9):
        return (
            f"they cover probe sizes {stats.betas[0]:g} to {stats.betas[-1]:g}, the "
            f"plan has {plan.probe:g}; probe again with betas that reach it"
        )
    return ""


def best_of(answers: Sequence[Recommendation]) -> Recommendation:
    """The best of several sites' answers, the others beside it.

    As long as one of them waits for trials, the answer waits for all of these.
    """
    if len(answers) == 1:
        return answers[0]
    chosen = min(answers, key=_merit)
    rivals = tuple(
        Rival(
            a.site,
            a.status,
            a.sigma,
            a.standings[0].share if a.standings else None,
            a.accuracy_loss,
        )
        for a in answers
        if a is not chosen
    )
    waiting = [a for a in answers if a.wants or a.wants_price]
    if waiting and chosen not in waiting:
        chosen = dataclasses.replace(
            chosen, status="UNRESOLVED", advice="other sites wait for trials"
        )
    return dataclasses.replace(
        chosen,
        rivals=rivals,
        wants=tuple(w for a in waiting for w in a.wants),
        wants_price=tuple(w for a in waiting for w in a.wants_price),
    )


def _merit(answer: Recommendation) -> tuple[float, ...]:
    """The verdict first; then the price of what holds, or how much falls."""
    place = _ORDER.index(answer.status)
    if place <= _ORDER.index("PREDICTED"):
        return place, answer.accuracy_loss[1]
    return place, -answer.fraction_protected
