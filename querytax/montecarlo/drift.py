"""How an NES estimate is aimed, and what a step along it or along its signs gains.

A draw is one estimate: normal probes coordinate by coordinate, an answer to each pair,
and the mean of what they say; or a gradient with noise on each coordinate.
"""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean, normals
from querytax.montecarlo.declared import Table, simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _cosine(out, first, noise, dimension, pairs, linear, rest, k0, k1):  # type: ignore[no-untyped-def]
    size, half = out.size, (dimension + 1) // 2
    u, v = np.empty(size), np.empty(size)
    answers = np.empty((pairs, size))
    for b in range(pairs):
        # The probe's coordinate along the slope, then what is not linear, and noise.
        normals(u, v, first, b * half, 0, k0, k1)
        answers[b] = linear * u
        normals(u, v, first, b, 1, k0, k1)
        for i in range(size):
            answers[b, i] += rest * u[i] + noise * v[i]
    along, square = np.empty(size), np.zeros(size)
    even, odd = np.empty(size), np.empty(size)
    for j in range(half):
        even[:] = 0.0
        odd[:] = 0.0
        for b in range(pairs):
            normals(u, v, first, b * half + j, 0, k0, k1)
            for i in range(size):
                even[i] += answers[b, i] * u[i]
                odd[i] += answers[b, i] * v[i]
        if 2 * j + 1 == dimension:
            odd[:] = 0.0
        if j == 0:
            along[:] = even
        for i in range(size):
            square[i] += even[i] * even[i] + odd[i] * odd[i]
    for i in range(size):
        out[i] = along[i] / math.sqrt(square[i])


@simulation(domain={"snr": "(0, inf)"}, called="query_ratio.cosine")
def cosine(
    snr: float, dimension: int, pairs: int, alignment: float = 1.0
) -> Experiment:
    """Cosine between an NES estimate and the slope."""
    return mean(
        _cosine,
        1.0 / math.sqrt(snr),
        dimension,
        pairs,
        alignment,
        math.sqrt((1.0 - alignment) * (1.0 + alignment)),
        low=-1.0,
        high=1.0,
        cost=pairs * (dimension / 2.0 + 2.0),
    )


@kernel
def _signs(out, first, gradient, sigma, k0, k1):  # type: ignore[no-untyped-def]
    size = out.size
    u, v = np.empty(size), np.empty(size)
    out[:] = 0.0
    for k in range(gradient.size):
        if k % 2 == 0:
            normals(u, v, first, k // 2, 0, k0, k1)
        noise = v if k % 2 else u
        g = gradient[k]
        for i in range(size):
            out[i] += g if g + sigma * noise[i] > 0.0 else -g


@simulation(domain={"cosine": "(0, 1]"}, called="query_ratio.sign_drift_of")
def sign_of(gradient: Table, cosine: float) -> Experiment:
    """What a sign step gains on a noisy gradient, over a step along the true signs."""
    g = np.abs(gradient)
    expect.that(g.any(), "to have an entry other than 0", gradient=0.0)
    sigma = math.sqrt(float(g @ g) / g.size * (1.0 - cosine) * (1.0 + cosine)) / cosine
    return mean(
        _signs,
        g / g.sum(),
        sigma / float(g.sum()),
        low=-1.0,
        high=1.0,
        cost=g.size / 2.0,
    )
