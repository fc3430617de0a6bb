"""Several workers behind one address: none helps against another."""

from __future__ import annotations

import copy
import io
import math
import os
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from querytax import nes
from querytax.defenses import Defense, InputNoise, defend
from querytax.plans import NESPlan

MILLION = 10**6
PAIRS = 10


class Flat(nn.Module):
    """Answers the image itself: the noise lies open."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1))


def forked(defence: nn.Module, x: Tensor) -> Tensor:
    """What a child of this process answers."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        with os.fdopen(write, "wb") as pipe:
            pipe.write(defence(x).numpy().tobytes())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        raw = pipe.read()
    os.waitpid(child, 0)
    return torch.from_numpy(np.frombuffer(raw, np.float32).copy()).view(len(x), -1)


def loaded(defence: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(defence, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


OTHERS = {
    "instance": lambda d, site: defend(Flat(), site, 1.0),
    "deepcopy": lambda d, site: copy.deepcopy(d),
    "pickle": lambda d, site: pickle.loads(pickle.dumps(d)),
    "file": lambda d, site: loaded(d),
    "fork": lambda d, site: lambda x: forked(d, x),
    "later": lambda d, site: d,
}


@pytest.mark.parametrize("width", [10, 1000])
@pytest.mark.parametrize("site", ["input", "layer", "output:logits"])
@pytest.mark.parametrize("way", OTHERS)
def test_two_workers_noises_are_uncorrelated(way, site, width):
    """A million draws each, to five standard errors: 0.005, at several shifts."""
    if way == "fork" and not hasattr(os, "fork"):
        pytest.skip("needs fork")
    x = torch.zeros(MILLION // width, width)
    first = defend(Flat(), site, 1.0)
    # As a service asks: answers one by one draw on what was made ahead.
    for _ in range(3):
        first(x[:1])
    other = OTHERS[way](first, site)
    one, two = (worker(x).flatten().double() for worker in (first, other))
    for shift in (0, 1, width, -1, -width):
        moved = torch.roll(two, shift)
        assert abs(float((one * moved).mean())) < 5 / math.sqrt(MILLION)
        assert not (one == moved).double().mean() > 1e-4


class Workers(nn.Module):
    """A front that sends the plus probes of NES to one worker, the minus to another."""

    def __init__(self, *workers: nn.Module) -> None:
        super().__init__()
        self.workers = nn.ModuleList(workers)
        self.asked = 0

    def forward(self, x: Tensor) -> Tensor:
        turn = torch.arange(len(x)) // PAIRS % len(self.workers)
        said = x.new_empty(len(x), 2)
        # Their counts in step, as who attacks keeps them with a few more questions.
        keys = torch.arange(self.asked, self.asked + len(x))
        self.asked += len(x)
        for i, worker in enumerate(self.workers):
            part = x[turn == i]
            key = (None, keys[: len(part)]) if isinstance(worker, Defense) else ()
            said[turn == i] = worker(part, *key)
        return said


class Linear(nn.Module):
    """Two classes, a straight boundary."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        signs = torch.ones(dimension)
        signs[::2] = -1
        self.register_buffer("slope", signs / dimension**0.5)

    def forward(self, x: Tensor) -> Tensor:
        z = (x - 0.5) @ self.slope + 0.1
        return torch.stack((z, -z), 1)


def probes(front, x: Tensor, n: int, step: float) -> float:
    """Cosine of the gradient and of its estimate from ``n`` pairs, plus then minus."""
    torch.manual_seed(3)
    u = torch.randn(n, x.shape[1])
    plus, minus = (front(x + way * step * u)[:, 0] for way in (1, -1))
    estimate = (plus - minus) @ u
    slope = front.model_slope
    return float(estimate @ slope / estimate.norm() / slope.norm())


@pytest.mark.parametrize("site", ["input", "output:logits"])
def test_plus_to_one_worker_and_minus_to_another(site):
    """Where both draw one noise, the difference is without any; not here."""
    dimension, n, step, sigma = 64, 4000, 1e-4, 0.1
    model, x = Linear(dimension), torch.full((1, dimension), 0.5)

    class Pair:
        """Plus goes to the first, minus to the second."""

        model_slope = model.slope

        def __init__(self, *workers):
            self.turn = iter(workers)

        def __call__(self, x):
            return next(self.turn)(x)

    replayed = [defend(model, site, sigma, experiment_seed=0) for _ in range(2)]
    assert probes(Pair(*replayed), x, n, step) > 0.9
    first = defend(model, site, sigma)
    for second in (first, defend(model, site, sigma), copy.deepcopy(first)):
        # Five times the spread of a cosine of directions that are without sense.
        chance = 5 / math.sqrt(dimension)
        assert abs(probes(Pair(first, second), x, n, step)) < chance


def test_nes_gains_nothing_by_two_workers():
    """Over 300 runs, to five standard errors; replayed noise gives all away."""
    dimension, n, budget = 64, 300, 840
    model = Linear(dimension)
    images = torch.full((n, dimension), 0.5)
    labels = torch.zeros(n, dtype=torch.int64)
    plan = NESPlan(eps=0.05, step=0.01, probe=1e-3, pairs=PAIRS)

    def broken(front: nn.Module) -> float:
        how = {"budget": budget, "batch_size": 20 * PAIRS, "rng": 1}
        return float(nes(front, images, labels, plan, **how).broken.rate())

    def worker(seed: int | None = None) -> nn.Module:
        return defend(model, "output:logits", 0.1, experiment_seed=seed)

    bare, alone = broken(Workers(model)), broken(Workers(worker()))
    fresh = broken(Workers(worker(), worker()))
    replayed = broken(Workers(worker(0), worker(0)))
    assert abs(fresh - alone) < 5 * math.sqrt(2 * 0.1 * 0.9 / n)
    assert bare > 0.9
    assert replayed > 0.9
    assert alone < 0.3


def test_the_noise_of_two_restarts_in_a_row():
    """A service that is started anew does not begin where it began."""
    x = torch.zeros(1, 1000)
    starts = torch.cat([InputNoise(Flat(), 1.0)(x) for _ in range(200)])
    shared = torch.corrcoef(starts) - torch.eye(200)
    assert float(shared.abs().max()) < 6.5 / math.sqrt(1000)
