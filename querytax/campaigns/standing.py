"""How far a campaign is, from its store alone; no torch."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from querytax.campaigns.jobs import Job, all_jobs
from querytax.campaigns.outcomes import Outcomes
from querytax.campaigns.record import Done, Record

__all__ = ["Standing", "standing"]


@dataclass(frozen=True)
class Standing:
    """How far a campaign is.

    Attributes
    ----------
    name : str
    jobs, done : int
    images : int
        Runs on an image that are done.
    crashed : int
        Those of which nothing is known, because the attack crashed.
    crashes : tuple of (str, int)
        What they died of, the most frequent first.
    seconds : float
        Of one worker, that the jobs which are done have taken.
    left : float or None
        Seconds of one worker that the others will take, about: of the jobs of the same
        attack, defence and network, or of all where none of these is done yet.
    left_out : mapping of str to str
        Of all attacks those that cannot run, and why; where the networks were at hand.
    """

    name: str
    jobs: int
    done: int
    images: int
    crashed: int
    crashes: tuple[tuple[str, int], ...]
    seconds: float
    left: float | None
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether every job is done."""
        return self.done == self.jobs

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**dataclasses.asdict(self), "crashes": dict(self.crashes)}


def standing(record: Record, name: str = "") -> Standing:
    """How far a campaign of a store is; the only one without a name."""
    campaign, _ = record.campaign(name)
    done = record.pages(campaign.name)
    jobs = list(all_jobs(campaign))
    outcomes = Outcomes([each.page for each in done])
    return Standing(
        name=campaign.name,
        jobs=len(jobs),
        done=len(done),
        images=len(outcomes),
        crashed=outcomes.crashed,
        crashes=tuple(Counter(outcomes.crashes()).most_common()),
        seconds=sum(each.seconds for each in done),
        left=_left(jobs, done),
    )


def _left(jobs: Sequence[Job], done: Sequence[Done]) -> float | None:
    """Seconds of the jobs that are left, by images and the pace of those like them."""
    # Those that others had found out took no time, and tell none.
    timed = [each for each in done if each.seconds]
    if not timed:
        return 0.0 if len(done) == len(jobs) else None
    paces: dict[Hashable, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for each in timed:
        job = jobs[each.place]
        for kind in _kinds(job):
            paces[kind][0] += each.seconds
            paces[kind][1] += job.images
    there, seconds = {each.place for each in done}, 0.0
    for place, job in enumerate(jobs):
        if place not in there:
            took, images = next(paces[k] for k in _kinds(job) if k in paces)
            seconds += job.images * took / images
    return seconds


def _kinds(job: Job) -> Iterator[Hashable]:
    """From the nearest to the farthest."""
    yield job.network, job.contender, job.site, job.eps, job.strength
    yield job.network, job.contender, job.site
    yield job.network, job.contender
    yield job.network, job.contender.attack
    yield job.network
    yield "all"
