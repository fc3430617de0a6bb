"""Slopes read from differences of noisy losses and of noisy outputs' logarithms."""

from __future__ import annotations

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean, normals, sums
from querytax.montecarlo._philox import log
from querytax.montecarlo.runs import Experiment

__all__ = [
    "central_mean_square",
    "forward_mean_square",
    "log_bias",
    "log_ratio_bias",
    "log_ratio_variance",
]


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


def central_mean_square(
    third_derivative: float, probe: float, loss_sigma: float, repeats: int = 1
) -> Experiment:
    """Squared error of the slope read from both sides of a cubic's saddle.

    Parameters
    ----------
    third_derivative : float
        Third derivative of the loss, whose slope and curvature are 0; finite.
    probe : float
        Width of the probe to one side, in (0, inf).
    loss_sigma : float
        Standard deviation of one noisy loss, in [0, inf).
    repeats : int
        Pairs averaged.
    """
    m = int(expect.integer(repeats=repeats))
    rise = expect.finite(third_derivative=third_derivative) / 6.0
    rise *= expect.positive(probe=probe) ** 3
    return mean(
        "finite_difference.central_mean_square",
        {
            "third_derivative": third_derivative,
            "probe": probe,
            "loss_sigma": expect.nonnegative(loss_sigma=loss_sigma),
            "repeats": m,
        },
        _slope_error,
        rise,
        -rise,
        float(loss_sigma),
        2.0 * probe,
        m,
        low=0.0,
        cost=m + 1.0,
    )


def forward_mean_square(
    curvature: float, probe: float, loss_sigma: float, repeats: int = 1
) -> Experiment:
    """Squared error of the slope read from one side of a parabola's minimum.

    Parameters
    ----------
    curvature : float
        Second derivative of the loss, whose slope is 0; finite.
    probe : float
        Width of the probe, in (0, inf).
    loss_sigma : float
        Standard deviation of one noisy loss, in [0, inf).
    repeats : int
        Pairs averaged.
    """
    m = int(expect.integer(repeats=repeats))
    rise = 0.5 * expect.finite(curvature=curvature) * expect.positive(probe=probe) ** 2
    return mean(
        "finite_difference.forward_mean_square",
        {
            "curvature": curvature,
            "probe": probe,
            "loss_sigma": expect.nonnegative(loss_sigma=loss_sigma),
            "repeats": m,
        },
        _slope_error,
        rise,
        0.0,
        float(loss_sigma),
        float(probe),
        m,
        low=0.0,
        cost=m + 1.0,
    )


@kernel
def _log(out, first, output, sigma, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    for i in range(out.size):
        x, y = abs(output + sigma * a[i]), abs(output + sigma * b[i])
        out[i] = 0.5 * (log(x / output) + log(y / output))


def log_bias(output: float, sigma: float) -> Experiment:
    """Logarithm of a folded noisy output, less that of the output.

    A draw is the mean of two.

    Parameters
    ----------
    output : float
        Noiseless output, in (0, 1].
    sigma : float
        Standard deviation of the noise on it, in (0, inf).
    """
    p = _output(output=output)
    return mean(
        "finite_difference.log_bias",
        {"output": p, "sigma": expect.positive(sigma=sigma)},
        _log,
        p,
        float(sigma),
        cost=2.0,
    )


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


def _output(**named: float) -> float:
    ((name, value),) = named.items()
    inside = expect.positive(**named) <= 1.0
    return float(expect.that(inside, "in (0, 1]", **{name: value}))


def _slopes(
    name: str,
    output: float,
    rival: float,
    output_behind: float,
    rival_behind: float,
    sigma: float,
    probe: float,
) -> Experiment:
    ahead = (_output(output=output), _output(rival=rival))
    behind = (
        _output(output_behind=output_behind),
        _output(rival_behind=rival_behind),
    )
    squared = name == "log_ratio_variance"
    return mean(
        f"finite_difference.{name}",
        {
            "output": ahead[0],
            "rival": ahead[1],
            "output_behind": behind[0],
            "rival_behind": behind[1],
            "sigma": expect.positive(sigma=sigma),
            "probe": expect.positive(probe=probe),
        },
        _squares if squared else _ratio,
        ahead,
        behind,
        float(sigma),
        0.5 / probe,
        low=0.0 if squared else -np.inf,
        cost=8.0 if squared else 4.0,
    )


def log_ratio_bias(
    output: float,
    rival: float,
    output_behind: float,
    rival_behind: float,
    sigma: float,
    probe: float,
) -> Experiment:
    """Slope of a log ratio of folded noisy outputs, less the noiseless one.

    Four outputs, each with noise of its own, read from both sides of a probe.

    Parameters
    ----------
    output, rival : float
        Outputs of the true and of the other class ahead, in (0, 1].
    output_behind, rival_behind : float
        The same behind, in (0, 1].
    sigma : float
        Standard deviation of the noise on each output, in (0, inf).
    probe : float
        Width of the probe to one side, in (0, inf).
    """
    values = (output, rival, output_behind, rival_behind, sigma, probe)
    return _slopes("log_ratio_bias", *values)


def log_ratio_variance(
    output: float,
    rival: float,
    output_behind: float,
    rival_behind: float,
    sigma: float,
    probe: float,
) -> Experiment:
    """Variance of such a slope; the law's standard deviation is its root.

    Parameters
    ----------
    output, rival : float
        Outputs of the true and of the other class ahead, in (0, 1].
    output_behind, rival_behind : float
        The same behind, in (0, 1].
    sigma : float
        Standard deviation of the noise on each output, in (0, inf).
    probe : float
        Width of the probe to one side, in (0, inf).
    """
    values = (output, rival, output_behind, rival_behind, sigma, probe)
    return _slopes("log_ratio_variance", *values)
