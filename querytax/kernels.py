"""One way to compile a kernel with numba, and one place for what it compiled."""

from __future__ import annotations

import contextlib
import functools
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.core.serialize import dumps

from querytax.expect import DomainError
from querytax.files import atomic_write, cache_folder, digest_of, seal, unseal

__all__ = ["inlined", "kernel"]


def inlined(function: Callable[..., Any]) -> Any:
    """Compile into each caller, so that the caller's loop becomes SIMD code."""
    return numba.njit(function, inline="always", error_model="numpy")


@functools.cache
def _cache_directory(room: Path) -> str | None:
    """A writable place that changes with any source of a room, or None.

    numba looks at the kernel's own file only, and kernels inline code of others.
    """
    sources = [Path(__file__), *sorted(room.glob("*.py"))]
    digest = digest_of(b"".join(path.read_bytes() for path in sources))
    place = cache_folder("kernels", digest[:16])
    return None if place is None else str(place)


class _Sealed:
    """What numba keeps a function's compiled code in: one sealed file a signature.

    Its own files are unpickled as they are, and a damaged one ends the process.
    """

    def __init__(self, place: str, name: str) -> None:
        self._place, self._name = Path(place), name

    def _path(self, key: Any) -> Path:
        told = digest_of(repr((numba.__version__, sys.version, key)).encode())
        return self._place / f"{self._name}.{told[:16]}"

    def load(self, key: Any) -> Any:
        """The code, or None where it has to be compiled."""
        try:
            return pickle.loads(unseal(self._path(key).read_bytes()))
        except (OSError, ValueError):
            return None

    def save(self, key: Any, data: Any) -> None:
        """Keep the code if there is room."""
        with contextlib.suppress(DomainError), atomic_write(self._path(key)) as stream:
            stream.write(seal(dumps(data)))

    def flush(self) -> None:
        """Nothing: a file is never out of date."""


def kernel(function: Callable[..., Any]) -> Any:
    """Compile at the first call, without the interpreter's lock; keep it if we can."""
    place = _cache_directory(Path(function.__code__.co_filename).parent)
    if place is None:
        return numba.njit(function, error_model="numpy", nogil=True)
    # numba reads it here and nowhere later; others keep theirs.
    settings: Any = config
    before, settings.CACHE_DIR = settings.CACHE_DIR, place
    try:
        made: Any = numba.njit(function, error_model="numpy", nogil=True, cache=True)
    finally:
        settings.CACHE_DIR = before
    name = f"{function.__module__}.{function.__qualname__}"
    made._cache._cache_file = _Sealed(place, name)
    return made
