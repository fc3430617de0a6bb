"""What an attack is given, and what it asks: a block of images, and questions about it.

An attack is a generator over a block. It yields :class:`Ask` and is sent the answers;
it knows nothing of models, noise, budgets, or other blocks.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from querytax import noise
from querytax.attacks import ball
from querytax.losses import FLOOR, attacker_loss
from querytax.plans import Plan

__all__ = [
    "ACCESS",
    "PURPOSES",
    "Answers",
    "Ask",
    "Block",
    "Questions",
    "Top1",
    "seen",
    "spread",
]

# What an API gives away, most first.
ACCESS = ("scores", "top1", "labels")
# What a question was for. Votes are the scheduler's: no attack asks for them.
PURPOSES = ("start", "search", "line", "votes")

# Draws kept ahead: a call of the generator costs as much as thousands of draws.
_AHEAD_DRAWS = 1 << 16
_AHEAD_STEPS = 64


class Top1(NamedTuple):
    """The top class of each answer, and its probability."""

    label: Tensor
    score: Tensor


# (Q, C) scores, or top classes with their scores, or (Q,) labels.
Answers = Tensor | Top1


@dataclass(slots=True)
class Ask:
    """Questions about some images of a block.

    Attributes
    ----------
    x : Tensor
        ``(Q, ...)``: the questions about one image follow one another.
    rows : Tensor
        ``(R,)`` int64 places in the block, none twice.
    each : int or Tensor
        Questions about each image: one number, or ``(R,)`` of them.
    submit : bool or Tensor
        Whether these questions lie inside the budget and would be handed in if their
        answer is adversarial: all, none, or ``(Q,)`` of them.
    purpose : {"search", "start", "line"}
        What the questions are for: the search itself, a first adversarial image, or
        a line search or bisection.
    then : int
        Questions about each image that must still follow for these to be of use. An
        image that cannot afford both is asked about no more.
    again : Tensor, optional
        ``(Q,)`` bool: questions that were handed in before, word for word. What the
        model without its noise says to them is known.
    """

    x: Tensor
    rows: Tensor
    each: int | Tensor = 1
    submit: bool | Tensor = False
    purpose: str = "search"
    then: int = 0
    again: Tensor | None = None


Questions = Generator[Ask, Answers, None]


class Block:
    """Images that one attack works on, with the draws that belong to them.

    Attributes
    ----------
    plan : Plan
    origin : Tensor
        ``(n, ...)`` images in [0, 1].
    labels : Tensor
        ``(n,)`` the true labels.
    targets : Tensor or None
        ``(n,)`` the classes to reach, or None for any other than the label.
    starts : Tensor or None
        ``(n, ...)`` images known to be adversarial, where the attacker has some.
    n_classes : int
    answered : {"logits", "probabilities"}
        What scores are.
    access : {"scores", "top1", "labels"}
        What the attack is told.
    surrogate : nn.Module or callable or None
        A network of the attacker's own, which answers logits and has gradients.
    running : Tensor
        ``(n,)`` bool, written by the scheduler: False once an image's run has ended.
        Questions about such an image are not asked, and answered NaN, or the label -1.
    """

    def __init__(
        self,
        plan: Plan,
        origin: Tensor,
        labels: Tensor,
        keys: Tensor,
        *,
        seed: int = 0,
        targets: Tensor | None = None,
        starts: Tensor | None = None,
        n_classes: int = 2,
        answered: str = "logits",
        access: str = "scores",
        surrogate: Any = None,
    ) -> None:
        self.plan, self.seed, self.keys = plan, seed, keys
        self.origin, self.labels, self.targets = origin, labels, targets
        self.starts, self.n_classes, self.surrogate = starts, n_classes, surrogate
        self.answered, self.access = answered, access
        self.running = torch.ones(len(origin), dtype=torch.bool, device=origin.device)
        self.dropped: dict[int, str] = {}
        self._ahead: dict[tuple[str, str, tuple[int, ...]], tuple[int, Tensor]] = {}

    def __len__(self) -> int:
        return self.origin.shape[0]

    def part(self, i: int) -> Block:
        """One image of the block, as at the start."""
        cut = slice(i, i + 1)
        return Block(
            self.plan,
            self.origin[cut],
            self.labels[cut],
            self.keys[cut],
            seed=self.seed,
            targets=None if self.targets is None else self.targets[cut],
            starts=None if self.starts is None else self.starts[cut],
            n_classes=self.n_classes,
            answered=self.answered,
            access=self.access,
            surrogate=self.surrogate,
        )

    @property
    def shape(self) -> torch.Size:
        """Shape of one image."""
        return self.origin.shape[1:]

    @property
    def dimension(self) -> int:
        """Pixels times channels of one image."""
        return self.origin[0].numel()

    def rows(self) -> Tensor:
        """Places of the images that are still under attack."""
        return self.running.nonzero()[:, 0]

    def alive(self, rows: Tensor) -> Tensor:
        """Those of ``rows`` that are still under attack."""
        return rows[self.running[rows]]

    def drop(self, rows: Tensor, why: str) -> None:
        """Give these images up: the attack has nothing more to ask about them."""
        self.running[rows] = False
        self.dropped.update(dict.fromkeys(rows.tolist(), why))

    # -- what answers say ----------------------------------------------------------

    def fooled(self, answers: Answers, rows: Tensor, each: int | Tensor = 1) -> Tensor:
        """``(Q,)`` bool: whether each answer is adversarial."""
        said = _label(answers)
        goal = self.labels if self.targets is None else self.targets
        wanted = spread(goal[rows], each)
        if self.targets is not None:
            return said == wanted
        # No answer, -1, is not another class.
        return (said != wanted) & (said >= 0)

    def loss(self, answers: Answers, rows: Tensor, each: int | Tensor = 1) -> Tensor:
        """``(Q,)`` float64: what the attacker makes of each answer; larger is better.

        Of scores, the plan's loss. Of a top class and its score, the score's logarithm
        where the class is the one that the attacker wants, minus it where it is not;
        untargeted, any class but the label is wanted. Of a label, 1 if it is
        adversarial and else 0.
        """
        if isinstance(answers, Top1):
            log = answers.score.double().abs().clamp_min(FLOOR).log()
            # Above 0 where adversarial, below where not, and rising towards it.
            sign = self.fooled(answers, rows, each).double().mul_(2.0).sub_(1.0)
            return sign * (log - math.log(FLOOR))
        if answers.ndim == 1:
            return self.fooled(answers, rows, each).double()
        return self._read(answers, rows, each, self.plan.loss)

    def margin(self, answers: Tensor, rows: Tensor, each: int | Tensor = 1) -> Tensor:
        """``(Q,)`` float64: the margin loss of scores, above 0 where adversarial."""
        return self._read(answers, rows, each, "margin")

    def _read(
        self, answers: Tensor, rows: Tensor, each: int | Tensor, loss: str
    ) -> Tensor:
        goal = self.labels if self.targets is None else self.targets
        return attacker_loss(
            answers,
            spread(goal[rows], each),
            loss=loss,
            answered=self.answered,
            targeted=self.targets is not None,
        )

    # -- where questions lie -------------------------------------------------------

    def at(self, rows: Tensor, each: int | Tensor = 1) -> Tensor:
        """The origins of some images, each as often as there are questions about it."""
        return spread(self.origin[rows], each)

    def project(self, x: Tensor, rows: Tensor, each: int | Tensor = 1) -> Tensor:
        """The nearest images inside the budget and [0, 1]."""
        return ball.project(x, self.at(rows, each), self.plan.eps, self.plan.norm)

    def distance(self, x: Tensor, rows: Tensor, each: int | Tensor = 1) -> Tensor:
        """``(Q,)`` distances from the origin, in the plan's norm."""
        return ball.distance(x, self.at(rows, each), self.plan.norm)

    def inside(self, x: Tensor, rows: Tensor, each: int | Tensor = 1) -> Tensor:
        """``(Q,)`` bool: within the budget, up to rounding."""
        return ball.inside(x, self.at(rows, each), self.plan.eps, self.plan.norm)

    # -- draws ---------------------------------------------------------------------

    def normals(
        self, name: str, step: int | Tensor, shape: tuple[int, ...], rows: Tensor
    ) -> Tensor:
        """Standard normal draws ``(R, *shape)``, one array an image and step.

        A draw is a function of (seed, name, the image's key, step): name it by what
        it is for, and count steps by the image's own, never by turns of the block,
        so that an image's run does not depend on its neighbours.
        """
        return self._draw("normals", name, step, shape, rows)

    def uniforms(
        self, name: str, step: int | Tensor, shape: tuple[int, ...], rows: Tensor
    ) -> Tensor:
        """Uniform draws in [0, 1), as :meth:`normals`."""
        return self._draw("uniforms", name, step, shape, rows)

    def signs(
        self, name: str, step: int | Tensor, shape: tuple[int, ...], rows: Tensor
    ) -> Tensor:
        """Fair draws of -1 and +1, as :meth:`normals`."""
        return self._draw("signs", name, step, shape, rows)

    def _draw(
        self,
        kind: str,
        name: str,
        step: int | Tensor,
        shape: tuple[int, ...],
        rows: Tensor,
    ) -> Tensor:
        draw = getattr(noise, kind)
        stream, dtype = f"attack/{name}", self.origin.dtype
        if isinstance(step, Tensor):
            keys = self.keys[rows]
            return draw(self.seed, stream, keys, step, shape, dtype=dtype)
        size = max(1, torch.Size(shape).numel()) * len(self)
        steps = min(_AHEAD_STEPS, _AHEAD_DRAWS // size)
        if steps < 2:
            keys = self.keys[rows]
            at = torch.full_like(keys, step)
            return draw(self.seed, stream, keys, at, shape, dtype=dtype)
        begin = step - step % steps
        held = self._ahead.get((kind, name, shape))
        if held is None or held[0] != begin:
            ahead = torch.arange(begin, begin + steps, device=self.keys.device)
            keys = self.keys.repeat(steps)
            at = ahead.repeat_interleave(len(self))
            drawn = draw(self.seed, stream, keys, at, shape, dtype=dtype)
            held = begin, drawn.view(steps, len(self), *shape)
            self._ahead[kind, name, shape] = held
        return held[1][step - begin][rows]


def _label(answers: Answers) -> Tensor:
    if isinstance(answers, Top1):
        return answers.label
    return answers if answers.ndim == 1 else answers.argmax(1)


def seen(answers: Tensor, block: Block) -> Answers:
    """What an attack may know of ``(Q, C)`` answers."""
    if block.access == "scores":
        return answers
    if block.access == "labels":
        return answers.argmax(1)
    chances = answers.softmax(1) if block.answered == "logits" else answers
    score, label = chances.max(1)
    return Top1(label, score)


def spread(values: Tensor, each: int | Tensor) -> Tensor:
    """Values of images, each as often as there are questions about it."""
    if isinstance(each, int) and each == 1:
        return values
    return values.repeat_interleave(each, 0)
