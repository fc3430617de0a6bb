"""Searches that keep an incumbent: draw candidates, ask, accept what looks better.

The search knows noisy answers alone. Each is a mean of repeats; candidates are drawn
from a sample of true changes, another one at each stage of the way.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import listed, mean
from querytax.montecarlo._philox import normal_pair, philox, uniform_pair
from querytax.montecarlo.runs import Experiment

__all__ = ["averaged_progress", "queries", "requeried_progress", "stale_progress"]

_MODES = {"stale": 0, "requery": 1, "mean": 2}


@kernel
def _turn(  # type: ignore[no-untyped-def]
    believed, answers, changes, sigma, repeats, mode, sample, turn, k0, k1
):
    """One candidate: its true change if it wins, else 0, and what is then believed.

    Beliefs are errors: answers about the incumbent less its true loss.
    """
    w0, w1, w2, w3 = philox(sample, turn, 0, k0, k1)
    change = changes[np.int64(uniform_pair(w0, w1, w2, w3)[0] * changes.size)]
    own = fresh = 0.0
    for r in range(repeats):
        w0, w1, w2, w3 = philox(sample, turn, 1 + r, k0, k1)
        a, b = normal_pair(w0, w1, w2, w3)
        own += sigma * a / repeats
        fresh += sigma * b / repeats
    if mode == 1:
        believed = fresh
    elif mode == 2:
        believed = (believed * answers + fresh) / (answers + 1.0)
        answers += 1.0
    if change + own < believed:
        return change, own, 1.0
    return 0.0, believed, answers


@kernel
def _begin(sigma, repeats, sample, k0, k1):  # type: ignore[no-untyped-def]
    """Error of the first answer."""
    first = 0.0
    for r in range(repeats):
        w0, w1, w2, w3 = philox(sample, 0xFFFFFFFF, r, k0, k1)
        first += sigma * normal_pair(w0, w1, w2, w3)[0] / repeats
    return first


@kernel
def _queries(  # type: ignore[no-untyped-def]
    out, first, gap, deltas, ends, sigma, repeats, mode, limit, k0, k1
):
    cost = repeats * (1 if mode == 0 else 2)
    for i in range(out.size):
        sample = first + np.uint64(i)
        believed, answers = _begin(sigma, repeats, sample, k0, k1), 1.0
        loss, asked, turn = 0.0, 0, 0
        while loss > -gap and asked < limit:
            stage = 0
            while stage < ends.size - 1 and -loss >= ends[stage] * gap:
                stage += 1
            change, believed, answers = _turn(
                believed,
                answers,
                deltas[stage],
                sigma,
                repeats,
                mode,
                sample,
                turn,
                k0,
                k1,
            )
            loss += change
            asked += cost
            turn += 1
        out[i] = min(asked, limit)


@kernel
def _progress(  # type: ignore[no-untyped-def]
    out, first, changes, sigma, repeats, mode, before, counted, k0, k1
):
    cost = repeats * (1 if mode == 0 else 2)
    for i in range(out.size):
        sample = first + np.uint64(i)
        believed, answers = _begin(sigma, repeats, sample, k0, k1), 1.0
        fallen = 0.0
        for turn in range(before + counted):
            change, believed, answers = _turn(
                believed, answers, changes, sigma, repeats, mode, sample, turn, k0, k1
            )
            fallen -= change if turn >= before else 0.0
        out[i] = fallen / (counted * cost)


def _search(
    name: str,
    mode: str,
    deltas: npt.ArrayLike,
    sigma: float,
    repeats: int,
    before: int,
    counted: int,
) -> Experiment:
    changes = np.array(expect.finite(deltas=deltas), dtype=float, ndmin=1)
    if changes.ndim > 1 or not changes.size:
        raise expect.DomainError(
            f"expected deltas of one sample, got shape {changes.shape}"
        )
    m = int(expect.integer(repeats=repeats))
    turns = int(expect.integer(0, before=before)), int(expect.integer(counted=counted))
    return mean(
        f"search.{name}",
        {
            "deltas": listed(changes),
            "sigma": float(expect.nonnegative(sigma=sigma)),
            "repeats": m,
            "before": turns[0],
            "counted": turns[1],
        },
        _progress,
        changes,
        float(sigma),
        m,
        _MODES[mode],
        *turns,
        cost=(0.5 + m) * sum(turns),
    )


def requeried_progress(
    deltas: npt.ArrayLike, sigma: float, repeats: int = 1
) -> Experiment:
    """Fall of the true loss by one candidate, per query, incumbent asked again.

    Parameters
    ----------
    deltas : array_like, shape (candidates,)
        Sampled true changes of the loss, better if negative.
    sigma : float
        Standard deviation of one answer's noise, in [0, inf).
    repeats : int
        Repeats of every query, averaged.
    """
    return _search("requeried_progress", "requery", deltas, sigma, repeats, 0, 1)


def stale_progress(
    deltas: npt.ArrayLike,
    sigma: float,
    repeats: int = 1,
    before: int = 200,
    counted: int = 50,
) -> Experiment:
    """The same, per query of a late stretch, incumbent never asked again.

    Parameters
    ----------
    deltas : array_like, shape (candidates,)
        Sampled true changes of the loss, better if negative.
    sigma : float
        Standard deviation of one answer's noise, in [0, inf).
    repeats : int
        Repeats of every query, averaged.
    before, counted : int
        Candidates that the search meets before the stretch, and on it.
    """
    return _search("stale_progress", "stale", deltas, sigma, repeats, before, counted)


def averaged_progress(
    deltas: npt.ArrayLike,
    sigma: float,
    repeats: int = 1,
    before: int = 200,
    counted: int = 50,
) -> Experiment:
    """The same, all answers about the incumbent averaged, one more a candidate.

    Parameters
    ----------
    deltas : array_like, shape (candidates,)
        Sampled true changes of the loss, better if negative.
    sigma : float
        Standard deviation of one answer's noise, in [0, inf).
    repeats : int
        Repeats of every query, averaged.
    before, counted : int
        Candidates that the search meets before the stretch, and on it.
    """
    return _search("averaged_progress", "mean", deltas, sigma, repeats, before, counted)


def queries(
    gap: float,
    deltas: npt.ArrayLike,
    weights: npt.ArrayLike,
    sigma: float,
    mode: str = "stale",
    repeats: int = 1,
    limit: int = 10**6,
) -> Experiment:
    """Queries until the true loss has fallen by the gap.

    Parameters
    ----------
    gap : float
        Fall of the true loss that is wanted, in [0, inf).
    deltas : array_like, shape (stages, candidates)
        Sampled true changes of the loss at each stage, better if negative.
    weights : array_like, shape (stages,)
        Share of the gap that each stage covers, sum 1.
    sigma : float
        Standard deviation of one answer's noise, in [0, inf).
    mode : {"stale", "requery", "mean"}
        Whether the incumbent's one answer stands, is asked for again with each
        candidate, or is averaged with one more each time.
    repeats : int
        Repeats of every query, averaged.
    limit : int
        Queries after which a search counts as ended.
    """
    expect.one_of(_MODES, mode=mode)
    changes = np.array(expect.finite(deltas=deltas), dtype=float, ndmin=2)
    shares = np.array(expect.unit(weights=weights), dtype=float, ndmin=1)
    if changes.ndim > 2 or not changes.size or shares.shape != changes.shape[:1]:
        raise expect.DomainError(
            "expected weights of as many stages as deltas, got shapes "
            f"{shares.shape} and {changes.shape}"
        )
    expect.that(math.isclose(shares.sum(), 1.0), "with sum 1", weights=weights)
    m = int(expect.integer(repeats=repeats))
    most = int(expect.integer(limit=limit))
    return mean(
        "search.queries",
        {
            "gap": float(expect.nonnegative(gap=gap)),
            "deltas": listed(changes.ravel()),
            "weights": listed(shares),
            "sigma": float(expect.nonnegative(sigma=sigma)),
            "mode": mode,
            "repeats": m,
            "limit": most,
        },
        _queries,
        float(gap),
        changes,
        np.cumsum(shares),
        float(sigma),
        m,
        _MODES[mode],
        most,
        low=0.0,
        cost=100.0 * (0.5 + m),
    )
