"""Images and labels as people have them, as the tensors that everything here takes."""

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

from querytax import expect
from querytax.expect import DomainError
from querytax.image_files import Folder, Stored, picture_array, stored
from querytax.losses import check_images, check_labels
from querytax.pixels import (
    LAYOUTS,
    WHITE,
    channels_first,
    check_room,
    numbers,
    resized,
    scaled,
    wanted_size,
)
from querytax.seeds import seed_of

__all__ = ["load_images"]

# Items that are read before they are put together.
_CHUNK = 256
_IMAGE_KEYS = ("image", "images", "img", "pixel_values", "x")
_LABEL_KEYS = ("label", "labels", "target", "y")


def load_images(
    source: Any,
    labels: Any = None,
    *,
    layout: str | None = None,
    scale: float | None = None,
    size: int | Sequence[int] | None = None,
    channels: int | None = None,
    classes: Sequence[str] | None = None,
    limit: int | None = None,
    rng: Any = None,
) -> tuple[Tensor, Tensor]:
    """Images ``(N, C, H, W)`` in [0, 1] and labels ``(N,)``, from nearly anything.

    What is certain is done without a word; what could be two things is refused, with
    the argument that says which. No more is read, and no more held, than is taken.

    Parameters
    ----------
    source : path, array, Tensor, Dataset, DataLoader or iterable
        An ``.npz`` with arrays ``x`` and ``y``; an ``.npy`` of images, with the one of
        its labels as ``labels``; a folder of images, with a folder a class or with a
        ``labels.csv`` of lines ``file,label``; an array or a list of images; a torch
        ``Dataset`` of ``(image, label)``, where an image may be Pillow's; a
        ``DataLoader`` or anything else that gives such pairs, or batches of them.
    labels : array, list or path, optional
        Where the source has none: whole numbers ``(N,)`` or ``(N, 1)``, or one-hot
        ``(N, classes)``.
    layout : {"NCHW", "NHWC", "NHW", "as is"}, optional
        Axes of the images. By default the channels are the axis of length 1, 3 or 4;
        where both may be, the one that leaves square images. Bytes ``(N, H, W)``, and
        such squares of floats, are images of one channel. Other floats stay as they
        are.
    scale : float, optional
        What stands for white. By default 255 for bytes, and for floats between 0 and
        at least 128 and at most 255; 1 for floats in [0, 1].
    size : int or (int, int), optional
        Resize, bilinear: to height and width, or the shorter side to one number, of
        which the middle square is cut out.
    channels : {1, 3}, optional
        Of images in files: make all of them gray, or RGB. By default they must be
        alike.
    classes : sequence of str, optional
        Names of the classes in the model's order, for a folder a class. By default
        sorted as text.
    limit : int, optional
        Take so many at most: the first ones. Of a folder the classes come mixed, each
        by its share.
    rng : int or Generator, optional
        Take a random ``limit``, in a random order, by this seed; of a source that
        knows its length.

    Returns
    -------
    images : Tensor
        ``(N, C, H, W)`` float32; of tabular data ``(N, D)``.
    labels : Tensor
        ``(N,)`` int64.

    Raises
    ------
    DomainError
        One line: for what cannot be read, is ambiguous, does not fit together, or is
        larger than the memory that is free.

    Examples
    --------
    >>> photos = np.full((2, 32, 32, 3), 255, np.uint8)  # bytes, channels last
    >>> images, labels = load_images(photos, [[1, 0], [0, 1]])
    >>> tuple(images.shape), float(images.max()), labels.tolist()
    ((2, 3, 32, 32), 1.0, [0, 1])
    """
    if isinstance(source, Tensor) and source.layout is not torch.strided:
        source = source.to_dense()
    if layout is not None:
        expect.one_of(LAYOUTS, layout=layout)
    if scale is not None:
        expect.positive(scale=scale)
    if limit is not None:
        limit = int(expect.count(limit=limit))
    if channels is not None and channels not in (1, 3):
        raise DomainError(f"expected channels to be 1 or 3, got {channels!r}")
    square = wanted_size(size)
    if isinstance(source, (str, os.PathLike)):
        source, labels = _from_path(os.fspath(source), labels, channels, classes)
    elif isinstance(labels, (str, os.PathLike)):
        labels = stored(os.fspath(labels)).rows()
    if isinstance(source, (list, tuple)) and not _pairs(source):
        source = _Listed(source)
    if classes is not None and not isinstance(source, Folder):
        raise DomainError("expected classes with a folder of folders, got no folder")
    raw, found = _taken(source, square, layout, channels, limit, rng)
    if labels is not None:
        if found is not None:
            raise DomainError("expected labels once, got them in the source as well")
        found = labels
        if raw.index is not None or limit is not None:
            found = _chosen(labels, raw)
    if found is None:
        raise DomainError(
            "expected labels, one an image, got none: give them as labels, or pairs "
            "(image, label)"
        )
    _same_length(len(raw.values), found)
    chosen = check_labels(found, len(raw.values))
    if int(chosen.min()) < 0:
        raise DomainError(f"expected labels from 0 on, got {int(chosen.min())}")
    values = channels_first(raw.values, "as is" if size is not None else layout)
    return check_images(scaled(values, raw.white, scale)), chosen


