"""Ctrl-C that is heard wherever it falls.

Python raises it between two steps of whatever runs just then. Inside a callback from C,
such as numba's when a kernel has been compiled, or in a finaliser, it cannot leave:
Python prints it and goes on. So does code that catches everything. A command remembers
that it was interrupted, and asks where it shows progress and before it writes a file.
"""

from __future__ import annotations

import _thread
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["answered", "check", "heard"]

# Seconds until one that was lost in a callback is raised again.
_AGAIN = 0.05


class _Ear:
    """Whether somebody has interrupted, and nobody has answered."""

    waiting = False


def check() -> None:
    """Raise an interrupt that was lost on its way.

    Raises
    ------
    KeyboardInterrupt
        In the main thread, inside of `heard`, if there was one.
    """
    if _Ear.waiting and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


def answered() -> None:
    """Say that an interrupt was caught, and that what follows is meant to be done."""
    _Ear.waiting = False


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """While the block runs, no interrupt gets lost.

    Where interrupts are ignored, or handled by somebody else, that stays so.
    """
    ours = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not ours:
        yield
        return
    again: list[threading.Timer] = []
    before = sys.unraisablehook

    def hear(number: int, frame: Any) -> None:
        _Ear.waiting = True
        raise KeyboardInterrupt

    def lost(what: sys.UnraisableHookArgs) -> None:
        if what.exc_type is not KeyboardInterrupt:
            before(what)
            return
        timer = threading.Timer(_AGAIN, _thread.interrupt_main)
        timer.daemon = True
        again.append(timer)
        timer.start()

    _Ear.waiting = False
    try:
        sys.unraisablehook = lost
        signal.signal(signal.SIGINT, hear)
        yield
        check()
    except Exception:
        # What was cut short by a lost one fails later, for want of what it left undone.
        check()
        raise
    finally:
        for timer in again:
            timer.cancel()
        sys.unraisablehook = before
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _Ear.waiting = False
