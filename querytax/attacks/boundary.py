"""Boundary attack: a random walk along the boundary, ever nearer to the origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.boundary_search import bisect, starting_points
from querytax.attacks.nes import directions
from querytax.attacks.table import Attack
from querytax.plans import Plan

__all__ = ["ATTACK", "BoundaryPlan", "engine"]


@dataclass(frozen=True)
class BoundaryPlan(Plan):
    """Orthogonal steps on the sphere around the origin, then steps towards it.

    Attributes
    ----------
    eps, norm, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is not used.
    orthogonal : float
        First length of the orthogonal step, a share of the distance (delta).
    towards : float
        First length of the step to the origin, a share of the distance (epsilon).
    factor : float
        By which a length grows or shrinks, above 1.
    every : int
        Steps from one look at the orthogonal step alone to the next.
    window : int
        Looks at the orthogonal step that its length is judged by.
    step_window : int
        Looks at the whole step that the length to the origin is judged by.
    tolerance : float
        Share of the way at which the bisection of the start ends.
    block : int
        Side of the squares of pixels that an orthogonal step moves together.
    floor : bool
        Whether no steps to the origin are taken inside the budget: there is nothing
        to win there, but under noise a lucky answer to be fooled by.
    retreat : float
        Share by which the distance grows whenever the image, asked about again before
        each step, is not adversarial; 0 never asks again.
    """

    attack: ClassVar[str] = "boundary"

    norm: str = "L2"
    orthogonal: float = 0.01
    towards: float = 0.01
    factor: float = 1.5
    every: int = 10
    window: int = 100
    step_window: int = 30
    tolerance: float = 0.01
    block: int = 1
    floor: bool = False
    retreat: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(orthogonal=self.orthogonal)
        expect.positive(towards=self.towards)
        expect.that(self.factor > 1.0, "above 1", factor=self.factor)
        expect.positive(tolerance=self.tolerance)
        expect.nonnegative(retreat=self.retreat)
        for name in ("every", "window", "step_window", "block"):
            whole = int(expect.count(**{name: getattr(self, name)}))
            object.__setattr__(self, name, whole)


def engine(plan: BoundaryPlan, block: Block) -> Questions:
    """A start near the boundary, then one step a question."""
    x = yield from starting_points(block, "boundary")
    rows = block.rows()
    x[rows] = yield from bisect(block, rows, x[rows], plan.tolerance)
    n = len(block)
    like: dict[str, Any] = {"dtype": x.dtype, "device": x.device}
    orthogonal = torch.full((n,), plan.orthogonal, **like)
    towards = torch.full((n,), plan.towards, **like)
    # Brendel et al. 2018, section 2.3, with the numbers of their published code: the
    # last answers to looks at the orthogonal step alone, and at the whole step.
    alone = _Rate(n, plan.window, 0.2, 0.5, like)
    whole = _Rate(n, plan.step_window, 0.1, 0.25, like)
    step = 0
    while len(rows := block.rows()):
        if plan.retreat:
            answers = yield Ask(x[rows], rows, submit=block.inside(x[rows], rows))
            lost = rows[~block.fooled(answers, rows)]
            grown = (1.0 + plan.retreat) * (x[lost] - block.origin[lost])
            x[lost] = (block.origin[lost] + grown).clamp(0.0, 1.0)
            if not len(rows := block.alive(rows)):
                return
        origin = block.origin[rows]
        away = x[rows] - origin
        size = ball.lengths(away)
        # Section 2.2: a normal step, made orthogonal, of relative length delta,
        eta = directions(block, "boundary", step, 1, plan.block, rows)[:, 0]
        dot = (eta * away).flatten(1).sum(1) / size.square()
        eta = eta - ball.shaped(dot, eta) * away
        share = orthogonal[rows] * size / ball.lengths(eta)
        aside = away + ball.shaped(share, eta) * eta
        # back on the sphere, and inside [0, 1];
        aside = aside * ball.shaped((1.0 + orthogonal[rows].square()).rsqrt(), aside)
        around = (origin + aside).clamp(0.0, 1.0)
        # then to the origin, to relative distance 1 - epsilon.
        there = ball.lengths(around - origin)
        goal = size * (1.0 - towards[rows])
        if plan.floor:
            at_goal = block.inside(x[rows], rows)
            goal = torch.where(at_goal, size, goal)
        ratio = (goal / there).clamp(0.0, 1.0)
        proposal = origin + ball.shaped(ratio, around) * (around - origin)
        # Every so often the orthogonal step is looked at alone, a question before.
        look = step % plan.every == 0
        if look:
            inside = block.inside(around, rows)
            answers = yield Ask(around, rows, submit=inside)
            alone.add(rows, block.fooled(answers, rows))
        some = block.running[rows]
        rows, proposal = rows[some], proposal[some]
        if not len(rows):
            return
        inside = block.inside(proposal, rows)
        answers = yield Ask(proposal, rows, submit=inside)
        fooled = block.fooled(answers, rows)
        x[rows[fooled]] = proposal[fooled]
        step += 1
        if not look:
            continue
        whole.add(rows, fooled)
        # The length to the origin follows both rates, the orthogonal one its own.
        first, second = plan.factor ** alone.verdict(), plan.factor ** whole.verdict()
        orthogonal = orthogonal * first
        towards = (towards * first * second).clamp_max(0.9)


class _Rate:
    """The last answers of each image, until they call for another length."""

    def __init__(
        self, n: int, window: int, low: float, high: float, like: dict[str, Any]
    ) -> None:
        self.low, self.high = low, high
        self.hits = torch.zeros(n, window, **like)
        self.count = torch.zeros(n, dtype=torch.int64, device=like["device"])

    def add(self, rows: Tensor, fooled: Tensor) -> None:
        count = self.count[rows]
        at = count % self.hits.shape[1]
        self.hits[rows, at] = fooled.to(self.hits.dtype)
        self.count[rows] = count + 1

    def verdict(self) -> Tensor:
        """1 where too many are adversarial, -1 where too few; those begin anew."""
        full, rate = self.count >= self.hits.shape[1], self.hits.mean(1)
        more, less = full & (rate > self.high), full & (rate < self.low)
        self.count[more | less] = 0
        return more.to(rate.dtype) - less.to(rate.dtype)


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "orthogonal": 0.3,
        "towards": 0.05,
        "every": 5,
        "window": 10,
        "step_window": 10,
        "floor": True,
        "retreat": 0.05,
    }


ATTACK = Attack(
    name="boundary",
    engine=engine,
    plan=BoundaryPlan,
    access="labels",
    norms=("L2",),
    targeted=True,
    source=(
        "Brendel, Rauber & Bethge 2018, Decision-Based Adversarial Attacks: Reliable "
        "Attacks Against Black-Box Machine Learning Models"
    ),
    about="a random walk along the boundary towards the origin",
    adaptive=_adaptive,
)
