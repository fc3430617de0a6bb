"""Training that comes out the same each time, and a cache for what it made.

Weights, order, shifts and dropout are keyed draws and one thread computes, so that a
network is a function of its recipe and of the machine's arithmetic.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from querytax.expect import DomainError
from querytax.files import atomic_write, cache_folder, seal, unseal
from querytax.noise import normals, uniforms
from querytax.progress import progress

__all__ = [
    "Dropout",
    "Recipe",
    "build",
    "cached",
    "fit",
    "permutation",
    "tune",
]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    stream : str
        Names the draws, and with them the network.
    epochs, batch : int
    rate : float
        Adam's learning rate; its peak with ``cycle``.
    decay : float
        Decoupled weight decay.
    gain : float
        Weights start with variance ``gain / fan_in``; 2 keeps the scale behind ReLUs.
    cycle : bool
        Whether the rate rises over the first fifth of the steps and falls to 0 over
        the others, on straight lines.
    shift : int
        Images move by up to this many pixels each way, over black.
    flip : bool
        Half of the images are mirrored left to right.
    """

    stream: str
    epochs: int
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.0
    gain: float = 2.0
    cycle: bool = False
    shift: int = 0
    flip: bool = False


def build(make: Callable[[], nn.Module]) -> nn.Module:
    """A new network; the caller's global generator stays where it was."""
    with torch.random.fork_rng(devices=[]):
        return make()


def cached(
    name: str, make: Callable[[], nn.Module], train: Callable[[], nn.Module]
) -> nn.Module:
    """A trained network in evaluation mode, from the cache if it is there.

    A cache that cannot be read or written is not an error: the network is trained
    again, to the same weights.

    Parameters
    ----------
    name : str
        The file's, without its ending. It changes whenever another network would come
        out.
    make, train : callable
        Return the network as it is built, and as it is trained.
    """
    folder = cache_folder()
    model = build(make)
    if folder is not None:
        with contextlib.suppress(Exception):
            model.load_state_dict(_load(folder / f"{name}.pt"))
            return model.eval()
    model = train()
    if folder is not None:
        _save(folder / f"{name}.pt", model.state_dict())
    return model


def fit(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    *,
    resume: Path | None = None,
) -> nn.Module:
    """Train a new network from keyed weights; return it in evaluation mode.

    Parameters
    ----------
    model : nn.Module
    x, y : Tensor
        Images ``(N, C, H, W)`` and labels.
    recipe : Recipe
    resume : Path, optional
        Where the state after each epoch is kept; training goes on from what is there,
        to the same weights. The file is removed at the end.
    """
    _draw_weights(model, recipe)
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.rate, weight_decay=recipe.decay
    )
    # Evaluation mode may have been left behind by what was built.
    model.train()

    def loss(rows: Tensor, epoch: int, step: int) -> Tensor:
        images = _augment(x[rows], rows, epoch, recipe)
        return nn.functional.cross_entropy(model(images), y[rows])

    _descend(
        model,
        optimizer,
        loss,
        len(x),
        stream=f"{recipe.stream}/epoch",
        name=recipe.stream,
        epochs=recipe.epochs,
        batch=recipe.batch,
        rate=lambda done: _rate(recipe, done),
        resume=resume,
        shown=resume is not None,
    )
    return model.eval()


def tune(
    model: nn.Module,
    n: int,
    loss: Callable[[Tensor, int, int], Tensor],
    *,
    stream: str,
    epochs: int,
    batch: int,
    rate: float,
    resume: Path | None = None,
    mark: str = "",
    keep: bool = False,
    alone: bool = True,
    verbose: bool = False,
) -> nn.Module:
    """Train a network on from the weights it has, in the mode it is in.

    Adam, at a rate that falls to 0 on a straight line.

    Parameters
    ----------
    model : nn.Module
        Changed in place; what shall be trained asks for a gradient.
    n : int
        Images.
    loss : callable
        From rows of images, the epoch and the step, to what falls. Its draws are keyed.
    stream : str
        Names the order of the images.
    epochs, batch : int
    rate : float
    resume : Path, optional
        Where the state after each epoch is kept; training goes on from what is there,
        to the same weights.
    mark : str
        Tells one training from another.
    keep : bool
        Whether the file stays when training has ended, which is then not repeated.
    alone : bool
        Whether one thread computes, so that the weights do not depend on how many there
        are.
    verbose : bool
        Whether a bar may be shown.

    Raises
    ------
    DomainError
        For a file of another training.
    """
    optimizer = torch.optim.Adam(
        [p for p in model.parameters() if p.requires_grad], rate
    )
    _descend(
        model,
        optimizer,
        loss,
        n,
        stream=stream,
        name=stream,
        epochs=epochs,
        batch=batch,
        rate=lambda done: rate * (1.0 - done),
        resume=resume,
        mark=mark,
        keep=keep,
        alone=alone,
        shown=verbose,
    )
    return model


