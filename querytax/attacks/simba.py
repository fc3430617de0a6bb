"""SimBA: one step along one basis vector a question, in pixels or in cosines."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks.block import Block, Questions
from querytax.attacks.incumbent import Incumbent
from querytax.attacks.table import Attack
from querytax.plans import POLICIES, Plan

__all__ = [
    "ATTACK",
    "SimBADCTPlan",
    "SimBAPlan",
    "cosines",
    "engine",
    "engine_dct",
]


@dataclass(frozen=True)
class SimBAPlan(Plan):
    """Steps of fixed length along pixels in random order, none twice in a pass.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is ``ce`` unless told otherwise.
    step : float
        Euclidean length of a step, > 0; what leaves the budget is cut off.
    block : int
        Side of the squares of pixels that a step moves together; 1 is single pixels.
    incumbent : {"stale", "requery", "mean", "turning"}
    """

    attack: ClassVar[str] = "simba"

    loss: str = "ce"
    step: float = 0.2
    block: int = 1
    incumbent: str = "stale"

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(step=self.step)
        object.__setattr__(self, "block", int(expect.count(block=self.block)))
        expect.one_of(POLICIES, incumbent=self.incumbent)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return 1 if self.incumbent in ("stale", "turning") else 2


@dataclass(frozen=True)
class SimBADCTPlan(Plan):
    """Steps of fixed length along cosines, the low frequencies first.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is ``ce`` unless told otherwise.
    step : float
        Euclidean length of a step, > 0; what leaves the budget is cut off.
    lowest : int
        Side of the square of frequencies to begin with, in random order; 0 for all.
    stride : int
        By how much its side grows when they are exhausted; 0 begins them anew.
    incumbent : {"stale", "requery", "mean", "turning"}
    """

    attack: ClassVar[str] = "simbadct"
    planar: ClassVar[bool] = True

    loss: str = "ce"
    step: float = 0.2
    lowest: int = 28
    stride: int = 7
    incumbent: str = "stale"

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(step=self.step)
        for name in ("lowest", "stride"):
            value = int(expect.count(0, **{name: getattr(self, name)}))
            object.__setattr__(self, name, value)
        expect.one_of(POLICIES, incumbent=self.incumbent)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return 1 if self.incumbent in ("stale", "turning") else 2


def engine(plan: SimBAPlan, block: Block) -> Questions:
    """Pixels, or squares of them."""
    if plan.block == 1:
        bands = torch.zeros(block.dimension, dtype=torch.float64)

        def vectors(which: Tensor) -> Tensor:
            z = block.origin.new_zeros(len(which), block.dimension)
            return z.scatter_(1, which[:, None], 1.0).view(-1, *block.shape)

    else:
        channels, height, width = _image(block)
        side = plan.block
        down, across = -(-height // side), -(-width // side)
        bands = torch.zeros(channels * down * across, dtype=torch.float64)

        def vectors(which: Tensor) -> Tensor:
            z = block.origin.new_zeros(len(which), len(bands))
            z = z.scatter_(1, which[:, None], 1.0 / side)
            z = z.view(-1, channels, down, across)
            z = z.repeat_interleave(side, 2).repeat_interleave(side, 3)
            return z[:, :, :height, :width]

    yield from _walk(block, plan, bands, vectors)


def engine_dct(plan: SimBADCTPlan, block: Block) -> Questions:
    """Cosines of one channel."""
    channels, height, width = _image(block)
    down, across = (cosines(n).to(block.origin) for n in (height, width))
    i, j = torch.arange(height), torch.arange(width)
    beyond = torch.maximum(i[:, None], j).double() + 1.0 - (plan.lowest or torch.inf)
    # Guo et al. 2019, section 3.3: the lowest frequencies, then a band more at a time.
    if plan.stride:
        bands = (beyond / plan.stride).clamp_min(0.0).ceil()
    else:
        bands = torch.where(beyond > 0.0, torch.inf, 0.0).double()

    def vectors(which: Tensor) -> Tensor:
        channel, place = which // (height * width), which % (height * width)
        wave = down[place // width][:, :, None] * across[place % width][:, None]
        hot = torch.nn.functional.one_hot(channel, channels).to(wave)
        return hot[:, :, None, None] * wave[:, None]

    yield from _walk(block, plan, bands.expand(channels, -1, -1).flatten(), vectors)


def _walk(
    block: Block,
    plan: SimBAPlan | SimBADCTPlan,
    bands: Tensor,
    vectors: Callable[[Tensor], Tensor],
) -> Questions:
    """Forth along each vector, else back along it, else not at all.

    Vectors come by bands, in random order within one; bands at infinity never.
    """
    bands = bands.to(block.origin.device)
    size = int(bands.isfinite().sum())
    best = Incumbent(block, block.origin, plan.incumbent)
    count = torch.zeros(len(block), dtype=torch.int64, device=bands.device)
    back = torch.zeros_like(count, dtype=torch.bool)
    order = count[:, None].repeat(1, size)

    def shuffle(rows: Tensor) -> None:
        u = block.uniforms(plan.attack, count[rows] // size, (len(bands),), rows)
        order[rows] = (bands + u.double()).argsort(dim=1, stable=True)[:, :size]

    shuffle(block.rows())
    yield from best.first(block.rows())
    while len(rows := block.rows()):
        # Guo et al. 2019, algorithm 1. After all vectors the published attack ends;
        # here another pass begins, in another order.
        sign = torch.where(back[rows], -plan.step, plan.step).to(best.x)
        move = vectors(order[rows, count[rows] % size])
        x = best.x[rows] + sign.view(-1, *(1,) * len(block.shape)) * move
        won = yield from best.challenge(rows, block.project(x, rows))
        done = won | back[rows]
        back[rows] = ~done
        count[rows] += done
        passed = block.alive(rows[done & (count[rows] % size == 0)])
        if len(passed):
            shuffle(passed)


def cosines(n: int) -> Tensor:
    """``(n, n)`` float64: orthonormal cosines, one frequency a row (DCT-II)."""
    k = torch.arange(n, dtype=torch.float64)
    waves = (math.pi / n * k[:, None] * (k + 0.5)).cos() * math.sqrt(2.0 / n)
    waves[0] *= math.sqrt(0.5)
    return waves


def _image(block: Block) -> tuple[int, int, int]:
    channels, height, width = block.shape
    return channels, height, width


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # A step from one face of the budget to the other, on squares: few large changes.
    side = max(2, min(shape[-2:]) // 4) if len(shape) == 3 else 1
    step = 2.0 * eps * side if norm == "Linf" else 0.5 * eps
    return {"loss": "margin", "block": side, "step": step, "incumbent": "requery"}


def _published_dct(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # 28 and 7 of 224 on ImageNet.
    side = min(shape[-2:])
    return {"lowest": max(1, side // 8), "stride": max(1, side // 32)}


def _adaptive_dct(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    side = min(shape[-2:])
    step = 2.0 * eps * side if norm == "Linf" else 0.5 * eps
    return {
        "loss": "margin",
        "lowest": max(3, side // 8),
        "stride": 0,
        "step": step,
        "incumbent": "requery",
    }


_SOURCE = (
    "Guo, Gardner, You, Wilson & Weinberger 2019, Simple Black-box Adversarial Attacks"
)

ATTACK = {
    "simba": Attack(
        name="simba",
        engine=engine,
        plan=SimBAPlan,
        access="scores",
        norms=("Linf", "L2"),
        targeted=True,
        source=_SOURCE,
        about="one pixel a question, forth or back",
        adaptive=_adaptive,
    ),
    "simbadct": Attack(
        name="simbadct",
        engine=engine_dct,
        plan=SimBADCTPlan,
        access="scores",
        norms=("Linf", "L2"),
        targeted=True,
        source=_SOURCE,
        about="one cosine a question, low frequencies first",
        published=_published_dct,
        adaptive=_adaptive_dct,
    ),
}
