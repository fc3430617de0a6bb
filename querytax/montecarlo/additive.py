"""An error that noisy steps move: e <- e - c (λe + τξ), the noise as large at the end.

A draw is one attack, and its value the square of the error left over that at the
start: the laws are of the root of its mean. Units are e = 1 at the start and λ = 1, so
that the noise of a reading is τ = 1/√S.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean, normals
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _recursion(out, first, gains, noise, k0, k1):  # type: ignore[no-untyped-def]
    even, odd = np.empty(out.size), np.empty(out.size)
    out[:] = 1.0
    for step in range(gains.size):
        gain = gains[step]
        if step % 2 == 0:
            normals(even, odd, first, step // 2, 0, k0, k1)
            for i in range(out.size):
                out[i] -= gain * (out[i] + noise * even[i])
        else:
            for i in range(out.size):
                out[i] -= gain * (out[i] + noise * odd[i])
    for i in range(out.size):
        out[i] *= out[i]


@simulation(domain={"snr": "(0, inf)", "steps": "{1, 2, ...}"})
def remaining(snr: float, steps: int) -> Experiment:
    """Square of the error after steps of Kalman's gains, over the start's."""
    variance = 1.0 / snr
    gains, square = np.empty(steps), 1.0
    for k in range(steps):
        gains[k] = square / (square + variance)
        square = (1.0 - gains[k]) ** 2 * square + gains[k] ** 2 * variance
    return mean(_recursion, gains, math.sqrt(variance), low=0.0, cost=(steps + 1) // 2)


@simulation(domain={"snr": "(0, inf)", "contraction": "(0, 2)", "steps": "{1, 2, ...}"})
def constant_step_remaining(snr: float, contraction: float, steps: int) -> Experiment:
    """Square of the error after steps of constant size, over the start's."""
    return mean(
        _recursion,
        np.full(steps, contraction),
        1.0 / math.sqrt(snr),
        low=0.0,
        cost=(steps + 1) // 2,
    )


@kernel
def _nes(out, first, gains, noise, dimension, pairs, k0, k1):  # type: ignore[no-untyped-def]
    size, half = out.size, (dimension + 1) // 2
    place = np.full((dimension, size), 1.0 / math.sqrt(dimension))
    probe, estimate = np.empty((2 * half, size)), np.empty((dimension, size))
    xi, unused = np.empty(size), np.empty(size)
    for step in range(gains.size):
        estimate[:] = 0.0
        for k in range(pairs):
            turn = step * pairs + k
            normals(xi, unused, first, turn, half, k0, k1)
            reading = xi
            for i in range(size):
                reading[i] *= noise
            for j in range(half):
                normals(probe[2 * j], probe[2 * j + 1], first, turn, j, k0, k1)
            for j in range(dimension):
                for i in range(size):
                    reading[i] += probe[j, i] * place[j, i]
            for j in range(dimension):
                for i in range(size):
                    estimate[j, i] += probe[j, i] * reading[i]
        for j in range(dimension):
            for i in range(size):
                place[j, i] -= gains[step] / pairs * estimate[j, i]
    out[:] = 0.0
    for j in range(dimension):
        for i in range(size):
            out[i] += place[j, i] * place[j, i]


def _nes_gains(
    variance: float, dimension: int, pairs: int, steps: int
) -> npt.NDArray[np.float64]:
    """The step best for the mean square, each time, by what it makes of it."""
    gains, square = np.empty(steps), 1.0
    for k in range(steps):
        # E|estimate|²: u has E|u|² = d and E u u'|u|² = (d + 2) I.
        power = square * (1.0 + (dimension + 1.0) / pairs)
        power += dimension * variance / pairs
        gains[k] = square / power
        square = square - 2.0 * gains[k] * square + gains[k] ** 2 * power
    return gains


def _nes_cost(dimension: int, pairs: int, steps: int) -> float:
    return steps * pairs * ((dimension + 1) // 2 + 1.0)


@simulation(domain={"snr": "(0, inf)", "steps": "{1, 2, ...}"})
def nes_remaining(snr: float, dimension: int, pairs: int, steps: int) -> Experiment:
    """Square of the distance after steps of an NES attack, over the start's.

    In full vectors: each step averages ``u (u·e + τξ)`` over fresh normal u, the
    noisy change of an isotropic quadratic loss along each, and moves against it. The
    steps are planned ahead, by the mean square that each leaves. A block keeps three
    vectors a sample.
    """
    return mean(
        _nes,
        _nes_gains(1.0 / snr, dimension, pairs, steps),
        math.sqrt(1.0 / snr),
        dimension,
        pairs,
        low=0.0,
        cost=_nes_cost(dimension, pairs, steps),
    )


@simulation(
    domain={"snr": "(0, inf)", "contraction": "(0, inf)", "steps": "{1, 2, ...}"}
)
def nes_constant_step_remaining(
    snr: float, contraction: float, dimension: int, pairs: int, steps: int
) -> Experiment:
    """Square of the distance after NES steps of constant size, over the start's."""
    return mean(
        _nes,
        np.full(steps, contraction),
        1.0 / math.sqrt(snr),
        dimension,
        pairs,
        low=0.0,
        cost=_nes_cost(dimension, pairs, steps),
    )
