"""Rounded answers: noise, then rounding to the nearest step, then what one looks at."""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo.runs import Experiment

__all__ = [
    "dither_mean",
    "sign_error",
    "uniform_dither_variance",
    "uniform_dither_wrong_sign",
    "visibility",
]


@kernel
def _visible(out, first, gap, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        x, _ = uniform_pair(w0, w1, w2, w3)
        out[i] = math.floor(x + gap + 0.5) != math.floor(x + 0.5)


def visibility(gap: float, step: float) -> Experiment:
    """Whether two outputs round to different values, the lower one anywhere.

    Parameters
    ----------
    gap : float
        Size of the difference, in (0, inf).
    step : float
        Step of the rounding, in (0, inf).
    """
    return event(
        "quantization.visibility",
        {"gap": expect.positive(gap=gap), "step": expect.positive(step=step)},
        _visible,
        float(gap) / step,
    )


@kernel
def _rounded(out, first, output, sigma, step, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    for i in range(out.size):
        x, y = (output + sigma * a[i]) / step, (output + sigma * b[i]) / step
        out[i] = 0.5 * step * (math.floor(x + 0.5) + math.floor(y + 0.5))


def dither_mean(output: float, sigma: float, step: float) -> Experiment:
    """A noisy output after rounding; a draw is the mean of two.

    Parameters
    ----------
    output : float
        Noiseless output, in [0, inf).
    sigma : float
        Standard deviation of the noise before rounding, in (0, inf).
    step : float
        Step of the rounding, in (0, inf).
    """
    return mean(
        "quantization.dither_mean",
        {
            "output": expect.nonnegative(output=output),
            "sigma": expect.positive(sigma=sigma),
            "step": expect.positive(step=step),
        },
        _rounded,
        float(output),
        float(sigma),
        float(step),
    )


@kernel
def _signs(out, first, output, gap, sigma, queries, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    total = np.zeros(out.size)
    for q in range(queries):
        normals(a, b, first, q, 0, k0, k1)
        for i in range(out.size):
            high = math.floor(output + gap + sigma * a[i] + 0.5)
            total[i] += high - math.floor(output + sigma * b[i] + 0.5)
    for i in range(out.size):
        tie = 0.5 if total[i] == 0.0 else 0.0
        out[i] = 1.0 if total[i] < 0.0 else tie


def sign_error(
    output: float, gap: float, sigma: float, step: float, queries: int = 1
) -> Experiment:
    """Whether the means of noisy rounded outputs come in the wrong order.

    Two outputs, each asked so often; a draw is 1 for the wrong order, 1/2 for a tie.

    Parameters
    ----------
    output : float
        The lower noiseless output, in [0, inf).
    gap : float
        How far the other lies above it, in [0, inf).
    sigma : float
        Standard deviation of the noise before rounding, in (0, inf).
    step : float
        Step of the rounding, in (0, inf).
    queries : int
        Queries of each of the two.
    """
    count = int(expect.integer(queries=queries))
    return mean(
        "quantization.sign_error",
        {
            "output": expect.nonnegative(output=output),
            "gap": expect.nonnegative(gap=gap),
            "sigma": expect.positive(sigma=sigma),
            "step": expect.positive(step=step),
            "queries": count,
        },
        _signs,
        float(output) / step,
        float(gap) / step,
        float(sigma) / step,
        count,
        low=0.0,
        high=1.0,
        cost=count,
    )


@kernel
def _uniform_error(out, first, output, step, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        u, v = uniform_pair(w0, w1, w2, w3)
        x = math.floor(output + (u - 0.5) + 0.5) - output
        y = math.floor(output + (v - 0.5) + 0.5) - output
        out[i] = 0.5 * step * step * (x * x + y * y)


def uniform_dither_variance(output: float, step: float) -> Experiment:
    """Squared error of an output rounded under uniform noise; the mean of two.

    Parameters
    ----------
    output : float
        Noiseless output, in [0, inf).
    step : float
        Step of the rounding and width of the noise, in (0, inf).
    """
    return mean(
        "quantization.uniform_dither_variance",
        {
            "output": expect.nonnegative(output=output),
            "step": expect.positive(step=step),
        },
        _uniform_error,
        float(output) / step,
        float(step),
        low=0.0,
        high=float(step) * step,
    )


@kernel
def _uniform_pair(out, first, gap, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        u, v = uniform_pair(w0, w1, w2, w3)
        w0, w1, w2, w3 = philox(first + np.uint64(i), 1, 0, k0, k1)
        x, _ = uniform_pair(w0, w1, w2, w3)
        seen = math.floor(x + gap + v) - math.floor(x + u)
        tie = 0.5 if seen == 0.0 else 0.0
        out[i] = 1.0 if seen < 0.0 else tie


def uniform_dither_wrong_sign(gap: float, step: float) -> Experiment:
    """Whether a pair rounded under uniform noise misleads, the lower output anywhere.

    Parameters
    ----------
    gap : float
        Size of the difference, in (0, inf).
    step : float
        Step of the rounding and width of the noise, in (0, inf).
    """
    return mean(
        "quantization.uniform_dither_wrong_sign",
        {"gap": expect.positive(gap=gap), "step": expect.positive(step=step)},
        _uniform_pair,
        float(gap) / step,
        low=0.0,
        high=1.0,
        cost=2.0,
    )
