"""ZO-signSGD: differences from one base answer, and the sign of their mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.nes import directions
from querytax.attacks.table import Attack
from querytax.plans import Plan

__all__ = ["ATTACK", "ZOSignSGDPlan", "engine"]

DIFFERENCES = ("forward", "central", "mean")


@dataclass(frozen=True)
class ZOSignSGDPlan(Plan):
    """Directions on a sphere, one difference each, and a step of the sign.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is ``ce`` unless told otherwise.
    probe : float
        Length of a probe, root mean square over the pixels. Probes may leave the
        budget.
    directions : int
        Directions a step.
    step : float
        What each pixel moves in a step.
    difference : {"forward", "central", "mean"}
        What a probe's answer is held against: the one answer about the iterate, whose
        noise all directions share; the answer to the opposite probe, another question
        for each direction; or the mean of the step's answers.
    vote : bool
        Whether each direction votes with the sign of its estimate, pixel by pixel.
    block : int
        Side of the squares of pixels that a direction moves together; 1 is white
        noise.
    momentum : float
        Share of the last step's estimate that is added to this one's, in [0, 1).

    Raises
    ------
    DomainError
        If a value is outside its range.
    """

    attack: ClassVar[str] = "zosignsgd"

    loss: str = "ce"
    probe: float = 0.01
    directions: int = 20
    step: float = 0.01
    difference: str = "forward"
    vote: bool = False
    block: int = 1
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(probe=self.probe)
        count = expect.count(directions=self.directions)
        object.__setattr__(self, "directions", int(count))
        expect.positive(step=self.step)
        expect.one_of(DIFFERENCES, difference=self.difference)
        # The mean of one answer leaves nothing.
        few = self.difference == "mean" and self.directions < 2
        expect.that(not few, "at least 2 for the mean", directions=self.directions)
        object.__setattr__(self, "block", int(expect.count(block=self.block)))
        expect.fraction(momentum=self.momentum)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return self.directions * (2 if self.difference == "central" else 1)


def engine(plan: ZOSignSGDPlan, block: Block) -> Questions:
    """The iterate, then the probes around it."""
    x = block.origin.clone()
    memory = torch.zeros_like(x)
    each, step = plan.width, 0
    while len(rows := block.rows()):
        answers = yield Ask(x[rows], rows, submit=True)
        base = x.new_zeros(len(block), dtype=torch.float64)
        base[rows] = block.loss(answers, rows)
        if not len(rows := block.alive(rows)):
            return
        # Liu et al. 2019, section 3: directions on the unit sphere, and a factor d;
        # here their length is sqrt(d), so that a probe is measured per pixel.
        u = directions(block, "zosignsgd", step, plan.directions, plan.block, rows)
        size = ball.lengths(u.flatten(0, 1)) / block.dimension**0.5
        u = u / ball.shaped(size, u.flatten(0, 1)).view(*u.shape[:2], *(1,) * x[0].ndim)
        offset, at = plan.probe * u, x[rows][:, None]
        if plan.difference == "central":
            questions = torch.stack((at + offset, at - offset), 1).flatten(0, 2)
        else:
            questions = (at + offset).flatten(0, 1)
        answers = yield Ask(questions, rows, each, then=1)
        loss = block.loss(answers, rows, each).view(len(rows), -1)
        if plan.difference == "central":
            change = 0.5 * (loss[:, : plan.directions] - loss[:, plan.directions :])
        elif plan.difference == "forward":
            change = loss - base[rows, None]
        else:
            change = loss - loss.mean(1, keepdim=True)
        if plan.vote:
            # Their ZO-M-signSGD: the majority of the directions' signs.
            change, u = change.sign(), u.sign()
        change = change.to(u.dtype) / (plan.probe * plan.directions)
        gradient = torch.bmm(change[:, None], u.flatten(2)).view_as(x[rows])
        if plan.momentum:
            gradient += plan.momentum * memory[rows]
            memory[rows] = gradient
        x[rows] = block.project(x[rows] + plan.step * gradient.sign(), rows)
        step += 1


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # A step for L2 is as long as a tenth of the budget.
    step = 0.01 if norm == "Linf" else 0.1 * eps / math.prod(shape) ** 0.5
    return {"step": min(step, eps)}


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # No base answer whose noise would lean all directions the same way, wide probes,
    # and few dimensions.
    pixel = eps if norm == "Linf" else eps / math.prod(shape) ** 0.5
    return {
        "loss": "margin",
        "probe": 0.5 * pixel,
        "step": 0.25 * pixel,
        "directions": 10,
        "difference": "mean",
        "block": max(2, min(shape[-2:]) // 14) if len(shape) == 3 else 1,
        "momentum": 0.75,
    }


ATTACK = Attack(
    name="zosignsgd",
    engine=engine,
    plan=ZOSignSGDPlan,
    access="scores",
    norms=("Linf", "L2"),
    targeted=True,
    source="Liu, Chen, Chen & Hong 2019, signSGD via Zeroth-Order Oracle",
    about="forward differences from one base, then a sign step",
    published=_published,
    adaptive=_adaptive,
)
