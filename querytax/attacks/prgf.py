"""P-RGF: random gradient-free estimates, biased to a surrogate's gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.nes import directions, stepped
from querytax.attacks.table import Attack
from querytax.attacks.transfer import surrogate_gradient
from querytax.plans import Plan

__all__ = ["ATTACK", "PRGFPlan", "best_weight", "engine"]

# A probe that is told nothing grows to 2 ** 16 times its length, at most.
_DOUBLINGS = 17


@dataclass(frozen=True)
class PRGFPlan(Plan):
    """Differences along random directions that lean towards a surrogate's gradient.

    A step asks about the surrogate's direction, then, unless that is good enough on
    its own, about ``directions`` more, and then about the new iterate.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is ``ce`` unless told otherwise.
    probe : float
        Root mean square of a probe per pixel.
    directions : int
        Directions a step (q).
    gauges : int
        Directions that measure the gradient's length (S).
    every : int
        Steps after which it is measured again.
    weight : float, optional
        Share of the surrogate in a direction's square (lambda), in [0, 1]; None for
        the best one, by the cosine that the queries estimate.
    step : float
        Length of a step in the units of ``eps``.
    step_rule : {"sign", "unit"}
        ``sign``: ``step * sign(g)``; ``unit``: ``step * g / |g|_2``.
    block : int
        Side of the squares of pixels that a random direction moves together (the
        paper's data-dependent prior).
    momentum : float
        Share of the last step's estimate that is added to this one's, in [0, 1).
    """

    attack: ClassVar[str] = "prgf"

    loss: str = "ce"
    probe: float = 1e-4
    directions: int = 50
    gauges: int = 10
    every: int = 10
    weight: float | None = None
    step: float = 0.005
    step_rule: str = "sign"
    block: int = 1
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(probe=self.probe)
        for name in ("directions", "gauges", "every", "block"):
            whole = int(expect.count(**{name: getattr(self, name)}))
            object.__setattr__(self, name, whole)
        if self.weight is not None:
            expect.unit(weight=self.weight)
        expect.positive(step=self.step)
        expect.one_of(("sign", "unit"), step_rule=self.step_rule)
        expect.fraction(momentum=self.momentum)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return max(self.directions, self.gauges)


def engine(plan: PRGFPlan, block: Block) -> Questions:
    """The prior, and the gradient's length; the random directions; the new iterate."""
    x = block.origin.clone()
    memory = torch.zeros_like(x)
    value = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    energy = value.clone()
    rows = block.rows()
    answers = yield Ask(x[rows], rows, submit=True)
    value[rows] = block.loss(answers, rows)
    q, dimension = plan.directions, block.dimension
    length = plan.probe * dimension**0.5
    # Dimensions of the random directions.
    cells = dimension
    if plan.block > 1:
        height, width = block.shape[-2:]
        cells = dimension // (height * width)
        cells *= -(-height // plan.block) * -(-width // plan.block)
    step = 0
    while len(rows := block.rows()):
        at = x[rows][:, None]
        prior = _units(surrogate_gradient(block, x[rows], rows)[:, None])
        far = torch.full_like(value[rows], length)
        if plan.weight is None:
            # Released code: twice as far while the answer is the same to the last bit.
            along = torch.zeros_like(far)
            for _ in range(_DOUBLINGS):
                flat = ((along == 0.0) & block.running[rows]).nonzero()[:, 0]
                if not len(flat):
                    break
                some, ahead = rows[flat], ball.shaped(far[flat].to(x.dtype), x)
                answers = yield Ask(x[some] + ahead * prior[flat, 0], some, then=1)
                slope = (block.loss(answers, some) - value[some]) / far[flat]
                along[flat] = slope
                far[flat] = torch.where(slope == 0.0, 2.0 * far[flat], far[flat])
            if step % plan.every == 0:
                u = _units(
                    directions(block, "prgf/gauge", step, plan.gauges, plan.block, rows)
                )
                ahead = ball.shaped(far.to(x.dtype), u)
                answers = yield Ask(
                    (at + ahead * u).flatten(0, 1), rows, plan.gauges, then=1
                )
                slope = block.loss(answers, rows, plan.gauges).view(-1, plan.gauges)
                slope = (slope - value[rows, None]) / far[:, None]
                # Cheng et al. 2019, section 3: the mean square along a random unit
                # vector is the gradient's, over the dimension.
                energy[rows] = cells * slope.square().mean(1)
            # A prior that leads down is turned round.
            turned = torch.where(along < 0.0, -1.0, 1.0).to(x.dtype)
            prior = prior * ball.shaped(turned, prior)
            known = along.square()
            rest, free = energy[rows], cells
            if plan.block == 1:
                rest, free = (rest - known).clamp_min(0.0), dimension - 1
            weight = best_weight(known, rest, free, q)
        else:
            weight = torch.full_like(value[rows], plan.weight)
        gradient = prior[:, 0].clone()
        open_ = (weight < 1.0).nonzero()[:, 0]
        if len(open_):
            some, v = rows[open_], prior[open_]
            u = directions(block, "prgf", step, q, plan.block, some)
            # Algorithm 1, line 9: what is left of u beside the prior.
            share = (u * v).flatten(2).sum(2)
            u = _units(u - share.view(*share.shape, *(1,) * (u.ndim - 2)) * v)
            lean = ball.shaped(weight[open_].to(x.dtype), u)
            u = lean.sqrt() * v + (1.0 - lean).sqrt() * u
            ahead = ball.shaped(far[open_].to(x.dtype), u)
            questions = (x[some][:, None] + ahead * u).flatten(0, 1)
            answers = yield Ask(questions, some, q, then=1)
            slope = block.loss(answers, some, q).view(-1, q) - value[some, None]
            slope = (slope / (far[open_, None] * q)).to(x.dtype)
            gradient[open_] = torch.bmm(slope[:, None], u.flatten(2)).view_as(x[some])
        if plan.momentum:
            gradient = _units(gradient[:, None])[:, 0] + plan.momentum * memory[rows]
            memory[rows] = gradient
        x[rows] = block.project(stepped(plan, x[rows], gradient), rows)
        answers = yield Ask(x[rows], rows, submit=True)
        value[rows] = block.loss(answers, rows)
        step += 1


def best_weight(known: Tensor, rest: Tensor, free: int, q: int) -> Tensor:
    """The share of the prior that makes an estimate of ``q`` directions the best.

    Parameters
    ----------
    known : Tensor
        Square of the gradient's part along the prior.
    rest : Tensor
        Of its part in the ``free`` dimensions of the random directions.
    free, q : int

    Returns
    -------
    Tensor
        In [0, 1]: the one that minimises the expected squared distance to the gradient
        of the estimate, scaled at will.
    """
    # Cheng et al. 2019, the optimal lambda with a data-dependent prior, of which only
    # A^2 : alpha^2 = rest : known matters. Without one, free = D - 1 and A^2 is
    # 1 - alpha^2, which gives their lambda of the general case.
    over = rest * (known * (free + 2 * q - 2) - rest)
    under = 2.0 * known * rest * (q * free + q - 1)
    under = under - (known * free).square() - rest.square()
    between = (over / torch.where(under == 0.0, 1.0, under)).clamp(0.0, 1.0)
    poor = known * (free + 2 * q - 2) <= rest
    good = known * free >= rest * (2 * q - 1)
    return torch.where(poor, 0.0, torch.where(good, 1.0, between))


def _units(u: Tensor) -> Tensor:
    """Directions ``(R, k, *shape)`` of length 1; zero stays zero."""
    size = u.flatten(2).norm(dim=2).clamp_min(1e-30)
    return u / size.view(*size.shape, *(1,) * (u.ndim - 2))


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Cheng et al. 2019, section 4: 0.005 at eps 0.05 for Linf; 2 at eps 16.4 for L2.
    if norm == "Linf":
        return {"step": 0.1 * eps}
    return {"step": 2.0 / 16.4 * eps, "step_rule": "unit"}


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # A cosine estimated from two noisy answers says little: the prior gets a share of
    # its own, and probes are as wide as the budget.
    rule = _published(eps, norm, shape)
    pixel = eps if norm == "Linf" else eps / math.prod(shape) ** 0.5
    return {
        **rule,
        "loss": "margin",
        "probe": 0.5 * pixel,
        "directions": 10,
        "weight": 0.5,
        "step": 0.25 * eps,
        "block": max(2, min(shape[-2:]) // 14) if len(shape) == 3 else 1,
        "momentum": 0.75,
    }


ATTACK = Attack(
    name="prgf",
    engine=engine,
    plan=PRGFPlan,
    access="scores",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Cheng, Dong, Pang, Su & Zhu 2019, Improving Black-box Adversarial Attacks "
        "with a Transfer-based Prior"
    ),
    about="gradient estimate biased to a surrogate's",
    published=_published,
    adaptive=_adaptive,
    surrogate=True,
)
