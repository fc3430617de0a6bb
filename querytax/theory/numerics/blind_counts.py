"""Numerics behind ``blind_counts``: what each image tells, and ends for their mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax.theory.numerics.blind import SLACK
from querytax.theory.numerics.floats import Array, Floats


def without(queries: Array, hits: Array, tried: Array) -> Array:
    """C(n-k, t)/C(n, t): no hit among t of the n that were tried."""
    t, k, n = np.broadcast_arrays(queries, hits, tried)
    # The same with t and k exchanged: a product of the fewer factors.
    few, many = np.minimum(t, k), np.maximum(t, k)
    out = np.ones(t.shape)
    for j in range(int(few.max(initial=0.0))):
        factor = np.maximum(n - many - j, 0.0) / np.maximum(n - j, 1.0)
        out *= np.where(j < few, factor, 1.0)
    return out


def least(holds: Callable[[Array], npt.NDArray[np.bool_]], most: Array) -> Array:
    """Least count from 1 at which a lasting condition holds; inf beyond ``most``."""
    at = np.zeros(most.shape)
    for k in range(int(np.ceil(np.log2(most.max(initial=1.0)))) + 1, -1, -1):
        farther = at + 2.0**k
        short = (farther <= most) & ~holds(np.minimum(farther, most))
        at = np.where(short, farther, at)
    return np.where(at >= most, np.inf, at + 1.0)


def _end(values: tuple[Array, Array, Array], images: int, tail: Array) -> Array:
    """Lower end for the mean of values in [0, 1], from their sum, squares, greatest.

    The images and one more that is 0 get Dirichlet weights; a beta law of the same
    mean and variance stands for theirs, and is theirs where values are 0 or one other.
    """
    total, squares, most = values
    scale = np.where(most > 0.0, most, 1.0)
    mean = total / scale / (images + 1.0)
    spread = squares / np.square(scale) / (images + 1.0) - np.square(mean)
    mean = np.where(most > 0.0, mean, 0.5)
    spread = np.where(most > 0.0, spread, 0.25)
    size = np.maximum(mean * (1.0 - mean) * (images + 2.0) / spread, 1.0) - 1.0
    low = special.betaincinv(size * mean, size * (1.0 - mean), tail)
    return np.where(most > 0.0, most * low, 0.0)


def exchangeable(hits: Array, tried: Array) -> Iterable[Array]:
    """C(n-k, t)/C(n, t) image by image, for t from 0 to the fewest tried."""
    j = np.arange(int(tried.min()), dtype=float)
    for k, n in zip(hits, tried, strict=True):
        yield np.append(1.0, np.cumprod(np.maximum(n - k - j, 0.0) / (n - j)))


def scheduled(outcomes: Array, turns: Array) -> Array:
    """``(images, n + 1)`` the same where kinds take turns: a product over the kinds."""
    (images, count), turn = outcomes.shape, int(turns)
    # One row a round; guess t is draw t // turn of kind t % turn.
    rounds = -(-count // turn)
    room = np.zeros((images, rounds * turn))
    room[:, :count] = outcomes
    hits = room.reshape(images, rounds, turn).sum(axis=1)
    draw, kind = np.divmod(np.arange(count), turn)
    tried = np.bincount(kind, minlength=turn)[kind]
    share = np.maximum(tried - hits[:, kind] - draw, 0.0) / (tried - draw)
    return np.cumprod(np.concatenate([np.ones((images, 1)), share], axis=1), axis=1)


def band(left: Iterable[Array], images: int, tail: Array) -> tuple[Array, Array, Array]:
    """Lower end, mean and upper end of S(t), from what is left of each image at t."""
    sums: list[list[Array]] = []
    for own in left:
        parts = [own, 1.0 - own]
        if not sums:
            sums = [[x.copy(), x * x, x.copy()] for x in parts]
            continue
        for (total, squares, most), x in zip(sums, parts, strict=True):
            total += x
            squares += x * x
            np.maximum(most, x, out=most)
    (total, squares, most), gone = sums
    low = _end((total, squares, most), images, tail)
    high = 1.0 - _end((gone[0], gone[1], gone[2]), images, tail)
    return low, total / images, high


def crossing(share: float, low: Array, middle: Array, high: Array) -> tuple[float, ...]:
    """Counts at which the band and its mean have fallen to 1 - share.

    Of a band that rises again the widest reading is taken.
    """
    level = 1.0 - share
    most = low.size - 1.0
    under = np.flatnonzero(middle <= level * (1.0 + SLACK))
    value = float(under[0]) if under.size else np.inf
    reached = np.flatnonzero(low <= level)
    first = float(reached[0]) if reached.size else most
    last = float(np.flatnonzero(high > level)[-1])
    upper = last + 1.0 if last < most else np.inf
    return min(max(first, 1.0), value), value, max(upper, value)


def places(
    tables: Sequence[Array], axes: Sequence[int]
) -> tuple[tuple[int, ...], Iterator[tuple[tuple[int, ...], list[Array]]]]:
    """The joint shape of tables, and what they hold at each place of it."""
    split = [t.ndim - count for t, count in zip(tables, axes, strict=True)]
    pairs = list(zip(tables, split, strict=True))
    shape = np.broadcast_shapes(*(t.shape[:at] for t, at in pairs))
    full = [np.broadcast_to(t, shape + t.shape[at:]) for t, at in pairs]
    return shape, ((place, [t[place] for t in full]) for place in np.ndindex(shape))


def crossings(
    left: Callable[..., Iterable[Array]],
    tables: Sequence[Array],
    axes: Sequence[int],
    share: Array,
    confidence: Array,
) -> tuple[Floats, Floats, Floats]:
    """Lower end, value and upper end, place by place of all tables and numbers."""
    shape, each = places([*tables, share, 0.5 - 0.5 * confidence], [*axes, 0, 0])
    found = []
    for _, held in each:
        *rows, q, tail = held
        found.append(crossing(float(q), *band(left(*rows), len(rows[0]), tail)))
    low, value, high = np.reshape(found, (*shape, 3)).T
    return low.T[()], value.T[()], high.T[()]
