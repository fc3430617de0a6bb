"""One small network and one of every defence around it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from querytax.defenses import (
    CombinedNoise,
    Defense,
    FeatureNoise,
    InputNoise,
    OutputNoise,
    defend,
)
from querytax.defenses.resize import RandomResize


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
    "resize": lambda model, **more: RandomResize(model, 0.5, **more),
    "several": lambda model, **more: CombinedNoise(
        model, 0.3, "head+input*0.5+stem:before*2+output:probabilities:raw", **more
    ),
    "rls": lambda model, **more: defend(model, "rls", 10.0, **more),
    # Five classes are never surer than this.
    "boundary": lambda model, **more: defend(
        model, "boundary-defense:below=1", 0.3, **more
    ),
    "common": lambda model, **more: defend(model, "common:rho=0.9", 0.3, **more),
    "scaled": lambda model, **more: defend(model, "scaled", 0.3, **more),
    "scaled input": lambda model, **more: defend(model, "scaled:at=input", 0.3, **more),
    "mixture": lambda model, **more: defend(model, "mixture:form=raw", 0.3, **more),
}


def silence(defence: nn.Module) -> None:
    """Every layer of a defence at strength 0."""
    for part in defence.modules():
        if isinstance(part, FeatureNoise):
            part.sigmas = (0.0,) * len(part.sites)
        elif isinstance(part, Defense):
            own = [name for name in ("high", "share") if hasattr(part, name)]
            setattr(part, (own or ["sigma"])[0], 0.0)


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
