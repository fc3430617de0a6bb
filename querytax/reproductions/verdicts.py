"""The verdicts on a paper as one table, each row with the seed of its measurement."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from querytax.expect import DomainError
from querytax.files import atomic_write
from querytax.reproductions.judge import Verdict

__all__ = ["read", "update"]

_NAMES = tuple(field.name for field in fields(Verdict))
_COLUMNS = ("experiment", *_NAMES, "seed")


def read(path: Path) -> dict[str, list[dict[str, str]]]:
    """The rows of a table by experiment, as text; none if there is no file.

    Raises
    ------
    DomainError
        If the file is not such a table.
    """
    if not path.exists():
        return {}
    found: dict[str, list[dict[str, str]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            table = csv.DictReader(stream, strict=True)
            if tuple(table.fieldnames or ()) != _COLUMNS:
                raise DomainError(
                    f"expected a table of verdicts, got {str(path)!r}: move it away"
                )
            for row in table:
                found.setdefault(row["experiment"], []).append(row)
    except (OSError, UnicodeError, csv.Error):
        raise DomainError(
            f"expected a table of verdicts, got {str(path)!r}: move it away"
        ) from None
    return found


def update(
    path: Path,
    verdicts: Mapping[str, Sequence[Verdict]],
    order: Sequence[str],
    seed: int,
) -> None:
    """Put the verdicts of some experiments into a table; the others stay.

    Parameters
    ----------
    path : Path
        Made if absent; not touched if there are no verdicts.
    verdicts : mapping
        By experiment.
    order : sequence of str
        All experiments of the paper.
    seed : int
        Of these verdicts' measurements.
    """
    if not verdicts:
        return
    rows = read(path)
    for name, found in verdicts.items():
        stamp = {"experiment": name, "seed": str(seed)}
        rows[name] = [{**stamp, **asdict(verdict)} for verdict in found]
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    table.writeheader()
    for name in order:
        table.writerows(rows.get(name, ()))
    with atomic_write(path) as stream:
        stream.write(text.getvalue().encode())
