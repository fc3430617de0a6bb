"""Attacks on labels: queries on a flat boundary, with the label's measured sigmoid.

RayS alone. Its moves compare radii of patterns, and that the real boundary is bent far
from an image does not change which is shorter. HopSkipJump follows the normals that it
meets on its way in from noise, and those of a flat boundary promise too much.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import special

from querytax.recommend.rays import RECIPES, VOTES, Sigmoid, rays
from querytax.statistics import ModelStatistics

__all__ = ["Decisions", "sigmoid_of"]

# Runs of an image, by the luck of its labels.
DRAWS = 2
# Queries at which a run is given up: beyond them nothing is known.
MOST = 1000
# Widths and shifts that are told apart.
_WIDTHS = np.geomspace(1e-3, 1e2, 61)
_SHIFTS = np.linspace(-1.0, 1.0, 41)


class Decisions:
    """Queries of attacks on labels against noise at one site.

    Parameters
    ----------
    stats : ModelStatistics
    site : str
        One of the probed sites.
    """

    def __init__(self, stats: ModelStatistics, site: str) -> None:
        self.stats, self.measured = stats, stats.site(site)
        gains = stats.rim_gains
        self.gains = None if stats.targeted or stats.norm != "Linf" else gains

    @property
    def known(self) -> np.ndarray:
        """``(n,)`` bool: images whose boundary was measured."""
        if self.gains is None:
            return np.zeros(len(self.stats.probed), dtype=bool)
        return np.asarray(np.isfinite(self.gains).all(axis=(1, 2)))

    def knows(self, sigma: float) -> bool:
        """Whether the boundary, and with noise the label's sigmoid, was measured."""
        heard = sigma == 0.0 or self.measured.label_share is not None
        return heard and bool(self.known.any())

    def rays(self, recipe: str, sigma: float) -> np.ndarray:
        """Queries of RayS, with its votes: ``(n, DRAWS)``, infinite beyond ``MOST``.

        Between the measured levels of noise run by run on the scale of logarithms;
        above the largest of them, its own.

        Parameters
        ----------
        recipe : {"published", "adaptive"}
        sigma : float
        """
        grid = self.measured.sigmas
        i = int(np.searchsorted(grid, sigma))
        if i == len(grid) or grid[i] == sigma:
            return self._replayed(recipe, min(i, len(grid) - 1))
        less, more = self._replayed(recipe, i - 1), self._replayed(recipe, i)
        if i == 1:
            share = sigma / grid[1]
        else:
            share = np.log(sigma / grid[i - 1]) / np.log(grid[i] / grid[i - 1])
        both = np.isfinite(less) & np.isfinite(more)
        safe = np.where(both, less, 1.0), np.where(both, more, 1.0)
        between = np.exp((1.0 - share) * np.log(safe[0]) + share * np.log(safe[1]))
        # Where one of the two is not known, as the nearer level says.
        nearer = less if share < 0.5 else more
        return np.where(both, np.rint(between), nearer)

    def counts(self, recipe: str, sigma: float, place: str) -> np.ndarray:
        """Queries by a place's reading: ``(n,)``, or ``(n, DRAWS)`` of its estimate.

        The lower one is that of the luckiest run, without votes; what is not known
        beyond ``MOST`` counts as them.
        """
        found = self.rays(recipe, sigma)
        if place == "lower":
            # A flat boundary overstates what noise costs: none of it is relied upon.
            least = np.minimum(found.min(axis=1), self.rays(recipe, 0.0).min(axis=1))
            return np.asarray(np.maximum(np.minimum(least, MOST) - VOTES, 1.0))
        return np.asarray(found.max(axis=1) if place == "upper" else found)

    @functools.lru_cache(maxsize=64)  # noqa: B019 - lives as long as one question
    def _replayed(self, recipe: str, level: int) -> np.ndarray:
        """Queries at one of the measured levels."""
        assert self.gains is not None
        some = np.flatnonzero(self.known)
        # Without noise all runs are the same.
        runs = DRAWS if level else 1
        width, shift = (a[some] for a in self._sigmoid(level))
        counts = rays(
            self.gains[some].repeat(runs, axis=0).astype(float),
            self.stats.eps,
            RECIPES[recipe],
            Sigmoid(width.repeat(runs), shift.repeat(runs)),
            most=MOST,
        )
        found = np.full((len(self.known), DRAWS), np.inf)
        found[some] = counts.reshape(len(some), runs)
        return found

    def _sigmoid(self, level: int) -> tuple[np.ndarray, np.ndarray]:
        """Width and shift of each image's sigmoid."""
        share, offsets = self.measured.label_share, self.stats.label_offsets
        if not level:
            return np.zeros(len(self.known)), np.zeros(len(self.known))
        assert share is not None
        assert offsets is not None
        # The image itself is one more point, all of the way before the boundary.
        at = np.append(-1.0, offsets)
        heard = np.vstack((self.measured.flips[level, self.stats.probed], share[level]))
        return sigmoid_of(at, heard, self.measured.n_draws)


def sigmoid_of(
    offsets: np.ndarray, share: np.ndarray, draws: int
) -> tuple[np.ndarray, np.ndarray]:
    """Width and shift of sigmoids ``Phi((offset - shift)/width)``, ``(n,)`` each.

    Means over what agrees with the labels, of log width and of shift, all values held
    alike likely before: a few draws seldom tell one width.

    Parameters
    ----------
    offsets : ndarray
        ``(O,)``.
    share : ndarray
        ``(O, n)`` of ``draws`` labels that are adversarial; NaN where none was asked.
    draws : int
    """
    z = (offsets[:, None, None] - _SHIFTS) / _WIDTHS[:, None]
    log_yes, log_no = special.log_ndtr(z), special.log_ndtr(-z)
    yes = np.nan_to_num(draws * share)
    no = np.nan_to_num(draws * (1.0 - share))
    likely = np.tensordot(yes.T, log_yes, 1) + np.tensordot(no.T, log_no, 1)
    likely = np.exp(likely - likely.max(axis=(1, 2), keepdims=True))
    likely /= likely.sum(axis=(1, 2), keepdims=True)
    width = np.exp(likely.sum(axis=2) @ np.log(_WIDTHS))
    return np.asarray(width), np.asarray(likely.sum(axis=1) @ _SHIFTS)