# -- sources ---------------------------------------------------------------------


class _Listed:
    """A list of images."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> tuple[Any, None]:
        return self.items[i], None


@dataclass(frozen=True)
class _Raw:
    """Images as they were found: of how many, which, and what white is for sure."""

    values: Tensor
    total: int | None
    index: np.ndarray | None
    white: float | None = None


def _from_path(
    path: str, labels: Any, channels: int | None, classes: Sequence[str] | None
) -> tuple[Any, Any]:
    if os.path.isdir(path):
        return Folder(path, labels, channels=channels, classes=classes), None
    if labels is None and not os.path.exists(path) and "," in path:
        # Two arrays in one word, as a shell says it.
        path, _, labels = path.partition(",")
    images = stored(path)
    if labels is None:
        labels = images.labels()
    elif isinstance(labels, (str, os.PathLike)):
        labels = stored(os.fspath(labels)).rows()
    if images.ndim:
        # Before the images are read, which may be many.
        _same_length(len(images), labels)
    return images, labels


def _pairs(source: Sequence[Any]) -> bool:
    """Whether a list holds pairs of an image and a label, rather than images."""
    first = source[0] if len(source) else None
    if isinstance(first, Mapping):
        return True
    return (
        isinstance(first, (tuple, list))
        and len(first) == 2
        and (_pillow(first[0]) or _ndim(first[0]) >= 1)
        and _ndim(first[1]) == 0
    )


def _taken(
    source: Any,
    size: tuple[int, int] | int | None,
    layout: str | None,
    channels: int | None,
    limit: int | None,
    rng: Any,
) -> tuple[_Raw, Any]:
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
            return _Raw(values, total, index), None
        pairs: Iterator[tuple[Any, Any]] = ((each, None) for each in values)
    else:
        pairs = _items(source, index, limit)
    count = None if total is None else min(total, limit or total)
    values, labels, white = _gathered(pairs, size, layout, channels, count)
    white = getattr(source, "white", white)
    return _Raw(values, total, index, white), labels


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
            yield source[i] if isinstance(source, _Listed) else _pair(source[i])
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
        image, label = _pair(item)
        if _is_batch(source, image, label):
            given = [None] * len(image) if label is None else label
            _same_length(len(image), given)
            yield from islice(zip(image, given, strict=True), left)
            left = None if left is None else left - min(left, len(image))
        else:
            yield image, label
            left = None if left is None else left - 1
        if left == 0:
            return


def _is_batch(source: Any, image: Any, label: Any) -> bool:
    if isinstance(source, DataLoader):
        return source.batch_size is not None or source.batch_sampler is not None
    if label is None:
        return _ndim(image) == 4
    return _ndim(label) >= 1 and len(label) == len(image)


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
    if several and len(item) >= 2 and (_pillow(item[0]) or _ndim(item[0]) >= 1):
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
    for place, (image, label) in enumerate(pairs):
        if _pillow(image):
            image, _ = picture_array(image, channels, f"number {place}")
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


def _pillow(image: Any) -> bool:
    return hasattr(image, "mode") and hasattr(image, "convert")


def _ndim(value: Any) -> int:
    try:
        return int(np.ndim(value))
    except (TypeError, ValueError):
        return 1  # A list of lists of several lengths.


def _plain(label: Any) -> Any:
    return label.detach().cpu().numpy() if isinstance(label, Tensor) else label


def _held(value: Tensor) -> float:
    """Bytes, as they are and as float32."""
    return float(value.nbytes + 4 * value.numel())


# -- labels ----------------------------------------------------------------------


def _chosen(labels: Any, raw: _Raw) -> Any:
    """The labels of what was taken."""
    if raw.total is not None:
        _same_length(raw.total, labels)
    if not _ndim(labels):
        return labels
    if isinstance(labels, Tensor):
        labels = labels.cpu()
    if raw.index is None:
        return labels[: len(raw.values)]
    if isinstance(labels, (Tensor, np.ndarray)):
        return labels[
            torch.from_numpy(raw.index) if isinstance(labels, Tensor) else raw.index
        ]
    return [labels[int(i)] for i in raw.index]


def _same_length(images: int, labels: Any) -> None:
    if _ndim(labels) and len(labels) != images:
        raise DomainError(
            f"expected as many labels as images, got {len(labels)} for {images}"
        )
