"""Every attack that a law predicts: its queries by statistics, and the best of them."""

from __future__ import annotations

import functools

import numpy as np
from scipy.special import gammaln

from querytax.evidence import Contender
from querytax.plans import NESPlan
from querytax.recommend.attackers import Attacker
from querytax.recommend.decisions import Decisions
from querytax.recommend.portfolio import entrant, portfolio
from querytax.recommend.prediction import PLACES
from querytax.recommend.recommendation import Interval
from querytax.recommend.searches import Searches
from querytax.statistics import ModelStatistics

__all__ = ["UNKNOWN", "Family", "Field"]

# What is known where no law holds.
UNKNOWN: Interval = (1.0, np.inf, np.inf)
# What confirms a success. It counts as one without noise before its votes are in.
_VOTES = 9
_ALPHA = 0.05

# Moves and incumbent of an attack's recipe, by what the probe measured.
_RECIPES = {
    ("square", "published"): ("square", "stale"),
    ("square", "adaptive"): ("square", "mean"),
    ("simba", "published"): ("pixel", "stale"),
    ("simba", "adaptive"): ("coarse", "requery"),
    ("signhunter", "published"): ("coarse", "stale"),
    ("signhunter", "adaptive"): ("coarse", "stale"),
    ("eco", "published"): ("coarse", "stale"),
    ("eco", "adaptive"): ("coarse", "stale"),
    ("genattack", "adaptive"): ("coarse", "mean"),
}
# Where searches begin: at stripes, or with all pixels at one face of the budget.
_STARTS = {"square": "columns 1", "signhunter": "solid", "eco": "solid"}
# SimBA tries a vector both ways before the next: of moves whose changes are opposite
# it takes twice as many a vector, and asks one and a half times as often.
_PAIRED = 0.75
# Queries of a step of NES with one pair.
_GUESS = 3
# Those that begin at a corner of the budget.
_CORNERS = ("square", "signhunter", "eco", "genattack", "rays")


class Family:
    """One attack with the settings that an attacker may give it.

    Parameters
    ----------
    field : Field
    word : str
    contenders : sequence of Contender
        Its recipes and choices.
    """

    def __init__(self, field: Field, word: str, contenders: list[Contender]) -> None:
        self.field, self.word = field, word
        found = []
        for one in contenders:
            recipe = _RECIPES.get((one.attack, one.recipe))
            if recipe is not None:
                mode = str(dict(one.changes).get("incumbent", recipe[1]))
                found.append((recipe[0], mode))
        self.settings = tuple(dict.fromkeys(one.recipe for one in contenders))
        self.recipes = [r for r in dict.fromkeys(found) if field.searches.knows(r[0])]

    def counts(self, sigma: float, place: str = "lower") -> list[np.ndarray]:
        """Queries of each plan: ``(n,)``, or ``(n, k)`` by equal shares of luck.

        Nothing where no law holds.
        """
        if self.word == "nes":
            walks = [c for _, c in self.field.nes.answers(sigma, place)]
            return [self._guessed(c) for c in walks] if place == "lower" else walks
        if self.word == "patterns":
            blind = self.field.blind
            # Beyond the patterns that were tried nothing is known.
            if blind is None or np.isinf(self.field.level(blind)):
                return []
            return [blind if place == "lower" else blind + _VOTES]
        if self.word == "rays":
            return self._decided(sigma, place)
        found = [self._searched(r, sigma, place) for r in self.recipes]
        return [c for c in found if c is not None]

    def predicted(self, sigma: float) -> Interval | None:
        """Queries (lower, estimate, upper) of the exposed share, or nothing."""
        levels = []
        for place in PLACES:
            counts = self.counts(sigma, place)
            if not counts:
                return None
            levels.append(min(self.field.level(c, place) for c in counts))
        low, middle, high = levels
        return low, max(low, middle), max(low, middle, high)

    def _decided(self, sigma: float, place: str) -> list[np.ndarray]:
        decisions = self.field.decisions
        if not decisions.knows(sigma):
            return []
        found = [decisions.counts(recipe, sigma, place) for recipe in self.settings]
        return [self._sooner(c) for c in found] if place == "lower" else found

    def _searched(
        self, recipe: tuple[str, str], sigma: float, place: str
    ) -> np.ndarray | None:
        simba = self.word == "simba"
        start = _STARTS.get(self.word, "")
        every, known = self.field.searches.queries(*recipe, sigma, simba, start)
        every = np.ceil(every * _PAIRED) if simba else every
        whole = np.where(known[:, None], every, np.inf)
        # The law has to hold for the images that the level rests on.
        if not known.all() and np.isinf(self.field.level(whole[0], "upper")):
            return None
        # Where white-box descent ends inside the budget.
        lost = np.isinf(self.field.stats.path_length)[:, None]
        if place == "lower":
            return self._sooner(np.where(lost, np.inf, every.min(axis=0)))
        path, wander = np.where(lost, np.inf, whole)
        middle = np.sqrt(path) * np.sqrt(wander)
        return (middle if place == "estimate" else np.maximum(path, wander)) + _VOTES

    def _guessed(self, counts: np.ndarray) -> np.ndarray:
        """Walks' counts, or those of steps that noise has turned into guesses.

        The best attacker may step across the whole budget at three queries a step. What
        he then hands in are corners, and none of them is less lucky than a pattern
        until something was learned.
        """
        blind = self.field.blind
        if self.field.nes.name == "published" or blind is None:
            return counts
        return np.minimum(counts, _GUESS * blind)

    def _sooner(self, counts: np.ndarray) -> np.ndarray:
        """Counts, or those of guesses where the search begins with one.

        What it asks first, and much of what it tries, are patterns at the rim of the
        budget, which may succeed before they teach it anything.
        """
        blind = self.field.blind
        if self.word not in _CORNERS or blind is None:
            return counts
        return np.minimum(counts, blind if counts.ndim == 1 else blind[:, None])


