"""A search that keeps its best answer, where all answers differ by noise alone."""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean, normals
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo.declared import Table, simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _best(out, first, queries, k0, k1):  # type: ignore[no-untyped-def]
    """The greatest answer into ``out``; returns how often it was replaced."""
    size = out.size
    a, b = np.empty(size), np.empty(size)
    accepted = np.full(size, -1.0)
    out[:] = -math.inf
    for j in range((queries + 1) // 2):
        normals(a, b, first, j, 0, k0, k1)
        if 2 * j + 1 == queries:
            b[:] = -math.inf
        for i in range(size):
            best = max(out[i], a[i])
            accepted[i] += np.float64(a[i] > out[i]) + np.float64(b[i] > best)
            out[i] = max(best, b[i])
    return accepted


@kernel
def _accepted(out, first, queries, k0, k1):  # type: ignore[no-untyped-def]
    out[:] = _best(out, first, queries, k0, k1)


@kernel
def _root(out, first, queries, k0, k1):  # type: ignore[no-untyped-def]
    accepted = _best(out, first, queries, k0, k1)
    for i in range(out.size):
        out[i] = math.sqrt(accepted[i])


@simulation(domain={"queries": "{1, 2, ...}"})
def accepted_mean(queries: int) -> Experiment:
    """Steps accepted: answers after the first that beat all before them."""
    return mean(
        _accepted, queries, low=0.0, high=max(queries - 1.0, 1.0), cost=queries / 2.0
    )


@kernel
def _tied(out, first, edges, queries, k0, k1):  # type: ignore[no-untyped-def]
    size = out.size
    best = np.full(size, -1, dtype=np.int64)
    out[:] = -1.0
    for j in range((queries + 1) // 2):
        for i in range(size):
            w0, w1, w2, w3 = philox(first + np.uint64(i), j, 0, k0, k1)
            x, y = uniform_pair(w0, w1, w2, w3)
            one, two = np.searchsorted(edges, x), np.searchsorted(edges, y)
            if one > best[i]:
                best[i] = one
                out[i] += 1.0
            if two > best[i] and 2 * j + 1 < queries:
                best[i] = two
                out[i] += 1.0


@simulation(domain={"queries": "{1, 2, ...}"})
def accepted_mean_tied(chances: Table, queries: int) -> Experiment:
    """Steps accepted where answers take a few values: those above all before them."""
    total = float(chances.sum())
    expect.that(abs(total - 1.0) <= 1e-9, "to add up to 1", chances=total)
    return mean(
        _tied,
        np.cumsum(chances)[:-1],
        queries,
        low=0.0,
        high=max(queries - 1.0, 1.0),
        cost=queries / 2.0,
    )


@simulation(domain={"queries": "{1, 2, ...}"})
def accepted_root(queries: int) -> Experiment:
    """Root of the accepted steps: the length of so many at right angles."""
    return mean(
        _root,
        queries,
        low=0.0,
        high=math.sqrt(max(queries - 1.0, 1.0)),
        cost=queries / 2.0,
    )


@simulation(domain={"queries": "{1, 2, ...}"})
def best_of(queries: int) -> Experiment:
    """How far the best of noisy answers flatters, in standard deviations of one."""
    return mean(_best, queries, cost=queries / 2.0)
