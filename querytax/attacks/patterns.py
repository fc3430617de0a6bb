"""Blind patterns: stripes, blocks and waves of +-eps, handed in without feedback."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.table import Attack
from querytax.plans import Plan

__all__ = ["ATTACK", "KINDS", "MIXED", "PatternsPlan", "engine", "pattern", "patterned"]

KINDS = ("mixed", "rows", "columns", "blocks", "smooth", "corners", "solid")

# (kind, size, one sign for all channels), in turn: what is left of digits, MNIST,
# Fashion-MNIST and CIFAR-10 falls fastest when the kinds that differ most from those
# before come next. Colour images fall to fine grey patterns, digits to stripes.
MIXED = (
    ("rows", 2, False),
    ("rows", 1, True),
    ("corners", 1, True),
    ("rows", 4, False),
    ("smooth", 4, True),
    ("columns", 1, True),
    ("blocks", 4, False),
    ("corners", 1, True),
    ("rows", 2, False),
    ("smooth", 6, False),
    ("columns", 2, True),
    ("rows", 1, False),
    ("blocks", 8, True),
    ("solid", 1, False),
    ("columns", 4, False),
    ("corners", 1, False),
)


@dataclass(frozen=True)
class PatternsPlan(Plan):
    """Random sign patterns; each is handed in once, and the answer changes nothing.

    Attributes
    ----------
    eps, norm, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is not used.
    kind : {"mixed", "rows", "columns", "blocks", "smooth", "corners", "solid"}
        Stripes; blocks; the signs of low frequencies; a sign for each pixel; one for
        the whole image; or all of them in turn.
    size : int
        Pixels across a stripe; blocks, or frequencies, along a side. Not used by the
        kinds without a size, nor by ``mixed``, which has its own.
    grey : bool
        Whether all channels share their signs; not used by ``mixed``.
    """

    attack: ClassVar[str] = "patterns"

    kind: str = "mixed"
    size: int = 4
    grey: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.one_of(KINDS, kind=self.kind)
        object.__setattr__(self, "size", int(expect.count(size=self.size)))


def engine(plan: PatternsPlan, block: Block) -> Questions:
    """One pattern a question."""
    step = 0
    while len(rows := block.rows()):
        x = patterned(block, plan.kind, step, rows, plan.size, plan.grey)
        yield Ask(x, rows, submit=True)
        step += 1


def patterned(
    block: Block,
    kind: str,
    step: int,
    rows: Tensor,
    size: int = 4,
    grey: bool = False,
) -> Tensor:
    """Images ``(R, *shape)`` under their patterns of a step, as far out as allowed."""
    name = "patterns"
    if kind == "mixed":
        place, step = step % len(MIXED), step // len(MIXED)
        name, (kind, size, grey) = f"patterns/{place}", MIXED[place]
    z = pattern(block, name, kind, step, rows, size, grey)
    origin, eps = block.origin[rows], block.plan.eps
    if block.plan.norm == "Linf":
        return block.project(origin + eps * z, rows)
    # Pixels that [0, 1] stops leave their share of the length to the others.
    x, height = origin, torch.full_like(rows, eps / block.dimension**0.5, dtype=z.dtype)
    for _ in range(4):
        x = (origin + ball.shaped(height, z) * z).clamp(0.0, 1.0)
        height = (height * eps / ball.lengths(x - origin)).clamp_max(1.0)
    return block.project(x, rows)


def pattern(
    block: Block, name: str, kind: str, step: int, rows: Tensor, size: int, grey: bool
) -> Tensor:
    """Sign patterns ``(R, *shape)`` of one kind; ``name`` is that of their draws."""
    height, width = (1, 1, *block.shape)[-2:]
    channels = 1 if grey else block.dimension // (height * width)
    # Along a side of one pixel there are no stripes: they lie across the other.
    if kind in ("rows", "columns") and 1 in (height, width):
        kind = "columns" if height == 1 else "rows"
    down, across = {
        "rows": (-(-height // size), 1),
        "columns": (1, -(-width // size)),
        "blocks": (min(size, height), min(size, width)),
        "smooth": (min(size, height), min(size, width)),
        "corners": (height, width),
        "solid": (1, 1),
    }[kind]
    if kind == "smooth":
        u = block.normals(name, step, (channels, down, across), rows).double()
        z = _waves(height, down, u) @ u @ _waves(width, across, u).T
        z = torch.where(z < 0.0, -1.0, 1.0).to(block.origin.dtype)
    else:
        z = block.signs(name, step, (channels, down, across), rows)
        z = z[:, :, _cells(height, down, size, kind, z)]
        z = z[..., _cells(width, across, size, kind, z)]
    whole = (len(rows), block.dimension // (height * width), height, width)
    return z.expand(whole).reshape(len(rows), *block.shape)


def _cells(length: int, parts: int, size: int, kind: str, like: Tensor) -> Tensor:
    """``(length,)`` the part that each pixel of a side belongs to."""
    place = torch.arange(length, device=like.device)
    if kind in ("rows", "columns") and parts > 1:
        return place // size
    return place * parts // length


def _waves(length: int, count: int, like: Tensor) -> Tensor:
    """``(length, count)`` cosines of the lowest frequencies."""
    place = torch.arange(length, dtype=like.dtype, device=like.device) + 0.5
    frequency = torch.arange(count, dtype=like.dtype, device=like.device)
    return torch.cos(math.pi / length * place[:, None] * frequency)


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Nothing is learned, so noise has nothing to spoil.
    return {}


ATTACK = Attack(
    name="patterns",
    engine=engine,
    plan=PatternsPlan,
    access="labels",
    norms=("Linf", "L2"),
    targeted=True,
    source="no feedback; the stripes are Square's (Andriushchenko et al. 2020)",
    about="random stripes, blocks and waves of +-eps, no feedback",
    adaptive=_adaptive,
)
