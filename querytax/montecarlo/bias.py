"""What averaging noisy answers converges to: noise before an activation, and its mean.

A draw is the value of one noisy unit, output or margin. Its mean is not the value of
the mean, and that is what is looked for. Values of one number use both normals of a
pair and average the two.
"""

from __future__ import annotations

import math

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean, normals
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _bent(out, first, value, sigma, below, high, k0, k1):  # type: ignore[no-untyped-def]
    """A line with the slope ``below`` on the left of 0, cut at ``high``."""
    a, b = np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    for i in range(out.size):
        x, y = value + sigma * a[i], value + sigma * b[i]
        x = min(max(x, 0.0) + below * min(x, 0.0), high)
        y = min(max(y, 0.0) + below * min(y, 0.0), high)
        out[i] = 0.5 * (x + y)


@simulation(keyed="mean=value sigma=value_sigma")
def relu_mean(value: float, value_sigma: float) -> Experiment:
    """Value of a ReLU whose input carries normal noise."""
    return mean(_bent, value, value_sigma, 0.0, math.inf, low=0.0)


@simulation(keyed="mean=value sigma=value_sigma slope=negative_slope")
def leaky_relu_mean(
    value: float, negative_slope: float, value_sigma: float
) -> Experiment:
    """Value of a leaky ReLU whose input carries normal noise."""
    return mean(_bent, value, value_sigma, negative_slope, math.inf)


@kernel
def _gelu(out, first, value, sigma, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    root = math.sqrt(0.5)
    # libm's error function: this loop is no SIMD code.
    for i in range(out.size):
        x, y = value + sigma * a[i], value + sigma * b[i]
        x *= math.erfc(-x * root)
        y *= math.erfc(-y * root)
        out[i] = 0.25 * (x + y)


@simulation(keyed="mean=value sigma=value_sigma")
def gelu_mean(value: float, value_sigma: float) -> Experiment:
    """Value of a GELU, x Φ(x), whose input carries normal noise."""
    return mean(_gelu, value, value_sigma, low=-0.17, cost=4.0)


@kernel
def _two_classes(out, first, margin, sigma, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    for i in range(out.size):
        one, two = margin + sigma * a[i], sigma * b[i]
        top = max(one, two)
        one, two = math.exp(one - top), math.exp(two - top)
        out[i] = (one - two) / (one + two)


@simulation(keyed="margin sigma=margin_sigma")
def two_class_margin(margin: float, margin_sigma: float) -> Experiment:
    """Difference of two softmax probabilities whose logits carry independent noise.

    Each logit has ``margin_sigma/√2``.
    """
    each = math.sqrt(0.5) * margin_sigma
    return mean(_two_classes, margin, each, low=-1.0, high=1.0, cost=2.0)


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


@simulation(keyed="margin other_margin=second_margin sigma=rivals_sigma")
def three_class_margin(
    margin: float, second_margin: float, rivals_sigma: float
) -> Experiment:
    """Margin of one noisy logit over the better of two noisy rivals.

    Each logit has ``rivals_sigma/√2``, independent of the others.
    """
    each = math.sqrt(0.5) * rivals_sigma
    return mean(_three_classes, margin, second_margin, each, cost=2.0)


@simulation()
def reflected_mean(output: float, sigma: float) -> Experiment:
    """A noisy output that is reflected at zero."""
    return mean(_bent, output, sigma, -1.0, math.inf, low=0.0)


@simulation(domain={"output": "[0, 1]"})
def clipped_mean(output: float, sigma: float) -> Experiment:
    """A noisy probability that is clipped to [0, 1]."""
    return mean(_bent, output, sigma, 0.0, 1.0, low=0.0, high=1.0)
