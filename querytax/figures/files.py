"""A figure's files: the picture, and its numbers beside it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from querytax.expect import DomainError
from querytax.files import atomic_write

__all__ = ["expect_format", "write_figure"]

_FORMATS = (".png", ".svg", ".pdf")
# The same figure is the same file on any day.
_UNDATED: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def expect_format(path: str | os.PathLike[str]) -> None:
    """Fail before the work where the suffix names no format.

    Raises
    ------
    DomainError
        If it is none of .png, .svg and .pdf.
    """
    if Path(path).suffix.lower() not in _FORMATS:
        raise DomainError(
            f"expected path to end in .png, .svg or .pdf, got {os.fspath(path)!r}"
        )


def write_figure(figure: Any, path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a figure, and its data beside it with the suffix ``.csv``.

    Raises
    ------
    DomainError
        If the path cannot be written.
    """
    with atomic_write(path) as stream:
        form = path.suffix[1:].lower()
        figure.savefig(stream, format=form, dpi=150, metadata=_UNDATED.get(form))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path.with_suffix(".csv")) as stream:
        stream.write(text.getvalue().encode())
