"""Where noise can go: every word that is listed takes noise, and the rest says why."""

import json

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import querytax as qt
from querytax.cli import main

SHAPE = (3, 12, 12)


class Pair(nn.Module):
    def forward(self, x):
        return x, None


class Whole(nn.Module):
    def forward(self, x):
        return x.argmax(1)


class Words(nn.Module):
    def forward(self, x):
        return {"x": x}


class Summed(nn.Module):
    def forward(self, x):
        return x.sum(0, keepdim=True)


class Zoo(nn.Module):
    """Layers that pass floats, and layers that pass anything else."""

    # Untrained, its answers might all lie in [0, 1].
    answers = "logits"

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
        self.again = self.stem[0]  # Shared: one layer, two names.
        self.twice = nn.Tanh()
        self.pair, self.whole, self.words, self.summed = (
            Pair(),
            Whole(),
            Words(),
            Summed(),
        )
        self.unused = nn.Linear(2, 2)
        self.input = nn.Identity()
        self.heads = nn.ModuleList([nn.Linear(4, 5)])

    def forward(self, x):
        x = self.twice(self.twice(self.stem(self.input(x))))
        x, _ = self.pair(x)
        x = self.words(x)["x"]
        self.whole(x)
        self.summed(x)
        return self.heads[0](x.mean((2, 3)))


@pytest.fixture
def images():
    return torch.rand(9, *SHAPE, generator=torch.Generator().manual_seed(0))


def wrappers():
    torch.manual_seed(0)
    zoo = Zoo()
    return {
        "plain": zoo,
        "parallel": nn.DataParallel(zoo),
        "compiled": torch.compile(zoo, backend="eager"),
        "defended": qt.defend(zoo, "input", 0.1),
    }


@pytest.mark.parametrize("kind", ["plain", "parallel", "compiled", "defended"])
def test_every_listed_word_takes_noise_and_no_other(kind, images):
    model = wrappers()[kind]
    bare = model.model if kind == "defended" else model
    found = qt.list_sites(model, images)
    names = [place.site for place in found.places]
    assert names == [
        *("input", "stem.0", "stem.1", "stem", "twice", "pair", "heads.0", "output")
    ]
    shapes = {place.site: place.shape for place in found.places}
    assert shapes["input"] == SHAPE
    assert shapes["stem"] == shapes["pair"] == (4, 10, 10)
    assert shapes["heads.0"] == shapes["output"] == (5,)
    visits = {place.site: place.visits for place in found.places}
    assert visits["twice"] == 2
    values = {place.site: place.values for place in found.places}
    assert values["twice"] == 2 * values["stem"] == 800
    assert all(place.milliseconds > 0 for place in found.places)
    for name in names:
        answers = qt.defend(bare, name, 0.5)(images)
        assert not torch.equal(answers, bare(images))
    assert found.closed == {
        "whole": "returns int64",
        "words": "returns dict",
        "summed": "returns (1, 4, 10, 10) for 8 images",
        "unused": "not reached",
        "input": "its name means another place",
        "heads": "not reached",
    }
    assert found.presets["rfd"].startswith("none: expected model to be a ResNet")
    assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_models_without_layers(images):
    def plain(x):
        return x.flatten(1)[:, :4]

    scripted = torch.jit.trace(nn.Flatten(), images[:2])
    for model, classes in ((plain, 4), (scripted, 432)):
        found = qt.list_sites(model, images)
        assert [p.site for p in found.places] == ["input", "output"]
        assert found.places[1].shape == (classes,)
        assert found.presets["rfd"].startswith("none: ")
        assert found.closed == {}


MODEL = """
import torch
from torch import nn

def stage(a, b):
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.Conv2d(b, b, 3, padding=1))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a_layer_with_a_name_that_is_longer_than_a_line_of_the_table_itself = (
            nn.Conv2d(3, 4, 3))
        self.layer1, self.layer2, self.layer3 = stage(4, 4), stage(4, 4), stage(4, 4)
        self.add_module("evil\\x1b[31m", nn.Flatten())

    def forward(self, x):
        x = self.a_layer_with_a_name_that_is_longer_than_a_line_of_the_table_itself(x)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.get_submodule("evil\\x1b[31m")(x)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "net_of_sites.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def call(*words):
    return CliRunner().invoke(main, ["sites", "net_of_sites:Net", *words])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Lazy modules")
def test_layers_that_no_hook_reaches_and_what_makes_weights(images):
    """A weight has rows as well, and they are no images."""
    network = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.LazyLinear(8),
        torch.nn.ReLU(),
        torch.nn.Linear(8, 3),
    )
    network(images)
    network[2] = torch.jit.script(network[2])
    torch.nn.utils.parametrizations.weight_norm(network[1])
    found = qt.list_sites(network, images)
    assert [p.site for p in found.places] == ["input", "0", "1", "3", "output"]
    assert found.closed["2"].startswith("scripted")
    assert found.closed["1.parametrizations.weight.0"].startswith("makes a weight")
    with pytest.raises(qt.DomainError, match="module '2' scripted or traced"):
        qt.defend(network, "2", 0.1)


def test_a_model_of_fixed_batches_is_one_line(images):
    def model(x):
        if len(x) > 2:
            raise RuntimeError("two at most\nat a time")
        return x.flatten(1)

    with pytest.raises(qt.DomainError, match="got RuntimeError: two at most") as caught:
        qt.list_sites(model, images)
    assert "\n" not in str(caught.value)


def test_from_the_shell(project):
    result = call("--shape", "3,8,8")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in result.stdout
    assert sum("rfd" in line for line in lines) == 5  # Four marks and the word.
    assert "rfd: layer1:before+layer1+layer2+layer3" in lines
    facts = json.loads(call("--shape", "3,8,8", "--json").stdout)
    layer = next(s for s in facts["sites"] if s["site"] == "layer1")
    assert layer["shape"] == [4, 6, 6]
    assert layer["values"] == 144
    assert facts["presets"] == {"rfd": "layer1:before+layer1+layer2+layer3"}


def test_data_say_the_shape(project, tmp_path):
    import numpy as np

    x = np.full((20, 8, 8, 3), 255, np.uint8)
    np.savez(tmp_path / "d.npz", x=x, y=np.zeros(20, int))
    facts = json.loads(call("--data", "d.npz", "--json").stdout)
    assert facts["sites"][0]["shape"] == [3, 8, 8]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--shape", "1,8,8"], "to answer images of shape (1, 8, 8) in float32"),
        (["--shape", "3x8x8"], "shape as in 3,32,32, got '3x8x8'"),
        (["--shape", "3,0,8"], "shape as in 3,32,32, got '3,0,8'"),
        (["--shape", "999999,999999"], "shape as in 3,32,32"),
        (["--shape", "9" * 5000], "shape as in 3,32,32"),
        ([], "expected --data or --shape"),
        (["--shape", "3,8,8", "--limit", "3"], "no options of data with --shape"),
        (["--data", "absent.npz"], "got 'absent.npz': No such file"),
    ],
)
def test_bad_words_are_one_line(project, words, says):
    result = call(*words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
