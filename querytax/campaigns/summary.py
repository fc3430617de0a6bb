"""Success rates and medians of a campaign, by group; no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from querytax import expect
from querytax.campaigns.outcomes import MEANINGS, Outcomes
from querytax.campaigns.selection import LABELS, Selection, label
from querytax.counts import QueryCount

__all__ = ["BY", "Group", "summary"]

#: What groups are made by, unless told otherwise: seeds are taken together.
BY = tuple(name for name in LABELS if name != "seed")


@dataclass(frozen=True)
class Group:
    """Runs that have labels and a budget in common.

    Attributes
    ----------
    labels : dict
        By which they were put together.
    n_queries : int
        The budget.
    counts : QueryCount
        Until success; of an image once a seed.
    """

    labels: dict[str, Any]
    n_queries: int
    counts: QueryCount

    def to_json(self) -> dict[str, Any]:
        """Plain data: success rate, Wilson's interval, Kaplan-Meier's median."""
        cut = int(np.asarray(self.counts.cut).sum())
        return {
            **self.labels,
            "n_queries": self.n_queries,
            "images": len(self.counts.queries),
            "crashed": cut,
            **self.counts.to_json(),
        }


def summary(
    selection: Selection, by: Sequence[str] = BY, meaning: str = "broken"
) -> list[Group]:
    """What came of the selected jobs, group by group and budget by budget.

    Intervals take runs for independent. Runs of one image under several seeds are not
    quite: group by ``seed`` to be strict.

    Parameters
    ----------
    selection : Selection
    by : sequence of str
        Labels.
    meaning : {"noisy", "submitted", "confirmed", "clean", "broken"}
        Of success; as in :class:`querytax.AttackResult`.

    Returns
    -------
    list of Group
        In the order of the jobs, and of the budgets.
    """
    expect.one_of(MEANINGS, success=meaning)
    for name in by:
        expect.one_of(LABELS, by=name)
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i, job in enumerate(selection.jobs):
        groups[tuple(label(job, name) for name in by)].append(i)
    # Group after group, so that each is one part of the columns.
    order = [i for members in groups.values() for i in members]
    outcomes = Outcomes([selection.pages[i] for i in order])
    ends = np.cumsum(outcomes.sizes)[
        np.cumsum([len(members) for members in groups.values()], dtype=int) - 1
    ]
    starts = np.concatenate([[0], ends])
    counts = {budget: outcomes.counts(meaning, budget) for budget in selection.budgets}
    return [
        Group(dict(zip(by, values, strict=True)), budget, _part(whole, start, end))
        for values, start, end in zip(groups, starts, ends, strict=False)
        for budget, whole in counts.items()
    ]


def _part(whole: QueryCount, start: int, end: int) -> QueryCount:
    part = slice(start, end)
    return QueryCount(
        whole.queries[part], whole.success[part], np.asarray(whole.cut)[part]
    )
