"""What a reproduction is made of, and the recipe that it follows."""

from __future__ import annotations

import functools
import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import querytax
from querytax import papers
from querytax.expect import DomainError
from querytax.reproductions.judge import Verdict
from querytax.reproductions.measured import Measured

__all__ = ["SCALES", "Experiment", "Job", "fingerprint", "recipe", "settings"]

SCALES = ("small", "full")

Part = Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """What an experiment is asked to do.

    Attributes
    ----------
    settings : mapping
        Its table in the recipe, at this scale.
    seed : int
        Key of every draw.
    scale : str
        ``small`` or ``full``.
    """

    settings: Mapping[str, Any]
    seed: int
    scale: str

    def __getitem__(self, key: str) -> Any:
        return self.settings[key]


def _none(job: Job) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Experiment:
    """One measurement of a paper, done again.

    Attributes
    ----------
    name : str
        Its table in the recipe, and the name of its files.
    parts : callable
        ``job -> [part, ...]``: what can be measured, and resumed, one after another.
        A part is a setting, such as ``{"network": ..., "sigma": ...}``.
    measure : callable
        ``(job, part) -> [Measured, ...]``, at least one. The part joins the setting of
        each.
    judge : callable
        ``(job, rows) -> [Verdict, ...]``, from all rows as they stand in the file.
    panels : sequence of callable
        ``(axes, rows) -> axes``: the figure, from the rows alone.
    needs : callable
        ``job -> [network, ...]``, names in the zoo, or of its data.
    """

    name: str
    parts: Callable[[Job], Sequence[Part]]
    measure: Callable[[Job, Part], Sequence[Measured]]
    judge: Callable[[Job, Sequence[Measured]], Sequence[Verdict]]
    panels: Sequence[Callable[[Any, Sequence[Measured]], Any]] = field(default=())
    needs: Callable[[Job], Sequence[str]] = _none


@functools.cache
def recipe(paper: str) -> Mapping[str, Any]:
    """A paper's recipe: its experiments, their settings and where those come from.

    Each experiment is a table: ``title``, ``small`` and ``full`` with the settings,
    and for each setting a line in ``printed`` (where the paper has it), ``guessed``
    (why this value) or ``ours`` (why not the paper's).

    Raises
    ------
    DomainError
        For an unknown paper, or a recipe that cannot be read.
    """
    path = papers.folder(paper) / "recipe.toml"
    try:
        with path.open("rb") as stream:
            found: dict[str, Any] = tomllib.load(stream)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise DomainError(
            f"expected the recipe of {paper} at {str(path)!r}: {error}"
        ) from None
    return found


def settings(paper: str, experiment: str, scale: str) -> Mapping[str, Any]:
    """The settings of one experiment at one scale."""
    found: Mapping[str, Any] = recipe(paper)[experiment][scale]
    return found


def fingerprint(job: Job) -> str:
    """Eight hex digits that change with the settings or the version.

    The seed stands beside it in the file.
    """
    text = json.dumps([querytax.__version__, dict(job.settings)], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
