"""Figures of bias, and of what no attacker can beat."""

from __future__ import annotations

from typing import Any

import numpy as np

from querytax.figures.ratio import ERROR, MODELS
from querytax.figures.style import Curve, Panel
from querytax.theory import bias
from querytax.theory import floors as least
from querytax.theory import repeats as repeated
from querytax.theory import snr as made

__all__ = ["ATTACK", "SIGN_SHARE", "floors", "relu_bias"]

# A CIFAR image, an output that rises by 0.1 over a unit of distance, queries within
# the ball of an 8/255 budget.
ATTACK = {"dimension": 3072, "gradient_norm": 0.1, "radius": 8 / 255 * 3072**0.5}
SIGN_SHARE = 0.25


def relu_bias(figure: Any) -> list[Curve]:
    """What noise adds to the mean of a ReLU."""
    curves: list[Curve] = []
    left, right = figure.subplots(1, 2)
    m = np.linspace(-2.0, 2.0, 161)
    # SND 2022, example 2: w = 1, b = 0; m is the noiseless wx + b.
    x = "m, noiseless input of the ReLU (its units)"
    whole = Panel(
        left, curves, "mean output", x, "mean (units of m)", "linear", "linear"
    )
    whole.line("no noise", m, np.maximum(m, 0.0), like=6, marker="")
    shift = Panel(
        right, curves, "bias of the mean", x, "bias (units of m)", "linear", "linear"
    )
    for like, sigma in enumerate((0.1, 0.5, 1.0)):
        whole.line(f"ReLU, s = {sigma:g}", m, bias.relu_mean(m, sigma), like=like)
        shift.line(f"ReLU, s = {sigma:g}", m, bias.relu_bias(m, sigma), like=like)
    for like, sigma in ((3, 0.5), (4, 1.0)):
        shift.line(f"GELU, s = {sigma:g}", m, bias.gelu_bias(m, sigma), like=like)
    whole.legend("upper left")
    shift.legend("upper right")
    return curves


def floors(figure: Any) -> list[Curve]:
    """Queries below which no attack of any kind succeeds."""
    curves: list[Curve] = []
    left, right = figure.subplots(1, 2)
    sigma = np.logspace(-4, 0, 81)
    change = MODELS["CIFAR10"].change
    x = "σ of the output noise (probability)"
    count = Panel(left, curves, "least queries", x, "queries (count)")
    pairs = least.pairs_per_sign(ERROR, sigma, change)
    count.line("one sign, pairs fixed in advance", sigma, 2.0 * pairs)
    snr = made.output(change**2, sigma)
    many = snr <= 0.1
    wald = repeated.walds_pairs(snr[many], ERROR)
    count.line("one sign, Wald's test", sigma[many], 2.0 * wald)
    anyone = least.queries_any_attacker(ERROR, sigma, change)
    count.line("two models told apart, any attacker", sigma, anyone)
    signs = least.gradient_signs(SIGN_SHARE, sigma=sigma, **ATTACK)
    count.line(f"{100 * (1 - SIGN_SHARE):g} % of a gradient's signs", sigma, signs)
    count.axes.axhline(1.0, color="0.35", linewidth=0.9, linestyle=":")
    count.legend("upper left")

    y = "explained share of the squared gradient (ratio)"
    known = Panel(right, curves, "most that queries explain", "queries (count)", y)
    queries = np.logspace(0, 8, 81)
    for noise in (0.001, 0.01, 0.1):
        share = least.explained_fraction(queries, sigma=noise, **ATTACK)
        known.line(f"σ = {noise:g}", queries, share)
    known.legend("lower right")
    return curves
