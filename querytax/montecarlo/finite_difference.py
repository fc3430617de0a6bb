"""Slopes read from differences of noisy losses and of noisy outputs' logarithms."""

from __future__ import annotations

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean, normals, sums
from querytax.montecarlo._philox import log
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _slope_error(out, first, ahead, behind, noise, width, repeats, k0, k1):  # type: ignore[no-untyped-def]
    """Squared error of a slope that is 0, from two losses at that distance."""
    there, here = np.zeros(out.size), np.zeros(out.size)
    sums(there, first, repeats, 0, k0, k1)
    sums(here, first, repeats, 1, k0, k1)
    for i in range(out.size):
        seen = ahead + noise * there[i] / repeats
        seen -= behind + noise * here[i] / repeats
        out[i] = (seen / width) ** 2


@simulation(keyed="third_derivative probe loss_sigma repeats=pairs")
def central_mean_square(
    third_derivative: float, probe: float, loss_sigma: float, pairs: int = 1
) -> Experiment:
    """Squared error of the slope read from both sides of a cubic's saddle."""
    rise = third_derivative / 6.0
    rise *= probe**3
    return mean(
        _slope_error,
        rise,
        -rise,
        loss_sigma,
        2.0 * probe,
        pairs,
        low=0.0,
        cost=pairs + 1.0,
    )


@simulation(keyed="curvature probe loss_sigma repeats=pairs")
def forward_mean_square(
    curvature: float, probe: float, loss_sigma: float, pairs: int = 1
) -> Experiment:
    """Squared error of the slope read from one side of a parabola's minimum."""
    rise = 0.5 * curvature * probe**2
    return mean(
        _slope_error, rise, 0.0, loss_sigma, probe, pairs, low=0.0, cost=pairs + 1.0
    )


@kernel
def _log(out, first, output, sigma, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    for i in range(out.size):
        x, y = abs(output + sigma * a[i]), abs(output + sigma * b[i])
        out[i] = 0.5 * (log(x / output) + log(y / output))


@simulation(domain={"output": "(0, 1]"})
def log_bias(output: float, sigma: float) -> Experiment:
    """Logarithm of a folded noisy output, less that of the output; a mean of two."""
    return mean(_log, output, sigma, cost=2.0)


@kernel
def _ratios(out, first, ahead, behind, sigma, share, step, k0, k1):  # type: ignore[no-untyped-def]
    """Slope of a log ratio of folded noisy outputs, less the noiseless one."""
    size = out.size
    p, q, r, s = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    normals(p, q, first, step, 0, k0, k1)
    normals(r, s, first, step, 1, k0, k1)
    for i in range(size):
        one = abs(1.0 + sigma / ahead[0] * p[i])
        two = abs(1.0 + sigma / ahead[1] * q[i])
        three = abs(1.0 + sigma / behind[0] * r[i])
        four = abs(1.0 + sigma / behind[1] * s[i])
        out[i] = share * (log(one) - log(two) - log(three) + log(four))


@kernel
def _ratio(out, first, ahead, behind, sigma, share, k0, k1):  # type: ignore[no-untyped-def]
    _ratios(out, first, ahead, behind, sigma, share, 0, k0, k1)


@kernel
def _squares(out, first, ahead, behind, sigma, share, k0, k1):  # type: ignore[no-untyped-def]
    """Half the squared difference of two independent slopes: its mean is a variance."""
    other = np.empty(out.size)
    _ratios(out, first, ahead, behind, sigma, share, 0, k0, k1)
    _ratios(other, first, ahead, behind, sigma, share, 1, k0, k1)
    for i in range(out.size):
        out[i] = 0.5 * (out[i] - other[i]) ** 2


_OUTPUTS = simulation(
    domain={"output": "(0, 1]"},
    keyed="output rival output_behind rival_behind sigma probe",
)


@_OUTPUTS
def log_ratio_bias(
    output: float,
    rival: float,
    output_behind: float,
    rival_behind: float,
    probe: float,
    sigma: float,
) -> Experiment:
    """Slope of a log ratio of folded noisy outputs, less the noiseless one.

    Four outputs, each with noise of its own, read from both sides of a probe.
    """
    ahead, behind = (output, rival), (output_behind, rival_behind)
    return mean(_ratio, ahead, behind, sigma, 0.5 / probe, cost=4.0)


@_OUTPUTS
def log_ratio_variance(
    output: float,
    rival: float,
    output_behind: float,
    rival_behind: float,
    probe: float,
    sigma: float,
) -> Experiment:
    """Variance of such a slope; the law's standard deviation is its root."""
    ahead, behind = (output, rival), (output_behind, rival_behind)
    return mean(_squares, ahead, behind, sigma, 0.5 / probe, low=0.0, cost=8.0)
