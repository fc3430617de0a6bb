"""The papers' printed numbers, read from the tables beside the source tree.

An installed package does not carry them: there its claims about data have nothing to
be held against, and say so.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from querytax.validation.claim import Claim, Computed, Tabled, Unavailable

__all__ = ["column", "number", "rows", "tabled", "text"]

_FOLDER = Path(__file__).parents[2] / "paper_reproductions"


@functools.cache
def rows(paper: str, table: str) -> tuple[Mapping[str, str], ...]:
    """The rows of one file, as text."""
    path = _FOLDER / paper / "printed" / f"{table}.csv"
    with path.open(newline="", encoding="utf-8") as stream:
        return tuple(csv.DictReader(stream, strict=True))


def column(paper: str, table: str, name: str, **where: str) -> list[float]:
    """The numbers of a column, of the rows that hold the given texts."""
    found = rows(paper, table)
    return [float(r[name]) for r in found if where.items() <= r.items()]


def number(paper: str, table: str, name: str, **where: str) -> float:
    """The one number that the given texts single out."""
    (found,) = column(paper, table, name, **where)
    return found


def text(claim: str, quantity: str) -> float:
    """A number in the paper's running text."""
    paper = claim.partition("/")[0]
    return number(paper, "text", "printed", id=claim, quantity=quantity)


def tabled(value: Callable[..., float], tables: str, **claim: Any) -> Claim:
    """A claim about the paper's own tables; undecided where they are not at hand.

    Parameters
    ----------
    value : callable
        What the tables give, from the arguments of a point.
    tables : str
        Which ones.
    **claim
        The rest of the claim. Without points it has one, without arguments.
    """
    folder = _FOLDER / claim["id"].partition("/")[0] / "printed"
    if not folder.is_dir():
        claim |= {"expected": "INCONCLUSIVE"}
        return Claim(evidence=Unavailable(f"not at hand: {tables}"), **claim)
    evidence = (
        Computed(value) if claim["points"][0].arguments else Tabled(value, tables)
    )
    return Claim(evidence=evidence, **claim)
