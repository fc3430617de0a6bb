"""Figures of attacks that follow an estimated gradient."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from querytax.figures.ratio import MODELS, NES
from querytax.figures.simulated import crosses, simulate
from querytax.figures.style import GREY, Panel
from querytax.montecarlo import contraction as draws
from querytax.montecarlo import second_moment as moments
from querytax.theory import contraction, query_ratio, second_moment, stationarity
from querytax.theory import snr as made
from querytax.theory.law import RegimeWarning
from querytax.validation import printed, printed_curves

__all__ = [
    "CONTRACTION",
    "ESTIMATES",
    "REMAINING",
    "averaged_size",
    "descent_loss",
    "estimate_size",
    "query_ratio_over_noise",
    "query_ratio_over_snr",
]

# aλ with a = 0.1 and λ = 2, and η/v0 = ε: Aithal & Li 2022, Section IV-A.
CONTRACTION, REMAINING = 0.2, 0.01
# Dimension of a CIFAR image, L0 that SND's numbers imply, and L1 and probe of a
# moderate attack.
DIMENSION, LIPSCHITZ, SMOOTHNESS, PROBE = 3072, 4.0, 1.0, 0.01
# Simulated at each noise.
ESTIMATES = 2048


def _printed(snr: Any) -> tuple[Any, Any]:
    """Eq. (6), and where it warns of its regime."""
    values, inside = [], []
    for s in snr:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RegimeWarning)
            values.append(printed.query_ratio_6(s, CONTRACTION, REMAINING, REMAINING))
        inside.append(not caught)
    return np.array(values), np.array(inside)


def query_ratio_over_snr(ax: Any) -> Any:
    """The printed query ratio, and what attackers achieve."""
    panel = Panel(
        ax,
        "over the signal-to-noise ratio",
        "S, signal-to-noise ratio of one pair (power ratio)",
        "R, queries over those without noise (ratio)",
    )
    s = np.logspace(-12, 3, 301)
    whole, inside = _printed(s)
    panel.line("printed, eq. (6)", s, whole)
    panel.line("NES, best step", s, query_ratio.best_step(s, **NES))
    best = query_ratio.best_constant_step(s, CONTRACTION)
    panel.line("one mode, best step (MS)", s, best)
    # Both count steps to the same rest: their ratio is that of the rates.
    free = np.log1p(-CONTRACTION)
    typical = free / contraction.best_lyapunov(s)
    panel.line("one mode, typical run", s, typical)
    few = np.logspace(-11, 1, 5)
    steps = contraction.almost_sure_step(few)
    growths = (simulate(draws.lyapunov(*each)) for each in zip(few, steps, strict=True))
    crosses(panel, "one mode, typical run", few, (free / each for each in growths))
    growth = np.log(contraction.mean_square(s, CONTRACTION))
    kept = growth < -1e-3
    unchanged = 2.0 * free / growth[kept]
    panel.line("one mode, unchanged (MS)", s[kept], unchanged)
    sure = float(contraction.almost_sure_threshold(CONTRACTION))
    panel.mark(sure, "unchanged step\ndiverges surely", side="right")
    ax.axvspan(s[inside].min(), s.max(), color="0.88", lw=0, zorder=0)
    ax.annotate(
        "regime of (6)",
        (s[inside].min(), 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(3, 0),
        textcoords="offset points",
        va="top",
        fontsize=8.0,
        color=GREY,
    )
    panel.limits(x=(s.min(), s.max()), y=(1e-2, 1e13))
    panel.legend("center left", bbox_to_anchor=(0.0, 0.3))
    return ax


def query_ratio_over_noise(ax: Any) -> Any:
    """Query ratios of the paper's models: printed, and of their mean square."""
    panel = Panel(
        ax,
        "over the noise",
        "σ of the output noise (probability)",
        "R, queries over those without noise (ratio)",
    )
    sigma = np.logspace(-6, -1, 101)
    for like, (model, (_, _, change, spread)) in enumerate(MODELS.items()):
        whole, _ = _printed(made.output(change**2, sigma))
        filled = {"linestyle": "--", "markerfacecolor": "0.6"}
        panel.line(f"{model}, printed", sigma, whole, like=like, **filled)
        snr = made.output(change**2 + spread**2, sigma)
        best = query_ratio.best_step(snr, **NES)
        panel.line(f"{model}, NES", sigma, best, like=like, linestyle="-")
    panel.limits(y=(0.5, 1e15))
    panel.legend("upper left")
    return ax


_ALPHA, _ALPHAS = "α, noise over probe (ratio)", np.logspace(-2, 2, 121)
_SIZE = "E‖g‖² (loss² per pixel²)"


def estimate_size(ax: Any) -> Any:
    """RND's bound on one estimate as printed, tight, and an exact moment."""
    size = Panel(ax, "size of one estimate", _ALPHA, _SIZE)
    d, steep, mu, alpha = DIMENSION, LIPSCHITZ, PROBE, _ALPHAS
    nu = alpha * mu
    size.line("printed", alpha, printed_curves.moment_lipschitz(steep, d, mu, nu))
    size.line("tight", alpha, second_moment.lipschitz_bound(steep, mu, nu, d))
    size.line("linear loss, exact", alpha, second_moment.linear(steep, mu, nu, d))
    few = np.logspace(-2, 2, 5)
    linear = (moments.linear(steep, mu, each * mu, d) for each in few)
    crosses(
        size, "linear loss, exact", few, (simulate(each, ESTIMATES) for each in linear)
    )
    size.legend("upper left")
    return ax


def descent_loss(ax: Any) -> Any:
    """RND's coefficient of descent, printed and tight."""
    y = "coefficient of η² (loss³ per pixel⁴)"
    lost = Panel(ax, "what a step may lose", _ALPHA, y)
    d, steep, mu, alpha = DIMENSION, LIPSCHITZ, PROBE, _ALPHAS
    nu = alpha * mu
    coefficient = printed_curves.descent_coefficient(steep, d, mu, nu)
    lost.line("printed", alpha, coefficient)
    lost.line("tight", alpha, stationarity.coefficient(steep, mu, nu, d))
    lost.mark(float(stationarity.least_noise_ratio(d)), "least", y=0.5, side="right")
    lost.legend("upper left")
    return ax


def averaged_size(ax: Any) -> Any:
    """RND's bound on an average of estimates, at α = 2."""
    more = Panel(ax, "after averaging", "M, repeats (count)", _SIZE)
    d, steep, bend, mu = DIMENSION, LIPSCHITZ, SMOOTHNESS, PROBE
    repeats = np.unique(np.round(np.logspace(0, 4, 81)))
    nu = 2.0 * mu
    printed = printed_curves.moment_averaged(steep, bend, d, mu, nu, repeats)
    more.line("printed", repeats, printed)
    tight = second_moment.smooth_bound(steep, bend, mu, nu, d, repeats)
    more.line("tight, smooth loss", repeats, tight)
    exact = second_moment.linear(steep, mu, nu, d, repeats)
    more.line("linear loss, exact", repeats, exact)
    more.legend("center right")
    return ax
