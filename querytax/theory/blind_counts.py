"""What counts of adversarial patterns say about blind guesses.

Patterns were tried on a sample of images, and on each it was counted how many fool the
model. Images stand on the last axis; each function raises ``DomainError``, naming the
parameter, for an argument outside its stated range.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory._blind import SLACK, plain_queries
from querytax.theory._floats import Array, Floats, floats
from querytax.theory.law import law

__all__ = ["error", "image_interval", "interval", "survival"]

_QUERIES = "t, guesses, count, [0, least n]"
_HITS = "k, adversarial ones of the patterns tried, images on the last axis, [0, n]"
_TRIED = "n, patterns tried on each image, count, [1, inf)"
_SHARE = "q, share of the images to be broken, probability, (0, 1)"
_CONFIDENCE = "chance that the interval holds the truth, probability, (0, 1)"
_COUNTED = "images and patterns drawn at random, no noise on their labels; t <= n"


def _counts(hits: npt.ArrayLike, tried: npt.ArrayLike) -> tuple[Array, Array]:
    k = floats(expect.integer(0, hits=hits))
    k, n = np.broadcast_arrays(k, floats(expect.integer(tried=tried)))
    expect.that(k <= n, "at most tried", hits=k)
    return k, n


def _without(queries: Array, hits: Array, tried: Array) -> Array:
    """C(n-k, t)/C(n, t): no hit among t of the n that were tried."""
    t, k, n = np.broadcast_arrays(queries, hits, tried)
    # The same with t and k exchanged: a product of the fewer factors.
    few, many = np.minimum(t, k), np.maximum(t, k)
    out = np.ones(t.shape)
    for j in range(int(few.max(initial=0.0))):
        factor = np.maximum(n - many - j, 0.0) / np.maximum(n - j, 1.0)
        out *= np.where(j < few, factor, 1.0)
    return out


def _least(holds: Callable[[Array], npt.NDArray[np.bool_]], most: Array) -> Array:
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


def _band(hits: Array, tried: Array, tail: Array) -> tuple[Array, Array, Array]:
    """Lower end, mean and upper end of S(t) for t from 0 to the fewest tried."""
    count = int(tried.min())
    j = np.arange(count, dtype=float)
    left = np.zeros((3, count + 1))
    gone = np.zeros((3, count + 1))
    for k, n in zip(hits, tried, strict=True):
        own = np.append(1.0, np.cumprod(np.maximum(n - k - j, 0.0) / (n - j)))
        for sums, value in ((left, own), (gone, 1.0 - own)):
            sums[0] += value
            sums[1] += value * value
            sums[2] = np.maximum(sums[2], value)
    low = _end((left[0], left[1], left[2]), hits.size, tail)
    high = 1.0 - _end((gone[0], gone[1], gone[2]), hits.size, tail)
    return low, left[0] / hits.size, high


def _crossing(
    share: float, low: Array, middle: Array, high: Array
) -> tuple[float, ...]:
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


def _untouched(
    queries: npt.ArrayLike, hits: npt.ArrayLike, tried: npt.ArrayLike
) -> Array:
    k, n = map(np.atleast_1d, _counts(hits, tried))
    t = floats(expect.integer(0, queries=queries))
    expect.that(t <= n.min(axis=-1), "at most tried", queries=t)
    return _without(t[..., None], k, n)


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
        ends = _band(at, of, tail[place])
        out[(slice(None), *place)] = _crossing(float(q[place]), *ends)
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
    value = _least(lambda t: _without(t, k, n) <= level, n)
    lower = np.minimum(plain_queries(q, high[..., None])[()], value)
    return lower, value[()], np.maximum(plain_queries(q, low[..., None])[()], value)
