"""The answer: frozen, with everything that it assumed."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from querytax.evidence import Contender, Trial
from querytax.expect import DomainError
from querytax.files import parsed
from querytax.plans import NESPlan
from querytax.recommend.race import Standing
from querytax.recommend.recognised import expect_kinds

__all__ = ["EXIT_CODES", "Frontier", "Level", "Recommendation", "Rival"]

EXIT_CODES = {
    "FEASIBLE": 0,
    "NO_NOISE_NEEDED": 0,
    "INFEASIBLE": 3,
    "PREDICTED": 4,
    "UNRESOLVED": 4,
    "OUT_OF_REGIME": 5,
}

Interval = tuple[float, float, float]


@dataclass(frozen=True)
class Frontier:
    """What noise buys and costs by the laws, level by level.

    Attributes
    ----------
    sigmas : tuple of float
        Noise levels, ascending.
    queries : tuple of (lower, estimate, upper)
        Queries that all but a share ``1 - protect`` of the images need, as predicted.
    accuracy_loss : tuple of float
    plans : tuple of NESPlan
        The predicted attack at each level.
    """

    sigmas: tuple[float, ...]
    queries: tuple[Interval, ...]
    accuracy_loss: tuple[float, ...]
    plans: tuple[NESPlan, ...]


@dataclass(frozen=True)
class Level:
    """A noise level that was tried.

    Attributes
    ----------
    sigma : float
    standings : tuple of Standing
        The best that raced there, in order.
    accuracy_loss : (lower, estimate, upper)
    verdict : {"falls", "holds", "open"}
        Whether some attack surely breaks more than the exposed share, none does, or
        neither is known.
    """

    sigma: float
    standings: tuple[Standing, ...]
    accuracy_loss: Interval
    verdict: str

    @property
    def best(self) -> Standing:
        """The attack that binds."""
        return self.standings[0]


@dataclass(frozen=True)
class Rival:
    """The answer at another site, for comparison.

    Attributes
    ----------
    site, status, sigma
    share : (lower, estimate, upper) or None
        Of the images, broken by the best attack there within the target or the budget.
    accuracy_loss : (lower, estimate, upper)
    """

    site: str
    status: str
    sigma: float
    share: Interval | None
    accuracy_loss: Interval


@dataclass(frozen=True)
class Recommendation:
    """Sigma for a target query count, or why there is none.

    Attributes
    ----------
    status : str
        ``FEASIBLE``: certified by attacks on held-out images; ``PREDICTED``: by laws,
        beyond what was certified; ``NO_NOISE_NEEDED``: certified without noise;
        ``INFEASIBLE``: an attack breaks more images than may fall, ``attack`` is it,
        and ``sigma`` the level that hinders it most; ``UNRESOLVED``: neither is known,
        ``advice`` says what would decide; ``OUT_OF_REGIME``: the statistics do not
        cover the question.
    site : str
    attacker : str
        Who was asked about: ``best``, ``published``, or an attack's word.
    sigma : float
    sigma_searched : (float, float)
        How far the search went: the level below was not sufficient, the level above
        is; equal if not searched. It says nothing of the uncertainty.
    sigma_interval : (float, float)
        Where the least sufficient level lies, the images being a sample: from the
        largest level that surely falls to the smallest that surely holds, each by its
        own 95 % interval; by laws, from the largest at which even the upper reading
        falls short. Infinite where no level surely holds.
    target_queries, base_queries : float
        Asked for; and the median over images without noise and with published NES,
        as predicted or given.
    protect, fraction_protected : float
        Share of images that must, and that do, withstand ``target_queries`` or the
        trials' budget.
    fraction_interval : (float, float)
        95 % interval of that share: the images are a sample.
    predicted_queries : (lower, estimate, upper)
        By laws, at ``sigma``, for the image that ``protect`` leaves exposed first.
        Infinite where the attack stalls.
    accuracy_loss : (lower, estimate, upper)
        At ``sigma``, of ``clean_accuracy``; two standard errors to either side. On
        held-out images where the answer is certified.
    max_accuracy_loss : float
    binding : str
        The constraint that decided.
    sigma_for_queries, sigma_for_accuracy : float
        The least level that reaches the target (infinite if none does) and the
        largest that keeps the accuracy.
    plan : NESPlan
        The attack that the prediction is about.
    floor_queries : float
        Mean queries about one probe direction that the sign of the loss's change costs
        if it is to be right 99 times in 100, at the best loss and size probed, by any
        sequential test that knows its magnitude. It bounds one comparison of these
        losses, not an attack: a blind attacker compares nothing.
    advice : str
        What would make the target feasible, or how to resolve the question.
    frontier : Frontier
        By laws.
    evidence : {"predicted", "tried", "certified"}
        What ``status`` rests on: laws; attacks on the images that choices were made
        on; attacks on held-out images, after all choices.
    access : {"scores", "top1", "labels"}
    ceiling : (lower, estimate, upper) or None
        Blind patterns until the exposed share of the images has fallen, whatever the
        noise; infinite beyond ``patterns``, the number tried.
    patterns : int
    attack : Contender or None
        The attack that binds: of ``INFEASIBLE`` the one that shows it.
    noiseless : Standing or None
        The cheapest attacker without noise, and his cost.
    standings : tuple of Standing
        At ``sigma``, the best attack first, on the images that ``evidence`` names.
    levels : tuple of Level
        All that were tried, by sigma.
    considered : tuple of str
        Attacks that entered.
    certified_to : int
        Queries an image that the trials had.
    images : tuple of (str, int)
        Images of each part.
    smoothed : (lower, estimate, upper) or None
        Share of the images whose majority answer cannot change inside the budget, by
        any number of queries; input noise alone.
    otherwise : tuple of str
        What else could be done, with numbers.
    rivals : tuple of Rival
        Answers at other sites.
    wants : tuple of Trial
        Trials that the answer waits for.
    wants_price : tuple of (str, float)
        Sites and noise levels whose accuracy on held-out images it waits for.
    laws : dict of str to str
        The laws used, each with its regime.
    notes : tuple of str
    provenance : dict
    """

    status: str
    site: str
    attacker: str
    sigma: float
    sigma_searched: tuple[float, float]
    target_queries: float
    base_queries: float
    protect: float
    fraction_protected: float
    fraction_interval: tuple[float, float]
    predicted_queries: Interval
    accuracy_loss: Interval
    clean_accuracy: float
    max_accuracy_loss: float
    binding: str
    sigma_for_queries: float
    sigma_for_accuracy: float
    plan: NESPlan
    floor_queries: float
    advice: str
    frontier: Frontier
    sigma_interval: tuple[float, float] = (0.0, math.inf)
    evidence: str = "predicted"
    access: str = "scores"
    ceiling: Interval | None = None
    patterns: int = 0
    attack: Contender | None = None
    noiseless: Standing | None = None
    standings: tuple[Standing, ...] = ()
    levels: tuple[Level, ...] = ()
    considered: tuple[str, ...] = ()
    predicted_by: tuple[tuple[str, Interval], ...] = ()
    unpredicted: tuple[str, ...] = ()
    certified_to: int = 0
    images: tuple[tuple[str, int], ...] = ()
    smoothed: Interval | None = None
    otherwise: tuple[str, ...] = ()
    rivals: tuple[Rival, ...] = ()
    wants: tuple[Trial, ...] = ()
    wants_price: tuple[tuple[str, float], ...] = ()
    laws: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Exit code of the command line for this status."""
        return EXIT_CODES[self.status]

    @property
    def runner_up(self) -> Standing | None:
        """The best attack of another kind than the one that binds."""
        for standing in self.standings[1:]:
            if standing.contender.attack != self.standings[0].contender.attack:
                return standing
        return None

    @property
    def tax(self) -> float:
        """Predicted queries (lower) over those of the same attacker without noise.

        NaN where he fails without noise already.
        """
        without = self.frontier.queries[0][0]
        return math.nan if math.isinf(without) else self.predicted_queries[0] / without

    def statement(self) -> str:
        """A paragraph for a person, every assumption in it."""
        from querytax.recommend.statement import statement

        return statement(self)

    def to_json(self) -> dict[str, Any]:
        """Plain data; infinities become the word ``"inf"``."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any] | str) -> Recommendation:
        """What :meth:`to_json` wrote, from the mapping or its text.

        Raises
        ------
        DomainError
            If it is something else.
        """
        try:
            plain = dict(parsed(data) if isinstance(data, str) else data)
            values = _revived(plain)
            frontier = dict(values["frontier"])
            frontier["plans"] = tuple(NESPlan(**p) for p in frontier["plans"])
            made: dict[str, Any] = {
                "plan": NESPlan(**values["plan"]),
                "frontier": Frontier(**frontier),
                "attack": values["attack"] and Contender(**values["attack"]),
                "noiseless": values["noiseless"] and _standing(values["noiseless"]),
                "standings": tuple(_standing(s) for s in values["standings"]),
                "levels": tuple(
                    Level(**{**v, "standings": tuple(map(_standing, v["standings"]))})
                    for v in values["levels"]
                ),
                "rivals": tuple(Rival(**v) for v in values["rivals"]),
                "wants": tuple(Trial.from_json(v) for v in values["wants"]),
                # Free data: its lists are lists, and its words are words.
                "provenance": plain["provenance"],
            }
            found = cls(**{**values, **made})
            expect_kinds(found)
            _expect_sound(found)
            return found
        except RecursionError:
            raise DomainError(
                "expected data to be a recommendation's JSON, got one nested too deeply"
            ) from None
        except (
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
            OverflowError,
        ) as error:
            raise DomainError(
                "expected data to be a recommendation's JSON, got something else: "
                f"{str(error).splitlines()[0]}"
            ) from None

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the frontier; to a file if ``path`` is given.

        Returns
        -------
        matplotlib.figure.Figure
        """
        import querytax

        return querytax.frontier_figure([self], path=path)


