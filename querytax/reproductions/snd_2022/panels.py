"""Rows onto panels: what the figures on SND 2022 share."""

from __future__ import annotations

from collections.abc import Sequence

from querytax.figures.style import Panel
from querytax.reproductions.measured import Measured

__all__ = ["line", "points", "ticks"]


def points(
    panel: Panel,
    label: str,
    rows: Sequence[Measured],
    key: str,
    *,
    like: int,
    shift: float = 1.0,
) -> None:
    """Rows with their intervals against a setting, moved aside by a factor."""
    value, lower, upper, _ = zip(*(row.interval for row in rows), strict=True)
    x = [shift * place for place in _places(rows, key)]
    panel.points(label, x, value, lower, upper, like=like)


def line(
    panel: Panel, label: str, rows: Sequence[Measured], key: str, *, like: int
) -> None:
    """Rows of a law as a line against a setting."""
    values = [row.value for row in rows]
    panel.line(label, _places(rows, key), values, like=like, marker="")


def ticks(panel: Panel, rows: Sequence[Measured], key: str) -> None:
    """Ticks where there are rows, and nowhere else."""
    places = sorted(set(_places(rows, key)))
    panel.axes.set_xticks(places, [f"{place:g}" for place in places])
    panel.axes.set_xticks([], minor=True)


def _places(rows: Sequence[Measured], key: str) -> list[float]:
    return [float(row.setting[key]) for row in rows]
