"""Images in files: arrays that are read as far as wanted, and folders of pictures."""

from __future__ import annotations

import contextlib
import csv
import math
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from querytax.expect import DomainError

__all__ = [
    "NAMES",
    "Folder",
    "Kinds",
    "Stored",
    "picture_array",
    "picture_file",
    "stored",
]

_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
#: Names of images and their labels, the first pair that is there.
NAMES = (
    ("x", "y"),
    ("images", "labels"),
    ("image", "label"),
    ("x_test", "y_test"),
    ("test_images", "test_labels"),
)
# Bytes of a compressed array that are unpacked at a time.
_PIECE = 1 << 22
# Modes of Pillow that say by themselves how to read them.
_CLEAR = {
    "1": "L",
    "L": "L",
    "I;16": "gray of 16 bits",
    "I;16B": "gray of 16 bits",
    "P": "RGB",
    "RGB": "RGB",
}


class Stored:
    """An array in a file: its shape is known, its rows are read when asked for."""

    def __init__(self, path: str, member: str | None = None) -> None:
        self.path, self.member = path, member
        with self._open():
            pass

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """The bytes of the array, behind the header, which is read again."""
        with contextlib.ExitStack() as stack:
            stream: Any = stack.enter_context(open(self.path, "rb"))
            if self.member is not None:
                archive = stack.enter_context(zipfile.ZipFile(stream))
                stream = stack.enter_context(archive.open(self.member))
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read = np.lib.format.read_array_header_2_0
            self.shape, self.fortran, self.dtype = read(stream)
            if self.dtype.hasobject or any(side < 0 for side in self.shape):
                raise ValueError("not plain numbers")
            yield stream

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def __len__(self) -> int:
        return int(self.shape[0]) if self.shape else 0

    def rows(
        self, count: int | None = None, index: np.ndarray | None = None
    ) -> np.ndarray:
        """The first ``count`` rows, or those of ``index``; all without either."""
        take = len(self) if count is None else min(count, len(self))
        last = take if index is None else int(index.max(initial=-1)) + 1
        try:
            with self._open() as stream:
                if self.fortran or not self.shape:
                    whole = self._read(stream, math.prod(self.shape))
                    shaped = whole.reshape(self.shape[::-1]).T
                    if not self.shape:
                        return shaped
                    return shaped[:take] if index is None else shaped[index]
                # Piece by piece: rows that are not wanted are not kept.
                step = max(1, _PIECE // max(1, self.row_bytes))
                wanted = None if index is None else np.sort(index)
                kept = []
                for start in range(0, last, step):
                    stop = min(start + step, last)
                    numbers = (stop - start) * math.prod(self.shape[1:])
                    piece = self._read(stream, numbers)
                    piece = piece.reshape(stop - start, *self.shape[1:])
                    if wanted is not None:
                        low, high = np.searchsorted(wanted, [start, stop])
                        piece = piece[wanted[low:high] - start]
                    kept.append(piece)
                empty = np.empty((0, *self.shape[1:]), self.dtype)
                found = np.concatenate(kept) if kept else empty
                if index is None:
                    return found
                return found[np.argsort(np.argsort(index))]
        except Exception as error:
            raise _unreadable(self.path, error) from None

    def _read(self, stream: Any, numbers: int) -> np.ndarray:
        """So many numbers: by what is there, not by what the header claims."""
        left, parts = numbers * self.dtype.itemsize, bytearray()
        while left:
            part = stream.read(min(_PIECE, left))
            if not part:
                raise EOFError("cut short")
            parts += part
            left -= len(part)
        return np.frombuffer(parts, dtype=self.dtype)

    def labels(self) -> np.ndarray:
        """The labels in the same archive."""
        if self.member is None:
            raise DomainError(
                f"expected labels with {self.path!r}, got none: name both, as in "
                "x.npy,y.npy"
            )
        found = dict(NAMES)[self.member.removesuffix(".npy")]
        return _member(self.path, f"{found}.npy").rows()


def stored(path: str) -> Stored:
    """The images of an ``.npz`` or ``.npy``.

    Raises
    ------
    DomainError
        If the file cannot be read or lacks an array.
    """
    try:
        with open(path, "rb") as file:
            if file.read(6) == b"\x93NUMPY":
                return Stored(path)
            file.seek(0)
            with zipfile.ZipFile(file) as archive:
                names = {n.removesuffix(".npy") for n in archive.namelist()}
    except Exception as error:
        raise _unreadable(path, error) from None
    for x, y in NAMES:
        if {x, y} <= names:
            return _member(path, f"{x}.npy")
    raise DomainError(
        f"expected arrays x and y in {path!r}, got {', '.join(sorted(names)) or 'none'}"
    )


def _member(path: str, name: str) -> Stored:
    try:
        return Stored(path, name)
    except Exception as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> DomainError:
    # A damaged archive fails in any of a dozen ways, down to zlib.error.
    reason = getattr(error, "strerror", None) or "not plain arrays"
    return DomainError(
        f"expected data to be a readable .npz, .npy or folder, got {path!r}: {reason}"
    )


class Folder:
    """Pictures and their labels, by the folder or by a table; read one by one.

    Those of a folder a class come mixed, each class by its share, so that the first
    ones stand for all.
    """

    def __init__(
        self,
        path: str,
        labels: Any = None,
        *,
        channels: int | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.path, self.channels, self.white = path, channels, 255.0
        self.kinds = Kinds()
        table = os.path.join(path, "labels.csv")
        if labels is None and os.path.exists(table):
            labels = table
        if isinstance(labels, (str, os.PathLike)):
            self.files, self.labels = _tabled(path, os.fspath(labels), classes)
        elif labels is not None:
            self.files, self.labels = _pictures(path), list(labels)
            if len(self.files) != len(self.labels):
                raise DomainError(
                    f"expected as many labels as images, got {len(self.labels)} for "
                    f"{len(self.files)}"
                )
        else:
            self.files, self.labels = _by_class(path, classes)
        if not self.files:
            endings = ", ".join(_ENDINGS)
            raise DomainError(
                f"expected images in {path!r}, got none that ends with {endings}"
            )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[np.ndarray, Any]:
        return self._read(self.files[i]), self.labels[i]

    def _read(self, name: str) -> np.ndarray:
        path = os.path.join(self.path, name)
        found, kind = picture_file(path, self.channels, repr(name))
        self.kinds.add(kind, repr(name))
        return found


class Kinds:
    """What pictures are, which must be one kind."""

    def __init__(self) -> None:
        self.first: tuple[str, str] | None = None

    def add(self, kind: str, name: str) -> None:
        """Another picture.

        Raises
        ------
        DomainError
            For one of another kind than the first.
        """
        if self.first is None:
            self.first = kind, name
        if kind != self.first[0]:
            raise DomainError(
                f"expected all images alike, got {self.first[0]} in {self.first[1]} "
                f"and {kind} in {name}: give channels as 1 or 3"
            )


def picture_file(path: str, channels: int | None, name: str) -> tuple[np.ndarray, str]:
    """A picture in a file, as `picture_array`."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return picture_array(picture, channels, name)
    except DomainError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or "not a readable image"
        raise DomainError(f"expected {path!r} to be an image, got {reason}") from None


def picture_array(
    picture: Any, channels: int | None, name: str
) -> tuple[np.ndarray, str]:
    """A picture of Pillow's as ``(H, W, C)`` with white at 255, and what it is."""
    mode = picture.mode
    if channels is not None:
        kind = "L" if channels == 1 else "RGB"
    elif mode in _CLEAR and "transparency" not in picture.info:
        kind = _CLEAR[mode]
    else:
        raise DomainError(
            f"expected images in gray or RGB, got {mode} in {name}: give channels as "
            "1 or 3"
        )
    if mode.startswith("I;16"):
        # Pillow would cut off what is above 255.
        deep = np.asarray(picture).astype(np.float32)[..., None] * (255.0 / 65535.0)
        return (deep if kind != "RGB" else deep.repeat(3, 2)), kind
    array = np.asarray(picture.convert(kind))
    return (array[..., None] if array.ndim == 2 else array), kind


def _pictures(path: str) -> list[str]:
    """Relative names of all pictures below a folder, sorted."""
    found = []
    for place, folders, files in os.walk(path):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in files:
            if name.lower().endswith(_ENDINGS) and not name.startswith("."):
                found.append(os.path.relpath(os.path.join(place, name), path))
    return sorted(found)


def _by_class(path: str, classes: Sequence[str] | None) -> tuple[list[str], list[int]]:
    try:
        with os.scandir(path) as entries:
            names = sorted(
                e.name for e in entries if e.is_dir() and not e.name.startswith(".")
            )
    except OSError as error:
        raise _unreadable(path, error) from None
    if not names:
        raise DomainError(
            f"expected in {path!r} a folder a class, or labels.csv with lines "
            "file,label, got neither"
        )
    if classes is None:
        _plainly_ordered(names)
    listed = list(classes) if classes is not None else names
    unknown = [name for name in names if name not in listed]
    if unknown:
        raise DomainError(f"expected classes to name every folder, not {unknown[0]!r}")
    files: list[tuple[float, int, str]] = []
    for name in names:
        inside = _pictures(os.path.join(path, name))
        label = listed.index(name)
        files += [
            ((k + 0.5) / len(inside), label, os.path.join(name, picture))
            for k, picture in enumerate(inside)
        ]
    files.sort()
    deep = [os.path.dirname(os.path.dirname(name)) for *_, name in files]
    if files and classes is None and all(deep):
        # Such as train and val, which are no classes.
        within = os.path.dirname(files[0][2])
        raise DomainError(
            f"expected in {path!r} a folder a class, got pictures in {within!r} and "
            "the like: give the folder that holds the classes, or classes"
        )
    return [name for *_, name in files], [label for _, label, _ in files]


def _plainly_ordered(names: list[str]) -> None:
    """Numbers as names must be the labels that the order gives them."""
    if all(re.fullmatch(r"\d+", name) for name in names) and [
        int(name) for name in names
    ] != list(range(len(names))):
        raise DomainError(
            "expected folders named by classes, or by 0, 1, 2, ... up to 9, got "
            f"{', '.join(map(repr, names[:3]))}, whose labels could be the numbers or "
            "their order: give classes, or put labels.csv there"
        )


def _tabled(
    path: str, table: str, classes: Sequence[str] | None
) -> tuple[list[str], list[int]]:
    try:
        with open(table, newline="", encoding="utf-8-sig") as stream:
            lines = [line for line in csv.reader(stream) if line]
    except (OSError, UnicodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise DomainError(
            f"expected {table!r} to hold lines file,label, got {reason}"
        ) from None
    listed = list(classes or ())
    files: list[str] = []
    labels: list[int] = []
    for number, line in enumerate(lines, 1):
        name, word = (line[0].strip(), line[1].strip()) if len(line) > 1 else ("", "")
        if re.fullmatch(r"-?\d{1,9}", word) and not listed:
            label = int(word)
        elif word in listed:
            label = listed.index(word)
        elif number == 1 and name and not name.lower().endswith(_ENDINGS):
            continue  # A heading.
        else:
            hint = "" if classes else ", or classes for names"
            raise DomainError(
                f"expected lines file,label in {table!r}, a whole number{hint}, got "
                f"{','.join(line)[:60]!r} in line {number}"
            )
        files.append(name)
        labels.append(label)
    return files, labels
