"""Blind guesses, query by query: patterns, their labels and their votes.

An attack draws one of the images; a guess is called adversarial or not, and what is
called so is asked again as often as there are votes.
"""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo.declared import Table, settled, simulation
from querytax.montecarlo.runs import Experiment


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


def _odd(votes: int) -> None:
    expect.that(votes % 2 == 1, "odd", votes=votes)


def _chances(success: Table, false_alarm: Table) -> tuple[Table, Table]:
    s, f = np.broadcast_arrays(success, false_alarm)
    expect.that(s + f <= 1.0, "at most 1 - success", false_alarm=f)
    return np.array(s), np.array(f)


def _searched(s: Table, f: Table, votes: float, queries: int) -> Experiment:
    cost = 1.0 + min(queries, 1.0 / max(float(s.mean()), 1e-9))
    return event(_left, s, f, votes, float(queries), cost=cost)


@simulation(
    domain={"queries": "{0, 1, ...}"}, tables={"success": 1}, keyed="queries success"
)
def survival(success: Table, queries: int) -> Experiment:
    """Whether none of so many guesses is adversarial, on an image that is drawn."""
    return _searched(success, np.zeros(success.size), 0.0, queries)


@simulation(
    domain={"queries": "{0, 1, ...}"},
    tables={"success": 1, "false_alarm": 1},
    keyed="queries success false_alarm votes",
)
def confirmed_survival(
    success: Table, false_alarm: Table, votes: int, queries: int
) -> Experiment:
    """Whether no guess is confirmed within so many queries, those of votes included.

    One of the images is drawn, each with chances of its own.
    """
    _odd(votes)
    s, f = _chances(success, false_alarm)
    drawn = _searched(s, f, float(votes), queries)
    return settled(drawn, success=s, false_alarm=f)


@simulation(domain={"success": "(0, 1]"})
def confirmed_mean(success: float, false_alarm: float, votes: int) -> Experiment:
    """Queries until a guess is confirmed."""
    _odd(votes)
    s, f = _chances(np.array([success]), np.array([false_alarm]))
    return mean(
        _open, s, f, float(votes), math.inf, low=1.0 + votes, cost=1.0 + 1.0 / success
    )


def _voted(label_shares: Table, votes: int, confirmed: bool) -> Experiment:
    _odd(votes)
    return event(_verdict, label_shares, votes, confirmed, cost=1.0 + votes / 2.0)


@simulation(keyed="rate=label_shares votes")
def success(label_shares: Table, votes: int) -> Experiment:
    """Whether a guess is called adversarial and most of its votes agree.

    One of the patterns is drawn.
    """
    return _voted(label_shares, votes, True)


@simulation(keyed="rate=label_shares votes")
def false_alarm(label_shares: Table, votes: int) -> Experiment:
    """Whether a guess is called adversarial and most of its votes do not agree.

    One of the patterns is drawn.
    """
    return _voted(label_shares, votes, False)
