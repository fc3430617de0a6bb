"""What a model answered to a run, so that the run can be made again for less."""

from __future__ import annotations

import mmap
from collections.abc import Hashable
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Memories", "Memory"]

# Bytes of answers that are kept for runs that go on.
_MOST = 1 << 28


class Memory:
    """Answers to the first queries about each image of one run.

    A run that is made again, with a larger budget or beside more images, asks the same
    questions and is given the same noise. Its answers are taken from here as far as
    they were heard, and the model is asked from there on.

    Parameters
    ----------
    places : ndarray
        ``(n,)`` the numbers of the run's images, by which memories of one run agree.
    queries : int
        How many there is room for, image by image.
    most : int
        Bytes that it may take.
    older : Memory, optional
        What is known of the same run.
    last : bool
        Whether the run will not go on from here: nothing more is kept.

    Attributes
    ----------
    heard : ndarray
        ``(images,)`` queries whose answers are known.
    size : int
        Bytes, once it is open.
    """

    def __init__(
        self,
        places: np.ndarray,
        queries: int,
        most: int = _MOST,
        older: Memory | None = None,
        last: bool = False,
    ) -> None:
        self.images, self.queries = int(places.max()) + 1, queries
        self.size, self._most, self._last = 0, most, last
        self._at = places
        self._older = older
        if last:
            self.queries = min(queries, older.queries if older is not None else 0)

    def open(self, classes: int, dtype: torch.dtype) -> bool:
        """Make room for answers of so many classes; False where there is none."""
        older, self._older = self._older, None
        if self.size:
            return True
        try:
            kind = torch.zeros(0, dtype=dtype).numpy().dtype
        except TypeError:
            return False
        shape = (self.images, self.queries)
        if not self.queries:
            return False
        each = 8 + self.queries * (4 + classes * kind.itemsize)
        if self.images * each > self._most:
            return False
        # Shared with the processes that this one forks, and paid for when written to.
        self.heard = _shared((self.images,), np.dtype(np.int64))
        self._answers = _shared((*shape, classes), kind)
        # The class that the model without noise said, plus one; 0 where not asked.
        self._said = _shared(shape, np.dtype(np.int32))
        self.size = sum(a.nbytes for a in (self.heard, self._answers, self._said))
        if older is not None and older.size and older._answers.dtype == kind:
            i, j = min(self.images, older.images), min(self.queries, older.queries)
            self.heard[:i] = np.minimum(older.heard[:i], j)
            self._answers[:i, :j] = older._answers[:i, :j]
            self._said[:i, :j] = older._said[:i, :j]
        return True

    def knows(
        self, places: np.ndarray, queries: np.ndarray, judged: np.ndarray | None
    ) -> np.ndarray:
        """``(Q,)`` bool: which queries were answered, and judged if they are to be."""
        at = self._at[places]
        known = queries < self.heard[at]
        if judged is not None:
            near = np.minimum(queries, self.queries - 1)
            known &= ~judged | (self._said[at, near] > 0)
        found: np.ndarray = known
        return found

    def recall(
        self, places: np.ndarray, queries: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Answers, and what the model without noise said; of what it knows alone."""
        at, near = self._at[places], np.minimum(queries, self.queries - 1)
        return self._answers[at, near], self._said[at, near] - 1

    def keep(
        self,
        places: np.ndarray,
        queries: np.ndarray,
        answers: Tensor,
        judged: np.ndarray | None,
        said: np.ndarray | None,
    ) -> None:
        """Remember answers that follow on those that are known.

        ``said`` has the labels of the judged ones.
        """
        if self._last:
            return
        at, told = self._at[places], answers.numpy(force=True)
        if told.dtype != self._answers.dtype or told.shape[1:] != (
            self._answers.shape[2],
        ):
            return
        room = queries < self.queries
        self._answers[at[room], queries[room]] = told[room]
        if judged is not None and said is not None:
            some = room[judged]
            where = at[judged][some], queries[judged][some]
            self._said[where] = said[some] + 1
        np.maximum.at(self.heard, at[room], queries[room] + 1)


class Memories:
    """Those of many runs, the oldest forgotten first."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Memory] = {}

    def open(
        self, run: Hashable, places: np.ndarray, queries: int, *, last: bool, of: int
    ) -> Memory:
        """What a run has heard before, with room for what it hears now.

        Parameters
        ----------
        run : hashable
            Names it.
        places, queries, last
            As in :class:`Memory`.
        of : int
            Runs beside it, which share the room.
        """
        older = self._known.pop(run, None)
        memory = Memory(places, queries, _MOST // of, older, last)
        if not last:
            self._known[run] = memory
        return memory

    def forget(self) -> None:
        """The oldest, as far as all take too much."""
        size = sum(memory.size for memory in self._known.values())
        for run in list(self._known):
            if size <= _MOST:
                return
            size -= self._known.pop(run).size


def _shared(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Zeros that forked processes have in common."""
    count = int(np.prod(shape))
    room = mmap.mmap(-1, max(count * dtype.itemsize, 1))
    return np.frombuffer(room, dtype, count).reshape(shape)
