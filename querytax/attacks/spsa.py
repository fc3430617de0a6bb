"""SPSA: differences along random corners of a cube, and steps by Adam."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.table import Attack
from querytax.plans import Plan

__all__ = ["ATTACK", "SPSAPlan", "corners", "engine"]

# What Adam adds to a root mean square before it divides.
_SMALL = 1e-8


@dataclass(frozen=True)
class SPSAPlan(Plan):
    """Antithetic pairs of probes whose pixels are all +probe or -probe, and Adam.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`.
    probe : float
        What each pixel moves in a probe (delta). Probes may leave the budget.
    pairs : int
        Antithetic pairs a step.
    step : float
        Adam's learning rate, about what a pixel moves in a step.
    momentum : float
        Adam's decay of the mean gradient, in [0, 1).
    decay : float
        Adam's decay of the mean squared gradient, in [0, 1).
    block : int
        Side of the squares of pixels that have one sign together; 1 for each its own.

    Raises
    ------
    DomainError
        If a value is outside its range.
    """

    attack: ClassVar[str] = "spsa"

    probe: float = 0.01
    pairs: int = 64
    step: float = 0.01
    momentum: float = 0.9
    decay: float = 0.999
    block: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(probe=self.probe)
        object.__setattr__(self, "pairs", int(expect.count(pairs=self.pairs)))
        expect.positive(step=self.step)
        expect.fraction(momentum=self.momentum)
        expect.fraction(decay=self.decay)
        object.__setattr__(self, "block", int(expect.count(block=self.block)))

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return 2 * self.pairs

    @property
    def least(self) -> int:
        """A gradient and the first new iterate."""
        return 2 * self.pairs + 1


def engine(plan: SPSAPlan, block: Block) -> Questions:
    """Pairs around the iterate, then the new iterate."""
    x = block.origin.clone()
    mean, square = torch.zeros_like(x), torch.zeros_like(x)
    step = 0
    while len(rows := block.rows()):
        # Uesato et al. 2018, algorithm 1. A sign is its own reciprocal.
        v = corners(block, "spsa", step, plan.pairs, plan.block, rows)
        offset, at = plan.probe * v, x[rows][:, None]
        questions = torch.stack((at + offset, at - offset), 1).flatten(0, 2)
        answers = yield Ask(questions, rows, 2 * plan.pairs, then=1)
        loss = block.loss(answers, rows, 2 * plan.pairs).view(len(rows), -1)
        change = (loss[:, : plan.pairs] - loss[:, plan.pairs :]).to(v.dtype)
        change = change / (2.0 * plan.probe * plan.pairs)
        gradient = torch.bmm(change[:, None], v.flatten(2)).view_as(x[rows])
        step += 1
        # Kingma & Ba 2015, algorithm 1, uphill.
        mean[rows] = torch.lerp(gradient, mean[rows], plan.momentum)
        square[rows] = torch.lerp(gradient.square(), square[rows], plan.decay)
        first = mean[rows] / (1.0 - plan.momentum**step)
        second = square[rows] / (1.0 - plan.decay**step)
        move = plan.step * first / (second.sqrt() + _SMALL)
        x[rows] = block.project(x[rows] + move, rows)
        yield Ask(x[rows], rows, submit=True)


def corners(
    block: Block, name: str, step: int, count: int, side: int, rows: Tensor
) -> Tensor:
    """Random signs ``(R, count, *shape)``, the same on squares of ``side``."""
    if side == 1:
        return block.signs(name, step, (count, *block.shape), rows)
    *channels, height, width = block.shape
    coarse = (-(-height // side), -(-width // side))
    v = block.signs(name, step, (count, *channels, *coarse), rows)
    v = v.repeat_interleave(side, -2).repeat_interleave(side, -1)
    return v[..., :height, :width].contiguous()


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Adam moves every pixel by its rate at first: for L2 a tenth of the budget.
    step = 0.01 if norm == "Linf" else 0.1 * eps / math.prod(shape) ** 0.5
    return {"step": min(step, eps)}


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Wide probes, few dimensions, and many long steps rather than few sure ones.
    pixel = eps if norm == "Linf" else eps / math.prod(shape) ** 0.5
    return {
        "probe": 0.5 * pixel,
        "pairs": 5,
        "step": 0.25 * pixel,
        "block": max(2, min(shape[-2:]) // 14) if len(shape) == 3 else 1,
    }


ATTACK = Attack(
    name="spsa",
    engine=engine,
    plan=SPSAPlan,
    access="scores",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Uesato, O'Donoghue, van den Oord & Kohli 2018, Adversarial Risk and the "
        "Dangers of Evaluating Against Weak Attacks"
    ),
    about="differences along random signs, then Adam",
    published=_published,
    adaptive=_adaptive,
)
