"""The same image handed in again and again: what noise alone gives away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from querytax import expect
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.patterns import patterned
from querytax.attacks.table import Attack
from querytax.plans import Plan

__all__ = ["ATTACK", "ResubmitPlan", "engine"]

KINDS = ("original", "pattern")


@dataclass(frozen=True)
class ResubmitPlan(Plan):
    """One image, handed in until the noise flips an answer; no search at all.

    Attributes
    ----------
    eps, norm, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is not used.
    submissions : int
        How often, at most.
    of : {"original", "pattern"}
        The unchanged image, or the image under its first blind pattern (see
        :mod:`querytax.attacks.patterns`).
    """

    attack: ClassVar[str] = "resubmit"

    submissions: int = 1000
    of: str = "original"

    def __post_init__(self) -> None:
        super().__post_init__()
        submissions = int(expect.count(submissions=self.submissions))
        object.__setattr__(self, "submissions", submissions)
        expect.one_of(KINDS, of=self.of)


def engine(plan: ResubmitPlan, block: Block) -> Questions:
    """The same question, ``submissions`` times."""
    x = block.origin
    if plan.of == "pattern":
        x = patterned(block, "mixed", 0, block.rows())
    for turn in range(plan.submissions):
        if not len(rows := block.rows()):
            return
        again = torch.full_like(rows, turn > 0, dtype=torch.bool)
        yield Ask(x[rows], rows, submit=True, again=again)


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # A pattern brings the image nearer to a boundary, and noise does the rest.
    return {"of": "pattern"}


ATTACK = Attack(
    name="resubmit",
    engine=engine,
    plan=ResubmitPlan,
    access="labels",
    norms=("Linf", "L2"),
    targeted=True,
    source="no feedback; one submission, many times",
    about="one image again and again, until noise flips it",
    adaptive=_adaptive,
)
