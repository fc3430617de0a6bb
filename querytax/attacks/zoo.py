"""ZOO: symmetric differences along single coordinates, with Adam for each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.table import Attack
from querytax.plans import Plan

__all__ = ["ATTACK", "ZOOPlan", "adam", "engine", "enlarged"]

# Kingma & Ba 2015, the values that Chen et al. 2017 kept.
_DECAY, _DECAY_SQUARES, _TINY = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class ZOOPlan(Plan):
    """Coordinate descent: differences along a few coordinates, a step along each.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`.
    probe : float
        Half the distance between the two questions about a coordinate, > 0.
    rate : float
        Adam's learning rate, in pixel units, > 0.
    batch : int
        Coordinates of one iteration, >= 1; all of them if there are fewer.
    side : int
        Side of the space that coordinates are of, enlarged bilinearly to the image;
        0 for the image's own pixels.
    grow : int
        Iterations after which that side doubles, until it is the image's; 0 for never.
    """

    attack: ClassVar[str] = "zoo"

    probe: float = 1e-4
    rate: float = 0.01
    batch: int = 128
    side: int = 0
    grow: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(probe=self.probe)
        expect.positive(rate=self.rate)
        for name, least in (("batch", 1), ("side", 0), ("grow", 0)):
            value = int(expect.count(least, **{name: getattr(self, name)}))
            object.__setattr__(self, name, value)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return 2 * self.batch

    @property
    def least(self) -> int:
        """The differences of an iteration, and the image that they lead to."""
        return 2 * self.batch + 1


def engine(plan: ZOOPlan, block: Block) -> Questions:
    """Questions of ZOO: two about each coordinate of a batch, then the new iterate."""
    # Chen et al. 2017, algorithms 1 and 2, with a batch of coordinates at a time. Their
    # penalty on the distance is replaced by a projection onto the budget, as this
    # attacker is free inside it; their change of variables by tanh falls away with it.
    x = block.origin.clone()
    space = _space(plan, block, plan.side)
    change = x.new_zeros(len(x), *space)
    # Of each coordinate: Adam's two moments, and how often it was its turn.
    state = change.flatten(1).repeat(3, 1, 1)
    step = 0
    while len(rows := block.rows()):
        if plan.grow and step and step % plan.grow == 0 and space != block.shape:
            # Section 3.5: a larger space takes over the change found so far.
            space = _space(plan, block, 2 * space[-1])
            change = enlarged(change, space)
            state = torch.zeros_like(change).flatten(1).repeat(3, 1, 1)
        size = change[0].numel()
        count = min(plan.batch, size)
        u = block.uniforms("zoo/coordinates", step, (size,), rows)
        which = u.topk(count, dim=1).indices
        apart = x.new_zeros(len(rows), count, size)
        apart.scatter_(2, which[:, :, None], plan.probe)
        apart = enlarged(apart.view(-1, *space), block.shape)
        offset, at = apart.view(-1, count, *block.shape), x[rows][:, None]
        questions = torch.stack((at + offset, at - offset), 2).flatten(0, 2)
        answers = yield Ask(questions, rows, 2 * count, then=1)
        loss = block.loss(answers, rows, 2 * count).view(-1, count, 2)
        slope = ((loss[..., 0] - loss[..., 1]) / (2.0 * plan.probe)).to(x.dtype)
        mean, square, turns = state[:, rows[:, None], which]
        move, mean, square = adam(mean, square, slope, turns + 1.0)
        state[:, rows[:, None], which] = torch.stack((mean, square, turns + 1.0))
        flat = change[rows].flatten(1).scatter_add_(1, which, plan.rate * move)
        x[rows], change[rows] = _held(block, rows, flat.view(-1, *space))
        yield Ask(x[rows], rows, submit=True)
        step += 1


def adam(
    mean: Tensor, square: Tensor, slope: Tensor, turns: Tensor | int
) -> tuple[Tensor, Tensor, Tensor]:
    """Adam's step at unit rate, upwards, and the two moments after it.

    Parameters
    ----------
    mean, square : Tensor
        The moments before.
    slope : Tensor
    turns : Tensor or int
        How many slopes there were, this one included.
    """
    mean = _DECAY * mean + (1.0 - _DECAY) * slope
    square = _DECAY_SQUARES * square + (1.0 - _DECAY_SQUARES) * slope.square()
    fair = (1.0 - _DECAY_SQUARES**turns) ** 0.5 / (1.0 - _DECAY**turns)
    return fair * mean / (square.sqrt() + _TINY), mean, square


def enlarged(change: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Bilinearly, to images of another shape."""
    if change.shape[1:] == shape:
        return change
    return functional.interpolate(
        change, size=shape[-2:], mode="bilinear", align_corners=True
    )


def _space(plan: ZOOPlan, block: Block, side: int) -> torch.Size:
    """Shape of what coordinates are of."""
    if not side or side >= min(block.shape[-2:]):
        return block.shape
    return torch.Size((block.shape[0], side, side))


def _held(block: Block, rows: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """Iterates inside the budget, and the change that is left of what led there."""
    origin = block.origin[rows]
    x = block.project(origin + enlarged(change, block.shape), rows)
    if change.shape[1:] == block.shape:
        return x, x - origin
    if block.plan.norm == "Linf":
        return x, change.clamp(-block.plan.eps, block.plan.eps)
    size = block.plan.eps / ball.lengths(enlarged(change, block.shape))
    return x, change * ball.shaped(size.clamp_max(1.0), change)


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    size = torch.Size(shape).numel()
    # 128 is what filled a GPU: no more than an eighth of a small image at a time.
    settings: dict[str, Any] = {"batch": max(1, min(128, size // 8))}
    if len(shape) == 3 and min(shape[-2:]) > 64:
        # Section 4.3, ImageNet.
        settings |= {"side": 32, "grow": 2000, "rate": 2e-3}
    return settings


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Coordinates each of which moves much of the image, all the way through the budget.
    settings: dict[str, Any] = {"batch": 8, "probe": 2.0 * eps, "rate": eps}
    if norm == "L2":
        settings |= {"probe": 0.5 * eps, "rate": 0.25 * eps}
    if len(shape) == 3:
        settings["side"] = max(4, min(shape[-2:]) // 8)
    return settings


ATTACK = Attack(
    name="zoo",
    engine=engine,
    plan=ZOOPlan,
    access="scores",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Chen, Zhang, Sharma, Yi & Hsieh 2017, ZOO: Zeroth Order Optimization based "
        "Black-box Attacks to Deep Neural Networks without Training Substitute Models"
    ),
    about="differences along coordinates, Adam for each",
    published=_published,
    adaptive=_adaptive,
)
