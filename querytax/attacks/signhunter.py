"""SignHunter: flips halves, quarters, eighths of the signs, and keeps what helps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks.block import Block, Questions
from querytax.attacks.incumbent import Incumbent
from querytax.attacks.table import Attack
from querytax.plans import POLICIES, Plan

__all__ = ["ATTACK", "SignHunterPlan", "engine"]


@dataclass(frozen=True)
class SignHunterPlan(Plan):
    """All pixels at once by +eps or -eps; their signs are found by halving.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`.
    finest : int
        Shortest run of pixels whose signs are flipped together, >= 1. A pass ends
        before runs become shorter, and the next begins with the halves.
    incumbent : {"stale", "requery", "mean", "turning"}
    """

    attack: ClassVar[str] = "signhunter"

    finest: int = 1
    incumbent: str = "stale"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "finest", int(expect.count(finest=self.finest)))
        expect.one_of(POLICIES, incumbent=self.incumbent)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return 1 if self.incumbent in ("stale", "turning") else 2

    def runs(self, size: int) -> Iterator[tuple[int, int]]:
        """``(begin, end)`` of the runs that a pass flips, in order."""
        length, parts = size, 1
        while True:
            for begin in range(0, min(size, parts * length), length):
                yield begin, min(size, begin + length)
            if length == 1 or -(-size // (2 * parts)) < self.finest:
                return
            parts *= 2
            length = -(-size // parts)


def engine(plan: SignHunterPlan, block: Block) -> Questions:
    """All signs +, then one run of them flipped a question."""
    size = block.dimension
    reach = plan.eps if plan.norm == "Linf" else plan.eps / size**0.5
    sign = torch.ones(len(block), size, dtype=block.origin.dtype).to(block.origin)
    place = torch.arange(size, device=sign.device)

    def at(signs: Tensor, rows: Tensor) -> Tensor:
        moved = block.origin[rows] + reach * signs.view(-1, *block.shape)
        return block.project(moved, rows)

    best = Incumbent(block, block.origin, plan.incumbent)
    everyone = torch.arange(len(block), device=sign.device)
    best.x = at(sign, everyone)
    turn = 0
    while len(block.rows()):
        # Al-Dujaili & O'Reilly 2020, algorithm 2. When all runs are done the released
        # code begins anew around the best image, whose steps then leave the budget;
        # here the search goes on from the best signs, with runs that begin elsewhere.
        shift = block.uniforms("signhunter", turn, (1,), everyone)
        shift = (shift.double() * size).long() if turn else shift.long() * 0
        moved = (place + shift) % size
        # A pass begins with a fresh look, as in the released code.
        yield from best.first(block.rows())
        for begin, end in plan.runs(size):
            rows = block.rows()
            if not len(rows):
                return
            run = (moved[rows] >= begin) & (moved[rows] < end)
            flipped = torch.where(run, -sign[rows], sign[rows])
            won = yield from best.challenge(rows, at(flipped, rows), ties=True)
            sign[rows[won]] = flipped[won]
        turn += 1


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Long runs change the loss by more than the noise does, and short passes end the
    # reign of a lucky answer soon.
    return {"finest": max(1, torch.Size(shape).numel() // 16)}


ATTACK = Attack(
    name="signhunter",
    engine=engine,
    plan=SignHunterPlan,
    access="scores",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Al-Dujaili & O'Reilly 2020, Sign Bits Are All You Need for Black-Box Attacks"
    ),
    about="signs of all pixels, found by flipping halves of halves",
    adaptive=_adaptive,
)
