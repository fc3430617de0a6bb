"""SignFlip: a projection that shrinks the perturbation, then random sign flips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.boundary_search import bisect, starting_points
from querytax.attacks.table import Attack
from querytax.plans import Plan

__all__ = ["ATTACK", "SignFlipPlan", "engine"]

# Chen, Zhang, Hu & Wu 2020, section 3.3: after so many steps the rates are looked at.
_EVERY, _OFTEN, _SELDOM = 10, 0.7, 0.3


@dataclass(frozen=True)
class SignFlipPlan(Plan):
    """Two questions a step: a smaller perturbation, and one with some signs flipped.

    Attributes
    ----------
    eps, norm, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is not used.
    step : float
        First change of every pixel, by which the largest one shrinks (alpha); pixel
        units. It grows where such steps succeed and shrinks where they fail.
    keep : float
        First probability that a sign is kept, within ``least_keep`` and
        ``most_keep``; in (0, 1).
    least_keep, most_keep : float
        Its bounds, in [0, 1].
    resize : float
        By how much coarser than the image the draws are, at least 1.
    bisections : int
        Questions between the first adversarial image and the origin.
    floor : bool
        Whether the perturbation is not made smaller than the budget: there is nothing
        to win there, but under noise a lucky answer to be fooled by.
    retreat : float
        Share by which the perturbation grows whenever its image, asked about again
        before each step, is not adversarial; 0 never asks again.
    """

    attack: ClassVar[str] = "signflip"
    planar: ClassVar[bool] = True

    step: float = 0.004
    keep: float = 0.999
    least_keep: float = 0.99
    most_keep: float = 0.9999
    resize: float = 1.0
    bisections: int = 10
    floor: bool = False
    retreat: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(step=self.step)
        expect.probability(keep=self.keep)
        expect.unit(least_keep=self.least_keep)
        expect.unit(most_keep=self.most_keep)
        expect.that(
            self.least_keep <= self.most_keep,
            f"at most most_keep {self.most_keep:g}",
            least_keep=self.least_keep,
        )
        expect.at_least(1.0, resize=self.resize)
        expect.nonnegative(retreat=self.retreat)
        object.__setattr__(
            self, "bisections", int(expect.count(bisections=self.bisections))
        )


def engine(plan: SignFlipPlan, block: Block) -> Questions:
    """A start, its bisection, then projections and flips in turn."""
    start = yield from starting_points(block, "signflip")
    rows, delta = block.rows(), torch.zeros_like(block.origin)
    near = yield from bisect(block, rows, start[rows], 0.0, plan.bisections)
    delta[rows] = near - block.origin[rows]
    *channels, height, width = block.shape
    coarse = (
        *channels,
        max(1, int(height // plan.resize)),
        max(1, int(width // plan.resize)),
    )
    n = len(block)
    like: dict[str, Any] = {"dtype": delta.dtype, "device": delta.device}
    alpha = torch.full((n,), plan.step, **like)
    keep = torch.full((n, *coarse), plan.keep, **like)
    shrunk, flipped = torch.zeros(n, **like), torch.zeros(n, **like)
    step = 0
    while len(rows := block.rows()):
        if plan.retreat:
            x = (block.origin[rows] + delta[rows]).clamp(0.0, 1.0)
            answers = yield Ask(x, rows, submit=block.inside(x, rows))
            lost = rows[~block.fooled(answers, rows)]
            delta[lost] = delta[lost] * (1.0 + plan.retreat)
            if not len(rows := block.alive(rows)):
                return
        # Chen et al. 2020, section 3.2: the projection step, to radius l - alpha.
        eta = block.signs("signflip/project", step, coarse, rows)
        eta = _resized(ball.shaped(alpha[rows], eta) * eta, height, width)
        reach = delta[rows].flatten(1).abs().amax(1) - alpha[rows]
        if plan.floor:
            reach = reach.clamp_min(plan.eps)
        reach = ball.shaped(reach.clamp_min(0.0), eta)
        proposal = torch.minimum(torch.maximum(delta[rows] + eta, -reach), reach)
        x = (block.origin[rows] + proposal).clamp(0.0, 1.0)
        answers = yield Ask(x, rows, submit=block.inside(x, rows))
        fooled = block.fooled(answers, rows)
        delta[rows[fooled]] = proposal[fooled]
        shrunk[rows] += fooled.to(shrunk.dtype)
        if not len(rows := block.alive(rows)):
            return
        # The random sign flips.
        u = block.uniforms("signflip/flip", step, coarse, rows)
        s = torch.where(u < keep[rows], 1.0, -1.0).to(u.dtype)
        proposal = delta[rows] * _resized(s, height, width).sign()
        x = (block.origin[rows] + proposal).clamp(0.0, 1.0)
        answers = yield Ask(x, rows, submit=block.inside(x, rows))
        fooled = block.fooled(answers, rows)
        won = rows[fooled]
        delta[won] = proposal[fooled]
        # Section 3.3: what was flipped with success is kept from being flipped back.
        keep[won] = (keep[won] - 1e-4 * s[fooled]).clamp(
            plan.least_keep, plan.most_keep
        )
        flipped[rows] += fooled.to(flipped.dtype)
        step += 1
        if step % _EVERY == 0:
            shrunk, flipped = shrunk / _EVERY, flipped / _EVERY
            alpha = torch.where(shrunk > _OFTEN, 1.5 * alpha, alpha)
            alpha = torch.where(shrunk < _SELDOM, alpha / 1.5, alpha)
            change = (flipped < _SELDOM).to(keep.dtype) - (flipped > _OFTEN).to(
                keep.dtype
            )
            keep = keep + 0.001 * ball.shaped(change, keep)
            keep = keep.clamp(plan.least_keep, plan.most_keep)
            shrunk.zero_()
            flipped.zero_()


def _resized(x: Tensor, height: int, width: int) -> Tensor:
    if x.shape[-2:] == (height, width):
        return x
    size = (height, width)
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "step": 0.1 * eps,
        "keep": 0.95,
        "least_keep": 0.8,
        "most_keep": 0.99,
        "floor": True,
        "retreat": 0.1,
    }


ATTACK = Attack(
    name="signflip",
    engine=engine,
    plan=SignFlipPlan,
    access="labels",
    norms=("Linf",),
    targeted=True,
    source=(
        "Chen, Zhang, Hu & Wu 2020, Boosting Decision-based Black-box Adversarial "
        "Attacks with Random Sign Flip"
    ),
    about="shrinks a perturbation, flips some of its signs",
    adaptive=_adaptive,
)
