"""OPT: the distance along a direction, and random gradient-free descent on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from querytax import expect
from querytax.attacks import directional
from querytax.attacks.block import Block, Questions
from querytax.attacks.nes import directions
from querytax.attacks.table import Attack

__all__ = ["ATTACK", "OPTPlan", "engine"]


@dataclass(frozen=True)
class OPTPlan(directional.DirectionalPlan):
    """Differences of searched distances along random directions, then a line search.

    Attributes
    ----------
    directions, alpha, beta, finer, tries, coarse, tolerance, stride, ...
        As in :class:`querytax.attacks.directional.DirectionalPlan`.
    reach : float
        Length beyond which a line search does not go.
    """

    attack: ClassVar[str] = "opt"

    reach: float = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(reach=self.reach)


def engine(plan: OPTPlan, block: Block) -> Questions:
    """A first direction, then searched differences and a line search in turn."""
    floor = plan.eps if plan.floor else 0.0
    theta, g = yield from directional.first(
        block,
        "opt/start",
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
        # Cheng et al. 2019, eq. (7) and Algorithm 1, with q directions of length 1 as
        # in their published code.
        u = directions(block, "opt", step, count, plan.block, rows)
        u = directional.unit(u.flatten(0, 1), plan.norm)
        owners = rows.repeat_interleave(count)
        probe = beta[owners].to(u.dtype).view(-1, *(1,) * (u.ndim - 1)) * u
        near = directional.unit(theta[owners] + probe, plan.norm)
        length = yield from directional.distances(
            block,
            owners,
            near,
            g[owners],
            plan.tolerance * beta[owners],
            stride=plan.stride,
            reach=plan.reach,
            # Of probes all lengths count, and below the floor none is believed.
            floor=floor,
        )
        slope = ((length - g[owners]) / (beta[owners] * count)).to(u.dtype)
        # A direction without a boundary has no slope, only a warning.
        slope = slope.nan_to_num(posinf=0.0).view(-1, 1, count)
        flat = u.view(len(rows), count, -1)
        gradient[rows] = torch.bmm(slope, flat).view(-1, *block.shape)
        # The nearest of the probes is a step of its own, where no other goes further.
        nearest, which = length.view(-1, count).min(1)
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
            reach=plan.reach,
            floor=floor,
            hopeless=plan.hopeless,
        )
        probes = near.view(len(rows), count, *block.shape)
        probes = probes[torch.arange(len(rows), device=which.device), which]
        shorter = (nearest < g[rows]) & block.running[rows]
        theta[rows[shorter]], g[rows[shorter]] = probes[shorter], nearest[shorter]
        # Where it does not move any more: finer probes. Their published code gives up
        # after the first such time; here, as in Sign-OPT's, after the fifth.
        stuck = alpha < 1e-4
        alpha[stuck], beta[stuck] = 1.0, plan.finer * beta[stuck]
        step += 1
        if plan.restart:
            yield from directional.begin_anew(
                block,
                "opt/again",
                block.alive(rows[stuck[rows]]),
                theta,
                g,
                times,
                plan.coarse,
                stride=plan.stride,
                floor=floor,
            )
        block.drop(block.alive(rows[beta[rows] < 1e-8]), "converged")


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Probes wide enough to change distances by more than the noise, coarsely searched.
    return {
        "directions": 5,
        "alpha": 2.0,
        "beta": 0.2,
        "finer": 1.0,
        "reach": 1.0 if norm == "Linf" else 20.0,
        "hopeless": True,
        "trials": 2,
        "tries": 20,
        "coarse": 0.1 * eps,
        "tolerance": 0.1 * eps,
        "stride": 0.2,
        "clip": norm == "Linf",
        "signs": norm == "Linf",
        "restart": True,
        "floor": True,
        "retreat": 0.1,
    }


ATTACK = Attack(
    name="opt",
    engine=engine,
    plan=OPTPlan,
    access="labels",
    norms=("L2", "Linf"),
    targeted=True,
    source=(
        "Cheng, Le, Chen, Yi, Zhang & Hsieh 2019, Query-Efficient Hard-label Black-box "
        "Attack: An Optimization-based Approach"
    ),
    about="descent on the boundary's searched distance",
    adaptive=_adaptive,
)
