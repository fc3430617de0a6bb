"""How an NES estimate is aimed, and what a step along it or along its signs gains.

A draw is one estimate: normal probes coordinate by coordinate, an answer to each pair,
and the mean of what they say; or a gradient with noise on each coordinate.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import listed, mean, normals
from querytax.montecarlo.runs import Experiment

__all__ = ["cosine", "sign_drift_of"]


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


def cosine(
    snr: float, dimension: int, pairs: int, alignment: float = 1.0
) -> Experiment:
    """Cosine between an NES estimate and the slope.

    Parameters
    ----------
    snr : float
        Power of a pair's response over that of its noise, in (0, inf).
    dimension : int
        Dimension of the searched space.
    pairs : int
        Pairs averaged into the estimate.
    alignment : float
        Correlation of the response with the slope along the probe, in [0, 1]; the
        rest of the response is normal.
    """
    rho = float(expect.unit(alignment=alignment))
    d = int(expect.integer(dimension=dimension))
    p = int(expect.integer(pairs=pairs))
    return mean(
        "query_ratio.cosine",
        {
            "snr": expect.positive(snr=snr),
            "dimension": d,
            "pairs": p,
            "alignment": rho,
        },
        _cosine,
        1.0 / math.sqrt(snr),
        d,
        p,
        rho,
        math.sqrt((1.0 - rho) * (1.0 + rho)),
        low=-1.0,
        high=1.0,
        cost=p * (d / 2.0 + 2.0),
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


def sign_drift_of(gradient: npt.ArrayLike, cosine: float) -> Experiment:
    """What a sign step gains on a noisy gradient, over a step along the true signs.

    Parameters
    ----------
    gradient : array_like, shape (d,)
        Entries of the gradient, not all 0.
    cosine : float
        Length of the gradient over the root-mean-square length of its noisy estimate,
        in (0, 1].
    """
    g = np.abs(np.asarray(expect.finite(gradient=gradient), dtype=float)).reshape(-1)
    expect.that(g.any(), "to have an entry other than 0", gradient=gradient)
    c = float(expect.unit(cosine=cosine))
    expect.positive(cosine=cosine)
    sigma = math.sqrt(float(g @ g) / g.size * (1.0 - c) * (1.0 + c)) / c
    return mean(
        "query_ratio.sign_drift_of",
        {"gradient": listed(gradient), "cosine": c},
        _signs,
        g / g.sum(),
        sigma / float(g.sum()),
        low=-1.0,
        high=1.0,
        cost=g.size / 2.0,
    )
