"""Courses of several attacks driven by several processes, and counted by one."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import random
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np
import torch

from querytax.attacks.course import Course, Ended
from querytax.attacks.scheduler import drive

__all__ = ["beside", "cores", "may_fork", "sendable"]

# Seconds between two words of how far a worker is.
_NEWS = 0.2


def cores() -> int:
    """Processors that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def may_fork(devices: Iterable[torch.device]) -> bool:
    """Whether what is attacked can be shared with forked processes."""
    plain = all(device.type == "cpu" for device in devices)
    return plain and sys.platform == "linux" and not torch.cuda.is_initialized()


def beside(
    courses: Callable[[], Iterable[Course]],
    jobs: int,
    *,
    in_flight: int,
    batch_size: int,
    watch: Callable[[int], None] | None = None,
) -> Generator[Ended, None, None]:
    """Drive courses to their ends in forked processes, each every ``jobs``-th of them.

    A worker has the models and images as they are here at the first step. What it
    draws and asks is its own; nothing is written but the counts that it sends, and the
    :class:`Memory` that its runs share with this process.

    Parameters
    ----------
    courses : callable
        Gives them all, the same in every process.
    jobs : int
    in_flight, batch_size, watch
        As in :func:`querytax.attacks.scheduler.drive`, for each worker.

    Yields
    ------
    Ended
        Each course as it ends.

    Raises
    ------
    Exception
        What a worker died of: the others are ended.
    """
    context = multiprocessing.get_context("fork")
    pipes: list[Connection] = []
    workers: list[Any] = []
    try:
        for k in range(jobs):
            here, there = context.Pipe(duplex=False)
            pipes.append(here)
            worker = context.Process(
                target=_drive,
                args=(courses, k, jobs, in_flight, batch_size, there, pipes),
                daemon=True,
            )
            with warnings.catch_warnings():
                # Of threads that a fork leaves behind: they are idle ones of torch.
                warnings.simplefilter("ignore", DeprecationWarning)
                worker.start()
            workers.append(worker)
            there.close()
        yield from _counted(pipes, workers, watch)
    finally:
        for worker in workers:
            worker.terminate()
        for worker, pipe in zip(workers, pipes, strict=False):
            worker.join()
            pipe.close()


def _counted(
    pipes: Sequence[Connection],
    workers: Sequence[Any],
    watch: Callable[[int], None] | None,
) -> Iterator[Ended]:
    """What the workers send, until all are through."""
    open_ = dict(zip(pipes, workers, strict=True))
    asked = dict.fromkeys(pipes, 0)
    while open_:
        for pipe in wait(list(open_)):
            assert isinstance(pipe, Connection)
            try:
                word, what = pickle.loads(pipe.recv_bytes())
            except EOFError:
                open_[pipe].join()
                raise RuntimeError(
                    f"a worker ended with exit code {open_[pipe].exitcode} "
                    "before its attacks did"
                ) from None
            if word == "ended":
                yield what
            elif word == "asked":
                asked[pipe] = what
                if watch is not None:
                    watch(sum(asked.values()))
            elif word == "warned":
                message, category = what
                warnings.warn(message, category, stacklevel=2)
            elif word == "failed":
                raise what
            else:
                del open_[pipe]


def _drive(
    courses: Callable[[], Iterable[Course]],
    k: int,
    jobs: int,
    in_flight: int,
    batch_size: int,
    pipe: Connection,
    others: Sequence[Connection],
) -> None:
    """One worker's life."""
    # An interrupt is the parent's to handle, and a parent's handlers are not ours.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in others:
        other.close()
    torch.set_num_threads(1)
    # Two workers whose models draw by themselves must not draw the same.
    torch.seed()
    random.seed()
    np.random.seed()  # noqa: NPY002
    parent, last = os.getppid(), time.monotonic()

    def send(word: str, what: Any = None) -> None:
        pipe.send_bytes(pickle.dumps((word, what)))

    def watch(asked: int) -> None:
        nonlocal last
        if os.getppid() != parent:
            os._exit(1)
        if time.monotonic() - last > _NEWS:
            last = time.monotonic()
            send("asked", asked)

    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            own = itertools.islice(courses(), k, None, jobs)
            for course in drive(
                own, in_flight=in_flight, batch_size=batch_size, watch=watch
            ):
                send("ended", course.ended())
        for warning in said:
            send("warned", (str(warning.message), warning.category))
        send("over")
    except Exception as error:
        send("failed", sendable(error))
    finally:
        pipe.close()


def sendable(error: Exception) -> Exception:
    """An error that another process can read, with where it came from."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        told = RuntimeError(f"{type(error).__name__}: {error}")
        told.add_note("".join(traceback.format_exception(error)))
        return told
    return error
