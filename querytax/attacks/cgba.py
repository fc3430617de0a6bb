"""CGBA: a normal at the boundary, then a search along a semicircle to the origin."""

from __future__ import annotations

import math
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

__all__ = ["ATTACK", "CGBAPlan", "engine"]

# Most questions of each part of the search along the semicircle.
_MOST = 40


@dataclass(frozen=True)
class CGBAPlan(Plan):
    """Normals by labels around the boundary point, and semicircles in their planes.

    Attributes
    ----------
    eps, norm, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is not used.
    probe : float
        Standard deviation of a probe per pixel (sigma).
    first : int
        Probes of the first normal; the i-th has ``first * sqrt(i)``.
    most : int
        Most probes of a normal; bounds memory.
    tolerance : float
        Length along the semicircle at which its bisection ends; that of the start ends
        at this share of the way.
    centred : bool
        Whether the mean answer is taken off the answers about the probes.
    block : int
        Side of the squares of pixels that a probe moves together.
    floor : bool
        Whether distances below the budget are left alone: there is nothing to win
        there, but under noise a lucky answer to be fooled by.
    retreat : float
        Share by which the distance grows whenever the image, asked about again before
        each step, is not adversarial; 0 never asks again.
    """

    attack: ClassVar[str] = "cgba"

    norm: str = "L2"
    probe: float = 0.0002
    first: int = 30
    most: int = 1000
    tolerance: float = 1e-4
    centred: bool = False
    block: int = 1
    floor: bool = False
    retreat: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(probe=self.probe)
        expect.positive(tolerance=self.tolerance)
        expect.nonnegative(retreat=self.retreat)
        for name in ("first", "most", "block"):
            whole = int(expect.count(**{name: getattr(self, name)}))
            object.__setattr__(self, name, whole)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return self.most

    def probes(self, step: int) -> int:
        """Probes of one normal."""
        return min(self.most, int(self.first * math.sqrt(step + 1)))


def engine(plan: CGBAPlan, block: Block) -> Questions:
    """A start at the boundary, then normals and semicircles in turn."""
    x = yield from starting_points(block, "cgba")
    rows = block.rows()
    x[rows] = yield from bisect(block, rows, x[rows], plan.tolerance)
    step = 0
    while len(rows := block.rows()):
        if plan.retreat:
            answers = yield Ask(x[rows], rows, submit=block.inside(x[rows], rows))
            lost = rows[~block.fooled(answers, rows)]
            grown = (1.0 + plan.retreat) * (x[lost] - block.origin[lost])
            x[lost] = (block.origin[lost] + grown).clamp(0.0, 1.0)
            if not len(rows := block.alive(rows)):
                return
        # Reza et al. 2023, eq. (4): the normal points where labels are adversarial.
        count = plan.probes(step)
        u = directions(block, "cgba", step, count, plan.block, rows)
        around = (x[rows, None] + plan.probe * u).clamp(0.0, 1.0).flatten(0, 1)
        inside = block.inside(around, rows, count)
        answers = yield Ask(around, rows, count, inside)
        sign = block.fooled(answers, rows, count).view(-1, 1, count).to(u.dtype)
        sign = 2.0 * sign - 1.0
        if plan.centred:
            # Where all answers are the same they are kept: a normal of some kind.
            mean = sign.mean(2, keepdim=True)
            sign = torch.where(mean.abs() < 1.0, sign - mean, sign)
        eta = torch.bmm(sign, u.flatten(2)).view(-1, *block.shape)
        some = block.running[rows]
        if not len(rows := rows[some]):
            return
        yield from _semicircle(plan, block, rows, x, eta[some])
        step += 1


def _semicircle(
    plan: CGBAPlan, block: Block, rows: Tensor, x: Tensor, eta: Tensor
) -> Questions:
    """Move ``x`` along the semicircle over its line to the origin; in place.

    An angle from that line, in the plane of the normal, means a distance from the
    origin that is smaller by its cosine.
    """
    # Reza et al. 2023, section 3.3 and Algorithm 2.
    origin = block.origin[rows]
    away = x[rows] - origin
    radius = ball.lengths(away)
    v = away / ball.shaped(radius, away)
    w = eta - ball.shaped((eta * v).flatten(1).sum(1), v) * v
    w = w / ball.shaped(ball.lengths(w), w)

    # The angle at which the search ends: the origin, or the budget.
    end = torch.full_like(radius, 0.5 * math.pi, dtype=torch.float64)
    if plan.floor:
        end = (plan.eps / radius.double()).clamp_max(1.0).acos()
    low, high = torch.zeros_like(end), torch.full_like(end, torch.inf)
    # With a floor the budget itself is the first to be asked. Without, half of the
    # angle that is left each time, while that is adversarial; then between the last
    # two. (Their code goes back to the start for the bracket's other end.)
    share = 0.0 if plan.floor else 0.5
    ask = (1.0 - share) * end
    done = end <= 0.0
    for _ in range(2 * _MOST):
        open_ = (~done & block.running[rows]).nonzero()[:, 0]
        if not len(open_):
            break
        some, angle = rows[open_], ask[open_]
        candidate = _at(origin[open_], v[open_], w[open_], radius[open_], angle)
        inside = block.inside(candidate, some)
        answers = yield Ask(candidate, some, submit=inside, purpose="line")
        fooled = block.fooled(answers, some)
        x[some[fooled]] = candidate[fooled]
        low[open_] = lo = torch.where(fooled, angle, low[open_])
        high[open_] = hi = torch.where(fooled, high[open_], angle)
        known = hi < torch.inf
        further = 0.5 * (lo + end[open_])
        ask[open_] = torch.where(known, 0.5 * (lo + hi), further)
        left = torch.where(known, hi, end[open_]) - lo
        done[open_] = radius[open_] * left < plan.tolerance


def _at(origin: Tensor, v: Tensor, w: Tensor, radius: Tensor, angle: Tensor) -> Tensor:
    """Images on the semicircles at some angles."""
    cosine, sine = angle.cos().to(v.dtype), angle.sin().to(v.dtype)
    zeta = ball.shaped(cosine, v) * v + ball.shaped(sine, v) * w
    return (origin + ball.shaped(cosine * radius, v) * zeta).clamp(0.0, 1.0)


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Probes that change labels, and no answer that is believed for ever.
    return {
        "probe": eps / math.prod(shape) ** 0.5,
        "first": 10,
        "tolerance": 0.05,
        "centred": True,
        "floor": True,
        "retreat": 0.1,
    }


ATTACK = Attack(
    name="cgba",
    engine=engine,
    plan=CGBAPlan,
    access="labels",
    norms=("L2",),
    targeted=True,
    source=(
        "Reza, Rahmati, Wu & Dai 2023, CGBA: Curvature-aware Geometric Black-box Attack"
    ),
    about="normals at the boundary, semicircles to the origin",
    adaptive=_adaptive,
)
