"""ECO: a sign for each block of pixels, by lazy greedy local search, then finer."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks.block import Answers, Ask, Block, Questions
from querytax.attacks.table import Attack
from querytax.plans import INCUMBENTS, Plan

__all__ = ["ATTACK", "ECOPlan", "engine"]


@dataclass(frozen=True)
class ECOPlan(Plan):
    """Every pixel at +eps or -eps, one sign a block; blocks are split into four.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`.
    block : int
        Side of the first blocks, >= 1; halved after each pass.
    finest : int
        Side below which blocks are not split; passes then repeat, in new orders.
    batch : int
        Blocks that one local search is about, >= 1.
    incumbent : {"stale", "requery", "mean"}
        What a flip is held against, see
        :class:`querytax.attacks.incumbent.Incumbent`.
    """

    attack: ClassVar[str] = "eco"
    planar: ClassVar[bool] = True

    block: int = 4
    finest: int = 1
    batch: int = 64
    incumbent: str = "stale"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("block", "finest", "batch"):
            value = int(expect.count(**{name: getattr(self, name)}))
            object.__setattr__(self, name, value)
        expect.that(
            self.finest <= self.block, f"<= block = {self.block}", finest=self.finest
        )
        expect.one_of(INCUMBENTS, incumbent=self.incumbent)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return 1 if self.incumbent == "stale" else 2

    @property
    def sides(self) -> list[int]:
        """Sides of the blocks, pass by pass."""
        sides = [self.block]
        while sides[-1] // 2 >= self.finest:
            sides.append(sides[-1] // 2)
        return sides


def engine(plan: ECOPlan, block: Block) -> Questions:
    """One flip a question: the present image first, then flips as each search goes."""
    search = _Search(plan, block)
    rows = block.rows()
    if plan.incumbent == "stale":
        yield from search.look(rows)
    while len(rows := block.rows()):
        search.settle(rows)
        if plan.incumbent == "stale":
            # Each search begins with a fresh look at the image.
            unseen = rows[search.unseen[rows]]
            if len(unseen):
                yield from search.look(unseen)
                rows = block.alive(rows)
        yield from search.flip(rows)


class _Search:
    """Where each image's search stands: all move in lockstep, a question a turn.

    Moon, An & Song 2019, algorithms 1 to 3. The working set holds the blocks at +eps;
    the search of a batch of blocks inserts greedily, then deletes greedily. A queue of
    upper bounds makes it lazy: the gain of the first in the queue is asked anew, and
    it is taken if it still is the first. A pass over a batch first asks for the gain of
    each candidate (`todo`), so that the first to be taken needs no second question.
    The released code takes that one even where it harms; here it must not.
    """

    def __init__(self, plan: ECOPlan, block: Block) -> None:
        self.plan, self.block = plan, block
        n, device = len(block), block.origin.device
        maps = [_grid(block.shape, side) for side in plan.sides]
        self.maps = torch.stack(maps).to(device)
        self.sizes = self.maps.amax(1) + 1
        place = torch.arange(self.maps.shape[1], device=device).expand_as(self.maps)
        # The first pixel of each block.
        last = torch.full_like(self.maps, self.maps.shape[1] - 1)
        self.corners = last.scatter_reduce(1, self.maps, place, "amin")
        self.batch = min(plan.batch, int(self.sizes.max()))
        self.sign = -torch.ones_like(block.origin).flatten(1)
        self.loss = torch.full((n,), -torch.inf, dtype=torch.float64, device=device)
        self.count = torch.zeros_like(self.loss)
        zero = torch.zeros(n, dtype=torch.int64, device=device)
        # Passes begun, batches of this pass, and whether blocks go in (0) or out (1).
        self.turn, self.part, self.out = zero.clone(), zero.clone(), zero.clone()
        self.order = zero[:, None].repeat(1, int(self.sizes.max()))
        self.todo = torch.zeros(n, self.batch, dtype=torch.bool, device=device)
        self.gain = self.loss[:, None].repeat(1, self.batch)
        # Whether the search has taken its first block, and has seen its image.
        self.begun = torch.zeros(n, dtype=torch.bool, device=device)
        self.unseen = self.begun.clone()
        self._shuffle(block.rows())
        self._open(block.rows())

    # -- questions -------------------------------------------------------------------

    def look(self, rows: Tensor) -> Generator[Ask, Answers, None]:
        """Ask about the present images."""
        answers = yield Ask(self._image(self.sign[rows], rows), rows, submit=True)
        self.loss[rows] = self.block.loss(answers, rows)
        self.unseen[rows] = False

    def flip(self, rows: Tensor) -> Generator[Ask, Answers, None]:
        """Ask what one flip is worth, and take it or put it back into the queue."""
        scanning = self.todo[rows].any(1)
        first = self.todo[rows].to(torch.uint8).argmax(1)
        place = torch.where(scanning, first, self.gain[rows].argmax(1))
        flipped = self._flipped(rows, place)
        x = self._image(flipped, rows)
        if self.plan.incumbent == "stale":
            answers = yield Ask(x, rows, submit=True)
            new, old = self.block.loss(answers, rows), self.loss[rows]
        else:
            x = torch.stack((x, self._image(self.sign[rows], rows)), 1).flatten(0, 1)
            known = self.loss[rows].isfinite()
            again = torch.stack((torch.zeros_like(known), known), 1).flatten()
            answers = yield Ask(x, rows, 2, submit=True, again=again)
            new, old = self.block.loss(answers, rows, 2).view(-1, 2).unbind(1)
            if self.plan.incumbent == "mean":
                count = self.count[rows]
                known = torch.where(count > 0.0, self.loss[rows], 0.0)
                old = (known * count + old) / (count + 1.0)
                self.count[rows] = count + 1.0
            self.loss[rows] = old
        gain = new - old
        self.todo[rows, place] = False
        self.gain[rows, place] = -torch.inf
        # The first still, or no better than others: among the scanned it only queues.
        first_still = ~scanning & (gain >= self.gain[rows].amax(1))
        queue = ~first_still
        self.gain[rows[queue], place[queue]] = gain[queue]
        taken, over = first_still & (gain >= 0.0), first_still & (gain < 0.0)
        self.sign[rows[taken]] = flipped[taken]
        self.loss[rows[taken]], self.count[rows[taken]] = new[taken], 0.0
        self.gain[rows[over]] = -torch.inf

    def settle(self, rows: Tensor) -> None:
        """Do what needs no question, until each image has one to ask."""
        while len(rows):
            # All were looked at: the best of them is taken by its gain.
            top, place = self.gain[rows].max(1)
            ready = ~self.todo[rows].any(1) & ~self.begun[rows]
            took = ready & (top >= 0.0)
            some, at = rows[took], place[took]
            self.sign[some] = self._flipped(some, at)
            self.loss[some] += top[took]
            self.count[some] = 0.0
            self.gain[some, at] = -torch.inf
            self.gain[rows[ready & ~took]] = -torch.inf
            self.begun[rows[ready]] = True
            idle = ~self.todo[rows].any(1) & ~self.gain[rows].isfinite().any(1)
            rows = rows[idle]
            self._next(rows)

    # -- steps -----------------------------------------------------------------------

    def _next(self, rows: Tensor) -> None:
        """From inserting to deleting, to the next batch, to the next pass."""
        done = self.out[rows] == 1
        self.out[rows] = torch.where(done, 0, 1)
        self.part[rows] += done
        self.unseen[rows] |= done
        size = self.sizes[self._level(rows)]
        passed = rows[self.part[rows] * self.batch >= size]
        self.part[passed] = 0
        self.turn[passed] += 1
        self._shuffle(passed)
        self._open(rows)

    def _open(self, rows: Tensor) -> None:
        """The candidates of a search."""
        level = self._level(rows)
        place = self.part[rows][:, None] * self.batch + torch.arange(
            self.batch, device=rows.device
        )
        real = place < self.sizes[level][:, None]
        which = self.order[rows[:, None], place.clamp_max(self.order.shape[1] - 1)]
        # A block's sign is that of its first pixel.
        corner = self.corners[level[:, None], which]
        inside = self.sign[rows[:, None], corner] > 0.0
        self.todo[rows] = real & (inside == (self.out[rows] == 1)[:, None])
        self.gain[rows] = -torch.inf
        # Under noise the best of many gains was a lucky one: it is asked for again.
        self.begun[rows] = self.plan.incumbent != "stale"

    def _shuffle(self, rows: Tensor) -> None:
        """A new order of the blocks."""
        if not len(rows):
            return
        most = self.order.shape[1]
        u = self.block.uniforms("eco/order", self.turn[rows], (most,), rows)
        # Blocks that this level does not have come last.
        number = torch.arange(most, device=u.device)
        absent = number >= self.sizes[self._level(rows)][:, None]
        self.order[rows] = (u.double() + absent).argsort(dim=1, stable=True)

    def _level(self, rows: Tensor) -> Tensor:
        return self.turn[rows].clamp_max(len(self.sizes) - 1)

    def _flipped(self, rows: Tensor, place: Tensor) -> Tensor:
        """Signs with one block flipped, by its place in the batch."""
        which = self.order[rows, self.part[rows] * self.batch + place]
        mask = self.maps[self._level(rows)] == which[:, None]
        return torch.where(mask, -self.sign[rows], self.sign[rows])

    def _image(self, sign: Tensor, rows: Tensor) -> Tensor:
        moved = self.plan.eps * sign.view(-1, *self.block.shape)
        return self.block.project(self.block.origin[rows] + moved, rows)


def _grid(shape: torch.Size, side: int) -> Tensor:
    """``(D,)`` the number of each pixel's block; blocks are of one channel."""
    channels, height, width = shape
    i, j = torch.arange(height) // side, torch.arange(width) // side
    place = i[:, None] * (-(-width // side)) + j
    # Channels of one place follow one another.
    return (place * channels + torch.arange(channels)[:, None, None]).flatten()


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # 4 on CIFAR-10, 32 on ImageNet.
    return {"block": 4 if min(shape[-2:]) <= 64 else 32}


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Blocks large enough for a flip to be worth more than the noise, and short
    # searches, each of which begins with a fresh look.
    side = max(2, min(shape[-2:]) // 8)
    return {"block": 2 * side, "finest": side, "batch": 8}


ATTACK = Attack(
    name="eco",
    engine=engine,
    plan=ECOPlan,
    access="scores",
    norms=("Linf",),
    targeted=True,
    source=(
        "Moon, An & Song 2019, Parsimonious Black-Box Adversarial Attacks via "
        "Efficient Combinatorial Optimization"
    ),
    about="signs of blocks by lazy local search, then finer",
    published=_published,
    adaptive=_adaptive,
)