def _descend(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Tensor, int, int], Tensor],
    n: int,
    *,
    stream: str,
    name: str,
    epochs: int,
    batch: int,
    rate: Callable[[float], float],
    resume: Path | None,
    mark: str = "",
    keep: bool = False,
    alone: bool = True,
    shown: bool = False,
) -> None:
    begin = _restore(resume, model, optimizer, mark)
    per_epoch = -(-n // batch)
    threads = _one_thread() if alone else contextlib.nullcontext()
    with threads, torch.enable_grad(), progress(shown) as bars:
        bar = bars.add(name, epochs * per_epoch)
        for epoch in range(begin, epochs):
            for i, rows in enumerate(permutation(n, stream, epoch).split(batch)):
                step = epoch * per_epoch + i
                for group in optimizer.param_groups:
                    group["lr"] = rate(step / (epochs * per_epoch))
                falls = loss(rows, epoch, step)
                optimizer.zero_grad()
                falls.backward()
                optimizer.step()
                bars.update(bar, step + 1)
            if resume is not None:
                state = model.state_dict(), optimizer.state_dict(), epoch + 1, mark
                _save(resume, state)
    if resume is not None and not keep:
        resume.unlink(missing_ok=True)


def permutation(n: int, stream: str, epoch: int) -> Tensor:
    """A permutation of ``n`` by sorting keyed draws."""
    row = torch.zeros(1, dtype=torch.int64)
    draws = uniforms(0, stream, row, row + epoch, (n,), dtype=torch.float64)
    return draws[0].argsort()


class Dropout(nn.Module):
    """Dropout with keyed draws.

    Parameters
    ----------
    rate : float
        Share of the features that are dropped in training.
    """

    calls: Tensor

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        # Part of the state, so that resumed training draws on.
        self.register_buffer("calls", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        row = torch.zeros_like(self.calls)
        kept = uniforms(0, "training/dropout", row, self.calls, x.shape)[0] >= self.rate
        self.calls += 1
        return x * kept / (1.0 - self.rate)


def _draw_weights(model: nn.Module, recipe: Recipe) -> None:
    """Normal weights, zero biases; the scales of norms stay as they are built, at 1."""
    zero = torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim > 1:
                scale = (recipe.gain / p[0].numel()) ** 0.5
                stream = f"{recipe.stream}/init/{name}"
                p.copy_(scale * normals(0, stream, zero, zero, p.shape)[0])
            elif name.endswith("bias"):
                p.zero_()


def _rate(recipe: Recipe, done: float) -> float:
    if not recipe.cycle:
        return recipe.rate
    return recipe.rate * min(done / 0.2, (1.0 - done) / 0.8)


def _augment(x: Tensor, rows: Tensor, epoch: int, recipe: Recipe) -> Tensor:
    """Images moved and mirrored, each by its own draws of the epoch."""
    if not (recipe.shift or recipe.flip):
        return x
    epochs = torch.full_like(rows, epoch)
    draws = uniforms(0, f"{recipe.stream}/augment", rows, epochs, (3,))
    if recipe.flip:
        mirrored = (draws[:, 0] < 0.5)[:, None, None, None]
        x = torch.where(mirrored, x.flip(-1), x)
    if recipe.shift:
        (height, width), s = x.shape[-2:], recipe.shift
        x = nn.functional.pad(x, (s, s, s, s))
        down, right = ((2 * s + 1) * draws[:, 1:]).long().T
        i = down[:, None] + torch.arange(height)
        j = right[:, None] + torch.arange(width)
        n = torch.arange(len(x))[:, None, None]
        x = x[n, :, i[:, :, None], j[:, None, :]].permute(0, 3, 1, 2).contiguous()
    return x


def _restore(
    path: Path | None, model: nn.Module, optimizer: torch.optim.Optimizer, mark: str
) -> int:
    """The epochs that are behind, and their state; none if there is no such file."""
    if path is None:
        return 0
    try:
        weights, moments, epochs, of = _load(path)
    except Exception:
        # Absent, or cut short: torch fails in many ways.
        return 0
    if of != mark:
        raise DomainError(
            "expected resume to hold this training, of these data and settings, "
            f"got another's in {path}: name another file, or remove it"
        )
    model.load_state_dict(weights)
    optimizer.load_state_dict(moments)
    return int(epochs)


def _load(path: Path) -> Any:
    """What :func:`_save` wrote; fails on anything else."""
    whole = unseal(path.read_bytes())
    return torch.load(io.BytesIO(whole), weights_only=True)


def _save(path: Path, state: Any) -> None:
    """Write whole or not at all; a folder that cannot be written is no error."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with contextlib.suppress(OSError, ValueError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as stream:
            stream.write(seal(buffer.getvalue()))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
