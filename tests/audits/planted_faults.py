"""Defences with one fault each, and the rules that name it."""

from __future__ import annotations

import hashlib
import time

import numpy as np
import torch
from seeds_numpy import SeededAtImport
from torch import Tensor, nn


class Guard(nn.Module):
    """Noise on the logits; subclasses draw it in their own bad way."""

    def __init__(self, model: nn.Module, sigma: float = 0.2, seed: int = 0) -> None:
        super().__init__()
        self.model, self.sigma, self.seed = model, sigma, seed

    def forward(self, x: Tensor) -> Tensor:
        y = self.model(x)
        return y + self.sigma * self.draw(x, y).to(y)

    def draw(self, x: Tensor, y: Tensor) -> Tensor:
        return secret(y)


def secret(y: Tensor) -> Tensor:
    """Sound noise: a generator of this call alone, seeded by the system."""
    rng = np.random.default_rng()
    return torch.from_numpy(rng.standard_normal(tuple(y.shape))).to(y)


class SeedsTorch(Guard):
    def draw(self, x, y):
        torch.manual_seed(self.seed)
        return torch.randn_like(y)


class NewGenerator(Guard):
    def draw(self, x, y):
        return torch.randn(y.shape, generator=torch.Generator().manual_seed(self.seed))


class GlobalTorch(Guard):
    def draw(self, x, y):
        return torch.randn_like(y)


class HoldsNumpy(Guard):
    def __init__(self, model, sigma=0.2, seed=0):
        super().__init__(model, sigma, seed)
        # Nobody can guess the seed, but every worker begins with the same state.
        self.rng = np.random.default_rng()

    def draw(self, x, y):
        return torch.from_numpy(self.rng.standard_normal(tuple(y.shape)))


class HoldsNumpyButForks(HoldsNumpy):
    """Seeded anew in a forked process, and not in a copy or a pickle."""

    def __init__(self, model, sigma=0.2, seed=0):
        super().__init__(model, sigma, seed)
        import os

        os.register_at_fork(
            after_in_child=lambda: setattr(self, "rng", np.random.default_rng())
        )


class EvalOnly(Guard):
    def draw(self, x, y):
        return torch.zeros_like(y) if self.training else secret(y)


class TrainOnly(Guard):
    def draw(self, x, y):
        return secret(y) if self.training else torch.zeros_like(y)


class ManyOnly(Guard):
    def draw(self, x, y):
        return secret(y) if len(x) > 1 else torch.zeros_like(y)


class OneOnly(Guard):
    def draw(self, x, y):
        return secret(y) if len(x) == 1 else torch.zeros_like(y)


class SharedInBatch(Guard):
    def draw(self, x, y):
        return secret(y[:1]).expand_as(y)


class PartlyShared(Guard):
    def draw(self, x, y):
        return 0.8 * secret(y[:1]).expand_as(y) + 0.6 * secret(y)


class SharedInput(nn.Module):
    """One perturbation of the image for a whole batch."""

    def __init__(self, model, sigma=0.1):
        super().__init__()
        self.model, self.sigma = model, sigma

    def forward(self, x):
        return self.model(x + self.sigma * secret(x[:1]))


class Cached(Guard):
    def __init__(self, model, sigma=0.2, seed=0):
        super().__init__(model, sigma, seed)
        self.known = {}

    def forward(self, x):
        rows = []
        for row in x:
            key = row.numpy().tobytes()
            if key not in self.known:
                self.known[key] = super().forward(row[None])
            rows.append(self.known[key])
        return torch.cat(rows)


class Hashed(Guard):
    def key(self, row):
        return row.numpy().tobytes()

    def draw(self, x, y):
        rows = []
        for row in x:
            digest = hashlib.sha256(bytes(self.seed) + self.key(row)).digest()
            rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
            rows.append(rng.standard_normal(y.shape[1]))
        return torch.from_numpy(np.array(rows))


class HashedRounded(Hashed):
    def key(self, row):
        return (row * 255).round().to(torch.int16).numpy().tobytes()


class CountsModulo(Guard):
    def __init__(self, model, sigma=0.2, seed=0, period=17):
        super().__init__(model, sigma, seed)
        self.period, self.count = period, 0

    def draw(self, x, y):
        rows = []
        for _ in x:
            rng = np.random.default_rng(
                [self.seed, self.count % self.period, 987654321]
            )
            rows.append(rng.standard_normal(y.shape[1]))
            self.count += 1
        return torch.from_numpy(np.array(rows))


