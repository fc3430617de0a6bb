"""The answer by laws, from statistics alone."""

from __future__ import annotations

import functools
import math

import numpy as np

from querytax.plans import NESPlan
from querytax.recommend.attackers import Attacker
from querytax.recommend.conclusions import answer, out_of_regime
from querytax.recommend.families import Field
from querytax.recommend.prediction import Predictor
from querytax.recommend.price import Price
from querytax.recommend.recommendation import Recommendation
from querytax.recommend.sampled import sampled
from querytax.statistics import ModelStatistics
from querytax.theory import blind_counts

__all__ = ["Search", "out_of_regime"]

_TOLERANCE = 0.01


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
        self.price = Price(stats, site)
        self.notes: list[str] = []
        self.seen: dict[float, float] = {}
        # Whether laws end before the accuracy does, and whether they leave it open.
        self.ended = self.straddles = False
        self._enter(plan, base)

    def _enter(self, plan: NESPlan, base: float | np.ndarray | None) -> None:
        """The attackers, and what is known of them."""
        # Laws cost time an image; an even sample of many says the same.
        some, index = sampled(self.stats)
        if base is not None and np.shape(base) == self.stats.probed.shape:
            base = np.asarray(base, dtype=float)[index]
        self.predictor = Predictor(some, self.site, plan, base)
        law = "published" if self.named.startswith("published") else "best"
        nes = Attacker(law, self.predictor, self.protect)
        self.attacker = Field(
            some, self.site, self.named, self.access, nes, self.protect
        )
        self.notes += self.predictor.notes

    def level(self, sigma: float) -> float:
        """Queries of the image that ``protect`` leaves exposed first, at least."""
        if sigma not in self.seen:
            self.seen[sigma] = self.attacker.lower(sigma)
        return self.seen[sigma]

    def solve(self) -> Recommendation:
        """The ceiling first: where guessing is cheap, nothing else is computed."""
        if self.guessed():
            return answer(self, "INFEASIBLE", 0.0, (0.0, math.inf), math.inf, 0.0)
        grid = self.price.measured.sigmas
        largest = self.price.largest(self.allowed)
        known = [self.attacker.predicts(float(s)) for s in grid]
        if not known[0]:
            return answer(self, "UNRESOLVED", 0.0, (0.0, math.inf), math.inf, largest)
        # As far as laws reach.
        if False in known:
            grid = grid[: known.index(False)]
            self.ended = bool(largest >= grid[-1])
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
            return answer(self, "PREDICTED", 0.0, (0.0, 0.0), 0.0, largest)
        enough = np.nonzero(safe >= self.target)[0]
        if enough.size:
            bracket = self._bisect(float(grid[enough[0] - 1]), float(grid[enough[0]]))
        else:
            bracket = (float(grid[-1]), math.inf)
        need = bracket[1]
        if need <= largest:
            return answer(self, "PREDICTED", need, bracket, need, largest)
        # The largest tax that the accuracy allows, by the least noise that exacts it.
        allowed = np.append(grid[grid < largest], largest)
        after = np.append(safe, math.inf)[np.searchsorted(grid, allowed)]
        tax = [
            min(self.level(float(s)), a) for s, a in zip(allowed, after, strict=True)
        ]
        sigma = float(allowed[int(np.argmax(tax))])
        ended = math.isinf(need) and largest >= grid[-1]
        # It falls by the reading that believes in the attacker; by the middle one too?
        self.straddles = not ended and self.attacker.predicted(sigma)[1] >= self.target
        status = "UNRESOLVED" if ended or self.straddles else "INFEASIBLE"
        return answer(self, status, sigma, bracket, need, largest)

    def _bisect(self, low: float, high: float) -> tuple[float, float]:
        """Shrink a bracket in sigma; its upper end was evaluated and is sufficient."""
        low = max(low, high * 1e-3) if low == 0.0 else low
        if self.level(low) >= self.target:
            return 0.0, low
        while high > low * (1 + _TOLERANCE):
            middle = _rounded_up(math.sqrt(low) * math.sqrt(high))
            if not low < middle < high:
                break
            if self.level(middle) >= self.target:
                high = middle
            else:
                low = middle
        return low, high

    def guessed(self) -> bool:
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
            low, middle, high = blind_counts.interval(hits, tried, exposed)
        else:
            turn = self.stats.blind_turn
            low, middle, high = blind_counts.scheduled_interval(each, turn, exposed)
        return float(low), float(middle), float(high)


def _rounded_up(value: float) -> float:
    """To three significant digits, never down."""
    if value < 1e-300:
        # Among the last floats there are no such digits.
        return value
    digits = 2 - math.floor(math.log10(value))
    scale = 10.0**digits
    up = math.ceil(value * scale - 1e-9) / scale
    return up if up >= value else math.nextafter(up, math.inf)
