"""Simulated points beside the laws, drawn from definitions by Monte-Carlo."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from querytax.figures.style import Panel
from querytax.montecarlo.estimates import mean_interval, probability_interval
from querytax.montecarlo.runs import Experiment, estimate
from querytax.montecarlo.streams import Stream

__all__ = ["DRAWS", "SEED", "counted", "crosses", "densities", "note", "simulate"]

DRAWS = 1 << 16
SEED, _MISS = 0, 0.05
_LEGEND = f"simulated, {100 * (1 - _MISS):g} %"

Values = npt.NDArray[np.float64]


def note(draws: int = DRAWS) -> str:
    """What a caption says of simulated points of so many draws each."""
    return (
        f"Crosses are simulated from the definition, seed {SEED}, with at least "
        f"{draws:,} draws each; their intervals hold at every sample size at once, "
        "those of means by the central limit theorem."
    )


def simulate(experiment: Experiment, draws: int = DRAWS) -> Values:
    """The mean of so many draws, and its interval.

    Parameters
    ----------
    experiment : Experiment
    draws : int
        Rounded up to whole blocks of the experiment's.

    Returns
    -------
    ndarray, shape (3,)
        Mean, lower and upper end; for draws that are no events the ends rest on the
        central limit theorem.
    """
    found = estimate(experiment, rng=SEED, max_samples=draws, alpha=_MISS, threads=1)
    ends = found.low, found.high
    if not experiment.event:
        ends = mean_interval(found.moments, -math.inf, math.inf, _MISS)
    return np.clip([found.value, *ends], experiment.low, experiment.high)


def crosses(
    panel: Panel, of: str, x: npt.ArrayLike, simulated: Iterable[Values]
) -> None:
    """Draw simulated points on a curve; they share one entry of the legend.

    Parameters
    ----------
    panel : Panel
    of : str
        The curve that they belong to.
    x : array_like
        Where they lie.
    simulated : iterable of ndarray
        Value and ends of the interval, in either order, at each place.
    """
    value, *ends = np.array(list(simulated)).T
    listed = _LEGEND in panel.axes.get_legend_handles_labels()[1]
    panel.points(
        f"{of}, simulated",
        x,
        value,
        np.minimum(*ends),
        np.maximum(*ends),
        like=6,
        legend="_" if listed else _LEGEND,
        zorder=3,
    )


def counted(experiment: Callable[[int], Experiment], share: float) -> Values:
    """The count from which an event is rarer than a share, found by trying.

    Parameters
    ----------
    experiment : callable
        The event after so many repeats, ever rarer with more of them.
    share : float

    Returns
    -------
    ndarray, shape (3,)
        The largest count that was seen to be too small, the smallest seen to do, and
        before them the geometric mean of both.
    """
    low, count = 0, 1
    while True:
        found = estimate(
            experiment(count),
            rng=SEED,
            verdict=lambda low, high: not low <= share <= high,
            max_samples=DRAWS,
            # So small that all trials together miss as rarely as one.
            alpha=_MISS / 100,
            threads=1,
        )
        if found.high < share:
            return np.array([math.sqrt(max(low, 1) * count), low, count])
        if found.low > share:
            low = count
        count = math.ceil(1.1 * count)


def densities(
    experiment: Experiment,
    edges: Values,
    reading: Callable[[Values], Values] = np.asarray,
) -> tuple[Values, Sequence[Values]]:
    """Density of an experiment's draws in bins that are not empty.

    Parameters
    ----------
    experiment : Experiment
        One that shows its draws.
    edges : ndarray
        Of the bins.
    reading : callable
        What is made of the draws; those that are NaN do not count.

    Returns
    -------
    centre : ndarray
        Middle of each bin.
    density : list of ndarray
        Value and ends of the interval in each.
    """
    draw: Any = experiment.values
    keys = (np.uint64(word) for word in Stream.of(SEED, *experiment.meaning).key)
    read = reading(draw(0, DRAWS, *keys))
    read = read[~np.isnan(read)]
    inside, _ = np.histogram(read, edges)
    width, centre = np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
    found = [
        np.array([n / read.size, *probability_interval(n, read.size, _MISS)]) / w
        for n, w in zip(inside.tolist(), width, strict=True)
        if n
    ]
    return centre[inside > 0], found
