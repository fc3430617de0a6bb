"""Gradient estimates of a small network: its margin, asked at noisy probes.

The network has one hidden layer of tanh and two logits; its loss is their difference.
Weights and the attacked input are drawn once, from a key of their own. Probes and the
noise of every query are drawn coordinate by coordinate, a few samples at a time.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from querytax.kernels import kernel
from querytax.montecarlo._blocks import LANES, mean, normals
from querytax.montecarlo.runs import Experiment
from querytax.montecarlo.streams import Stream

_ANTITHETIC, _FORWARD, _CACHED = 0, 1, 2
_FORMS = {"antithetic": _ANTITHETIC, "forward": _FORWARD, "cached": _CACHED}
# How the simulations of a network are declared.
DIFFERENCES = {"differences": " | ".join(map(repr, _FORMS))}
KEY = "dimension hidden directions probe sigma scale form=differences network"

Weights = tuple[
    npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]
]


def weights(dimension: int, hidden: int, scale: float, network: int) -> Weights:
    """First layer, what it gives at the attacked input, and the margin's weights.

    All normal: the input standard, the first layer of variance ``scale²/dimension``,
    each logit's weights of variance ``1/hidden``. Scales share their draws.
    """
    stream = Stream.of(network, "network", dimension, hidden)
    flat = stream.normals(0, (hidden * dimension + 1) // 2).ravel()
    first = flat[: hidden * dimension].reshape(hidden, dimension)
    first = first * (scale / math.sqrt(dimension))
    point = stream.normals(0, (dimension + 1) // 2, lane=1).ravel()[:dimension]
    one, two = stream.normals(0, hidden, lane=2).T
    # Not by BLAS, whose bits depend on its threads.
    return first, (first * point).sum(axis=1), (one - two) / math.sqrt(hidden)


def gradient(
    first: npt.NDArray[np.float64],
    inner: npt.NDArray[np.float64],
    margin: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Gradient of the noiseless margin by the input, by backpropagation."""
    back = margin * (1.0 - np.square(np.tanh(inner)))
    total: npt.NDArray[np.float64] = (back[:, None] * first).sum(axis=0)
    return total


@kernel
def _query(  # type: ignore[no-untyped-def]
    out, first, direction, lane, shift, sigma, weights, inner, margin, k0, k1
):
    """Margin at ``x + shift u + sigma v``: u of the direction, v of the lane."""
    hidden, dimension = weights.shape
    size, pairs = out.size, (dimension + 1) // 2
    u, u1, v, v1 = np.zeros((4, size))
    sums = np.empty((hidden, size))
    for k in range(hidden):
        sums[k] = inner[k]
    for j in range(pairs):
        step, last = direction * pairs + j, 2 * j + 1 == dimension
        if shift != 0.0:
            normals(u, u1, first, step, 0, k0, k1)
        normals(v, v1, first, step, lane, k0, k1)
        for i in range(size):
            v[i] = shift * u[i] + sigma * v[i]
            v1[i] = shift * u1[i] + sigma * v1[i]
        for k in range(hidden):
            row, a = sums[k], weights[k, 2 * j]
            b = 0.0 if last else weights[k, 2 * j + 1]
            for i in range(size):
                row[i] += a * v[i] + b * v1[i]
    out[:] = 0.0
    for k in range(hidden):
        for i in range(size):
            out[i] += margin[k] * math.tanh(sums[k, i])


@kernel
def _estimates(  # type: ignore[no-untyped-def]
    along,
    square,
    first,
    probe,
    sigma,
    directions,
    form,
    weights,
    inner,
    margin,
    slopes,
    k0,
    k1,
):
    """Products of each estimate with the gradient's direction, and with itself."""
    size, dimension = along.size, slopes.size
    pairs = (dimension + 1) // 2
    answers, base = np.empty((directions, size)), np.empty(size)
    behind = -probe if form == _ANTITHETIC else 0.0
    for b in range(directions):
        _query(answers[b], first, b, 1, probe, sigma, weights, inner, margin, k0, k1)
        if form != _CACHED or b == 0:
            _query(base, first, b, 2, behind, sigma, weights, inner, margin, k0, k1)
        for i in range(size):
            answers[b, i] = (answers[b, i] - base[i]) / (directions * (probe - behind))
    u, u1, even, odd = np.empty((4, size))
    along[:] = 0.0
    square[:] = 0.0
    for j in range(pairs):
        even[:] = 0.0
        odd[:] = 0.0
        for b in range(directions):
            normals(u, u1, first, b * pairs + j, 0, k0, k1)
            for i in range(size):
                even[i] += answers[b, i] * u[i]
                odd[i] += answers[b, i] * u1[i]
        if 2 * j + 1 == dimension:
            odd[:] = 0.0
        a, c = slopes[2 * j], slopes[min(2 * j + 1, dimension - 1)]
        for i in range(size):
            along[i] += a * even[i] + c * odd[i]
            square[i] += even[i] * even[i] + odd[i] * odd[i]


@kernel
def _network(  # type: ignore[no-untyped-def]
    out,
    first,
    probe,
    sigma,
    directions,
    form,
    cosine,
    length,
    weights,
    inner,
    margin,
    slopes,
    k0,
    k1,
):
    along, square = np.empty(LANES), np.empty(LANES)
    for start in range(0, out.size, LANES):
        size = min(LANES, out.size - start)
        _estimates(
            along[:size],
            square[:size],
            first + np.uint64(start),
            probe,
            sigma,
            directions,
            form,
            weights,
            inner,
            margin,
            slopes,
            k0,
            k1,
        )
        for i in range(size):
            share = along[i] / math.sqrt(square[i])
            out[start + i] = share if cosine else square[i] / (length * length)


def of_network(
    cosine: bool,
    probe: float,
    sigma: float,
    directions: int,
    differences: str,
    layers: Weights,
) -> Experiment:
    """Cosine of an estimate with the gradient, or its squared length over that's."""
    hidden, dimension = layers[0].shape
    slopes = gradient(*layers)
    length = math.sqrt(float(np.square(slopes).sum()))
    return mean(
        _network,
        probe,
        sigma,
        directions,
        _FORMS[differences],
        cosine,
        length,
        *layers,
        slopes / length,
        low=-1.0 if cosine else 0.0,
        high=1.0 if cosine else math.inf,
        # A hidden unit's share of a query takes about a tenth of a pair.
        cost=directions * dimension * (2.0 + hidden / 10.0),
    )
