"""Workers of a Dask cluster that is there already."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import re
import time
import uuid
from collections.abc import Hashable, Iterator
from typing import Any

from querytax import interrupts
from querytax.campaigns.dispatch import Event
from querytax.campaigns.jobs import Job
from querytax.campaigns.laboratory import Laboratory
from querytax.campaigns.worker import Order, Stranger, greet, work
from querytax.expect import DomainError

__all__ = ["Cluster", "check_address"]

_ADDRESS = re.compile(r"([a-z]+://)?(\[[\da-f:]+\]|[^\s:/\[\]]+):\d{1,5}", re.I)
# Seconds that an address may take to answer, and between two looks at who is there.
_PATIENCE, _LOOK = 10.0, 1.0


def check_address(address: str) -> None:
    """Fail where a text is no address of a scheduler.

    Raises
    ------
    DomainError
    """
    if not _ADDRESS.fullmatch(address):
        raise DomainError(f"expected scheduler as tcp://host:8786, got {address!r}")


class Cluster:
    """The workers of a Dask cluster; they may come and go.

    Parameters
    ----------
    address : str
        Of the scheduler, as in ``tcp://host:8786``.
    laboratory : Laboratory

    Raises
    ------
    DomainError
        If it cannot be reached, or the extra ``cluster`` is not installed.
    """

    # While a job's rows are on their way a worker has another one.
    depth = 2

    def __init__(self, address: str, laboratory: Laboratory) -> None:
        try:
            import distributed
        except ImportError:
            raise DomainError(
                "expected the package distributed for a scheduler, got none; "
                "pip install 'querytax[cluster]'"
            ) from None
        self._address = address
        # Another run of the same plan shall not meet this one's jobs.
        order = Order.of(laboratory)
        self._order = dataclasses.replace(order, name=uuid.uuid4().hex)
        try:
            self._client = distributed.Client(
                address, timeout=_PATIENCE, set_as_default=False
            )
        except (OSError, ValueError, TypeError) as error:
            raise self._unreached(error) from None
        self._queue: queue.SimpleQueue[tuple[str, str, int, Any]] = queue.SimpleQueue()
        self._held: dict[str, dict[int, Any]] = {}
        self._greeted: dict[str, Any] = {}
        self._refused: dict[str, str] = {}
        self._looked = -_LOOK

    def give(self, worker: Hashable, place: int, job: Job) -> None:
        assert isinstance(worker, str)
        self._submit(worker, "worked", place, work, self._order.name, job)

    def events(self, patience: float) -> Iterator[Event]:
        interrupts.check()
        if time.monotonic() - self._looked > _LOOK:
            self._looked = time.monotonic()
            yield from self._changes()
        try:
            first = self._queue.get(timeout=min(patience, _LOOK))
        except queue.Empty:
            return
        yield from self._told(*first)
        for _ in range(self._queue.qsize()):
            yield from self._told(*self._queue.get())

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._client.cancel(
                [f for held in self._held.values() for f in held.values()], force=True
            )
        with contextlib.suppress(Exception):
            self._client.close(timeout=_PATIENCE)

    def _submit(self, worker: str, kind: str, place: int, *call: Any) -> None:
        future = self._client.submit(
            *call,
            workers=[worker],
            allow_other_workers=False,
            pure=False,
            # In the order in which they are given.
            priority=-place,
        )
        self._held.setdefault(worker, {})[place] = future
        future.add_done_callback(
            lambda done: self._queue.put((worker, kind, place, done))
        )

    def _changes(self) -> Iterator[Event]:
        """Workers that came or went."""
        try:
            there = set(self._client.nthreads())
        except (OSError, ValueError, RuntimeError) as error:
            raise self._unreached(error) from None
        for worker in [w for w in self._held if w not in there]:
            yield from self._lost(worker, "the cluster lost it")
        for worker in sorted(there - set(self._held) - set(self._refused)):
            self._submit(worker, "came", -1, greet, self._order)
        if there and there <= set(self._refused):
            raise DomainError(
                f"expected a worker of {self._address} that may take part, got "
                f"{len(there)} refused: {next(iter(self._refused.values()))}"
            )

    def _told(self, worker: str, kind: str, place: int, future: Any) -> Iterator[Event]:
        """What a future has come to."""
        held = self._held.get(worker, {})
        if place not in held or held[place] is not future:
            return
        del self._held[worker][place]
        if future.status == "finished":
            yield Event(worker, kind, place, future.result())
            return
        error = future.exception() if future.status == "error" else None
        gone = error is None or type(error).__name__ in ("KilledWorker", "Stranger")
        if gone or isinstance(error, Stranger):
            yield from self._lost(worker, str(error or "the cluster lost it"))
        elif kind == "came":
            # Whatever it lacks, down to this package.
            known = isinstance(error, DomainError)
            why = str(error) if known else f"{type(error).__name__}: {error}"
            self._refused[worker] = why
            del self._held[worker]
            yield Event(worker, "refused", what=why)
        else:
            yield Event(worker, "failed", place, error)

    def _lost(self, worker: str, why: str) -> Iterator[Event]:
        for future in self._held.pop(worker).values():
            with contextlib.suppress(Exception):
                future.cancel()
        yield Event(worker, "died", what=why)

    def _unreached(self, error: Exception) -> DomainError:
        lines = str(error).splitlines() or [type(error).__name__]
        return DomainError(
            f"expected a Dask scheduler that answers at {self._address!r}, got "
            f"{lines[0]}; what is done is in the store"
        )
