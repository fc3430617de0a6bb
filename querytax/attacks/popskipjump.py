"""PopSkipJump: HopSkipJump for noisy labels, with a Bayesian bisection."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Answers, Ask, Block, Questions
from querytax.attacks.boundary_search import (
    TURN,
    between,
    handed_in,
    normal,
    probes,
    starting_points,
    unit,
)
from querytax.attacks.table import Attack
from querytax.plans import Plan

__all__ = ["ATTACK", "PopSkipJumpPlan", "Sigmoids", "alpha", "engine"]

# Inverse scales over three decades of the way, and chances that a label is flipped far
# from the boundary. The published grid is three times as fine in either.
_SCALES = 10
_FLOORS = (0.0, 0.1, 0.2, 0.3)
# Gains of information and chances are compared to so many digits: what is equal but
# for rounding must not depend on the images beside it.
_DIGITS = 9


@dataclass(frozen=True)
class PopSkipJumpPlan(Plan):
    """HopSkipJump whose searches and gradients reckon with answers that are noisy.

    Along the way to an adversarial image labels are modelled as adversarial with
    probability ``floor + (1 - 2 floor) / (1 + exp(-4 scale (share - centre)))``.

    Attributes
    ----------
    eps, norm, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is not used.
    initial : int
        Questions that HopSkipJump would need for its first gradient; the t-th takes
        ``sqrt(t)`` times that. Noise multiplies them.
    most : int
        Most questions about one gradient.
    grid : int
        Places on the way where the boundary may be found, >= 2.
    questions : int
        Most questions of a search before its answers are looked at.
    window : int
        A search ends when its best guess has stood for so many rounds.
    longest : int
        Most rounds of a search.
    spread : float
        Least standard deviation of the probes across the boundary, in units of the
        sigmoid's scale; 0 for the published ``1 / grid`` of the way.
    widest : float
        Most that ``spread`` may demand for one pixel, a share of the way; > 0.
    beyond : float
        Share of the distance by which each step is overshot, so that the boundary is
        on the way back.
    block : int
        Side of the squares of pixels that a probe moves together; 1 is white noise.
    edge : bool
        Whether each iteration also hands in two images at the budget's edge: on the
        way to the iterate, and straight along the normal.
    restart : int
        Iterations after which the attack begins again from a new start; 0 for never.
    """

    attack: ClassVar[str] = "popskipjump"

    initial: int = 100
    most: int = 50_000
    grid: int = 100
    questions: int = 1
    window: int = 10
    longest: int = 1000
    spread: float = 0.0
    widest: float = 0.25
    beyond: float = 0.5
    block: int = 1
    edge: bool = False
    restart: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        least = {"grid": 2, "restart": 0}
        for name in (
            "initial",
            "most",
            "grid",
            "questions",
            "window",
            "longest",
            "block",
            "restart",
        ):
            value = expect.count(least.get(name, 1), **{name: getattr(self, name)})
            object.__setattr__(self, name, int(value))
        expect.nonnegative(spread=self.spread)
        expect.positive(widest=self.widest)
        expect.nonnegative(beyond=self.beyond)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return max(TURN, self.questions)


class Sigmoids:
    """All that labels on the way to an adversarial image may look like.

    Attributes
    ----------
    centre, scale, floor : Tensor
        ``(H,)`` parameters of each sigmoid.
    places : Tensor
        ``(X,)`` shares of the way where questions may be asked.
    chance : Tensor
        ``(X, H)`` probabilities of an adversarial label.
    """

    def __init__(self, grid: int, device: torch.device | str = "cpu") -> None:
        double = torch.float64
        self.places = torch.linspace(0.0, 1.0, grid + 1, dtype=double, device=device)
        scales = torch.logspace(-1.0, 2.0, _SCALES, dtype=double, device=device)
        floors = torch.tensor(_FLOORS, dtype=double, device=device)
        self.shape = (grid + 1, len(scales), len(floors))
        mesh = torch.meshgrid(self.places, scales, floors, indexing="ij")
        self.centre, self.scale, self.floor = (m.flatten() for m in mesh)
        # Every second place is enough for the questions: it halves the work.
        self.places = self.places[:: 1 + (grid > 20)]
        steep = 4.0 * self.scale * (self.places[:, None] - self.centre)
        self.chance = self.floor + (1.0 - 2.0 * self.floor) * steep.sigmoid()
        self._entropy = _entropy(self.chance)
        self._both = torch.cat((self.chance, self._entropy)).T.contiguous()

    def prior(self, floors: Tensor) -> Tensor:
        """``(R, H)``: uniform in centre and scale, ``(R, F)`` chances of the floors."""
        wide = floors[:, None, None] / (self.shape[0] * self.shape[1])
        return wide.expand(-1, *self.shape).flatten(1)

    def floors(self, belief: Tensor) -> Tensor:
        """``(R, F)`` chances of the floors."""
        return belief.view(-1, *self.shape).sum((1, 2))

    def gain(self, belief: Tensor) -> Tensor:
        """``(R, X)`` information that a question at each place is expected to give."""
        chance, entropy = (belief @ self._both).chunk(2, 1)
        return (_entropy(chance) - entropy).round(decimals=_DIGITS)

    def guess(self, belief: Tensor) -> Tensor:
        """``(R,)`` the likeliest sigmoid, the first of those that are as likely."""
        odds = belief / belief.amax(1, keepdim=True)
        return odds.round(decimals=_DIGITS).argmax(1)

    def learn(self, belief: Tensor, place: Tensor, fooled: Tensor) -> Tensor:
        """``(R, H)`` beliefs after an answer at each ``(R,)`` place."""
        chance = self.chance[place]
        belief = belief * torch.where(fooled[:, None], chance, 1.0 - chance)
        # Kept from 0: the labels may follow no sigmoid of the grid.
        belief = belief.clamp_min(1e-12)
        return belief / belief.sum(1, keepdim=True)


def _entropy(chance: Tensor) -> Tensor:
    chance = chance.clamp(0.0, 1.0)
    return torch.special.entr(chance) + torch.special.entr(1.0 - chance)


def alpha(scale: Tensor, floor: Tensor, shift: float, spread: Tensor) -> Tensor:
    """What an answer tells of the normal: E[answer X], X standard normal.

    The answer is +-1 by a ramp that is as steep at its centre as the sigmoid,
    ``shift`` away, at probes with standard deviation ``spread`` across the boundary.
    The mean cosine of n answers in d dimensions with the true normal is
    ``[1 + (d - 1) / (n alpha^2)]^(-1/2)``.
    """
    # Simon-Gabriel et al. 2021, section 4.2 and its published code.
    steep, off = scale * spread, shift / spread
    half, root = 0.5 / steep, math.sqrt(2.0)
    ramp = ((off + half) / root).erf() - ((off - half) / root).erf()
    return (1.0 - 2.0 * floor) * steep * ramp


def engine(plan: PopSkipJumpPlan, block: Block) -> Questions:
    """Simon-Gabriel et al. 2021, Algorithm 1."""
    x = block.origin.clone()
    sigmoids = Sigmoids(plan.grid, x.device)
    n, d = len(x), block.dimension
    l2 = plan.norm == "L2"
    floors = torch.full((n, len(_FLOORS)), 1.0 / len(_FLOORS), dtype=torch.float64)
    floors = floors.to(x.device)
    # In units of the way: the shift that a search leaves, the spread of the probes.
    # Published code: delta is sqrt(d) / grid of the way for L2, d / grid for Linf.
    shift, spread = 1.0 / plan.grid, (1.0 if l2 else math.sqrt(d)) / plan.grid
    # HopSkipJump without noise: theta / (delta / sqrt(d)) standard deviations off.
    off = 1.0 if l2 else d**-0.5
    ideal = math.sqrt(2.0 / math.pi) * math.exp(-0.5 * off * off)
    turn = 0
    while len(rows := block.rows()):
        iteration = 1 + (turn % plan.restart if plan.restart else turn)
        if iteration == 1:
            x = yield from starting_points(block, f"popskipjump/{turn}")
            rows = block.rows()
        way = block.distance(x[rows], rows).double()
        share, scale, floor = yield from _located(
            plan, block, sigmoids, rows, x[rows], floors, turn
        )
        x[rows] = between(block, rows, x[rows], share)
        wide = torch.full_like(scale, spread)
        if plan.spread:
            wide = torch.maximum(wide, (plan.spread / scale).clamp_max(plan.widest))
        # As many answers as make the expected cosine HopSkipJump's: n alpha^2 alike.
        worth = alpha(scale, floor, shift, wide).clamp_min(1e-3)
        wanted = plan.initial * math.sqrt(iteration) * (ideal / worth).square()
        count = wanted.clamp(1.0, float(plan.most)).long()
        size = (way * wide * math.sqrt(d)).clamp_min(1e-6)
        draw = partial(_drawn, block, plan.block, turn)
        gradient = yield from normal(block, rows, x[rows], count, size, draw)
        direction = unit(block, gradient)
        if plan.edge:
            yield from handed_in(block, rows, x[rows], direction)
        # No step search: its answers would be noisy. Published code, as is the step
        # beyond: the boundary must lie on the way back.
        step = block.distance(x[rows], rows) / math.sqrt(iteration)
        ahead = (x[rows] + ball.shaped(step, x) * direction).clamp_(0.0, 1.0)
        ahead = ahead + plan.beyond * (ahead - block.origin[rows])
        x[rows] = ahead.clamp_(0.0, 1.0)
        turn += 1


def _drawn(block: Block, side: int, turn: int, part: int, rows: Tensor) -> Tensor:
    return probes(block, f"popskipjump/probes{part}", turn, side, rows)


def _located(
    plan: PopSkipJumpPlan,
    block: Block,
    sigmoids: Sigmoids,
    rows: Tensor,
    x: Tensor,
    floors: Tensor,
    turn: int,
) -> Generator[Ask, Answers, tuple[Tensor, Tensor, Tensor]]:
    """``(R,)`` centre, scale and floor of each image's labels on its way.

    Questions are asked where they are expected to tell most of all three. What was
    learnt of the floor is kept for the next search in ``floors``; the published code
    keeps its best guess.
    """
    belief = sigmoids.prior(floors[rows])
    best = torch.full_like(rows, -1)
    stood = torch.zeros_like(rows)
    for k in range(plan.longest):
        open_ = ((stood < plan.window) & block.running[rows]).nonzero()[:, 0]
        if not len(open_):
            break
        some, held = rows[open_], belief[open_]
        many = min(k // 2 + 1, plan.questions, len(sigmoids.places))
        place = _places(block, sigmoids.gain(held), some, many, k, turn)
        way = x[open_].repeat_interleave(many, 0)
        again = some.repeat_interleave(many)
        at = between(block, again, way, sigmoids.places[place.flatten()])
        inside = block.inside(at, some, many)
        answers = yield Ask(at, some, many, submit=inside, purpose="line")
        fooled = block.fooled(answers, some, many).view(-1, many)
        for i in range(many):
            held = sigmoids.learn(held, place[:, i], fooled[:, i])
        belief[open_] = held
        guess = sigmoids.guess(held)
        stood[open_] = torch.where(guess == best[open_], stood[open_] + 1, 0)
        best[open_] = guess
    live = block.running[rows]
    floors[rows[live]] = sigmoids.floors(belief[live])
    best = best.clamp_min(0)
    return sigmoids.centre[best], sigmoids.scale[best], sigmoids.floor[best]


def _places(
    block: Block, gain: Tensor, rows: Tensor, many: int, k: int, turn: int
) -> Tensor:
    """``(R, many)`` places to ask at: the best, or some that are nearly as good."""
    if many == 1:
        return gain.argmax(1, keepdim=True)
    # Published code: from nine tenths of the best on.
    good = gain >= 0.9 * gain.amax(1, keepdim=True)
    u = block.uniforms(f"popskipjump/places{k}", turn, (gain.shape[1],), rows).double()
    return torch.where(good, 1.0 + u, gain).topk(many, 1).indices


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Published code: no step beyond for Linf.
    return {} if norm == "L2" else {"beyond": 0.0}


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Probes as wide as the noise, short searches, and few dimensions: how often labels
    # are flipped far from the boundary is learnt on the way.
    side = max(2, min(shape[-2:]) // 14) if len(shape) == 3 else 1
    return {
        "initial": 50,
        "most": 200,
        "grid": 50,
        "questions": 4,
        "window": 3,
        "longest": 8,
        "spread": 1.0,
        "beyond": 0.5,
        "block": side,
        "edge": True,
        "restart": 6,
    }


ATTACK = Attack(
    name="popskipjump",
    engine=engine,
    plan=PopSkipJumpPlan,
    access="labels",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Simon-Gabriel, Sheikh & Krause 2021, PopSkipJump: Decision-Based Attack for "
        "Probabilistic Classifiers"
    ),
    about="HopSkipJump with Bayesian searches, for noisy labels",
    published=_published,
    adaptive=_adaptive,
)
