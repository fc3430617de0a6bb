"""Progress bars on a terminal, silence in a pipe."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from querytax import interrupts

__all__ = ["Pace", "Progress", "progress"]

# Seconds between two moves of a bar whose work is one long call.
_TICK = 0.5
# Of a call that is under way no more than this share is shown.
_ALMOST = 0.95


class Progress:
    """A set of bars, or nothing at all."""

    def __init__(self, bars: Any = None, verbose: bool = False) -> None:
        self._bars, self._verbose = bars, verbose

    @property
    def shown(self) -> bool:
        """Whether there are bars."""
        return self._bars is not None

    def add(self, name: str, total: float) -> Any:
        """A bar named ``name`` that is full at ``total``."""
        return self._bars.add_task(name, total=total) if self._bars else None

    def update(self, task: Any, completed: float, total: float | None = None) -> None:
        """Set a bar, and what it is full at where that is known better now.

        Here long work hears an interrupt that was lost on its way, bars or none.
        """
        interrupts.check()
        if self._bars:
            known = {} if total is None else {"total": total}
            self._bars.update(task, completed=completed, **known)

    def say(self, line: str) -> None:
        """A line on stderr for whoever waits, above the bars or in a pipe."""
        if self._bars:
            self._bars.console.print(line, highlight=False, markup=False)
        elif self._verbose:
            print(line, file=sys.stderr)


class Pace:
    """A bar that moves while long calls run, by the pace of those before.

    Parameters
    ----------
    bar : Progress
    name : str
    total : float
        Of all calls, as far as it is known.
    """

    def __init__(self, bar: Progress, name: str, total: float) -> None:
        self.done, self.total = 0.0, total
        self._bar, self._task = bar, bar.add(name, total)
        self._start = self._since = monotonic()
        self._running = 0.0
        self._ended = threading.Event()
        if bar.shown:
            self._thread = threading.Thread(target=self._tick, daemon=True)
            self._thread.start()

    def begin(self, amount: float) -> None:
        """A call of ``amount`` has begun."""
        interrupts.check()
        self._running, self._since = amount, monotonic()

    def end(self, amount: float) -> None:
        """It has ended."""
        self._running = 0.0
        self.done += amount

    def close(self) -> None:
        """Stop the bar."""
        self._ended.set()
        if self._bar.shown:
            self._thread.join()
            self._show()

    def _tick(self) -> None:
        while not self._ended.wait(_TICK):
            self._show()

    def _show(self) -> None:
        self._bar.update(self._task, self.shown(monotonic()), self.total)

    def shown(self, now: float) -> float:
        """What the bar shows: what is done, and a share of what is under way."""
        spent = self._since - self._start
        if not self.done or not spent:
            return self.done
        foretold = (now - self._since) * self.done / spent
        return self.done + min(foretold, _ALMOST * self._running)


@contextmanager
def progress(verbose: bool) -> Iterator[Progress]:
    """Bars on stderr while the block runs, if ``verbose`` and stderr is a terminal."""
    if not (verbose and sys.stderr.isatty()):
        yield Progress(verbose=verbose)
        return
    from rich import progress as rich_progress
    from rich.console import Console

    with rich_progress.Progress(
        *rich_progress.Progress.get_default_columns(),
        rich_progress.TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        yield Progress(bars, verbose)
