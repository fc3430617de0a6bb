"""A distance that noisy steps multiply: v <- v |1 - A|, A the mean of a minibatch.

Each reading of A is m (1 + ξ/√S) with fresh normal ξ, and every step has its own.
"""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals, sums
from querytax.montecarlo._philox import log
from querytax.montecarlo.runs import Experiment

__all__ = ["lyapunov", "lyapunov_variance", "mean_square", "not_arrived"]


@kernel
def _grow(  # type: ignore[no-untyped-def]
    out, least, first, contraction, noise, batch, steps, k0, k1
):
    """Logarithm of the distance after the steps, from 0, and its least on the way."""
    even, odd = np.zeros(out.size), np.zeros(out.size)
    out[:] = 0.0
    least[:] = 0.0
    for step in range(steps):
        reading = even
        if batch > 1:
            even[:] = 0.0
            sums(even, first, batch, step, k0, k1)
        elif step % 2 == 0:
            normals(even, odd, first, step // 2, 0, k0, k1)
        else:
            reading = odd
        for i in range(out.size):
            gain = contraction * (1.0 + noise * reading[i] / batch)
            out[i] += log(abs(1.0 - gain))
            least[i] = min(least[i], out[i])


@kernel
def _lyapunov(  # type: ignore[no-untyped-def]
    out, first, contraction, noise, batch, steps, k0, k1
):
    least = np.empty(out.size)
    _grow(out, least, first, contraction, noise, batch, steps, k0, k1)
    out /= steps


@kernel
def _variance(out, first, contraction, noise, batch, k0, k1):  # type: ignore[no-untyped-def]
    least, both = np.empty(out.size), np.empty(out.size)
    _grow(out, least, first, contraction, noise, batch, 1, k0, k1)
    _grow(both, least, first, contraction, noise, batch, 2, k0, k1)
    for i in range(out.size):
        gap = both[i] - 2.0 * out[i]
        out[i] = 0.5 * gap * gap


@kernel
def _mean_square(  # type: ignore[no-untyped-def]
    out, first, contraction, noise, batch, k0, k1
):
    out[:] = 0.0
    sums(out, first, batch, 0, k0, k1)
    for i in range(out.size):
        gain = contraction * (1.0 + noise * out[i] / batch)
        out[i] = (1.0 - gain) * (1.0 - gain)


@kernel
def _not_arrived(  # type: ignore[no-untyped-def]
    out, first, contraction, noise, batch, steps, nats, ever, k0, k1
):
    least = np.empty(out.size)
    _grow(out, least, first, contraction, noise, batch, steps, k0, k1)
    for i in range(out.size):
        out[i] = (least[i] if ever else out[i]) > -nats


def _model(
    snr: float, contraction: float, batch: int
) -> tuple[dict[str, float | str], tuple[float, float, int]]:
    count = int(expect.integer(batch=batch))
    noise = 1.0 / math.sqrt(expect.positive(snr=snr))
    expect.positive(contraction=contraction)
    arguments: dict[str, float | str] = {
        "snr": snr,
        "contraction": contraction,
        "batch": count,
    }
    return arguments, (float(contraction), noise, count)


def mean_square(snr: float, contraction: float, batch: int = 1) -> Experiment:
    """Factor of one step on the mean square distance.

    Parameters
    ----------
    snr : float
        Decision SNR of one pair, in (0, inf).
    contraction : float
        Distance m that a noiseless step removes; above 1 it overshoots.
    batch : int
        Pairs whose readings a step averages.
    """
    arguments, values = _model(snr, contraction, batch)
    return mean(
        "contraction.mean_square",
        arguments,
        _mean_square,
        *values,
        low=0.0,
        cost=(batch + 1) // 2,
    )


def lyapunov(
    snr: float, contraction: float, batch: int = 1, steps: int = 1
) -> Experiment:
    """Mean growth of the logarithm of the distance per step, over so many steps.

    Parameters
    ----------
    snr : float
        Decision SNR of one pair, in (0, inf).
    contraction : float
        Distance m that a noiseless step removes; above 1 it overshoots.
    batch : int
        Pairs whose readings a step averages.
    steps : int
        Steps of a draw.
    """
    arguments, values = _model(snr, contraction, batch)
    n = int(expect.integer(steps=steps))
    return mean(
        "contraction.lyapunov",
        {**arguments, "steps": n},
        _lyapunov,
        *values,
        n,
        cost=(n * batch + 1) // 2,
    )


def lyapunov_variance(snr: float, contraction: float, batch: int = 1) -> Experiment:
    """Variance of that growth in one step: half the squared difference of two.

    Parameters
    ----------
    snr : float
        Decision SNR of one pair, in (0, inf).
    contraction : float
        Distance m that a noiseless step removes; above 1 it overshoots.
    batch : int
        Pairs whose readings a step averages.
    """
    arguments, values = _model(snr, contraction, batch)
    return mean(
        "contraction.lyapunov_variance",
        arguments,
        _variance,
        *values,
        low=0.0,
        cost=1.5 * batch,
    )


def not_arrived(
    snr: float,
    contraction: float,
    nats: float,
    steps: int,
    batch: int = 1,
    when: str = "end",
) -> Experiment:
    """Share of attacks that so many steps have not brought near enough.

    Parameters
    ----------
    snr : float
        Decision SNR of one pair, in (0, inf).
    contraction : float
        Distance m that a noiseless step removes; above 1 it overshoots.
    nats : float
        Logarithm of the distance at the start over that which may remain.
    steps : int
        Steps, at least 1.
    batch : int
        Pairs whose readings a step averages.
    when : {"end", "ever"}
        Whether the distance after the last step counts, or the least on the way.
    """
    arguments, values = _model(snr, contraction, batch)
    n = int(expect.integer(steps=steps))
    expect.positive(nats=nats)
    expect.one_of(("end", "ever"), when=when)
    return event(
        "contraction.not_arrived",
        {**arguments, "nats": nats, "steps": n, "when": when},
        _not_arrived,
        *values,
        n,
        float(nats),
        when == "ever",
        cost=(n * batch + 1) // 2,
    )
