"""One style for all analytic figures, and panels that keep what they draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["GREY", "LINES", "Curve", "Panel", "styled"]

# Okabe-Ito: told apart by the colour-blind, and in grey by dashes and markers.
LINES: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    {"color": "#D55E00", "linestyle": "--", "marker": "s"},
    {"color": "#009E73", "linestyle": "-.", "marker": "^"},
    {"color": "#CC79A7", "linestyle": (0, (1, 1)), "marker": "D"},
    {"color": "#E69F00", "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": "#56B4E9", "linestyle": (0, (8, 2)), "marker": "P"},
    {"color": "#000000", "linestyle": (0, (3, 3)), "marker": "x"},
)
GREY = "0.35"

_RC: Any = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    # Letters as outlines: the file needs no font, and its ids do not change.
    "svg.fonttype": "path",
    "svg.hashsalt": "querytax",
}


@contextmanager
def styled() -> Iterator[None]:
    """The style, within the block alone."""
    import matplotlib

    with matplotlib.rc_context(_RC):
        yield


@dataclass(frozen=True)
class Curve:
    """One drawn line.

    Attributes
    ----------
    panel : str
        Which panel of the figure.
    label : str
        Its name in the legend.
    x_quantity, y_quantity : str
        What the axes show, with units.
    x, y : ndarray
        The drawn points, all finite.
    """

    panel: str
    label: str
    x_quantity: str
    y_quantity: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]


@dataclass
class Panel:
    """One panel; what it draws goes to ``curves``.

    Attributes
    ----------
    axes : matplotlib.axes.Axes
    curves : list of Curve
        Of the whole figure; the panel adds to it.
    name : str
        Title, and the panel's name in the data.
    x, y : str
        What the axes show, with units.
    """

    axes: Any
    curves: list[Curve]
    name: str
    x: str
    y: str
    xscale: str = "log"
    yscale: str = "log"
    count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        axes = self.axes
        axes.set(xscale=self.xscale, yscale=self.yscale, xlabel=self.x, ylabel=self.y)
        axes.set_title(self.name, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, which="major", color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)

    def line(
        self,
        label: str,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        like: int | None = None,
        **changed: Any,
    ) -> None:
        """Draw a curve in the next style, or in that of number ``like``."""
        if like is None:
            like, self.count = self.count, self.count + 1
        shown_x, shown_y = np.broadcast_arrays(
            np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        )
        style = LINES[like % len(LINES)]
        # Markers at equal distances, out of step with those of other curves.
        every = max(1, shown_x.size // 8)
        first = (like * every // 5) % every
        style = {**style, "markevery": (first, every), "markerfacecolor": "white"}
        self.axes.plot(shown_x, shown_y, label=label, **{**style, **changed})
        self.curves.append(
            Curve(self.name, label, self.x, self.y, shown_x.copy(), shown_y.copy())
        )

    def legend(self, loc: str = "best", **changed: Any) -> None:
        """A legend inside the panel."""
        self.axes.legend(loc=loc, **changed)

    def mark(self, x: float, text: str, *, y: float = 0.97, side: str = "left") -> None:
        """A vertical line with a word beside it; ``y`` is a share of the height."""
        self.axes.axvline(x, color=GREY, linewidth=0.9, linestyle=":")
        self.axes.annotate(
            text,
            (x, y),
            xycoords=("data", "axes fraction"),
            xytext=(3 if side == "left" else -3, 0),
            textcoords="offset points",
            ha=side,
            va="top",
            fontsize=8.0,
            color=GREY,
        )

    def limits(
        self,
        x: Sequence[float | None] | None = None,
        y: Sequence[float | None] | None = None,
    ) -> None:
        """Set the range that is shown."""
        if x is not None:
            self.axes.set_xlim(*x)
        if y is not None:
            self.axes.set_ylim(*y)
