"""Workers on this machine: forked processes, or this one."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from querytax import interrupts
from querytax.attacks.workers import sendable
from querytax.campaigns.dispatch import Event, Worked
from querytax.campaigns.jobs import Job
from querytax.trials.store import ImageRow

__all__ = ["Here", "Processes", "worked"]

# Does one job.
Perform = Callable[[Job], list[ImageRow]]
# Seconds between two looks of a worker at whether its parent lives.
_LOOK = 0.5


def worked(perform: Perform, job: Job) -> Worked:
    """Do a job, and hear its warnings."""
    begin = time.perf_counter()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rows = perform(job)
    lines = tuple(dict.fromkeys(str(warning.message) for warning in said))
    return Worked(rows, time.perf_counter() - begin, lines)


class Here:
    """This process alone, where none can be forked or none is wanted."""

    depth = 1

    def __init__(self, perform: Perform) -> None:
        self._perform = perform
        self._left: deque[tuple[int, Job]] = deque()
        self._came = False

    def give(self, worker: Hashable, place: int, job: Job) -> None:
        self._left.append((place, job))

    def events(self, patience: float) -> Iterator[Event]:
        if not self._came:
            self._came = True
            yield Event("here", "came")
        interrupts.check()
        # One at a time: what came of it is written down before the next.
        if self._left:
            place, job = self._left.popleft()
            try:
                yield Event("here", "worked", place, worked(self._perform, job))
            except Exception as error:
                yield Event("here", "failed", place, error)

    def close(self) -> None:
        self._left.clear()


class Processes:
    """Forked processes, each with the networks as they are here.

    Parameters
    ----------
    perform : callable
        Does a job.
    count : int
        How many there are at any time: for one that died another is forked.
    """

    # No worker waits for the next one.
    depth = 2

    def __init__(self, perform: Perform, count: int) -> None:
        self._perform, self._count = perform, count
        self._context = multiprocessing.get_context("fork")
        self._workers: dict[Connection, Any] = {}

    def give(self, worker: Hashable, place: int, job: Job) -> None:
        assert isinstance(worker, Connection)
        # Of one that has just died the next look tells.
        with contextlib.suppress(OSError):
            worker.send_bytes(pickle.dumps((place, job)))

    def events(self, patience: float) -> Iterator[Event]:
        while len(self._workers) < self._count:
            yield Event(self._fork(), "came")
        interrupts.check()
        for pipe in wait(list(self._workers), patience):
            assert isinstance(pipe, Connection)
            try:
                kind, place, what = pickle.loads(pipe.recv_bytes())
            except (EOFError, OSError):
                process = self._workers.pop(pipe)
                process.join()
                pipe.close()
                yield Event(
                    pipe, "died", what=f"it ended with exit code {process.exitcode}"
                )
                continue
            yield Event(pipe, kind, place, what)

    def close(self) -> None:
        for process in self._workers.values():
            process.kill()
        for pipe, process in self._workers.items():
            process.join()
            pipe.close()
        self._workers.clear()

    def _fork(self) -> Connection:
        here, there = self._context.Pipe()
        others = [*self._workers, here]
        process = self._context.Process(
            target=_serve, args=(self._perform, there, others), daemon=True
        )
        with warnings.catch_warnings():
            # Of threads that a fork leaves behind: they are idle ones of torch.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        there.close()
        self._workers[here] = process
        return here


def _serve(perform: Perform, pipe: Connection, others: list[Connection]) -> None:
    """A worker's life: jobs in, rows out."""
    # An interrupt is the parent's to handle, and a parent's handlers are not ours.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in others:
        other.close()
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    try:
        while True:
            place, job = pickle.loads(pipe.recv_bytes())
            try:
                answer: tuple[str, int, Any] = ("worked", place, worked(perform, job))
            except Exception as error:
                answer = ("failed", place, sendable(error))
            pipe.send_bytes(pickle.dumps(answer))
    except (EOFError, OSError):
        # The parent has gone.
        os._exit(1)


def _die_with(parent: int) -> None:
    """End this process soon after its parent, whatever it is at."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)
