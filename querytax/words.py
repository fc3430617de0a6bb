"""Numbers for a person."""

from __future__ import annotations

import math

__all__ = ["count", "percent"]


def count(value: float) -> str:
    """A number of queries."""
    if math.isinf(value):
        return "endlessly many"
    return f"{value:,.0f}" if value < 1e7 else f"{value:.3g}"


def percent(value: float) -> str:
    """A share."""
    return f"{100 * value:.3g} %"
