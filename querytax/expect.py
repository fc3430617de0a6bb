"""Validators by keyword: each names the parameter, its value and what was expected.

``expect.positive(sigma=-1)`` raises ``DomainError: expected sigma > 0, got -1``.
Each takes one keyword, checks every element of an array, and returns the value
unchanged, so that a check reads ``sigma = expect.positive(sigma=sigma)``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

__all__ = [
    "DomainError",
    "at_least",
    "finite",
    "fraction",
    "integer",
    "nonnegative",
    "one_of",
    "positive",
    "probability",
]

T = TypeVar("T")


class DomainError(ValueError):
    """A parameter lies outside its domain; the message is one line."""


def _first_bad(value: Any, holds: Callable[[Any], Any]) -> Any | None:
    """The first offending element, or None; scalars never load numpy."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return repr(value)
    if isinstance(value, (int, float)):
        return None if holds(value) else value
    import numpy as np

    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return repr(value)
    with np.errstate(invalid="ignore"):  # inf % 1
        bad = ~np.asarray(holds(array), dtype=bool)
    return array[bad].flat[0] if bad.any() else None


def _check(named: dict[str, T], holds: Callable[[Any], Any], expectation: str) -> T:
    ((name, value),) = named.items()
    bad = _first_bad(value, holds)
    if bad is not None:
        raise DomainError(f"expected {name} {expectation}, got {bad}")
    return value


def positive(**named: T) -> T:
    """Finite and above zero."""
    return _check(named, lambda v: (v > 0) & (v < math.inf), "> 0 and finite")


def nonnegative(**named: T) -> T:
    """Finite and at least zero."""
    return _check(named, lambda v: (v >= 0) & (v < math.inf), ">= 0 and finite")


def finite(**named: T) -> T:
    """Neither infinite nor NaN."""
    return _check(named, lambda v: (v > -math.inf) & (v < math.inf), "finite")


def fraction(**named: T) -> T:
    """In [0, 1)."""
    return _check(named, lambda v: (v >= 0) & (v < 1), "in [0, 1)")


def probability(**named: T) -> T:
    """In the open interval (0, 1)."""
    return _check(named, lambda v: (v > 0) & (v < 1), "in (0, 1)")


def at_least(minimum: float, **named: T) -> T:
    """Finite and at least ``minimum``."""
    return _check(
        named, lambda v: (v >= minimum) & (v < math.inf), f">= {minimum:g} and finite"
    )


def integer(minimum: int = 1, **named: T) -> T:
    """A whole number of at least ``minimum``."""
    return _check(
        named,
        lambda v: (v >= minimum) & (v < math.inf) & (v % 1 == 0),
        f"a whole number >= {minimum}",
    )


def one_of(options: Iterable[str], **named: T) -> T:
    """One of the given words; a near miss is answered with the closest ones."""
    ((name, value),) = named.items()
    words = list(options)
    if value not in words:
        near = difflib.get_close_matches(str(value), words, n=3)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        if hint and len(words) > 8:
            raise DomainError(f"expected {name} to be a known one, got {value!r}{hint}")
        listed = ", ".join(repr(word) for word in words[:12])
        listed += f" and {len(words) - 12} more" if len(words) > 12 else ""
        raise DomainError(f"expected {name} to be one of {listed}, got {value!r}{hint}")
    return value
