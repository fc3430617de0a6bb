"""An axis of noise levels: logarithmic, with a break and a place for no noise."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["no_noise_at", "sigma_axis"]


def no_noise_at(least: float) -> float:
    """Where no noise is drawn, to the left of the least noise."""
    return least / 3.0


def sigma_axis(ax: Any, least: float) -> None:
    """Set the ticks of the horizontal axis, and draw its break.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        With its limits set, on a logarithmic scale.
    least : float
        The least noise that is drawn; ticks begin there.
    """
    from matplotlib.ticker import FixedFormatter, FixedLocator

    left, most = no_noise_at(least), ax.get_xlim()[1]
    powers = 10.0 ** np.arange(np.floor(np.log10(least)), np.ceil(np.log10(most)) + 1)
    every = np.outer(powers, np.arange(1, 10))
    every = np.where((every >= least * 0.999) & (every <= most), every, np.nan)
    # Numbers at 1, or at 1, 2 and 5 where there would be hardly any.
    named = every[:, 0][np.isfinite(every[:, 0])]
    if len(named) < 2:
        named = every[:, [0, 1, 4]]
        named = named[np.isfinite(named)]
    axis = ax.xaxis
    axis.set_major_locator(FixedLocator([left, *named]))
    axis.set_major_formatter(FixedFormatter(["none", *(f"{t:g}" for t in named)]))
    finer = every[np.isfinite(every)]
    axis.set_minor_locator(FixedLocator(list(finer)))
    axis.set_minor_formatter(FixedFormatter([""] * len(finer)))
    middle, half = np.sqrt(left * least), (least / left) ** 0.06
    ends = [middle / half, middle * half]
    across = {"transform": ax.get_xaxis_transform(), "clip_on": False}
    ax.plot(ends, [0, 0], color="white", linewidth=3, zorder=5, **across)
    slant = {"marker": [(-0.5, -1), (0.5, 1)], "markersize": 9, "linestyle": "none"}
    ax.plot(ends, [0, 0], color="black", zorder=6, **slant, **across)
