"""Models whose noise is sound: nothing may be said to undo or weaken them."""

from __future__ import annotations

import copy
import os
import secrets

import numpy as np
import torch
from planted_faults import Guard, secret
from torch import nn

from querytax import Remote
from querytax.defenses import defend


class PerCall(Guard):
    """A torch generator of this call alone, seeded by os.urandom."""

    def draw(self, x, y):
        seed = int.from_bytes(os.urandom(7), "little")
        return torch.randn(y.shape, generator=torch.Generator().manual_seed(seed))


class BySecrets(nn.Module):
    """RND as people write it, with NumPy seeded by secrets at each call."""

    def __init__(self, model, sigma=0.05):
        super().__init__()
        self.model, self.sigma = model, sigma

    def forward(self, x):
        rng = np.random.default_rng(secrets.randbits(128))
        noise = rng.standard_normal(tuple(x.shape), dtype=np.float32)
        return self.model(x + self.sigma * torch.from_numpy(noise).to(x))


class Uniform(Guard):
    def draw(self, x, y):
        rng = np.random.default_rng()
        return torch.from_numpy(rng.uniform(-1, 1, tuple(y.shape)))


class Heavy(Guard):
    def draw(self, x, y):
        return torch.from_numpy(np.random.default_rng().standard_cauchy(tuple(y.shape)))


class Softmax(nn.Module):
    """Probabilities of a network with noisy images."""

    answers = "probabilities"

    def __init__(self, model, sigma=0.05):
        super().__init__()
        self.model, self.sigma = model, sigma

    def forward(self, x):
        return self.model(x + self.sigma * secret(x)).softmax(1)


class Double(nn.Module):
    """A network in float64 behind noise in float64."""

    def __init__(self, model, sigma=0.1):
        super().__init__()
        self.model, self.sigma = model, sigma

    def forward(self, x):
        y = self.model(x).double()
        return y + self.sigma * secret(y)


def remote(model, labels=False):
    # So much noise that labels, which tell little, show it on every image.
    guarded = defend(model, "input", 1.0 if labels else 0.1)

    def api(batch):
        with torch.no_grad():
            p = guarded(torch.from_numpy(batch)).softmax(1).numpy()
        return p.argmax(1) if labels else p

    return Remote(api, classes=10, answers="labels" if labels else "probabilities")


SOUND = {
    "input, 0.01": lambda m: defend(m, "input", 0.01),
    "input, 0.1": lambda m: defend(m, "input", 0.1),
    "input, 1": lambda m: defend(m, "input", 1.0),
    "input, 1e-4 (tiny)": lambda m: defend(m, "input", 1e-4),
    "output, 0.01": lambda m: defend(m, "output", 0.01),
    "output, 0.3": lambda m: defend(m, "output", 0.3),
    "output:reflect, 0.05": lambda m: defend(m, "output:probabilities:reflect", 0.05),
    "output:clip, 0.05": lambda m: defend(m, "output:probabilities:clip", 0.05),
    "output:logits, 1e-5 (tiny)": lambda m: defend(m, "output:logits", 1e-5),
    "output:logits, 0.3": lambda m: defend(m, "output:logits", 0.3),
    "output:logits, 30 (large)": lambda m: defend(m, "output:logits", 30.0),
    "first layer, 0.1": lambda m: defend(m, "0", 0.1),
    "last hidden layer, 0.5": lambda m: defend(m, "7", 0.5),
    "input and output": lambda m: defend(m, "input+output:logits", 0.05),
    "generator of each call by os.urandom": PerCall,
    "NumPy by secrets": BySecrets,
    "uniform noise": Uniform,
    "Cauchy noise": Heavy,
    "softmax of noisy images": Softmax,
    "float64 answers": Double,
    "Remote, probabilities": remote,
    "Remote, labels": lambda m: remote(m, True),
    "noise of float64 network": lambda m: defend(
        copy.deepcopy(m).double(), "input", 0.05
    ),
}
