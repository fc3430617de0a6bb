"""The weights of noise at several places, sought: which mixtures, and the best of them.

A weight ``?`` in a site's word is to be found, as in ``input+layer3*?``. Each place's
largest noise that the accuracy allows sets the scale; a mixture is a direction between
these scales; and the best is where an attack is predicted to need most queries at the
largest noise that the accuracy allows *of the mixture*.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from querytax import expect
from querytax.expect import DomainError
from querytax.plans import NESPlan
from querytax.recommend.predicted import Search
from querytax.recommend.prediction import published_plan
from querytax.recommend.price import Price
from querytax.recommend.recommendation import Interval
from querytax.recommend.untold import told
from querytax.sites import Site
from querytax.statistics import ModelStatistics
from querytax.words import count

__all__ = ["Promise", "Sought", "is_sought", "promising", "settled"]

_MOST = 3
# Directions from one place to another, as angles, and what a place leaned to has
# before each of two others.
_ANGLES = (math.pi / 8, math.pi / 4, 3 * math.pi / 8)
_LEAN = 2.0
# Weights that agree to so much are the same: they are typed with three digits.
_SAME = 1e-3


def is_sought(site: str | Site) -> bool:
    """Whether a site's word leaves a weight to be found."""
    if not isinstance(site, str):
        return False
    return any(_weight(part) == "?" for part in site.split("+"))


@dataclass(frozen=True)
class Sought:
    """A word with weights to be found, taken apart.

    Attributes
    ----------
    word : str
    components : tuple of str
        Sites between which the noise is divided: the places whose weights are numbers
        as one, and each of the others.

    Examples
    --------
    >>> sought = Sought.parse("input + layer3*?")
    >>> sought.components
    ('input', 'layer3')
    >>> list(sought.mixtures({"input": 0.1, "layer3": 1.0}))
    ['input+layer3*4.14', 'input+layer3*10', 'input+layer3*24.1']
    """

    word: str
    components: tuple[str, ...]

    @staticmethod
    def parse(word: str) -> Sought:
        """Read it.

        Raises
        ------
        DomainError
            For one place, more than three, and what no site's word may hold.
        """
        parts = word.split("+")
        if not 2 <= len(parts) <= _MOST:
            raise DomainError(
                f"expected site to seek the weights of 2 or {_MOST} places, "
                f"got {len(parts)} in {word!r}"
            )
        # What is wrong besides the weights is told as of any word.
        Site.parse(word.replace("?", "1"))
        fixed = [part for part in parts if _weight(part) != "?"]
        free = [
            Site.parse(part.partition("*")[0].strip()).name
            for part in parts
            if _weight(part) == "?"
        ]
        if len(fixed) == 1:
            # One number weighs nothing against what is still sought.
            fixed = [fixed[0].partition("*")[0].strip()]
        known = [Site.parse("+".join(fixed)).name] if fixed else []
        return Sought(word, (*known, *free))

    def mixtures(self, scales: Mapping[str, float]) -> dict[str, float]:
        """Words of the mixtures to measure; those of two places by their angle.

        Each with the sigma at which its components' squared shares of their scales
        add up to 1: of small noises that cost the same, what they cost together.

        Parameters
        ----------
        scales : mapping of str to float
            The largest noise that the accuracy allows at each component alone.
        """
        expect.positive(scales=np.array([scales[name] for name in self.components]))
        words = {}
        for shares in _directions(len(self.components)):
            amounts = [
                share * scales[name]
                for share, name in zip(shares, self.components, strict=True)
            ]
            words[self._word([a / amounts[0] for a in amounts])] = amounts[0]
        return words

    def probed(self, sites: Iterable[str]) -> tuple[str, ...]:
        """Those of some sites that are mixtures of these places."""
        wanted = _weights(self._word([1.0] * len(self.components)))
        found = []
        for name in sites:
            given = _weights(name)
            if given.keys() != wanted.keys():
                continue
            # What was typed as numbers stands in the same relation.
            ratios = [
                given[place] / weight
                for place, weight in _weights(self.components[0]).items()
            ]
            if max(ratios) <= min(ratios) * (1.0 + _SAME):
                found.append(name)
        return tuple(found)

    def _word(self, factors: Sequence[float]) -> str:
        """The site whose components have these weights, rounded as one types them."""
        parts = [
            f"{place}*{weight * float(f'{factor:.3g}'):.12g}".replace("e+", "e")
            for name, factor in zip(self.components, factors, strict=True)
            for place, weight in _weights(name).items()
        ]
        return Site.parse("+".join(parts)).name


