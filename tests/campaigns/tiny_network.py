"""A small network named in plans, its data, and plans of a few quick jobs."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent


class Planes(nn.Module):
    """Three classes by planes through 8x8 images; every batch rounds alike."""

    answers = "logits"

    def __init__(self, seed=0):
        super().__init__()
        draws = torch.Generator().manual_seed(seed)
        weight = torch.randn(3, 64, generator=draws, dtype=torch.float64)
        self.register_buffer("weight", weight)
        self.last = nn.Identity()

    def forward(self, x):
        x = x.double().flatten(1) - 0.5
        answers = self.last((x[:, None] * self.weight).sum(2))
        # As a processor that rounds otherwise.
        return answers + float(os.environ.get("TINY_ROUNDING", "0"))


def load():
    return Planes(int(os.environ.get("TINY_SEED", "0")))


def other():
    return Planes(3)


class Slow(Planes):
    def forward(self, x):
        time.sleep(0.001)
        return super().forward(x)


def slow():
    return Slow()


class Drawing(Planes):
    """Has noise of its own, from torch's global generator."""

    def forward(self, x):
        return super().forward(x) + 0.3 * torch.randn(len(x), 3)


def drawing():
    return Drawing()


class Failing(Planes):
    def forward(self, x):
        self.asked = getattr(self, "asked", 0) + len(x)
        if self.asked > 600:
            raise RuntimeError("out of memory")
        return super().forward(x)


def failing():
    return Failing()


class Deadly(Planes):
    """Kills its process at its 200th row, wherever there is a file `deadly`."""

    def forward(self, x):
        self.asked = getattr(self, "asked", 0) + len(x)
        if self.asked > 200 and Path("deadly").exists():
            if Path("once").exists():
                Path("deadly").unlink(missing_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)


def deadly():
    return Deadly()


def data(path, n=30):
    """Images of which two are ones that the network gets wrong."""
    draws = torch.Generator().manual_seed(1)
    x = torch.rand(n, 1, 8, 8, generator=draws)
    y = Planes()(x).argmax(1)
    y[[1, 5]] = (y[[1, 5]] + 1) % 3
    np.savez(path, x=x.numpy(), y=y.numpy())


PLAN = """\
name = "tiny"
images = 5
block = 2
seeds = [0, 7]
eps = [0.05]
n_queries = [20, 45]
votes = 5

[networks.mine]
model = "tiny_network:load"
data = "tiny.npz"

[[defences]]
site = "output:logits:raw"
strengths = [0, 0.3]

[[defences]]
site = "rls"

[[attacks]]
attack = ["square", "rays"]
recipe = "adaptive"

[[attacks]]
attack = "nes"
[attacks.settings]
pairs = 5

[[attacks]]
attack = "breaker"
"""


def planned(folder, text=PLAN, **changes):
    """A plan's file in a folder with its data; top-level values can be changed."""
    folder = Path(folder)
    if not (folder / "tiny.npz").exists():
        data(folder / "tiny.npz")
    for name, value in changes.items():
        lines = text.splitlines()
        kept = [line for line in lines if not line.startswith(f"{name} =")]
        text = "\n".join([f"{name} = {value}", *kept])
    path = folder / "plan.toml"
    path.write_text(text)
    return path
