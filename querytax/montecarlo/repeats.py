"""Repeated pairs: draw them until their number is reached or the test is sure."""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals, walk
from querytax.montecarlo.runs import Experiment

__all__ = ["fixed", "walds_error", "walds_pairs"]


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


def fixed(
    snr: float, pairs: int, correlation: float = 0.0, alignment: float = 0.0
) -> Experiment:
    """Share of wrong signs after so many pairs, fixed in advance and averaged.

    Parameters
    ----------
    snr : float
        Decision SNR of one pair with independent noises, in (0, inf).
    pairs : int
        Pairs N, at least 1.
    correlation : float
        Correlation ρ of the two fresh noises of a pair, in (-1, 1).
    alignment : float
        Correlation c of the noises of two repeats of one query, in [0, 1].
    """
    rho = float(expect.finite(correlation=correlation))
    expect.that(abs(rho) < 1.0, "in (-1, 1)", correlation=correlation)
    c = float(expect.unit(alignment=alignment))
    count = int(expect.integer(pairs=pairs))
    return event(
        "repeats.fixed",
        {"snr": snr, "pairs": count, "correlation": rho, "alignment": c},
        _fixed,
        math.sqrt(0.5 / expect.positive(snr=snr)),
        count,
        rho,
        math.sqrt((1.0 - rho) * (1.0 + rho)),
        math.sqrt(c),
        math.sqrt(1.0 - c),
        cost=count + 1.0,
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
    edge = math.log1p(-expect.error_rate(error=error)) - math.log(error)
    # No test takes more pairs than one that leaves at the edge by drift or by noise.
    pairs = 1.0 + min(edge, edge * edge) / (2.0 * expect.positive(snr=snr))
    return edge, math.sqrt(snr), pairs / 2.0


def walds_error(snr: float, error: float) -> Experiment:
    """Share of wrong signs of Wald's test, asked once a pair.

    Every pair's difference is drawn and its evidence added, until the odds of a sign
    reach ``(1 - error)/error``.

    Parameters
    ----------
    snr : float
        Decision SNR of one pair, in (0, inf); the test knows it.
    error : float
        Probability ε that the boundary is set for, in (0, 1/2).
    """
    edge, root, cost = _parts(snr, error)
    arguments = {"snr": snr, "error": error}
    return event("repeats.walds_error", arguments, _wald, edge, root, True, cost=cost)


def walds_pairs(snr: float, error: float) -> Experiment:
    """Mean number of pairs of Wald's test.

    Parameters
    ----------
    snr : float
        Decision SNR of one pair, in (0, inf); the test knows it.
    error : float
        Probability ε that the boundary is set for, in (0, 1/2).
    """
    edge, root, cost = _parts(snr, error)
    return mean(
        "repeats.walds_pairs",
        {"snr": snr, "error": error},
        _wald,
        edge,
        root,
        False,
        low=1.0,
        cost=cost,
    )
