"""RayS on a flat boundary: its own moves, question by question, many runs at once.

Lengths are in units of the budget. A pattern of signs s at radius r is adversarial
where r G(s) > 1: G is what the pattern gains at the rim, as a share of what an image
has to gain. Against noise an answer is adversarial by chance, the more likely the
larger y = r G(s) - 1 is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from querytax.theory import bisection

__all__ = ["RECIPES", "VOTES", "RaysRecipe", "Sigmoid", "rays"]

# What confirms a success.
VOTES = 9
# Radii up to the budget, with what rounding adds.
_RIM = 1.0 + 1e-9


@dataclass(frozen=True)
class RaysRecipe:
    """Settings of RayS: as in the attack's plan."""

    tolerance: float
    floor: bool
    retreat: float


RECIPES = {
    "published": RaysRecipe(tolerance=1e-3, floor=False, retreat=0.0),
    "adaptive": RaysRecipe(tolerance=0.3, floor=True, retreat=0.1),
}


@dataclass(frozen=True)
class Sigmoid:
    """How often an answer is adversarial, by how far beyond the boundary it was asked.

    ``Phi((y - shift)/width)``, and without noise whether y > 0. A label is nowhere
    surer than at the image, y = -1, and as far behind the boundary: its floor.

    Attributes
    ----------
    width, shift : ndarray
        ``(m,)`` in units of the way from image to boundary; width 0 is no noise.
    """

    width: np.ndarray
    shift: np.ndarray

    def share(self, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Share of adversarial answers of some runs."""
        width = self.width[rows]
        beyond = np.clip(y, -1.0, 1.0) - self.shift[rows]
        noisy = special.ndtr(beyond / np.where(width > 0.0, width, 1.0))
        return np.where(width > 0.0, noisy, (y > 0.0).astype(float))


class _Meter:
    """Questions of each run, and when it broke its image."""

    def __init__(self, sigmoid: Sigmoid, most: int, seed: int) -> None:
        m = len(sigmoid.width)
        self.sigmoid, self.most = sigmoid, most
        self.draws = np.random.default_rng(seed)
        self.asked = np.zeros(m)
        # A majority of votes agreed; an image handed in fools the model without noise.
        self.confirmed, self.clean = np.full(m, np.inf), np.full(m, np.inf)
        self.over = np.zeros(m, dtype=bool)

    def running(self, rows: np.ndarray) -> np.ndarray:
        """Those of the runs that are not over."""
        return rows[~self.over[rows]]

    def fooled(self, rows: np.ndarray, radius: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether one answer to each run is adversarial, votes and all."""
        share = self.sigmoid.share(y, rows)
        heard = self.draws.random(len(rows)) < share
        self.asked[rows] += 1
        inside = radius <= _RIM
        if inside.any():
            self._handed_in(rows[inside], share[inside], heard[inside], y[inside] > 0.0)
        self.over[rows] |= self.asked[rows] >= self.most
        return np.asarray(heard)

    def _handed_in(
        self, rows: np.ndarray, share: np.ndarray, heard: np.ndarray, clean: np.ndarray
    ) -> None:
        some = rows[clean]
        self.clean[some] = np.minimum(self.clean[some], self.asked[some])
        suspect = heard & np.isinf(self.confirmed[rows])
        if not suspect.any():
            self.over[rows] |= np.isfinite(self.confirmed[rows] + self.clean[rows])
            return
        some = rows[suspect]
        self.asked[some] += VOTES
        against = np.asarray(bisection.majority(1.0 - share[suspect], VOTES))
        sure = some[self.draws.random(len(some)) >= against]
        self.confirmed[sure] = self.asked[sure]
        self.over[rows] |= np.isfinite(self.confirmed[rows] + self.clean[rows])


def rays(
    gains: np.ndarray,
    eps: float,
    recipe: RaysRecipe,
    sigmoid: Sigmoid,
    *,
    most: int,
    seed: int = 0,
) -> np.ndarray:
    """Queries until each run has broken its image, ``(m,)``; infinite beyond ``most``.

    Parameters
    ----------
    gains : ndarray
        ``(m, 2, d)``: what each number gains at the rim, moved up and moved down.
    eps : float
        The budget; at radius ``1 / eps`` every number is at an end of [0, 1].
    recipe : RaysRecipe
    sigmoid : Sigmoid
    most : int
        Queries at which a run is given up.
    seed : int
        Of the labels' luck.
    """
    m, _, d = gains.shape
    meter = _Meter(sigmoid, most, seed)
    tolerance, whole = recipe.tolerance / (d**0.5 * eps), 1.0 / eps
    # A number's gain is half their sum, and half their difference by its sign.
    signed = 0.5 * (gains[:, 0] - gains[:, 1])
    gain = gains[:, 0].sum(axis=1)
    best = np.full(m, np.inf)
    stage = index = 0
    while len(rows := meter.running(np.arange(m))):
        if recipe.retreat:
            known = rows[np.isfinite(best[rows])]
            radius = best[known]
            held = meter.fooled(known, radius, radius * gain[known] - 1.0)
            grown = np.minimum(radius * (1.0 + recipe.retreat), whole)
            best[known] = np.where(held, radius, grown)
            rows = meter.running(rows)
        # Chen & Gu 2020, Algorithm 3: 2^s runs of numbers at stage s.
        side = -(-d // 2**stage)
        run = slice(index * side, (index + 1) * side)
        tried = gain[rows] - 2.0 * signed[rows, run].sum(axis=1)
        radius = np.minimum(best[rows], whole)
        held = meter.fooled(rows, radius, radius * tried - 1.0)
        rows, tried = rows[held], tried[held]
        found = _bisected(meter, rows, tried, radius[held], recipe.floor, tolerance)
        better = found < best[rows]
        if recipe.floor:
            better |= found <= _RIM
        won = rows[better]
        signed[won, run] *= -1.0
        gain[won], best[won] = tried[better], found[better]
        index += 1
        if index * side >= d:
            # The last stage flips single numbers, and is gone through again.
            index, stage = 0, min(stage + 1, (d - 1).bit_length())
    broken = np.maximum(meter.confirmed, meter.clean)
    return np.where(broken <= most, broken, np.inf)


def _bisected(
    meter: _Meter,
    rows: np.ndarray,
    gain: np.ndarray,
    high: np.ndarray,
    floor: bool,
    tolerance: float,
) -> np.ndarray:
    """Radii that patterns still hold at; with a floor the budget's is asked first."""
    low = 2.0 - high if floor else np.zeros_like(high)
    open_ = np.arange(len(rows))
    while len(open_):
        left = high[open_] - low[open_] > tolerance
        if floor:
            left &= high[open_] > _RIM
        open_ = open_[left & ~meter.over[rows[open_]]]
        middle = 0.5 * (low[open_] + high[open_])
        held = meter.fooled(rows[open_], middle, middle * gain[open_] - 1.0)
        high[open_] = np.where(held, middle, high[open_])
        low[open_] = np.where(held, low[open_], middle)
    return high
