"""Figures of single decisions: signs, labels, and the boundary between them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from querytax.figures.ratio import MODELS
from querytax.figures.simulated import counted, crosses, simulate
from querytax.figures.style import GREY, Panel
from querytax.montecarlo import bisection as bisection_draws
from querytax.montecarlo import estimators, margin
from querytax.theory import accuracy, bisection, boundary
from querytax.theory import repeats as repeated
from querytax.theory import snr as made
from querytax.theory.law import RegimeWarning
from querytax.validation import printed

__all__ = [
    "MARGINS",
    "RATES",
    "RAY",
    "SEARCHES",
    "VOTES",
    "bisection_by_halvings",
    "bisection_by_labels",
    "misclassification",
    "price",
    "repeats",
]

# With a = 1: Aithal & Li 2022, Fig. 3(b).
_SIGN_ERROR = 0.3
# Output Randomization 2020, Fig. 1(b).
RATES, _CLASSES = (0.2, 0.1, 0.01, 0.005), 10
# Labels a verdict (SND 2022, Table 5), and noise as a share of the first interval.
VOTES, RAY = (1, 5, 20), 0.01
# Simulated at each of some places of the boundary.
SEARCHES = 4096
# Mean and standard deviation of normal margins.
MARGINS = (1.0, 0.7)


def repeats(ax: Any) -> Any:
    """Repeats that settle a sign: printed, and true."""
    panel = Panel(
        ax,
        "",
        "σ of the output noise (probability)",
        f"N, pairs for {100 * _SIGN_ERROR:g} % wrong signs (count)",
    )
    for like, (model, (level, probe, _, _)) in enumerate(MODELS.items()):
        pole = level * np.sqrt(0.5 * probe)
        sigma = np.logspace(-8, -2, 181)
        change = level * np.expm1(probe)
        true = repeated.fixed(made.output(change**2, sigma), _SIGN_ERROR)
        panel.line(f"{model}, true", sigma, true, like=like, linestyle="-")
        # Where it is 10 and 100: more take long to draw.
        few = np.interp((10.0, 100.0), true, sigma)
        drawn = (
            counted(partial(estimators.outputs_first, change, each), _SIGN_ERROR)
            for each in few
        )
        crosses(panel, f"{model}, true", few, drawn)
        below = pole * (1.0 - np.logspace(0, -3, 120))
        below = below[below > sigma[0]]
        wrong = printed.repeats_8(probe, below, level, _SIGN_ERROR)
        panel.line(
            f"{model}, printed",
            below,
            wrong,
            like=like,
            linestyle="--",
            markerfacecolor="0.6",
        )
        ax.axvline(pole, color=ax.lines[-1].get_color(), lw=0.8, ls=":")
    panel.level(1.0)
    panel.limits(y=(1e-3, 1e13))
    return ax


def misclassification(ax: Any) -> Any:
    """Noise that a confidence allows, at given rates of error."""
    panel = Panel(
        ax,
        "",
        "δ, lead of the first class over the second (probability)",
        "σ², largest variance of the noise (probability²)",
        xscale="linear",
        yscale="linear",
    )
    lead = np.linspace(0.0, 1.0, 101)
    # The leader aside, all classes are alike.
    rest = (1.0 - lead) / _CLASSES
    outputs = np.column_stack([rest + lead, *[rest] * (_CLASSES - 1)])
    for like, rate in enumerate(RATES):
        share = f"{100 * rate:g} %"
        two = accuracy.two_class_sigma(lead, rate) ** 2
        panel.line(f"{share}, two classes", lead, two, like=like, linestyle="-")
        many = accuracy.largest_sigma(outputs, rate) ** 2
        panel.line(
            f"{share}, {_CLASSES} classes",
            lead,
            many,
            like=like,
            linestyle="--",
            markerfacecolor="0.6",
        )
    panel.limits(x=(0.0, 1.0), y=(0.0, None))
    panel.legend("upper left", title="labels changed", ncols=1)
    return ax


_HALVINGS = np.arange(1, 15)
# By one place of the boundary alone the error zigzags with its digits.
_PLACES = 0.3 + 0.4 * (np.arange(16) + 0.5) / 16
_SEARCH_ERROR = "RMS error (share of the first interval)"
_SEARCH_RANGE = (0.1 * RAY, 0.3)


def _searches() -> Iterator[tuple[str, int, Any]]:
    """The error of bisection by halvings, for each number of votes."""
    for votes in VOTES:
        each_place = bisection.rmse(_PLACES[:, None], RAY, _HALVINGS, votes)
        name = "1 label a halving" if votes == 1 else f"majority of {votes}"
        yield name, votes, np.sqrt(np.square(each_place).mean(axis=0))


def _searched(halvings: int, votes: int) -> Any:
    """The same, simulated; ends that are averaged lie wider than need be."""
    square = [
        simulate(bisection_draws.mean_square(place, RAY, halvings, votes), SEARCHES)
        for place in _PLACES
    ]
    return np.sqrt(np.mean(square, axis=0))


def bisection_by_halvings(ax: Any) -> Any:
    """Error of bisection on noisy labels, with and without votes."""
    panel = Panel(ax, "by halvings", "halvings (count)", _SEARCH_ERROR, xscale="linear")
    for name, votes, error in _searches():
        panel.line(name, _HALVINGS, error)
        few = _HALVINGS[7::3]
        crosses(panel, name, few, (_searched(int(n), votes) for n in few))
    panel.level(RAY)
    ax.annotate(
        "σ",
        (1.0, RAY),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 2),
        textcoords="offset points",
        ha="right",
        color=GREY,
    )
    panel.limits(y=_SEARCH_RANGE)
    return ax


def bisection_by_labels(ax: Any) -> Any:
    """The same by labels spent, and the bound by what they tell."""
    panel = Panel(ax, "by labels spent", "labels (count)", _SEARCH_ERROR)
    for name, votes, error in _searches():
        panel.line(name, _HALVINGS * votes, error)
    labels = np.logspace(1, np.log10(_HALVINGS[-1] * VOTES[-1]), 41).round()
    least = bisection.information_rmse(RAY, np.unique(labels))
    panel.line("bound by information", np.unique(labels), least, like=6, marker="")
    panel.limits(y=_SEARCH_RANGE)
    return ax


def price(ax: Any) -> Any:
    """What noise does to labels: linear flips, quadratic loss."""
    panel = Panel(
        ax,
        "",
        "σ of the noise on the margin (margin units)",
        "share of all answers (fraction)",
    )
    mean, spread = MARGINS

    def density(x: Any) -> Any:
        height = spread * np.sqrt(2.0 * np.pi)
        return np.exp(-0.5 * np.square((x - mean) / spread)) / height

    sigma = np.logspace(-2, 0.5, 51)
    # Margins on both sides of the boundary; beyond nine deviations nothing flips.
    size = np.linspace(0.0, 9.0, 2001)[:, None] * sigma
    flip = boundary.flip(size, sigma)
    right, wrong = density(size), density(-size)
    flips = np.trapezoid((right + wrong) * flip, size, axis=0)
    lost = np.trapezoid((right - wrong) * flip, size, axis=0)
    at_boundary = density(0.0)
    panel.line("answers changed, exact", sigma, flips)
    curvature = at_boundary * mean / spread**2
    with warnings.catch_warnings():
        # Drawn on to where they leave the truth.
        warnings.simplefilter("ignore", RegimeWarning)
        linear = boundary.flip_rate(at_boundary, sigma)
        loss = boundary.net_loss(curvature, sigma)
    panel.line("answers changed, linear law", sigma, linear)
    panel.line("accuracy lost, exact", sigma, lost)
    panel.line("accuracy lost, quadratic law", sigma, loss)
    few = np.logspace(-1, 0.5, 4)
    margins = stats.norm.ppf((np.arange(2000) + 0.5) / 2000, mean, spread)
    for of, experiment in (
        ("answers changed, exact", margin.flip_share),
        ("accuracy lost, exact", margin.accuracy_loss),
    ):
        drawn = (simulate(experiment(margins, 1.0, each)) for each in few)
        crosses(panel, of, few, drawn)
    panel.limits(y=(1e-5, 2.0))
    panel.legend("lower right")
    return ax
