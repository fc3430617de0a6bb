"""RayS: corners of growing detail, each searched for its distance by bisection."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks.block import Answers, Ask, Block, Questions
from querytax.attacks.table import Attack
from querytax.plans import Plan

__all__ = ["ATTACK", "RaySPlan", "engine"]


@dataclass(frozen=True)
class RaySPlan(Plan):
    """Directions of signs, one run of pixels flipped at a time, by halves.

    Attributes
    ----------
    eps, norm, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is not used.
    tolerance : float
        Where the bisection of a radius ends, a Euclidean length along the direction.
    floor : bool
        Whether radii below the budget are left alone: there is nothing to win there,
        but under noise a lucky answer to be fooled by.
    retreat : float
        Share by which the best radius grows whenever its image, asked about again
        before each direction, is not adversarial; 0 never asks again.
    """

    attack: ClassVar[str] = "rays"

    tolerance: float = 1e-3
    floor: bool = False
    retreat: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(tolerance=self.tolerance)
        expect.nonnegative(retreat=self.retreat)


def engine(plan: RaySPlan, block: Block) -> Questions:
    """A check at the best radius; where it holds, a bisection below it."""
    rays = _Rays(plan, block)
    while len(rows := block.rows()):
        # An image is at a check or in a bisection: all of them go one question on.
        checks, lines = rows[~rays.line[rows]], rows[rays.line[rows]]
        if plan.retreat:
            checks = yield from rays.again(checks)
        if len(checks):
            yield from rays.check(checks)
        if len(lines):
            yield from rays.halve(block.alive(lines))


class _Rays:
    """Where every image of a block stands. Radii are in the units of ``eps``."""

    def __init__(self, plan: RaySPlan, block: Block) -> None:
        self.plan, self.block = plan, block
        self.origin = block.origin.flatten(1)
        n, d = self.origin.shape
        options: dict[str, Any] = {"device": self.origin.device}
        self.tolerance = plan.tolerance / d**0.5
        # Chen & Gu 2020, Algorithm 3: the first direction is all ones, and what is
        # tried first is to flip all of it.
        self.sign = torch.ones_like(self.origin)
        self.attempt = self.sign.clone()
        self.radius = torch.full((n,), torch.inf, dtype=torch.float64, **options)
        self.low, self.high = torch.zeros_like(self.radius), self.radius.clone()
        self.line = torch.zeros(n, dtype=torch.bool, **options)
        self.stage = torch.zeros(n, dtype=torch.int64, **options)
        self.index = torch.zeros_like(self.stage)
        self.place = torch.arange(d, **options)
        # The last stage flips single pixels, and is gone through again and again.
        last = (d - 1).bit_length()
        sides = [-(-d // 2**s) for s in range(last + 1)]
        self.sides = torch.tensor(sides, **options)

    def image(self, rows: Tensor, signs: Tensor, radius: Tensor) -> Tensor:
        """Questions at some radii."""
        r = radius[:, None].to(signs.dtype)
        x = torch.addcmul(self.origin[rows], r, signs).clamp_(0.0, 1.0)
        return x.view(-1, *self.block.shape)

    def again(self, rows: Tensor) -> Generator[Ask, Answers, Tensor]:
        """Ask about the best once more, and step back where it does not hold."""
        known = rows[self.radius[rows] < torch.inf]
        if not len(known):
            return rows
        radius = self.radius[known]
        x = self.image(known, self.sign[known], radius)
        answers = yield Ask(x, known, submit=radius <= self.plan.eps)
        grown = radius * (1.0 + self.plan.retreat)
        kept = self.block.fooled(answers, known)
        self.radius[known] = torch.where(kept, radius, grown.clamp_max(1.0))
        return self.block.alive(rows)

    def check(self, rows: Tensor) -> Questions:
        """Flip the next pixels, and see whether the best radius still holds."""
        # Chen & Gu 2020, Algorithm 3: 2^s runs of pixels at stage s.
        side = self.sides[self.stage[rows]][:, None]
        start = self.index[rows][:, None] * side
        flipped = (self.place >= start) & (self.place < start + side)
        sign = self.sign[rows]
        attempt = torch.where(flipped, -sign, sign)
        self.attempt[rows] = attempt
        # Algorithm 2: the fast check; at radius 1 every pixel is at its end.
        radius = self.radius[rows].clamp_max(1.0)
        x = self.image(rows, attempt, radius)
        answers = yield Ask(x, rows, submit=radius <= self.plan.eps)
        fooled = self.block.fooled(answers, rows)
        self.high[rows] = radius
        # With a floor, the budget's own radius is the first to be asked.
        floor = 2.0 * self.plan.eps - radius if self.plan.floor else 0.0
        self.low[rows] = floor * torch.ones_like(radius)
        self.line[rows] = fooled
        self.next(rows[~fooled])
        self.settle(rows[fooled])

    def halve(self, rows: Tensor) -> Questions:
        """One question of each bisection."""
        low, high = self.low[rows], self.high[rows]
        middle = 0.5 * (low + high)
        x = self.image(rows, self.attempt[rows], middle)
        answers = yield Ask(x, rows, submit=middle <= self.plan.eps, purpose="line")
        fooled = self.block.fooled(answers, rows)
        self.high[rows] = torch.where(fooled, middle, high)
        self.low[rows] = torch.where(fooled, low, middle)
        self.settle(rows)

    def settle(self, rows: Tensor) -> None:
        """End the bisections that are fine enough; shorter rays are the best now."""
        high = self.high[rows]
        done = high - self.low[rows] <= self.tolerance
        if self.plan.floor:
            done |= high <= self.plan.eps
        rows, high = rows[done], high[done]
        # With a floor an equal radius is as good: it cannot become any shorter.
        shorter = high < self.radius[rows]
        if self.plan.floor:
            shorter |= high <= self.plan.eps
        best = rows[shorter]
        self.sign[best], self.radius[best] = self.attempt[best], high[shorter]
        self.line[rows] = False
        self.next(rows)

    def next(self, rows: Tensor) -> None:
        """The next run of pixels, or the first of the next stage."""
        index, stage = self.index[rows] + 1, self.stage[rows]
        over = index * self.sides[stage] >= self.origin.shape[1]
        self.index[rows] = torch.where(over, 0, index)
        self.stage[rows] = (stage + over.long()).clamp_max(len(self.sides) - 1)


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"floor": True, "retreat": 0.1, "tolerance": 0.3}


ATTACK = Attack(
    name="rays",
    engine=engine,
    plan=RaySPlan,
    access="labels",
    norms=("Linf",),
    targeted=False,
    source=(
        "Chen & Gu 2020, RayS: A Ray Searching Method for Hard-label Adversarial Attack"
    ),
    about="flips runs of signs, bisects the radius of better ones",
    adaptive=_adaptive,
)
