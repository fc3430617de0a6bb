"""What an attack cost: query counts, some of them censored, and said to be so."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from querytax.counts import QueryCount
from querytax.plans import Plan

__all__ = ["CUT", "ENDED", "SUCCESSES", "AttackResult"]

# Four meanings of success, the most generous to the attacker first.
SUCCESSES = ("noisy", "submitted", "confirmed", "clean")

# The status of a run whose attack had nothing more to ask; and how those begin that
# say nothing about what the rest of the budget would have brought.
ENDED = "ended"
CUT = ("crashed", "out of time")


@dataclass(frozen=True)
class AttackResult:
    """One run of one plan on one model.

    Attributes
    ----------
    plan : Plan
    budget : int
        Queries an image.
    attacked : ndarray
        ``(N,)`` bool: images that the clean model got right (for a targeted attack:
        did not already give the target). The others are not attacked, and counts are
        over the attacked ones alone.
    noisy : QueryCount
        Until one noisy answer to an image inside the budget was adversarial. The most
        generous meaning: noise alone brings it about.
    submitted : QueryCount
        Until the same image was sent ``votes`` times more, and one of these answers at
        least was adversarial: an attacker who may submit so often has won.
    confirmed : QueryCount
        Until the majority of these answers was: the attacker may stop. All of these
        queries are counted.
    clean : QueryCount
        Until an image that was handed in is adversarial for the model without noise.
        The run goes on after the attacker could have stopped until this is known.
    total_queries : int
        Rows that the model with its noise answered.
    images : object
        The confirmed images, or the last that were handed in, in the type that the
        attack was given; ``None`` unless asked.
    seed : int
    votes : int
    access : {"scores", "top1", "labels"}
        What the API gave away.
    spent : dict of str to ndarray
        ``(n_attacked,)`` rows by purpose: ``start``, ``search``, ``line``, ``votes``.
        They sum to all rows asked about an image.
    status : tuple of str
        ``(N,)``: ``broken`` (confirmed, and the clean model fooled), ``open`` (the
        budget ended), ``ended`` (the attack had nothing more to ask), ``misclassified``
        or ``target already`` (not attacked), ``crashed: ...``, or why the attack gave
        the image up.
    judged : int
        Rows that the model without its noise answered, to tell who is attacked and
        what fools it; charged to nobody.
    own_noise : bool
        Whether the model, without a defence of ours, answered the same image in two
        ways: ``clean`` is then one more of its noisy answers.
    needs : dict of str to ndarray
        ``(n_attacked,)`` the least budget that would have shown each kind of success;
        0 where there was none. ``end``: the least that would have brought the run as
        far. A step is asked only if its verification can be paid for too, so this is
        more than the queries until then, and tells what a smaller budget had seen.
    """

    plan: Plan
    budget: int
    attacked: np.ndarray
    noisy: QueryCount
    submitted: QueryCount
    confirmed: QueryCount
    clean: QueryCount
    total_queries: int
    seed: int
    votes: int
    access: str
    spent: dict[str, np.ndarray]
    status: tuple[str, ...]
    judged: int = 0
    own_noise: bool = False
    needs: dict[str, np.ndarray] = field(default_factory=dict)
    images: Any = None

    @property
    def broken(self) -> QueryCount:
        """Until confirmed by votes and adversarial without the noise, both."""
        both = self.confirmed.success & self.clean.success
        most = np.maximum(self.confirmed.queries, self.clean.queries)
        return QueryCount(most, both, self.confirmed.cut)

    def to_json(self) -> dict[str, Any]:
        """Plain data: rates, medians with intervals, censored counts, the charges."""
        return {
            "attack": self.plan.attack,
            "recipe": self.plan.name,
            "plan": self.plan.describe(),
            "settings": dataclasses.asdict(self.plan),
            "access": self.access,
            "votes": self.votes,
            "budget": self.budget,
            "seed": self.seed,
            "n_attacked": int(self.attacked.sum()),
            "total_queries": self.total_queries,
            "judged_free_of_charge": self.judged,
            "own_noise": self.own_noise,
            "queries_by_purpose": {
                purpose: int(rows.sum()) for purpose, rows in self.spent.items()
            },
            "status": dict(Counter(word.partition(":")[0] for word in self.status)),
            "crashes": [w for w in self.status if w.startswith("crashed")],
            **{name: getattr(self, name).to_json() for name in (*SUCCESSES, "broken")},
        }