class StateInBuffer(Guard):
    def __init__(self, model, sigma=0.2, seed=0):
        super().__init__(model, sigma, seed)
        start = torch.Generator().manual_seed(
            int(np.random.default_rng().integers(2**60))
        )
        self.register_buffer("state", start.get_state())

    def draw(self, x, y):
        generator = torch.Generator()
        generator.set_state(self.state)
        noise = torch.randn(y.shape, generator=generator)
        self.state.copy_(generator.get_state())
        return noise


class NotInDouble(Guard):
    def draw(self, x, y):
        return torch.zeros_like(y) if x.dtype == torch.float64 else secret(y)


class NotInHalf(Guard):
    def draw(self, x, y):
        return torch.zeros_like(y) if x.dtype == torch.float16 else secret(y)


class ClippedAtBlack(nn.Module):
    """Multiplicative noise: where a pixel is black, there is none."""

    def __init__(self, model, sigma=0.2):
        super().__init__()
        self.model, self.sigma = model, sigma

    def forward(self, x):
        return self.model((x * (1 + self.sigma * secret(x))).clamp(0, 1))


class ScaledRows(nn.Module):
    """Probabilities times a random number: their sum tells it."""

    answers = "probabilities"

    def __init__(self, model, sigma=0.2):
        super().__init__()
        self.model, self.sigma = model, sigma

    def forward(self, x):
        p = self.model(x).softmax(1)
        return p * (1 + self.sigma * secret(p[:, :1]))


class WithCounter(Guard):
    def __init__(self, model, sigma=0.2, seed=0):
        super().__init__(model, sigma, seed)
        self.count = 0

    def forward(self, x):
        y = super().forward(x)
        counts = torch.arange(self.count, self.count + len(x)).to(y)
        self.count += len(x)
        return torch.cat((y, counts[:, None]), 1)


class Rounded(nn.Module):
    """Probabilities to one decimal: noise of a hundredth seldom shows."""

    answers = "probabilities"

    def __init__(self, model, seed, sigma=0.014):
        super().__init__()
        self.model, self.sigma = model, sigma
        # So that the same answers show it in every run.
        self.draws = np.random.default_rng(seed)

    def forward(self, x):
        p = self.model(x).softmax(1)
        noise = torch.from_numpy(self.draws.standard_normal(p.shape)).to(p)
        return ((p + self.sigma * noise) * 10).round() / 10


class Congruence(Guard):
    """Uniform noise of x -> a x + c mod m, from a start that nobody knows."""

    def __init__(self, model, sigma=0.2, seed=0, a=75, c=74, m=65537):
        super().__init__(model, sigma, seed)
        self.a, self.c, self.m = a, c, m
        self.x = int(np.random.default_rng().integers(1, m))

    def draw(self, x, y):
        found = []
        for _ in range(y.numel()):
            self.x = (self.a * self.x + self.c) % self.m
            found.append(self.x / self.m - 0.5)
        return torch.tensor(found, dtype=torch.float64).view(y.shape) * 12**0.5


class ByTheClock(Guard):
    def draw(self, x, y):
        rng = np.random.default_rng(int(time.time() / 60))
        return torch.from_numpy(rng.standard_normal(tuple(y.shape)))


class OneForAllClasses(Guard):
    def draw(self, x, y):
        return secret(y[:, :1]).expand_as(y)


class WithoutGradient(Guard):
    def draw(self, x, y):
        return torch.zeros_like(y) if torch.is_grad_enabled() else secret(y)


