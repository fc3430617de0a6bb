"""N ATTACK: a normal distribution whose samples, cut to the budget, are the attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from querytax import expect
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.nes import directions
from querytax.attacks.table import Attack
from querytax.plans import Plan

__all__ = ["ATTACK", "NAttackPlan", "engine"]

LATENTS = ("image", "ball")

# Questions of a turn: samples wait for no answer, but a success ends the run.
_TURN = 10
# Standard deviation of the first mean, and the share of tanh's range that an image
# may fill, as in the published code.
_START, _SHY = 1e-3, 1.0 - 1e-6


@dataclass(frozen=True)
class NAttackPlan(Plan):
    """A mean in the latent space, moved by the z-scored losses of its samples.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`.
    population : int
        Samples a step, at least 2. Each lies inside the budget and is handed in.
    spread : float
        Standard deviation of the samples in the latent space.
    step : float
        Learning rate of the mean.
    latent : {"image", "ball"}
        What tanh squashes the latent space to: all images, then cut to the budget; or
        the budget's box around the image, in which dark and bright pixels move as
        easily as grey ones.
    block : int
        Side of the squares of pixels that a sample moves together in the latent space.
    forget : float
        Share of the mean that each step forgets, in [0, 1): under noise it could
        otherwise wander off to where tanh is flat.

    Raises
    ------
    DomainError
        If a value is outside its range.
    """

    attack: ClassVar[str] = "nattack"

    population: int = 300
    spread: float = 0.1
    step: float = 0.02
    latent: str = "image"
    block: int = 1
    forget: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        count = expect.count(2, population=self.population)
        object.__setattr__(self, "population", int(count))
        expect.positive(spread=self.spread)
        expect.positive(step=self.step)
        expect.one_of(LATENTS, latent=self.latent)
        object.__setattr__(self, "block", int(expect.count(block=self.block)))
        expect.fraction(forget=self.forget)

    @property
    def width(self) -> int:
        """Samples about one image that are held at a time."""
        return self.population

    @property
    def least(self) -> int:
        """The samples of the first turn."""
        return min(_TURN, self.population)


def engine(plan: NAttackPlan, block: Block) -> Questions:
    """Samples of the distribution; then its mean moves."""
    rows = block.rows()
    # Li et al. 2019, algorithm 1, and as in the published code: the mean is kept
    # relative to the image's own place in the latent space.
    home = torch.atanh((2.0 * block.origin - 1.0) * _SHY)
    mean = _START * directions(block, "nattack/start", 0, 1, plan.block, rows)[:, 0]
    step = 0
    while len(rows := block.rows()):
        e = directions(block, "nattack", step, plan.population, plan.block, rows)
        z = mean[rows][:, None] + plan.spread * e
        if plan.latent == "image":
            x = 0.5 * (torch.tanh(home[rows][:, None] + z) + 1.0)
        else:
            x = block.origin[rows][:, None] + plan.eps * torch.tanh(z)
        loss = x.new_zeros(len(rows), plan.population, dtype=torch.float64)
        for begin in range(0, plan.population, _TURN):
            left = block.running[rows].nonzero()[:, 0]
            if not len(left):
                return
            part = x[left, begin : begin + _TURN]
            some, each = rows[left], part.shape[1]
            questions = block.project(part.flatten(0, 1), some, each)
            answers = yield Ask(questions, some, each, submit=True)
            heard = block.loss(answers, some, each).view(-1, each)
            loss[left, begin : begin + _TURN] = heard
        # Eq. (8), with losses of mean 0 and standard deviation 1.
        loss -= loss.mean(1, keepdim=True)
        loss /= loss.square().mean(1, keepdim=True).sqrt() + 1e-7
        weight = (loss * (plan.step / (plan.population * plan.spread))).to(e.dtype)
        move = torch.bmm(weight[:, None], e.flatten(2)).view_as(mean[rows])
        mean[rows] = (1.0 - plan.forget) * mean[rows] + move
        step += 1


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # A latent space of 32 x 32 at most; theirs is smoothed, ours in squares.
    return {"block": max(1, min(shape[-2:]) // 32) if len(shape) == 3 else 1}


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Samples that fill the budget, few dimensions, and many long steps.
    return {
        "population": 20,
        "spread": 1.0,
        "step": 4.0,
        "latent": "ball",
        "forget": 0.3,
        "block": max(2, min(shape[-2:]) // 14) if len(shape) == 3 else 1,
    }


ATTACK = Attack(
    name="nattack",
    engine=engine,
    plan=NAttackPlan,
    access="scores",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Li, Li, Wang, Zhang & Gong 2019, NATTACK: Learning the Distributions of "
        "Adversarial Examples for an Improved Black-Box Attack"
    ),
    about="samples of a normal whose mean climbs the loss",
    published=_published,
    adaptive=_adaptive,
)
