"""Uniform noise in the budget, handed in without any feedback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.table import Attack
from querytax.plans import Plan

__all__ = ["ATTACK", "UniformPlan", "drawn", "engine"]

PLACES = ("ball", "surface")


@dataclass(frozen=True)
class UniformPlan(Plan):
    """Random images of the budget; each is handed in once, and nothing is learned.

    Attributes
    ----------
    eps, norm, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is not used.
    place : {"ball", "surface"}
        Anywhere in the ball; or as far out as it goes, which is its sphere for L2 and
        its corners, one sign a pixel, for Linf.
    """

    attack: ClassVar[str] = "uniform"

    place: str = "ball"

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.one_of(PLACES, place=self.place)


def engine(plan: UniformPlan, block: Block) -> Questions:
    """One draw a question."""
    step = 0
    while len(rows := block.rows()):
        x = drawn(block, "uniform", step, rows, plan.place)
        yield Ask(x, rows, submit=True)
        step += 1


def drawn(
    block: Block, name: str, step: int, rows: Tensor, place: str = "ball"
) -> Tensor:
    """Images ``(R, *shape)`` drawn from the balls around the origins, cut to [0, 1]."""
    eps, shape, origin = block.plan.eps, tuple(block.shape), block.origin[rows]
    if block.plan.norm == "L2":
        away = block.normals(name, step, shape, rows)
        size = eps / ball.lengths(away)
        if place == "ball":
            # Volume grows as radius ** dimension.
            share = block.uniforms(f"{name}/radius", step, (1,), rows)[:, 0]
            size = size * share ** (1.0 / block.dimension)
        away = away * ball.shaped(size, away)
    elif place == "ball":
        away = eps * (2.0 * block.uniforms(name, step, shape, rows) - 1.0)
    else:
        away = eps * block.signs(name, step, shape, rows)
    return block.project(origin + away, rows)


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Nothing is learned, so nothing is lost to noise: as far out as the budget goes.
    return {"place": "surface"}


ATTACK = Attack(
    name="uniform",
    engine=engine,
    plan=UniformPlan,
    access="labels",
    norms=("Linf", "L2"),
    targeted=True,
    source="no feedback; uniform noise in the ball, the floor of all attacks",
    about="uniform noise in the budget, no feedback",
    adaptive=_adaptive,
)
