"""Jobs given to workers that come, go and die, until all are done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from querytax.attacks.failures import said_of
from querytax.campaigns.jobs import Job
from querytax.expect import DomainError
from querytax.trials.store import ImageRow

__all__ = ["Crew", "Event", "Worked", "dispatch"]

# Workers that may die of one job before the campaign is stopped.
_DEATHS = 3


@dataclass(frozen=True)
class Worked:
    """What a worker sends back of a job: its rows, and how long it took."""

    rows: Sequence[ImageRow]
    seconds: float
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Event:
    """What has happened to a worker.

    Attributes
    ----------
    worker : hashable
    kind : {"came", "worked", "died", "refused", "failed"}
        ``refused``: it may not take part. ``failed``: a job raised an error.
    place : int
        Of the job that it worked on or failed at.
    what : Worked, Exception, str or None
        What came of the job, why it did not, or what is odd with one who came.
    """

    worker: Hashable
    kind: str
    place: int = -1
    what: Any = None


class Crew(Protocol):
    """Workers, wherever they are."""

    #: Jobs that a worker holds at once, the one under way included.
    depth: int

    def give(self, worker: Hashable, place: int, job: Job) -> None:
        """Let a worker do a job, after those that it holds."""

    def events(self, patience: float) -> Iterable[Event]:
        """What has happened since; waits so many seconds if nothing has."""

    def close(self) -> None:
        """Let all go, whatever they do."""


def dispatch(
    crew: Crew,
    jobs: Iterable[tuple[int, Job]],
    done: Callable[[int, Worked], None],
    say: Callable[[str], None],
    until: float = float("inf"),
    count: int = 0,
) -> None:
    """Give jobs out in order and take back what comes of them.

    Parameters
    ----------
    crew : Crew
    jobs : iterable of (int, Job)
        Read on only as workers are free.
    done : callable
        Told a job's place and what came of it, once a job.
    say : callable
        Told lines for a person.
    until : float
        Of `time.monotonic`; no job is given out after that.
    count : int
        Jobs there are, about: as long as there are many, workers get the next one
        before they are through with the last.

    Raises
    ------
    DomainError
        If a job has killed several workers, or raised what its attack cannot help.
    """
    todo, again = iter(jobs), deque[tuple[int, Job]]()
    held: dict[Hashable, dict[int, Job]] = {}
    deaths: dict[int, int] = {}
    told: set[str] = set()
    more, left = True, count

    def depth() -> int:
        # The last ones wait for whoever is idle first.
        return crew.depth if left > len(held) else 1

    def give(worker: Hashable) -> None:
        nonlocal more, left
        while more and len(held[worker]) < depth() and time.monotonic() < until:
            place, job = again.popleft() if again else next(todo, (-1, None))
            if job is None:
                more = False
                return
            held[worker][place] = job
            left -= 1
            crew.give(worker, place, job)

    def tell(line: str) -> None:
        if line not in told:
            told.add(line)
            say(line)

    def happened(event: Event) -> None:
        nonlocal more, left
        worker = event.worker
        if event.kind == "came":
            held.setdefault(worker, {})
            give(worker)
            if event.what:
                tell(f"warning: {worker}: {event.what}")
        elif event.kind == "failed":
            if isinstance(event.what, DomainError):
                raise event.what
            job = held.get(worker, {}).get(event.place)
            raise DomainError(
                f"expected the network to bear {job}, got "
                f"{said_of(event.what)}; what is done is in the store"
            ) from event.what
        elif event.kind in ("died", "refused"):
            lost = held.pop(worker, {})
            if event.kind == "refused":
                tell(f"refused {worker}: {event.what}")
            if lost and event.kind == "died":
                # The first is the one that it was at.
                at = next(iter(lost))
                deaths[at] = deaths.get(at, 0) + 1
                if deaths[at] >= _DEATHS:
                    raise DomainError(
                        f"expected a job that a worker survives, got {lost[at]} "
                        f"({event.what})"
                    )
            again.extendleft(reversed(lost.items()))
            left += len(lost)
            more = more or bool(again)

    while True:
        for worker in held:
            give(worker)
        idle = not any(held.values())
        if idle and ((not more and not again) or time.monotonic() >= until):
            return
        fresh: list[tuple[int, Worked]] = []
        try:
            patience = max(0.0, until - time.monotonic()) + 0.01
            for event in crew.events(min(1.0, patience)):
                if event.kind == "worked" and event.place in held.get(event.worker, ()):
                    del held[event.worker][event.place]
                    fresh.append((event.place, event.what))
                    give(event.worker)
                else:
                    happened(event)
        finally:
            # All work again by now: none waits for what is written down.
            for place, what in fresh:
                for line in what.warnings:
                    tell(f"warning: {line}")
                done(place, what)
