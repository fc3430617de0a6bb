"""Tables of a TOML file that say where they stand when something in them is wrong."""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from querytax import expect
from querytax.expect import DomainError

__all__ = ["Source", "Table"]

_NOTHING: Any = object()
_HEAD = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*(?:\.[^=]*)?=""")

# Where a table is: words, and numbers for those of an array.
_At = tuple[str | int, ...]


class Source:
    """A TOML file.

    Raises
    ------
    DomainError
        If it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            with open(path, "rb") as stream:
                text = stream.read().decode()
            values = tomllib.loads(text)
        except (OSError, ValueError, RecursionError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise DomainError(
                f"expected plan to be a TOML file, got {self.path!r}: {reason}"
            ) from None
        self.lines = _lines(text)
        self.table = Table(self, values, ())

    def place(self, at: _At) -> str:
        """File and line of a table, or of a key in it."""
        while at and at not in self.lines:
            at = at[:-1]
        line = self.lines.get(at)
        return f"{self.path}, line {line}" if line else self.path


def _lines(text: str) -> dict[_At, int]:
    """Lines of tables and keys, of files written as people write them.

    The parser of the standard library tells none. A key inside of an inline table has
    the line of that table.
    """
    found: dict[_At, int] = {}
    counts: dict[str, int] = {}
    at: _At = ()
    for number, line in enumerate(text.splitlines(), 1):
        if head := _HEAD.match(line):
            words = tuple(word.strip().strip("\"'") for word in head[2].split("."))
            first, rest = words[0], words[1:]
            if head[1] == "[[":
                counts[first] = counts.get(first, -1) + 1
            inside: _At = (counts[first],) if first in counts else ()
            at = (first, *inside, *rest)
            found.setdefault(at, number)
        elif key := _KEY.match(line):
            found.setdefault((*at, key[1]), number)
    return found


class Table:
    """A table of a file, or of an array in it."""

    def __init__(self, source: Source, values: dict[str, Any], at: _At) -> None:
        self._source, self._values, self._at = source, values, at

    def __contains__(self, key: str) -> bool:
        return key in self._values

    @property
    def title(self) -> str:
        """What it is called: ``[networks.mine]``, ``[[attacks]]``."""
        words = [word for word in self._at if isinstance(word, str)]
        if not words:
            return "the plan"
        name = ".".join(words)
        return f"[[{name}]]" if len(words) < len(self._at) else f"[{name}]"

    def line(self) -> int:
        """Where it begins; 0 if nobody knows."""
        return self._source.lines.get(self._at, 0)

    def error(self, message: str, key: str = "") -> DomainError:
        """An error with the place of the table, or of a key in it."""
        at = (*self._at, key) if key else self._at
        return DomainError(f"{message} ({self._source.place(at)})")

    @contextlib.contextmanager
    def at(self, key: str) -> Iterator[None]:
        """Errors in the block tell the place of a key, unless they tell one."""
        try:
            yield
        except DomainError as error:
            if self._source.path in str(error):
                raise
            raise self.error(str(error), key) from None

    def known(self, *keys: str) -> None:
        """Fail for a key that there is not, with the nearest ones."""
        for key in self._values:
            with self.at(key):
                expect.one_of(keys, **{f"a key of {self.title}": key})

    def _take(self, key: str, default: Any) -> Any:
        if key in self._values:
            return self._values[key]
        if default is _NOTHING:
            raise self.error(f"expected {key} in {self.title}, got none")
        return _Default(default)

    def _one(self, key: str, default: Any, read: Any) -> Any:
        value = self._take(key, default)
        if isinstance(value, _Default):
            return value.value
        with self.at(key):
            return read(key, value)

    def _several(self, key: str, default: Any, read: Any) -> Any:
        """One value or a list of some, none twice."""

        def each(key: str, value: Any) -> list[Any]:
            values = value if isinstance(value, list) else [value]
            if not values:
                raise DomainError(f"expected {key} to have one at least, got none")
            found = [read(key, one) for one in values]
            for i, one in enumerate(found):
                if one in found[:i]:
                    raise DomainError(f"expected {key} once each, got {one} twice")
            return found

        return self._one(key, default, each)

    def text(self, key: str, default: Any = _NOTHING) -> Any:
        """A word."""
        return self._one(key, default, _word)

    def texts(self, key: str, default: Any = _NOTHING) -> Any:
        """A word, or some."""
        return self._several(key, default, _word)

    def word(self, key: str, options: Sequence[str], default: Any) -> Any:
        """One of some words."""
        return self._one(
            key, default, lambda key, value: expect.one_of(options, **{key: value})
        )

    def whole(self, key: str, least: int, default: Any = _NOTHING) -> Any:
        """A whole number."""
        return self._one(key, default, lambda key, value: _whole(key, value, least))

    def wholes(self, key: str, least: int, default: Any = _NOTHING) -> Any:
        """A whole number, or some; of a size in pixels one may be there twice."""
        read = self._several if key != "size" else self._pair
        return read(key, default, lambda key, value: _whole(key, value, least))

    def _pair(self, key: str, default: Any, read: Any) -> Any:
        def two(key: str, value: Any) -> list[Any]:
            values = value if isinstance(value, list) else [value]
            if len(values) not in (1, 2):
                raise DomainError(f"expected {key} as 224 or [224, 320], got {value!r}")
            return [read(key, one) for one in values]

        return self._one(key, default, two)

    def number(self, key: str, default: Any = _NOTHING) -> Any:
        """A number, or a fraction as text: ``"8/255"``."""
        return self._one(key, default, _fraction)

    def fractions(self, key: str, default: Any = _NOTHING) -> Any:
        """A number, or some."""
        return self._several(key, default, _fraction)

    def plain(self, key: str) -> dict[str, Any]:
        """A table of numbers, words and switches."""
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            raise self.error(f"expected {key} to be a table, got {value!r}", key)
        for name, each in value.items():
            if not isinstance(each, (bool, int, float, str)):
                raise DomainError(
                    f"expected {name} of {key} to be one number, word or switch, got "
                    f"{each!r} ({self._source.place((*self._at, key, name))})"
                )
        return dict(value)

    def tables(self, key: str) -> dict[str, Table]:
        """Tables by their names: ``[networks.mine]``."""
        value = self._values.get(key, {})
        whole = isinstance(value, dict)
        if not whole or not all(isinstance(v, dict) for v in value.values()):
            raise self.error(f"expected {key} as tables [{key}.NAME]", key)
        return {
            n: Table(self._source, v, (*self._at, key, n)) for n, v in value.items()
        }

    def array(self, key: str) -> list[Table]:
        """Tables of an array: ``[[attacks]]``."""
        value = self._values.get(key, [])
        whole = isinstance(value, list)
        if not whole or not all(isinstance(v, dict) for v in value):
            raise self.error(f"expected {key} as tables [[{key}]]", key)
        return [
            Table(self._source, v, (*self._at, key, i)) for i, v in enumerate(value)
        ]


class _Default:
    """What stands for a value that was not given; it is not looked at."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _word(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise DomainError(f"expected {key} to be a word, got {value!r}")
    return value


def _whole(key: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise DomainError(f"expected {key} to be a whole number, got {value!r}")
    return int(expect.count(least, **{key: value}))


def _fraction(key: str, value: Any) -> float:
    if isinstance(value, str):
        over, _, under = value.partition("/")
        with contextlib.suppress(ValueError, ZeroDivisionError):
            return float(over) / float(under or 1)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DomainError(
            f'expected {key} to be a number or "8/255", a fraction, got {value!r}'
        )
    return float(value)
