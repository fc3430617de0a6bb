"""The zoo's architectures; activations are modules where noise may want a place."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from querytax.training import Dropout

__all__ = [
    "MobileNetV2",
    "Normalise",
    "ResNet",
    "ResNet8",
    "ViT",
    "aithal_li_mnist",
    "marabou",
    "small_cnn",
    "vgg",
]


class Normalise(nn.Module):
    """Less the mean, over the standard deviation, channel by channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class Block(nn.Module):
    """Two convolutions and a shortcut without parameters."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.stride = outside // inside
        self.conv1 = nn.Conv2d(inside, outside, 3, self.stride, 1, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2: nn.Module = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(self.conv1(x)).relu()
        out = self.bn2(self.conv2(out))
        if self.stride > 1:
            pad = x.shape[1] // 2
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, pad, pad))
        return (out + x).relu()


class ResNet(nn.Module):
    """Residual network of He et al. (2015) for small images, shortcuts of option A.

    Parameters
    ----------
    depth : int
        Blocks in each of the three stages: 3 for ResNet-20, 9 for ResNet-56.
    channels : int
        Of the images.
    """

    def __init__(self, depth: int, channels: int = 3) -> None:
        super().__init__()
        self.normalise: nn.Module = nn.Identity()
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(16)
        self.stem = nn.ReLU()
        self.layer1 = self._stage(depth, 16, 16)
        self.layer2 = self._stage(depth, 16, 32)
        self.layer3 = self._stage(depth, 32, 64)
        self.linear = nn.Linear(64, 10)

    @staticmethod
    def _stage(depth: int, inside: int, outside: int) -> nn.Sequential:
        more = (Block(outside, outside) for _ in range(depth - 1))
        return nn.Sequential(Block(inside, outside), *more)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(self.bn1(self.conv1(self.normalise(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        answer: Tensor = self.linear(x.mean((2, 3)))
        return answer

    def fold(self) -> None:
        """Fold batch norm into the convolutions: fewer kernels, the same function."""
        for module in list(self.modules()):
            for conv, norm in (("conv1", "bn1"), ("conv2", "bn2")):
                if hasattr(module, norm):
                    pair = getattr(module, conv), getattr(module, norm)
                    setattr(module, conv, fuse_conv_bn_eval(*pair))
                    setattr(module, norm, nn.Identity())


class ResNet8(nn.Module):
    """The residual network of MLPerf Tiny, padded as Keras does."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise: nn.Module = nn.Identity()
        self.conv0, self.bn0 = nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16, 1e-3)
        self.stem = nn.ReLU()
        for n, (inside, outside) in enumerate([(16, 16), (16, 32), (32, 64)], start=1):
            stride = outside // inside
            first = nn.Conv2d(inside, outside, 3, stride, 0 if stride > 1 else 1)
            self.add_module(f"conv{n}a", first)
            self.add_module(f"bn{n}a", nn.BatchNorm2d(outside, 1e-3))
            self.add_module(f"conv{n}b", nn.Conv2d(outside, outside, 3, 1, 1))
            self.add_module(f"bn{n}b", nn.BatchNorm2d(outside, 1e-3))
            short = nn.Conv2d(inside, outside, 1, stride) if n > 1 else nn.Identity()
            self.add_module(f"short{n}", short)
            self.add_module(f"stage{n}", nn.ReLU())
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(self.bn0(self.conv0(self.normalise(x))))
        part = self.get_submodule
        for n in (1, 2, 3):
            out = x if n == 1 else nn.functional.pad(x, (0, 1, 0, 1))
            out = part(f"bn{n}a")(part(f"conv{n}a")(out)).relu()
            out = part(f"bn{n}b")(part(f"conv{n}b")(out))
            x = part(f"stage{n}")(out + part(f"short{n}")(x))
        answer: Tensor = self.fc(x.mean((2, 3)))
        return answer


