"""Transfer: what fools the attacker's own network is handed in, once a try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Ask, Block, Questions, spread
from querytax.attacks.oracle import evaluating
from querytax.attacks.table import Attack
from querytax.attacks.uniform import drawn
from querytax.losses import attacker_loss
from querytax.models import ask
from querytax.plans import LOSSES, Plan

__all__ = ["ATTACK", "TransferPlan", "engine", "surrogate_gradient"]


@dataclass(frozen=True)
class TransferPlan(Plan):
    """Momentum iterative FGSM on a surrogate; the model is asked about its result.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is the surrogate's, and ``ce``
        unless told otherwise.
    steps : int
        Steps on the surrogate, each of length ``eps / steps``; they cost no queries.
    momentum : float
        Share of the steps before that is added to a gradient, at least 0.
    tries : int
        Results to hand in: the first from the image itself, others from random starts
        in the ball.
    """

    attack: ClassVar[str] = "transfer"

    loss: str = "ce"
    steps: int = 10
    momentum: float = 1.0
    tries: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "steps", int(expect.count(steps=self.steps)))
        expect.nonnegative(momentum=self.momentum)
        object.__setattr__(self, "tries", int(expect.count(tries=self.tries)))


def engine(plan: TransferPlan, block: Block) -> Questions:
    """One result of the surrogate a question."""
    for attempt in range(plan.tries):
        if not len(rows := block.rows()):
            return
        x = block.origin[rows]
        if attempt:
            x = drawn(block, "transfer", attempt, rows)
        yield Ask(_climbed(plan, block, x, rows), rows, submit=True)


def _climbed(plan: TransferPlan, block: Block, x: Tensor, rows: Tensor) -> Tensor:
    """Where the iteration ends on the surrogate."""
    memory = torch.zeros_like(x)
    for _ in range(plan.steps):
        gradient = surrogate_gradient(block, x, rows)
        # Dong et al. 2018, eq. (6): by the L1 norm, so that steps weigh alike.
        total = gradient.flatten(1).abs().sum(1).clamp_min(1e-30)
        memory = plan.momentum * memory + gradient / ball.shaped(total, x)
        # Eq. (7) for Linf, (9) for L2, with alpha = eps / T.
        if plan.norm == "Linf":
            move = memory.sign()
        else:
            move = memory / ball.shaped(ball.lengths(memory), memory)
        x = block.project(x + plan.eps / plan.steps * move, rows)
    return x


def surrogate_gradient(
    block: Block, x: Tensor, rows: Tensor, each: int | Tensor = 1
) -> Tensor:
    """Gradient of the plan's loss of the block's surrogate, at images ``x``."""
    goal = block.labels if block.targets is None else block.targets
    # The attack runs without gradients, and a surrogate may be in training mode.
    with torch.enable_grad(), evaluating(block.surrogate):
        at = x.detach().requires_grad_()
        answers = ask(block.surrogate, at)
        word = block.plan.loss
        loss = attacker_loss(
            answers,
            spread(goal[rows], each),
            # What undoes the target's defence does not belong to a network without.
            loss=word if word in LOSSES else "margin",
            answered=getattr(block.surrogate, "answers", "logits"),
            targeted=block.targets is not None,
        )
        (gradient,) = torch.autograd.grad(loss.sum(), at)
    return gradient


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # The surrogate is without noise: what is left to do is to try again.
    return {"tries": 200}


ATTACK = Attack(
    name="transfer",
    engine=engine,
    plan=TransferPlan,
    access="labels",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Dong, Liao, Pang, Su, Zhu, Hu & Li 2018, Boosting Adversarial Attacks with "
        "Momentum"
    ),
    about="MI-FGSM on a surrogate, its result handed in",
    adaptive=_adaptive,
    surrogate=True,
)
