"""Validators by keyword: each names the parameter, its value and what was expected.

``expect.positive(sigma=-1)`` raises ``DomainError: expected sigma > 0, got -1``.
Each takes one keyword, checks every element of an array, and returns the value
unchanged, so that a check reads ``sigma = expect.positive(sigma=sigma)``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

__all__ = [
    "DomainError",
    "at_least",
    "count",
    "element",
    "error_rate",
    "finite",
    "fraction",
    "integer",
    "nonnegative",
    "one_of",
    "positive",
    "probability",
    "that",
    "unbounded",
    "unit",
]

T = TypeVar("T")


class DomainError(ValueError):
    """A parameter lies outside its domain; the message is one line.

    Attributes
    ----------
    outside : ndarray of bool or None
        Which elements of the parameter lie outside; None where no element is to
        blame, as for a word that is not known.
    """

    outside: Any = None


def _refuse(name: str, expectation: str, array: Any, outside: Any) -> NoReturn:
    import numpy as np

    first = array
    if outside.ndim:
        first = np.broadcast_to(array, outside.shape)[outside].flat[0]
    error = DomainError(f"expected {name} {expectation}, got {first}")
    error.outside = outside
    raise error


def _check(
    named: dict[str, T],
    holds: Callable[[Any], Any],
    expectation: str,
    interval: bool = True,
) -> T:
    """Check every element; a plain number that holds never loads numpy."""
    ((name, value),) = named.items()
    if isinstance(value, bool) or value is None or isinstance(value, str):
        raise DomainError(f"expected {name} {expectation}, got {value!r}")
    # Plain, since a float of numpy warns of inf % 1.
    plain = float(value) if isinstance(value, float) else value
    if isinstance(plain, (int, float)) and holds(plain):
        return value
    import numpy as np

    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise DomainError(f"expected {name} {expectation}, got {value!r}") from None
    # An interval that holds both ends holds all between, and NaN is an end.
    if interval and array.size and holds(array.min()) and holds(array.max()):
        return value
    with np.errstate(invalid="ignore"):  # inf % 1
        outside = ~np.asarray(holds(array), dtype=bool)
    if outside.any():
        _refuse(name, expectation, array if array.ndim else value, outside)
    return value


def element(
    holds: Callable[[Any], Any], expectation: str, interval: bool = True, /, **named: T
) -> T:
    """Any condition on each element; ``interval`` if it holds between any two."""
    return _check(named, holds, expectation, interval)


def that(holds: Any, expectation: str, **named: T) -> T:
    """Any condition on a parameter, given as its truth, element by element.

    Examples
    --------
    >>> that(3.0 < 2.0, "below the width 2.0", sigma=3.0)
    Traceback (most recent call last):
        ...
    querytax.expect.DomainError: expected sigma below the width 2.0, got 3.0
    """
    ((name, value),) = named.items()
    if holds is not True:
        import numpy as np

        outside = ~np.asarray(holds, dtype=bool)
        if outside.any():
            _refuse(name, expectation, value, outside)
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


def unit(**named: T) -> T:
    """In the closed interval [0, 1]."""
    return _check(named, lambda v: (v >= 0) & (v <= 1), "in [0, 1]")


def error_rate(**named: T) -> T:
    """In (0, 1/2): better than guessing, short of certainty."""
    return _check(named, lambda v: (v > 0) & (v < 0.5), "in (0, 0.5)")


def unbounded(**named: T) -> T:
    """At least zero, infinity included."""
    return _check(named, lambda v: v >= 0, ">= 0")


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
        interval=False,
    )


def count(minimum: int = 1, **named: T) -> T:
    """A whole number of at least ``minimum`` that a machine word holds."""
    integer(minimum, **named)
    return _check(named, lambda v: v < 2.0**63, "below 2**63")


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
