"""What every training starts from: a copy of the user's network, images and labels."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from querytax import expect
from querytax.defenses.defense import Defense, Model
from querytax.expect import DomainError
from querytax.files import writable
from querytax.losses import FLOOR, check_images, check_labels, check_logits
from querytax.models import ask, eager, is_scripted, unanswered
from querytax.noise import normals
from querytax.training import tune

__all__ = ["Data", "Training", "as_logits", "check_eps", "logits", "schedule"]

# Images and labels.
Data = tuple[Tensor, Tensor]


@dataclass
class Training:
    """A network under training, and what it is trained on.

    Attributes
    ----------
    model : nn.Module
        A copy, in evaluation mode: batch norms keep their statistics and nothing is
        dropped, so that the draws are the keyed ones alone.
    x, y : Tensor
        Images in the type of its parameters, and labels.
    stream : str
        Names the draws.
    seed : int
    epochs, batch : int
    rate : float
        Adam's, at the start.
    resume : Path or None
    mark : str
        Tells this training from one of another network, of other data or settings.
    verbose, alone : bool
        As of `querytax.training.tune`.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    stream: str
    seed: int
    epochs: int
    batch: int
    rate: float
    resume: Path | None = None
    mark: str = ""
    verbose: bool = False
    alone: bool = True

    def noise(self, rows: Tensor, turn: int, name: str, *shape: int) -> Tensor:
        """Keyed standard normal draws for images, in the type of the network."""
        turns = torch.full_like(rows, turn)
        stream = f"{self.stream}/{name}" if name else self.stream
        drawn = normals(self.seed, stream, rows, turns, shape)
        return drawn.to(self.x)

    def run(
        self,
        loss: Callable[[Tensor, int, int], Tensor],
        model: nn.Module | None = None,
        resume: Path | None = None,
        keep: bool = False,
    ) -> None:
        """Train by a loss of rows, epoch and step."""
        tune(
            self.model if model is None else model,
            len(self.x),
            loss,
            stream=self.stream,
            epochs=self.epochs,
            batch=self.batch,
            rate=self.rate,
            resume=self.resume if resume is None else resume,
            mark=self.mark,
            keep=keep,
            alone=self.alone,
            verbose=self.verbose,
        )

    def trained(self, model: nn.Module | None = None) -> nn.Module:
        """The network as it is deployed."""
        return (self.model if model is None else model).requires_grad_(False).eval()


def schedule(
    model: Model,
    data: Data,
    word: str,
    *,
    epochs: int,
    batch: int,
    rate: float,
    training_seed: int,
    resume: Any = None,
    verbose: bool = False,
    **settings: Any,
) -> Training:
    """A training of a copy of ``model``, which itself is never touched.

    Raises
    ------
    DomainError
        For a model that cannot be trained, data that do not fit it, and settings out of
        range.
    """
    expect.count(epochs=epochs)
    expect.count(batch=batch)
    expect.positive(rate=rate)
    network = _copy(model, word)
    x, y = _data(network, data)
    path = None if resume is None else Path(resume)
    if path is not None:
        writable(path)
    settings.update(epochs=epochs, batch=batch, rate=rate, training_seed=training_seed)
    mark = _mark(network, x, y, repr((word, sorted(settings.items()))))
    network.requires_grad_(True).eval()
    return Training(
        network,
        x,
        y,
        f"training/{word}",
        int(training_seed),
        int(epochs),
        int(batch),
        float(rate),
        path,
        mark,
        verbose,
    )


def logits(model: Model, x: Tensor) -> Tensor:
    """A network's answers as logits; of probabilities their logarithms."""
    return as_logits(ask(model, x), model)


def as_logits(said: Tensor, model: Model) -> Tensor:
    """Answers of a model as logits."""
    if getattr(model, "answers", "logits") == "probabilities":
        return said.clamp_min(FLOOR).log()
    return said


def check_eps(eps: Any, norm: str, steps: int) -> None:
    """An attacker's ball and steps."""
    expect.positive(eps=eps)
    expect.one_of(["Linf", "L2"], norm=norm)
    expect.count(steps=steps)


def _copy(model: Model, word: str) -> nn.Module:
    network = eager(model)
    if not isinstance(network, nn.Module) or is_scripted(network):
        raise DomainError(
            f"expected model to be a torch module that runs in Python, which {word} "
            f"trains a copy of, got {type(model).__name__}"
        )
    if any(isinstance(part, Defense) for part in network.modules()):
        raise DomainError(
            f"expected model without a defence, which {word} trains a copy of, got "
            f"{type(network).__name__}: train first, then put noise around the result"
        )
    if not any(p.is_floating_point() for p in network.parameters()):
        raise DomainError(
            f"expected model to have parameters, which {word} trains, got none in "
            f"{type(network).__name__}"
        )
    try:
        return copy.deepcopy(network)
    except Exception as error:
        raise DomainError(
            f"expected model to be one that can be copied, got {type(error).__name__} "
            f"from {type(network).__name__}"
        ) from error


def _data(network: nn.Module, data: Any) -> Data:
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise DomainError(
            f"expected data=(images, labels), got {type(data).__name__}"
            + (f" of {len(data)}" if isinstance(data, (tuple, list)) else "")
        )
    x = check_images(data[0])
    first = next(p for p in network.parameters() if p.is_floating_point())
    x = x.detach().to(first.device, first.dtype)
    y = check_labels(data[1], len(x)).to(first.device)
    network.requires_grad_(True).eval()
    try:
        with torch.enable_grad():
            said = ask(network, x[:2])
    except DomainError:
        raise
    except Exception as error:
        raise DomainError(unanswered(network, x, error)) from error
    if not said.requires_grad:
        raise DomainError(
            "expected model to be differentiable, got answers without a graph"
        )
    check_logits(said, torch.zeros_like(y[:2]), getattr(network, "answers", None))
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= said.shape[1]:
        raise DomainError(
            f"expected labels in 0..{said.shape[1] - 1}, the model's classes, "
            f"got {low if low < 0 else high}"
        )
    return x, y


def _mark(network: nn.Module, x: Tensor, y: Tensor, settings: str) -> str:
    """A digest of all that the weights will follow from."""
    whole = hashlib.sha256(settings.encode())
    for tensor in (x, y, *network.state_dict().values()):
        if isinstance(tensor, Tensor):
            kind = f"{tensor.dtype}{tuple(tensor.shape)}"
            whole.update(kind.encode())
            flat = tensor.detach().cpu().contiguous().flatten()
            whole.update(flat.view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()
