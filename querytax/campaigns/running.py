"""Run a campaign, or go on with one, here or on a cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from querytax import expect
from querytax.attacks.workers import cores, may_fork
from querytax.campaigns.dispatch import Crew, Worked, dispatch
from querytax.campaigns.jobs import Job, all_jobs
from querytax.campaigns.laboratory import Laboratory, one_thread
from querytax.campaigns.outcomes import Page
from querytax.campaigns.plan import Campaign, read_plan
from querytax.campaigns.processes import Here, Processes
from querytax.campaigns.record import Done, Record
from querytax.campaigns.resolving import resolved
from querytax.campaigns.standing import Standing, standing
from querytax.expect import DomainError
from querytax.files import digest_of
from querytax.progress import Progress, progress

__all__ = ["run"]


def run(
    plan: Campaign | str | os.PathLike[str],
    store: str | os.PathLike[str] | None,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    minutes: float | None = None,
    verbose: bool = False,
) -> Standing:
    """Do the jobs of a campaign that are left.

    A job that is done is in the store, and is never done again: whatever stops this,
    the same call goes on where it was, and the numbers are those of a campaign that
    nothing has stopped.

    Parameters
    ----------
    plan : Campaign or path
        As :func:`read_plan` reads it.
    store : path or None
        File of trials, made if there is none; None keeps them in memory, for a look.
    jobs : int
        Processes beside each other, each on one thread, forked where that is possible.
    scheduler : str, optional
        Address of a Dask cluster, as in ``tcp://host:8786``, whose workers do the jobs
        instead. Each loads the networks by name, and is refused if it finds others.
    minutes : float, optional
        Give no job out after that; those under way are ended.
    verbose : bool
        Show a progress bar, and what happens to workers.

    Returns
    -------
    Standing
        What is done, and what is left.

    Raises
    ------
    DomainError
        One line, before anything runs: for a plan, network, store or cluster that is
        not as expected.
    """
    campaign = plan if isinstance(plan, Campaign) else read_plan(plan)
    jobs = int(expect.count(jobs=jobs))
    if scheduler is not None:
        from querytax.campaigns.cluster import check_address

        check_address(scheduler)
        if jobs > 1:
            raise DomainError(
                "expected no jobs with a scheduler, which has workers of its own, "
                f"got {jobs}"
            )
    until = float("inf")
    if minutes is not None:
        until = time.monotonic() + 60.0 * expect.positive(minutes=minutes)
    with one_thread():
        laboratory = Laboratory(campaign)
        campaign, left_out = resolved(laboratory)
        with Record(store) as record, record.alone(), progress(verbose) as bars:
            todo = _Jobs(laboratory, record, bars)
            if todo.left:
                with contextlib.closing(_crew(laboratory, jobs, scheduler)) as crew:
                    dispatch(crew, todo, todo.done, bars.say, until, todo.left)
            found = standing(record, campaign.name)
    return dataclasses.replace(found, left_out=left_out)


class _Jobs:
    """The jobs of a campaign that are left, and where those that are done go."""

    def __init__(self, laboratory: Laboratory, record: Record, bars: Progress) -> None:
        self._campaign, self._record = laboratory.campaign, record
        self._names = {
            network.name: laboratory.names(network.name)
            for network in self._campaign.networks
        }
        self._jobs = list(all_jobs(self._campaign))
        self._runs = laboratory.runs(self._jobs)
        self._keys = self._keyed()
        self._there = record.begin(self._campaign, self._names, self._keys)
        self._bars, self._task = bars, bars.add("jobs", len(self._jobs))
        bars.update(self._task, len(self._there))

    @property
    def left(self) -> int:
        """How many are not done."""
        return len(self._jobs) - len(self._there)

    def __iter__(self) -> Iterator[tuple[int, Job]]:
        """Those that have to be done; what others have found out is taken over."""
        for place, job in enumerate(self._jobs):
            if place in self._there:
                continue
            names, budget = self._block(job), self._campaign.largest
            rows = self._record.known(self._runs[place], names)
            if len(rows) == len(names) and all(row.covers(budget) for row in rows):
                self.done(place, Worked(rows, 0.0))
                continue
            yield place, job

    def done(self, place: int, what: Worked) -> None:
        """Write a job down."""
        page = Page.of(what.rows, self._campaign.largest)
        self._record.done(
            self._campaign.name,
            self._keys[place],
            Done(place, page, what.seconds),
            self._runs[place],
            what.rows,
        )
        self._there.add(place)
        self._bars.update(self._task, len(self._there))

    def _block(self, job: Job) -> list[tuple[str, int]]:
        return self._names[job.network][job.first : job.first + job.images]

    def _keyed(self) -> list[str]:
        """What each job is, whatever it is called in the plan."""
        budget, known = self._campaign.largest, dict[Any, str]()

        def short(what: Any, content: Callable[[], Any]) -> str:
            if what not in known:
                known[what] = digest_of(repr(content()).encode())
            return known[what]

        keys = []
        for job, run in zip(self._jobs, self._runs, strict=True):
            block = short((job.network, job.first), partial(self._block, job))
            own = short(run, partial(repr, run))
            keys.append(digest_of(f"{own} {block} {budget}".encode())[:32])
        return keys


def _crew(laboratory: Laboratory, count: int, scheduler: str | None) -> Crew:
    """Who does the jobs."""
    if scheduler is not None:
        from querytax.campaigns.cluster import Cluster

        return Cluster(scheduler, laboratory)
    names = [network.name for network in laboratory.campaign.networks]
    devices = {laboratory.ground(n).parts["held_out"][0].device for n in names}
    # One alone is forked too: what a model does to its process does not stay here.
    if may_fork(devices):
        return Processes(laboratory.perform, min(count, max(2, cores())))
    return Here(laboratory.perform)
