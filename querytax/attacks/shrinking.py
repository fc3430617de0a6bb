"""A ball that shrinks around the origin, with an adversarial image kept inside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Answers, Ask, Block, Questions
from querytax.attacks.boundary_search import between
from querytax.attacks.nes import directions
from querytax.plans import NESPlan

__all__ = ["Judge", "ShrinkingPlan", "pixel", "published", "shrink"]

# Of the released code: a radius falls by half of what its image has been seen to bear;
# a fall that succeeded is tried again no smaller than a tenth, and one below 0.2 % of
# the way is not worth its questions.
_CONSERVATIVE, _AGAIN, _LEAST = 2.0, 0.1, 2e-3

# Questions about points (R, k, *shape) of a step; returns what each is worth, and how
# surely it is adversarial, both (R, k).
Judge = Callable[
    [Block, Tensor, Tensor, int], Generator[Ask, Answers, tuple[Tensor, Tensor]]
]


@dataclass(frozen=True)
class ShrinkingPlan(NESPlan):
    """What plans have whose ball shrinks.

    Attributes
    ----------
    eps, norm, repeats, sequential, name, probe, pairs, step_rule, block, momentum
        As in :class:`querytax.plans.NESPlan`; the loss is not used.
    step : float
        Length of the longest step that a line search tries.
    step_least : float
        Of the shortest.
    fall : float
        First fall of the radius, as a share of the distance of the start, in (0, 1].
    sure : float
        The radius falls where the mean score around the image is no less, in [0, 1].
    """

    pairs: int = 25
    step_least: float = 5e-5
    fall: float = 0.5
    sure: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.one_of(("sign", "unit"), step_rule=self.step_rule)
        expect.positive(step_least=self.step_least)
        expect.that(0.0 < self.fall <= 1.0, "in (0, 1]", fall=self.fall)
        expect.unit(sure=self.sure)


def published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Lengths as in the released code at eps 0.05: probes 0.001, steps 0.01 to 5e-5."""
    return {
        "step_rule": "sign" if norm == "Linf" else "unit",
        "probe": pixel(eps, norm, shape) / 50.0,
        "step": eps / 5.0,
        "step_least": eps / 1000.0,
    }


def pixel(eps: float, norm: str, shape: tuple[int, ...]) -> float:
    """The budget of one pixel where all have the same."""
    return eps if norm == "Linf" else eps / math.prod(shape) ** 0.5


def shrink(
    plan: ShrinkingPlan, block: Block, name: str, x: Tensor, judge: Judge
) -> Questions:
    """Shrink balls from where ``x`` lies to the budget, by NES and line searches.

    Parameters
    ----------
    plan : ShrinkingPlan
    block : Block
    name : str
        Of the draws.
    x : Tensor
        ``(n, ...)`` adversarial.
    judge : callable
        Asks what points are worth.
    """
    x = x.clone()
    memory = torch.zeros_like(x)
    reach = block.distance(x, torch.arange(len(x), device=x.device)).double()
    begun = reach.clone()
    reach.clamp_(min=plan.eps)
    fall = plan.fall * begun
    step = 0
    while len(rows := block.rows()):
        u = directions(block, name, step, plan.pairs, plan.block, rows)
        offset, at = plan.probe * u, x[rows][:, None]
        points = torch.stack((at + offset, at - offset), 1).flatten(1, 2)
        value, sure = yield from judge(block, points, rows, step)
        change = (value[:, : plan.pairs] - value[:, plan.pairs :]).to(u.dtype)
        gradient = torch.bmm(change[:, None], u.flatten(2)).view_as(x[rows])
        gradient += plan.momentum * memory[rows]
        memory[rows] = gradient
        # The radius falls where the image can be moved and is still adversarial.
        ready = (sure.mean(1) >= plan.sure) & (reach[rows] > plan.eps)
        drop = torch.where(ready, fall[rows], 0.0)
        # Released code: lengths from the longest, halved, until the answer is
        # adversarial; then smaller falls of the radius, at last none.
        move = gradient.sign()
        if plan.step_rule == "unit":
            move = gradient / ball.shaped(ball.lengths(gradient), gradient)
        length = torch.full_like(drop, plan.step)
        # Without a direction all lengths are the same.
        still = ~gradient.flatten(1).any(1)
        open_ = torch.arange(len(rows), device=rows.device)
        while len(open_):
            some, short = rows[open_], length[open_].to(x.dtype)
            ahead = (x[some] + ball.shaped(short, x) * move[open_]).clamp(0.0, 1.0)
            bound = (reach[some] - drop[open_]).clamp_min(plan.eps)
            share = bound / block.distance(ahead, some).double().clamp_min(1e-30)
            ahead = between(block, some, ahead, share.clamp_max(1.0)).clamp(0.0, 1.0)
            inside = block.inside(ahead, some)
            answers = yield Ask(ahead, some, submit=inside, purpose="line")
            won = block.fooled(answers, some)
            winners, at_ = some[won], open_[won]
            x[winners] = ahead[won]
            fell = drop[at_]
            lower = (reach[winners] - fell / _CONSERVATIVE).clamp_min(plan.eps)
            reach[winners] = lower
            again = torch.maximum(fell, _AGAIN * begun[winners])
            fall[winners] = torch.where(fell > 0.0, again, fall[winners])
            open_ = open_[~won & block.running[some]]
            short = length[open_] / 2.0
            spent = (short < plan.step_least) | still[open_]
            length[open_] = torch.where(spent, plan.step, short)
            lost = spent & (drop[open_] == 0.0)
            less = drop[open_] / 2.0
            less = torch.where(less < _LEAST * begun[rows[open_]], 0.0, less)
            drop[open_] = torch.where(spent, less, drop[open_])
            open_ = open_[~lost]
        step += 1
