"""Images and labels as people have them, as the tensors that everything here takes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax import expect
from querytax.expect import DomainError
from querytax.images.files import NAMES, Folder, stored
from querytax.images.pixels import LAYOUTS, channels_first, scaled, wanted_size
from querytax.images.sources import (
    Listed,
    Raw,
    are_pairs,
    axes_of,
    same_length,
    taken,
)
from querytax.losses import check_images, check_labels

__all__ = ["load_images"]


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
        An ``.npz`` with arrays ``x`` and ``y``, ``images`` and ``labels``, or
        ``x_test`` and ``y_test``, or a mapping or pair of such; an ``.npy`` of images,
        with the one of its labels as ``labels``; a folder of images, with a folder a
        class or with a ``labels.csv`` of lines ``file,label``; an array, or a list of
        images or of files of them; a torch ``Dataset`` of ``(image, label)``, where an
        image may be Pillow's; a ``DataLoader`` or anything else that gives such pairs,
        or batches of them.
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
    if labels is None:
        source, labels = _two_parts(source)
    if isinstance(source, (str, os.PathLike)):
        source, labels = _from_path(os.fspath(source), labels, channels, classes)
    elif isinstance(labels, (str, os.PathLike)):
        labels = stored(os.fspath(labels)).rows()
    if isinstance(source, (list, tuple)) and not are_pairs(source):
        source = Listed(source)
    if classes is not None and not isinstance(source, Folder):
        raise DomainError("expected classes with a folder of folders, got no folder")
    raw, found = taken(source, square, layout, channels, limit, rng)
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
    same_length(len(raw.values), found)
    chosen = check_labels(found, len(raw.values))
    if int(chosen.min()) < 0:
        raise DomainError(f"expected labels from 0 on, got {int(chosen.min())}")
    values = channels_first(raw.values, "as is" if size is not None else layout)
    return check_images(scaled(values, raw.white, scale)), chosen


# -- sources ---------------------------------------------------------------------


def _two_parts(source: Any) -> tuple[Any, Any]:
    """Images and labels, of what holds both whole: a mapping, or ``(x, y)``."""
    if isinstance(source, Mapping):
        for x, y in NAMES:
            if x in source and y in source:
                return source[x], source[y]
        raise DomainError(
            "expected images and labels as x and y, got "
            f"{', '.join(map(repr, list(source)[:8])) or 'nothing'}"
        )
    if isinstance(source, (tuple, list)) and len(source) == 2:
        x, y = source
        sides = axes_of(x), axes_of(y)
        if sides[0] > 1 and sides[1] in (1, 2) and sides[1] < sides[0]:
            # Of two images both would have as many axes.
            return x, y
    return source, None


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
        same_length(len(images), labels)
    return images, labels


# -- labels ----------------------------------------------------------------------


def _chosen(labels: Any, raw: Raw) -> Any:
    """The labels of what was taken."""
    if raw.total is not None:
        same_length(raw.total, labels)
    if not axes_of(labels):
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
