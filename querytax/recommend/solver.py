"""From trials to an answer: the race at each level, the bracket, the certificate.

Pure: every step reads the evidence, and the first that finds something missing ends in
a recommendation that names what it wants next. Whoever holds the model runs that and
asks again.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from querytax.evidence import Contender, Evidence, Trial
from querytax.recommend.answers import ATTEMPTS, Answers, Question
from querytax.recommend.otherwise import limit, otherwise
from querytax.recommend.portfolio import portfolio
from querytax.recommend.price import Price
from querytax.recommend.race import (
    Race,
    Standing,
    Wanted,
    most_certifiable,
    race,
)
from querytax.recommend.recommendation import Interval, Recommendation

__all__ = ["Solver"]

# The search begins this far below the largest affordable level.
_SPAN = 16.0
# Standard errors that a price keeps from what is allowed: held-out images have their
# own error, and two of them are kept there.
_ERRORS = 3.0
# Favourites of one level that are tried first at the next.
_WARM = 4


class Solver:
    """One question at one site.

    Parameters
    ----------
    base : Recommendation
        The answer by laws.
    predicted : callable
        Queries (lower, estimate, upper) by laws, at a noise level.
    price : Price
    question : Question
    evidence : Evidence
    prices : mapping of float to (lower, estimate, upper)
        Accuracy lost on held-out images, by sigma.
    """

    def __init__(
        self,
        base: Recommendation,
        predicted: Callable[[float], Interval],
        price: Price,
        question: Question,
        evidence: Evidence,
        prices: Mapping[float, Interval],
    ) -> None:
        self.base, self.price, self.question = base, price, question
        self.evidence, self.prices = evidence, prices
        self.held = question.images.get("held_out", 0)
        self.field = self._field(base.access)
        self.largest = _below(price.largest(base.max_accuracy_loss, _ERRORS))
        self._attempt = 0
        self.answers = Answers(
            base,
            predicted,
            price,
            question.images,
            min(math.ceil(base.target_queries), question.effort.n_queries),
            self.largest,
            most_certifiable(self.held, 1.0 - base.protect, question.alpha),
            self.field,
            question.alpha,
        )

    def solve(self) -> Recommendation:
        """The answer, or what it waits for."""
        if self.base.binding == "blind patterns":
            return self._blind()
        try:
            return self._answer()
        except Wanted as missing:
            return self.answers.made(
                "UNRESOLVED",
                self.base.sigma,
                (0.0, math.inf),
                binding="trials",
                advice=f"{len(missing.trials)} trials are missing",
                wants=missing.trials,
                wants_price=tuple((self.base.site, s) for s in missing.prices),
            )

    # -- the search --------------------------------------------------------------

    def _answer(self) -> Recommendation:
        hope = self.answers.hope
        without = self._race(0.0, early=not self.question.effort.everybody)
        if without.holds(hope):
            found = self._certified(without, 0.0)
            if found.status in ("NO_NOISE_NEEDED", "PREDICTED"):
                return found
        top = self._race(self.largest, early=False)
        if not self._falls(top):
            level = self._bisected() if top.holds(hope) else (0.0, self.largest)
            found = self._climbed(*level)
            if found.status != "INFEASIBLE":
                return found
            if top.holds(hope):
                return dataclasses.replace(found, status="UNRESOLVED", binding="images")
        return self._below_top(top)

    def _bisected(self) -> tuple[float, float]:
        """The last level that does not hold and the first that does."""
        low, high = 0.0, self.largest
        floor = self.largest / _SPAN
        while high > max(low, floor) * self.question.effort.bracket:
            middle = _rounded(math.sqrt(max(low, floor)) * math.sqrt(high))
            if not max(low, floor) < middle < high:
                break
            if self._holds(middle):
                high = middle
            else:
                low = middle
        return low, high

    def _holds(self, sigma: float) -> bool:
        """Whether a level holds: its neighbours' favourites first, then everybody."""
        hope, everybody = self.answers.hope, self.question.effort.everybody
        if not self._race(sigma, self._warm(sigma)).holds(hope):
            return False
        return not everybody or self._race(sigma).holds(hope)

    def _climbed(self, low: float, high: float) -> Recommendation:
        """The level certified on held-out images, or one above it.

        Everybody races there first. What held against favourites, or by luck of the
        calibration images, may not hold then: next comes the middle between that level
        and the largest, then the largest.
        """
        sigma = high
        while True:
            raced = self._race(sigma)
            last = sigma >= self.largest or self._attempt + 1 >= ATTEMPTS
            if last or raced.holds(self.answers.hope):
                found = self._certified(raced, low)
                paid = found.binding != "max_accuracy_loss"
                good = found.status in ("FEASIBLE", "PREDICTED")
                if last or good or not (self.held and paid):
                    return found
            low = sigma
            middle = _rounded(math.sqrt(sigma) * math.sqrt(self.largest))
            near = middle < self.largest * 0.95 and self._attempt + 2 < ATTEMPTS
            sigma = middle if near else self.largest

    def _below_top(self, top: Race) -> Recommendation:
        """The largest level falls: whether a smaller one does better."""
        fallen = [top]
        undecided: list[Race] = []
        for sigma in self._smaller():
            found = self._race(sigma, self._warm(sigma))
            if not self._falls(found):
                found = self._race(sigma)
            if found.holds(self.answers.hope):
                self.answers.notes.append(
                    f"more noise than {sigma:.4g} helps the attacker here"
                )
                held = self._climbed(0.0, sigma)
                if held.status == "INFEASIBLE":
                    # This level was not shown to fall.
                    return self.answers.unresolved(found, 0.0, "images")
                return held
            (fallen if self._falls(found) else undecided).append(self._races[sigma])
        without = self._races[0.0]
        if not self._falls(without):
            undecided.append(self._races[0.0])
        if undecided:
            return self.answers.unresolved(undecided[0], 0.0, "images")
        ends = float(self.price.measured.sigmas[-1])
        if self.price.at(ends)[0] <= self.base.max_accuracy_loss:
            why = "Probe larger noise levels (sigmas=): the accuracy may allow them"
            return self.answers.unresolved(
                top, self.largest, "probed noise levels", why
            )
        beyond = _below(self.price.largest(self.base.max_accuracy_loss, -2.0))
        if beyond > self.largest * 1.05:
            found = self._race(beyond, self._warm(beyond))
            if not self._falls(found):
                return self.answers.unresolved_price(found)
        most = fallen[0] = self._races[top.sigma]
        for raced in fallen[1:]:
            # More noise hinders more, unless it plainly does not.
            if raced.best.queries[0] > most.best.queries[2]:
                most = raced
        return self._infeasible(most)

    def _smaller(self) -> list[float]:
        """The probed levels below the largest affordable one, the largest first."""
        grid = self.price.measured.sigmas
        return [float(s) for s in grid[::-1] if 0 < s < self.largest * 0.95]

    # -- races -------------------------------------------------------------------

    def _field(self, access: str) -> tuple[Contender, ...]:
        q = self.question
        own = q.entries if access == "scores" else ()
        if self.base.attacker == "published":
            return own
        entries = portfolio(
            self.base.attacker,
            access=access,
            norm=q.norm,
            planar=q.planar,
            surrogate=q.surrogate,
        )
        return tuple(dict.fromkeys((*entries, *own)))

    def _start(self, sigma: float, part: str = "calibration") -> Trial:
        return Trial(
            self.field[0],
            self.question.eps,
            self.question.norm,
            self.base.access,
            self.base.site,
            sigma,
            part,
            1,
            self.answers.budget,
            # Every certificate has draws of its own.
            self.question.seed + (1 + self._attempt if part == "held_out" else 0),
        )

    def _race(
        self,
        sigma: float,
        entries: Sequence[Contender] = (),
        early: bool = True,
    ) -> Race:
        found = race(
            self._start(sigma),
            entries or self.field,
            self.question.effort,
            self.evidence,
            self.answers.exposed,
            images=self.question.images["calibration"],
            early=early,
            entered=len(self.field),
        )
        before = self.answers.races.get(sigma)
        if before is None or len(before.standings) <= len(found.standings):
            self.answers.races[sigma] = found
        return found

    def _falls(self, raced: Race) -> bool:
        """Whether a level falls; an open one to its best attack on all the images."""
        if raced.falls() or raced.holds(self.answers.hope):
            return raced.falls()
        images = self.question.images["calibration"]
        if images > raced.best.images:
            best, start = raced.surest.contender, self._start(raced.sigma)
            others = [s for s in raced.standings if s.contender != best]
            more = (*self._tried(start, [best], images), *others)
            raced = dataclasses.replace(raced, standings=more)
            self._races[raced.sigma] = raced
        return raced.falls()

    @property
    def _races(self) -> dict[float, Race]:
        return self.answers.races

    def _warm(self, sigma: float) -> tuple[Contender, ...]:
        """The favourites of the nearest levels that were raced."""
        races = self.answers.races
        near = sorted(
            (s for s in races if s > 0), key=lambda s: abs(math.log(s / sigma))
        )
        found = [
            standing.contender
            for place in range(_WARM)
            for s in near[:2]
            for standing in races[s].standings[place : place + 1]
        ]
        # What noise taxes most is strong without it, and at little.
        without = [races[0.0].best.contender] if 0.0 in races else []
        return tuple(dict.fromkeys((*found[:_WARM], *without)))

    # -- answers -----------------------------------------------------------------

    def _blind(self) -> Recommendation:
        """Guessing is cheaper than the target, whatever the noise."""
        assert self.base.ceiling is not None
        told = {**self.answers.facts(), "certified_to": 0}
        way_out = (limit(self.base.ceiling[0], self.answers.exposed),)
        return dataclasses.replace(self.base, otherwise=way_out, **told)

    def _certified(self, raced: Race, low: float) -> Recommendation:
        """Try a level again, on held-out images and with fresh draws."""
        if not self.held:
            why = "There are no held-out images: give some to certify this"
            return self.answers.unresolved(raced, low, "held-out images", why)
        if self._attempt >= ATTEMPTS:
            why = f"The {ATTEMPTS} attempts at a certificate are spent"
            return self.answers.unresolved(raced, low, "images", why)
        sigma, effort = raced.sigma, self.question.effort
        start = self._start(sigma, "held_out")
        chosen = [s.contender for s in raced.standings[: effort.certified]]
        glance = min(effort.glance, self.held)
        if glance:
            seen = self._tried(start, self.field, glance)
            chosen += [s.contender for s in seen[: effort.certified]]
        first, *others = dict.fromkeys(chosen)
        standings = self._tried(start, [first], self.held)
        # Where the first attack forbids a certificate, no other can give it.
        if others and standings[0].bound(self.question.alpha) <= self.answers.exposed:
            standings = self._tried(start, [first, *others], self.held)
        if sigma > 0 and sigma not in self.prices:
            raise Wanted((), (sigma,))
        lost = self.prices.get(sigma, (0.0, 0.0, 0.0))
        # The next certificate has draws of its own.
        self._attempt += 1
        return self.answers.certificate(sigma, low, standings, lost)

    def _tried(
        self, start: Trial, entries: Sequence[Contender], images: int
    ) -> tuple[Standing, ...]:
        """All entries on so many images at the whole budget, the best first."""
        whole = dataclasses.replace(self.question.effort, rungs=(), images=images)
        return race(
            start, entries, whole, self.evidence, self.answers.exposed, images=images
        ).standings

    def _infeasible(self, fallen: Race) -> Recommendation:
        """Every affordable level falls; the attack is tried on held-out images too."""
        shown = fallen.surest
        others = [s for s in fallen.standings if s is not shown]
        evidence, standings = "tried", (shown, *others)
        if self.held:
            start = self._start(fallen.sigma, "held_out")
            (again,) = self._tried(start, [shown.contender], self.held)
            if again.least(self.question.alpha) > self.answers.exposed:
                evidence, standings = "certified", (again, *others)
        return self.answers.made(
            "INFEASIBLE",
            fallen.sigma,
            (self.largest, math.inf),
            evidence=evidence,
            standings=standings,
            binding="max_accuracy_loss",
            otherwise=self._otherwise(fallen, standings[0]),
        )

    def _otherwise(self, fallen: Race, binds: Standing) -> tuple[str, ...]:
        """What else could be done, tried with the favourites of the level that fell."""
        q = self.question
        hard: tuple[Contender, ...] = ()
        if self.base.access != "labels" and self.base.attacker == "best":
            hard = self._field("labels")
        more = otherwise(
            self._start(fallen.sigma),
            [s.contender for s in fallen.standings[:_WARM]],
            hard,
            q.networks,
            q.effort,
            self.evidence,
            self.answers.exposed,
            q.images["calibration"],
        )
        return (limit(binds.queries[0], self.answers.exposed), *more)


def _rounded(value: float) -> float:
    """To three significant digits, so that a level can be typed."""
    return float(f"{value:.3g}")


def _below(value: float) -> float:
    """To three significant digits, never up."""
    near = _rounded(value)
    if near <= value:
        return near
    return _rounded(value - 0.5 * 10.0 ** (math.floor(math.log10(value)) - 2))
