"""Trials as plain data: what was, or shall be, attacked, and how it ended; no torch."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from querytax import expect
from querytax.counts import QueryCount
from querytax.plans import check_budget

__all__ = ["PARTS", "Contender", "Evidence", "Trial", "Tried"]

# What a trial puts in: ``{period!r}``.
_PLACE = re.compile(r"\{(\w+)[^}]*\}")

# Images that choices are made on, and images that a choice is certified on.
PARTS = ("calibration", "held_out")


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    # A defence's number that an attacker knows stands there by its name.
    return _PLACE.sub(r"\1", str(value))


@dataclass(frozen=True)
class Contender:
    """An attack with its settings, by their words.

    Attributes
    ----------
    attack : str
        A word of ``querytax attacks``.
    recipe : {"published", "adaptive"}
    changes : tuple of (str, value)
        Settings that differ from the recipe's, sorted by name.
    """

    attack: str
    recipe: str = "adaptive"
    changes: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        changes = tuple(sorted((str(k), v) for k, v in self.changes))
        object.__setattr__(self, "changes", changes)

    @property
    def name(self) -> str:
        """What a person calls it."""
        said = [f"{name} {_said(value)}" for name, value in self.changes]
        return f"{self.attack}, {', '.join([self.recipe, *said])}"


@dataclass(frozen=True)
class Trial:
    """One attack on the first images of a part, at one noise level.

    Attributes
    ----------
    contender : Contender
    eps, norm
        The perturbation budget.
    access : {"scores", "top1", "labels"}
        What the API gives away.
    site : str
        Where the noise is, in full; see :class:`querytax.sites.Site`.
    sigma : float
        Its standard deviation; 0 is no noise.
    part : {"calibration", "held_out"}
    images : int
        The first so many of the part: those that the model without noise gets right.
    n_queries : int
        Budget an image.
    seed : int
        Of the attacker's draws and of the noise.
    network : str
        Which of several networks; the empty word is the one asked about.
    rest : int
        Queries beyond the budget in which a step that began within it may end, with
        its votes. What comes of them is not seen; what was handed in before is.
    """

    contender: Contender
    eps: float
    norm: str
    access: str
    site: str
    sigma: float
    part: str
    images: int
    n_queries: int
    seed: int = 0
    network: str = ""
    rest: int = 0

    def __post_init__(self) -> None:
        check_budget(self.eps, self.norm)
        expect.nonnegative(sigma=self.sigma)
        expect.one_of(PARTS, part=self.part)
        expect.count(1, images=self.images)
        expect.count(1, n_queries=self.n_queries)
        expect.count(0, rest=self.rest)

    @property
    def key(self) -> Trial:
        """The same trial, whatever the number of images and queries."""
        return dataclasses.replace(self, images=1, n_queries=1, rest=0)

    def covers(self, other: Trial) -> bool:
        """Whether this tells what came of another with the same key."""
        return (
            self.images >= other.images
            and self.n_queries >= other.n_queries
            and self.n_queries + self.rest >= other.n_queries + other.rest
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trial:
        """What :meth:`to_json` wrote."""
        who = data["contender"]
        changes = tuple((k, v) for k, v in who["changes"])
        contender = Contender(who["attack"], who["recipe"], changes)
        return cls(**{**data, "contender": contender})


@dataclass(frozen=True)
class Tried:
    """How a trial ended, image by image.

    Attributes
    ----------
    trial : Trial
    confirmed : QueryCount
        Until a majority of votes confirmed an image as adversarial.
    clean : QueryCount
        Until an image that was handed in fooled the model without its noise.
    asked : ndarray
        ``(images,)`` rows asked about each image; the budget, where it ended the run.
    crash : str
        What the attack died of, where it crashed on some image; empty where it did
        not.
    """

    trial: Trial
    confirmed: QueryCount
    clean: QueryCount
    asked: np.ndarray
    crash: str = ""

    @property
    def broken(self) -> QueryCount:
        """Until both: the strict count, which says that an attack works."""
        return QueryCount(
            np.maximum(self.confirmed.queries, self.clean.queries),
            self.confirmed.success & self.clean.success,
            self.confirmed.cut,
        )

    @property
    def fell(self) -> QueryCount:
        """Until the model without noise was fooled, confirmed or not.

        The generous count, which a claim of safety rests on. What votes confirm and
        the model without noise gets right is no success: among many images handed in,
        noise lets some pass.
        """
        return self.clean

    def upto(self, images: int, n_queries: int, rest: int = 0) -> Tried:
        """The part of it that a smaller trial would have been."""
        clean = self.clean.upto(images, n_queries)
        return Tried(
            dataclasses.replace(
                self.trial, images=images, n_queries=n_queries, rest=rest
            ),
            self.confirmed.upto(images, n_queries),
            clean,
            np.minimum(self.asked[:images], n_queries),
            self.crash if np.any(clean.cut) else "",
        )


class Evidence:
    """Trials that have been made, found again by what they were.

    Parameters
    ----------
    tried : iterable of Tried
    """

    def __init__(self, tried: Iterable[Tried] = ()) -> None:
        self._by_key: dict[Trial, list[Tried]] = {}
        for one in tried:
            self._by_key.setdefault(one.trial.key, []).append(one)

    def find(self, trial: Trial) -> Tried | None:
        """What came of a trial, if one that covers it was made."""
        covers = [
            one for one in self._by_key.get(trial.key, ()) if one.trial.covers(trial)
        ]
        if not covers:
            return None

        def size(one: Tried) -> tuple[int, int, int]:
            return one.trial.n_queries, one.trial.rest, one.trial.images

        # The nearest, whatever the order in which they came: a cut is no replay.
        return min(covers, key=size).upto(trial.images, trial.n_queries, trial.rest)

    def __iter__(self) -> Any:
        return (one for several in self._by_key.values() for one in several)

    def __len__(self) -> int:
        return sum(len(several) for several in self._by_key.values())
