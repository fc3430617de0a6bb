"""What attacks on labels share: a first adversarial image, bisection, and a normal."""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
from torch import Tensor
from torch.nn import functional

from querytax.attacks import ball
from querytax.attacks.block import Answers, Ask, Block

__all__ = [
    "TURN",
    "adversarial",
    "between",
    "bisect",
    "edge",
    "handed_in",
    "normal",
    "probes",
    "starting_points",
    "unit",
]

# Probes about an image in one turn; bounds memory where thousands make one normal.
TURN = 64


def starting_points(
    block: Block, name: str, tries: int = 100
) -> Generator[Ask, Answers, Tensor]:
    """``(n, ...)`` adversarial images, the block's own starts or uniform noise.

    Where the block has starts they are taken at their word. An image without one, for
    which ``tries`` images of noise were all answered otherwise, is given up. A target
    is hardly hit by noise: targeted attacks want starts.
    """
    if block.starts is not None:
        return block.starts.clone()
    x = block.origin.clone()
    left = block.rows()
    for attempt in range(tries):
        if not len(left):
            return x
        drawn = block.uniforms(f"{name}/start", attempt, tuple(block.shape), left)
        inside = block.inside(drawn, left)
        answers = yield Ask(drawn, left, submit=inside, purpose="start")
        found = block.fooled(answers, left)
        x[left[found]] = drawn[found]
        left = block.alive(left[~found])
    block.drop(left, "no start")
    return x


def between(block: Block, rows: Tensor, x: Tensor, share: Tensor) -> Tensor:
    """Images a share of the way from the origins to ``x``, in the plan's norm.

    For L2 on the line between; for Linf each pixel moves at most that share of the
    largest distance.
    """
    origin = block.origin[rows]
    if block.plan.norm == "L2":
        return origin + ball.shaped(share.to(x.dtype), x) * (x - origin)
    reach = ball.shaped(share.to(x.dtype) * block.distance(x, rows).to(x.dtype), x)
    return origin + torch.minimum(torch.maximum(x - origin, -reach), reach)


def bisect(
    block: Block,
    rows: Tensor,
    x: Tensor,
    tolerance: float,
    most: int = 30,
    asks: int = 1,
) -> Generator[Ask, Answers, Tensor]:
    """Adversarial images near the boundary, between the origins and ``x``.

    Parameters
    ----------
    rows : Tensor
        ``(R,)`` images of the block.
    x : Tensor
        ``(R, ...)`` adversarial.
    tolerance : float
        Share of the way at which to stop.
    most : int
        Most steps of an image.
    asks : int
        Questions a step, the majority of whose answers counts.

    Returns
    -------
    Tensor
        ``(R, ...)``. Where an image's run ends meanwhile, what was known last.
    """
    low = torch.zeros(len(rows), dtype=torch.float64, device=x.device)
    high = torch.ones_like(low)
    for _ in range(most):
        open_ = ((high - low > tolerance) & block.running[rows]).nonzero()[:, 0]
        if not len(open_):
            break
        some, middle = rows[open_], 0.5 * (low[open_] + high[open_])
        at = between(block, some, x[open_], middle)
        fooled = yield from adversarial(block, some, at, asks)
        high[open_] = torch.where(fooled, middle, high[open_])
        low[open_] = torch.where(fooled, low[open_], middle)
    return between(block, rows, x, high)


def adversarial(
    block: Block, rows: Tensor, x: Tensor, asks: int = 1
) -> Generator[Ask, Answers, Tensor]:
    """``(R,)`` bool: whether most of ``asks`` answers about each image are adversarial.

    For line searches; questions inside the budget are handed in.
    """
    inside = block.inside(x, rows)
    if asks > 1:
        x, inside = x.repeat_interleave(asks, 0), inside.repeat_interleave(asks)
    answers = yield Ask(x, rows, asks, submit=inside, purpose="line")
    fooled = block.fooled(answers, rows, asks)
    return fooled.view(-1, asks).sum(1) * 2 > asks


def edge(block: Block, rows: Tensor, x: Tensor) -> Tensor:
    """The images at the budget's edge, on the way from the origins through ``x``."""
    share = block.plan.eps / block.distance(x, rows).double().clamp_min(1e-30)
    origin = block.origin[rows]
    beyond = origin + ball.shaped(share.clamp_min(1.0).to(x.dtype), x) * (x - origin)
    return block.project(between(block, rows, beyond, share.clamp_max(1.0)), rows)


