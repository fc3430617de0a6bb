"""Attacks that were tried, as points on a frontier: measured, or bounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from querytax.figures.findings import called
from querytax.figures.style import LINES, Panel
from querytax.recommend.recommendation import Level

__all__ = ["draw_tried"]

# Verdicts are told apart by shape.
_MARKERS = {"falls": "X", "holds": "o", "open": "D"}
_SAID = {
    "falls": "tried, falls: an attack surely breaks more",
    "holds": "tried, holds: no attack does",
    "open": "tried, open: images too few to tell",
}
_MORE = "arrow: more queries than were tried"
# Half of a marker, an arrow's height, half a line of text and a letter's half width,
# in 1/72 inch.
_MARKER, _ARROW, _TEXT, _LETTER = 4.0, 17.0, 6.0, 2.9

Box = tuple[float, float, float, float]


def draw_tried(
    panel: Panel, who: str, levels: Sequence[Level], left: float, *, like: int
) -> None:
    """Draw the attack that binds at each level, by name where another one does.

    Parameters
    ----------
    panel : Panel
        With its limits set; names are placed by them.
    who : str
        The attacker, in the data's labels.
    levels : sequence of Level
        With standings, by sigma.
    left : float
        Where no noise is drawn.
    like : int
        The style whose colour is used.
    """
    color = LINES[like]["color"]
    for verdict, marker in _MARKERS.items():
        for bound in (False, True):
            some = [v for v in levels if v.verdict == verdict and _bound(v) == bound]
            if not some:
                continue
            at = np.array([_at(v) for v in some])
            low, _, high = np.array([v.best.queries for v in some]).T
            panel.points(
                f"{who}, {_SAID[verdict]}{', not reached' * bound}",
                [max(v.sigma, left) for v in some],
                at,
                np.minimum(low, at),
                high,
                like=like,
                legend="_",
                marker=marker,
                markersize=7,
                markerfacecolor="white" if bound else color,
                zorder=4,
                # The ranges are drawn below: some have no upper end, or no lower one.
                yerr=None,
                lolims=False,
            )
    for level in levels:
        _interval(panel.axes, level, max(level.sigma, left), color)
    _legend(panel.axes, levels, color)
    _names(panel.axes, levels, left, color)


def _bound(level: Level) -> bool:
    """Whether the share was not reached with the queries that were tried."""
    return bool(np.isinf(level.best.queries[1]))


def _at(level: Level) -> float:
    """Where the marker stands."""
    return float(min(level.best.queries[1], level.best.n_queries))


def _interval(ax: Any, level: Level, x: float, color: str) -> None:
    """A bar over what is known; an arrow where more than was tried may be needed."""
    low, _, high = level.best.queries
    start = max(min(low, _at(level)), ax.get_ylim()[0])
    end = high if np.isfinite(high) else float(level.best.n_queries)
    ax.plot([x, x], [start, end], color=color, linewidth=1.2, zorder=3)
    if np.isinf(high):
        look = {"color": color, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}
        ax.annotate(
            "",
            (x, end),
            xytext=(0, _ARROW),
            textcoords="offset points",
            arrowprops={"arrowstyle": "<|-", **look},
        )


def _legend(ax: Any, levels: Sequence[Level], color: str) -> None:
    """What the shapes say, once an axes."""
    have = ax.get_legend_handles_labels()[1]
    for verdict, marker in _MARKERS.items():
        mine = [level for level in levels if level.verdict == verdict]
        if mine and _SAID[verdict] not in have:
            # As most of them are drawn.
            face = color if not all(map(_bound, mine)) else "white"
            look = {"color": color, "markersize": 7, "markerfacecolor": face}
            ax.plot([], [], marker, label=_SAID[verdict], **look)
    if any(np.isinf(v.best.queries[2]) for v in levels) and _MORE not in have:
        arrow = {"marker": r"$\uparrow$", "markersize": 9, "linestyle": "none"}
        ax.plot([], [], color=color, label=_MORE, **arrow)


def _names(ax: Any, levels: Sequence[Level], left: float, color: str) -> None:
    """Name the attack that binds wherever it changes along the axis."""
    box = ax.get_position()
    wide, tall = 72 * ax.figure.get_size_inches() * (box.width, box.height)
    (x0, x1), (y0, y1) = np.log(ax.get_xlim()), np.log(ax.get_ylim())

    def place(level: Level) -> tuple[float, float]:
        x, y = np.log(max(level.sigma, left)), np.log(_at(level))
        return (x - x0) / (x1 - x0) * wide, (y - y0) / (y1 - y0) * tall

    taken: list[Box] = []
    for level in levels:
        x, y = place(level)
        tip = _ARROW + 3 if np.isinf(level.best.queries[2]) else _MARKER
        taken.append((x - _MARKER, y - _MARKER, x + _MARKER, y + tip))
    before = ""
    for level in levels:
        name = called(level.best.contender.attack)
        if name == before:
            continue
        before = name
        x, y = place(level)
        half = _LETTER * len(name)
        for aside, above in _offsets(half):
            at = x + aside, y + above
            spot = at[0] - half, at[1] - _TEXT, at[0] + half, at[1] + _TEXT
            # The words on the range's bracket stand at the bottom.
            inside = spot[0] > 0 and spot[2] < wide and 20 < spot[1] < tall - 2 * _TEXT
            if inside and not any(_meet(spot, other) for other in taken):
                break
        taken.append(spot)
        away = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.7}
        ax.annotate(
            name,
            (max(level.sigma, left), _at(level)),
            xytext=(aside, above),
            textcoords="offset points",
            ha="center",
            va="center",
            color=color,
            zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
            arrowprops=away if above else None,
        )


def _offsets(half: float) -> list[tuple[float, float]]:
    """Where a name of this half width may stand, the best place first."""
    beside = half + 2 * _MARKER
    rows = [(sign * up) for up in (30.0, 44.0, 58.0, 72.0) for sign in (1, -1)]
    sides = (0.0, half, -half)
    return [(beside, 0.0), (-beside, 0.0), *((s, row) for row in rows for s in sides)]


def _meet(one: Box, other: Box) -> bool:
    apart = one[2] < other[0] or other[2] < one[0]
    return not (apart or one[3] < other[1] or other[3] < one[1])
