"""The published layers, by how a network is built."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from querytax.defenses import (
    CombinedNoise,
    FeatureNoise,
    InputNoise,
    defend,
    feature_sites,
    preset,
)
from querytax.expect import DomainError
from querytax.noise import normals
from querytax.sites import Site

KEYS = (torch.arange(3), torch.arange(3))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return (x + self.conv2(self.conv1(x).relu())).relu()


class ResNet(nn.Module):
    """A stem with a pool, ``stages`` stages, a head."""

    def __init__(self, stages: int, word: str = "layer") -> None:
        super().__init__()
        self.conv1, self.maxpool = nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2)
        self.names = [f"{word}{n + 1}" for n in range(stages)]
        for name in self.names:
            self.add_module(name, nn.Sequential(Residual(4), Residual(4)))
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        x = self.maxpool(self.conv1(x).relu())
        for name in self.names:
            x = getattr(self, name)(x)
        return self.fc(x.mean((2, 3)))


class VGG(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 4, 3),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 5))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class Block(nn.Module):
    """A transformer's block; as some do, it returns a pair."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 8), nn.GELU(), nn.Linear(8, width))

    def forward(self, x):
        z = self.norm1(x)
        x = x + self.attention(z, z, z, need_weights=False)[0]
        return x + self.mlp(self.norm2(x)), None


class ViT(nn.Module):
    """``place`` is the dotted name of what holds the blocks."""

    def __init__(self, place: str, names: tuple[str, ...]) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 4, 2, 2)
        self.head = nn.Linear(4, 5)
        self.place = place.split(".")
        at = self
        for part in self.place[:-1]:
            at.add_module(part, nn.Module())
            at = getattr(at, part)
        self.names = names
        blocks = nn.ModuleDict({name: Block(4) for name in names})
        at.add_module(self.place[-1], blocks)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        blocks = self.get_submodule(".".join(self.place))
        for name in self.names:
            x, _ = blocks[name](x)
        return self.head(x.mean(1))


CASES = {
    "resnet": (ResNet(4), ("layer1:before", "layer1", "layer2", "layer3")),
    "small resnet": (ResNet(3), ("layer1:before", "layer1", "layer2", "layer3")),
    "wide resnet": (
        ResNet(3, "block"),
        ("block1:before", "block1", "block2", "block3"),
    ),
    "vgg": (VGG(), ("features.0:before", "features.3:before")),
    "vit": (ViT("blocks", ("0", "1")), ("blocks.0:before", "blocks.1:before")),
    "encoder": (
        ViT("encoder.layers", ("encoder_layer_0", "encoder_layer_1")),
        (
            "encoder.layers.encoder_layer_0:before",
            "encoder.layers.encoder_layer_1:before",
        ),
    ),
    "one block": (ViT("vit.encoder.layer", ("0",)), ("vit.encoder.layer.0:before",)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_published_layers_are_found_and_carry_noise(name):
    model, sites = CASES[name]
    model.eval().requires_grad_(False)
    assert feature_sites(model) == sites
    word = preset(model)
    assert word == "+".join(sites) == Site.parse(word).name
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(defend(model, word, 0.0)(x), model(x))
    defence = defend(model, word, 0.1)
    assert isinstance(defence, CombinedNoise if len(sites) > 1 else FeatureNoise)
    assert (defence(x) != defence(x)).all()
    # Any one of the places is reached, and does something of its own.
    answers = [defend(model, site, 0.1, experiment_seed=0)(x) for site in sites]
    for i, answer in enumerate(answers):
        assert (answer != model(x)).all()
        assert not any(torch.equal(answer, other) for other in answers[:i])


def test_names_carry_what_stands_around_the_network():
    wrapped = nn.Sequential(OrderedDict(norm=nn.Identity(), net=ResNet(4)))
    want = tuple(f"net.{site}" for site in CASES["resnet"][1])
    assert feature_sites(wrapped) == want
    assert feature_sites(InputNoise(wrapped, 0.1)) == want
    plain = nn.Sequential(nn.Identity(), VGG())
    assert preset(plain) == "1.features.0:before+1.features.3:before"
    vit = nn.Sequential(nn.Identity(), CASES["vit"][0])
    assert feature_sites(vit) == ("1.blocks.0:before", "1.blocks.1:before")


def test_before_the_first_stage_is_after_the_stems_pool():
    model, x = ResNet(3).eval().requires_grad_(False), torch.rand(3, 3, 8, 8)
    hidden = model.maxpool(model.conv1(x).relu())
    hidden = hidden + 0.2 * normals(0, "defense/0/input:layer1:1", *KEYS, (4, 4, 4))
    want = model.fc(model.layer3(model.layer2(model.layer1(hidden))).mean((2, 3)))
    got = defend(model, "layer1:before", 0.2, experiment_seed=0)(x, *KEYS)
    assert torch.allclose(got, want, atol=1e-5)


class Branches(nn.Module):
    """Two convolutions beside each other: no word for what feeds which."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)


class Backwards(nn.Sequential):
    def forward(self, x):
        for child in reversed(self):
            x = child(x)
        return x


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Branches(), r"got Branches of 2 convolutions in left \(Conv2d\), right"),
        (nn.Linear(2, 2), "got Linear of 0 convolutions in no modules"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), "of 1 convolutions in 0"),
        (ResNet(2), "got ResNet of 9 convolutions"),
        (Backwards(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)), "got Backwards of 2"),
        (
            nn.Sequential(*(nn.Sequential(CASES[k][0]) for k in ("vit", "encoder"))),
            "got Sequential of 2 convolutions",
        ),
        (nn.Sequential(*(nn.Linear(1, 1) for _ in range(10))), "and 2 more"),
        (abs, "expected model to be a torch module, whose sites have names"),
    ],
)
def test_another_network_is_said_to_be_one(model, says):
    for ask in (feature_sites, preset):
        with pytest.raises(DomainError, match=says) as caught:
            ask(model)
        assert "\n" not in str(caught.value)


def test_a_layer_whose_name_has_no_word():
    plain = nn.Sequential(OrderedDict({"a+b": nn.Conv2d(3, 4, 3), "c": VGG().features}))
    assert feature_sites(plain)[0] == "a+b:before"
    with pytest.raises(DomainError, match=r"without '\+' and '\*', got 'a\+b:before'"):
        preset(plain)
