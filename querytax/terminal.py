"""Tables and numbers on a terminal."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["WIDTH", "answer_alone", "new_table", "short", "span", "terminal"]

WIDTH = 79


@contextlib.contextmanager
def answer_alone() -> Iterator[None]:
    """While somebody's model works: what it prints goes to stderr.

    Standard output belongs to the answer, which another program may read.
    """
    with contextlib.redirect_stdout(sys.stderr):
        yield


def terminal() -> Any:
    """A console of at most 79 columns."""
    from rich.console import Console

    return Console(width=min(WIDTH, Console().width), highlight=False)


def new_table(**options: Any) -> Any:
    """A plain table."""
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), **options)


def short(value: float, budget: float | None = None) -> str:
    """A count in a table; beyond the budget it is only known to be more."""
    if math.isinf(value):
        return f">{budget:,.0f}" if budget else "inf"
    return f"{value:,.0f}"


def span(low: float, high: float, budget: float | None = None) -> str:
    """An interval in a table."""
    if math.isinf(low):
        return short(low, budget) if budget else "stalls"
    return f"{short(low)}-{short(high, budget)}"