def probes(block: Block, name: str, step: int, side: int, rows: Tensor) -> Tensor:
    """Directions ``(R, TURN, *shape)`` of length 1, constant on squares of ``side``.

    Normal for L2, uniform in a cube for Linf, as in the published code of
    HopSkipJump.
    """
    shape = tuple(block.shape)
    if side > 1:
        *channels, height, width = shape
        shape = (*channels, -(-height // side), -(-width // side))
    if block.plan.norm == "L2":
        u = block.normals(name, step, (TURN, *shape), rows)
    else:
        u = 2.0 * block.uniforms(name, step, (TURN, *shape), rows) - 1.0
    if side > 1:
        u = functional.interpolate(u.flatten(1, -3), scale_factor=float(side))
        u = u[..., :height, :width].reshape(len(rows), TURN, *block.shape)
    return u / u.flatten(2).norm(dim=2).view(*u.shape[:2], *(1,) * len(block.shape))


def normal(
    block: Block,
    rows: Tensor,
    x: Tensor,
    count: Tensor,
    size: Tensor,
    draw: Callable[[int, Tensor], Tensor],
    *,
    baseline: bool = True,
) -> Generator[Ask, Answers, Tensor]:
    """The boundary's normal near ``x``, from labels around it; towards the adversarial.

    Parameters
    ----------
    rows : Tensor
        ``(R,)`` images of the block.
    x : Tensor
        ``(R, ...)`` near the boundary.
    count, size : Tensor
        ``(R,)`` probes about each image, and how far they go.
    draw : callable
        ``draw(part, rows)`` to ``(R, TURN, ...)`` directions of the probes from
        ``part * TURN`` on.
    baseline : bool
        Whether the mean answer is subtracted, which most are alike.

    Returns
    -------
    Tensor
        ``(R, ...)`` mean of answer times direction.
    """
    flat = (len(rows), x[0].numel())
    weighed = torch.zeros(flat, dtype=torch.float64, device=x.device)
    plain, total = torch.zeros_like(weighed), weighed.new_zeros(len(rows))
    place = torch.arange(TURN, device=x.device)
    # Without an end where the count is infinite: it is a whole number.
    for part in range(-(-int(count.max()) // TURN) if len(rows) else 0):
        left = count - part * TURN
        open_ = ((left > 0) & block.running[rows]).nonzero()[:, 0]
        if not len(open_):
            break
        some, each = rows[open_], left[open_].clamp_max(TURN)
        centre = x[open_][:, None]
        far = ball.shaped(size[open_].to(x.dtype), centre)
        at = (centre + far * draw(part, some)).clamp_(0.0, 1.0)
        asked = place < each[:, None]
        questions = at[asked]
        submit = block.inside(questions, some, each)
        answers = yield Ask(questions, some, each, submit=submit, then=1)
        answer = torch.zeros(asked.shape, dtype=torch.float64, device=x.device)
        answer[asked] = 2.0 * block.fooled(answers, some, each).double() - 1.0
        # Chen et al. 2020, published code: the direction is what was left of the
        # probe in [0, 1].
        u = ((at - centre) / far).double().flatten(2)
        both = torch.stack((answer, asked.double()), 1)
        sums = torch.bmm(both, u)
        weighed[open_] += sums[:, 0]
        plain[open_] += sums[:, 1]
        total[open_] += answer.sum(1)
    n = count.double().clamp_min(1.0)
    mean = total / n
    if baseline:
        # Chen et al. 2020, eq. (16); where all answers agree they are all there is.
        mean = torch.where(mean.abs() < 1.0, mean, 0.0)
        weighed -= mean[:, None] * plain
    return (weighed / n[:, None]).to(x.dtype).view_as(x)


def unit(block: Block, gradient: Tensor) -> Tensor:
    """The direction of a step: the gradient's, or its signs for Linf."""
    if block.plan.norm == "Linf":
        return gradient.sign()
    return gradient / ball.shaped(ball.lengths(gradient), gradient)


def handed_in(
    block: Block, rows: Tensor, x: Tensor, direction: Tensor
) -> Generator[Ask, Answers, None]:
    """Hand in the images at the budget's edge, through the iterate and the normal."""
    rows, x, direction = _those(block, rows, x, direction)
    yield Ask(edge(block, rows, x), rows, submit=True)
    rows, direction = _those(block, rows, direction)
    ahead = block.project(block.origin[rows] + block.plan.eps * direction, rows)
    yield Ask(ahead, rows, submit=True)


def _those(block: Block, rows: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    """What belongs to images that are still under attack."""
    live = block.running[rows]
    return rows[live], *(value[live] for value in values)
