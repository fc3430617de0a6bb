"""Defences that have a say in the class: what counts is the class with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from querytax.defenses.defense import Defense, Model
from querytax.expect import DomainError

__all__ = ["Deciding", "check_maps", "mean_answer", "settled"]


def settled(model: Model) -> Model:
    """The model whose class counts: a defence's judge, and the judge's."""
    while isinstance(model, Defense) and model.judge is not model:
        model = model.judge
    return model


class Deciding(Defense):
    """A defence that is part of the decision, as a filter of the images is.

    An image that fools the model behind it may not fool it, and the other way round.
    Without randomness, and with none behind it, it judges for itself. Otherwise its
    `judge` is a module that gives one answer to an image, and stays the same object for
    as long as the model does.
    """

    #: Whether it draws anything at a query.
    draws = False

    # In a tuple, so that torch does not take the judge for a part of the defence.
    _judging: tuple[_Judge] | None = None

    @property
    def judge(self) -> Model:
        """The model whose class is right or wrong, whatever is drawn at a query."""
        within = settled(self.model)
        if within is self.model and not self.draws:
            return self
        judge = self._judging and self._judging[0]
        # A shallow copy brings the judge of another along.
        if judge is None or judge.model is not within or judge.of[0] is not self:
            judge = _Judge(self, within)
            self._judging = (judge,)
        return judge

    def decide(self, model: Model, x: Tensor) -> Tensor:
        """The answer that counts, of a ``model`` without noise behind this defence."""
        raise NotImplementedError


class _Judge(nn.Module):
    """Asks a defence for the answer that counts; counts no queries."""

    def __init__(self, defence: Deciding, model: Model) -> None:
        super().__init__()
        self.model = model
        self.answers: str = getattr(model, "answers", "logits")
        # In a tuple: it is this one's neighbour and no part of it.
        self.of = (defence,)

    def forward(self, x: Tensor) -> Tensor:
        (defence,) = self.of
        return defence.decide(self.model, defence._cast(x))


def mean_answer(said: Sequence[Tensor], answered: str) -> Tensor:
    """Answers of the mean probability over several answers about the same images."""
    if answered == "probabilities":
        return torch.stack(tuple(said)).mean(0)
    logs = torch.stack([torch.log_softmax(each, 1) for each in said])
    return logs.logsumexp(0) - math.log(len(said))


def check_maps(x: Any, what: str = "images") -> Tensor:
    """Images or features ``(N, C, H, W)``."""
    if not isinstance(x, Tensor) or x.dim() != 4:
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise DomainError(f"expected {what} of shape (N, C, H, W), got {got}")
    return x
