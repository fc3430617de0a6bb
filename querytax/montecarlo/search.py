"""Searches that keep an incumbent: draw candidates, ask, accept what looks better.

The search knows noisy answers alone. Each is a mean of repeats; candidates are drawn
from a sample of true changes, another one at each stage of the way.
"""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean
from querytax.montecarlo._philox import normal_pair, philox, uniform_pair
from querytax.montecarlo.declared import Table, settled, simulation
from querytax.montecarlo.runs import Experiment

_INCUMBENTS = {"stale": 0, "requery": 1, "mean": 2}


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


_KEY = "deltas sigma=loss_sigma repeats before counted"


def _stretch(
    incumbent: str,
    deltas: Table,
    loss_sigma: float,
    repeats: int,
    before: int,
    counted: int,
) -> Experiment:
    return mean(
        _progress,
        deltas,
        loss_sigma,
        repeats,
        _INCUMBENTS[incumbent],
        before,
        counted,
        cost=(0.5 + repeats) * (before + counted),
    )


@simulation(keyed=_KEY)
def requeried_progress(
    deltas: Table, loss_sigma: float, repeats: int = 1
) -> Experiment:
    """Fall of the true loss by one candidate, per query, incumbent asked again."""
    drawn = _stretch("requery", deltas, loss_sigma, repeats, 0, 1)
    return settled(drawn, before=0, counted=1)


@simulation(keyed=_KEY)
def stale_progress(
    deltas: Table,
    loss_sigma: float,
    repeats: int = 1,
    before: int = 200,
    counted: int = 50,
) -> Experiment:
    """The same, per query of a late stretch, incumbent never asked again."""
    return _stretch("stale", deltas, loss_sigma, repeats, before, counted)


@simulation(keyed=_KEY)
def averaged_progress(
    deltas: Table,
    loss_sigma: float,
    repeats: int = 1,
    before: int = 200,
    counted: int = 50,
) -> Experiment:
    """The same, all answers about the incumbent averaged, one more a candidate."""
    return _stretch("mean", deltas, loss_sigma, repeats, before, counted)


@simulation(
    domain={"fall": "[0, inf)"},
    tables={"deltas": 2},
    keyed="gap=fall deltas weights=stage_shares sigma=loss_sigma mode=incumbent "
    "repeats limit",
)
def queries(
    fall: float,
    deltas: Table,
    stage_shares: Table,
    loss_sigma: float,
    repeats: int = 1,
    limit: int = 10**6,
    incumbent: str = "stale",
) -> Experiment:
    """Queries until the true loss has fallen so far; ``limit`` where it has not.

    Each stage of the way has a sample of its own: a row of the deltas.
    """
    stages, shares = len(deltas), stage_shares.size
    expect.that(shares == stages, f"as many as stages, {stages}", stage_shares=shares)
    total = float(stage_shares.sum())
    expect.that(math.isclose(total, 1.0), "with sum 1", stage_shares=total)
    return mean(
        _queries,
        fall,
        deltas,
        np.cumsum(stage_shares),
        loss_sigma,
        repeats,
        _INCUMBENTS[incumbent],
        limit,
        low=0.0,
        cost=100.0 * (0.5 + repeats),
    )
