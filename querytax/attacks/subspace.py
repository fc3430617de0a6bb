"""Subspace attack: a gradient learned along directions that a surrogate suggests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.nes import stepped
from querytax.attacks.table import Attack
from querytax.attacks.transfer import surrogate_gradient
from querytax.plans import Plan

__all__ = ["ATTACK", "SubspacePlan", "engine"]


@dataclass(frozen=True)
class SubspacePlan(Plan):
    """Bandits whose exploration is a surrogate's gradient, with dropout.

    A step asks two questions, ``probe`` away from the iterate along the learned
    gradient with ``exploration`` times the suggested direction added and taken away;
    their difference moves the learned gradient. Then one question is about the new
    iterate.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is ``ce`` unless told otherwise.
    probe : float
        Length of a probe (delta).
    exploration : float
        How far a suggestion turns the learned gradient (tau).
    prior_step : float
        How fast the gradient is learned (eta_g).
    step : float
        Length of a step in the units of ``eps``.
    step_rule : {"sign", "unit"}
        ``sign``: ``step * sign(g)``; ``unit``: ``step * g / |g|_2``.
    dropout : float
        Share of the pixels that the first suggestion does without, in [0, 1).
    dropout_step : float
        By how much it grows a step.
    dropout_most : float
        Up to which share, in [0, 1).
    """

    attack: ClassVar[str] = "subspace"

    loss: str = "ce"
    probe: float = 0.1
    exploration: float = 1.0
    prior_step: float = 0.1
    step: float = 1 / 255
    step_rule: str = "sign"
    dropout: float = 0.05
    dropout_step: float = 0.01
    dropout_most: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(probe=self.probe)
        expect.positive(exploration=self.exploration)
        expect.positive(prior_step=self.prior_step)
        expect.positive(step=self.step)
        expect.one_of(("sign", "unit"), step_rule=self.step_rule)
        expect.fraction(dropout=self.dropout)
        expect.nonnegative(dropout_step=self.dropout_step)
        expect.fraction(dropout_most=self.dropout_most)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return 2

    @property
    def least(self) -> int:
        """Two probes and the first new iterate."""
        return 3


def engine(plan: SubspacePlan, block: Block) -> Questions:
    """Two probes around the learned gradient, then the new iterate."""
    x = block.origin.clone()
    learned = torch.zeros_like(x)
    shape, step = tuple(block.shape), 0
    while len(rows := block.rows()):
        at, g = x[rows], learned[rows]
        # Guo et al. 2019 drop units of several networks at random. The one at hand may
        # have none to drop: the pixels are its first layer.
        share = min(plan.dropout + plan.dropout_step * step, plan.dropout_most)
        drawn = block.uniforms("subspace/dropout", step, shape, rows)
        kept = (drawn >= share).to(at.dtype)
        u = surrogate_gradient(block, at * kept, rows) * kept
        u = u / ball.shaped(ball.lengths(u), u)
        # Algorithm 1, lines 9 to 12.
        both = torch.stack(
            (g + plan.exploration * u, g - plan.exploration * u), 1
        ).flatten(0, 1)
        both = both / ball.shaped(ball.lengths(both), both)
        questions = at.repeat_interleave(2, 0) + plan.probe * both
        answers = yield Ask(questions, rows, 2, then=1)
        plus, minus = block.loss(answers, rows, 2).view(-1, 2).unbind(1)
        slope = (plus - minus) / (plan.exploration * plan.probe)
        g = g + plan.prior_step * ball.shaped(slope.to(g.dtype), g) * u
        learned[rows] = g
        x[rows] = block.project(stepped(plan, at, g), rows)
        yield Ask(x[rows], rows, submit=True)
        step += 1


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Guo et al. 2019, section 4: 1/255 at eps 8/255 for Linf; their L2 form is ours.
    if norm == "Linf":
        return {"step": eps / 8.0}
    return {"step": eps / 8.0, "step_rule": "unit"}


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # A probe a quarter as long as the budget: the difference outgrows the noise. Much
    # dropout from the start keeps suggestions from staying in few dimensions.
    across = eps * math.prod(shape) ** 0.5 if norm == "Linf" else eps
    return {
        **_published(eps, norm, shape),
        "loss": "margin",
        "probe": 0.25 * across,
        "step": 0.25 * eps,
        "dropout": 0.5,
    }


ATTACK = Attack(
    name="subspace",
    engine=engine,
    plan=SubspacePlan,
    access="scores",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Guo, Yan & Zhang 2019, Subspace Attack: Exploiting Promising Subspaces for "
        "Query-Efficient Black-box Attacks"
    ),
    about="Bandits along a surrogate's gradients with dropout",
    published=_published,
    adaptive=_adaptive,
    surrogate=True,
)
