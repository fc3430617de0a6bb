"""Repeated pairs: draw them until their number is reached or the test is sure."""

from __future__ import annotations

import math

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals, walk
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _fixed(  # type: ignore[no-untyped-def]
    out, first, noise, pairs, shared, own, kept, fresh, k0, k1
):
    a, b = np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 1, k0, k1)
    here, there = pairs * kept * a, pairs * kept * b
    for k in range(pairs):
        normals(a, b, first, k, 0, k0, k1)
        for i in range(out.size):
            here[i] += fresh * a[i]
            there[i] += fresh * (shared * a[i] + own * b[i])
    for i in range(out.size):
        out[i] = pairs + noise * here[i] <= noise * there[i]


@simulation(domain={"snr": "(0, inf)"}, keyed="snr pairs correlation alignment")
def fixed(
    snr: float, pairs: int, alignment: float = 0.0, correlation: float = 0.0
) -> Experiment:
    """Share of wrong signs after so many pairs, fixed in advance and averaged."""
    return event(
        _fixed,
        math.sqrt(0.5 / snr),
        pairs,
        correlation,
        math.sqrt((1.0 - correlation) * (1.0 + correlation)),
        math.sqrt(alignment),
        math.sqrt(1.0 - alignment),
        cost=pairs + 1.0,
    )


@kernel
def _wald(out, first, edge, root, wrong, k0, k1):  # type: ignore[no-untyped-def]
    ends = np.empty(out.size)
    # A pair that reads D of variance v adds 2 D E|D|/v to the log odds.
    walk(out, ends, first, -edge, edge, 2.0 * root * root, 2.0 * root, np.inf, k0, k1)
    if wrong:
        for i in range(out.size):
            out[i] = ends[i] < 0.0


def _parts(snr: float, error: float) -> tuple[float, float, float]:
    edge = math.log1p(-error) - math.log(error)
    # No test takes more pairs than one that leaves at the edge by drift or by noise.
    pairs = 1.0 + min(edge, edge * edge) / (2.0 * snr)
    return edge, math.sqrt(snr), pairs / 2.0


@simulation(domain={"snr": "(0, inf)"})
def walds_error(snr: float, error: float) -> Experiment:
    """Share of wrong signs of Wald's test, asked once a pair; it knows the SNR.

    Every pair's difference is drawn and its evidence added, until the odds of a sign
    reach ``(1 - error)/error``.
    """
    edge, root, cost = _parts(snr, error)
    return event(_wald, edge, root, True, cost=cost)


@simulation(domain={"snr": "(0, inf)"})
def walds_pairs(snr: float, error: float) -> Experiment:
    """Mean number of pairs of Wald's test."""
    edge, root, cost = _parts(snr, error)
    return mean(_wald, edge, root, False, low=1.0, cost=cost)
