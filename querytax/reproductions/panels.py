"""Measured rows onto panels: what the figures of the papers share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from querytax.figures.style import Panel
from querytax.reproductions.measured import Measured, distinct

__all__ = ["columns", "ticks"]


def columns(rows: Sequence[Measured], key: str) -> npt.NDArray[np.float64]:
    """A setting of the rows, their values, and the lower and upper ends.

    The four are what `Panel.points` draws, the first two what `Panel.line` draws.
    """
    found = [(float(row.setting[key]), *row.interval[:3]) for row in rows]
    return np.array(found, dtype=float).reshape(-1, 4).T


def ticks(panel: Panel, rows: Sequence[Measured], key: str, spec: str = "g") -> None:
    """Ticks where there are rows, and nowhere else."""
    places = sorted(map(float, distinct(rows, key)))
    panel.axes.set_xticks(places, [format(place, spec) for place in places])
    panel.axes.set_xticks([], minor=True)
