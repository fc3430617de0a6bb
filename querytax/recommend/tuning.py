"""The best of many settings of a walk, without following each of them.

No walk is faster than one that nothing pushes back, and none gets beyond its plateau:
settings that lose by these bounds are not followed at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from querytax.recommend.prediction import Predictor
from querytax.theory import walks

__all__ = ["Setting", "best_settings"]

# Settings that are followed at once, those that look best first.
_BATCH = 12

# Which of the candidates, and which of the steps.
Setting = tuple[int, int]


def best_settings(
    predictor: Predictor,
    place: str,
    side: np.ndarray,
    drift: np.ndarray,
    way: np.ndarray,
    cost: np.ndarray,
    steps: np.ndarray,
    shares: Sequence[float],
) -> list[Setting]:
    """The setting that breaks each share of the images first; of equals the earliest.

    Parameters
    ----------
    predictor : Predictor
    place : {"lower", "estimate", "upper"}
        How it reads its walks.
    side : ndarray of int, shape (candidates,)
        Of the squares that a candidate steps on.
    drift : ndarray, shape (candidates, stages, n)
    way : ndarray, shape (candidates, n)
    cost : ndarray, shape (candidates,)
        Queries of a step.
    steps : ndarray
        Lengths of a step over eps that each candidate may take.
    shares : sequence of float

    Returns
    -------
    list of Setting
        No two alike; none for a share that no setting breaks.
    """
    saved = np.array([predictor.saved(place, int(s)) for s in side])
    fewest, rough = _bounds(predictor, saved, drift, way, steps)
    bound = _levels(fewest, cost[:, None, None], shares)
    guess = _levels(rough, cost[:, None, None], shares)
    found = np.full(bound.shape, np.inf)
    left = np.ones(bound.shape[1:], dtype=bool)
    for _ in range(left.size):
        best = found.min(axis=(1, 2))[:, None, None]
        # Equals too: the earliest of them counts.
        hopeful = left & (np.isfinite(bound) & (bound <= best)).any(axis=0)
        if not hopeful.any():
            break
        one, step = np.nonzero(hopeful)
        nearest = guess[:, one, step]
        # A share that nobody is expected to break says nothing about who is better.
        ends = np.isfinite(nearest).any(axis=1)
        near = nearest[ends] if ends.any() else np.ones((1, one.size))
        score = (near / near.min(axis=1, keepdims=True)).min(axis=0)
        chosen = np.argsort(score)[:_BATCH]
        one, step = one[chosen], step[chosen]
        for s in np.unique(side[one]):
            own, at = one[side[one] == s], step[side[one] == s]
            walked = way[own], drift[own], steps[at, None, None], place
            taken = predictor.steps(*walked, side=int(s))
            found[:, own, at] = _levels(taken, cost[own, None], shares)
        left[one, step] = False
    flat = found.reshape(len(shares), -1)
    at = [int(row.argmin()) for row in flat if np.isfinite(row.min())]
    pairs = (np.unravel_index(i, left.shape) for i in dict.fromkeys(at))
    return [(int(one), int(step)) for one, step in pairs]


def _levels(steps: np.ndarray, cost: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Queries of each share of the images, shares first."""
    counts = np.maximum(np.ceil(steps), 1.0) * cost
    return np.asarray(np.quantile(counts, shares, axis=-1, method="lower"))


def _bounds(
    predictor: Predictor,
    saved: np.ndarray,
    drift: np.ndarray,
    way: np.ndarray,
    steps: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Steps at least and steps about: (candidates, steps, n)."""
    reachable = np.isfinite(way)
    shortest = np.where(reachable, way, 1.0) * (1.0 - saved)[:, None]
    end, start = predictor.ends(np.minimum(shortest, 1.0)[:, None])
    norm = predictor.stats.norm
    least, rough = walks.bounds(
        end, drift[:, None], steps[:, None, None], norm, start=start
    )
    # Rounding must not make a bound of what it bounds.
    least = least.sum(-2) * (1.0 - 1e-9)
    at = reachable[:, None]
    return np.where(at, least, np.inf), np.where(at, rough.sum(-2), np.inf)