class Inverted(nn.Module):
    """An inverted residual: widen, filter each channel, narrow."""

    def __init__(self, inside: int, outside: int, widen: int, stride: int) -> None:
        super().__init__()
        wide = widen * inside
        self.stride, self.shortcut = stride, stride == 1 and inside == outside
        self.expand = nn.Conv2d(inside, wide, 1) if widen > 1 else None
        self.depthwise = nn.Conv2d(wide, wide, 3, stride, groups=wide)
        self.project = nn.Conv2d(wide, outside, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = x if self.expand is None else nn.functional.relu6(self.expand(x))
        out = nn.functional.relu6(self.depthwise(_same(out, self.stride)))
        out = self.project(out)
        return x + out if self.shortcut else out


class MobileNetV2(nn.Module):
    """MobileNetV2 (Sandler et al. 2018), width 1, batch norm folded away."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise: nn.Module = nn.Identity()
        self.stem = nn.Conv2d(3, 32, 3, 2)
        inside, blocks = 32, []
        for widen, outside, repeats, stride in (
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ):
            for i in range(repeats):
                blocks.append(Inverted(inside, outside, widen, 1 if i else stride))
                inside = outside
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Conv2d(320, 1280, 1)
        self.fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu6(self.stem(_same(self.normalise(x), 2)))
        x = nn.functional.relu6(self.head(self.blocks(x)))
        answer: Tensor = self.fc(x.mean((2, 3)))
        return answer


def _same(x: Tensor, stride: int) -> Tensor:
    """TensorFlow's padding for a filter of width 3."""
    return nn.functional.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))


class Transformer(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mix(self._attend(self.qkv(self.norm1(x))))
        out: Tensor = self.down(nn.functional.gelu(self.up(self.norm2(x))))
        return x + out

    def _attend(self, qkv: Tensor) -> Tensor:
        n, tokens, _ = qkv.shape
        q, k, v = qkv.view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        return (weights @ v).transpose(1, 2).reshape(n, tokens, -1)


class ViT(nn.Module):
    """A small vision transformer; the answer is read from the mean of the tokens.

    Parameters
    ----------
    size, channels : int
        Of the images.
    patch, width, depth, heads : int
    """

    def __init__(
        self, size: int, channels: int, patch: int, width: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, width, patch, patch)
        # A column, whose entries start at their own scale and not at a matrix's.
        self.place = nn.Parameter(torch.zeros((size // patch) ** 2 * width, 1))
        self.blocks = nn.Sequential(*(Transformer(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        # Around zero: layers that start from He's weights expect no common offset.
        tokens = self.embed(2.0 * x - 1.0).flatten(2).transpose(1, 2)
        tokens = tokens + self.place.view(tokens.shape[1:])
        answer: Tensor = self.head(self.norm(self.blocks(tokens)).mean(1))
        return answer


def vgg(
    channels: int, size: int, widths: Sequence[Sequence[int]], dense: int
) -> nn.Module:
    """3x3 convolutions with batch norm; the image is halved after each group.

    ``conv1``, ``conv2``, ... hold norm, activation and pooling: what one returns is the
    input of the next one's convolution.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for group in widths:
        for i, width in enumerate(group):
            steps: list[nn.Module] = [
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            if i == len(group) - 1:
                steps.append(nn.MaxPool2d(2))
            layers[f"conv{len(layers) + 1}"] = nn.Sequential(*steps)
            channels = width
    features = channels * (size >> len(widths)) ** 2
    layers["flatten"] = nn.Flatten()
    layers["dense1"] = nn.Sequential(nn.Linear(features, dense), nn.ReLU())
    layers["dense2"] = nn.Linear(dense, 10)
    return nn.Sequential(layers)


def aithal_li_mnist() -> nn.Module:
    """The MNIST network of Aithal & Li (2022), section IV-A.

    They give conv(32), conv(64), dense(1024), dropout(0.2), dense(10). Filters of
    width 3, padded, and a halving after each are guessed.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (inside, outside) in enumerate([(1, 32), (32, 64)], start=1):
        layers[f"conv{i}"] = nn.Sequential(
            nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        )
    layers["flatten"] = nn.Flatten()
    layers["dense1"] = nn.Sequential(nn.Linear(3136, 1024), nn.ReLU())
    layers["dropout"] = Dropout(0.2)
    layers["dense2"] = nn.Linear(1024, 10)
    return nn.Sequential(layers)


def small_cnn(padding: int) -> nn.Module:
    """Two convolutions of width 4 and stride 2 and a dense layer, for 28 x 28."""
    side = 5 + 2 * padding
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, padding),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, 2, padding),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * side * side, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def marabou() -> nn.Module:
    """The large CIFAR-10 network of the Marabou verification benchmark."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2304, 128),
        nn.ReLU(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
