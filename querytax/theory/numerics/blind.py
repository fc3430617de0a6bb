"""Renewals behind confirmed guesses, and searches for a count.

With chances s and f that a guess is confirmed or a false alarm, no success within t
queries has the chance w(t) = a w(t-1) + f w(t-1-V), a = 1 - s - f, and w = 1 up to V.
Over the positive root's powers exp(-x t) this is a mean of earlier values with weights
that sum to 1: a law of where a backward walk enters 0..V, which can be doubled.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax.theory.numerics.floats import Array, Floats

# Beyond it floats no longer count by ones.
MOST = 2.0**53
# A share that is reached but for rounding is reached.
SLACK = 1e-12
_CELLS = 1 << 21


def rates(success: Array, false_alarm: Array, votes: int) -> tuple[Array, Array, Array]:
    """Rate of decay x of w, and the tilted chances of one step back and of 1 + V.

    x is the root of a expm1(x) + f expm1((1+V) x) = s.
    """
    rest = np.maximum(1.0 - success - false_alarm, 0.0)
    alarm = np.where(false_alarm > 1e-300, false_alarm, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x = np.fmin(np.log1p(success / rest), np.log1p(success / alarm) / (1.0 + votes))
    # Sure to be confirmed at once; exp(-x) is then 0.
    x = np.where(success > 0.0, np.minimum(x, 1e4), 0.0)

    def terms(x: Array) -> tuple[Array, Array]:
        far = np.where(alarm > 0.0, (1.0 + votes) * x, 0.0)
        near = np.where(rest > 0.0, x, 0.0)
        return near, far

    # The left side is convex: from above, Newton's steps fall to the root.
    for _ in range(100):
        near, far = terms(x)
        value = rest * np.expm1(near) + alarm * np.expm1(far) - success
        slope = rest * np.exp(near) + (1.0 + votes) * alarm * np.exp(far)
        moved = x - np.divide(value, slope, out=np.zeros_like(x), where=slope > 0.0)
        moved = np.clip(moved, 0.0, x)
        if np.array_equal(moved, x):
            break
        x = moved
    near, far = terms(x)
    stay, back = rest * np.exp(near), alarm * np.exp(far)
    total = stay + back
    stay = np.divide(stay, total, out=np.ones_like(x), where=total > 0.0)
    return x, stay, np.divide(back, total, out=np.zeros_like(x), where=total > 0.0)


def _joined(one: Array, other: Array, stay: Array, back: Array) -> Array:
    """Law of where a walk enters 0..V that goes both ways, V + 1 chances at the end."""
    count = one.shape[-1]
    shape = np.broadcast_shapes(one.shape, other.shape)
    full = np.zeros((*shape[:-1], 2 * count - 1))
    for i in range(count):
        full[..., i : i + count] += one[..., i : i + 1] * other
    for place in range(2 * count - 2, count - 1, -1):
        full[..., place - 1] += stay * full[..., place]
        full[..., place - count] += back * full[..., place]
    law = full[..., :count]
    return law / law.sum(axis=-1, keepdims=True)


def _broken(law: Array, x: Array, at: Array) -> tuple[Array, Array]:
    """Mean over images of 1 - w(t) and of w(t); ``law`` is t's, t on the first axis."""
    votes = law.shape[-1] - 1
    # At or below V nothing can be over, and every way there is 0 long.
    way = np.maximum(at[:, None, None] - np.arange(votes + 1.0), 0.0)
    way[at <= votes] = 0.0
    log = -x[:, None] * way
    gone = -(law * np.expm1(log)).sum(axis=-1)
    return gone.mean(axis=-1), (law * np.exp(log)).sum(axis=-1).mean(axis=-1)


def _single(votes: int) -> Array:
    """One query back, before any is taken together."""
    law = np.zeros(votes + 1)
    law[min(1, votes)] = 1.0
    return law


def survival(queries: Array, success: Array, false_alarm: Array, votes: int) -> Array:
    """Mean of w over images, at each of the counts."""
    x, stay, back = rates(success, false_alarm, votes)
    out = np.empty(queries.size)
    rows = max(1, _CELLS // (x.size * (votes + 1)))
    for start in range(0, queries.size, rows):
        at = queries[start : start + rows]
        law = np.zeros((at.size, x.size, votes + 1))
        law[..., 0] = 1.0
        left = at.astype(np.int64)
        level = np.broadcast_to(_single(votes), law.shape[1:])
        while left.any():
            odd = left % 2 == 1
            law[odd] = _joined(law[odd], level, stay, back)
            left //= 2
            if left.any():
                level = _joined(level, level, stay, back)
        out[start : start + rows] = _broken(law, x, at)[1]
    return np.minimum(out, 1.0)


def _reached(gone: Array, left: Array, share: Array) -> npt.NDArray[np.bool_]:
    """Whether the share is broken, asked of the smaller of the two parts."""
    low = gone >= share * (1.0 - SLACK)
    return np.where(share < 0.5, low, left <= (1.0 - share) * (1.0 + SLACK))


def never(success: Array, share: Array) -> npt.NDArray[np.bool_]:
    """Whether too many images cannot be broken at all, images on the last axis."""
    some = (success > 0.0).mean(axis=-1)
    sure = (success == 1.0).mean(axis=-1) >= share * (1.0 - SLACK)
    return (some <= share * (1.0 + SLACK)) & ~sure


def queries(share: Array, success: Array, false_alarm: Array, votes: int) -> Array:
    """Least count at which the share is broken; inf past ``MOST``."""
    x, stay, back = rates(success, false_alarm, votes)
    beyond = never(success, share)
    levels: list[Array] = [np.broadcast_to(_single(votes), (x.size, votes + 1))]
    for k in range(53):
        gone, left = _broken(levels[k][None], x, np.array([2.0**k]))
        if np.all(_reached(gone, left, share) | beyond):
            break
        levels.append(_joined(levels[k], levels[k], stay, back))
    at = np.zeros(share.size)
    law = np.zeros((share.size, x.size, votes + 1))
    law[..., 0] = 1.0
    for k in range(len(levels) - 1, -1, -1):
        farther = _joined(law, levels[k], stay, back)
        short = ~_reached(*_broken(farther, x, at + 2.0**k), share)
        at, law[short] = np.where(short, at + 2.0**k, at), farther[short]
    return np.where(beyond | (at + 1.0 > MOST), np.inf, at + 1.0)


def plain_queries(share: Array, success: Array) -> Array:
    """The same without votes, for rows of images."""
    at = np.zeros(share.shape)
    for k in range(53, -1, -1):
        log = special.xlog1py((at + 2.0**k)[..., None], -success)
        gone = -np.expm1(log).mean(axis=-1)
        short = ~_reached(gone, np.exp(log).mean(axis=-1), share)
        at = np.where(short, at + 2.0**k, at)
    return np.where(never(success, share) | (at + 1.0 > MOST), np.inf, at + 1.0)


def over_populations(
    function: Callable[..., Array], asked: Array, votes: Array, *tables: Array
) -> Floats:
    """A function of numbers and of one table's images and votes, place by place."""
    full = np.broadcast_arrays(*tables)
    rows = [t.reshape((-1, t.shape[-1])) for t in full]
    number = np.arange(len(rows[0])).reshape(full[0].shape[:-1])
    number, asked, votes = np.broadcast_arrays(number, asked, votes)
    out = np.empty(number.shape)
    for row, count in sorted(set(zip(number.flat, votes.flat, strict=True))):
        here = (number == row) & (votes == count)
        out[here] = function(asked[here], *(t[row] for t in rows), int(count))
    return out[()]
