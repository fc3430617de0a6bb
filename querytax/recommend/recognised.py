"""Whether data read from a file are what a recommendation is made of."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from typing import Any

__all__ = ["expect_kinds"]


def expect_kinds(value: Any) -> None:
    """Fail on a dataclass whose fields are not of the kinds that it declares.

    Numbers are numbers: no booleans, no words, no NaN; whole ones are whole.

    Raises
    ------
    ValueError
        One line, with the field.
    """
    owner: Any = type(value)
    for name, kind in _kinds(owner).items():
        found = getattr(value, name)
        if not _fits(found, kind):
            raise ValueError(f"{name} {_short(found)}")


@functools.cache
def _kinds(owner: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(owner)
    return {field.name: hints[field.name] for field in dataclasses.fields(owner)}


def _fits(value: Any, kind: Any) -> bool:
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, one) for one in of)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if of[-1] is Ellipsis:
            return all(_fits(one, of[0]) for one in value)
        return len(value) == len(of) and all(map(_fits, value, of))
    if origin is dict:
        return isinstance(value, dict) and all(
            _fits(k, of[0]) and _fits(v, of[1]) for k, v in value.items()
        )
    if kind is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and not math.isnan(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(value, kind):
        return False
    if dataclasses.is_dataclass(kind):
        expect_kinds(value)
    return True


def _short(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= 60 else said[:57] + "..."
