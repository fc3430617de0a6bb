"""Figures, drawn from predictions, probes and measurements; no numbers of their own."""

from querytax.figures.frontier import frontier_data, frontier_figure

__all__ = ["frontier_data", "frontier_figure"]
