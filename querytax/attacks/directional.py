"""What attacks on the distance along a direction share: g(theta), and its descent."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Answers, Ask, Block
from querytax.plans import Plan

__all__ = [
    "DirectionalPlan",
    "along",
    "ask_again",
    "begin_anew",
    "descend",
    "distances",
    "first",
    "unit",
]

# Most questions of one line search.
_MOST = 400


@dataclass(frozen=True)
class DirectionalPlan(Plan):
    """A gradient of the distance along a direction, then a searched step of it.

    Attributes
    ----------
    eps, norm, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is not used. Directions have
        length 1 in the norm.
    directions : int
        Probes of one gradient estimate: line searches or questions.
    alpha : float
        First length of a step of the direction.
    beta : float
        First length of a probe of the direction.
    finer : float
        Factor of ``beta`` where no step helps, in (0, 1].
    tries : int
        Random directions to begin with.
    coarse : float
        Length at which the bisection of a first direction ends.
    tolerance : float
        Where a line search ends, as a share of ``beta``.
    stride : float
        Share of the length by which a line search goes out or in, in (0, 1).
    hopeless : bool
        Whether the search along a step's direction ends at once where it is not
        adversarial at the length that it would have to be shorter than.
    trials : int
        Most lengths of a step that are tried, growing and shrinking each.
    clip : bool
        Whether a step's entries are cut to [-1, 1]: the corners of Linf are then
        within reach.
    signs : bool
        Whether the first directions are of signs rather than normal.
    restart : bool
        Whether a random corner is tried where no step helps.
    block : int
        Side of the squares of pixels that a probe moves together.
    floor : bool
        Whether lengths below the budget are left alone: there is nothing to win there,
        but under noise a lucky answer to be fooled by.
    retreat : float
        Share by which the length grows whenever its image, asked about again before
        each step, is not adversarial; 0 never asks again.
    """

    directions: int = 10
    alpha: float = 0.2
    beta: float = 0.001
    finer: float = 0.1
    tries: int = 100
    coarse: float = 1e-3
    tolerance: float = 0.002
    stride: float = 0.01
    hopeless: bool = False
    trials: int = 15
    clip: bool = False
    signs: bool = False
    restart: bool = False
    block: int = 1
    floor: bool = False
    retreat: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(alpha=self.alpha)
        expect.positive(beta=self.beta)
        expect.that(0.0 < self.finer <= 1.0, "in (0, 1]", finer=self.finer)
        expect.positive(coarse=self.coarse)
        expect.positive(tolerance=self.tolerance)
        expect.probability(stride=self.stride)
        expect.nonnegative(retreat=self.retreat)
        for name in ("directions", "tries", "trials", "block"):
            whole = int(expect.count(**{name: getattr(self, name)}))
            object.__setattr__(self, name, whole)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return max(self.directions, self.tries)

    @property
    def least(self) -> int:
        """The first directions, all at once."""
        return self.tries


def unit(theta: Tensor, norm: str) -> Tensor:
    """Directions ``(N, ...)`` of length 1 in a norm."""
    flat = theta.flatten(1)
    size = flat.abs().amax(1) if norm == "Linf" else flat.norm(dim=1)
    return theta / ball.shaped(size.clamp_min(1e-30), theta)


def along(block: Block, owners: Tensor, theta: Tensor, length: Tensor) -> Tensor:
    """Images at some lengths along directions, cut to [0, 1]."""
    at = ball.shaped(length.to(theta.dtype), theta) * theta
    return (block.origin[owners] + at).clamp_(0.0, 1.0)


def distances(
    block: Block,
    owners: Tensor,
    theta: Tensor,
    begin: Tensor,
    tolerance: float | Tensor,
    *,
    stride: float = 0.01,
    reach: float = 20.0,
    floor: float = 0.0,
    hopeless: bool = False,
) -> Generator[Ask, Answers, Tensor]:
    """Distance of the boundary along directions, searched from a good guess.

    Outwards or inwards in small strides until the answer changes, then by bisection.
    All searches go one question on at a time, those of one image side by side.

    Parameters
    ----------
    owners : Tensor
        ``(P,)`` places in the block, those of one image next to one another.
    theta : Tensor
        ``(P, ...)`` directions of length 1.
    begin : Tensor
        ``(P,)`` guesses.
    tolerance : float or Tensor
        Length, or ``(P,)`` of them, at which a bisection ends.
    stride : float
        Share of the length by which it grows or shrinks at first.
    reach : float
        Length beyond which no direction is followed.
    floor : float
        Length below which nothing is asked.
    hopeless : bool
        Whether a search ends where the guess itself is not adversarial.

    Returns
    -------
    Tensor
        ``(P,)``; infinite where nothing adversarial was found.
    """
    # Cheng et al. 2019, section 3.1, with the strides of their published code. There
    # the bracket's far end stays at the guess; here it follows, for fewer questions.
    low, high = torch.full_like(begin, -1.0), torch.full_like(begin, torch.inf)
    ask, width = begin.clone(), torch.as_tensor(tolerance).to(begin).expand_as(begin)
    done = torch.zeros_like(begin, dtype=torch.bool)
    for _ in range(_MOST):
        open_ = (~done & block.running[owners]).nonzero()[:, 0]
        if not len(open_):
            break
        some, at = owners[open_], ask[open_]
        x = along(block, some, theta[open_], at)
        rows, each = torch.unique_consecutive(some, return_counts=True)
        inside = block.inside(x, some)
        alone = len(rows) == len(some)
        answers = yield Ask(x, rows, 1 if alone else each, inside, "line")
        fooled = block.fooled(answers, some)
        high[open_] = hi = torch.where(fooled, at, high[open_])
        low[open_] = lo = torch.where(fooled, low[open_], at)
        # Outwards, inwards, or between.
        out, inwards = hi == torch.inf, lo < 0.0
        ask[open_] = torch.where(
            out,
            lo * (1.0 + stride),
            torch.where(
                inwards, (hi * (1.0 - stride)).clamp_min(floor), 0.5 * (lo + hi)
            ),
        )
        lost = (out & hopeless) | (ask[open_] > reach)
        done[open_] = lost | (hi <= floor) | (hi - lo.clamp_min(-hi) <= width[open_])
    return high


def first(
    block: Block,
    name: str,
    tries: int,
    *,
    tolerance: float = 1e-3,
    signs: bool = False,
    floor: float = 0.0,
) -> Generator[Ask, Answers, tuple[Tensor, Tensor]]:
    """The best of some random directions, or the one to the start that is known.

    Parameters
    ----------
    name : str
        Stream of the draws.
    tries : int
        Directions an image. Where none of them is adversarial the image is given up.
    tolerance : float
        Length at which a bisection ends.
    signs : bool
        Whether directions are of signs, rather than normal.
    floor : float
        Length below which nothing is asked, and which is the first to be asked.

    Returns
    -------
    tuple of Tensor
        ``(n, ...)`` directions of length 1, and ``(n,)`` float64 lengths.
    """
    n, norm, rows = len(block), block.plan.norm, block.rows()
    if block.starts is not None:
        drawn = (block.starts - block.origin)[:, None]
        hits = torch.ones(n, 1, dtype=torch.bool, device=drawn.device)
    else:
        draw = block.signs if signs else block.normals
        drawn = draw(name, 0, (tries, *block.shape), rows)
        x = (block.origin[:, None] + drawn).clamp(0.0, 1.0).flatten(0, 1)
        inside = block.inside(x, rows, tries)
        answers = yield Ask(x, rows, tries, inside, "start")
        hits = block.fooled(answers, rows, tries).view(n, tries)
        block.drop(block.alive(rows[~hits.any(1)]), "no start")
    # One after another in the order of their draws, each image at its own pace.
    flat = drawn.flatten(0, 1)
    size = ball.distance(flat, torch.zeros_like(flat), norm).double().view(n, -1)
    theta = unit(flat, norm).view_as(drawn)
    order = (~hits).byte().argsort(dim=1, stable=True)
    count, place = hits.sum(1), torch.zeros_like(rows)
    best, which = torch.full_like(size[:, 0], torch.inf), torch.zeros_like(rows)
    # The bracket of the direction in hand; none yet where it is NaN.
    low, high = torch.full_like(best, torch.nan), best.clone()
    while len(rows := block.rows()):
        rows = rows[place[rows] < count[rows]]
        if not len(rows):
            break
        now = order[rows, place[rows]]
        # Cheng et al. 2019: a direction that is known to be adversarial only beyond
        # the best so far must first hold there.
        begun = ~low[rows].isnan()
        known = size[rows, now] <= best[rows]
        fresh = ~begun & known
        high[rows[fresh]] = size[rows, now][fresh]
        low[rows[fresh]] = _below(high[rows[fresh]], floor)
        begun |= known
        middle = 0.5 * (low[rows] + high[rows])
        at = torch.where(begun, middle, best[rows])
        x = along(block, rows, theta[rows, now], at)
        inside = block.inside(x, rows)
        answers = yield Ask(x, rows, submit=inside, purpose="start")
        fooled = block.fooled(answers, rows)
        high[rows] = torch.where(fooled, at, high[rows])
        low[rows] = torch.where(begun & ~fooled, at, low[rows])
        low[rows] = torch.where(~begun & fooled, _below(at, floor), low[rows])
        ended = (begun & (high[rows] - low[rows] <= tolerance)) | (high[rows] <= floor)
        shorter = ended & (high[rows] < best[rows])
        won = rows[shorter]
        best[won], which[won] = high[won], now[shorter]
        over = rows[ended | (~begun & ~fooled)]
        low[over] = torch.nan
        place[over] += 1
    index = torch.arange(n, device=which.device)
    return theta[index, which], best


def _below(high: Tensor, floor: float) -> Tensor:
    """The near end of a bracket: 0, or what makes the floor its middle."""
    return 2.0 * floor - high if floor else torch.zeros_like(high)


def ask_again(
    block: Block, rows: Tensor, theta: Tensor, g: Tensor, retreat: float
) -> Generator[Ask, Answers, None]:
    """Ask about the image at the end of each direction; lengthen what does not hold."""
    x = along(block, rows, theta[rows], g[rows])
    answers = yield Ask(x, rows, submit=block.inside(x, rows))
    lost = rows[~block.fooled(answers, rows)]
    g[lost] = g[lost] * (1.0 + retreat)


def begin_anew(
    block: Block,
    name: str,
    rows: Tensor,
    theta: Tensor,
    g: Tensor,
    times: Tensor,
    tolerance: float,
    *,
    stride: float,
    floor: float,
) -> Generator[Ask, Answers, None]:
    """Another random corner, where it is adversarial at twice the length; in place.

    Parameters
    ----------
    rows : Tensor
        ``(R,)`` places in the block.
    theta, g : Tensor
        ``(n, ...)`` directions and ``(n,)`` their lengths.
    times : Tensor
        ``(n,)`` how often each image has begun anew.
    tolerance, stride, floor
        As in :func:`distances`.
    """
    if not len(rows):
        return
    new = block.signs(name, times[rows], tuple(block.shape), rows)
    new = unit(new, block.plan.norm)
    times[rows] += 1
    length = yield from distances(
        block,
        rows,
        new,
        2.0 * g[rows],
        tolerance,
        stride=stride,
        floor=floor,
        hopeless=True,
    )
    holds = length < torch.inf
    theta[rows[holds]], g[rows[holds]] = new[holds], length[holds]


def descend(
    block: Block,
    rows: Tensor,
    theta: Tensor,
    g: Tensor,
    gradient: Tensor,
    alpha: Tensor,
    tolerance: Tensor,
    *,
    trials: int = 15,
    clip: bool = False,
    stride: float = 0.01,
    reach: float = 20.0,
    floor: float = 0.0,
    hopeless: bool = False,
) -> Generator[Ask, Answers, None]:
    """A step against gradients, of the best length among some; in place.

    Parameters
    ----------
    rows : Tensor
        ``(R,)`` places in the block.
    theta, g, alpha : Tensor
        ``(n, ...)`` directions, ``(n,)`` their lengths and ``(n,)`` step lengths.
    gradient, tolerance : Tensor
        ``(n, ...)`` and ``(n,)``.
    trials : int
        Most lengths that are tried, growing and shrinking each.
    clip : bool
        Whether a new direction's entries are cut to [-1, 1] before all else: the
        corners of Linf are then within reach.
    stride, reach, floor, hopeless
        As in :func:`distances`.
    """
    # Cheng et al. 2019, section 3.2, as in their published code: twice as long while
    # that helps; if the first did not, a quarter as long until it does.
    start, before = theta.clone(), g.clone()
    for factor in (2.0, 0.25):
        left = rows if factor > 1.0 else rows[~(g[rows] < before[rows])]
        for _ in range(trials):
            left = block.alive(left)
            if not len(left):
                break
            if factor < 1.0:
                alpha[left] *= factor
            step = ball.shaped(alpha[left].to(theta.dtype), theta[left])
            new = start[left] - step * gradient[left]
            new = unit(new.clamp_(-1.0, 1.0) if clip else new, block.plan.norm)
            length = yield from distances(
                block,
                left,
                new,
                g[left],
                tolerance[left],
                stride=stride,
                reach=reach,
                floor=floor,
                hopeless=hopeless,
            )
            if factor > 1.0:
                alpha[left] *= factor
            # At the floor no direction is shorter, and another may be better.
            better, even = length < g[left], (length <= floor) & block.running[left]
            won = left[better | even]
            theta[won], g[won] = new[better | even], length[better | even]
            done = even | (~better if factor > 1.0 else better)
            left = left[~done]
