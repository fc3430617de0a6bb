"""Blind guesses, query by query: patterns, their labels and their votes.

An attack draws one of the images; a guess is called adversarial or not, and what is
called so is asked again as often as there are votes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, listed, mean
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo.runs import Experiment

__all__ = [
    "confirmed_mean",
    "confirmed_survival",
    "false_alarm",
    "success",
    "survival",
]


@kernel
def _open(out, first, chances, alarms, votes, limit, k0, k1):  # type: ignore[no-untyped-def]
    """Queries until a guess is confirmed; ``limit + 1`` where that is too late."""
    for i in range(out.size):
        sample = first + np.uint64(i)
        w0, w1, w2, w3 = philox(sample, 0, 1, k0, k1)
        row = np.int64(uniform_pair(w0, w1, w2, w3)[0] * chances.size)
        asked, turn, done = 0.0, 0, False
        while not done and asked < limit:
            w0, w1, w2, w3 = philox(sample, turn, 0, k0, k1)
            u = uniform_pair(w0, w1, w2, w3)[0]
            asked += 1.0
            turn += 1
            confirmed = u < chances[row]
            if confirmed or u < chances[row] + alarms[row]:
                asked += votes
            done = confirmed and asked <= limit
        out[i] = asked if done else limit + 1.0


@kernel
def _left(out, first, chances, alarms, votes, limit, k0, k1):  # type: ignore[no-untyped-def]
    _open(out, first, chances, alarms, votes, limit, k0, k1)
    for i in range(out.size):
        out[i] = out[i] > limit


@kernel
def _verdict(out, first, rates, votes, confirmed, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        sample = first + np.uint64(i)
        w0, w1, w2, w3 = philox(sample, 0, 1, k0, k1)
        u, v = uniform_pair(w0, w1, w2, w3)
        rate = rates[np.int64(u * rates.size)]
        count = 0
        for j in range(votes):
            w0, w1, w2, w3 = philox(sample, j, 0, k0, k1)
            count += uniform_pair(w0, w1, w2, w3)[0] < rate
        out[i] = (v < rate) and ((2 * count > votes) == confirmed)


def _odd(votes: int) -> int:
    count = int(expect.integer(votes=votes))
    return expect.that(count % 2 == 1, "odd", votes=count)


def _chances(
    success: npt.ArrayLike, false_alarm: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    s, f = np.broadcast_arrays(
        np.atleast_1d(np.asarray(expect.unit(success=success), dtype=float)),
        np.asarray(expect.unit(false_alarm=false_alarm), dtype=float),
    )
    expect.that(s + f <= 1.0, "at most 1 - success", false_alarm=f)
    return np.array(s), np.array(f)


def survival(queries: int, success: npt.ArrayLike) -> Experiment:
    """Whether none of so many guesses is adversarial.

    Parameters
    ----------
    queries : int
        Guesses.
    success : array_like
        Chance of one guess on each image, one of which is drawn, in [0, 1].
    """
    count = int(expect.integer(0, queries=queries))
    s, f = _chances(success, 0.0)
    return event(
        "blind.survival",
        {"queries": count, "success": listed(s)},
        _left,
        s,
        f,
        0.0,
        float(count),
        cost=1.0 + min(count, 1.0 / max(float(s.mean()), 1e-9)),
    )


def confirmed_survival(
    queries: int, success: npt.ArrayLike, false_alarm: npt.ArrayLike, votes: int
) -> Experiment:
    """Whether no guess is confirmed within so many queries.

    Parameters
    ----------
    queries : int
        Queries, those of the votes included.
    success, false_alarm : array_like
        Chances that a guess is confirmed, or called adversarial and refuted, on each
        image, one of which is drawn.
    votes : int
        Labels asked after each guess that is called adversarial, odd.
    """
    count, v = int(expect.integer(0, queries=queries)), _odd(votes)
    s, f = _chances(success, false_alarm)
    return event(
        "blind.confirmed_survival",
        {
            "queries": count,
            "success": listed(s),
            "false_alarm": listed(f),
            "votes": v,
        },
        _left,
        s,
        f,
        float(v),
        float(count),
        cost=1.0 + min(count, 1.0 / max(float(s.mean()), 1e-9)),
    )


def confirmed_mean(success: float, false_alarm: float, votes: int) -> Experiment:
    """Queries until a guess is confirmed.

    Parameters
    ----------
    success : float
        Chance that a guess is confirmed, in (0, 1].
    false_alarm : float
        Chance that it is called adversarial and refuted, in [0, 1 - success].
    votes : int
        Labels asked after each guess that is called adversarial, odd.
    """
    v = _odd(votes)
    expect.that(success > 0, "> 0", success=success)
    s, f = _chances(success, false_alarm)
    return mean(
        "blind.confirmed_mean",
        {"success": float(s[0]), "false_alarm": float(f[0]), "votes": v},
        _open,
        s,
        f,
        float(v),
        math.inf,
        low=1.0 + v,
        cost=1.0 + 1.0 / float(s[0]),
    )


def _votes(name: str, rate: npt.ArrayLike, votes: int, confirmed: bool) -> Experiment:
    q = np.atleast_1d(np.asarray(expect.unit(rate=rate), dtype=float))
    v = _odd(votes)
    return event(
        name,
        {"rate": listed(q), "votes": v},
        _verdict,
        q,
        v,
        confirmed,
        cost=1.0 + v / 2.0,
    )


def success(rate: npt.ArrayLike, votes: int) -> Experiment:
    """Whether a guess is called adversarial and most of its votes agree.

    Parameters
    ----------
    rate : array_like
        Chance of an adversarial label of each pattern, one of which is drawn.
    votes : int
        Labels asked again, odd.
    """
    return _votes("blind.success", rate, votes, True)


def false_alarm(rate: npt.ArrayLike, votes: int) -> Experiment:
    """Whether a guess is called adversarial and most of its votes do not agree.

    Parameters
    ----------
    rate : array_like
        Chance of an adversarial label of each pattern, one of which is drawn.
    votes : int
        Labels asked again, odd.
    """
    return _votes("blind.false_alarm", rate, votes, False)
