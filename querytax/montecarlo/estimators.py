"""Estimates of ln(F1/F2) from repeated pairs: draw all answers, and let each estimate.

A draw is one attacker with all its pairs.
"""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals
from querytax.montecarlo._philox import log
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _outputs_first(  # type: ignore[no-untyped-def]
    out, first, gap, sigma, pairs, shared, own, k0, k1
):
    a, b = np.empty(out.size), np.empty(out.size)
    here, there = np.zeros(out.size), np.zeros(out.size)
    for k in range(pairs):
        normals(a, b, first, k, 0, k0, k1)
        for i in range(out.size):
            here[i] += gap + sigma * a[i]
            there[i] += sigma * (shared * a[i] + own * b[i])
    for i in range(out.size):
        out[i] = here[i] <= there[i]


@simulation()
def outputs_first(
    gap: float, sigma: float, pairs: int, correlation: float = 0.0
) -> Experiment:
    """Share of wrong signs after averaging outputs, then comparing."""
    return event(
        _outputs_first,
        gap,
        sigma,
        pairs,
        correlation,
        math.sqrt((1.0 - correlation) * (1.0 + correlation)),
        cost=pairs,
    )


@kernel
def _log_first(out, first, one, two, sigma, pairs, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    total = np.zeros(out.size)
    for k in range(pairs):
        normals(a, b, first, k, 0, k0, k1)
        for i in range(out.size):
            total[i] += log(abs((one + sigma * a[i]) / (two + sigma * b[i])))
    for i in range(out.size):
        out[i] = (total[i] > 0.0) != (one > two)


@simulation()
def log_first(
    output: float, other_output: float, sigma: float, pairs: int
) -> Experiment:
    """Share of wrong signs after averaging logarithms of noisy magnitudes."""
    expect.that(output != other_output, "unlike output", other_output=other_output)
    return event(_log_first, output, other_output, sigma, pairs, cost=pairs)


@kernel
def _likelihood(out, first, sigma, pairs, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    sums = np.zeros((4, out.size))
    for k in range(pairs):
        normals(a, b, first, k, 0, k0, k1)
        for i in range(out.size):
            x, y = 1.0 + sigma * a[i], 1.0 + sigma * b[i]
            sums[0, i] += x
            sums[1, i] += x * x
            sums[2, i] += y
            sums[3, i] += y * y
    for i in range(out.size):
        # ln w - mean (r w - 1)²/(2 s²) is greatest at the positive root of a quadratic.
        x, xx = sums[0, i] / pairs, sums[1, i] / pairs
        y, yy = sums[2, i] / pairs, sums[3, i] / pairs
        u = (x + math.sqrt(x * x + 4.0 * sigma * sigma * xx)) / (2.0 * xx)
        v = (y + math.sqrt(y * y + 4.0 * sigma * sigma * yy)) / (2.0 * yy)
        gap = log(u) - log(v)
        out[i] = 0.5 * gap * gap


@simulation()
def likelihood_variance(relative_sigma: float, pairs: int) -> Experiment:
    """Variance of the most likely ln(F1/F2), given single ratios N(1, σ_Z²) of it.

    Half the squared difference of two attackers' estimates.
    """
    return mean(_likelihood, relative_sigma, pairs, low=0.0, cost=pairs)


@kernel
def _of_pairs(out, first, one, two, sigma, pairs, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    totals = np.zeros((2, 2, out.size))
    for copy in range(2):
        for k in range(pairs):
            normals(a, b, first, k, copy, k0, k1)
            for i in range(out.size):
                totals[copy, 0, i] += one + sigma * a[i]
                totals[copy, 1, i] += two + sigma * b[i]
    for i in range(out.size):
        x = totals[0, 0, i] / totals[0, 1, i]
        y = totals[1, 0, i] / totals[1, 1, i]
        gap = log(abs(x / y))
        out[i] = 0.5 * gap * gap


@simulation(domain={"output": "(0, inf)", "other_output": "(0, inf)"})
def variance_of_pairs(
    output: float, other_output: float, sigma: float, pairs: int
) -> Experiment:
    """Variance of the logarithm of the ratio of two mean outputs.

    Half the squared difference of two attackers' estimates of ln(F1/F2).
    """
    return mean(
        _of_pairs, output, other_output, sigma, pairs, low=0.0, cost=2.0 * pairs
    )


@kernel
def _log_bias(out, first, sigma, k0, k1):  # type: ignore[no-untyped-def]
    b = np.empty(out.size)
    normals(out, b, first, 0, 0, k0, k1)
    for i in range(out.size):
        out[i] = 0.5 * (log(abs(1.0 + sigma * out[i])) + log(abs(1.0 + sigma * b[i])))


@simulation()
def log_bias(relative_sigma: float) -> Experiment:
    """Mean logarithm of the magnitude of a noisy ratio whose true value is 1.

    A draw is the mean of two.
    """
    return mean(_log_bias, relative_sigma)
