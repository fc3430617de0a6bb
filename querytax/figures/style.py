"""One style for all analytic figures, and panels that keep what they draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

__all__ = ["GREY", "LINES", "Curve", "Panel", "curves_of", "styled"]

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
    """One drawn line, or one set of points.

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
    lower, upper : ndarray or None
        The interval about each ``y``; an infinite end is one that is not known.
    """

    panel: str
    label: str
    x_quantity: str
    y_quantity: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    lower: npt.NDArray[np.float64] | None = None
    upper: npt.NDArray[np.float64] | None = None


_DRAWN: WeakKeyDictionary[Any, list[Curve]] = WeakKeyDictionary()


def curves_of(ax: Any) -> list[Curve]:
    """What panels drew on an axes, in order.

    Parameters
    ----------
    ax : matplotlib.axes.Axes

    Returns
    -------
    list of Curve
    """
    return list(_DRAWN.get(ax, ()))


@dataclass
class Panel:
    """One panel; ``curves_of(axes)`` gives what it drew.

    Attributes
    ----------
    axes : matplotlib.axes.Axes
    name : str
        Title, and the panel's name in the data.
    x, y : str
        What the axes show, with units.
    xscale, yscale : str
        A scale of matplotlib's.
    """

    axes: Any
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
        like = self._style(like)
        curve = self._keep(label, x, y)
        # Markers at equal distances, out of step with those of other curves.
        every = max(1, curve.x.size // 8)
        first = (like * every // 5) % every
        style = {**LINES[like], "markevery": (first, every), "markerfacecolor": "white"}
        self.axes.plot(curve.x, curve.y, label=label, **{**style, **changed})

    def points(
        self,
        label: str,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        lower: npt.ArrayLike | None = None,
        upper: npt.ArrayLike | None = None,
        *,
        like: int | None = None,
        legend: str | None = None,
        aside: float = 0.0,
        **changed: Any,
    ) -> None:
        """Draw measured or simulated points, with their intervals if given.

        An infinite upper end is drawn as an arrow. The legend says ``legend`` where
        that is given, nothing if it starts with an underscore. Points that would hide
        others are drawn ``aside``, in 1/72 inch; their data are not moved.
        """
        curve = self._keep(label, x, y, lower, upper)
        style = {**LINES[self._style(like)], "linestyle": "none", "capsize": 2.0}
        if curve.lower is not None and curve.upper is not None:
            known = np.isfinite(curve.upper)
            ends = np.where(known, curve.upper, 1.5 * np.abs(curve.y))
            style["yerr"] = [curve.y - curve.lower, ends - curve.y]
            style["lolims"] = ~known
        if aside:
            from matplotlib.transforms import offset_copy

            style["transform"] = offset_copy(
                self.axes.transData, self.axes.figure, x=aside, units="points"
            )
        shown = label if legend is None else legend
        self.axes.errorbar(curve.x, curve.y, label=shown, **{**style, **changed})

    def band(
        self,
        label: str,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        lower: npt.ArrayLike,
        upper: npt.ArrayLike,
        *,
        like: int | None = None,
    ) -> None:
        """Draw a curve with the range about it shaded."""
        curve = self._keep(label, x, y, lower, upper)
        style = LINES[self._style(like)]
        self.axes.plot(curve.x, curve.y, label=label, **{**style, "marker": ""})
        self.axes.fill_between(
            curve.x, curve.lower, curve.upper, color=style["color"], alpha=0.2, lw=0
        )

    def _style(self, like: int | None) -> int:
        """The number of the style: the next one, unless named."""
        if like is None:
            like, self.count = self.count, self.count + 1
        return like % len(LINES)

    def _keep(
        self,
        label: str,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        lower: npt.ArrayLike | None = None,
        upper: npt.ArrayLike | None = None,
    ) -> Curve:
        """Record what is drawn, each array as long as the others."""
        given = [
            np.atleast_1d(v).astype(float)
            for v in (x, y, lower, upper)
            if v is not None
        ]
        whole = [v.copy() for v in np.broadcast_arrays(*given)]
        curve = Curve(self.name, label, self.x, self.y, *whole)
        _DRAWN.setdefault(self.axes, []).append(curve)
        return curve

    def legend(self, loc: str = "best", **changed: Any) -> None:
        """A legend inside the panel."""
        self.axes.legend(loc=loc, **changed)

    def level(self, y: float) -> None:
        """A dotted line across, such as a ratio of one."""
        self.axes.axhline(y, color=GREY, linewidth=0.9, linestyle=":")

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
