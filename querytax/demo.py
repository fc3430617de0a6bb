"""The embedded default: a small network on real handwritten digits, made in seconds.

scikit-learn carries the 1,797 UCI digits (8x8 pixels) in its wheel. Nothing is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from querytax.plans import NESPlan
from querytax.training import Recipe, build, cached, fit, permutation

__all__ = ["PLAN", "DigitSplit", "digits", "load_model", "train"]

# The demo's attacker: NES with its published settings and a budget that people still
# read a digit through.
PLAN = NESPlan(eps=0.3, probe=0.01, pairs=10, step=0.01)

_RECIPE = Recipe("demo", epochs=25)
# Changes whenever a different network would come out.
_VERSION = 1


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
    order = permutation(len(x), "demo/shuffle", 0)
    x, y = x[order], y[order]
    cuts = slice(0, 1197), slice(1197, 1497), slice(1497, 1797)
    return DigitSplit(*((x[cut], y[cut]) for cut in cuts))


def load_model() -> nn.Module:
    """The demo network in evaluation mode, trained on first use and cached."""
    # Looked up when called: `train` may stand for something quicker.
    network = cached(f"demo-digits-{_VERSION}", _network, lambda: train())
    # Pooling takes a fourteenth of the time in this layout, a forward pass two thirds.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def train() -> nn.Module:
    """Train the demo network; one thread and keyed draws make it the same each time."""
    return fit(build(_network), *digits().train, _RECIPE)


def _network() -> nn.Module:
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
