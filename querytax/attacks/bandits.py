"""Bandits-TD: a gradient that is remembered from step to step, and coarse in space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.table import Attack
from querytax.plans import Plan

__all__ = ["ATTACK", "BanditsPlan", "engine"]


@dataclass(frozen=True)
class BanditsPlan(Plan):
    """A prior of the gradient, mended by one pair of questions a step.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is ``ce`` unless told otherwise.
    probe : float
        Euclidean length of a probe (eta). Probes may leave the budget.
    step : float
        What a step moves: each pixel for Linf, the image for L2.
    prior_step : float
        Learning rate of the prior: exponentiated gradients for Linf, plain for L2.
    exploration : float
        Length of the exploration around the prior, root mean square (delta).
    tiles : int
        Side of the prior's grid, which tiles the image; 0 for one tile a pixel.
    forget : float
        Share of the prior that each step forgets, in [0, 1): under noise it could
        otherwise grow sure of what it cannot leave again.

    Raises
    ------
    DomainError
        If a value is outside its range.
    """

    attack: ClassVar[str] = "bandits"

    loss: str = "ce"
    probe: float = 0.1
    step: float = 0.01
    prior_step: float = 100.0
    exploration: float = 1.0
    tiles: int = 50
    forget: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(probe=self.probe)
        expect.positive(step=self.step)
        expect.positive(prior_step=self.prior_step)
        expect.positive(exploration=self.exploration)
        object.__setattr__(self, "tiles", int(expect.count(0, tiles=self.tiles)))
        expect.fraction(forget=self.forget)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return 2

    @property
    def least(self) -> int:
        """A pair and the first new iterate."""
        return 3


def engine(plan: BanditsPlan, block: Block) -> Questions:
    """A pair around the prior, then the new iterate."""
    x = block.origin.clone()
    shape = _grid(plan.tiles, block.shape)
    # For Linf the prior is tanh of this: a step of exponentiated gradients, from v to
    # (a - b) / (a + b) with a, b = (1 ± v) exp(±rate g), adds rate g to atanh v.
    state = x.new_zeros(len(block), *shape)
    step = 0
    while len(rows := block.rows()):
        prior = _prior(plan, state[rows])
        # Ilyas, Engstrom & Madry 2019, algorithms 2 and 3.
        u = block.normals("bandits", step, shape, rows)
        u = u * (plan.exploration / math.prod(shape) ** 0.5)
        pair = _spread(torch.stack((prior + u, prior - u), 1).flatten(0, 1), block)
        pair = pair * ball.shaped(plan.probe / ball.lengths(pair), pair)
        at = x[rows].repeat_interleave(2, 0)
        answers = yield Ask(at + pair, rows, 2, then=1)
        loss = block.loss(answers, rows, 2).view(-1, 2)
        slope = (loss[:, 0] - loss[:, 1]) / (plan.probe * plan.exploration)
        learned = plan.prior_step * ball.shaped(slope.to(u.dtype), u) * u
        state[rows] = (1.0 - plan.forget) * state[rows] + learned
        move = _spread(_prior(plan, state[rows]), block)
        if plan.norm == "Linf":
            move = move.sign()
        else:
            move = move / ball.shaped(ball.lengths(move), move)
        x[rows] = block.project(x[rows] + plan.step * move, rows)
        # Their count leaves out this question, the one that shows the success.
        yield Ask(x[rows], rows, submit=True)
        step += 1


def _grid(tiles: int, shape: torch.Size) -> tuple[int, ...]:
    """Shape of the prior of one image: channels, and no more tiles than pixels."""
    if not tiles or len(shape) < 3:
        return tuple(shape)
    return (*shape[:-2], min(tiles, shape[-2]), min(tiles, shape[-1]))


def _prior(plan: BanditsPlan, state: Tensor) -> Tensor:
    return state.tanh() if plan.norm == "Linf" else state


def _spread(grid: Tensor, block: Block) -> Tensor:
    """Priors as images: each pixel has its tile's value."""
    if grid.shape[1:] == block.shape:
        return grid
    return functional.interpolate(grid, size=tuple(block.shape[-2:]))


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Their settings for ImageNet, with L2 steps of a tenth of the budget; small images
    # have a prior of 20 x 20 in the benchmarks that came after.
    tiles = {"tiles": 50 if min(shape[-2:]) >= 100 else 20}
    if norm == "Linf":
        return {"step": min(0.01, eps), **tiles}
    rates = {"probe": 0.01, "prior_step": 0.1, "exploration": 0.01}
    return {"step": 0.1 * eps, **rates, **tiles}


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Probes as long as half the budget, few tiles, a prior that no single answer can
    # turn round, and long steps.
    reach = eps * math.prod(shape) ** 0.5 if norm == "Linf" else eps
    return {
        "loss": "margin",
        "probe": 0.5 * reach,
        "step": 0.2 * eps,
        "prior_step": 0.3,
        "exploration": 1.0,
        "forget": 0.1,
        "tiles": max(1, min(14, min(shape[-2:]) // 2)) if len(shape) == 3 else 0,
    }


ATTACK = Attack(
    name="bandits",
    engine=engine,
    plan=BanditsPlan,
    access="scores",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Ilyas, Engstrom & Madry 2019, Prior Convictions: Black-Box Adversarial "
        "Attacks with Bandits and Priors"
    ),
    about="a remembered, tiled gradient; one pair a step",
    published=_published,
    adaptive=_adaptive,
)
