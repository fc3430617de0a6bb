"""A small model whose answers do not depend on their batch, and what is tried on it.

Run as a program it makes the trials on a store, slowly: `trial_setting.py PATH`.
"""

import sys
import time

import torch
from torch import nn

from querytax.evidence import Contender, Trial
from querytax.trials import Bench


class Planes(nn.Module):
    """Three classes by planes through 8x8 images, summed row by row in float64."""

    def __init__(self, seed=0, pause=0.0):
        super().__init__()
        draws = torch.Generator().manual_seed(seed)
        weight = torch.randn(3, 64, generator=draws, dtype=torch.float64)
        self.register_buffer("weight", weight)
        self.last = nn.Identity()
        self.rows, self.pause = 0, pause

    def forward(self, x):
        self.rows += len(x)
        time.sleep(self.pause)
        x = x.double().flatten(1) - 0.5
        return self.last((x[:, None] * self.weight).sum(2))


def parts(n=24, seed=1):
    draws = torch.Generator().manual_seed(seed)
    model, found = Planes(), {}
    for part in ("calibration", "held_out"):
        images = torch.rand(n, 1, 8, 8, generator=draws)
        labels = model(images).argmax(1)
        # Two of the images are ones that the network gets wrong.
        labels[[1, 5]] = (labels[[1, 5]] + 1) % 3
        found[part] = images, labels
    return found


def trial(attack="square", **changes):
    usual = {
        "eps": 0.05,
        "norm": "Linf",
        "access": "scores",
        "site": "output:logits:raw",
        "sigma": 0.3,
        "part": "calibration",
        "images": 12,
        "n_queries": 120,
        "seed": 5,
    }
    recipe = changes.pop("recipe", "published")
    settings = tuple(changes.pop("settings", {}).items())
    return Trial(Contender(attack, recipe, settings), **{**usual, **changes})


def several():
    """Trials of three attacks at two levels of noise."""
    return [
        trial(attack, sigma=sigma, n_queries=60)
        for attack in ("square", "rays", "patterns")
        for sigma in (0.0, 1.0)
    ]


def numbers(tried):
    """All that a trial counted, to be compared."""
    return [
        (
            one.trial,
            one.confirmed.queries.tolist(),
            one.confirmed.success.tolist(),
            one.confirmed.cut.tolist(),
            one.clean.queries.tolist(),
            one.clean.success.tolist(),
            one.asked.tolist(),
        )
        for one in tried
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    # Few rows a batch and few images in flight: runs end one after another.
    slow = Planes(pause=float(sys.argv[2]))
    bench = Bench(slow, parts(), store=sys.argv[1], batch_size=16)
    bench.run(several())
