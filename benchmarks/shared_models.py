"""Real images and trained networks for measurements, from a folder of plain files.

The folder holds ``cifar10.npz``, ``mnist.npz`` and ``models/NAME.{json,safetensors}``;
it is not part of the package. Needs torch and numpy alone.
"""

from __future__ import annotations

import functools
import json
import os
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["MODELS", "data_folder", "load_images", "load_model", "specification"]

# The checks are printed to four digits.
_CHECK = 2e-3
_DTYPES = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}


def data_folder() -> Path | None:
    """``$QUERYTAX_DATA``, or ``../shared/data`` next to the project; None if absent."""
    given = os.environ.get("QUERYTAX_DATA")
    folder = (
        Path(given)
        if given
        else Path(__file__).resolve().parents[2] / "shared" / "data"
    )
    return folder if (folder / "models").is_dir() else None


def load_images(
    name: str, n: int, split: str = "test", start: int = 0
) -> tuple[Tensor, Tensor]:
    """Images ``(n, C, H, W)`` float32 in [0, 1] and labels, in the file's order.

    Parameters
    ----------
    name : str
        ``cifar10``, ``mnist``, or a model, which stands for the images of its kind.
    n : int
    split : {"test", "train"}
    start : int
        Place of the first image.
    """
    x, y = _arrays(name.split("_")[0], split)
    if start + n > len(x):
        raise ValueError(f"expected start + n <= {len(x)}, got {start + n}")
    cut = slice(start, start + n)
    images = torch.from_numpy(np.ascontiguousarray(x[cut])).permute(0, 3, 1, 2)
    # As numpy divides them: x / 255, not x * (1 / 255).
    return images.float().div(255.0).contiguous(), torch.from_numpy(y[cut])


def load_model(name: str) -> nn.Module:
    """A trained network in evaluation mode, for images in [0, 1], checked.

    Raises
    ------
    ValueError
        If the network does not answer as its file says that it should.
    """
    spec = specification(name)
    state = _read(_folder() / "models" / spec["file"])
    model = MODELS[name]()
    model.load_state_dict(state)
    model.eval()
    normalise = Normalise(spec["input"]["mean"], spec["input"]["std"])
    if isinstance(model, ResNet):
        model.fold()
        model.normalise = normalise
    else:
        # The layers keep their names, as sites for noise.
        model = nn.Sequential(
            OrderedDict([("normalise", normalise), *model.named_children()])
        )
    model.requires_grad_(False)
    with torch.no_grad():
        answer = model(load_images(name, 1)[0])[0]
    gap = float((answer - torch.tensor(spec["check"]["logits"])).abs().max())
    if not gap < _CHECK:
        raise ValueError(f"{name} answers {gap:g} away from its check values")
    return model


def specification(name: str) -> dict[str, Any]:
    """What the model's file says about it."""
    if name not in MODELS:
        raise ValueError(f"expected one of {', '.join(MODELS)}, got {name!r}")
    spec: dict[str, Any] = json.loads(
        (_folder() / "models" / f"{name}.json").read_text(encoding="utf-8")
    )
    return spec


class Normalise(nn.Module):
    """Less the mean, over the standard deviation, channel by channel."""

    def __init__(self, mean: list[float], std: list[float]) -> None:
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
    """ResNet-20 for 32 x 32 images (He et al. 2015, shortcuts of option A)."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise: nn.Module = nn.Identity()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32), Block(32, 32), Block(32, 32))
        self.layer3 = nn.Sequential(Block(32, 64), Block(64, 64), Block(64, 64))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(self.normalise(x))).relu()
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


def _small_cnn(padding: int, features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, padding),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, 2, padding),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(features, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


MODELS = {
    "cifar10_resnet20": ResNet,
    "mnist_convsmall_natural": lambda: _small_cnn(0, 800),
    "mnist_smallcnn_pgd_advtrained": lambda: _small_cnn(1, 1568),
}


def _folder() -> Path:
    folder = data_folder()
    if folder is None:
        raise FileNotFoundError(
            "no folder of images and models: set QUERYTAX_DATA to where it lies"
        )
    return folder


@functools.lru_cache(maxsize=2)
def _arrays(dataset: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    # A key is decompressed at each access: keep what was read.
    with np.load(_folder() / f"{dataset}.npz", allow_pickle=False) as file:
        return file[f"x_{split}"], file[f"y_{split}"].astype(np.int64)


def _read(path: Path) -> dict[str, Tensor]:
    """A safetensors file: length, header, tensors."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        array = np.frombuffer(raw[first:last], _DTYPES[entry["dtype"]]).copy()
        found[name] = torch.from_numpy(array.reshape(entry["shape"]))
    return found
