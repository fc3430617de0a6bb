"""GenAttack: a small population of images that cross and mutate; the best survives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from querytax import expect
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.table import Attack
from querytax.plans import INCUMBENTS, Plan

__all__ = ["ATTACK", "GenAttackPlan", "engine"]

# Alzantot et al. 2019, section 4.3 and the released code: where mutations that shrink
# begin, how much a plateau shrinks them, and how many generations make one.
_RANGE, _SHARE, _SHRINK, _PLATEAU = 0.4, 0.5, 0.9, 100


@dataclass(frozen=True)
class GenAttackPlan(Plan):
    """Children of parents drawn by fitness, each mixed and then mutated.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`; the loss is the fitness.
    population : int
        Members of a generation, >= 2; the best of them goes on unchanged.
    mutation : float
        Probability that a pixel of a child mutates, in (0, 1]. With ``annealed`` the
        least.
    spread : float
        Largest mutation, as a share of ``eps``, > 0. With ``annealed`` the least.
    annealed : bool
        Whether both begin large and shrink each time the best has not become better
        for long.
    temperature : float
        Of the softmax that draws parents, in units of the loss, > 0.
    side : int
        Side of the space that is searched, enlarged bilinearly to the image; 0 for
        the image's own pixels.
    incumbent : {"stale", "requery", "mean"}
        What the best's fitness is taken to be, see
        :class:`querytax.attacks.incumbent.Incumbent`.
    """

    attack: ClassVar[str] = "genattack"

    population: int = 6
    mutation: float = 0.05
    spread: float = 1.0
    annealed: bool = False
    temperature: float = 0.3
    side: int = 0
    incumbent: str = "stale"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("population", 2), ("side", 0)):
            value = int(expect.count(least, **{name: getattr(self, name)}))
            object.__setattr__(self, name, value)
        expect.that(0.0 < self.mutation <= 1.0, "in (0, 1]", mutation=self.mutation)
        expect.positive(spread=self.spread)
        expect.positive(temperature=self.temperature)
        expect.one_of(INCUMBENTS, incumbent=self.incumbent)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return self.population

    @property
    def least(self) -> int:
        """The first generation."""
        return self.population


def engine(plan: GenAttackPlan, block: Block) -> Questions:
    """One generation a turn."""
    space = _space(plan, block)
    count, n = plan.population, len(block)
    children = count - 1
    rows = block.rows()
    # Algorithm 1: uniform noise about the image.
    u = block.uniforms("genattack/first", 0, (count, *space), rows)
    members = block.origin.new_zeros(n, count, *space)
    members[rows] = plan.eps * (2.0 * u - 1.0)
    fitness = torch.zeros(n, count, dtype=torch.float64, device=members.device)
    # The best comes first; how many answers its fitness is made of.
    heard = torch.zeros(n, dtype=torch.float64, device=members.device)
    best = torch.full_like(heard, -torch.inf)
    waited, plateaus = torch.zeros_like(heard), torch.zeros_like(heard)
    asked, generation = count, 0
    while len(rows := block.rows()):
        x = _images(block, rows, members[rows][:, -asked:])
        answers = yield Ask(x, rows, asked, submit=True)
        new = block.loss(answers, rows, asked).view(-1, asked)
        if asked == count and plan.incumbent == "mean":
            known = torch.where(heard[rows] > 0.0, fitness[rows, 0], 0.0)
            new[:, 0] = (known * heard[rows] + new[:, 0]) / (heard[rows] + 1.0)
        fitness[rows, count - asked :] = new
        scores = fitness[rows]
        top, elite = scores.max(1)
        better = top > best[rows]
        best[rows] = torch.where(better, top, best[rows])
        waited[rows] = torch.where(better, 0.0, waited[rows] + 1.0)
        stuck = waited[rows] > _PLATEAU
        plateaus[rows] += stuck
        waited[rows] = torch.where(stuck, 0.0, waited[rows])
        share, reach = _mutation(plan, plateaus[rows])
        # Parents by fitness, features by the parents' chances, then the mutations.
        chances = (scores / plan.temperature).softmax(1)
        drawn = block.uniforms("genattack/parents", generation, (2, children), rows)
        ladder = chances.cumsum(1)[:, None, :-1]
        parents = (drawn.double().flatten(1)[:, :, None] >= ladder).sum(2)
        first, second = parents.view(-1, 2, children).unbind(1)
        odds = chances.gather(1, first), chances.gather(1, second)
        from_first = _wide(odds[0] / (odds[0] + odds[1]), space)
        u = block.uniforms("genattack/child", generation, (3, children, *space), rows)
        here = members[rows]
        line = torch.arange(len(rows), device=rows.device)[:, None]
        child = torch.where(u[:, 0] < from_first, here[line, first], here[line, second])
        change = plan.eps * _wide(reach[:, None], space) * (2.0 * u[:, 2] - 1.0)
        child += torch.where(u[:, 1] < _wide(share[:, None], space), change, 0.0)
        members[rows, 1:] = child.clamp(-plan.eps, plan.eps)
        members[rows, 0] = here[line[:, 0], elite]
        fitness[rows, 0] = top
        heard[rows] = torch.where(elite == 0, heard[rows] + 1.0, 1.0)
        # The best is not asked about again, unless its fitness is in doubt.
        asked = children if plan.incumbent == "stale" else count
        generation += 1


def _mutation(plan: GenAttackPlan, plateaus: Tensor) -> tuple[Tensor, Tensor]:
    """Share of the features that mutate, and by which share of eps."""
    if not plan.annealed:
        return (
            torch.full_like(plateaus, plan.mutation),
            torch.full_like(plateaus, plan.spread),
        )
    left = _SHRINK**plateaus
    share = (_SHARE * left).clamp_min(plan.mutation)
    return share, (_RANGE * left).clamp_min(plan.spread)


def _images(block: Block, rows: Tensor, members: Tensor) -> Tensor:
    """``(R * K, ...)`` images of ``(R, K, ...)`` members."""
    each = members.shape[1]
    change = members.flatten(0, 1)
    if change.shape[1:] != block.shape:
        size = block.shape[-2:]
        change = functional.interpolate(
            change, size=size, mode="bilinear", align_corners=True
        )
    return block.project(block.at(rows, each) + change, rows, each)


def _wide(values: Tensor, space: torch.Size) -> Tensor:
    """``(R, K)`` values, to meet members ``(R, K, ...)``."""
    return values.float().view(*values.shape, *(1,) * len(space))


def _space(plan: GenAttackPlan, block: Block) -> torch.Size:
    if not plan.side or plan.side >= min(block.shape[-2:]):
        return block.shape
    return torch.Size((block.shape[0], plan.side, plan.side))


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    if len(shape) != 3 or min(shape[-2:]) <= 64:
        return {}
    # ImageNet: mutations that shrink, in a space of 96 x 96.
    return {"annealed": True, "mutation": 0.1, "spread": 0.15, "side": 96}


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Children far from their parents, in a space that is not too fine; no answer is
    # believed for ever.
    settings: dict[str, Any] = {"mutation": 0.4, "incumbent": "mean"}
    if len(shape) == 3:
        settings["side"] = max(8, min(shape[-2:]) // 4)
    return settings


ATTACK = Attack(
    name="genattack",
    engine=engine,
    plan=GenAttackPlan,
    access="scores",
    norms=("Linf",),
    targeted=True,
    source=(
        "Alzantot, Sharma, Chakraborty, Zhang, Hsieh & Srivastava 2019, GenAttack: "
        "Practical Black-box Attacks with Gradient-Free Optimization"
    ),
    about="six images that cross and mutate, the best survives",
    published=_published,
    adaptive=_adaptive,
)
