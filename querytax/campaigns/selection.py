"""Some of a campaign's jobs that are done, chosen by what they are; no torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from querytax import expect
from querytax.campaigns.jobs import Job, all_jobs
from querytax.campaigns.outcomes import Page
from querytax.campaigns.plan import Campaign
from querytax.campaigns.record import Images, Record
from querytax.expect import DomainError

__all__ = ["LABELS", "Only", "Selection", "label", "select"]

#: What a job can be chosen and grouped by.
LABELS: Mapping[str, Callable[[Job], Any]] = MappingProxyType(
    {
        "network": lambda job: job.network,
        "site": lambda job: job.site,
        "strength": lambda job: job.strength,
        "attack": lambda job: job.contender.attack,
        "recipe": lambda job: job.contender.recipe,
        "settings": lambda job: json.dumps(dict(job.contender.changes)),
        "eps": lambda job: job.eps,
        "seed": lambda job: job.seed,
    }
)

# Values that a label may have, by the label; others are left out.
Only = Mapping[str, Sequence[Any]]


def label(job: Job, name: str) -> Any:
    """What a job is by a label."""
    return LABELS[name](job)


@dataclass(frozen=True)
class Selection:
    """Jobs that are done, in order, with what came of them."""

    campaign: Campaign
    images: Images
    jobs: tuple[Job, ...]
    pages: tuple[Page, ...]
    budgets: tuple[int, ...]


def select(record: Record, name: str = "", only: Only | None = None) -> Selection:
    """The jobs of a campaign that are done and have certain labels.

    Parameters
    ----------
    record : Record
    name : str
        Of the campaign; empty for the only one.
    only : mapping of str to sequence
        Values by label; and ``n_queries``, some of the plan's budgets.

    Raises
    ------
    DomainError
        For a label or value that no job of the campaign has, with the nearest ones.
    """
    campaign, images = record.campaign(name)
    jobs = list(all_jobs(campaign))
    only = {key: list(values) for key, values in (only or {}).items() if values}
    budgets = only.pop("n_queries", list(campaign.n_queries))
    for each in budgets:
        if each not in campaign.n_queries:
            raise _unknown("n_queries", each, campaign.n_queries)
    for key, values in only.items():
        expect.one_of(LABELS, label=key)
        there = list(dict.fromkeys(label(job, key) for job in jobs))
        for value in values:
            if value not in there:
                if isinstance(value, str):
                    expect.one_of(there, **{key: value})
                raise _unknown(key, value, there)
    places = None
    if only:
        places = [
            place
            for place, job in enumerate(jobs)
            if all(label(job, key) in values for key, values in only.items())
        ]
    done = [(jobs[d.place], d.page) for d in record.pages(campaign.name, places)]
    return Selection(
        campaign,
        images,
        tuple(job for job, _ in done),
        tuple(page for _, page in done),
        tuple(sorted(budgets)),
    )


def _unknown(key: str, value: Any, there: Sequence[Any]) -> DomainError:
    listed = ", ".join(f"{each:g}" for each in there)
    return DomainError(f"expected {key} to be one of {listed}, got {value:g}")