def _expect_sound(rec: Recommendation) -> None:
    """Fail on numbers that no answer has."""
    if rec.status not in EXIT_CODES:
        raise ValueError(f"status {rec.status!r}")
    for name in ("protect", "fraction_protected", "clean_accuracy"):
        if not 0.0 <= getattr(rec, name) <= 1.0:
            raise ValueError(f"{name} {getattr(rec, name)!r}")
    if not 0.0 <= rec.max_accuracy_loss <= 1.0 or not rec.sigma >= 0.0:
        raise ValueError(f"sigma {rec.sigma!r} at a loss of {rec.max_accuracy_loss!r}")
    f = rec.frontier
    if not f.sigmas or not (
        len(f.sigmas) == len(f.queries) == len(f.accuracy_loss) == len(f.plans)
    ):
        raise ValueError("a frontier of unequal length")
    every = [rec.accuracy_loss, *(level.accuracy_loss for level in rec.levels)]
    if any(not 0.0 <= x <= 1.0 for triple in every for x in triple):
        raise ValueError("an accuracy loss outside [0, 1]")
    tried = [*rec.standings, *(s for level in rec.levels for s in level.standings)]
    if any(not 0 <= s.fell <= s.images - s.lost <= s.images for s in tried):
        raise ValueError("a standing that counts more images than it has")


def _standing(values: dict[str, Any]) -> Standing:
    return Standing(**{**values, "contender": Contender(**values["contender"])})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def _revived(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _revived(v) for key, v in value.items()}
    if isinstance(value, list):
        return tuple(_revived(v) for v in value)
    if value in ("inf", "-inf"):
        return float(value)
    return value
