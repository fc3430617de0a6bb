"""Models that are random by themselves, and numbers that are no logits."""

import numpy as np
import pytest
import torch

from querytax.expect import DomainError
from querytax.losses import check_logits
from querytax.models.own_noise import own_noise

SCALED = {
    "percent": lambda z: 100 * z.softmax(1),
    "rounded percent": lambda z: (100 * z.softmax(1)).round(decimals=1),
    "bytes": lambda z: (255 * z.softmax(1)).round(),
}


@pytest.mark.parametrize("name", SCALED)
def test_scaled_probabilities_are_no_logits(name):
    z = 3.0 * torch.randn(24, 10, generator=torch.Generator().manual_seed(0))
    answers, labels = SCALED[name](z), z.argmax(1)
    with pytest.raises(DomainError, match="probabilities, scaled"):
        check_logits(answers, labels, None)
    # Whoever says that they are logits is believed.
    check_logits(answers, labels, "logits")


@pytest.mark.parametrize(
    "answers",
    [
        torch.rand(24, 10, generator=torch.Generator().manual_seed(0)).mul(30),
        torch.full((24, 10), 1.7),
        1.7 + 1e-3 * torch.rand(24, 10, generator=torch.Generator().manual_seed(0)),
        10 * torch.eye(7),
        torch.randn(24, 10, generator=torch.Generator().manual_seed(0)).log_softmax(1),
    ],
    ids=["any", "one", "nearly one", "few", "log-probabilities"],
)
def test_what_need_not_be_scaled_probabilities(answers):
    check_logits(answers, answers.argmax(1), None)


def crops(x):
    """One of three shifts, for the whole batch."""
    shift = int(torch.randint(0, 3, (1,)))
    return x.roll(shift, 1)[:, :3]


def numpys(x):
    # Of the module itself, as people draw.
    drawn = np.random.standard_normal((len(x), 3))  # noqa: NPY002
    return x[:, :3] + torch.from_numpy(drawn)


def beside(x):
    """Random where a pixel lies off the grid of eight bits, as a probe's do."""
    off = ((255 * x) - (255 * x).round()).abs().amax(1, keepdim=True) > 1e-4
    return x[:, :3] + off * torch.randn(len(x), 3)


def counted():
    turns = iter(range(10**6))
    return lambda x: x[:, :3] + 0.3 * (next(turns) % 2) * torch.arange(3)


RANDOM = {
    "uniform": lambda x: x[:, :3] + 0.1 * torch.rand(len(x), 3),
    "numpy": numpys,
    "a counter": counted(),
    "beside the images": beside,
    "batch statistics": lambda x: ((x - x.mean(0)) / x.std(0))[:, :3],
}


@pytest.mark.parametrize("name", RANDOM)
def test_models_that_are_random_in_other_ways(name):
    x = torch.rand(24, 6, generator=torch.Generator().manual_seed(0))
    x = (255 * x).round() / 255
    first = RANDOM[name](x)
    assert own_noise(RANDOM[name], x, first)


def test_few_outcomes_are_asked_often_enough():
    """Of three crops four draws are the same once in 27 times; 60 trials, 4 errors."""
    x = torch.rand(24, 6, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        missed = sum(own_noise(crops, x, crops(x)) == "" for _ in range(60))
    assert missed < 60 / 27 + 4 * (60 * 26 / 27**2) ** 0.5
