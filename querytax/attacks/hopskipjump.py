"""HopSkipJump: to the boundary, a normal from labels, a step along it, and back."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Answers, Ask, Block, Questions
from querytax.attacks.boundary_search import (
    TURN,
    adversarial,
    bisect,
    handed_in,
    normal,
    probes,
    starting_points,
    unit,
)
from querytax.attacks.table import Attack
from querytax.plans import Plan

__all__ = ["ATTACK", "HopSkipJumpPlan", "engine"]

# A step that is adversarial after none of these halvings is not taken.
_HALVINGS = 20


@dataclass(frozen=True)
class HopSkipJumpPlan(Plan):
    """Descent of the distance along the boundary, by labels alone.

    Attributes
    ----------
    eps, norm, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is not used. ``repeats`` asks every
        question again, also those of the gradient.
    initial : int
        Questions about the first gradient (B0); the t-th takes ``sqrt(t)`` times that.
    most : int
        Most questions about one gradient.
    gamma : float
        Scale of the bisection's tolerance, a share ``gamma / d^1.5`` of the way for L2
        and ``gamma / d^2`` for Linf, and of the probes' length, ``gamma / d`` of the
        distance; > 0.
    first : float
        Length of the first gradient's probes; 0 for that of the others.
    asks : int
        How often each question of a bisection or a step search is asked; the majority
        counts. Odd.
    block : int
        Side of the squares of pixels that a probe moves together; 1 is white noise.
    edge : bool
        Whether each iteration also hands in two images at the budget's edge: on the
        way to the iterate, and straight along the normal.
    restart : int
        Iterations after which the attack begins again from a new start; 0 for never.
    """

    attack: ClassVar[str] = "hopskipjump"

    initial: int = 100
    most: int = 10_000
    gamma: float = 1.0
    first: float = 0.1
    asks: int = 1
    block: int = 1
    edge: bool = False
    restart: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("initial", "most", "block", "asks", "restart"):
            least = 0 if name == "restart" else 1
            value = expect.count(least, **{name: getattr(self, name)})
            object.__setattr__(self, name, int(value))
        expect.that(self.asks % 2 == 1, "odd", asks=self.asks)
        expect.positive(gamma=self.gamma)
        expect.nonnegative(first=self.first)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return max(TURN, self.asks)

    def theta(self, dimension: int) -> float:
        """Tolerance of a bisection, a share of the way."""
        # Chen et al. 2020, section IV-A: d^(-q-1) with q = 1 - 1/p; gamma as in the
        # published code.
        return self.gamma / dimension ** (1.5 if self.norm == "L2" else 2.0)

    def evaluations(self, iteration: int) -> int:
        """Questions about the gradient of an iteration, counted from 1."""
        return min(int(self.initial * math.sqrt(iteration)), self.most)


def engine(plan: HopSkipJumpPlan, block: Block) -> Questions:
    """Chen et al. 2020, Algorithm 2.

    Noise is projected to the boundary in the plan's norm straight away; the published
    code blends it with the image first, in either norm.
    """
    theta, d = plan.theta(block.dimension), block.dimension
    x, turn = block.origin.clone(), 0
    while len(rows := block.rows()):
        iteration = 1 + (turn % plan.restart if plan.restart else turn)
        if iteration == 1:
            x = yield from starting_points(block, f"hopskipjump/{turn}")
            rows = block.rows()
        # The distance before a bisection is what delta is a share of.
        before = block.distance(x[rows], rows)
        x[rows] = yield from bisect(block, rows, x[rows], theta, asks=plan.asks)
        # Section IV-C: delta = d^-1 of the distance, the first as in the code.
        size = before * (plan.gamma / d)
        if iteration == 1 and plan.first:
            size = torch.full_like(size, plan.first)
        count = torch.full_like(rows, plan.evaluations(iteration))
        draw = partial(_drawn, block, plan.block, turn)
        # Beside an origin there is nothing to be probed: no length of 0.
        size = size.clamp_min(1e-6)
        gradient = yield from normal(block, rows, x[rows], count, size, draw)
        direction = unit(block, gradient)
        if plan.edge:
            yield from handed_in(block, rows, x[rows], direction)
        x[rows] = yield from _stepped(plan, block, rows, x[rows], direction, iteration)
        turn += 1


def _drawn(block: Block, side: int, turn: int, part: int, rows: Tensor) -> Tensor:
    return probes(block, f"hopskipjump/probes{part}", turn, side, rows)


def _stepped(
    plan: HopSkipJumpPlan,
    block: Block,
    rows: Tensor,
    x: Tensor,
    direction: Tensor,
    iteration: int,
) -> Generator[Ask, Answers, Tensor]:
    """The iterates after the longest step, halved again and again, that succeeds."""
    # Section IV-D: geometric progression from |x - x*| / sqrt(t).
    step = block.distance(x, rows) / math.sqrt(iteration)
    x, left = x.clone(), block.running[rows]
    for _ in range(_HALVINGS):
        open_ = left.nonzero()[:, 0]
        if not len(open_):
            break
        move = ball.shaped(step[open_], x) * direction[open_]
        at = (x[open_] + move).clamp(0.0, 1.0)
        fooled = yield from adversarial(block, rows[open_], at, plan.asks)
        x[open_[fooled]] = at[fooled]
        left[open_[fooled]] = False
        left &= block.running[rows]
        step = step / 2.0
    return x


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Labels far from the boundary are not noisy: probes as long as the noise is wide.
    # Coarse ones have fewer dimensions to get lost in.
    d = math.prod(shape)
    return {
        "initial": 25,
        "gamma": 0.25 * (d if norm == "L2" else d**1.5),
        "first": 0.0,
        "block": max(2, min(shape[-2:]) // 14) if len(shape) == 3 else 1,
        "edge": True,
        "restart": 8,
    }


ATTACK = Attack(
    name="hopskipjump",
    engine=engine,
    plan=HopSkipJumpPlan,
    access="labels",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Chen, Jordan & Wainwright 2020, HopSkipJumpAttack: A Query-Efficient "
        "Decision-Based Attack"
    ),
    about="normal of the boundary from labels, step, bisection",
    adaptive=_adaptive,
)
