"""A measured number with its interval, and a table of them as a CSV file."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.expect import DomainError
from querytax.statistics import atomic_write

__all__ = [
    "LEVEL",
    "Interval",
    "Measured",
    "about",
    "cell",
    "changed",
    "distinct",
    "exact",
    "mean",
    "only",
    "quantile",
    "read",
    "select",
    "share",
    "write",
]

# Of every interval in this room.
LEVEL = 0.95

Setting = Mapping[str, Any]


class Interval(NamedTuple):
    """A value, its 95 % interval, and the number of samples behind it."""

    value: float
    lower: float
    upper: float
    n: int


def exact(value: float, n: int = 1) -> Interval:
    """A number without sampling error: computed, or counted in full."""
    return Interval(float(value), float(value), float(value), n)


def share(successes: int, n: int) -> Interval:
    """A share of independent trials, with Wilson's interval.

    Raises
    ------
    DomainError
        Unless ``0 <= successes <= n`` and ``n > 0``.
    """
    from scipy.stats import binomtest

    expect.integer(1, n=n)
    expect.that(0 <= successes <= n, f"in [0, {n}]", successes=successes)
    found = binomtest(int(successes), int(n)).proportion_ci(LEVEL, method="wilson")
    return Interval(successes / n, float(found.low), float(found.high), int(n))


def mean(values: npt.ArrayLike) -> Interval:
    """A mean of independent values, with Student's interval.

    One value alone has an infinite interval; NaN among them is refused.
    """
    from scipy.special import stdtrit

    x = _values(values)
    if x.size == 1:
        return Interval(float(x[0]), -math.inf, math.inf, 1)
    half = float(stdtrit(x.size - 1, 0.5 + LEVEL / 2) * x.std(ddof=1)) / x.size**0.5
    centre = float(x.mean())
    return Interval(centre, centre - half, centre + half, x.size)


def quantile(values: npt.ArrayLike, q: float) -> Interval:
    """A quantile of independent values, its interval from the order statistics.

    The interval holds for every distribution; a side that the sample is too small to
    bound is infinite.
    """
    from scipy.stats import binom

    expect.probability(q=q)
    x = np.sort(_values(values))
    n = x.size
    tail = (1.0 - LEVEL) / 2.0
    # The quantile lies below the k-th smallest with probability P(Bin(n, q) >= k).
    low = int(binom.ppf(tail, n, q))
    high = int(binom.ppf(1.0 - tail, n, q)) + 1
    lower = float(x[low - 1]) if low >= 1 else -math.inf
    upper = float(x[high - 1]) if high <= n else math.inf
    return Interval(float(np.quantile(x, q)), lower, upper, n)


def changed(interval: Interval, function: Callable[[float], float]) -> Interval:
    """A rising or falling function of a measured number."""
    value, *ends = (float(function(x)) for x in interval[:3])
    return Interval(value, min(ends), max(ends), interval.n)


def about(law: float, excess: Interval) -> Interval:
    """What was measured, from its distance to a law that holds image by image."""
    return changed(excess, lambda x: law + x)


def _values(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    x = np.asarray(values, dtype=float).ravel()
    expect.that(x.size > 0, "not empty", values=x)
    return expect.finite(values=x)


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
