"""A campaign's outcomes as CSV or Parquet: the same bytes for the same content."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from querytax.campaigns.outcomes import MEANINGS, Outcomes
from querytax.campaigns.selection import LABELS, Selection, label
from querytax.expect import DomainError
from querytax.files import atomic_write, writable

__all__ = ["COLUMNS", "export"]

#: One row an image, job and budget; a count is empty where there was no success.
COLUMNS = (
    *LABELS,
    *("norm", "access", "votes", "image", "key", "n_queries", "status", "asked"),
    *MEANINGS,
)
# Jobs that are written at once, and Parquet's rows of one group.
_JOBS, _ROWS = 1000, 1 << 17


def export(selection: Selection, path: str | os.PathLike[str]) -> int:
    """Write a selection to a file, whole or not at all.

    Parameters
    ----------
    selection : Selection
    path : path
        Ends with ``.csv`` or ``.parquet``.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    DomainError
        For another ending, a path that cannot be written, and Parquet without the
        package pyarrow.
    """
    kind = Path(path).suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise DomainError(
            f"expected a file .csv or .parquet to export to, got {os.fspath(path)!r}"
        )
    writable(path)
    return (_csv if kind == ".csv" else _parquet)(selection, path)


def _csv(selection: Selection, path: str | os.PathLike[str]) -> int:
    count = 0
    with atomic_write(path) as stream:
        text = io.TextIOWrapper(stream, "utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for columns in _parts(selection):
            writer.writerows(zip(*columns.values(), strict=True))
            count += len(columns["image"])
        text.detach()
    return count


def _parquet(selection: Selection, path: str | os.PathLike[str]) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DomainError(
            "expected the package pyarrow for Parquet, got none; "
            "pip install 'querytax[parquet]', or export to .csv"
        ) from None
    numbers = {"strength", "eps"}
    words = {*LABELS, "norm", "access", "image", "status"} - numbers - {"seed"}
    schema = pyarrow.schema(
        [
            pyarrow.field(
                name,
                pyarrow.float64()
                if name in numbers
                else pyarrow.string()
                if name in words
                else pyarrow.int64(),
            )
            for name in COLUMNS
        ]
    )
    count = 0
    with (
        atomic_write(path) as stream,
        parquet.ParquetWriter(stream, schema, compression="zstd") as writer,
    ):
        for columns in _parts(selection):
            table = pyarrow.table(columns, schema=schema)
            writer.write_table(table, row_group_size=_ROWS)
            count += len(table)
    return count


def _parts(selection: Selection) -> Iterator[dict[str, list[Any]]]:
    """Columns of so many jobs at a time."""
    for first in range(0, len(selection.jobs), _JOBS):
        yield _columns(selection, slice(first, first + _JOBS))


def _columns(selection: Selection, part: slice) -> dict[str, list[Any]]:
    campaign, jobs = selection.campaign, selection.jobs[part]
    outcomes, budgets = Outcomes(selection.pages[part]), selection.budgets
    n, each = len(outcomes), len(budgets)
    columns: dict[str, list[Any]] = {}
    for name in LABELS:
        values = np.array([label(job, name) for job in jobs], dtype=object)
        columns[name] = np.repeat(values, outcomes.sizes * each).tolist()
    for name in ("norm", "access", "votes"):
        columns[name] = [getattr(campaign, name)] * (n * each)
    names = [
        name
        for job in jobs
        for name in selection.images[job.network][job.first : job.first + job.images]
        for _ in budgets
    ]
    columns["image"] = [image for image, _ in names]
    columns["key"] = [key for _, key in names]
    columns["n_queries"] = list(budgets) * n
    columns["status"] = _woven([outcomes.status(b) for b in budgets])
    columns["asked"] = _woven([outcomes.asked(b).tolist() for b in budgets])
    for name in MEANINGS:
        events = [outcomes.event(name, b).tolist() for b in budgets]
        columns[name] = [at or None for at in _woven(events)]
    return {name: columns[name] for name in COLUMNS}


def _woven(by_budget: list[list[Any]]) -> list[Any]:
    """Image by image, and budget by budget within."""
    return [value for several in zip(*by_budget, strict=True) for value in several]
