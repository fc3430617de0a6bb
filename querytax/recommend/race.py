"""A race: many attacks on few images, then fewer attacks on more, at one noise level.

Pure: it reads the evidence, and where a trial is missing it says which it wants.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import bdtr, betaincinv

from querytax import expect
from querytax.evidence import Contender, Evidence, Trial, Tried

__all__ = [
    "EFFORTS",
    "Effort",
    "Race",
    "Standing",
    "Wanted",
    "expected_rows",
    "most_certifiable",
    "race",
    "share_bounds",
]

# Of being left behind by luck, an attack and a rung; one-sided.
_BEHIND = 0.1
# Stages after which a level may be said to fall.
_LOOKS = 4
# Queries beyond those that count, in the last stage: what is handed in within them
# counts although its votes, or the rest of its step, come later.
_REST = 64


@dataclass(frozen=True)
class Effort:
    """What a recommendation may spend.

    Attributes
    ----------
    n_queries : int
        Budget an image of the trials; targets beyond it are predicted from there.
    rungs : tuple of (int, float, int)
        Images, share of the budget, and attacks that stay in the race after it; the
        last stage is all images at the whole budget.
    images : int
        Most calibration images of the last stage.
    certified : int
        Attacks that are tried again on held-out images.
    glance : int
        Held-out images on which the whole portfolio is tried again; 0 for none.
    bracket : float
        Ratio of two noise levels at which the search ends.
    everybody : bool
        Whether all race at every level that the favourites of its neighbours leave
        standing, or only at those that are to be certified.
    """

    n_queries: int
    rungs: tuple[tuple[int, float, int], ...]
    images: int
    certified: int
    glance: int
    bracket: float
    everybody: bool = True


EFFORTS = {
    "quick": Effort(1_000, ((12, 1 / 4, 20), (32, 1 / 2, 4)), 64, 3, 0, 1.5, False),
    "normal": Effort(5_000, ((16, 1 / 4, 18), (48, 1 / 2, 6)), 150, 6, 24, 1.25),
    "thorough": Effort(20_000, ((32, 1 / 4, 24), (96, 1 / 2, 12)), 400, 12, 64, 1.15),
}


def expected_rows(
    effort: Effort, entrants: int, images: int, held_out: int, n_queries: int
) -> int:
    """Rows of a whole job, about, if no image fell before its budget.

    Three races of everybody, four of the favourites, and two certificates.
    """
    budget = min(n_queries, effort.n_queries)
    last = min(images, effort.images)
    raced, left = 0.0, entrants
    for n, share, keep in effort.rungs:
        raced += left * min(n, last) * share
        left = min(left, keep)
    few = left * last
    certified = effort.certified * held_out + entrants * min(effort.glance, held_out)
    return round(budget * (3 * (raced + few) + 4 * few + 2 * certified))


class Wanted(Exception):
    """The answer waits for these trials, and the accuracy at these noise levels."""

    def __init__(self, trials: Sequence[Trial], prices: Sequence[float] = ()) -> None:
        super().__init__(f"{len(trials)} trials, {len(prices)} prices")
        self.trials, self.prices = tuple(trials), tuple(prices)


@dataclass(frozen=True)
class Standing:
    """How an attack stood when it was left behind, or at the end.

    Attributes
    ----------
    contender : Contender
    images, n_queries : int
        What it was tried on, and with how many queries an image.
    fell, broken : int
        Images that fell by the generous count, and by the strict one; see
        :class:`querytax.evidence.Tried`.
    lost : int
        Images on which it crashed, left out of both: nothing is known of them.
    queries : (lower, estimate, upper)
        Queries until more than the exposed share of the images has fallen, with the
        95 % interval of order statistics; infinite beyond ``n_queries``.
    counts : tuple of float
        Queries at which the images fell that did, ascending.
    crash : str
        What it died of on those that are lost.
    """

    contender: Contender
    images: int
    n_queries: int
    fell: int
    broken: int
    lost: int
    queries: tuple[float, float, float]
    counts: tuple[float, ...] = ()
    crash: str = ""

    @property
    def share(self) -> tuple[float, float, float]:
        """Share of the images that fell, with its 95 % interval."""
        low, high = share_bounds(self.fell, self.images - self.lost, 0.025)
        return low, self.fell / max(self.images - self.lost, 1), high

    def bound(self, alpha: float) -> float:
        """Upper bound of the share that falls, wrong with probability ``alpha``.

        It holds whatever became of the images on which the attack crashed.
        """
        return share_bounds(self.fell + self.lost, self.images, alpha)[1]

    def seen(self, alpha: float) -> float:
        """The same bound from the images on which it did not crash alone."""
        return share_bounds(self.fell, self.images - self.lost, alpha)[1]

    def least(self, alpha: float) -> float:
        """Lower bound of the share that breaks, by the strict count."""
        return share_bounds(self.broken, self.images - self.lost, alpha)[0]

    @classmethod
    def of(cls, tried: Tried, exposed: float, n_queries: int | None = None) -> Standing:
        """The summary of a trial, or of what fell for fewer than so many queries."""
        fell, broken = tried.fell, tried.broken
        if n_queries is not None:
            fell, broken = (
                dataclasses.replace(
                    one, success=one.success & (one.queries < n_queries)
                )
                for one in (fell, broken)
            )
        lost = np.asarray(fell.cut) & ~fell.success
        reached = np.sort(np.where(fell.success, fell.queries, np.inf)[~lost])
        return cls(
            tried.trial.contender,
            tried.trial.images,
            n_queries or tried.trial.n_queries,
            int(fell.success.sum()),
            int(broken.success.sum()),
            int(lost.sum()),
            _first_beyond(reached, exposed),
            tuple(reached[np.isfinite(reached)].tolist()),
            tried.crash if lost.any() else "",
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, the interval of the share with it."""
        return {**dataclasses.asdict(self), "share": self.share}


