"""Networks behind small input noise: what the experiments on SND 2022 share."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from querytax.attacks.oracle import answer_in_batches
from querytax.defenses import InputNoise
from querytax.intervals import Interval, changed, mean
from querytax.probes.gradients import gradient_norms, margins
from querytax.reproductions import zoo
from querytax.reproductions.experiment import Job

__all__ = [
    "BATCH",
    "PAPER",
    "PAPERS_NETWORK",
    "Lead",
    "Probabilities",
    "labels_under_noise",
    "lead",
    "loaded",
    "one_network",
    "power",
    "quotient",
    "right",
    "root",
]

PAPER = "snd-2022"
# The one network here that the paper also has, though trained by others.
PAPERS_NETWORK = "cifar10_resnet20"
# Small batches are the faster ones on one core.
BATCH = 32

Array = npt.NDArray[np.float64]


class Probabilities(nn.Module):
    """A network that answers probabilities in place of logits."""

    answers = "probabilities"

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.model(x)
        return answer.softmax(1)


@dataclass(frozen=True)
class Lead:
    """How far each image is from another answer, without noise.

    Attributes
    ----------
    answered : ndarray
        ``(N,)`` int64, the label given.
    margin : ndarray
        ``(N,)`` logit of that label less the best other.
    gradient_norm : ndarray
        ``(N,)`` L2 norm of the margin's gradient at the image.
    """

    answered: npt.NDArray[np.int64]
    margin: Array
    gradient_norm: Array


def one_network(job: Job) -> tuple[str, ...]:
    """What an experiment on one network needs."""
    return (job["network"],)


@functools.cache
def loaded(network: str) -> nn.Module:
    """The network, loaded once, in the layout that one core is faster with."""
    model = zoo.load(network)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@functools.lru_cache(maxsize=4)
def lead(network: str, n: int) -> Lead:
    """Margin and gradient of the first ``n`` test images."""
    model, x = loaded(network), zoo.images(network, n)[0]
    with torch.no_grad():
        answered = answer_in_batches(model, x, BATCH).argmax(1)
    return Lead(
        answered.numpy(),
        margins(model, x, answered, batch_size=BATCH),
        gradient_norms(model, x, answered, ["input"], batch_size=BATCH)["input"],
    )


@functools.lru_cache(maxsize=16)
def labels_under_noise(
    network: str, n: int, sigma: float, repeats: int, seed: int
) -> npt.NDArray[np.int64]:
    """Labels ``(n, repeats)`` given to the first test images under fresh noise."""
    noisy = InputNoise(loaded(network), sigma, experiment_seed=seed)
    x, rows = zoo.images(network, n)[0], torch.arange(n)
    with torch.no_grad():
        answers = [
            answer_in_batches(noisy, x, BATCH, rows, torch.full_like(rows, repeat))
            for repeat in range(repeats)
        ]
    return torch.stack([answer.argmax(1) for answer in answers], 1).numpy()


@functools.lru_cache(maxsize=4)
def right(network: str, n: int) -> npt.NDArray[np.int64]:
    """True labels of the first ``n`` test images."""
    return zoo.images(network, n)[1].numpy()


def quotient(above: Array, below: Array) -> Interval:
    """Quotient of the means of two numbers of each image, linearised about it.

    Undefined, with an infinite interval, unless the lower mean is positive.
    """
    base = below.mean()
    if not base > 0.0:
        return _undefined(below.size)
    value = above.mean() / base
    return mean(value + (above - value * below) / base)


def power(weak: Array, strong: Array, factor: float) -> Interval:
    """Exponent of a mean that grows from ``weak`` to ``strong`` noise.

    Undefined, with an infinite interval, unless both means are positive.
    """
    low, high = weak.mean(), strong.mean()
    if not (low > 0.0 and high > 0.0):
        return _undefined(weak.size)
    value = math.log(high / low)
    return mean((value + strong / high - weak / low) / math.log(factor))


def root(x: Interval) -> Interval:
    """Square root of a number that cannot be negative, though its estimate can."""
    return changed(x, lambda v: math.sqrt(max(v, 0.0)))


def _undefined(n: int) -> Interval:
    return Interval(math.nan, -math.inf, math.inf, n)
