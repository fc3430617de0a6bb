"""One small network and one of every defence around it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from querytax.defenses import CombinedNoise, FeatureNoise, InputNoise, OutputNoise


class Net(nn.Module):
    """Convolution, a stage used twice, a head; dropout tells the modes apart."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.stage = nn.Conv2d(4, 4, 3, padding=1)
        self.pair = Pair()
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = self.stage(self.stage(x).relu())
        x, _ = self.pair(x)
        return self.head(x.mean(dim=(2, 3)))


class Pair(nn.Module):
    """Returns a tuple, which no noise can be added to."""

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        return x, 1


BUILDERS = {
    "input": lambda model, **more: InputNoise(model, 0.3, **more),
    "feature": lambda model, **more: FeatureNoise(model, 0.3, ["stem", "head"], **more),
    "output": lambda model, **more: OutputNoise(model, 0.3, **more),
    "logits": lambda model, **more: OutputNoise(model, 0.3, on="logits", **more),
    "nested": lambda model, **more: OutputNoise(
        FeatureNoise(InputNoise(model, 0.3, **more), 0.3, "stage", **more), 0.3, **more
    ),
    "ends": lambda model, **more: CombinedNoise(
        model, 0.3, "input*0.5+output:logits", **more
    ),
    "several": lambda model, **more: CombinedNoise(
        model, 0.3, "head+input*0.5+stem:before*2+output:probabilities:raw", **more
    ),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors here are tiny: on a busy machine threads would only wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def model() -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net()
    return net.eval().requires_grad_(False)


@pytest.fixture
def images() -> Tensor:
    return torch.linspace(0, 1, 7 * 3 * 6 * 6).view(7, 3, 6, 6)


@pytest.fixture(params=list(BUILDERS))
def build(request):
    """``build(model, seed=0)``: each defence in turn; deployed where seed is None."""
    return lambda model, seed=0: BUILDERS[request.param](model, experiment_seed=seed)
