"""Images of the reproductions, and the files of trained networks.

The digits are embedded. The others are in a folder of plain files that is not part of
the package: ``{mnist,fashion_mnist,cifar10}.npz``, ``imagenet_sample1000_jpeg.npz``,
``imagenet_sample100_raw.npz`` and ``models/NAME.{json,safetensors}``. It is
``$QUERYTAX_DATA``, or ``../shared/data`` beside the project.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax import demo, expect
from querytax.expect import DomainError

__all__ = [
    "KINDS",
    "absent",
    "archives",
    "data_folder",
    "images",
    "specification",
    "weights",
]

KINDS = ("digits", "mnist", "fashion_mnist", "cifar10", "imagenet", "imagenet_raw")

_DTYPES = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}


def images(
    kind: str, n: int | None = None, split: str = "test", start: int = 0
) -> tuple[Tensor, Tensor]:
    """Images ``(n, C, H, W)`` float32 in [0, 1] and labels, in the file's order.

    Parameters
    ----------
    kind : str
        One of ``KINDS``.
    n : int, optional
        All from ``start`` on if it is not given.
    split : {"test", "train"}
        The digits' 600 test images are the demo's probe and held-out parts. Of ImageNet
        there are only test images: 1000 JPEGs, or the 100 of ``imagenet_raw`` where
        Pillow is not installed.
    start : int
        Place of the first image.

    Raises
    ------
    DomainError
        For unknown words, files that are not there and images beyond the last.
    """
    expect.one_of(KINDS, kind=kind)
    expect.one_of(("test",) if "imagenet" in kind else ("test", "train"), split=split)
    expect.integer(0, start=start)
    pixels, labels = _digits(split) if kind == "digits" else _archive(kind, split)
    if n is None:
        n = len(labels) - start
    expect.integer(1, n=n)
    expect.that(start + n <= len(labels), f"at most {len(labels) - start}", n=n)
    x, y = pixels[start : start + n], labels[start : start + n].clone()
    if isinstance(x, Tensor):
        return x, y
    tensor = torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2)
    # As numpy divides them: x / 255, not x * (1 / 255).
    return tensor.float().div(255.0).contiguous(), y


def data_folder() -> Path:
    """Where the folder of images and networks is looked for."""
    given = os.environ.get("QUERYTAX_DATA")
    if given:
        return Path(given)
    return Path(__file__).resolve().parents[3] / "shared" / "data"


def archives(kind: str) -> list[str]:
    """The files that hold images of a kind; those of the digits are in scikit-learn."""
    if kind == "digits":
        return []
    if kind == "imagenet" and importlib.util.find_spec("PIL") is not None:
        return ["imagenet_sample1000_jpeg.npz"]
    return ["imagenet_sample100_raw.npz" if "imagenet" in kind else f"{kind}.npz"]


def absent(files: list[str]) -> list[str]:
    """Those of the files that are not in the folder."""
    return [file for file in files if not (data_folder() / file).is_file()]


def specification(name: str) -> dict[str, Any]:
    """What the file of a network says about it.

    Raises
    ------
    DomainError
        If there is none.
    """
    path = _found(f"models/{name}.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def weights(name: str) -> dict[str, Tensor]:
    """The tensors of a network by their names.

    Raises
    ------
    DomainError
        If there is no such file.
    """
    # A safetensors file: length, header, tensors.
    raw = _found(f"models/{name}.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    found = {}
    for key, entry in header.items():
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        array = np.frombuffer(raw[first:last], _DTYPES[entry["dtype"]]).copy()
        found[key] = torch.from_numpy(array.reshape(entry["shape"]))
    return found


def _found(file: str) -> Path:
    if absent([file]):
        raise DomainError(
            f"expected {file} in the folder of images and networks, got none in "
            f"{data_folder()} (QUERYTAX_DATA names the folder; the networks of the "
            f"digits need none)"
        )
    return data_folder() / file


def _digits(split: str) -> tuple[Tensor, Tensor]:
    parts = demo.digits()
    if split == "train":
        return parts.train
    x, y = zip(parts.probe, parts.held_out, strict=True)
    return torch.cat(x), torch.cat(y)


def _archive(kind: str, split: str) -> tuple[Any, Tensor]:
    """Bytes ``(N, H, W, C)``, or what gives them when it is cut, and labels."""
    (file,) = archives(kind)
    return _read(_found(file), split)


@functools.lru_cache(maxsize=2)
def _read(path: Path, split: str) -> tuple[Any, Tensor]:
    # A key is decompressed at each access: keep what was read.
    with np.load(path, allow_pickle=False) as file:
        labels = torch.from_numpy(file[f"y_{split}"].astype(np.int64))
        if "jpeg" in file.files:
            return _Pictures(file["jpeg"], file["offsets"]), labels
        return file[f"x_{split}"], labels


class _Pictures:
    """JPEGs that are decoded when they are cut: together they fill half a GiB."""

    def __init__(self, data: np.ndarray, offsets: np.ndarray) -> None:
        self._data, self._offsets = data, offsets

    def __getitem__(self, cut: slice) -> np.ndarray:
        from PIL import Image

        places = range(len(self._offsets) - 1)[cut]
        files = (
            io.BytesIO(self._data[self._offsets[i] : self._offsets[i + 1]].tobytes())
            for i in places
        )
        return np.stack([np.asarray(Image.open(file)) for file in files])
