"""NES told labels alone: its score is the adversarial share of noisy copies."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from querytax import expect
from querytax.attacks import ball
from querytax.attacks.block import Answers, Ask, Block, Questions
from querytax.attacks.boundary_search import starting_points
from querytax.attacks.shrinking import Judge, ShrinkingPlan, pixel, published, shrink
from querytax.attacks.table import Attack

__all__ = ["ATTACK", "NESLabelsPlan", "engine"]


@dataclass(frozen=True)
class NESLabelsPlan(ShrinkingPlan):
    """NES on labels, from an adversarial image inwards, in a shrinking ball.

    Attributes
    ----------
    eps, norm, repeats, sequential, name, probe, pairs, step_rule, block, momentum
        As in :class:`querytax.plans.NESPlan`; the loss is not used.
    samples : int
        Noisy copies whose adversarial share is the score of a point.
    spread : float
        How far their pixels lie from it: half the side of a cube for Linf; for L2 the
        root mean square of a point on a sphere.
    step, step_least, fall, sure
        As in :class:`querytax.attacks.shrinking.ShrinkingPlan`.
    """

    attack: ClassVar[str] = "neslabels"

    samples: int = 50
    spread: float = 0.001

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "samples", int(expect.count(samples=self.samples)))
        expect.positive(spread=self.spread)

    @property
    def queries_per_step(self) -> int:
        """Questions that one gradient estimate costs."""
        return 2 * self.pairs * self.samples

    @property
    def least(self) -> int:
        """The first start may be inside the budget."""
        return 1

    def describe(self) -> str:
        """One line for a person."""
        copies = f"NES, labels of {self.samples} noisy copies"
        return super().describe().replace("NES", copies, 1)


def engine(plan: NESLabelsPlan, block: Block) -> Questions:
    """An adversarial image, then a shrinking ball."""
    x = yield from starting_points(block, "neslabels")
    yield from shrink(plan, block, "neslabels", x, _judge(plan))


def _judge(plan: NESLabelsPlan) -> Judge:
    """The score of each point is the share of its copies that are adversarial."""

    def judge(
        block: Block, points: Tensor, rows: Tensor, step: int
    ) -> Generator[Ask, Answers, tuple[Tensor, Tensor]]:
        many, copies = points.shape[1], plan.samples
        shape = (many, copies, *block.shape)
        # Ilyas et al. 2018, section 2.4: S(x), the Monte-Carlo proxy of the score.
        if plan.norm == "Linf":
            around = 2.0 * block.uniforms("neslabels/copies", step, shape, rows) - 1.0
        else:
            around = block.normals("neslabels/copies", step, shape, rows)
            flat = around.flatten(0, 2)
            size = ball.lengths(flat) / block.dimension**0.5
            around = (flat / ball.shaped(size, flat)).view_as(around)
        asked = (points[:, :, None] + plan.spread * around).flatten(0, 2)
        answers = yield Ask(asked, rows, many * copies, then=1)
        fooled = block.fooled(answers, rows, many * copies)
        score = fooled.double().view(-1, many, copies).mean(2)
        return score, score

    return judge


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        **published(eps, norm, shape),
        "spread": pixel(eps, norm, shape) / 50.0,
    }


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Probes as wide as the budget straddle the boundary; copies beside them would only
    # repeat what the model's noise does already.
    return {
        **_published(eps, norm, shape),
        "pairs": 10,
        "samples": 1,
        "probe": pixel(eps, norm, shape) / 1.5,
        "step": eps / 1.5,
        "step_least": eps / 15.0,
        "sure": 0.5,
        "block": max(2, min(shape[-2:]) // 14) if len(shape) == 3 else 1,
        "momentum": 0.5,
    }


ATTACK = Attack(
    name="neslabels",
    engine=engine,
    plan=NESLabelsPlan,
    access="labels",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Ilyas, Engstrom, Athalye & Lin 2018, Black-box Adversarial Attacks with "
        "Limited Queries and Information, section 2.4"
    ),
    about="NES on the adversarial share of noisy copies",
    published=_published,
    adaptive=_adaptive,
)
