"""What counts of adversarial patterns say about blind guesses.

Patterns were tried on a sample of images, and on each it was counted how many fool the
model. Images stand on the last axis; each function raises ``DomainError``, naming the
parameter, for an argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.expect import DomainError
from querytax.theory import _blind_counts
from querytax.theory._blind import SLACK, plain_queries
from querytax.theory._floats import Array, Floats, floats
from querytax.theory.law import law

__all__ = [
    "error",
    "image_interval",
    "interval",
    "scheduled_interval",
    "scheduled_survival",
    "survival",
]

_QUERIES = "t, guesses, count, [0, least n]"
_HITS = "k, adversarial ones of the patterns tried, images on the last axis, [0, n]"
_TRIED = "n, patterns tried on each image, count, [1, inf)"
_SHARE = "q, share of the images to be broken, probability, (0, 1)"
_CONFIDENCE = "chance that the interval holds the truth, probability, (0, 1)"
_OUTCOMES = "which patterns are adversarial, images by order of the attack, {0, 1}"
_TURN = "r, kinds of pattern, which come in turns, count, [1, inf)"
_COUNTED = "images and patterns drawn at random, no noise on their labels; t <= n"
_TURNS = (
    "images drawn at random, patterns t and t + r drawn of one kind, no noise on their "
    "labels; t <= n"
)


def _counts(hits: npt.ArrayLike, tried: npt.ArrayLike) -> tuple[Array, Array]:
    k = floats(expect.integer(0, hits=hits))
    k, n = np.broadcast_arrays(k, floats(expect.integer(tried=tried)))
    expect.that(k <= n, "at most tried", hits=k)
    return k, n


def _untouched(
    queries: npt.ArrayLike, hits: npt.ArrayLike, tried: npt.ArrayLike
) -> Array:
    k, n = map(np.atleast_1d, _counts(hits, tried))
    t = floats(expect.integer(0, queries=queries))
    expect.that(t <= n.min(axis=-1), "at most tried", queries=t)
    return _blind_counts.without(t[..., None], k, n)


@law(
    formula="mean of C(n - k, t)/C(n, t) over the images",
    latex=r"\frac{1}{N}\sum_i \binom{n_i - k_i}{t} \Big/ \binom{n_i}{t}",
    symbols={"queries": _QUERIES, "hits": _HITS, "tried": _TRIED},
    regime=f"unbiased: {_COUNTED}",
    source="derived here",
    tables={"hits": 1, "tried": 1},
)
def survival(
    queries: npt.ArrayLike, hits: npt.ArrayLike, tried: npt.ArrayLike
) -> Floats:
    """Share of images that guesses leave, from how many patterns hit each image.

    Unlike the mean of (1 - k/n)^t it errs to neither side.

    Parameters
    ----------
    queries : array_like of int
        Guesses t, at most the fewest tried.
    hits, tried : array_like of int, shape (..., images)
        Adversarial patterns k of the n tried on each image.

    Examples
    --------
    >>> round(float(survival(10, [0, 1, 5], [20, 20, 30])), 6)
    0.536265
    """
    return _untouched(queries, hits, tried).mean(axis=-1)


@law(
    formula="standard deviation of C(n - k, t)/C(n, t) over the images, over √N",
    latex=r"\frac{1}{\sqrt N}\operatorname{sd}_i\left[\binom{n_i - k_i}{t} \Big/ "
    r"\binom{n_i}{t}\right]",
    symbols={"queries": _QUERIES, "hits": _HITS, "tried": _TRIED},
    regime=f"its square is unbiased: {_COUNTED}; inf for one image",
    source="derived here",
    tables={"hits": 1, "tried": 1},
)
def error(queries: npt.ArrayLike, hits: npt.ArrayLike, tried: npt.ArrayLike) -> Floats:
    """Standard error of :func:`survival`, sampling of images included.

    It is 0 where all images agree by luck; :func:`interval` never takes it at its word.

    Parameters
    ----------
    queries : array_like of int
        Guesses t, at most the fewest tried.
    hits, tried : array_like of int, shape (..., images)
        Adversarial patterns k of the n tried on each image.

    Examples
    --------
    >>> round(float(error(10, [0, 1, 5], [20, 20, 30])), 6)
    0.257907
    """
    left = _untouched(queries, hits, tried)
    images = left.shape[-1]
    if images == 1:
        return np.full(left.shape[:-1], np.inf)[()]
    return left.std(axis=-1, ddof=1) / np.sqrt(images)


@law(
    formula="t at which S(t) and its ends fall to 1 - q: least t with S_low <= 1 - q, "
    "with S <= 1 - q, and that from which S_high <= 1 - q",
    latex=r"\min\{t: S_-(t) \le 1 - q\},\ \min\{t: S(t) \le 1 - q\},\ "
    r"1 + \max\{t: S_+(t) > 1 - q\}",
    symbols={
        "hits": _HITS,
        "tried": _TRIED,
        "share": _SHARE,
        "confidence": _CONFIDENCE,
    },
    regime=(
        f"{_COUNTED}, inf beyond; ends exact (Clopper-Pearson) where an image is "
        "broken by all patterns or by none, else by a beta law of the same two moments"
    ),
    source="derived here; Gaffke 2005, the mean of bounded variables",
    tables={"hits": 1, "tried": 1},
)
def interval(
    hits: npt.ArrayLike,
    tried: npt.ArrayLike,
    share: npt.ArrayLike,
    confidence: npt.ArrayLike = 0.95,
) -> tuple[Floats, Floats, Floats]:
    """Blind guesses that break a share of all images, from counts on some of them.

    Parameters
    ----------
    hits, tried : array_like of int, shape (..., images)
        Adversarial patterns k of the n tried on each image.
    share : array_like
        Share q of the images to be broken, in (0, 1).
    confidence : array_like
        Chance that the interval holds the truth, in (0, 1).

    Returns
    -------
    lower, value, upper : float or ndarray
        Guesses. A value or upper end of inf says no more than "above the fewest
        patterns tried on an image", and then the lower end is at most that.

    Examples
    --------
    >>> [float(x) for x in interval([0, 1, 2, 5, 20, 60] * 5, 100, 0.5)]
    [6.0, 16.0, 40.0]
    >>> [float(x) for x in interval([0] * 10, 100, 0.5)]
    [100.0, inf, inf]
    """
    k, n = map(np.atleast_1d, _counts(hits, tried))
    q = floats(expect.probability(share=share))
    tail = 0.5 - 0.5 * floats(expect.probability(confidence=confidence))
    shape = np.broadcast_shapes(k.shape[:-1], q.shape, tail.shape)
    q, tail = np.broadcast_to(q, shape), np.broadcast_to(tail, shape)
    out = np.empty((3, *shape))
    for place in np.ndindex(shape):
        at = np.broadcast_to(k, (*shape, k.shape[-1]))[place]
        of = np.broadcast_to(n, (*shape, k.shape[-1]))[place]
        left = _blind_counts.exchangeable(at, of)
        ends = _blind_counts.band(left, at.size, tail[place])
        out[(slice(None), *place)] = _blind_counts.crossing(float(q[place]), *ends)
    return out[0][()], out[1][()], out[2][()]


def _schedule(
    outcomes: npt.ArrayLike, turn: npt.ArrayLike
) -> tuple[Array, npt.NDArray[np.int64]]:
    hit = np.atleast_2d(floats(expect.unit(outcomes=outcomes)))
    expect.that((hit == 0.0) | (hit == 1.0), "true or false", outcomes=hit)
    if not hit.shape[-2] * hit.shape[-1]:
        raise DomainError(f"expected outcomes not empty, got shape {hit.shape}")
    # Of more kinds than patterns each is a kind of its own.
    return hit, np.minimum(expect.integer(turn=turn), hit.shape[-1]).astype(np.int64)


@law(
    formula="mean over images of the product over kinds j of C(n_j - k_j, t_j)/"
    "C(n_j, t_j), t_j = ceil((t - j)/turn), j from 0",
    latex=r"\frac{1}{N}\sum_i \prod_{j=0}^{r-1} \binom{n_j - k_{ij}}{t_j} \Big/ "
    r"\binom{n_j}{t_j},\quad t_j = \left\lceil\frac{t - j}{r}\right\rceil",
    symbols={
        "queries": "t, guesses, count, [0, n]",
        "outcomes": _OUTCOMES,
        "turn": _TURN,
    },
    regime=f"unbiased: {_TURNS}",
    source="derived here",
    tables={"outcomes": 2},
)
def scheduled_survival(
    queries: npt.ArrayLike, outcomes: npt.ArrayLike, turn: npt.ArrayLike
) -> Floats:
    """Share of images that guesses leave whose kinds come in turns, the same for all.

    Where the best kinds come first, :func:`survival` of the same counts falls too
    slowly over the first guesses.

    Parameters
    ----------
    queries : array_like of int
        Guesses t, at most as many as were tried.
    outcomes : array_like of bool, shape (..., images, tried)
        Which patterns are adversarial, in the order of the attack.
    turn : array_like of int
        Kinds: patterns t and t + turn are independent draws of one.

    Examples
    --------
    >>> hit = [[1, 0, 0, 0], [0, 0, 1, 0]]
    >>> scheduled_survival([0, 1, 2, 3], hit, 2).tolist()
    [1.0, 0.5, 0.5, 0.0]
    >>> survival([0, 1, 2, 3], [1, 1], 4).tolist()
    [1.0, 0.75, 0.5, 0.25]
    """
    hit, r = _schedule(outcomes, turn)
    t = floats(expect.integer(0, queries=queries))
    count = hit.shape[-1]
    expect.that(t <= count, "at most tried", queries=t)
    outer = np.broadcast_shapes(hit.shape[:-2], r.shape)
    every = np.broadcast_to(hit, outer + hit.shape[-2:])
    turns = np.broadcast_to(r, outer)
    curve = np.empty((*outer, count + 1))
    for place in np.ndindex(outer):
        left = _blind_counts.scheduled(every[place], int(turns[place]))
        curve[place] = left.mean(axis=0)
    shape = np.broadcast_shapes(outer, t.shape)
    at = np.broadcast_to(t, shape).astype(np.int64)[..., None]
    curve = np.broadcast_to(curve, (*shape, count + 1))
    return np.take_along_axis(curve, at, axis=-1)[..., 0][()]


@law(
    formula="t at which S(t) of scheduled_survival and its ends fall to 1 - q: least t "
    "with S_low <= 1 - q, with S <= 1 - q, and that from which S_high <= 1 - q",
    latex=r"\min\{t: S_-(t) \le 1 - q\},\ \min\{t: S(t) \le 1 - q\},\ "
    r"1 + \max\{t: S_+(t) > 1 - q\}",
    symbols={
        "outcomes": _OUTCOMES,
        "turn": _TURN,
        "share": _SHARE,
        "confidence": _CONFIDENCE,
    },
    regime=(
        f"{_TURNS}, inf beyond; ends exact (Clopper-Pearson) where an image is broken "
        "by all patterns or by none, else by a beta law of the same two moments"
    ),
    source="derived here; Gaffke 2005, the mean of bounded variables",
    tables={"outcomes": 2},
)
def scheduled_interval(
    outcomes: npt.ArrayLike,
    turn: npt.ArrayLike,
    share: npt.ArrayLike,
    confidence: npt.ArrayLike = 0.95,
) -> tuple[Floats, Floats, Floats]:
    """Guesses of kinds in turns that break a share of all images, from some of them.

    Parameters
    ----------
    outcomes : array_like of bool, shape (..., images, tried)
        Which patterns are adversarial, in the order of the attack.
    turn : array_like of int
        Kinds: patterns t and t + turn are independent draws of one.
    share : array_like
        Share q of the images to be broken, in (0, 1).
    confidence : array_like
        Chance that the interval holds the truth, in (0, 1).

    Returns
    -------
    lower, value, upper : float or ndarray
        Guesses, as those of :func:`interval`, which this is at a turn of 1.

    Examples
    --------
    >>> first = [[True, False] * 20] * 30 + [[False] * 40] * 10
    >>> [float(x) for x in scheduled_interval(first, 2, 0.5)]
    [1.0, 1.0, 1.0]
    >>> [float(x) for x in interval([20] * 30 + [0] * 10, 40, 0.5)]
    [2.0, 2.0, 3.0]
    """
    hit, r = _schedule(outcomes, turn)
    q = floats(expect.probability(share=share))
    tail = 0.5 - 0.5 * floats(expect.probability(confidence=confidence))
    shape = np.broadcast_shapes(hit.shape[:-2], r.shape, q.shape, tail.shape)
    q, tail = np.broadcast_to(q, shape), np.broadcast_to(tail, shape)
    turns = np.broadcast_to(r, shape)
    every = np.broadcast_to(hit, shape + hit.shape[-2:])
    out = np.empty((3, *shape))
    for place in np.ndindex(shape):
        left = _blind_counts.scheduled(every[place], int(turns[place]))
        ends = _blind_counts.band(left, len(left), tail[place])
        out[(slice(None), *place)] = _blind_counts.crossing(float(q[place]), *ends)
    return out[0][()], out[1][()], out[2][()]


@law(
    formula="least t with C(n - k, t)/C(n, t) <= 1 - q; ends ln(1-q)/ln(1-p) at the "
    "ends of Clopper and Pearson for p",
    latex=r"\min\left\{t: \binom{n-k}{t} \Big/ \binom{n}{t} \le 1 - q\right\},\quad "
    r"\left\lceil\frac{\ln(1 - q)}{\ln(1 - p_\pm)}\right\rceil",
    symbols={
        "hits": "k, adversarial ones of the patterns tried, count, [0, n]",
        "tried": "n, patterns tried, count, [1, inf)",
        "share": "q, chance that the image is to be broken with, (0, 1)",
        "confidence": _CONFIDENCE,
    },
    regime="patterns drawn at random, no noise on their labels; never too sure",
    source="Clopper & Pearson 1934, inverted here",
)
def image_interval(
    hits: npt.ArrayLike,
    tried: npt.ArrayLike,
    share: npt.ArrayLike,
    confidence: npt.ArrayLike = 0.95,
) -> tuple[Floats, Floats, Floats]:
    """Blind guesses that break one image with a given chance, from its counts.

    Parameters
    ----------
    hits, tried : array_like of int
        Adversarial patterns k of the n tried.
    share : array_like
        Chance q that the image is to be broken with, in (0, 1).
    confidence : array_like
        Chance that the interval holds the truth, in (0, 1).

    Returns
    -------
    lower, value, upper : float or ndarray
        Guesses; value and upper end are infinite where none hit.

    Examples
    --------
    >>> [float(x) for x in image_interval(3, 1000, 0.5)]
    [79.0, 207.0, 1120.0]
    """
    k, n = _counts(hits, tried)
    q = floats(expect.probability(share=share))
    tail = 0.5 - 0.5 * floats(expect.probability(confidence=confidence))
    k, n, q, tail = np.broadcast_arrays(k, n, q, tail)
    some, all_ = np.maximum(k, 1.0), np.minimum(k, n - 1.0)
    low = np.where(k > 0, special.betaincinv(some, n - some + 1.0, tail), 0.0)
    high = np.where(k < n, special.betaincinv(all_ + 1.0, n - all_, 1.0 - tail), 1.0)
    level = (1.0 - q) * (1.0 + SLACK)
    value = _blind_counts.least(lambda t: _blind_counts.without(t, k, n) <= level, n)
    lower = np.minimum(plain_queries(q, high[..., None])[()], value)
    return lower, value[()], np.maximum(plain_queries(q, low[..., None])[()], value)
