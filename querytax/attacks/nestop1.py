"""NES told the top class and its score alone."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from querytax.attacks.block import Answers, Ask, Block, Questions
from querytax.attacks.boundary_search import starting_points
from querytax.attacks.nes import ATTACK as NES
from querytax.attacks.nes import engine as climb
from querytax.attacks.shrinking import ShrinkingPlan, published, shrink
from querytax.attacks.table import Attack

__all__ = ["ATTACK", "NESTop1Plan", "engine"]


@dataclass(frozen=True)
class NESTop1Plan(ShrinkingPlan):
    """NES with partial information: the top class, and its score.

    Sent for a class, the image is one of that class (``starts``), kept there while the
    ball around the original shrinks. Untargeted, the label's own score is told for as
    long as the label is on top: NES brings it down inside the budget.

    Attributes
    ----------
    eps, norm, repeats, sequential, name, probe, pairs, step_rule, block, momentum
        As in :class:`querytax.plans.NESPlan`; the loss is not used.
    step, step_least, fall, sure
        As in :class:`querytax.attacks.shrinking.ShrinkingPlan`, where the score is the
        target's; untargeted, ``step`` is that of NES and the others are not used.
    """

    attack: ClassVar[str] = "nestop1"

    def describe(self) -> str:
        """One line for a person."""
        return super().describe().replace("NES", "NES, top class and score", 1)


def engine(plan: NESTop1Plan, block: Block) -> Questions:
    """Untargeted, NES; targeted, a shrinking ball."""
    if block.targets is None:
        yield from climb(plan, block)
        return
    x = yield from starting_points(block, "nestop1")
    yield from shrink(plan, block, "nestop1", x, _judge)


def _judge(
    block: Block, points: Tensor, rows: Tensor, step: int
) -> Generator[Ask, Answers, tuple[Tensor, Tensor]]:
    """The loss of each point; the target's score, 0 where it is not on top."""
    many = points.shape[1]
    answers = yield Ask(points.flatten(0, 1), rows, many, then=1)
    value = block.loss(answers, rows, many).view(-1, many)
    fooled = block.fooled(answers, rows, many)
    sure = torch.where(fooled, answers.score.double(), 0.0)  # type: ignore[union-attr]
    return value, sure.view(-1, many)


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return NES.adaptive(eps, norm, shape)


ATTACK = Attack(
    name="nestop1",
    engine=engine,
    plan=NESTop1Plan,
    access="top1",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Ilyas, Engstrom, Athalye & Lin 2018, Black-box Adversarial Attacks with "
        "Limited Queries and Information, section 2.3"
    ),
    about="NES on the top class and its score alone",
    published=published,
    adaptive=_adaptive,
)
