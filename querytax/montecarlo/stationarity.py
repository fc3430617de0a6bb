"""Descent on noisy gradient estimates, and what is left of the gradient on its way.

Every step asks twice, at a normal probe and at its base, each with a fresh noise
vector, and moves by their difference over the probe times its direction. A draw is a
whole descent.
"""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean, normals
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _ask(g, x, first, query, lipschitz, probe, sigma, curved, k0, k1):  # type: ignore[no-untyped-def]
    """One estimate of the gradient at each sample's x, coordinates first."""
    dimension, size = x.shape
    high, low = np.zeros(size), np.zeros(size)
    v, w, spare = np.empty(size), np.empty(size), np.empty(size)
    for j in range(dimension):
        u = g[j]
        normals(u, v, first, query * dimension + j, 0, k0, k1)
        if curved or j == 0:
            normals(w, spare, first, query * dimension + j, 1, k0, k1)
            for i in range(size):
                there = x[j, i] + probe * u[i] + sigma * v[i]
                here = x[j, i] + sigma * w[i]
                high[i] += there * there if curved else there
                low[i] += here * here if curved else here
    for i in range(size):
        change = high[i] - low[i]
        if curved:
            change = math.sqrt(high[i]) - math.sqrt(low[i])
        high[i] = lipschitz * change / probe
    for j in range(dimension):
        for i in range(size):
            g[j, i] *= high[i]


@kernel
def _project(x, radius):  # type: ignore[no-untyped-def]
    """Onto the ball of that radius around 0."""
    dimension, size = x.shape
    for i in range(size):
        square = 0.0
        for j in range(dimension):
            square += x[j, i] * x[j, i]
        shrink = radius / max(radius, math.sqrt(square))
        for j in range(dimension):
            x[j, i] *= shrink


@kernel
def _descend(  # type: ignore[no-untyped-def]
    out,
    first,
    lipschitz,
    dimension,
    probe,
    sigma,
    step,
    steps,
    curved,
    start,
    radius,
    stiffness,
    k0,
    k1,
):
    x, y = np.zeros((dimension, out.size)), np.empty((dimension, out.size))
    g, h = np.empty((dimension, out.size)), np.empty((dimension, out.size))
    x[0] = start
    out[:] = 0.0
    bounded = radius < math.inf
    for t in range(steps):
        _ask(g, x, first, 2 * t, lipschitz, probe, sigma, curved, k0, k1)
        if stiffness > 0.0:
            # Where loss and distance together are least: the loss is linear.
            y[:] = x
            y[0] -= lipschitz / stiffness
            _project(y, radius)
            h[:] = stiffness * (x - y)
            y[:] = h
        else:
            # Two independent estimates: their product's mean is the mean's square.
            _ask(h, x, first, 2 * t + 1, lipschitz, probe, sigma, curved, k0, k1)
            y[:] = g
        for j in range(dimension):
            for i in range(out.size):
                out[i] += y[j, i] * h[j, i] / steps
                x[j, i] -= step * g[j, i]
        if bounded:
            _project(x, radius)


@simulation(
    domain={"steps": "{1, 2, ...}"},
    keyed="lipschitz dimension probe sigma step steps form=iterates loss "
    "start=start_input radius",
)
def square_gradient(
    lipschitz: float,
    probe: float,
    step: float,
    sigma: float,
    dimension: int,
    steps: int,
    start_input: float = 0.0,
    radius: float = 1.0,
    iterates: str = "free",
    loss: str = "norm",
) -> Experiment:
    """Squared gradient of the smoothed loss, averaged over the iterates.

    The loss is ``L|x|``, or L times the first input: that has the same gradient
    everywhere. The budget is a ball around 0.
    """
    projected = iterates == "projected"
    inside = not projected or abs(start_input) <= radius
    expect.that(inside, f"at most the radius {radius:g}", start_input=start_input)
    return mean(
        _descend,
        lipschitz,
        dimension,
        probe,
        sigma,
        step,
        steps,
        loss == "norm",
        start_input,
        radius if projected else math.inf,
        0.0,
        cost=4.0 * dimension * steps,
    )


@simulation(
    domain={"steps": "{1, 2, ...}"},
    keyed="lipschitz dimension probe sigma step steps stiffness radius",
)
def square_envelope(
    lipschitz: float,
    stiffness: float,
    probe: float,
    step: float,
    sigma: float,
    dimension: int,
    steps: int,
    radius: float = 1.0,
) -> Experiment:
    """Squared gradient of a linear loss's Moreau envelope on a ball, over the iterates.

    The envelope is the least of loss plus ``stiffness/2`` times the squared distance,
    over the ball. Projected descent starts at the middle.
    """
    return mean(
        _descend,
        lipschitz,
        dimension,
        probe,
        sigma,
        step,
        steps,
        False,
        0.0,
        radius,
        stiffness,
        low=0.0,
        cost=2.0 * dimension * steps,
    )
