"""The angle between a gradient estimate and the gradient.

A draw is one estimate: normal directions coordinate by coordinate, a noisy answer for
every query, and the mean of what they say. The loss is linear, or a small network's.
"""

from __future__ import annotations

import math

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean
from querytax.montecarlo._gradient import FORMS, checked, estimates, pairs
from querytax.montecarlo._network import experiment as _of_network
from querytax.montecarlo.runs import Experiment

__all__ = ["backwards", "mean_cosine", "mean_square_cosine", "network"]

_COSINE, _SQUARE, _BACKWARDS = 0, 1, 2


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


def _experiment(
    what: int,
    dimension: int,
    directions: int,
    probe: float,
    sigma: float,
    repeats: int,
    form: str,
) -> Experiment:
    a = checked(dimension, directions, probe, sigma, repeats, form)
    values = (
        a["probe"],
        a["sigma"],
        a["dimension"],
        a["directions"],
        a["repeats"],
        FORMS[form],
        what,
    )
    cost = pairs(a["dimension"], a["directions"], a["repeats"])
    if what == _BACKWARDS:
        return event("angle.backwards", a, _angles, *values, cost=cost)
    name = "angle.mean_square_cosine" if what == _SQUARE else "angle.mean_cosine"
    low = 0.0 if what == _SQUARE else -1.0
    return mean(name, a, _angles, *values, low=low, high=1.0, cost=cost)


def mean_cosine(
    dimension: int,
    directions: int,
    probe: float,
    sigma: float,
    repeats: int = 1,
    form: str = "forward",
) -> Experiment:
    """Cosine between a gradient estimate and the gradient.

    Parameters
    ----------
    dimension : int
        Dimension of the input.
    directions : int
        Directions averaged; at least 2 where the answers are centred.
    probe, sigma : float
        Standard deviations of the probe, in (0, inf), and of the noise, in [0, inf),
        on each input.
    repeats : int
        Repeats of every query, averaged.
    form : {"forward", "antithetic", "centred"}
        A base query for each direction, reflected probes, or answers less their mean.
    """
    return _experiment(_COSINE, dimension, directions, probe, sigma, repeats, form)


def mean_square_cosine(
    dimension: int,
    directions: int,
    probe: float,
    sigma: float,
    repeats: int = 1,
    form: str = "forward",
) -> Experiment:
    """Squared cosine between estimate and gradient; the law's rms is its root.

    Parameters
    ----------
    dimension : int
        Dimension of the input.
    directions : int
        Directions averaged; at least 2 where the answers are centred.
    probe, sigma : float
        Standard deviations of the probe, in (0, inf), and of the noise, in [0, inf),
        on each input.
    repeats : int
        Repeats of every query, averaged.
    form : {"forward", "antithetic", "centred"}
        A base query for each direction, reflected probes, or answers less their mean.
    """
    return _experiment(_SQUARE, dimension, directions, probe, sigma, repeats, form)


def backwards(
    directions: int,
    probe: float,
    sigma: float,
    repeats: int = 1,
    form: str = "forward",
    *,
    dimension: int = 2,
) -> Experiment:
    """Whether a gradient estimate points the wrong way.

    Parameters
    ----------
    directions : int
        Directions averaged; at least 2 where the answers are centred.
    probe, sigma : float
        Standard deviations of the probe, in (0, inf), and of the noise, in [0, inf),
        on each input.
    repeats : int
        Repeats of every query, averaged.
    form : {"forward", "antithetic", "centred"}
        A base query for each direction, reflected probes, or answers less their mean.
    dimension : int
        Dimension of the input.
    """
    return _experiment(_BACKWARDS, dimension, directions, probe, sigma, repeats, form)


def network(
    dimension: int,
    hidden: int,
    directions: int,
    probe: float,
    sigma: float,
    scale: float = 1.0,
    form: str = "forward",
    *,
    network: int = 0,
) -> Experiment:
    """Cosine between the estimate of a tanh network's margin and its gradient.

    The gradient is that of the noiseless margin at the attacked input.

    Parameters
    ----------
    dimension : int
        Dimension of the input.
    hidden : int
        Hidden units, all tanh.
    directions : int
        Directions averaged.
    probe, sigma : float
        Standard deviations of the probe, in (0, inf), and of the noise, in [0, inf),
        on each input.
    scale : float
        Standard deviation of what a hidden unit is given, in (0, inf): far below 1
        the network is linear.
    form : {"forward", "antithetic", "cached"}
        A base query for each direction, reflected probes, or one base query for all.
    network : int
        Seed of the weights and of the attacked input, at least 0.
    """
    return _of_network(
        "angle.network",
        dimension,
        hidden,
        directions,
        probe,
        sigma,
        scale,
        form,
        network,
    )
