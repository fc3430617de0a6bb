"""A distance that noisy steps multiply: v <- v |1 - A|, A the mean of a minibatch.

Each reading of A is m (1 + ξ/√S) with fresh normal ξ, and every step has its own.
"""

from __future__ import annotations

import math

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals, sums
from querytax.montecarlo._philox import log
from querytax.montecarlo.declared import settled, simulation
from querytax.montecarlo.runs import Experiment


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


@simulation(domain={"snr": "(0, inf)", "contraction": "(0, inf)"})
def mean_square(snr: float, contraction: float, batch: int = 1) -> Experiment:
    """Factor of one step on the mean square distance; above 1 a step overshoots."""
    noise = 1.0 / math.sqrt(snr)
    return mean(_mean_square, contraction, noise, batch, low=0.0, cost=(batch + 1) // 2)


@simulation(
    domain={"snr": "(0, inf)", "contraction": "(0, inf)", "steps": "{1, 2, ...}"},
    keyed="snr contraction batch steps",
)
def lyapunov(
    snr: float, contraction: float, steps: int = 1, batch: int = 1
) -> Experiment:
    """Mean growth of the logarithm of the distance per step, over so many steps."""
    noise = 1.0 / math.sqrt(snr)
    cost = (steps * batch + 1) // 2
    return mean(_lyapunov, contraction, noise, batch, steps, cost=cost)


@simulation(domain={"snr": "(0, inf)", "contraction": "(0, inf)"})
def lyapunov_variance(snr: float, contraction: float, batch: int = 1) -> Experiment:
    """Variance of that growth in one step: half the squared difference of two."""
    noise = 1.0 / math.sqrt(snr)
    return mean(_variance, contraction, noise, batch, low=0.0, cost=1.5 * batch)


@simulation(
    domain={"snr": "(0, inf)", "contraction": "(0, inf)", "steps": "{1, 2, ...}"},
    keyed="snr contraction batch nats steps when",
)
def not_arrived(
    snr: float,
    contraction: float,
    steps: int,
    remaining: float,
    batch: int = 1,
    when: str = "end",
) -> Experiment:
    """Share of attacks that so many steps have not brought near enough."""
    noise, nats = 1.0 / math.sqrt(snr), -math.log(remaining)
    drawn = event(
        _not_arrived,
        contraction,
        noise,
        batch,
        steps,
        nats,
        when == "ever",
        cost=(steps * batch + 1) // 2,
    )
    return settled(drawn, nats=nats)
