"""Figures, drawn from predictions, probes and measurements; no numbers of their own.

``FIGURES`` names them, ``draw`` and ``write`` make them whole. Each panel is a function
that draws on the axes it is given, so that it fits a layout of your own. Make the axes
within ``styled()``; what a panel drew is in ``curves_of(axes)``. A legend that covers
too much of a small panel can stand below it:

>>> from matplotlib.figure import Figure
>>> from querytax.figures import curves_of, styled
>>> from querytax.figures.ratio import nes_query_ratio, output_efficiency
>>> with styled():
...     figure = Figure(figsize=(8.2, 4.2), layout="constrained")
...     left, right = figure.subplots(1, 2)
...     for ax, panel in ((left, output_efficiency), (right, nes_query_ratio)):
...         _ = panel(ax)
...         _ = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
>>> curves_of(left)[0].label
'raw, F + v'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from querytax.figures.frontier import frontier_data, frontier_figure
from querytax.figures.portfolio import portfolio_data, portfolio_figure
from querytax.figures.style import curves_of, styled

if TYPE_CHECKING:
    from querytax.figures.analytic import FIGURES, draw, write

__all__ = [
    "FIGURES",
    "curves_of",
    "draw",
    "frontier_data",
    "frontier_figure",
    "portfolio_data",
    "portfolio_figure",
    "styled",
    "write",
]


def __getattr__(name: str) -> Any:
    # All figures know all laws and simulations: loaded when asked for.
    if name in ("FIGURES", "draw", "write"):
        from querytax.figures import analytic

        return getattr(analytic, name)
    raise AttributeError(f"module 'querytax.figures' has no attribute {name!r}")
