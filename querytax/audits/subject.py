"""The model under audit: asked in this or that way, and every row counted."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from querytax.models import as_model, ask, evaluating, inside
from querytax.models.rows import read_answer

__all__ = ["Budget", "Spent", "Subject", "eps_of", "module_of", "spread"]

Array = NDArray[np.float64]

# Rows of a panel: enough that all of them match by no chance, and a prime, so that no
# small period goes into it.
PANEL = 31
# Times that one question is asked alone, one after another.
SERIES = 256
# Differences between the rows of one batch, of the largest number, that a network's own
# rounding does not make.
_ROUNDING = 1e-5
# From here on panels may be asked in one batch.
_LOUD = 1e-4


class Spent(Exception):
    """The budget of queries does not pay for what is asked."""


class Budget:
    """Rows that were asked, and those that may be."""

    def __init__(self, most: int) -> None:
        self.most, self.asked = most, 0

    def take(self, rows: int) -> None:
        """Pay for some rows, or fail before they are asked."""
        if self.asked + rows > self.most:
            raise Spent
        self.asked += rows


class Subject:
    """A model, images, and the way of asking in which its noise shows.

    Attributes
    ----------
    model : callable
    images : Tensor
    image : Tensor
        One of them, ``(1, ...)``: the one whose answers differ the most.
    size : int
        Rows of a batch at which there is noise.
    train : bool
        Whether the noise shows in training mode alone.
    commonest : float
        Bound of the share of answers to the image that are alike.
    stirs : bool
        Whether any image was answered in two ways by the same call.
    labels_only : bool
        Whether all answers are zeros and ones.
    frozen : tuple of int
        Sizes of batches whose rows differ, though the same call is answered alike.
    together : bool
        Whether many rows may be asked in one batch: their noises differ, and are far
        above what a network's own rounding does.
    """

    def __init__(self, model: Any, images: Tensor, budget: Budget) -> None:
        self.model = as_model(model, images)
        self.images, self.image = images, images[:1]
        self.budget = budget
        self.size, self.train, self.together = 1, False, False
        self.commonest = 1.0
        self.stirs, self.labels_only = False, False
        self.frozen: tuple[int, ...] = ()

    @property
    def answers(self) -> str:
        """``logits`` or ``probabilities``, as the model says; empty if it does not."""
        return str(getattr(self.model, "answers", ""))

    def ask(self, x: Tensor, model: Any = None, grad: bool = False) -> Array:
        """Answers in float64, each row paid for."""
        self.budget.take(len(x))
        with torch.set_grad_enabled(grad):
            said = ask(self.model if model is None else model, x)
        return _array(said)

    def ask_as_is(self, x: Tensor, model: Any = None) -> Array:
        """The same, with images in their own type."""
        self.budget.take(len(x))
        model = self.model if model is None else model
        with torch.no_grad():
            said = model(x)
        return _array(read_answer(said, x, self.answers or "logits"))

    def repeated(self, n: int) -> Tensor:
        """The image, n times."""
        return self.image.repeat(n, *[1] * (self.image.ndim - 1))

    def panel(self, model: Any = None, n: int = PANEL) -> Array:
        """n answers ``(n, C)`` to the image: in one batch, or one call after another.

        Not in a batch where the place in it could matter as much as the noise.
        """
        if self.together:
            return self.ask(self.repeated(n), model)
        x = self.repeated(self.size)
        return np.concatenate([self.ask(x, model)[:1] for _ in range(n)])

    def series(self, n: int = SERIES) -> tuple[Array, Array]:
        """n answers to the image, one call after another, and the seconds of each."""
        x = self.repeated(self.size)
        found, seconds = [], []
        for _ in range(n):
            start = time.perf_counter()
            found.append(self.ask(x)[:1])
            seconds.append(time.perf_counter() - start)
        return np.concatenate(found), np.array(seconds)

    def chance_alike(self, answers: int) -> float:
        """P(so many further answers to the image are as one given), at most."""
        return self.commonest**answers

    def copied(self, train: bool = False) -> Any:
        """A deep copy; in training mode, where asked, but for torch's own layers.

        Dropout and batch norm are no defence, and change in training.
        """
        twin = copy.deepcopy(self.model)
        if train:
            in_training(twin)
        return twin

    @contextmanager
    def mode(self) -> Iterator[None]:
        """The model in the mode in which its noise shows, then as it was."""
        with evaluating(self.model):
            if self.train:
                in_training(self.model)
            yield


def in_training(model: Any) -> None:
    """Training mode of what is not torch's own."""
    for part in model.modules() if isinstance(model, nn.Module) else ():
        if not type(part).__module__.startswith("torch."):
            part.training = True


def module_of(model: Any) -> nn.Module | None:
    """The module that a model is, or none."""
    within = inside(model)
    return within if isinstance(within, nn.Module) else None


def spread(answers: Array) -> float:
    """Standard deviation of a number of the answers, the root of the mean variance."""
    return float(np.sqrt(answers.var(0).mean()))


def eps_of(answers: Array) -> float:
    """What float32 rounds an answer of this size by."""
    return float(np.finfo(np.float32).eps * max(np.abs(answers).max(), 1e-30))


def differ(calls: list[Array]) -> bool:
    """Whether the same call was answered differently, by more than its last digits."""
    stacked = np.stack(calls)
    gap = np.abs(stacked - stacked[:1])
    size = np.abs(stacked).max(0)
    return bool((gap > 4 * np.finfo(np.float32).eps * size).any())


def rows_differ(answers: Array) -> bool:
    """Whether the rows of one batch of one image differ by more than rounding."""
    gap = np.abs(answers - answers[:1]).max()
    return bool(gap > _ROUNDING * np.abs(answers).max())


def is_loud(answers: Array) -> bool:
    """Whether the noise is far above a network's own rounding."""
    return spread(answers) > _LOUD * float(np.abs(answers).max())


def _array(said: Tensor) -> Array:
    return said.detach().to("cpu", torch.float64).numpy()
