"""GeoDA: normals of the boundary in a low-frequency subspace, and lines along them."""

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
    starting_points,
    unit,
)
from querytax.attacks.table import Attack
from querytax.plans import Plan

__all__ = ["ATTACK", "GeoDAPlan", "engine", "waves"]

# A line that meets nothing adversarial so many steps out is given up.
_REACHES = 20


@dataclass(frozen=True)
class GeoDAPlan(Plan):
    """Steps from the origin itself along an estimate of the boundary's normal.

    Attributes
    ----------
    eps, norm, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is not used.
    subspace : int
        Lowest frequencies along either side of the image that probes are made of.
    probe : float
        Standard deviation of each coefficient of a probe.
    initial : int
        Questions about the first normal.
    ratio : float
        The i-th takes ``ratio^(-2 i / 3)`` times that (lambda), in (0, 1].
    horizon : int
        Questions about normals after which the attack begins again from a new start.
    tolerance : float
        Of the bisection, in L2 distance for L2 and in Linf distance for Linf.
    asks : int
        How often each question of a line is asked; the majority counts. Odd.
    edge : bool
        Whether each iteration also hands in two images at the budget's edge: on the
        way to the iterate, and straight along the normal.
    """

    attack: ClassVar[str] = "geoda"

    subspace: int = 10
    probe: float = 2e-4
    initial: int = 65
    ratio: float = 0.6
    horizon: int = 4000
    tolerance: float = 1e-4
    asks: int = 1
    edge: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("subspace", "initial", "horizon", "asks"):
            value = int(expect.count(**{name: getattr(self, name)}))
            object.__setattr__(self, name, value)
        expect.that(self.asks % 2 == 1, "odd", asks=self.asks)
        expect.positive(probe=self.probe)
        expect.that(0.0 < self.ratio <= 1.0, "in (0, 1]", ratio=self.ratio)
        expect.positive(tolerance=self.tolerance)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return max(TURN, self.asks)

    def allocation(self) -> list[int]:
        """Questions about the normals from one start, at least one of them."""
        # Rahmati et al. 2020, eq. (14). The published code chooses the number of
        # normals so that the first takes 50 to 80 questions: here it takes `initial`.
        counts = [self.initial]
        while True:
            share = self.ratio ** (-2.0 * len(counts) / 3.0)
            counts.append(round(self.initial * share))
            if sum(counts) > self.horizon:
                return counts[:-1]


def engine(plan: GeoDAPlan, block: Block) -> Questions:
    """Rahmati et al. 2020, Algorithm 1."""
    basis = [waves(size, plan.subspace, block.origin) for size in block.shape[-2:]]
    allocation = plan.allocation()
    x, gradient = block.origin.clone(), torch.zeros_like(block.origin)
    turn = 0
    while len(rows := block.rows()):
        i, again = turn % len(allocation), turn // len(allocation)
        if i == 0:
            gradient.zero_()
            x = yield from starting_points(block, f"geoda/{again}")
            rows = block.rows()
            x[rows] = yield from _reached(plan, block, rows, x[rows])
        count = torch.full_like(rows, allocation[i])
        size = torch.full_like(x[rows].flatten(1)[:, 0], plan.probe)
        draw = partial(_drawn, block, basis, turn)
        # Section 3.1. Estimates are added up over the iterations: published code.
        gradient[rows] += yield from normal(
            block, rows, x[rows], count, size, draw, baseline=False
        )
        direction = unit(block, gradient[rows])
        if plan.edge:
            yield from handed_in(block, rows, x[rows], direction)
        live = block.running[rows]
        rows, direction = rows[live], direction[live]
        found, at = yield from _ahead(plan, block, rows, x[rows], direction)
        x[rows[found]] = yield from _reached(plan, block, rows[found], at[found])
        turn += 1


def waves(size: int, count: int, like: Tensor) -> Tensor:
    """``(size, count)`` orthonormal cosines, from the lowest frequency on."""
    place = torch.arange(size, dtype=torch.float64) + 0.5
    wave = torch.arange(min(count, size), dtype=torch.float64)
    basis = (place[:, None] * wave * (math.pi / size)).cos() * math.sqrt(2.0 / size)
    basis[:, 0] *= math.sqrt(0.5)
    return basis.to(like)


def _drawn(
    block: Block, basis: list[Tensor], turn: int, part: int, rows: Tensor
) -> Tensor:
    """``(R, TURN, *shape)`` random sums of the lowest waves."""
    shape = (TURN, *block.shape[: -len(basis)], *(b.shape[1] for b in basis))
    u = block.normals(f"geoda/probes{part}", turn, shape, rows) @ basis[-1].T
    return u if len(basis) == 1 else basis[0] @ u


def _ahead(
    plan: GeoDAPlan, block: Block, rows: Tensor, x: Tensor, direction: Tensor
) -> Generator[Ask, Answers, tuple[Tensor, Tensor]]:
    """Which images were found adversarial along the normal, ``(R,)``, and those."""
    # Section 3.1, the least r > 0 that is adversarial. The published code goes out in
    # steps of a fixed length; here each is 1.25 times the last, from the distance that
    # was reached before.
    reach = block.distance(x, rows)
    found, at = torch.zeros_like(rows, dtype=torch.bool), x.clone()
    for _ in range(_REACHES):
        open_ = (~found & block.running[rows]).nonzero()[:, 0]
        if not len(open_):
            break
        move = ball.shaped(reach[open_], x) * direction[open_]
        at[open_] = (block.origin[rows[open_]] + move).clamp_(0.0, 1.0)
        found[open_] = yield from adversarial(block, rows[open_], at[open_], plan.asks)
        reach = reach * 1.25
    return found, at


def _reached(
    plan: GeoDAPlan, block: Block, rows: Tensor, x: Tensor
) -> Generator[Ask, Answers, Tensor]:
    """The boundary on the way to adversarial images, to the plan's tolerance."""
    if not len(rows):
        return x
    # One share for all: no image's tolerance may depend on the others.
    most = block.dimension**0.5 if plan.norm == "L2" else 1.0
    share = plan.tolerance / most
    return (yield from bisect(block, rows, x, share, asks=plan.asks))


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Published code: 75 frequencies of 224.
    return {"subspace": max(2, round(min(shape[-2:]) * 75 / 224))}


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Labels far from the boundary are not noisy: long probes, and sums over them.
    own = _published(eps, norm, shape)
    dimension = math.prod(shape[:-2]) * own["subspace"] ** 2
    size = 0.5 * eps * (math.prod(shape) ** 0.5 if norm == "Linf" else 1.0)
    return {
        **own,
        "probe": size / dimension**0.5,
        "initial": 25,
        "horizon": 400,
        "tolerance": 0.02 * (1.0 if norm == "Linf" else math.prod(shape) ** 0.5),
        "edge": True,
    }


ATTACK = Attack(
    name="geoda",
    engine=engine,
    plan=GeoDAPlan,
    access="labels",
    norms=("Linf", "L2"),
    targeted=False,
    source=(
        "Rahmati, Moosavi-Dezfooli, Frossard & Dai 2020, GeoDA: a geometric framework "
        "for black-box adversarial attacks"
    ),
    about="normals in a low-frequency subspace, steps along them",
    published=_published,
    adaptive=_adaptive,
)
