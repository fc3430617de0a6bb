"""From what the races showed to a recommendation, with what would decide it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from querytax.evidence import Contender
from querytax.recommend.price import Price
from querytax.recommend.race import Effort, Race, Standing
from querytax.recommend.recommendation import Interval, Level, Recommendation
from querytax.words import count, percent

__all__ = ["ATTEMPTS", "Answers", "Question"]

# Attempts at certifying, at one site.
ATTEMPTS = 4
# Attacks of each level that an answer keeps.
_KEPT = 8


@dataclass(frozen=True)
class Question:
    """What is asked, beside what the predicted answer already holds.

    Attributes
    ----------
    effort : Effort
    eps, norm
        The perturbation budget.
    images : dict of str to int
        Images of each part that the model gets right.
    planar : bool
        Whether they are (C, H, W).
    surrogate : bool
        Whether the attacker has a network of his own.
    entries : tuple of Contender
        Attacks beside the portfolio, or instead of it: those that the laws find best.
    networks : mapping of str to int
        Other networks that the same noise could guard, and the calibration images
        that each gets right.
    seed : int
    alpha : float
        Of calling a level safe that is not, in one of the attempts.
    """

    effort: Effort
    eps: float
    norm: str
    images: Mapping[str, int]
    planar: bool = True
    surrogate: bool = False
    entries: tuple[Contender, ...] = ()
    networks: Mapping[str, int] = dataclasses.field(default_factory=dict)
    seed: int = 0
    alpha: float = 0.05 / ATTEMPTS


@dataclass
class Answers:
    """The answers to one question at one site.

    Attributes
    ----------
    base : Recommendation
        The answer by laws, which the others start from.
    predicted : callable
        Queries (lower, estimate, upper) by laws, at a noise level.
    price : Price
    images : mapping of str to int
    budget : int
        Queries an image of the trials.
    largest : float
        The largest noise level that surely keeps the accuracy.
    most : float
        Share of the held-out images that may fall if a level is to be certified.
    entered : tuple of Contender
    alpha : float
        As in :class:`Question`.
    races : dict
        By sigma, as they end.
    notes : list of str
    """

    base: Recommendation
    predicted: Callable[[float], Interval]
    price: Price
    images: Mapping[str, int]
    budget: int
    largest: float
    most: float
    entered: tuple[Contender, ...]
    alpha: float
    races: dict[float, Race] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def exposed(self) -> float:
        """Share of the images that may fall."""
        return 1.0 - self.base.protect

    @property
    def hope(self) -> float:
        """Share of the calibration images that may fall for a level to be tried again.

        With no held-out images, or too few, the plain share.
        """
        return self.most if self.most >= 0 else self.exposed

    def made(
        self,
        status: str,
        sigma: float,
        bracket: tuple[float, float],
        *,
        standings: tuple[Standing, ...] = (),
        **told: Any,
    ) -> Recommendation:
        """An answer: the verdict, and what is said beside every verdict."""
        enough = status in ("FEASIBLE", "NO_NOISE_NEEDED", "PREDICTED")
        if standings:
            low, share, high = standings[0].share
            told = {
                "attack": standings[0].contender,
                "fraction_protected": 1.0 - share,
                "fraction_interval": (1.0 - high, 1.0 - low),
                **told,
            }
        beside = {
            "sigma_for_queries": sigma if enough else math.inf,
            "sigma_for_accuracy": self.largest,
            "predicted_queries": self.predicted(sigma),
            "accuracy_loss": self.price.at(sigma),
            "advice": "",
            **self.facts(),
        }
        seen = (*standings, *(s for r in self.races.values() for s in r.standings))
        crashes = {s.contender: s for s in reversed(seen) if s.lost}
        beside["notes"] = (*beside["notes"], *map(_crashed, crashes.values()))
        return dataclasses.replace(
            self.base,
            status=status,
            sigma=sigma,
            sigma_searched=bracket,
            sigma_interval=self._interval(status, sigma),
            standings=standings,
            **{**beside, **told},
        )

    def _interval(self, status: str, sigma: float) -> tuple[float, float]:
        """From the largest level that surely falls to the least that surely holds."""
        fallen = [s for s, race in self.races.items() if race.falls()]
        held = [
            s
            for s, race in self.races.items()
            if race.finalists
            and all(
                one.share[2] <= self.exposed for one in race.standings[: race.finalists]
            )
        ]
        if status in ("FEASIBLE", "NO_NOISE_NEEDED"):
            held.append(sigma)
        return max(fallen, default=0.0), min(held, default=math.inf)

    def facts(self) -> dict[str, Any]:
        """What holds whatever the verdict."""
        without = self.races.get(0.0)
        return {
            "noiseless": without.best if without else None,
            "levels": tuple(
                Level(s, r.standings[:_KEPT], self.price.at(s), r.verdict(self.hope))
                for s, r in sorted(self.races.items())
            ),
            "considered": tuple(dict.fromkeys(c.attack for c in self.entered)),
            "certified_to": self.budget,
            "images": tuple(self.images.items()),
            "notes": (*self.base.notes, *self.notes),
        }

    # -- verdicts ----------------------------------------------------------------

    def certificate(
        self,
        sigma: float,
        low: float,
        standings: tuple[Standing, ...],
        lost: Interval,
    ) -> Recommendation:
        """What held-out images say about a level.

        That no attack takes more than its share needs no correction for their number:
        the claim fails if one of them does, and that one is found out in all but
        ``alpha`` of the cases. That some attack does needs one.
        """
        where = sigma, (low, sigma)
        told: dict[str, Any] = {
            "standings": standings,
            "evidence": "certified",
            "accuracy_loss": lost,
        }
        worst = max(s.bound(self.alpha) for s in standings)
        least = max(s.least(self.alpha / len(standings)) for s in standings)
        if least > self.exposed:
            # A larger level may still hold, unless there is none.
            return self.made(
                "INFEASIBLE" if sigma >= self.largest else "UNRESOLVED",
                *where,
                binding="target_queries",
                advice="It held on the calibration images, not on held-out ones",
                **told,
            )
        if worst > self.exposed:
            blind = [s for s in standings if s.bound(self.alpha) > self.exposed]
            if all(s.seen(self.alpha) <= self.exposed for s in blind):
                return self.made(
                    "UNRESOLVED",
                    *where,
                    binding="crashes",
                    advice=f"Nothing is known of images on which an attack crashed: "
                    f"{_crashed(blind[0])}",
                    **told,
                )
            return self.made(
                "UNRESOLVED",
                *where,
                binding="images",
                advice=self._more_images(standings[0], self.images["held_out"]),
                **told,
            )
        allowed = self.base.max_accuracy_loss
        if lost[2] > allowed:
            return self.made(
                "UNRESOLVED",
                *where,
                binding="max_accuracy_loss",
                advice=self._more_labels(lost),
                **told,
            )
        if self.budget >= self.base.target_queries:
            status = "FEASIBLE" if sigma > 0 else "NO_NOISE_NEEDED"
            return self.made(status, *where, binding="target_queries", **told)
        return self._beyond(where, told)

    def _beyond(
        self, where: tuple[float, tuple[float, float]], told: dict[str, Any]
    ) -> Recommendation:
        """Certified as far as the trials went; the laws say the rest, or do not."""
        low, _, high = self.predicted(where[0])
        reached = f"Certified to {count(self.budget)} queries"
        status = "UNRESOLVED"
        if low >= self.base.target_queries:
            status = "PREDICTED"
            advice = f"{reached}, predicted beyond; a larger effort certifies more"
        elif high < self.base.target_queries:
            word = self.base.predicted_by[0][0] if self.base.predicted_by else "nes"
            advice = (
                f"{reached}; by laws {word} needs {count(high)}: a larger effort tells"
            )
        else:
            advice = f"{reached}; beyond, the laws cannot tell, a larger effort can"
        return self.made(status, *where, binding="trial budget", advice=advice, **told)

    def unresolved(
        self, raced: Race, low: float, binding: str, advice: str = ""
    ) -> Recommendation:
        """Tried, and not decided."""
        if not advice:
            advice = self._more_images(raced.best, raced.best.images)
        return self.made(
            "UNRESOLVED",
            raced.sigma,
            (low, raced.sigma),
            evidence="tried",
            standings=raced.standings,
            binding=binding,
            advice=advice,
        )

    def unresolved_price(self, raced: Race) -> Recommendation:
        """A level holds, or may, and whether it is affordable is not known."""
        return self.unresolved(
            raced,
            self.largest,
            "max_accuracy_loss",
            f"At {raced.sigma:.4g} no attack surely breaks enough images, but its "
            f"price is not known well enough. "
            f"{self._more_labels(self.price.at(raced.sigma))}",
        )

    # -- what would decide -------------------------------------------------------

    def _more_images(self, standing: Standing, n: int) -> str:
        """How many images would tell the share from what may fall."""
        if self.most < 0 and n == self.images.get("held_out", 0):
            least = math.ceil(math.log(self.alpha) / math.log(1.0 - self.exposed))
            return (
                f"{n} held-out images certify nothing about a share of "
                f"{percent(self.exposed)}; {least} would if none fell"
            )
        share = standing.share[1]
        gap = abs(share - self.exposed)
        said = f"{percent(share)} of {n} images fell and {percent(self.exposed)} may"
        if gap * n < 0.5:
            return f"{said}: images hardly tell them apart; ask for another share"
        spread = max(share * (1.0 - share), self.exposed * (1.0 - self.exposed))
        need = math.ceil(3.84 * spread / gap**2)
        return f"{said}; about {_about(max(need, 2 * n))} images would decide"

    def _more_labels(self, loss: Interval) -> str:
        """How many labelled images would tell the price from what is allowed."""
        allowed = self.base.max_accuracy_loss
        said = (
            f"It costs {percent(loss[1])} of accuracy, {percent(loss[0])} to "
            f"{percent(loss[2])}, and {percent(allowed)} are allowed"
        )
        gap = abs(allowed - loss[1])
        if gap <= 0:
            return said
        n = sum(self.images.values())
        need = math.ceil(n * ((loss[2] - loss[1]) / gap) ** 2)
        return f"{said}; about {_about(max(need, 2 * n))} images would decide"


def _crashed(standing: Standing) -> str:
    """Where an attack crashed, and of what."""
    return (
        f"{standing.contender.name} crashed on {standing.lost} of {standing.images} "
        f"images ({standing.crash.removeprefix('crashed: ') or 'not said of what'})"
    )


def _about(value: int) -> str:
    """To two digits, up."""
    scale = 10 ** max(len(str(value)) - 2, 0)
    return f"{-(-value // scale) * scale:,}"
