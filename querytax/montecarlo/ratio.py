"""Ratios of two noisy outputs: draw both answers, and divide.

Outputs are raw: neither reflected nor clipped, and negative ones count as they are.
"""

from __future__ import annotations

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean
from querytax.montecarlo._philox import log, normal_pair, philox
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment
from querytax.montecarlo.tails import truncated


@kernel
def _distribution(  # type: ignore[no-untyped-def]
    out, first, quotient, below, one, two, sigma, k0, k1
):
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        a, b = normal_pair(w0, w1, w2, w3)
        out[i] = ((one + sigma * a) / (two + sigma * b) <= quotient) == below


@simulation(
    domain={"sigma": "(0, inf)"},
    keyed="quotient output other_output sigma direction=side",
)
def distribution(
    quotient: float,
    output: float,
    other_output: float,
    sigma: float,
    side: str = "below",
) -> Experiment:
    """Share of ratios (F+v)/(F'+v') below (above) a value."""
    return event(_distribution, quotient, side == "below", output, other_output, sigma)


@kernel
def _signs(out, first, alike, one, two, sigma, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        a, b = normal_pair(w0, w1, w2, w3)
        out[i] = ((one + sigma * a > 0.0) == (two + sigma * b > 0.0)) == alike


@simulation(domain={"sigma": "(0, inf)"})
def same_sign(output: float, other_output: float, sigma: float) -> Experiment:
    """Share of pairs of noisy outputs that have one sign: the factor A is real."""
    return event(_signs, True, output, other_output, sigma)


@simulation(domain={"sigma": "(0, inf)"})
def opposite_signs(output: float, other_output: float, sigma: float) -> Experiment:
    """Share of pairs of noisy outputs that differ in sign: no factor A."""
    return event(_signs, False, output, other_output, sigma)


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


@simulation(
    domain={"sigma": "(0, inf)"},
    keyed="multiplier output other_output sigma probe direction=side",
)
def multiplier_distribution(
    multiplier: float,
    output: float,
    other_output: float,
    probe: float,
    sigma: float,
    side: str = "below",
) -> Experiment:
    """Share of factors A = ln(y/y')/μ below (above) a value, given that A is real.

    Pairs whose answers differ in sign are drawn again.
    """
    nats, below = multiplier * probe, side == "below"
    return event(_multiplier, nats, below, output, other_output, sigma)


@kernel
def _quotients(out, first, one, two, sigma, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        a, b = normal_pair(w0, w1, w2, w3)
        out[i] = (one + sigma * a) / (two + sigma * b)


@simulation(domain={"sigma": "(0, inf)"})
def truncated_mean(
    output: float,
    other_output: float,
    sigma: float,
    truncated_low: float = -10.0,
    truncated_high: float = 10.0,
) -> Experiment:
    """Mean ratio (F+v)/(F'+v'), clipped: unclipped it has Cauchy's tails, no mean."""
    ratios = mean(_quotients, output, other_output, sigma)
    return truncated(ratios, truncated_low, truncated_high)