@dataclass(frozen=True)
class Promise:
    """What a site is predicted to hold at the largest noise that its price allows.

    Attributes
    ----------
    site : str
    sigma : float
    queries : (lower, estimate, upper)
        Of the best attack that laws predict at every site compared; infinite where
        there is none, or it stalls.
    snr : float
        Signal-to-noise ratio of one comparison, at the loss and probe size that suit
        the attacker best: median over images and stages of the way.
    """

    site: str
    sigma: float
    queries: Interval
    snr: float

    def __str__(self) -> str:
        return f"{self.site} ({count(self.queries[1])})"


def promising(
    stats: ModelStatistics,
    levels: Mapping[str, float],
    *,
    protect: float = 0.9,
    attacker: str = "best",
    access: str = "scores",
    plan: NESPlan | None = None,
    base_queries: float | np.ndarray | None = None,
) -> list[Promise]:
    """Sites in the order of what is predicted there, the best first.

    Only attacks that laws predict at all of the sites are compared, and not blind
    patterns, which no noise moves. Where none is left, or they stall everywhere, the
    least signal-to-noise ratio is best.

    Parameters
    ----------
    stats : ModelStatistics
    levels : mapping of str to float
        Probed sites, and the noise to compare them at.
    protect, attacker, access, plan, base_queries
        As in :func:`querytax.recommend_sigma`.

    Returns
    -------
    list of Promise
    """
    plan = published_plan(stats) if plan is None else plan
    known: dict[str, dict[str, Interval]] = {}
    for site, sigma in levels.items():
        known[site] = {}
        if told(stats, site, base_queries):
            asked = attacker, access, plan, base_queries, 1.0, protect, 0.0
            field = Search(stats, site, *asked).attacker
            known[site] = dict(field.predicted_by(sigma))
            known[site].pop("patterns", None)
    everywhere = set.intersection(*map(set, known.values()))
    promises = []
    for site, sigma in levels.items():
        ends = [known[site][word] for word in everywhere] or [(math.inf,) * 3]
        low, middle, high = (min(end) for end in zip(*ends, strict=True))
        snr = _snr(stats, site, sigma)
        promises.append(Promise(site, sigma, (low, middle, high), snr))
    return sorted(promises, key=lambda p: (-p.queries[1], -p.queries[0], p.snr))


def settled(
    stats: ModelStatistics, word: str, max_accuracy_loss: float, **question: Any
) -> str:
    """The most promising of the probed mixtures of a word's places.

    Parameters
    ----------
    stats : ModelStatistics
    word : str
        With weights to be found.
    max_accuracy_loss : float
    **question
        As of :func:`promising`.

    Raises
    ------
    DomainError
        If none was probed; it names the words to probe.
    """
    sought = Sought.parse(word)
    names = sought.probed(stats.sites)
    if not names:
        for name in sought.components:
            expect.one_of(stats.sites, site=name)
        scales = {n: _largest(stats, n, max_accuracy_loss) for n in sought.components}
        words = " ".join(sought.mixtures(scales))
        raise DomainError(
            f"expected site to be probed with numbers for its weights, got {word!r}: "
            f"probe {words}"
        )
    levels = {name: _largest(stats, name, max_accuracy_loss) for name in names}
    return promising(stats, levels, **question)[0].site


def _largest(stats: ModelStatistics, site: str, allowed: float) -> float:
    """The noise that the accuracy allows, or the least that was measured."""
    least = float(stats.site(site).sigmas[1:].min(initial=1.0))
    return Price(stats, site).largest(allowed) or least


def _snr(stats: ModelStatistics, site: str, sigma: float) -> float:
    """Median signal-to-noise ratio on the way, between the levels measured."""
    m = stats.site(site)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = m.signal[:, 1:, :, 0] / m.noise[:, 1:, :, 0]
    ratio = np.where(np.isfinite(ratio), ratio, 0.0).max(axis=(0, 2))
    usual = np.log(np.maximum(np.median(ratio, axis=(1, 2)), 1e-300))
    return math.exp(np.interp(math.log(sigma), np.log(m.sigmas[1:]), usual))


def _directions(n: int) -> list[tuple[float, ...]]:
    """Unit vectors of positive entries: between two, or with one more of each."""
    if n == 2:
        return [(math.cos(a), math.sin(a)) for a in _ANGLES]
    leaning = [tuple(_LEAN if i == j else 1.0 for j in range(n)) for i in range(n)]
    every = [(1.0,) * n, *leaning]
    return [tuple(v / math.hypot(*each) for v in each) for each in every]


def _weight(part: str) -> str:
    """What stands behind the star."""
    return part.partition("*")[2].strip()


def _weights(name: str) -> dict[str, float]:
    """Places of a site and their weights."""
    site = Site.parse(name)
    return {part.name: weight for part, weight in site.parts or ((site, 1.0),)}
