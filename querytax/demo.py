"""The embedded default: a small network on real handwritten digits, made in seconds.

scikit-learn carries the 1,797 UCI digits (8x8 pixels) in its wheel. Nothing is fetched.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from querytax.noise import normals, uniforms
from querytax.plans import NESPlan
from querytax.statistics import atomic_write

__all__ = ["PLAN", "DigitSplit", "cache_folder", "digits", "load_model", "train"]

# The demo's attacker: NES with its published settings and a budget that people still
# read a digit through.
PLAN = NESPlan(eps=0.3, probe=0.01, pairs=10, step=0.01)

_EPOCHS = 25
_BATCH = 64
# Changes whenever a different network would come out.
_RECIPE = 1


@dataclass(frozen=True)
class DigitSplit:
    """Images ``(N, 1, 8, 8)`` in [0, 1] and labels of the three parts."""

    train: tuple[Tensor, Tensor]
    probe: tuple[Tensor, Tensor]
    held_out: tuple[Tensor, Tensor]


def digits() -> DigitSplit:
    """The digits, shuffled once and for all: 1,197 to train, 300 and 300 to test."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = torch.from_numpy(data.images.astype(np.float32) / 16.0)[:, None]
    y = torch.from_numpy(data.target.astype(np.int64))
    order = _order(len(x), "shuffle", 0)
    x, y = x[order], y[order]
    cuts = slice(0, 1197), slice(1197, 1497), slice(1497, 1797)
    return DigitSplit(*((x[cut], y[cut]) for cut in cuts))


def load_model() -> nn.Module:
    """The demo network in evaluation mode, trained on first use and cached.

    A cache that cannot be read or written is not an error: the network is trained
    again, to the same weights.
    """
    path = cache_folder() / f"demo-digits-{_RECIPE}.pt"
    model = _network()
    with contextlib.suppress(Exception):
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    model = train()
    with contextlib.suppress(OSError, ValueError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as stream:
            torch.save(model.state_dict(), stream)
    return model


def cache_folder() -> Path:
    """``$QUERYTAX_CACHE``, or ``querytax`` in the user's cache folder."""
    given = os.environ.get("QUERYTAX_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "querytax"


def train() -> nn.Module:
    """Train the demo network; one thread and keyed draws make it the same each time."""
    x, y = digits().train
    model = _network()
    with torch.no_grad():
        for name, p in model.named_parameters():
            fan_in = p[0].numel() if p.ndim > 1 else 1
            scale = (2.0 / fan_in) ** 0.5 if p.ndim > 1 else 0.0
            zero = torch.zeros(1, dtype=torch.int64)
            p.copy_(scale * normals(0, f"demo/init/{name}", zero, zero, p.shape)[0])
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    with _one_thread(), torch.enable_grad():
        for epoch in range(_EPOCHS):
            for batch in _order(len(x), "epoch", epoch).split(_BATCH):
                loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return model.eval()


def _network() -> nn.Module:
    # Layers draw their first weights from the global generator: it is the caller's.
    with torch.random.fork_rng(devices=[]):
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(512, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )


def _order(n: int, stream: str, epoch: int) -> Tensor:
    """A permutation by sorting keyed draws."""
    row = torch.zeros(1, dtype=torch.int64)
    draws = uniforms(0, f"demo/{stream}", row, row + epoch, (n,), dtype=torch.float64)
    return draws[0].argsort()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