class Scaled(nn.Module):
    """Logits times one random number a row."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        y = self.model(x)
        low = np.random.default_rng().uniform(0.5, 2.0, (len(y), 1))
        return y * torch.from_numpy(low).to(y)


class Tempered(nn.Module):
    """The softmax of such logits: a random temperature."""

    answers = "probabilities"

    def __init__(self, model):
        super().__init__()
        self.model = Scaled(model)

    def forward(self, x):
        return self.model(x).softmax(1)


class KnownSeed(Guard):
    """A generator of its own, begun at a seed that people write."""

    def __init__(self, model, sigma=0.2, seed=0):
        super().__init__(model, sigma, seed)
        generator = torch.Generator().manual_seed(seed)
        # Hidden from who looks at attributes.
        self.next = lambda shape: torch.randn(shape, generator=generator)

    def draw(self, x, y):
        return self.next(y.shape)


def minstd(model, seed):
    return Congruence(model, 1.0, seed, a=16807, c=0, m=2**31 - 1)


COPIES = ("noise/repeats-across-copies", "noise/repeats-across-pickles")

# Name -> how it is made of a network and a seed, and the rules of which one must fall.
FAULTS = {
    "torch.manual_seed in forward": (
        lambda m, s: SeedsTorch(m, seed=s),
        {"noise/repeats-every-call"},
    ),
    "generator made anew each call": (
        lambda m, s: NewGenerator(m, seed=s),
        {"noise/repeats-every-call"},
    ),
    "forked workers of one state": (
        lambda m, s: GlobalTorch(m),
        {"noise/repeats-across-forks"},
    ),
    "global generator of torch": (
        lambda m, s: GlobalTorch(m),
        {"noise/repeats-after-seeding"},
    ),
    "copies replay": (lambda m, s: HoldsNumpyButForks(m), {COPIES[0]}),
    "pickles replay": (lambda m, s: HoldsNumpy(m), {COPIES[1]}),
    "noise in evaluation alone": (
        lambda m, s: EvalOnly(m),
        {"noise/absent-in-training"},
    ),
    "noise in training alone": (
        lambda m, s: TrainOnly(m),
        {"noise/absent-in-evaluation"},
    ),
    "no noise at batch 1": (lambda m, s: ManyOnly(m), {"noise/absent-at-batch-size"}),
    "noise at batch 1 alone": (lambda m, s: OneOnly(m), {"noise/absent-at-batch-size"}),
    "one noise a batch": (lambda m, s: SharedInBatch(m), {"noise/shared-in-batch"}),
    "one input noise a batch": (lambda m, s: SharedInput(m), {"noise/shared-in-batch"}),
    "part of the noise shared in a batch": (
        lambda m, s: PartlyShared(m),
        {"noise/shared-in-batch", "noise/correlated-in-batch"},
    ),
    "answers from memory": (lambda m, s: Cached(m), {"noise/cached"}),
    "hash of the image": (lambda m, s: Hashed(m, seed=s), {"noise/function-of-input"}),
    "hash of the rounded image": (
        lambda m, s: HashedRounded(m, seed=s),
        {"noise/function-of-rounded-input"},
    ),
    "counter modulo 17": (
        lambda m, s: CountsModulo(m, seed=s),
        {"noise/repeats-with-period"},
    ),
    "counter modulo 64": (
        lambda m, s: CountsModulo(m, seed=s, period=64),
        {"noise/repeats-with-period"},
    ),
    "generator's state in a buffer": (
        lambda m, s: StateInBuffer(m),
        {"noise/repeats-from-state-dict"},
    ),
    "no noise in float64": (lambda m, s: NotInDouble(m), {"noise/absent-at-dtype"}),
    "no noise in float16": (lambda m, s: NotInHalf(m), {"noise/absent-at-dtype"}),
    "no noise at black pixels": (
        lambda m, s: ClippedAtBlack(m),
        {"noise/absent-at-constant-images"},
    ),
    "no noise with gradients": (
        lambda m, s: WithoutGradient(m),
        {"noise/absent-by-grad-mode"},
    ),
    "rows times one random number": (
        lambda m, s: ScaledRows(m),
        {"answers/sum-tells-noise"},
    ),
    "a column that counts": (lambda m, s: WithCounter(m), {"answers/counter"}),
    "rounding hides the noise": (
        lambda m, s: Rounded(m, s),
        {"noise/hidden-by-rounding"},
    ),
    "numpy seeded at import": (
        lambda m, s: SeededAtImport(m, 0.2),
        {"noise/repeats-after-restart"},
    ),
    "small congruence, unknown start": (
        lambda m, s: Congruence(m),
        {"noise/known-generator"},
    ),
    "MINSTD, unknown start": (minstd, {"noise/linear-congruence"}),
    "torch.randn under a seed that people write": (
        lambda m, s: KnownSeed(m, seed=s % 1000),
        {"noise/known-generator"},
    ),
    "seeded by the clock's minute": (
        lambda m, s: ByTheClock(m),
        {"noise/repeats-every-call"},
    ),
    "logits times a random number": (
        lambda m, s: Scaled(m),
        {"noise/scales-all-classes"},
    ),
    "their softmax": (
        lambda m, s: Tempered(m),
        {"noise/scales-all-classes"},
    ),
    "one noise for all classes": (
        lambda m, s: OneForAllClasses(m),
        {"noise/same-for-all-classes"},
    ),
}
