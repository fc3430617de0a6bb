"""Sign-OPT: the distance along a direction, its gradient from one label a direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks import directional
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.nes import directions
from querytax.attacks.table import Attack

__all__ = ["ATTACK", "SignOPTPlan", "engine"]


@dataclass(frozen=True)
class SignOPTPlan(directional.DirectionalPlan):
    """Signs of directional derivatives at one question each, then a line search.

    Attributes
    ----------
    directions, alpha, beta, finer, tries, coarse, tolerance, stride, ...
        As in :class:`querytax.attacks.directional.DirectionalPlan`.
    outset : float
        Share of the length by which probes lie further out: wide ones are hardly
        ever nearer, and equal answers say nothing.
    centred : bool
        Whether the mean answer is taken off the signs.
    """

    attack: ClassVar[str] = "signopt"

    directions: int = 200
    outset: float = 0.0
    centred: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.nonnegative(outset=self.outset)


def engine(plan: SignOPTPlan, block: Block) -> Questions:
    """A first direction, then a gradient estimate and a line search in turn."""
    floor = plan.eps if plan.floor else 0.0
    theta, g = yield from directional.first(
        block,
        "signopt/start",
        plan.tries,
        tolerance=plan.coarse,
        signs=plan.signs,
        floor=floor,
    )
    alpha, beta = torch.full_like(g, plan.alpha), torch.full_like(g, plan.beta)
    gradient = torch.zeros_like(theta)
    times = torch.zeros(len(g), dtype=torch.int64, device=g.device)
    count, step = plan.directions, 0
    while len(rows := block.rows()):
        if plan.retreat:
            yield from directional.ask_again(block, rows, theta, g, plan.retreat)
            if not len(rows := block.alive(rows)):
                return
        # Cheng et al. 2020, eq. (6): is the boundary nearer that way? One question
        # at the known length says so.
        u = _unit(directions(block, "signopt", step, count, plan.block, rows), plan)
        probe = beta[rows].to(u.dtype).view(-1, *(1,) * (u.ndim - 1)) * u
        near = directional.unit((theta[rows, None] + probe).flatten(0, 1), plan.norm)
        length = ((1.0 + plan.outset) * g[rows]).repeat_interleave(count)
        x = directional.along(block, rows.repeat_interleave(count), near, length)
        inside = block.inside(x, rows, count)
        answers = yield Ask(x, rows, count, inside)
        nearer = block.fooled(answers, rows, count).view(-1, 1, count)
        sign = torch.where(nearer, -1.0, 1.0).to(u.dtype) / count
        if plan.centred:
            sign = sign - sign.mean(2, keepdim=True)
        gradient[rows] = torch.bmm(sign, u.flatten(2)).view(-1, *block.shape)
        yield from directional.descend(
            block,
            block.alive(rows),
            theta,
            g,
            gradient,
            alpha,
            plan.tolerance * beta,
            trials=plan.trials,
            clip=plan.clip,
            stride=plan.stride,
            floor=floor,
            hopeless=plan.hopeless,
        )
        # Where it does not move any more: finer probes, as in their published code,
        # which gives up after the fifth.
        stuck = alpha < 1e-4
        alpha[stuck], beta[stuck] = 1.0, plan.finer * beta[stuck]
        if plan.restart:
            yield from directional.begin_anew(
                block,
                "signopt/again",
                block.alive(rows[stuck[rows]]),
                theta,
                g,
                times,
                plan.coarse,
                stride=plan.stride,
                floor=floor,
            )
        block.drop(block.alive(rows[beta[rows] < 1e-8]), "converged")
        step += 1


def _unit(u: Tensor, plan: SignOPTPlan) -> Tensor:
    return directional.unit(u.flatten(0, 1), plan.norm).view_as(u)


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Probes wide enough to change labels, few of them, and short coarse searches.
    return {
        "directions": 20,
        "alpha": 2.0,
        "beta": 0.5,
        "tolerance": 0.05,
        "stride": 0.1,
        "finer": 1.0,
        "centred": True,
        "outset": 0.3,
        "coarse": 0.1 * eps,
        "trials": 2,
        "clip": norm == "Linf",
        "hopeless": True,
        "signs": norm == "Linf",
        "restart": True,
        "floor": True,
        "retreat": 0.1,
        "tries": 20,
    }


ATTACK = Attack(
    name="signopt",
    engine=engine,
    plan=SignOPTPlan,
    access="labels",
    norms=("L2", "Linf"),
    targeted=True,
    source=(
        "Cheng, Singh, Chen, Chen, Liu & Hsieh 2020, Sign-OPT: A Query-Efficient "
        "Hard-label Adversarial Attack"
    ),
    about="signs of the boundary distance's slope, one label each",
    adaptive=_adaptive,
)
