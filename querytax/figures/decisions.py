"""Figures of single decisions: signs, labels, and the boundary between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from querytax.figures.ratio import MODELS
from querytax.figures.style import Curve, Panel
from querytax.theory import accuracy, bisection, boundary
from querytax.theory import repeats as repeated
from querytax.theory import snr as made
from querytax.validation import printed

__all__ = [
    "MARGINS",
    "RATES",
    "RAY",
    "VOTES",
    "bisections",
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
# Mean and standard deviation of normal margins.
MARGINS = (1.0, 0.7)


def repeats(figure: Any) -> list[Curve]:
    """Repeats that settle a sign: printed, and true."""
    curves: list[Curve] = []
    panel = Panel(
        figure.subplots(),
        curves,
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
        panel.axes.axvline(pole, color=panel.axes.lines[-1].get_color(), lw=0.8, ls=":")
    panel.axes.axhline(1.0, color="0.35", linewidth=0.9, linestyle=":")
    panel.limits(y=(1e-3, 1e13))
    figure.legend(loc="outside lower center", ncols=3)
    return curves


def misclassification(figure: Any) -> list[Curve]:
    """Noise that a confidence allows, at given rates of error."""
    curves: list[Curve] = []
    panel = Panel(
        figure.subplots(),
        curves,
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
    return curves


def bisections(figure: Any) -> list[Curve]:
    """Bisection on noisy labels, with and without votes."""
    curves: list[Curve] = []
    left, right = figure.subplots(1, 2, sharey=True)
    n = np.arange(1, 15)
    # By one place of the boundary alone the error zigzags with its digits.
    places = 0.3 + 0.4 * (np.arange(16) + 0.5) / 16
    y = "RMS error (share of the first interval)"
    each = Panel(left, curves, "by halvings", "halvings (count)", y, xscale="linear")
    spent = Panel(right, curves, "by labels spent", "labels (count)", y)
    spent.axes.set_ylabel("")
    for votes in VOTES:
        each_place = bisection.rmse(places[:, None], RAY, n, votes)
        error = np.sqrt(np.square(each_place).mean(axis=0))
        name = "1 label a halving" if votes == 1 else f"majority of {votes}"
        each.line(name, n, error)
        spent.line(name, n * votes, error)
    labels = np.logspace(1, np.log10(n[-1] * VOTES[-1]), 41).round()
    least = bisection.information_rmse(RAY, np.unique(labels))
    spent.line("bound by information", np.unique(labels), least, like=6, marker="")
    each.axes.axhline(RAY, color="0.35", linewidth=0.9, linestyle=":")
    each.axes.annotate(
        "σ",
        (1.0, RAY),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 2),
        textcoords="offset points",
        ha="right",
        color="0.35",
    )
    handles, labelled = spent.axes.get_legend_handles_labels()
    figure.legend(handles, labelled, loc="outside lower center", ncols=4)
    return curves


def price(figure: Any) -> list[Curve]:
    """What noise does to labels: linear flips, quadratic loss."""
    curves: list[Curve] = []
    panel = Panel(
        figure.subplots(),
        curves,
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
    linear = boundary.flip_rate(at_boundary, sigma)
    panel.line("answers changed, linear law", sigma, linear)
    panel.line("accuracy lost, exact", sigma, lost)
    curvature = at_boundary * mean / spread**2
    loss = boundary.net_loss(curvature, sigma)
    panel.line("accuracy lost, quadratic law", sigma, loss)
    panel.limits(y=(1e-5, 2.0))
    panel.legend("lower right")
    return curves
