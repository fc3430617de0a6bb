"""Files of ours: written whole or not at all, and checked before they are believed.

A seal is the SHA-256 digest of what was written. It tells damage, not malice: whoever
can write the file can seal it too.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import secrets
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from querytax import interrupts
from querytax.expect import DomainError

__all__ = [
    "atomic_write",
    "cache_folder",
    "digest_of",
    "parsed",
    "read_arrays",
    "read_json",
    "seal",
    "unseal",
    "writable",
    "write_arrays",
    "write_json",
]

_SEAL = b"querytax sealed "
_DIGEST = 64
# The digest's own name among arrays.
_MEMBER = "sha256"
# A file name has 255 bytes at most, and the temporary one says whose it is.
_NAME = 100


# -- writing ---------------------------------------------------------------------


def writable(path: str | os.PathLike[str]) -> None:
    """Fail before the work, not after it, where nothing can be written.

    Raises
    ------
    DomainError
        If the folder is missing or read-only, the path is a folder itself, or it is
        another thing that cannot be written to.
    """
    try:
        where = _target(path)
        if _is_regular(where):
            with tempfile.TemporaryFile(dir=where.parent):
                pass
            if len(os.fsencode(where.name)) > 255:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        elif not os.access(where, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A stream that becomes the file when the block ends well, and nothing otherwise.

    A link is followed to the file that it names. What is no file, a device or a pipe,
    is written to when the block ends well, and stays what it is.

    Raises
    ------
    DomainError
        If the path cannot be written; an older file there stays as it was.
    KeyboardInterrupt
        One that came before, and was lost on its way.
    """
    interrupts.check()
    try:
        where = _target(path)
        if not _is_regular(where):
            held = io.BytesIO()
            yield held
            with open(where, "wb") as device:
                device.write(held.getbuffer())
            return
        _sweep(where)
        name = where.parent / _temporary(where)
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _mode(where))
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        os.replace(name, where)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)


def _target(path: str | os.PathLike[str]) -> Path:
    """Where a path leads, links followed; no folder."""
    where = Path(os.path.realpath(path))
    if where.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if where.is_symlink():
        # It leads to itself.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return where


def _is_regular(where: Path) -> bool:
    return not where.exists() or stat.S_ISREG(where.stat().st_mode)


def _mode(where: Path) -> int:
    """That of the file which is replaced; open() makes the same of a new one."""
    return stat.S_IMODE(where.stat().st_mode) if where.exists() else 0o666


def _temporary(where: Path) -> str:
    """A name beside the file that tells which process writes it."""
    return f".{_short(where)}.{os.getpid()}.{secrets.token_hex(4)}.part"


def _short(where: Path) -> str:
    return os.fsdecode(os.fsencode(where.name)[:_NAME])


def _sweep(where: Path) -> None:
    """Remove what writers of this file left that were killed."""
    prefix = f".{_short(where)}."
    with contextlib.suppress(OSError):
        for entry in os.scandir(where.parent):
            words = entry.name.removeprefix(prefix).split(".")
            ours = entry.name.startswith(prefix) and entry.name.endswith(".part")
            ours = ours and len(words) == 3 and words[0].isdigit()
            if ours and not _alive(int(words[0])):
                os.unlink(entry.path)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _unwritable(path: str | os.PathLike[str], error: Exception) -> DomainError:
    reason = getattr(error, "strerror", None) or str(error)
    return DomainError(f"expected a writable path, got {os.fspath(path)!r}: {reason}")


# -- believing -------------------------------------------------------------------