@dataclass(frozen=True)
class Race:
    """How a race ended.

    Attributes
    ----------
    sigma : float
    standings : tuple of Standing
        All that entered, who binds first: those of the last stage, by what the exposed
        share costs them, then the others, as they were left behind.
    finalists : int
        How many of them were in the last stage; 0 where the race was decided earlier.
    field : int
        How many entered.
    exposed : float
        Share of the images that may fall.
    """

    sigma: float
    standings: tuple[Standing, ...]
    finalists: int
    field: int
    exposed: float

    @property
    def best(self) -> Standing:
        """The attack that binds."""
        return self.standings[0]

    @property
    def surest(self) -> Standing:
        """The attack that most surely breaks more than the exposed share."""
        return max(self.standings, key=lambda s: s.least(0.05 / _LOOKS / self.field))

    def falls(self, alpha: float = 0.05 / _LOOKS) -> bool:
        """Whether some attack surely breaks more than the exposed share.

        By the strict count; an error of ``alpha`` a look is shared out among all that
        might have entered, since the best of many is partly luck.
        """
        return any(s.least(alpha / self.field) > self.exposed for s in self.standings)

    def holds(self, most: float) -> bool:
        """Whether no finalist takes more than this share, by the generous count."""
        return self.finalists > 0 and all(
            s.share[1] <= most for s in self.standings[: self.finalists]
        )

    def verdict(self, most: float) -> str:
        """``falls``, ``holds`` or ``open``."""
        if self.falls():
            return "falls"
        return "holds" if self.holds(most) else "open"


def race(
    start: Trial,
    field: Sequence[Contender],
    effort: Effort,
    evidence: Evidence,
    exposed: float,
    *,
    images: int,
    early: bool = True,
    entered: int = 0,
) -> Race:
    """Race a field at one noise level.

    Parameters
    ----------
    start : Trial
        Any trial at that level; its budget is that of the last stage.
    field : sequence of Contender
        The favourites first.
    effort : Effort
    evidence : Evidence
    exposed : float
        Share of the images that may fall.
    images : int
        Images of the part.
    early : bool
        End as soon as an attack surely breaks more than the exposed share.
    entered : int
        How many might have entered, if these are the favourites among more.

    Returns
    -------
    Race

    Raises
    ------
    Wanted
        With the trials that are missing.
    """
    behind: list[Standing] = []
    entered, left = max(entered, len(field)), list(dict.fromkeys(field))
    last = (min(images, effort.images), 1.0, len(left))
    stages = [
        (min(n, last[0]), share, keep)
        for n, share, keep in effort.rungs
        if len(left) > keep and n < last[0]
    ]
    for stage in (*stages, last):
        budget = max(min(start.n_queries, 50), round(stage[1] * start.n_queries))
        over = stage is last
        found = _tried(start, left, stage[0], budget, _REST * over, evidence)
        ranked = sorted(
            ((one, Standing.of(one, exposed, budget)) for one in found), key=_rank
        )
        standings = [standing for _, standing in ranked]
        reached = Race(
            start.sigma,
            (*sorted(standings, key=_cost), *reversed(behind)),
            len(standings) if over else 0,
            entered,
            exposed,
        )
        if over or (early and reached.falls()):
            return reached
        kept = _kept([one for one, _ in ranked], stage[2])
        behind += reversed(standings[kept:])
        left = [standing.contender for standing in standings[:kept]]
    raise AssertionError("the last stage returns")


