"""What makes up a figure: its panels, and what its caption says."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Entry"]


@dataclass(frozen=True)
class Entry:
    """One figure.

    Attributes
    ----------
    panels : tuple of callable
        Each draws one panel on the axes that it is given, and returns them.
    title : str
        What it shows, in a line.
    see : str
        What to see in it.
    source : str
        The statements that it draws, or holds against each other.
    size : tuple of float
        Width and height, inches.
    shape : tuple of int or None
        Rows and columns of panels, filled row by row; one row by default.
    legend : int
        Columns of one legend for all panels, below them; 0 if each has its own.
    """

    panels: tuple[Callable[[Any], Any], ...]
    title: str
    see: str
    source: str
    size: tuple[float, float] = (6.4, 4.4)
    shape: tuple[int, int] | None = None
    legend: int = 0

    def caption(self) -> str:
        """The caption, in lines of text."""
        parts = [self.title, self.see, f"Source: {self.source}"]
        return "\n\n".join(textwrap.fill(part, 79) for part in parts) + "\n"