class Field:
    """All attackers of one question, as far as laws predict them.

    Parameters
    ----------
    stats : ModelStatistics
    site : str
    named : str
        As in :func:`querytax.recommend_sigma`: ``best``, ``published``, a word.
    access : {"scores", "top1", "labels"}
    nes : Attacker
    protect : float
    """

    def __init__(
        self,
        stats: ModelStatistics,
        site: str,
        named: str,
        access: str,
        nes: Attacker,
        protect: float,
    ) -> None:
        self.stats, self.nes, self.protect = stats, nes, protect
        self.searches, self.decisions = Searches(stats, site), Decisions(stats, site)
        by_word: dict[str, list[Contender]] = {}
        for one in portfolio(
            named,
            access=access,
            norm=stats.norm,
            planar=stats.shape is None or len(stats.shape) == 3,
            surrogate=_own_network(named),
        ):
            by_word.setdefault(one.attack, []).append(one)
        self.families = [Family(self, word, own) for word, own in by_word.items()]

    # -- readings ----------------------------------------------------------------

    def level(self, counts: np.ndarray, place: str = "lower") -> float:
        """The count that the protected share of the images reaches.

        Reading "lower": what lies below the same quantile of as many other images 95
        times in 100, since the probed images are a sample and those attacked another;
        the easiest of them where they are too few to tell.
        """
        share = 1.0 - self.protect
        if place == "lower":
            n = len(counts)
            share = _rank(n, share) / n
        return float(np.quantile(counts, share, method="lower"))

    def predicted(self, sigma: float) -> Interval:
        """Queries (lower, estimate, upper) of the best that laws predict."""
        if not self.predicts(sigma):
            return UNKNOWN
        found = [interval for _, interval in self.predicted_by(sigma)]
        low, middle, high = (min(ends) for ends in zip(*found, strict=True))
        return low, middle, high

    @functools.lru_cache(maxsize=256)  # noqa: B019 - lives as long as one question
    def predicted_by(self, sigma: float) -> tuple[tuple[str, Interval], ...]:
        """Each attack that a law predicts, the best first."""
        found = [(family.word, family.predicted(sigma)) for family in self.families]
        known = [(word, interval) for word, interval in found if interval is not None]
        return tuple(sorted(known, key=lambda entry: entry[1]))

    def unpredicted(self, sigma: float) -> tuple[str, ...]:
        """Attacks that no law predicts."""
        known = {word for word, _ in self.predicted_by(sigma)}
        return tuple(f.word for f in self.families if f.word not in known)

    def lower(self, sigma: float) -> float:
        """What decisions rest on; 1 where no law predicts who listens to answers."""
        counts = self._lower(sigma)
        return min(self.level(c) for c in counts) if counts else UNKNOWN[0]

    def protected(self, sigma: float, target: float) -> float:
        """Share of the images that need ``target`` queries against the worst plan."""
        counts = self._lower(sigma)
        return float(min((c >= target).mean() for c in counts)) if counts else 0.0

    def endless(self, sigma: float) -> float:
        """Share of the images that the best plan is predicted never to break."""
        counts = self._lower(sigma)
        if not counts:
            return 0.0
        return float(np.isinf(min(counts, key=self.level)).mean())

    def plan(self, sigma: float) -> NESPlan:
        """What NES does, the one family with a plan to choose."""
        return self.nes.plan(sigma)

    @functools.lru_cache(maxsize=256)  # noqa: B019 - lives as long as one question
    def _lower(self, sigma: float) -> tuple[np.ndarray, ...]:
        if not self.predicts(sigma):
            return ()
        return tuple(c for family in self.families for c in family.counts(sigma))

    @functools.lru_cache(maxsize=256)  # noqa: B019 - lives as long as one question
    def predicts(self, sigma: float) -> bool:
        """Whether somebody is predicted, and not only guesses among other attacks."""
        known = {f.word for f in self.families if f.counts(sigma)}
        return bool(known - {"patterns"}) or known == {f.word for f in self.families}

    # -- blind guesses -----------------------------------------------------------

    @functools.cached_property
    def blind(self) -> np.ndarray | None:
        """Guesses until the first hit on each image, which no noise moves."""
        return self.stats.blind_of()


@functools.cache
def _rank(n: int, share: float) -> int:
    """The last of n ordered images, from 1, that others may well not fall before; or 0.

    The quantile of another sample of as many is its j-th; that of the two samples' 2n
    images, in any order equally likely, j or more of the other one come before this
    one's k-th with a hypergeometric chance.
    """
    j = int(share * (n - 1)) + 1
    k = np.arange(1, n + 1)
    # Of the first j + k - 1 of all, fewer than k are of this sample.
    x, drawn = np.arange(n + 1), (j + k - 1)[:, None]
    other = drawn - x
    fits = (x < k[:, None]) & (other >= 0) & (other <= n)
    ways = _choices(n, x) + _choices(n, np.clip(other, 0, n)) - _choices(2 * n, drawn)
    early = np.where(fits, np.exp(ways), 0.0).sum(axis=1)
    return int((early <= _ALPHA).sum())


def _choices(n: int, k: np.ndarray) -> np.ndarray:
    """Logarithm of how many ways there are to choose k of n."""
    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))


def _own_network(named: str) -> bool:
    """Whether the attack that was named has one."""
    word = named.partition(":")[2] or named
    return word not in ("best", "published") and entrant(word).surrogate
