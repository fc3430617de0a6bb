"""What counts of adversarial patterns say about blind guesses.

Patterns were tried on a sample of images, and on each it was counted how many fool the
model. Images stand on the last axis.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax import expect
from querytax.theory.law import Given, law
from querytax.theory.numerics import blind_counts as _blind_counts
from querytax.theory.numerics.blind import SLACK, plain_queries
from querytax.theory.numerics.floats import Array, Floats

_COUNTED = "images and patterns drawn at random, no noise on their labels; Q <= N"
_TURNS = (
    "images drawn at random, patterns Q and Q + r drawn of one kind, no noise on their "
    "labels; Q <= N"
)
_ENDS = (
    "inf beyond; ends exact (Clopper-Pearson) where an image is broken by all patterns "
    "or by none, else by a beta law of the same two moments"
)
_GAFFKE = "derived here; Gaffke 2005, the mean of bounded variables"
_WHOLE = {"queries": "{0, 1, ...}"}


def _counts(hits: Array, tried: Array) -> list[Array]:
    k, n = np.broadcast_arrays(hits, tried)
    expect.that(k <= n, "at most tried", hits=k)
    return [k, n]


def _untouched(hits: Array, tried: Array, queries: Array) -> Array:
    k, n = _counts(hits, tried)
    expect.that(queries <= n.min(axis=-1), "at most tried", queries=queries)
    return _blind_counts.without(queries[..., None], k, n)


@law(
    "mean of C(N - k, Q)/C(N, Q) over the images",
    "derived here",
    regime=f"unbiased: {_COUNTED}",
    domain=_WHOLE,
    value="[0, 1]; falls in queries",
)
def survival(hits: Given, tried: Given, queries: Given) -> Floats:
    """Share of images that guesses leave, from how many patterns hit each.

    Unlike the mean of (1 - k/N)^Q it errs to neither side.

    >>> round(float(survival([0, 1, 5], [20, 20, 30], 10)), 6)
    0.536265
    """
    return _untouched(hits, tried, queries).mean(axis=-1)


@law(
    "sd(C(N - k, Q)/C(N, Q))/√n over n images",
    "derived here",
    regime=f"its square is unbiased: {_COUNTED}; inf for one image",
    domain=_WHOLE,
    value="[0, inf]",
)
def error(hits: Given, tried: Given, queries: Given) -> Floats:
    """Standard error of :func:`survival`, sampling of images included.

    It is 0 where all images agree by luck; :func:`interval` never takes it at its word.

    >>> round(float(error([0, 1, 5], [20, 20, 30], 10)), 6)
    0.257907
    """
    left = _untouched(hits, tried, queries)
    images = left.shape[-1]
    if images == 1:
        return np.full(left.shape[:-1], np.inf)[()]
    return left.std(axis=-1, ddof=1) / np.sqrt(images)


@law(
    "least Q with S₋(Q) <= 1 - q, with S(Q) <= 1 - q, and from which S₊ <= 1 - q",
    _GAFFKE,
    regime=f"{_COUNTED}, {_ENDS}",
    kind="definition",
    value="[1, inf]; rises in share",
)
def interval(
    hits: Given, tried: Given, share: Given, confidence: Given = 0.95
) -> tuple[Floats, Floats, Floats]:
    """Blind guesses that break a share of all images, from counts on some.

    Lower end, value and upper end, from :func:`survival` S and its own ends S₋, S₊. A
    value or upper end of inf says no more than "above the fewest patterns tried on an
    image", and then the lower end is at most that.

    >>> [float(x) for x in interval([0, 1, 2, 5, 20, 60] * 5, 100, 0.5)]
    [6.0, 16.0, 40.0]
    >>> [float(x) for x in interval([0] * 10, 100, 0.5)]
    [100.0, inf, inf]
    """
    return _blind_counts.crossings(
        _blind_counts.exchangeable, _counts(hits, tried), [1, 1], share, confidence
    )


def _turns(outcomes: Array, turn: Array) -> tuple[Array, Array]:
    if not outcomes.shape[-2] * outcomes.shape[-1]:
        raise expect.DomainError(
            f"expected outcomes not empty, got shape {outcomes.shape}"
        )
    # Of more kinds than patterns each is a kind of its own.
    return outcomes, np.minimum(turn, outcomes.shape[-1])


@law(
    "mean of Π_j C(N_j - k_j, Q_j)/C(N_j, Q_j) over the images, Q_j = ⌈(Q - j)/r⌉",
    "derived here",
    regime=f"unbiased: {_TURNS}",
    domain=_WHOLE,
    value="[0, 1]; falls in queries",
)
def scheduled_survival(outcomes: Given, turn: Given, queries: Given) -> Floats:
    """Share of images that guesses leave whose kinds come in the same turns.

    Kind j has the patterns j, j + r, ... and Q_j of the first Q guesses.
    Where the best kinds come first, :func:`survival` of the same counts falls too
    slowly over the first guesses.

    >>> hit = [[1, 0, 0, 0], [0, 0, 1, 0]]
    >>> scheduled_survival(hit, 2, [0, 1, 2, 3]).tolist()
    [1.0, 0.5, 0.5, 0.0]
    >>> survival([1, 1], 4, [0, 1, 2, 3]).tolist()
    [1.0, 0.75, 0.5, 0.25]
    """
    hit, turns = _turns(outcomes, turn)
    expect.that(queries <= hit.shape[-1], "at most tried", queries=queries)
    shape, each = _blind_counts.places([hit, turns], [2, 0])
    curve = np.empty((*shape, hit.shape[-1] + 1))
    for place, (rows, r) in each:
        curve[place] = _blind_counts.scheduled(rows, r).mean(axis=0)
    at = np.broadcast_to(queries, np.broadcast_shapes(shape, queries.shape))
    curve = np.broadcast_to(curve, (*at.shape, curve.shape[-1]))
    return np.take_along_axis(curve, at[..., None].astype(int), axis=-1)[..., 0][()]


@law(
    "as interval, S(Q) that of scheduled_survival",
    _GAFFKE,
    regime=f"{_TURNS}, {_ENDS}",
    kind="definition",
    value="[1, inf]; rises in share",
)
def scheduled_interval(
    outcomes: Given, turn: Given, share: Given, confidence: Given = 0.95
) -> tuple[Floats, Floats, Floats]:
    """Guesses of kinds in turns that break a share of all images, from some.

    Lower end, value and upper end, as of :func:`interval`, which this is at a turn
    of 1.

    >>> first = [[True, False] * 20] * 30 + [[False] * 40] * 10
    >>> [float(x) for x in scheduled_interval(first, 2, 0.5)]
    [1.0, 1.0, 1.0]
    >>> [float(x) for x in interval([20] * 30 + [0] * 10, 40, 0.5)]
    [2.0, 2.0, 3.0]
    """
    return _blind_counts.crossings(
        _blind_counts.scheduled, _turns(outcomes, turn), [2, 0], share, confidence
    )


@law(
    "least Q with C(N - k, Q)/C(N, Q) <= 1 - q, and ⌈ln(1-q)/ln(1-p)⌉ at p₋ and p₊",
    "Clopper & Pearson 1934, inverted here",
    regime="patterns drawn at random, no noise on their labels; p₋ and p₊ those of "
    "Clopper and Pearson, never too sure",
    kind="definition",
    tables={"hits": 0, "tried": 0},
    value="[1, inf]",
)
def image_interval(
    hits: Given, tried: Given, share: Given, confidence: Given = 0.95
) -> tuple[Floats, Floats, Floats]:
    """Blind guesses that break one image with a given chance, by counts.

    Lower end, value and upper end; the last two are infinite where none hit.

    >>> [float(x) for x in image_interval(3, 1000, 0.5)]
    [79.0, 207.0, 1120.0]
    """
    k, n, q, tail = np.broadcast_arrays(
        *_counts(hits, tried), share, 0.5 - 0.5 * confidence
    )
    some, all_ = np.maximum(k, 1.0), np.minimum(k, n - 1.0)
    low = np.where(k > 0, special.betaincinv(some, n - some + 1.0, tail), 0.0)
    high = np.where(k < n, special.betaincinv(all_ + 1.0, n - all_, 1.0 - tail), 1.0)
    level = (1.0 - q) * (1.0 + SLACK)
    value = _blind_counts.least(lambda t: _blind_counts.without(t, k, n) <= level, n)
    lower, upper = (plain_queries(q, p[..., None]) for p in (high, low))
    return np.minimum(lower, value)[()], value[()], np.maximum(upper, value)[()]
