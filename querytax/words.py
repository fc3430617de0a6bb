"""Numbers for a person."""

from __future__ import annotations

import math

__all__ = ["count", "percent", "spelt"]


def count(value: float) -> str:
    """A number of queries."""
    if math.isinf(value):
        return "endlessly many"
    return f"{value:,.0f}" if value < 1e7 else f"{value:.3g}"


def percent(value: float) -> str:
    """A share."""
    return f"{100 * value:.3g} %"


def spelt(text: str) -> str:
    """A text that a terminal can be trusted with: its lines, no control characters.

    Names of layers and files may hold what moves a cursor or rings a bell.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
