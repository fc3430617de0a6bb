"""What averaging noisy answers converges to: noise before an activation, and its mean.

A draw is the value of one noisy unit, output or margin. Its mean is not the value of
the mean, and that is what is looked for. Values of one number use both normals of a
pair and average the two.
"""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean as mean_of
from querytax.montecarlo._blocks import normals
from querytax.montecarlo.runs import Experiment

__all__ = [
    "clipped_mean",
    "gelu_mean",
    "leaky_relu_mean",
    "reflected_mean",
    "relu_mean",
    "three_class_margin",
    "two_class_margin",
]


@kernel
def _bent(out, first, mean, sigma, below, high, k0, k1):  # type: ignore[no-untyped-def]
    """A line with the slope ``below`` on the left of 0, cut at ``high``."""
    a, b = np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    for i in range(out.size):
        x, y = mean + sigma * a[i], mean + sigma * b[i]
        x = min(max(x, 0.0) + below * min(x, 0.0), high)
        y = min(max(y, 0.0) + below * min(y, 0.0), high)
        out[i] = 0.5 * (x + y)


def relu_mean(mean: float, sigma: float) -> Experiment:
    """Value of a ReLU whose input carries normal noise.

    Parameters
    ----------
    mean : float
        Noiseless input of the activation, finite.
    sigma : float
        Standard deviation of the noise on it, in (0, inf).
    """
    return mean_of(
        "bias.relu_mean",
        {"mean": expect.finite(mean=mean), "sigma": expect.positive(sigma=sigma)},
        _bent,
        float(mean),
        float(sigma),
        0.0,
        math.inf,
        low=0.0,
    )


def leaky_relu_mean(mean: float, sigma: float, slope: float) -> Experiment:
    """Value of a leaky ReLU whose input carries normal noise.

    Parameters
    ----------
    mean : float
        Noiseless input of the activation, finite.
    sigma : float
        Standard deviation of the noise on it, in (0, inf).
    slope : float
        Slope below zero, in [0, 1].
    """
    return mean_of(
        "bias.leaky_relu_mean",
        {
            "mean": expect.finite(mean=mean),
            "sigma": expect.positive(sigma=sigma),
            "slope": expect.unit(slope=slope),
        },
        _bent,
        float(mean),
        float(sigma),
        float(slope),
        math.inf,
    )


@kernel
def _gelu(out, first, mean, sigma, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    root = math.sqrt(0.5)
    # libm's error function: this loop is no SIMD code.
    for i in range(out.size):
        x, y = mean + sigma * a[i], mean + sigma * b[i]
        x *= math.erfc(-x * root)
        y *= math.erfc(-y * root)
        out[i] = 0.25 * (x + y)


def gelu_mean(mean: float, sigma: float) -> Experiment:
    """Value of a GELU, x Φ(x), whose input carries normal noise.

    Parameters
    ----------
    mean : float
        Noiseless input of the activation, finite.
    sigma : float
        Standard deviation of the noise on it, in (0, inf).
    """
    return mean_of(
        "bias.gelu_mean",
        {"mean": expect.finite(mean=mean), "sigma": expect.positive(sigma=sigma)},
        _gelu,
        float(mean),
        float(sigma),
        low=-0.17,
        cost=4.0,
    )


@kernel
def _two_classes(out, first, margin, sigma, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    for i in range(out.size):
        one, two = margin + sigma * a[i], sigma * b[i]
        top = max(one, two)
        one, two = math.exp(one - top), math.exp(two - top)
        out[i] = (one - two) / (one + two)


def two_class_margin(margin: float, sigma: float) -> Experiment:
    """Difference of two softmax probabilities whose logits carry independent noise.

    Parameters
    ----------
    margin : float
        Noiseless difference of the two logits, finite.
    sigma : float
        Standard deviation of the noise on the difference, in (0, inf): each logit has
        ``sigma/√2``.
    """
    each = math.sqrt(0.5) * expect.positive(sigma=sigma)
    return mean_of(
        "bias.two_class_margin",
        {"margin": expect.finite(margin=margin), "sigma": sigma},
        _two_classes,
        float(margin),
        each,
        low=-1.0,
        high=1.0,
        cost=2.0,
    )


@kernel
def _three_classes(  # type: ignore[no-untyped-def]
    out, first, margin, other_margin, sigma, k0, k1
):
    own, spare = np.empty(out.size), np.empty(out.size)
    one, two = np.empty(out.size), np.empty(out.size)
    normals(own, spare, first, 0, 0, k0, k1)
    normals(one, two, first, 1, 0, k0, k1)
    for i in range(out.size):
        rival = max(sigma * one[i] - margin, sigma * two[i] - other_margin)
        out[i] = sigma * own[i] - rival


def three_class_margin(margin: float, other_margin: float, sigma: float) -> Experiment:
    """Margin of one noisy logit over the better of two noisy rivals.

    Parameters
    ----------
    margin, other_margin : float
        Noiseless logit minus each rival's, finite.
    sigma : float
        Standard deviation of the difference of the rivals' logits, in (0, inf): each
        logit has ``sigma/√2``, independent of the others.
    """
    each = math.sqrt(0.5) * expect.positive(sigma=sigma)
    return mean_of(
        "bias.three_class_margin",
        {
            "margin": expect.finite(margin=margin),
            "other_margin": expect.finite(other_margin=other_margin),
            "sigma": sigma,
        },
        _three_classes,
        float(margin),
        float(other_margin),
        each,
        cost=2.0,
    )


def reflected_mean(output: float, sigma: float) -> Experiment:
    """A noisy output that is reflected at zero.

    Parameters
    ----------
    output : float
        Noiseless output, in [0, inf).
    sigma : float
        Standard deviation of its noise, in (0, inf).
    """
    return mean_of(
        "bias.reflected_mean",
        {
            "output": expect.nonnegative(output=output),
            "sigma": expect.positive(sigma=sigma),
        },
        _bent,
        float(output),
        float(sigma),
        -1.0,
        math.inf,
        low=0.0,
    )


def clipped_mean(output: float, sigma: float) -> Experiment:
    """A noisy probability that is clipped to [0, 1].

    Parameters
    ----------
    output : float
        Noiseless output, in [0, 1].
    sigma : float
        Standard deviation of its noise, in (0, inf).
    """
    return mean_of(
        "bias.clipped_mean",
        {"output": expect.unit(output=output), "sigma": expect.positive(sigma=sigma)},
        _bent,
        float(output),
        float(sigma),
        0.0,
        1.0,
        low=0.0,
        high=1.0,
    )
