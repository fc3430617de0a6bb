"""Figures of bias, and of what no attacker can beat."""

from __future__ import annotations

from typing import Any

import numpy as np

from querytax.figures.ratio import ERROR, MODELS
from querytax.figures.simulated import crosses, simulate
from querytax.figures.style import Panel
from querytax.montecarlo import bias as draws
from querytax.montecarlo import smoothing as smoothed
from querytax.theory import bias, smoothing
from querytax.theory import floors as least
from querytax.theory import repeats as repeated
from querytax.theory import snr as made

__all__ = [
    "ATTACK",
    "PIXELS",
    "SIGN_SHARE",
    "explained_share",
    "least_queries",
    "quadratic_bias",
    "relu_bias",
    "relu_mean",
]

# A CIFAR image, an output that rises by 0.1 over a unit of distance, queries within
# the ball of an 8/255 budget.
ATTACK = {"dimension": 3072, "gradient_norm": 0.1, "radius": 8 / 255 * 3072**0.5}
SIGN_SHARE = 0.25
# SND 2022, example 1: an ImageNet image.
PIXELS = 224 * 224 * 3


# SND 2022, example 2: w = 1, b = 0; m is the noiseless wx + b.
_INPUT = "m, noiseless input of the ReLU (its units)"
_INPUTS = np.linspace(-2.0, 2.0, 161)
_NOISES = (0.1, 0.5, 1.0)


def _relus(sigma: float) -> tuple[Any, Any]:
    """Simulated means, and where: no draws tell a bias that no unit notices."""
    few = sigma * np.linspace(-2.0, 2.0, 5)
    return few, np.array([simulate(draws.relu_mean(m, sigma)) for m in few])


def relu_mean(ax: Any) -> Any:
    """The mean of a ReLU whose input is noisy."""
    panel = Panel(ax, "mean output", _INPUT, "mean (units of m)", "linear", "linear")
    panel.line("no noise", _INPUTS, np.maximum(_INPUTS, 0.0), like=6, marker="")
    for like, sigma in enumerate(_NOISES):
        mean = bias.relu_mean(_INPUTS, sigma)
        panel.line(f"ReLU, s = {sigma:g}", _INPUTS, mean, like=like)
        crosses(panel, f"ReLU, s = {sigma:g}", *_relus(sigma))
    panel.legend("upper left")
    return ax


def relu_bias(ax: Any) -> Any:
    """What noise adds to the mean of a ReLU, and of a GELU."""
    y = "bias (units of m)"
    panel = Panel(ax, "bias of the mean", _INPUT, y, "linear", "linear")
    for sigma in _NOISES:
        panel.line(f"ReLU, s = {sigma:g}", _INPUTS, bias.relu_bias(_INPUTS, sigma))
        few, mean = _relus(sigma)
        noiseless = np.maximum(few, 0.0)[:, None]
        crosses(panel, f"ReLU, s = {sigma:g}", few, mean - noiseless)
    for sigma in _NOISES[1:]:
        panel.line(f"GELU, s = {sigma:g}", _INPUTS, bias.gelu_bias(_INPUTS, sigma))
    panel.limits(y=(-0.02, 0.65))
    panel.legend("upper right", ncols=2, handlelength=2.4, columnspacing=1.0)
    return ax


def quadratic_bias(ax: Any) -> Any:
    """What input noise adds to ‖x‖², and how far one answer scatters."""
    x, y = "σ of the input noise (pixels in [0, 1])", "loss (pixel²)"
    panel = Panel(ax, "‖x‖² under input noise", x, y)
    sigma = np.logspace(-4, 0, 41)
    # The Hessian is twice the identity, the gradient 2x; ‖x‖² of uniform pixels.
    typical, frobenius = np.sqrt(PIXELS / 3.0), 2.0 * np.sqrt(PIXELS)
    spread = smoothing.quadratic_spread
    panel.line("bias, at every x", sigma, smoothing.quadratic_gap(2.0, sigma, PIXELS))
    panel.line("std, x = 0", sigma, spread(0.0, frobenius, sigma))
    one = spread(2.0 * typical, frobenius, sigma)
    panel.line("std, uniform pixels", sigma, one)
    panel.line("‖x‖², uniform pixels", sigma, typical**2, like=6, marker="")
    few = np.logspace(-3, -1, 3)
    gaps = (simulate(smoothed.quadratic_gap(2.0, each, PIXELS), 100) for each in few)
    crosses(panel, "bias, at every x", few, gaps)
    panel.legend("lower right")
    return ax


def least_queries(ax: Any) -> Any:
    """Queries below which no attack of any kind succeeds."""
    sigma = np.logspace(-4, 0, 81)
    change = MODELS["CIFAR10"].change
    x = "σ of the output noise (probability)"
    count = Panel(ax, "least queries", x, "queries (count)")
    pairs = least.pairs_per_sign(change, sigma, ERROR)
    count.line("one sign, pairs fixed in advance", sigma, 2.0 * pairs)
    snr = made.output(change**2, sigma)
    many = snr <= 0.1
    wald = repeated.walds_pairs(snr[many], ERROR)
    count.line("one sign, Wald's test", sigma[many], 2.0 * wald)
    anyone = least.queries_any_attacker(change, sigma, ERROR)
    count.line("two models told apart, any attacker", sigma, anyone)
    signs = least.gradient_signs(sigma=sigma, error=SIGN_SHARE, **ATTACK)
    count.line(f"{100 * (1 - SIGN_SHARE):g} % of a gradient's signs", sigma, signs)
    count.level(1.0)
    count.legend("upper left")
    return ax


def explained_share(ax: Any) -> Any:
    """The largest share of a gradient that queries can explain."""
    y = "explained share of the squared gradient (ratio)"
    known = Panel(ax, "most that queries explain", "queries (count)", y)
    queries = np.logspace(0, 8, 81)
    for noise in (0.001, 0.01, 0.1):
        share = least.explained_fraction(sigma=noise, queries=queries, **ATTACK)
        known.line(f"σ = {noise:g}", queries, share)
    known.legend("lower right")
    return ax
