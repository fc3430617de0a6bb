"""Blind guesses: patterns drawn until one is adversarial, whatever the noise.

No attacker needs more queries than one who reads no answer but success; a target above
these counts cannot be met by noise. Images stand on the last axis and are averaged
over; each function raises ``DomainError``, naming the parameter, for an argument
outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory import _blind
from querytax.theory._floats import Array, Floats, floats, ratio
from querytax.theory.bisection import majority
from querytax.theory.blind_counts import interval, scheduled_interval
from querytax.theory.law import law

__all__ = [
    "confirmed_mean",
    "confirmed_queries",
    "confirmed_survival",
    "false_alarm",
    "interval",
    "majority",
    "queries",
    "scheduled_interval",
    "success",
    "survival",
]

_QUERIES = "t, queries asked, those of votes included, count, [0, 2^53]"
_GUESS = "p, chance that a guess is adversarial, images on the last axis, [0, 1]"
_SUCCESS = "s, chance that a guess is adversarial and confirmed, probability, [0, 1]"
_ALARM = "f, chance that a guess is called adversarial and refuted, [0, 1 - s]"
_VOTES = "V, fresh labels that must confirm a guess, odd count, [1, 999]"
_SHARE = "q, share of the images to be broken, probability, (0, 1)"
_RATE = "q, chance of an adversarial label for each pattern, on the last axis, [0, 1]"
_FRESH = "exact: patterns and labels drawn afresh at every guess"
_VOTED = f"{_FRESH}; a guess is taken once most of its V votes confirm its first label"


def _votes(votes: npt.ArrayLike) -> Array:
    count = floats(expect.integer(votes=votes))
    expect.that(count <= 999, "a whole number <= 999", votes=count)
    return floats(expect.that(count % 2 == 1, "odd", votes=count))


def _queries(queries: npt.ArrayLike) -> Array:
    t = floats(expect.integer(0, queries=queries))
    return floats(expect.that(t <= _blind.MOST, "at most 2^53", queries=t))


def _chances(success: npt.ArrayLike, false_alarm: npt.ArrayLike) -> tuple[Array, Array]:
    s = floats(expect.unit(success=success))
    f = floats(expect.unit(false_alarm=false_alarm))
    # Means of probabilities may pass 1 by a rounding.
    expect.that(s + f <= 1.0 + 1e-12, "at most 1 - success", false_alarm=f)
    return s, f


@law(
    formula="P(T > t) = mean of (1 - p)^t over the images",
    latex=r"P(T > t) = \frac{1}{N}\sum_i (1 - p_i)^t",
    symbols={"queries": _QUERIES, "success": _GUESS},
    regime=_FRESH,
    source="derived here",
    tables={"success": 1},
)
def survival(queries: npt.ArrayLike, success: npt.ArrayLike) -> Floats:
    """Share of images that blind guesses have not broken.

    Parameters
    ----------
    queries : array_like of int
        Guesses t; their shape is that of the answer.
    success : array_like, shape (..., images)
        Chance p of one guess on each image, in [0, 1].

    Examples
    --------
    >>> survival([0, 1, 10], [0.5, 0.1, 0.0]).round(4).tolist()
    [1.0, 0.8, 0.4499]
    """
    p = np.atleast_1d(floats(expect.unit(success=success)))
    return np.exp(special.xlog1py(_queries(queries)[..., None], -p)).mean(axis=-1)


@law(
    formula="least t with mean (1 - p)^t <= 1 - q",
    latex=r"\min\left\{t: \frac{1}{N}\sum_i (1 - p_i)^t \le 1 - q\right\}",
    symbols={"success": _GUESS, "share": _SHARE},
    regime=f"{_FRESH}; inf beyond 2^53",
    source="derived here",
    tables={"success": 1},
)
def queries(success: npt.ArrayLike, share: npt.ArrayLike) -> Floats:
    """Blind guesses that break a share of the images.

    Infinite where too few images can be broken at all. The count is that of the
    whole population: the median of p alone does not tell it.

    Parameters
    ----------
    success
        As in :func:`survival`.
    share : array_like
        Share q of the images to be broken, in (0, 1).

    Examples
    --------
    >>> queries([0.5, 0.1, 0.0], [0.1, 0.5, 0.7]).tolist()
    [1.0, 7.0, inf]
    """
    p = np.atleast_1d(floats(expect.unit(success=success)))
    q = floats(expect.probability(share=share))
    shape = np.broadcast_shapes(p.shape[:-1], q.shape)
    p, q = np.broadcast_to(p, (*shape, p.shape[-1])), np.broadcast_to(q, shape)
    return _blind.plain_queries(q, p)[()]


@law(
    formula="s = mean of q M(q), M(q) = P(Bin(V, q) > V/2)",
    latex=r"s = \mathbb{E}\,q\,M(q),\quad M(q) = \sum_{i > V/2} \binom{V}{i} q^i "
    r"(1 - q)^{V - i}",
    symbols={"rate": _RATE, "votes": _VOTES},
    regime=_VOTED,
    source="derived here",
    tables={"rate": 1},
)
def success(rate: npt.ArrayLike, votes: npt.ArrayLike) -> Floats:
    """Chance that a guess is called adversarial and its votes confirm it.

    Parameters
    ----------
    rate : array_like, shape (..., patterns)
        Chance q of an adversarial label for each pattern of one image, in [0, 1].
    votes : array_like of int
        Fresh labels V asked for again, odd.

    Examples
    --------
    >>> round(float(success([0.9, 0.2, 0.0], 9)), 6)
    0.301038
    """
    q = np.atleast_1d(floats(expect.unit(rate=rate)))
    return (q * majority(q, _votes(votes)[..., None])).mean(axis=-1)


@law(
    formula="f = mean of q M(1 - q), M(q) = P(Bin(V, q) > V/2)",
    latex=r"f = \mathbb{E}\,q\,M(1 - q),\quad M(q) = \sum_{i > V/2} \binom{V}{i} q^i "
    r"(1 - q)^{V - i}",
    symbols={"rate": _RATE, "votes": _VOTES},
    regime=_VOTED,
    source="derived here",
    tables={"rate": 1},
)
def false_alarm(rate: npt.ArrayLike, votes: npt.ArrayLike) -> Floats:
    """Chance that a guess is called adversarial and its votes refute it.

    Parameters
    ----------
    rate, votes
        As in :func:`success`.

    Examples
    --------
    >>> round(float(false_alarm([0.9, 0.2, 0.0], 9)), 6)
    0.065629
    """
    q = np.atleast_1d(floats(expect.unit(rate=rate)))
    return (q * majority(1.0 - q, _votes(votes)[..., None])).mean(axis=-1)


@law(
    formula="w(t) = (1 - s - f) w(t-1) + f w(t-1-V), w = 1 up to V; mean over images",
    latex=r"w(t) = (1 - s - f)\,w(t - 1) + f\,w(t - 1 - V),\quad w(0) = \dots = w(V) "
    r"= 1;\quad P(T > t) = \frac{1}{N}\sum_i w_i(t)",
    symbols={
        "queries": _QUERIES,
        "success": _SUCCESS + ", images on the last axis",
        "false_alarm": _ALARM + ", images on the last axis",
        "votes": _VOTES,
    },
    regime=_VOTED,
    source="derived here",
    tables={"success": 1, "false_alarm": 1},
)
def confirmed_survival(
    queries: npt.ArrayLike,
    success: npt.ArrayLike,
    false_alarm: npt.ArrayLike,
    votes: npt.ArrayLike,
) -> Floats:
    """Share of images on which no guess has been confirmed; each vote is a query.

    Parameters
    ----------
    queries : array_like of int
        Queries t, those of the votes included.
    success, false_alarm : array_like, shape (..., images)
        Chances s and f that a guess is confirmed, or called adversarial and refuted;
        at most 1 together.
    votes : array_like of int
        Fresh labels V asked after each guess that is called adversarial, odd.

    Examples
    --------
    >>> confirmed_survival([9, 10, 100], [0.3, 0.01], 0.05, 9).round(4).tolist()
    [1.0, 0.845, 0.2653]
    """
    s, f = map(np.atleast_1d, _chances(success, false_alarm))
    t, v = _queries(queries), _votes(votes)
    shape = np.broadcast_shapes(s.shape[:-1], f.shape[:-1], t.shape, v.shape)
    out = np.empty(shape)
    for here, at, count, rows in _blind.populations(np.broadcast_to(t, shape), v, s, f):
        out[here] = _blind.survival(at, rows[0], rows[1], count)
    return out[()]


@law(
    formula="least t with mean w(t) <= 1 - q, w as in confirmed_survival",
    latex=r"\min\left\{t: \frac{1}{N}\sum_i w_i(t) \le 1 - q\right\}",
    symbols={
        "success": _SUCCESS + ", images on the last axis",
        "false_alarm": _ALARM + ", images on the last axis",
        "votes": _VOTES,
        "share": _SHARE,
    },
    regime=f"{_VOTED}; inf beyond 2^53",
    source="derived here",
    tables={"success": 1, "false_alarm": 1},
)
def confirmed_queries(
    success: npt.ArrayLike,
    false_alarm: npt.ArrayLike,
    votes: npt.ArrayLike,
    share: npt.ArrayLike,
) -> Floats:
    """Queries until guesses have been confirmed on a share of the images.

    Infinite where on too few images any guess is ever confirmed.

    Parameters
    ----------
    success, false_alarm, votes
        As in :func:`confirmed_survival`.
    share : array_like
        Share q of the images, in (0, 1).

    Examples
    --------
    >>> confirmed_queries([0.3, 0.01], 0.05, 9, [0.1, 0.5, 0.9]).tolist()
    [10.0, 22.0, 243.0]
    """
    s, f = map(np.atleast_1d, _chances(success, false_alarm))
    v, q = _votes(votes), floats(expect.probability(share=share))
    shape = np.broadcast_shapes(s.shape[:-1], f.shape[:-1], q.shape, v.shape)
    out = np.empty(shape)
    for here, at, count, rows in _blind.populations(np.broadcast_to(q, shape), v, s, f):
        out[here] = _blind.queries(at, rows[0], rows[1], count)
    return out[()]


@law(
    formula="E T = (1 + V (s + f))/s",
    latex=r"\mathbb{E}T = \frac{1 + V (s + f)}{s}",
    symbols={"success": _SUCCESS, "false_alarm": _ALARM, "votes": _VOTES},
    regime=_VOTED,
    source="derived here",
)
def confirmed_mean(
    success: npt.ArrayLike, false_alarm: npt.ArrayLike, votes: npt.ArrayLike
) -> Floats:
    """Mean number of queries until a guess is confirmed, on one image.

    Parameters
    ----------
    success, false_alarm, votes
        As in :func:`confirmed_survival`, of one image.

    Examples
    --------
    >>> round(float(confirmed_mean(0.01, 0.05, 9)), 1)
    154.0
    """
    s, f = _chances(success, false_alarm)
    return ratio(1.0 + _votes(votes) * (s + f), s)
