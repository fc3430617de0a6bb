"""Progress bars on a terminal, silence in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Progress", "progress"]


class Progress:
    """A set of bars, or nothing at all."""

    def __init__(self, bars: Any = None) -> None:
        self._bars = bars

    def add(self, name: str, total: float) -> Any:
        """A bar named ``name`` that is full at ``total``."""
        return self._bars.add_task(name, total=total) if self._bars else None

    def update(self, task: Any, completed: float) -> None:
        """Set a bar."""
        if self._bars:
            self._bars.update(task, completed=completed)


@contextmanager
def progress(verbose: bool) -> Iterator[Progress]:
    """Bars on stderr while the block runs, if ``verbose`` and stderr is a terminal."""
    if not (verbose and sys.stderr.isatty()):
        yield Progress()
        return
    from rich import progress as rich_progress
    from rich.console import Console

    with rich_progress.Progress(
        *rich_progress.Progress.get_default_columns(),
        rich_progress.TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        yield Progress(bars)
