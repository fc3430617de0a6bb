"""Logarithms of ratios of noisy outputs: draw both answers, release, and subtract.

What the defender releases has three forms: ``"raw"``, of which the magnitude is read;
``"reflect"``, min(\\|F+v\\|, 1); and ``"clip"``, F+v cut at 1 and at a floor above 0,
for a clipped answer of 0 has no logarithm.
"""

from __future__ import annotations

import sys

import numpy as np

from querytax import expect
from querytax.kernels import inlined, kernel
from querytax.montecarlo._blocks import mean as _mean
from querytax.montecarlo._philox import log, normal_pair, philox
from querytax.montecarlo.runs import Experiment

__all__ = ["mean", "variance"]


@inlined
def _draw(sample, step, one, two, sigma, fold, low, high, k0, k1):  # type: ignore[no-untyped-def]
    w0, w1, w2, w3 = philox(sample, step, 0, k0, k1)
    a, b = normal_pair(w0, w1, w2, w3)
    x, y = one + sigma * a, two + sigma * b
    x, y = (abs(x) if fold else x), (abs(y) if fold else y)
    x, y = min(max(x, low), high), min(max(y, low), high)
    return log(x / y)


@kernel
def _logs(out, first, one, two, sigma, fold, low, high, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        sample = first + np.uint64(i)
        out[i] = _draw(sample, 0, one, two, sigma, fold, low, high, k0, k1)


@kernel
def _spreads(out, first, one, two, sigma, fold, low, high, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        sample = first + np.uint64(i)
        x = _draw(sample, 0, one, two, sigma, fold, low, high, k0, k1)
        y = _draw(sample, 1, one, two, sigma, fold, low, high, k0, k1)
        out[i] = 0.5 * (x - y) * (x - y)


def _experiment(
    name: str, output: float, other_output: float, sigma: float, form: str, floor: float
) -> Experiment:
    expect.one_of(("raw", "reflect", "clip"), form=form)
    if form == "clip":
        expect.probability(floor=floor)
    spread = name == "variance"
    # The smallest number with a logarithm; no draw comes near.
    low, high = sys.float_info.min, sys.float_info.max
    return _mean(
        f"log_ratio.{name}",
        {
            "output": expect.nonnegative(output=output),
            "other_output": expect.nonnegative(other_output=other_output),
            "sigma": expect.positive(sigma=sigma),
            "form": form,
            "floor": floor if form == "clip" else 0.0,
        },
        _spreads if spread else _logs,
        float(output),
        float(other_output),
        float(sigma),
        form != "clip",
        floor if form == "clip" else low,
        high if form == "raw" else 1.0,
        cost=2.0 if spread else 1.0,
    )


def mean(
    output: float,
    other_output: float,
    sigma: float,
    form: str = "raw",
    floor: float = 0.0,
) -> Experiment:
    """Mean logarithm of the ratio of two noisy outputs as released.

    Parameters
    ----------
    output, other_output : float
        Noiseless outputs F1 over F2, in [0, inf).
    sigma : float
        Standard deviation of the noise on each output, in (0, inf).
    form : {"raw", "reflect", "clip"}
    floor : float
        Least value of a clipped output, in (0, 1); for no other form.
    """
    return _experiment("mean", output, other_output, sigma, form, floor)


def variance(
    output: float,
    other_output: float,
    sigma: float,
    form: str = "raw",
    floor: float = 0.0,
) -> Experiment:
    """Variance of that logarithm: half the squared difference of two of them.

    Parameters
    ----------
    output, other_output : float
        Noiseless outputs F1 over F2, in [0, inf).
    sigma : float
        Standard deviation of the noise on each output, in (0, inf).
    form : {"raw", "reflect", "clip"}
    floor : float
        Least value of a clipped output, in (0, 1); for no other form.
    """
    return _experiment("variance", output, other_output, sigma, form, floor)
