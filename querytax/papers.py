"""The papers: their names, and the numbers that they print, read from tables."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from pathlib import Path

from querytax import expect

__all__ = ["PAPERS", "column", "folder", "number", "rows", "text"]

# Key -> how the paper is spoken of.
PAPERS = {
    "aithal-li-2022": "Aithal and Li, IEEE Access 2022: noise on the output",
    "output-randomization-2020": "ICLR 2020 submission: output randomization",
    "snd-2022": "Byun, Go and Kim, WACV 2022: small noise on the input",
    "rfd-2024": "Nguyen et al., ICLR 2024: noise on the features",
    "rnd-2021": "Qin et al., NeurIPS 2021, slides: noise on the input",
}

_SOURCE = Path(__file__).resolve().parents[1] / "paper_reproductions"
_INSTALLED = Path(__file__).resolve().parent / "paper_reproductions"


def folder(paper: str) -> Path:
    """A paper's folder: in the source tree, or in the installed package.

    Parameters
    ----------
    paper : str
        A key of ``PAPERS``.

    Raises
    ------
    DomainError
        For an unknown paper, with the nearest name.
    """
    expect.one_of(PAPERS, paper=paper)
    return (_SOURCE if _SOURCE.is_dir() else _INSTALLED) / paper


@functools.cache
def rows(paper: str, table: str) -> tuple[Mapping[str, str], ...]:
    """The rows of one printed table, as text; ``table`` as in ``table-1``."""
    path = folder(paper) / "printed" / f"{table}.csv"
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
    """A number in the paper's running text, by its claim and its label."""
    paper = claim.partition("/")[0]
    return number(paper, "text", "printed", id=claim, quantity=quantity)
