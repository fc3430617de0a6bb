"""Ratios of two noisy outputs: draw both answers, and divide.

Outputs are raw: neither reflected nor clipped, and negative ones count as they are.
"""

from __future__ import annotations

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean
from querytax.montecarlo._philox import log, normal_pair, philox
from querytax.montecarlo.runs import Experiment
from querytax.montecarlo.tails import truncated

__all__ = [
    "distribution",
    "multiplier_distribution",
    "opposite_signs",
    "same_sign",
    "truncated_mean",
]


def _pair(output: float, other_output: float, sigma: float) -> dict[str, float | str]:
    return {
        "output": expect.nonnegative(output=output),
        "other_output": expect.nonnegative(other_output=other_output),
        "sigma": expect.positive(sigma=sigma),
    }


@kernel
def _distribution(  # type: ignore[no-untyped-def]
    out, first, quotient, below, one, two, sigma, k0, k1
):
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        a, b = normal_pair(w0, w1, w2, w3)
        out[i] = ((one + sigma * a) / (two + sigma * b) <= quotient) == below


def distribution(
    quotient: float,
    output: float,
    other_output: float,
    sigma: float,
    direction: str = "below",
) -> Experiment:
    """Share of ratios (F1+v1)/(F2+v2) below (above) a value.

    Parameters
    ----------
    quotient : float
        Value z of the ratio, any finite number.
    output, other_output : float
        Noiseless outputs F1 over F2, in [0, inf).
    sigma : float
        Standard deviation of the noise on each output, in (0, inf).
    direction : {"below", "above"}
    """
    pair = _pair(output, other_output, sigma)
    expect.finite(quotient=quotient)
    expect.one_of(("below", "above"), direction=direction)
    return event(
        "ratio.distribution",
        {"quotient": quotient, **pair, "direction": direction},
        _distribution,
        float(quotient),
        direction == "below",
        *map(float, pair.values()),
    )


@kernel
def _signs(out, first, alike, one, two, sigma, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        a, b = normal_pair(w0, w1, w2, w3)
        out[i] = ((one + sigma * a > 0.0) == (two + sigma * b > 0.0)) == alike


def same_sign(output: float, other_output: float, sigma: float) -> Experiment:
    """Share of pairs of noisy outputs that have one sign: the factor A is real.

    Parameters
    ----------
    output, other_output : float
        Noiseless outputs F1 and F2, in [0, inf).
    sigma : float
        Standard deviation of the noise on each output, in (0, inf).
    """
    pair = _pair(output, other_output, sigma)
    return event("ratio.same_sign", pair, _signs, True, *map(float, pair.values()))


def opposite_signs(output: float, other_output: float, sigma: float) -> Experiment:
    """Share of pairs of noisy outputs that differ in sign: no factor A.

    Parameters
    ----------
    output, other_output : float
        Noiseless outputs F1 and F2, in [0, inf).
    sigma : float
        Standard deviation of the noise on each output, in (0, inf).
    """
    pair = _pair(output, other_output, sigma)
    return event(
        "ratio.opposite_signs", pair, _signs, False, *map(float, pair.values())
    )


@kernel
def _multiplier(  # type: ignore[no-untyped-def]
    out, first, nats, below, one, two, sigma, k0, k1
):
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        a, b = normal_pair(w0, w1, w2, w3)
        quotient = (one + sigma * a) / (two + sigma * b)
        holds = 1.0 if (log(abs(quotient)) <= nats) == below else 0.0
        out[i] = holds if quotient > 0.0 else -1.0
    for i in range(out.size):
        step = 0
        while out[i] < 0.0:
            step += 1
            w0, w1, w2, w3 = philox(first + np.uint64(i), step, 0, k0, k1)
            a, b = normal_pair(w0, w1, w2, w3)
            quotient = (one + sigma * a) / (two + sigma * b)
            if quotient > 0.0:
                out[i] = (log(quotient) <= nats) == below


def multiplier_distribution(
    multiplier: float,
    output: float,
    other_output: float,
    sigma: float,
    probe: float,
    direction: str = "below",
) -> Experiment:
    """Share of factors A = ln(y1/y2)/β below (above) a value, given that A is real.

    Pairs whose answers differ in sign are drawn again.

    Parameters
    ----------
    multiplier : float
        Value x of A, any finite number.
    output, other_output : float
        Noiseless outputs F1 over F2, in [0, inf).
    sigma : float
        Standard deviation of the noise on each output, in (0, inf).
    probe : float
        Probe size β, in (0, inf).
    direction : {"below", "above"}
    """
    pair = _pair(output, other_output, sigma)
    expect.finite(multiplier=multiplier)
    expect.positive(probe=probe)
    expect.one_of(("below", "above"), direction=direction)
    return event(
        "ratio.multiplier_distribution",
        {"multiplier": multiplier, **pair, "probe": probe, "direction": direction},
        _multiplier,
        float(multiplier) * probe,
        direction == "below",
        *map(float, pair.values()),
    )


@kernel
def _quotients(out, first, one, two, sigma, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        a, b = normal_pair(w0, w1, w2, w3)
        out[i] = (one + sigma * a) / (two + sigma * b)


def truncated_mean(
    output: float,
    other_output: float,
    sigma: float,
    low: float = -10.0,
    high: float = 10.0,
) -> Experiment:
    """Mean ratio (F1+v1)/(F2+v2), clipped: unclipped it has Cauchy's tails and no mean.

    Parameters
    ----------
    output, other_output : float
        Noiseless outputs F1 over F2, in [0, inf).
    sigma : float
        Standard deviation of the noise on each output, in (0, inf).
    low, high : float
        Bounds; ratios beyond count as these.
    """
    pair = _pair(output, other_output, sigma)
    ratios = mean("ratio.truncated_mean", pair, _quotients, *map(float, pair.values()))
    return truncated(ratios, low, high)
