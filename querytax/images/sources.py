"""Where images come from: arrays, lists, datasets, loaders, streams; read as wanted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from querytax.expect import DomainError
from querytax.images.files import Kinds, Stored, picture_array, picture_file
from querytax.images.pixels import WHITE, channels_first, check_room, numbers, resized
from querytax.seeds import seed_of

__all__ = ["Listed", "Raw", "are_pairs", "axes_of", "same_length", "taken"]

# Items that are read before they are put together.
_CHUNK = 256
_IMAGE_KEYS = ("image", "images", "img", "pixel_values", "x")
_LABEL_KEYS = ("label", "labels", "target", "y")


class Listed:
    """A list of images."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> tuple[Any, None]:
        return self.items[i], None


@dataclass(frozen=True)
class Raw:
    """Images as they were found: of how many, which, and what white is for sure."""

    values: Tensor
    total: int | None
    index: np.ndarray | None
    white: float | None = None


def are_pairs(source: Sequence[Any]) -> bool:
    """Whether a list holds pairs of an image and a label, rather than images."""
    first = source[0] if len(source) else None
    if isinstance(first, Mapping):
        return True
    return (
        isinstance(first, (tuple, list))
        and len(first) == 2
        and _image_like(first[0])
        and axes_of(first[1]) == 0
    )


def taken(
    source: Any,
    size: tuple[int, int] | int | None,
    layout: str | None,
    channels: int | None,
    limit: int | None,
    rng: Any,
) -> tuple[Raw, Any]:
    """The images that are taken, unscaled, and the labels that came with them."""
    whole = isinstance(source, (np.ndarray, Tensor, Stored))
    if whole and not source.ndim:
        raise DomainError("expected images (N, ...), got one number")
    sized = hasattr(source, "__len__") and not isinstance(source, DataLoader)
    total = len(source) if sized else None
    if total == 0:
        raise DomainError("expected images, got none")
    if rng is not None and total is None:
        raise DomainError("expected rng with a source that knows its length, got none")
    index: np.ndarray | None = None
    if rng is not None and total is not None:
        index = np.random.default_rng(seed_of(rng)).permutation(total)[:limit]
    if whole:
        values = numbers(_rows_of(source, index, limit))
        if size is None:
            return Raw(values, total, index), None
        pairs: Iterator[tuple[Any, Any]] = ((each, None) for each in values)
    else:
        pairs = _items(source, index, limit)
    count = None if total is None else min(total, limit or total)
    values, labels, white = _gathered(pairs, size, layout, channels, count)
    white = getattr(source, "white", white)
    return Raw(values, total, index, white), labels


def _rows_of(source: Any, index: np.ndarray | None, limit: int | None) -> Any:
    if isinstance(source, Stored):
        size = source.row_bytes * (1 + 4 / source.dtype.itemsize)
        check_room(size * min(len(source), limit or len(source)))
        return source.rows(limit, index)
    if index is not None:
        return source[torch.from_numpy(index) if isinstance(source, Tensor) else index]
    return source[:limit]


def _items(
    source: Any, index: np.ndarray | None, limit: int | None
) -> Iterator[tuple[Any, Any]]:
    """Pairs of an image and a label (or None), no more than are wanted."""
    indexed = hasattr(source, "__getitem__") and hasattr(source, "__len__")
    if indexed and not isinstance(source, (IterableDataset, DataLoader)):
        places = range(len(source)) if index is None else (int(i) for i in index)
        for i in islice(places, limit):
            yield _item(source, i)
        return
    try:
        stream = iter(source)
    except TypeError:
        raise DomainError(
            "expected images as a path, an array, a Dataset, a DataLoader or pairs, "
            f"got {type(source).__name__}"
        ) from None
    left = limit
    for item in stream:
        if isinstance(item, (list, tuple)) and are_pairs(item):
            # A batch that was not put together.
            yield from islice(map(_pair, item), left)
            left = None if left is None else left - min(left, len(item))
            if left == 0:
                return
            continue
        image, label = _pair(item)
        if _is_batch(source, image, label):
            given = [None] * len(image) if label is None else label
            same_length(len(image), given)
            yield from islice(zip(image, given, strict=True), left)
            left = None if left is None else left - min(left, len(image))
        else:
            yield image, label
            left = None if left is None else left - 1
        if left == 0:
            return