def digest_of(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def seal(data: bytes) -> bytes:
    """The data behind a line with their digest."""
    return _SEAL + digest_of(data).encode() + b"\n" + data


def unseal(sealed: bytes) -> bytes:
    """The data of :func:`seal`.

    Raises
    ------
    ValueError
        If they are not what was sealed.
    """
    head = len(_SEAL) + _DIGEST + 1
    data = sealed[head:]
    if sealed[:head] != _SEAL + digest_of(data).encode() + b"\n":
        raise ValueError("damaged or something else")
    return data


def parsed(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises
    ------
    ValueError
        If it is none, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write_json(path: str | os.PathLike[str], data: Mapping[str, Any]) -> None:
    """Write a mapping with its digest, under ``"sha256"``."""
    plain = json.dumps(data, indent=1, sort_keys=True)
    whole = {"sha256": digest_of(plain.encode()), **json.loads(plain)}
    with atomic_write(path) as stream:
        stream.write((json.dumps(whole, indent=1) + "\n").encode())


def read_json(path: str | os.PathLike[str], what: str) -> dict[str, Any]:
    """What :func:`write_json` wrote.

    Parameters
    ----------
    path : path
    what : str
        What it should be, for the error: ``"a saved run"``.

    Raises
    ------
    DomainError
        If it cannot be read, or is not what was written.
    """
    name = os.fspath(path)
    try:
        whole = parsed(Path(path).read_bytes())
        told = whole.pop("sha256")
        plain = json.dumps(whole, indent=1, sort_keys=True)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "something else"
        raise DomainError(f"expected {what}, got {name!r}: {reason}") from None
    if told != digest_of(plain.encode()):
        raise DomainError(
            f"expected {what}, got {name!r}: damaged, its content is not what was "
            "written"
        )
    found: dict[str, Any] = whole
    return found


# What an archive may unpack to, and how many times its own size.
_LARGEST, _INFLATION, _SMALL = 1 << 32, 100, 1 << 26


def write_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write arrays to one ``.npz`` file with their digest, whole or not at all."""
    told = np.array(_digest_of_arrays(arrays))
    with atomic_write(path) as stream:
        whole: dict[str, Any] = {**arrays, _MEMBER: told}
        np.savez_compressed(stream, **whole)


def read_arrays(path: str | os.PathLike[str], what: str) -> dict[str, np.ndarray]:
    """What :func:`write_arrays` wrote.

    What the archive says of itself is looked at first: sizes that its length cannot
    hold are refused before they are unpacked.

    Raises
    ------
    DomainError
        If it cannot be read, or is not what was written.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as stream:
            with zipfile.ZipFile(stream) as archive:
                declared = [member.file_size for member in archive.infolist()]
                names = [member.filename for member in archive.infolist()]
            length, total = os.fstat(stream.fileno()).st_size, sum(declared)
            if len(set(names)) < len(names):
                raise ValueError("two parts of one name")
            if total > _LARGEST or total > max(_SMALL, _INFLATION * length):
                raise ValueError(
                    f"{length:,} bytes that claim to be {total:,}, which is too much"
                )
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
    except Exception as error:
        # A damaged archive fails in any of a dozen ways, down to zlib.error.
        reason = getattr(error, "strerror", None)
        reason = reason or (str(error) if "too much" in str(error) else None)
        raise DomainError(
            f"expected {what}, got {name!r}: {reason or 'damaged or something else'}"
        ) from None
    if _MEMBER not in arrays:
        raise DomainError(
            f"expected {what}, got {name!r}: something else, or made by an older "
            "version, without a digest"
        )
    told = str(arrays.pop(_MEMBER))
    if told != _digest_of_arrays(arrays):
        raise DomainError(
            f"expected {what}, got {name!r}: damaged, its content is not what was "
            "written"
        )
    return arrays


def _digest_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Of names, types, shapes and bytes."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {value.dtype.str} {value.shape}\n".encode())
        found.update(value.tobytes())
    return found.hexdigest()


# -- caching ---------------------------------------------------------------------


def cache_folder(*parts: str) -> Path | None:
    """A folder of this user's alone for what can be made again, or none.

    ``$QUERYTAX_CACHE``, or ``querytax`` in the user's cache folder, and ``parts`` in
    it. Nothing is believed that another user could have put there: the folder, and
    those made in it, belong to this user, and nobody else may write to them.
    """
    given = os.environ.get("QUERYTAX_CACHE")
    try:
        base = Path(given) if given else _cache_home() / "querytax"
        place = base
        for part in ("", *parts):
            place = place / part
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _own(place):
                return None
        with tempfile.TemporaryFile(dir=place):
            return place
    except (OSError, RuntimeError, ValueError):
        # Full, read-only, or a user without a home.
        return None


def _cache_home() -> Path:
    named = os.environ.get("XDG_CACHE_HOME")
    return Path(named) if named else Path.home() / ".cache"


def _own(place: Path) -> bool:
    if not hasattr(os, "geteuid"):
        return True
    found = place.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022
