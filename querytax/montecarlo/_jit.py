"""One way to compile a kernel, and one place for what it compiled."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config

__all__ = ["inlined", "kernel"]


def inlined(function: Callable[..., Any]) -> Any:
    """Compile into each caller, so that the caller's loop becomes SIMD code."""
    return numba.njit(function, inline="always", error_model="numpy")


@functools.cache
def _cache_directory() -> str | None:
    """A writable place that changes with any source here, or None.

    numba looks at the kernel's own file only, and kernels inline code of others.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources))
    named = os.environ.get("XDG_CACHE_HOME")
    home = Path(named) if named else Path("~/.cache").expanduser()
    for root in (home / "querytax", Path(tempfile.gettempdir()) / "querytax"):
        place = root / "kernels" / digest.hexdigest()[:16]
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                return str(place)
        except OSError:
            continue
    return None


def kernel(function: Callable[..., Any]) -> Any:
    """Compile at the first call, without the interpreter's lock; keep it if we can."""
    place = _cache_directory()
    if place is None:
        return numba.njit(function, error_model="numpy", nogil=True)
    # numba reads it here and nowhere later; others keep theirs.
    settings: Any = config
    before, settings.CACHE_DIR = settings.CACHE_DIR, place
    try:
        return numba.njit(function, error_model="numpy", nogil=True, cache=True)
    finally:
        settings.CACHE_DIR = before
