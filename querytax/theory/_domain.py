"""Domains that several laws share, checked as in :mod:`querytax.expect`."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from querytax import expect

T = TypeVar("T")


def _within(named: dict[str, T], low: float, high: float, closed: bool) -> T:
    ((name, value),) = named.items()
    expect.finite(**named)
    array = np.asarray(value, dtype=float)
    inside = (
        (array >= low) & (array <= high) if closed else (array > low) & (array < high)
    )
    if not inside.all():
        interval = f"[{low:g}, {high:g}]" if closed else f"({low:g}, {high:g})"
        worst = array[~inside].flat[0]
        raise expect.DomainError(f"expected {name} in {interval}, got {worst}")
    return value


def error_rate(**named: T) -> T:
    """In (0, 1/2): better than guessing, short of certainty."""
    return _within(named, 0.0, 0.5, closed=False)


def unit(**named: T) -> T:
    """In the closed interval [0, 1]."""
    return _within(named, 0.0, 1.0, closed=True)


def unbounded(**named: T) -> T:
    """At least zero, infinity included."""
    ((name, value),) = named.items()
    infinite = np.asarray(value) == np.inf
    if infinite.any():
        expect.nonnegative(**{name: np.where(infinite, 0.0, np.asarray(value))})
    else:
        expect.nonnegative(**named)
    return value