def _tried(
    start: Trial,
    field: Sequence[Contender],
    images: int,
    n_queries: int,
    rest: int,
    evidence: Evidence,
) -> list[Tried]:
    """The trials of a stage, or a call for those that are missing."""
    trials = [
        dataclasses.replace(
            start, contender=c, images=images, n_queries=n_queries, rest=rest
        )
        for c in field
    ]
    found = [evidence.find(trial) for trial in trials]
    missing = [t for t, f in zip(trials, found, strict=True) if f is None]
    if missing:
        raise Wanted(missing)
    return [f for f in found if f is not None]


def _rank(entry: tuple[Tried, Standing]) -> tuple[float, float]:
    """Most images first; among equals who took the fewest queries for them."""
    tried, standing = entry
    pace = float(np.log(np.maximum(tried.fell.queries, 1.0)).mean())
    return -standing.fell / max(standing.images - standing.lost, 1), pace


def _cost(standing: Standing) -> tuple[float, float]:
    """Who takes more than the exposed share soonest; else who takes most."""
    return standing.queries[1], -standing.share[1]


def _kept(ranked: Sequence[Tried], keep: int) -> int:
    """How many stay: so many, and ties with the last of them, within half as many.

    An attack further down is a tie unless the images that only one of the two took
    speak for the other: a sign test on pairs.
    """
    if len(ranked) <= keep:
        return len(ranked)
    mark = ranked[keep - 1].fell.success
    kept = keep
    while kept < min(len(ranked), keep + keep // 2):
        other = ranked[kept].fell.success
        worse, better = int((mark & ~other).sum()), int((other & ~mark).sum())
        if worse > better and bdtr(better, worse + better, 0.5) < _BEHIND:
            break
        kept += 1
    return kept


def _first_beyond(counts: np.ndarray, share: float) -> tuple[float, float, float]:
    """When more than a share of the images has fallen; counts ascend."""
    n = len(counts)
    places = np.arange(n + 1)
    below = bdtr(places, n, share)
    # Too few images leave an end open.
    low = int(np.searchsorted(below, 0.025))
    high = int(np.searchsorted(below, 0.975)) + 1

    def at(place: int) -> float:
        return float(counts[place]) if place < n else math.inf

    middle = math.floor(n * share + 1e-9)
    return at(low - 1) if low > 0 else 0.0, at(middle), at(high - 1)


def share_bounds(k: int, n: int, alpha: float) -> tuple[float, float]:
    """Clopper and Pearson's bounds of a share, each wrong with probability alpha.

    Parameters
    ----------
    k, n : int
        Successes of trials; without trials the bounds are 0 and 1.
    alpha : float
        In (0, 1).
    """
    expect.probability(alpha=alpha)
    low = float(betaincinv(k, n - k + 1, alpha)) if k > 0 else 0.0
    high = float(betaincinv(k + 1, n - k, 1.0 - alpha)) if k < n else 1.0
    return low, high


def most_certifiable(n: int, exposed: float, alpha: float) -> float:
    """Largest share of ``n`` images that may fall if the bound is to stay below.

    Negative where not even none of them would do: the images are too few.
    """
    k = math.floor(n * exposed)
    while k >= 0 and share_bounds(k, n, alpha)[1] > exposed:
        k -= 1
    return k / n if k >= 0 and n > 0 else -1.0
