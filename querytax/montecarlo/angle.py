"""The angle between a gradient estimate and the gradient.

A draw is one estimate: normal directions coordinate by coordinate, a noisy answer for
every query, and the mean of what they say. The loss is linear, or a small network's.
"""

from __future__ import annotations

import math

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean
from querytax.montecarlo._gradient import FORMS, enough, estimates, pairs
from querytax.montecarlo._network import DIFFERENCES, KEY, of_network, weights
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment

_COSINE, _SQUARE, _BACKWARDS = 0, 1, 2
_KEY = "dimension directions probe sigma repeats form=differences"


@kernel
def _angles(  # type: ignore[no-untyped-def]
    out, first, probe, sigma, dimension, directions, repeats, form, what, k0, k1
):
    others = np.empty(out.size)
    estimates(
        out,
        others,
        first,
        1.0,
        probe,
        sigma,
        dimension,
        directions,
        repeats,
        0,
        form,
        k0,
        k1,
    )
    for i in range(out.size):
        cosine = out[i] / math.sqrt(out[i] * out[i] + others[i])
        square = cosine * cosine
        out[i] = square if what == _SQUARE else cosine
        if what == _BACKWARDS:
            out[i] = cosine < 0.0


def _of_estimate(
    what: int,
    probe: float,
    sigma: float,
    dimension: int,
    directions: int,
    repeats: int,
    differences: str,
) -> Experiment:
    enough(directions, differences)
    values = (probe, sigma, dimension, directions, repeats, FORMS[differences], what)
    cost = pairs(dimension, directions, repeats)
    if what == _BACKWARDS:
        return event(_angles, *values, cost=cost)
    low = 0.0 if what == _SQUARE else -1.0
    return mean(_angles, *values, low=low, high=1.0, cost=cost)


@simulation(keyed=_KEY)
def mean_cosine(
    probe: float,
    sigma: float,
    dimension: int,
    directions: int,
    repeats: int = 1,
    differences: str = "forward",
) -> Experiment:
    """Cosine between a gradient estimate and the gradient."""
    return _of_estimate(
        _COSINE, probe, sigma, dimension, directions, repeats, differences
    )


@simulation(keyed=_KEY)
def mean_square_cosine(
    probe: float,
    sigma: float,
    dimension: int,
    directions: int,
    repeats: int = 1,
    differences: str = "forward",
) -> Experiment:
    """Squared cosine between estimate and gradient; the law's rms is its root."""
    return _of_estimate(
        _SQUARE, probe, sigma, dimension, directions, repeats, differences
    )


@simulation(keyed=_KEY)
def backwards(
    probe: float,
    sigma: float,
    directions: int,
    dimension: int = 2,
    repeats: int = 1,
    differences: str = "forward",
) -> Experiment:
    """Whether a gradient estimate points the wrong way."""
    return _of_estimate(
        _BACKWARDS, probe, sigma, dimension, directions, repeats, differences
    )


@simulation(domain=DIFFERENCES, keyed=KEY)
def network(
    probe: float,
    sigma: float,
    dimension: int,
    hidden: int,
    directions: int,
    scale: float = 1.0,
    network: int = 0,
    differences: str = "forward",
) -> Experiment:
    """Cosine between the estimate of a tanh network's margin and its gradient.

    The gradient is that of the noiseless margin at the attacked input; far below a
    scale of 1 the network is linear. Its number seeds weights and attacked input.
    """
    layers = weights(dimension, hidden, scale, network)
    return of_network(True, probe, sigma, directions, differences, layers)
