"""A campaign as an ordered list of jobs: one trial on one block of images; no torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from querytax.campaigns.plan import Campaign
from querytax.evidence import Contender, Trial
from querytax.sites import Site

__all__ = ["Job", "all_jobs", "trial_of"]

# Where there is no noise its place does not matter.
_ANYWHERE = "input"


@dataclass(frozen=True)
class Job:
    """One trial on one block of images.

    What it counts is a function of the job alone: not of the workers, of what runs
    beside it, or of how often the campaign was stopped.

    Attributes
    ----------
    network : str
        Its name in the plan.
    site : str
        Empty where there is no defence.
    strength : float
        Of the defence; a standard deviation for noise.
    contender : Contender
    eps : float
    seed : int
    first, images : int
        Place of the block's first image among those that the network gets right, and
        how many there are.
    """

    network: str
    site: str
    strength: float
    contender: Contender
    eps: float
    seed: int
    first: int
    images: int

    def __str__(self) -> str:
        place = f" behind {self.site} {self.strength:g}" if self.site else ""
        return (
            f"{self.contender.name}, on {self.network!r}{place}, eps {self.eps:.4g}, "
            f"seed {self.seed}, images {self.first} to {self.first + self.images - 1}"
        )


def all_jobs(campaign: Campaign) -> Iterator[Job]:
    """All jobs, in the order in which they are given out.

    Block by block and seed by seed: a campaign that is cut anywhere has asked all
    attacks and defences about the same images, but for one block.

    Parameters
    ----------
    campaign : Campaign
        With its fields.
    """
    strengths = {each.site: each.strengths for each in campaign.defences}
    levels = [
        (field, level)
        for field in campaign.fields
        for level in ([s for s in strengths[field.site] if s] if field.site else [0.0])
    ]
    starts = range(0, campaign.images, campaign.block)
    for first, seed in itertools.product(starts, campaign.seeds):
        images = min(campaign.block, campaign.images - first)
        for (field, level), eps in itertools.product(levels, campaign.eps):
            for contender in field.contenders:
                yield Job(
                    *(field.network, field.site, level, contender),
                    *(eps, seed, first, images),
                )


def trial_of(job: Job, campaign: Campaign) -> Trial:
    """The trial of a job's images, on its network alone."""
    return Trial(
        job.contender,
        job.eps,
        campaign.norm,
        campaign.access,
        Site.parse(job.site or _ANYWHERE).name,
        job.strength,
        "held_out",
        images=job.images,
        n_queries=campaign.largest,
        seed=job.seed,
    )
