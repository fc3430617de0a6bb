"""The networks that the reproductions measure.

Those of the embedded digits are trained here in seconds and need nothing; the others
want the folder of ``querytax.reproductions.data``.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from querytax import demo, expect
from querytax.expect import DomainError
from querytax.files import cache_folder
from querytax.reproductions import data, networks
from querytax.training import Recipe, build, cached, fit

__all__ = ["NETWORKS", "Network", "images", "layers", "load", "missing", "train"]

# The checks are printed to four digits.
_CHECK = 2e-3


@dataclass(frozen=True)
class Network:
    """A network of the zoo.

    Attributes
    ----------
    name : str
    data : {"digits", "mnist", "fashion_mnist", "cifar10", "imagenet"}
        The images that it classifies.
    about : str
        The architecture in one line.
    source : {"trained here", "file"}
    layers : tuple of str
        Names of modules whose outputs are places for noise, input side first.
    make : callable
        Builds it, without its weights.
    recipe : Recipe or None
        How it is trained here.
    version : int
        Changes whenever a different network would come out of the recipe.
    minutes : float
        What training takes on one core, about; 0 for networks from files.
    """

    name: str
    data: str
    about: str
    source: str
    layers: tuple[str, ...]
    make: Callable[[], nn.Module] = field(repr=False)
    recipe: Recipe | None = None
    version: int = 1
    minutes: float = 0.0


def _file(
    name: str, data: str, about: str, layers: str, make: Callable[[], nn.Module]
) -> Network:
    return Network(name, data, about, "file", tuple(layers.split()), make)


def _trained(
    name: str,
    data: str,
    about: str,
    layers: str,
    make: Callable[[], nn.Module],
    minutes: float,
    **recipe: Any,
) -> Network:
    here = Recipe(f"zoo/{name}", **recipe)
    sites = tuple(layers.split())
    return Network(
        name, data, about, "trained here", sites, make, here, minutes=minutes
    )


_STAGES = "stem layer1 layer2 layer3"
_SMALL = "convolutions 16 and 32 of width 4 and stride 2, dense 100"

NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network(
            "digits_cnn",
            "digits",
            "the demo's: convolutions 16 and 32, pooling, dense 64",
            "trained here",
            ("1", "4", "7"),
            demo.load_model,
            minutes=0.1,
        ),
        _trained(
            "digits_vgg",
            "digits",
            "VGG-like: convolutions 16-16, 32-32, 64-64 with batch norm, dense 64",
            "conv1 conv2 conv3 conv4 conv5 conv6 dense1",
            lambda: networks.vgg(1, 8, ((16, 16), (32, 32), (64, 64)), 64),
            minutes=0.1,
            epochs=15,
            cycle=True,
        ),
        _trained(
            "digits_resnet",
            "digits",
            "ResNet-8: three residual blocks of 16, 32 and 64 channels",
            _STAGES,
            lambda: networks.ResNet(1, channels=1),
            minutes=0.1,
            epochs=15,
            cycle=True,
        ),
        _trained(
            "digits_vit",
            "digits",
            "ViT-like: patches of 2 x 2, three blocks of width 32 with 4 heads",
            "blocks.0 blocks.1 blocks.2",
            lambda: networks.ViT(8, 1, patch=2, width=32, depth=3, heads=4),
            minutes=0.2,
            epochs=40,
            gain=0.5,
            decay=0.05,
            cycle=True,
        ),
        _trained(
            "mnist_al",
            "mnist",
            "Aithal & Li's for MNIST: convolutions 32 and 64, dense 1024, dropout 0.2 "
            "(filters of width 3 and pooling guessed)",
            "conv1 conv2 dense1",
            networks.aithal_li_mnist,
            minutes=3,
            epochs=3,
            rate=1e-3,
            cycle=True,
        ),
        _trained(
            "cifar10_vgg",
            "cifar10",
            "VGG-like: convolutions 32, 64-64, 128-128, 256 with batch norm, dense 256",
            "conv1 conv2 conv3 conv4 conv5 conv6 dense1",
            lambda: networks.vgg(3, 32, ((32,), (64, 64), (128, 128), (256,)), 256),
            minutes=16,
            epochs=24,
            decay=0.05,
            cycle=True,
            shift=4,
            flip=True,
        ),
        _trained(
            "cifar10_vit",
            "cifar10",
            "ViT-like: patches of 4 x 4, four blocks of width 64 with 4 heads",
            "blocks.0 blocks.1 blocks.2 blocks.3",
            lambda: networks.ViT(32, 3, patch=4, width=64, depth=4, heads=4),
            minutes=8,
            epochs=20,
            gain=0.5,
            decay=0.05,
            cycle=True,
            shift=2,
            flip=True,
        ),
        _file(
            "cifar10_resnet20",
            "cifar10",
            "ResNet-20 (He et al. 2015)",
            _STAGES,
            lambda: networks.ResNet(3),
        ),
        _file(
            "cifar10_resnet32",
            "cifar10",
            "ResNet-32 (He et al. 2015)",
            _STAGES,
            lambda: networks.ResNet(5),
        ),
        _file(
            "cifar10_resnet56",
            "cifar10",
            "ResNet-56 (He et al. 2015)",
            _STAGES,
            lambda: networks.ResNet(9),
        ),
        _file(
            "cifar10_resnet8_mlperf_tiny",
            "cifar10",
            "ResNet-8 of MLPerf Tiny",
            "stem stage1 stage2 stage3",
            networks.ResNet8,
        ),
        _file(
            "cifar10_smallcnn_marabou_large",
            "cifar10",
            "convolutions 32 and 64 of width 4 and stride 2, dense 128 and 64",
            "1 3 6 8",
            networks.marabou,
        ),
        _file(
            "mnist_convsmall_natural",
            "mnist",
            _SMALL,
            "1 3 6",
            lambda: networks.small_cnn(0),
        ),
        _file(
            "mnist_smallcnn_pgd_advtrained",
            "mnist",
            f"{_SMALL}; adversarially trained",
            "1 3 6",
            lambda: networks.small_cnn(1),
        ),
        _file(
            "fashion_smallcnn_provable",
            "fashion_mnist",
            f"{_SMALL}; trained for provable robustness",
            "1 3 6",
            lambda: networks.small_cnn(1),
        ),
        _file(
            "imagenet_mobilenet_v2",
            "imagenet",
            "MobileNetV2 of width 1, 224 x 224, 1000 classes",
            "blocks.0 blocks.2 blocks.5 blocks.9 blocks.12 blocks.15 blocks.16",
            networks.MobileNetV2,
        ),
    )
}


def load(name: str) -> nn.Module:
    """A network in evaluation mode, from images in [0, 1] to logits.

    What is trained here is trained on first use and cached.

    Raises
    ------
    DomainError
        For a name that is not in the zoo, for files that are not there, and for a
        network that does not answer as its file says that it should.
    """
    network = _network(name)
    if network.source == "file":
        model = _from_file(network)
    elif network.recipe is not None:
        file = f"zoo-{name}-{network.version}"
        model = cached(file, network.make, functools.partial(train, name))
    else:
        # The demo's, which trains and caches its own.
        model = network.make()
    return model.eval().requires_grad_(False)


def train(name: str) -> nn.Module:
    """Train a network anew; where that takes minutes, go on from the last whole epoch.

    Raises
    ------
    DomainError
        If it is not trained here, or its images are not there.
    """
    recipes = {n: v.recipe for n, v in NETWORKS.items() if v.recipe is not None}
    recipe = recipes[expect.one_of(recipes, name=name)]
    network, resume = NETWORKS[name], None
    if network.minutes > 1.0:
        folder = cache_folder()
        resume = folder and folder / f"zoo-{name}-{network.version}.partial"
    x, y = images(name, split="train")
    return fit(build(network.make), x, y, recipe, resume=resume)


def layers(name: str) -> tuple[str, ...]:
    """Names of modules whose outputs are places for noise, input side first."""
    return _network(name).layers


def images(
    name: str, n: int | None = None, split: str = "test", start: int = 0
) -> tuple[Tensor, Tensor]:
    """Images of a kind, or those of a network, as `data.images` gives them."""
    if name in NETWORKS:
        name = NETWORKS[name].data
    expect.one_of((*data.KINDS, *NETWORKS), name=name)
    return data.images(name, n, split, start)


def missing(names: Iterable[str]) -> list[str]:
    """One line for each of the networks that cannot be had here: what is not there."""
    lines = []
    for name in names:
        files = data.absent(_files(_network(name)))
        if files:
            lines.append(f"{name} needs {', '.join(files)} in {data.data_folder()}")
    return lines


def _network(name: str) -> Network:
    return NETWORKS[expect.one_of(NETWORKS, name=name)]


def _files(network: Network) -> list[str]:
    files = data.archives(network.data)
    if network.source == "file":
        files += [f"models/{network.name}.{end}" for end in ("json", "safetensors")]
        files += set(data.archives(_checked(network))) - set(files)
    return files


def _checked(network: Network) -> str:
    """The images that the check values are of: those of ImageNet without JPEG."""
    return "imagenet_raw" if network.data == "imagenet" else network.data


def _from_file(network: Network) -> nn.Module:
    """The network with its file's weights, held against its file's check values."""
    said = data.specification(network.name)
    model = build(network.make).eval()
    model.load_state_dict(data.weights(network.name))
    normalise = networks.Normalise(said["input"]["mean"], said["input"]["std"])
    if isinstance(model, nn.Sequential):
        # The layers keep their names, as sites for noise.
        model = nn.Sequential(
            OrderedDict([("normalise", normalise), *model.named_children()])
        )
    else:
        model.normalise = normalise
    if isinstance(model, networks.ResNet):
        model.fold()
    check = said["check"]
    with torch.no_grad():
        answer = model(data.images(_checked(network), 1)[0])[0]
    # Of a thousand answers the check has the five largest.
    wanted = torch.tensor(check.get("logits") or check["top5_logits"])
    gap = float((answer[check.get("top5_index", ...)] - wanted).abs().max())
    if not gap < _CHECK:
        raise DomainError(
            f"expected {network.name} to answer as its file says, got {gap:.3g} away "
            f"from its check values"
        )
    return model