def _item(source: Any, i: int) -> tuple[Any, Any]:
    """One of a source that is read by number."""
    if isinstance(source, Listed):
        return source[i]
    try:
        item = source[i]
    except DomainError:
        raise
    except Exception as error:
        lines = str(error).splitlines() or [""]
        raise DomainError(
            f"expected source to give number {i}, got {type(error).__name__}: "
            f"{lines[0]}"
        ) from error
    return _pair(item)


def _is_batch(source: Any, image: Any, label: Any) -> bool:
    if isinstance(source, DataLoader):
        return source.batch_size is not None or source.batch_sampler is not None
    if label is None:
        return axes_of(image) == 4
    return axes_of(label) >= 1 and len(label) == len(image)


def _pair(item: Any) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        image = next((item[k] for k in _IMAGE_KEYS if k in item), None)
        if image is None:
            raise DomainError(
                "expected an item to have image and label, got "
                f"{', '.join(map(str, item))}: give pairs (image, label)"
            )
        return image, next((item[k] for k in _LABEL_KEYS if k in item), None)
    several = isinstance(item, (tuple, list))
    if several and len(item) >= 2 and _image_like(item[0]):
        return item[0], item[1]
    return (item[0], None) if several and len(item) == 1 else (item, None)


def _gathered(
    pairs: Iterator[tuple[Any, Any]],
    size: tuple[int, int] | int | None,
    layout: str | None,
    channels: int | None,
    count: int | None,
) -> tuple[Tensor, Any, float | None]:
    """All pairs put together, chunk by chunk, and what white is, if that is sure."""
    parts: list[Tensor] = []
    held: list[Tensor] = []
    labels: list[Any] = []
    white: float | None = None
    shape: tuple[int, ...] = ()
    kinds = Kinds()
    for place, (image, label) in enumerate(pairs):
        name = f"number {place}"
        if isinstance(image, (str, os.PathLike)):
            name = repr(os.fspath(image))
            image, kind = picture_file(os.fspath(image), channels, name)
            kinds.add(kind, name)
            white = WHITE
        elif _pillow(image):
            image, kind = picture_array(image, channels, name)
            kinds.add(kind, name)
            white = WHITE
        value = numbers(image)
        if size is not None:
            white = WHITE if value.dtype == torch.uint8 else white
            value = resized(channels_first(value[None], layout)[0], size)
        if not place:
            shape = tuple(value.shape)
            check_room(_held(value) * (count or 0))
        elif tuple(value.shape) != shape:
            raise DomainError(
                f"expected images of one shape, got {shape} and {tuple(value.shape)} "
                f"(number {place}): give size"
            )
        held.append(value)
        labels.append(label)
        if len(held) == _CHUNK:
            parts.append(torch.stack(held))
            held = []
            check_room(_held(parts[-1]))
    if held:
        parts.append(torch.stack(held))
    if not parts:
        raise DomainError("expected images, got none")
    found: Any = None
    if any(label is not None for label in labels):
        if any(label is None for label in labels):
            raise DomainError("expected a label with every image, got some without")
        try:
            found = np.asarray([_plain(label) for label in labels])
        except (TypeError, ValueError):
            raise DomainError("expected labels of one kind, got several") from None
    return torch.cat(parts), found, white


def _image_like(value: Any) -> bool:
    path = isinstance(value, (str, os.PathLike))
    return path or _pillow(value) or axes_of(value) >= 1


def _pillow(image: Any) -> bool:
    return hasattr(image, "mode") and hasattr(image, "convert")


def axes_of(value: Any) -> int:
    try:
        return int(np.ndim(value))
    except (TypeError, ValueError):
        return 1  # A list of lists of several lengths.


def _plain(label: Any) -> Any:
    return label.detach().cpu().numpy() if isinstance(label, Tensor) else label


def _held(value: Tensor) -> float:
    """Bytes, as they are and as float32."""
    return float(value.nbytes + 4 * value.numel())


def same_length(images: int, labels: Any) -> None:
    if axes_of(labels) and len(labels) != images:
        one = ": of one image give images[None]" if len(labels) == 1 else ""
        raise DomainError(
            f"expected as many labels as images, got {len(labels)} for {images}{one}"
        )
