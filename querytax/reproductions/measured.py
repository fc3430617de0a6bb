"""A measured number with its interval, and a table of them as a CSV file."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from querytax.expect import DomainError
from querytax.files import atomic_write
from querytax.intervals import Interval

__all__ = [
    "Measured",
    "cell",
    "distinct",
    "only",
    "read",
    "select",
    "write",
]

Setting = Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """One number that was measured here.

    Attributes
    ----------
    quantity : str
        What it is, as in ``accuracy``.
    interval : Interval
        Value, 95 % interval, number of samples.
    unit : str
        As in ``fraction``, ``probability``, ``dB``.
    setting : mapping of str to str, int or float
        Where it was measured: network, sigma, layer.
    """

    quantity: str
    interval: Interval
    unit: str = ""
    setting: Setting = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The number itself."""
        return self.interval.value


def select(
    rows: Sequence[Measured], quantity: str | None = None, /, **setting: Any
) -> list[Measured]:
    """The rows of a quantity whose setting holds all that is given."""
    return [
        row
        for row in rows
        if quantity in (None, row.quantity) and setting.items() <= row.setting.items()
    ]


def only(rows: Sequence[Measured], quantity: str, /, **setting: Any) -> Measured:
    """The one row that is singled out.

    Raises
    ------
    DomainError
        If there is none, or more than one.
    """
    found = select(rows, quantity, **setting)
    if len(found) != 1:
        raise DomainError(
            f"expected one row of {quantity!r} at {setting}, got {len(found)}"
        )
    return found[0]


def distinct(rows: Sequence[Measured], key: str, /, **setting: Any) -> list[Any]:
    """The values that a setting takes, in the order in which they appear."""
    found = (row.setting for row in select(rows, **setting))
    return list(dict.fromkeys(each[key] for each in found if key in each))


_OWN = ("quantity", "value", "lower", "upper", "n", "unit")


def write(
    path: str | os.PathLike[str], rows: Sequence[Measured], **stamp: str | int
) -> None:
    """Write rows as CSV, each with the given stamp (seed, recipe).

    The columns of the settings come first, in the order in which they appear.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row.setting))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*keys, *_OWN, *stamp])
    for row in rows:
        value, lower, upper, n = row.interval
        # A NumPy number would name its type.
        numbers = (repr(float(x)) for x in (value, lower, upper))
        own = (row.quantity, *numbers, n, row.unit)
        cells = [row.setting.get(key, "") for key in keys]
        table.writerow([*cells, *own, *stamp.values()])
    with atomic_write(path) as stream:
        stream.write(text.getvalue().encode())


def read(path: str | os.PathLike[str], **stamp: str | int) -> list[Measured]:
    """The rows of a file that carry the given stamp; none if there is no file.

    Raises
    ------
    DomainError
        If the file is not such a table.
    """
    where = Path(path)
    if not where.exists():
        return []
    wanted = {key: str(value) for key, value in stamp.items()}
    try:
        with where.open(newline="", encoding="utf-8") as stream:
            found = [r for r in csv.DictReader(stream) if wanted.items() <= r.items()]
        return [_row(cells, set(stamp) | {"seed", "recipe"}) for cells in found]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise DomainError(
            f"expected a table of measured numbers, got {os.fspath(path)!r}, which is "
            "damaged or something else; a fresh run measures it again"
        ) from None


def _row(cells: Mapping[str, str], stamps: set[str]) -> Measured:
    value, lower, upper = (float(cells[key]) for key in ("value", "lower", "upper"))
    setting = {
        key: cell(text)
        for key, text in cells.items()
        if text and key not in stamps and key not in _OWN
    }
    interval = Interval(value, lower, upper, int(cells["n"]))
    return Measured(cells["quantity"], interval, cells["unit"], setting)


def cell(text: str) -> str | int | float:
    """What a setting is once it has been in a file: a number if it reads as one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
