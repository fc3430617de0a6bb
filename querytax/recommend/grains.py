"""How fine a direction is: single pixels, or squares of them that move together.

A direction that is constant on squares has as many dimensions to get lost in as there
are squares. Along a random one the loss changes by the length of the gradient by
squares, so that a probe of size beta meets what one by pixels meets at beta times the
ratio of the two lengths, in the same noise. What it cannot do is follow the gradient
where that changes sign inside a square: the way to the boundary by such steps alone was
measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from querytax.statistics import ModelStatistics

__all__ = ["Grain", "Reading", "grain_of", "sides", "widened"]


@dataclass(frozen=True)
class Reading:
    """Signal-to-noise ratio, alignment and slope ``(L, B, T, n)`` at one sigma."""

    snr: np.ndarray
    alignment: np.ndarray
    slope: np.ndarray


@dataclass(frozen=True)
class Grain:
    """Directions of one kind, and what was measured for them.

    Attributes
    ----------
    side : int
        Of the squares; 1 for pixels.
    dimension : int
        Numbers that a direction has.
    width : ndarray or None
        ``(T, n)`` how much faster the loss changes along them; None for pixels.
    entries : ndarray or None
        Sizes of a gradient's entries at the midpoints of equal shares.
    saved : float
        Share of the way to the boundary that a random place of the budget saves: the
        median over images, as one random point says little about one image.
    gain : float
        Drift of a sign step at small cosines over that on Gaussian entries.
    """

    side: int
    dimension: int
    width: np.ndarray | None
    entries: np.ndarray | None
    saved: float
    gain: float


def sides(stats: ModelStatistics) -> tuple[int, ...]:
    """Sides of squares that directions were measured for, pixels first."""
    return (1, *(stats.block_sides or ()))


def grain_of(stats: ModelStatistics, side: int) -> Grain:
    """Directions of a side, one of :func:`sides`."""
    if side == 1:
        entries = _entries(stats.gradient_profile)
        # One gain for all images, as one gradient says little about one way.
        gain = float(np.median(stats.sign_gain))
        saved = _saved(stats.path_length, stats.wander_length)
        return Grain(1, stats.dimension, None, entries, saved, gain)
    assert stats.block_sides is not None
    assert stats.block_length is not None
    assert stats.block_wander is not None
    assert stats.block_width is not None
    assert stats.block_profile is not None
    assert stats.shape is not None
    at = stats.block_sides.index(side)
    channels, height, width = stats.shape
    cells = channels * -(-height // side) * -(-width // side)
    entries = _entries(stats.block_profile[at])
    gain = 1.0
    if entries is not None:
        gain = float(np.sqrt(2.0 * np.square(entries).mean() / np.pi) / entries.mean())
    saved = _saved(stats.block_length[at], stats.block_wander[at])
    return Grain(side, cells, stats.block_width[at], entries, saved, gain)


def _saved(path: np.ndarray, wander: np.ndarray) -> float:
    reached = np.isfinite(path) & (path > 0)
    if not reached.any():
        return 0.0
    left = wander[reached] / path[reached]
    return float(1.0 - np.clip(np.median(left), 0.0, 1.0))


def widened(reading: Reading, grain: Grain, betas: np.ndarray) -> Reading:
    """What probes along these directions meet, at the same sizes of a probe.

    Beyond the largest size that was probed, what that one met.
    """
    if grain.width is None or len(betas) == 1:
        return reading
    grid = np.log(betas)
    # Axes: size, stage, image.
    wanted = grid[:, None, None] + np.log(np.maximum(grain.width, 1e-300))
    wanted = np.clip(wanted, grid[0], grid[-1])
    high = np.clip(np.searchsorted(grid, wanted), 1, len(grid) - 1)
    share = (wanted - grid[high - 1]) / (grid[high] - grid[high - 1])

    def between(a: np.ndarray) -> np.ndarray:
        low, up = (np.take_along_axis(a, at[None], axis=1) for at in (high - 1, high))
        return np.asarray((1.0 - share) * low + share * up)

    def raised(a: np.ndarray) -> np.ndarray:
        return np.exp(between(np.log(np.maximum(a, 1e-300))))

    slope = raised(reading.slope) * grain.width
    return Reading(raised(reading.snr), between(reading.alignment), slope)


def _entries(stored: np.ndarray | None) -> np.ndarray | None:
    """One profile for all images, the mean of those of unit root mean square."""
    if stored is None:
        return None
    sizes = 0.5 * (stored[:, :-1] + stored[:, 1:])
    size = np.sqrt(np.square(sizes).mean(axis=1))
    known = np.isfinite(size) & (size > 0.0)
    if not known.any():
        return None
    return np.asarray((sizes[known] / size[known, None]).mean(axis=0))
