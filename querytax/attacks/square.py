"""Square attack: random squares at the rim of the budget, kept if they help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Block, Questions
from querytax.attacks.incumbent import Incumbent
from querytax.attacks.table import Attack
from querytax.plans import POLICIES, Plan

__all__ = ["ATTACK", "SquarePlan", "engine", "moves"]

# Andriushchenko et al. 2020, section 4: p is halved at these iterations of 10,000.
_HALVED = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


@dataclass(frozen=True)
class SquarePlan(Plan):
    """Squares of shrinking size, which use up the budget where they lie.

    For Linf each pixel of a square moves to +eps or -eps. For L2 a square takes the
    squared length that the budget has left, and that of a second square, which it
    wipes out.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`.
    p : float
        Share of the pixels in the first squares, in (0, 1].
    horizon : int
        Iterations that the schedule of sizes is made for; 0 keeps the first size.
    incumbent : {"stale", "requery", "mean", "turning"}
        What a proposal is held against, see
        :class:`querytax.attacks.incumbent.Incumbent`.

    Raises
    ------
    DomainError
        If a value is outside its range.
    """

    attack: ClassVar[str] = "square"
    planar: ClassVar[bool] = True

    p: float = 0.05
    horizon: int = 10_000
    incumbent: str = "stale"

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.that(0.0 < self.p <= 1.0, "in (0, 1]", p=self.p)
        object.__setattr__(self, "horizon", int(expect.count(0, horizon=self.horizon)))
        expect.one_of(POLICIES, incumbent=self.incumbent)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return 1 if self.incumbent in ("stale", "turning") else 2

    def share(self, iteration: int) -> float:
        """Share of the pixels in the square of an iteration."""
        if not self.horizon:
            return self.p
        scaled = iteration * 10_000 // self.horizon
        return self.p / 2 ** sum(scaled > h for h in _HALVED)


def engine(plan: SquarePlan, block: Block) -> Questions:
    """A pattern to begin with, then one square a question."""
    squares = moves(block)
    best = Incumbent(block, squares.start(), plan.incumbent)
    yield from best.first(block.rows())
    height, width = block.shape[-2:]
    iteration = 0
    while len(rows := block.rows()):
        # Algorithm 1: the side whose square is nearest to the share of the pixels.
        side = round((plan.share(iteration) * height * width) ** 0.5)
        proposal = squares.proposal(rows, best.x[rows], side, iteration)
        yield from best.challenge(rows, proposal)
        iteration += 1


def moves(block: Block) -> _Corners | _Bumps:
    """Squares for the budget of a block's plan; a proposal can begin at any image."""
    return _Corners(block) if block.plan.norm == "Linf" else _Bumps(block)


class _Corners:
    """Linf: vertical stripes, then squares of one sign a channel (Algorithm 2)."""

    def __init__(self, block: Block) -> None:
        self.block = block

    def start(self) -> Tensor:
        """``(n, C, H, W)`` stripes of one pixel."""
        channels, _, width = self.block.shape
        rows = self.block.rows()
        sign = self.block.signs("square/stripes", 0, (channels, 1, width), rows)
        return self._at(rows, sign)

    def proposal(self, rows: Tensor, x: Tensor, side: int, iteration: int) -> Tensor:
        """``(R, C, H, W)``: ``x`` with one square changed."""
        channels, height, width = self.block.shape
        side = max(1, min(side, height - 1, width - 1))
        u = self.block.uniforms("square/place", iteration, (2,), rows)
        shape = (2, channels, 1, 1)
        sign, other = self.block.signs("square/sign", iteration, shape, rows).unbind(1)
        i = torch.arange(height, device=x.device)[:, None]
        j = torch.arange(width, device=x.device)
        i = i - _begin(u[:, 0], height - side)[:, None, None]
        j = j - _begin(u[:, 1], width - side)[:, None, None]
        within = ((i >= 0) & (i < side) & (j >= 0) & (j < side))[:, None]
        # As in the published code, no question is wasted on a square that changes
        # nothing: its signs are drawn again, until they differ.
        idle = torch.where(within, self._at(rows, sign) != x, False)
        idle = ~idle.flatten(1).any(1)[:, None, None, None]
        again = (other == sign).all(1, keepdim=True)
        other = torch.where(again, -other, other)
        return torch.where(within, self._at(rows, torch.where(idle, other, sign)), x)

    def _at(self, rows: Tensor, sign: Tensor) -> Tensor:
        return (self.block.origin[rows] + self.block.plan.eps * sign).clamp(0.0, 1.0)


class _Bumps:
    """L2: a tiling by bumps, then squares that take over length (Algorithm 3)."""

    def __init__(self, block: Block) -> None:
        self.block, self._bump = block, torch.empty(0, 0)

    def start(self) -> Tensor:
        """``(n, C, H, W)``: tiles of a fifth of the shorter side, middled."""
        block, rows = self.block, self.block.rows()
        channels, height, width = block.shape
        side = max(1, min(height, width) // 5)
        down, across = height // side, width // side
        shape = (channels, down, 1, across, 1)
        sign = block.signs("square/stripes", 0, shape, rows)
        turn = block.uniforms("square/turn", 0, (1, down, 1, across, 1), rows) < 0.5
        bump = self.bump(side)
        tiles = torch.where(turn, bump.T[:, None], bump[:, None]) * sign
        tiles = tiles.reshape(len(rows), channels, down * side, across * side)
        top, left = (height - down * side) // 2, (width - across * side) // 2
        right, bottom = width - across * side - left, height - down * side - top
        away = functional.pad(tiles, (left, right, top, bottom))
        away = away * ball.shaped(block.plan.eps / ball.lengths(away), away)
        return block.project(block.origin + away, rows)

    def proposal(self, rows: Tensor, x: Tensor, side: int, iteration: int) -> Tensor:
        """``(R, C, H, W)``: ``x`` with one square renewed and one wiped out."""
        block = self.block
        channels, height, width = block.shape
        # Odd and no smaller than 3, as in the published code.
        side = min(max(side, 3) | 1, height, width)
        u = block.uniforms("square/place", iteration, (5,), rows)
        sign = block.signs("square/sign", iteration, (channels, 1), rows)
        bump = self.bump(side)
        eta = torch.where(u[:, 4, None, None] < 0.5, bump.T, bump).flatten(1)[:, None]
        one = self._window(u[:, 0], u[:, 1], side)
        two = self._window(u[:, 2], u[:, 3], side)
        away = (x - block.origin[rows]).flatten(2)
        square = away.square()
        both = torch.zeros_like(away).scatter_(2, one, 1.0).scatter_(2, two, 1.0)
        unused = (block.plan.eps**2 - square.sum((1, 2), keepdim=True)).clamp_min(0.0)
        available = (square * both).sum(2, keepdim=True) + unused / channels
        old = away.gather(2, one)
        fresh = sign * eta + old / old.norm(dim=2, keepdim=True).clamp_min(1e-10)
        fresh *= available.sqrt() / fresh.norm(dim=2, keepdim=True).clamp_min(1e-10)
        away = away.scatter(2, two, 0.0).scatter(2, one, fresh).view_as(x)
        return block.project(block.origin[rows] + away, rows)

    def bump(self, side: int) -> Tensor:
        """``(side, side)`` of length 1: two halves of opposite sign, eq. (3)."""
        if len(self._bump) != side:
            # Each half has length 1 at first, as in the published code alone.
            upper, lower = _half(side // 2, side), _half(side - side // 2, side)
            bump = torch.cat((upper, -lower))
            self._bump = (bump / bump.norm()).to(self.block.origin)
        return self._bump

    def _window(self, top: Tensor, left: Tensor, side: int) -> Tensor:
        """``(R, C, side * side)`` places of a square in the flattened image."""
        channels, height, width = self.block.shape
        place = torch.arange(side, device=top.device)
        i = _begin(top, height - side)[:, None, None] + place[:, None]
        j = _begin(left, width - side)[:, None, None] + place
        return (i * width + j).flatten(1)[:, None].expand(-1, channels, -1)


def _begin(u: Tensor, most: int) -> Tensor:
    """Uniform whole numbers in 0..most, of uniform draws in [0, 1)."""
    return (u.double() * (most + 1)).long()


def _half(height: int, width: int) -> Tensor:
    """``(height, width)`` of length 1: nested squares round the middle, eq. (3)."""
    i = torch.arange(height)[:, None] - height // 2
    j = torch.arange(width) - width // 2
    shells = torch.arange(max(height, width) // 2 + 1, dtype=torch.float64)
    heights = (shells + 1.0).pow(-2).flip(0).cumsum(0).flip(0)
    half = heights[torch.maximum(i.abs(), j.abs())]
    return half / half.norm()


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Section 5: p of the ImageNet experiments.
    return {"p": 0.05 if norm == "Linf" else 0.1}


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Large squares that stay large change the loss by more than the noise does, and a
    # lucky answer must not be believed for ever.
    p = 0.15 if norm == "Linf" else 0.3
    return {"p": p, "horizon": 0, "incumbent": "mean"}


ATTACK = Attack(
    name="square",
    engine=engine,
    plan=SquarePlan,
    access="scores",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Andriushchenko, Croce, Flammarion & Hein 2020, Square Attack: a "
        "query-efficient black-box adversarial attack via random search"
    ),
    about="random squares at the rim, kept if the loss grows",
    published=_published,
    adaptive=_adaptive,
)
