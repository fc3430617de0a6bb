"""What an attack dies of, and what only broke into it."""

from __future__ import annotations

import signal

__all__ = ["broke_in", "said_of"]


def said_of(error: BaseException) -> str:
    """An error in one line."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def broke_in(error: BaseException) -> bool:
    """Whether a signal's handler raised it: then it is no failure of the attack."""
    handlers = {
        getattr(signal.getsignal(number), "__code__", None)
        for number in signal.valid_signals()
    }
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_code in handlers:
            return True
        at = at.tb_next
    return False
