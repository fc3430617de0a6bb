"""Figures measured on the demo network, with the laws for what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from querytax.figures.entry import Entry
from querytax.figures.frontier import frontier_cost, frontier_queries
from querytax.figures.measurements import (
    DRAWS,
    LAYERS,
    LOSS,
    SITES,
    accuracy_under,
    gradient_error,
    law_of_error,
    noise_of_loss,
    probed,
    recommendation,
    slopes,
    statistics,
)
from querytax.figures.style import LINES, Panel
from querytax.intervals import share
from querytax.recommend.attackers import ATTACKERS
from querytax.theory import accuracy as outputs
from querytax.theory import finite_difference, margin

__all__ = [
    "MEASURED",
    "accuracy_lost",
    "accuracy_over_noise",
    "cost_frontier",
    "gradient_error_over_noise",
    "gradient_error_over_probe",
    "gradient_ratio",
    "noise_of_one_point",
    "price_of_protection",
    "queries_frontier",
    "ratio_rises",
    "robustness",
]

_REFLECTED = "output:probabilities:reflect"
_NAMES = {
    "input": "input (pixels)",
    "6": "dense 1 (features)",
    _REFLECTED: "output (reflected)",
    "output:probabilities:raw": "output (raw)",
}
_FROM_INPUT = {"input": "input", **LAYERS}
# RFD 2024 does not say how long its step is.
_STEP, _STEPS = 0.03, np.array([0.003, 0.01, 0.03, 0.06, 0.1, 0.2, 0.3])
# ZOO's probe, and wider ones.
_PROBE, _PROBES = 1e-4, (1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3)
# Output Randomization 2020 works with variances: this is 1e-4 there.
_SIGMA = 0.01
# Standard deviation of one coordinate's error, and its mean.
_ERRORS = (finite_difference.log_ratio_sd, finite_difference.log_ratio_bias)
_RIVALS = {"fixed": 0, "best": 2}
_READINGS = ("1 % quantile of L/‖∇ₕL‖, as printed", "solved from eq. (14)")
_ASIDE = (-0.12, 0.12)
# In 1/72 inch: accuracies at these two sites would hide each other.
_BESIDE = {"input": -2.0, _REFLECTED: 3.0}


def accuracy_over_noise(ax: Any) -> Any:
    """Accuracy against noise at three sites: measured, and by the laws."""
    panel = Panel(
        ax,
        "what noise costs",
        "σ of the noise (the site's own unit)",
        "accuracy (%)",
        yscale="linear",
    )
    sigma = np.logspace(-2.3, 1, 120)
    m, norms = slopes()
    stats = statistics()
    for like, (site, levels) in enumerate(SITES.items()):
        right = np.rint(DRAWS * stats.site(site).correct[1:].sum(1))
        found = [share(int(n), DRAWS * len(m)) for n in right]
        value, lower, upper, _ = 100 * np.array(found).T
        name, aside = f"{_NAMES[site]}, measured", _BESIDE.get(site, 0.0)
        panel.points(name, levels, value, lower, upper, like=like, aside=aside)
    for like, site in enumerate(("input", "6")):
        law = 100 * margin.accuracy(m, norms[site], sigma)
        panel.line(f"{_NAMES[site]}, law (14)", sigma, law, like=like, marker="")
    lost = outputs.accuracy_loss(stats.probabilities, sigma, stats.labels)
    law = 100 * (stats.accuracy - lost)
    panel.line("output (raw), exact law", sigma, law, like=3, marker="")
    panel.limits((sigma[0], sigma[-1]), (0, 102))
    return ax


def price_of_protection(ax: Any, attacker: str) -> Any:
    """Accuracy left against queries multiplied, for one attacker."""
    panel = Panel(
        ax,
        f"what it buys: {attacker} attacker",
        "queries over those without noise (ratio)",
        "accuracy (%)",
        yscale="linear",
    )
    for like, site in enumerate(("input", "6", _REFLECTED)):
        rec = recommendation(site, attacker)
        queries = np.array([middle for _, middle, _ in rec.frontier.queries])
        kept = 100 * (rec.clean_accuracy - np.array(rec.frontier.accuracy_loss))
        ends = np.isfinite(queries)
        name = f"{_NAMES[site]}, predicted"
        panel.line(name, queries[ends] / queries[0], kept[ends], like=like)
    panel.limits((0.9, 100), (80, 100))
    return ax


def queries_frontier(ax: Any) -> Any:
    """Queries that output noise forces on either attacker."""
    return frontier_queries(ax, [recommendation(_REFLECTED, a) for a in ATTACKERS])


def cost_frontier(ax: Any) -> Any:
    """Accuracy that output noise costs."""
    return frontier_cost(ax, [recommendation(_REFLECTED, a) for a in ATTACKERS])


def gradient_ratio(ax: Any) -> Any:
    """Gradient norms of layers over that of the input, before and after a step."""
    panel = Panel(
        ax,
        "ratio at hidden layers",
        "layer (from the input on)",
        "‖∇ₕL‖ / ‖∇ₓL‖ (pixel units per feature unit)",
        xscale="linear",
        yscale="linear",
    )
    for like, (label, step) in enumerate((("at the image", 0), ("one step on", _STEP))):
        _, norms = slopes(step)
        _spread(panel, label, [norms[h] / norms["input"] for h in LAYERS], like)
    _ticks(ax, LAYERS.values())
    panel.legend()
    return ax


def ratio_rises(ax: Any) -> Any:
    """Share of images whose ratio a step towards the adversary raises."""
    panel = Panel(
        ax,
        "images whose ratio rises",
        "length of the signed step (pixel units)",
        "share of the images (%)",
        yscale="linear",
    )
    _, start = slopes()
    for like, (layer, name) in enumerate(LAYERS.items()):
        found = []
        for step in _STEPS.tolist():
            _, after = slopes(step)
            rises = after[layer] * start["input"] > start[layer] * after["input"]
            found.append(share(int(rises.sum()), rises.size))
        value, lower, upper, _ = 100 * np.array(found).T
        aside = 1.04 ** (like - 1.5)
        panel.points(name, _STEPS * aside, value, lower, upper, like=like)
    wrong = [100 * (slopes(step)[0] <= 0).mean() for step in _STEPS.tolist()]
    panel.line("answers wrong by then", _STEPS, wrong, like=6)
    panel.level(50.0)
    panel.limits(y=(0, 100))
    panel.legend("upper left")
    return ax


def noise_of_one_point(ax: Any) -> Any:
    """Noise that costs a point of accuracy, read in three ways."""
    panel = Panel(
        ax,
        f"noise that costs {100 * LOSS:g} % of accuracy",
        "site (from the input on)",
        "σ of the noise (the site's own unit)",
        xscale="linear",
    )
    found = np.array([noise_of_loss(site) for site in _FROM_INPUT])
    at = np.arange(len(found))
    for like, label in enumerate(_READINGS):
        value, lower, upper, _ = found[:, like].T
        panel.points(label, at + _ASIDE[like], value, lower, upper, like=like)
    even = margin.quantile_sigma(found[:, 0, 0])
    panel.line("√(2π) times the quantile", at, even, like=2, linestyle="none")
    _ticks(ax, _FROM_INPUT.values())
    return ax


def robustness(ax: Any) -> Any:
    """What that noise does to the margin, over the images."""
    panel = Panel(
        ax,
        "what it does to the margin",
        "site (from the input on)",
        "σ ‖∇ₕL‖ (logits)",
        xscale="linear",
        yscale="linear",
    )
    _, norms = slopes()
    for like, label in enumerate(_READINGS):
        found = [noise_of_loss(h)[like].value * norms[h] for h in _FROM_INPUT]
        _spread(panel, label, found, like)
    _ticks(ax, _FROM_INPUT.values())
    return ax


def accuracy_lost(ax: Any) -> Any:
    """Accuracy that noise of either reading really costs."""
    panel = Panel(
        ax,
        "accuracy really lost",
        "site (from the input on)",
        "accuracy lost (%)",
        xscale="linear",
        yscale="linear",
    )
    clean = statistics().accuracy
    at = np.arange(len(_FROM_INPUT))
    for like, label in enumerate(_READINGS):
        found = []
        for site in _FROM_INPUT:
            value, lower, upper, _ = accuracy_under(
                site, noise_of_loss(site)[like].value
            )
            found.append((clean - value, clean - upper, clean - lower))
        panel.points(label, at + _ASIDE[like], *(100 * np.array(found).T), like=like)
    panel.line(f"{100 * LOSS:g} % meant", at, 100 * LOSS, like=6, marker="")
    _ticks(ax, _FROM_INPUT.values())
    return ax


def gradient_error_over_noise(ax: Any) -> Any:
    """Error of ZOO's gradient against the noise on the outputs."""
    panel = Panel(
        ax,
        f"probe {_PROBE:g}",
        "σ of the output noise (probability)",
        "error of the gradient, L2 norm (1/pixel unit)",
    )
    sigma = np.logspace(-9, 0, 55)
    noise, shift = (law_of_error(law, _PROBE, sigma) for law in _ERRORS)
    least = 0.05 * min(p.min() for p in probed(_PROBE).outputs())
    weak = law_of_error(finite_difference.log_ratio_bias_weak, _PROBE, least)
    printed = weak * (sigma / least) ** 2
    size = np.sqrt((probed(_PROBE).gradient() ** 2).sum(1).mean())
    panel.line("law, rival fixed", sigma, np.hypot(noise, shift), like=0, marker="")
    panel.line("of it the mean error", sigma, shift, like=4, marker="")
    panel.line("mean error, printed: ∝ σ²", sigma, printed, like=1, marker="")
    panel.line("the gradient itself", sigma, size, like=6, marker="")
    levels = np.logspace(-8, -0.5, 7)
    for rival, like in _RIVALS.items():
        found = [gradient_error(_PROBE, s, rival) for s in levels.tolist()]
        value, lower, upper, _ = np.array(found).T
        panel.points(f"measured, rival {rival}", levels, value, lower, upper, like=like)
    panel.limits((1e-9, 1), (1e-1, 1e7))
    return ax


def gradient_error_over_probe(ax: Any) -> Any:
    """The same error against the width of the probe."""
    panel = Panel(
        ax,
        f"σ = {_SIGMA:g}",
        "width of the probe to one side (pixel units)",
        "error over the gradient's norm (ratio)",
    )
    size = np.sqrt([(probed(h).gradient() ** 2).sum(1).mean() for h in _PROBES])
    noise, shift = (
        np.array([law_of_error(law, h, _SIGMA) for h in _PROBES]) for law in _ERRORS
    )
    law = np.hypot(noise, shift) / size
    panel.line("law, rival fixed", _PROBES, law, like=0, marker="")
    for rival, like in _RIVALS.items():
        found = [gradient_error(h, _SIGMA, rival)[:3] for h in _PROBES]
        value, lower, upper = np.array(found).T / size
        label = f"measured, rival {rival}"
        panel.points(label, _PROBES, value, lower, upper, like=like)
    panel.level(1.0)
    return ax


def _spread(panel: Panel, label: str, found: Sequence[Any], like: int) -> None:
    """Medians over images, joined, and the range of 90 % of them."""
    low, middle, high = np.quantile(found, (0.05, 0.5, 0.95), axis=1)
    at = np.arange(len(found)) + _ASIDE[like]
    # Filled, as the points are that are drawn on it.
    filled = LINES[like]["color"]
    panel.line(label, at, middle, like=like, markerfacecolor=filled)
    many = f"{label}, 90 % of the images"
    panel.points(many, at, middle, low, high, like=like, legend="_")


def _ticks(ax: Any, names: Any) -> None:
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-0.5, len(names) - 0.5)


_DIGITS = "Demo network on 600 digits that it was not trained on, seed 0."

MEASURED: dict[str, Entry] = {
    "accuracy": Entry(
        (
            accuracy_over_noise,
            *(partial(price_of_protection, attacker=a) for a in ATTACKERS),
        ),
        "What noise costs in accuracy, and the protection that it buys.",
        "Points are right answers measured, curves the laws; those of the input are "
        "drawn a little left, of reflected outputs a little right of their noise. "
        "Raw noise on the output costs what its exact law says; reflection costs more. "
        "Eq. (14) takes the margin as a line with one rival: it holds while about a "
        "point is lost, and promises too much after that. Right, predicted medians "
        "over 40 images: against the published attacker each site buys a multiple of "
        "the queries for less than a point, and where its curve ends the next level "
        "stalls him; the best attacker is made a few times dearer at most before "
        f"accuracy is gone. {_DIGITS} Intervals (95 %) are of the noise, {DRAWS} draws "
        "an image.",
        "Aithal & Li 2022, Fig. 2(a); RFD 2024, eq. (14); laws margin.accuracy and "
        "accuracy.accuracy_loss.",
        (10.6, 4.6),
        legend=4,
    ),
    "frontier": Entry(
        (queries_frontier, cost_frontier),
        "Queries that output noise forces on two attackers, and its price.",
        "Noise that costs no accuracy makes the published attack many times dearer, "
        "and stalls it within what the accuracy allows. An attacker who widens his "
        "probe pays little up to there. Ranges are from the lower to the upper "
        "prediction; on the bracket both the target and the accuracy hold. The same "
        "question as the demo's, from fewer probes: 40 images.",
        "Derived here; laws convergence.steps, drift.cosine and drift.sign.",
        (7.0, 7.6),
        (2, 1),
        legend=2,
    ),
    "gradient-ratios": Entry(
        (gradient_ratio, ratio_rises),
        "Gradients at hidden layers over that at the input, during an attack.",
        "The paper, which does not say how long its step is, sees the ratio rise as "
        "an image is moved towards the adversary. Here steps of 0.01 to 0.1 lower it "
        "for most images, at every layer; at 0.3, where hardly an answer is right, it "
        "rises for most. At 0.003 and 0.2 some layers leave it open. Left, medians "
        f"after a signed step of {_STEP:g}, bars over 90 % of the images; right, 95 % "
        f"intervals over images. L is the margin in logits. {_DIGITS}",
        "RFD 2024, Section 3.3, Fig. 1.",
        (8.6, 4.2),
    ),
    "robustness": Entry(
        (noise_of_one_point, robustness, accuracy_lost),
        "Noise that costs one point of accuracy, and what it does to the margin.",
        "The quantile is a step in place of the normal law of eq. (14), over images "
        "that are right without noise: over all of them it lies below zero here. By "
        "eq. (14) that takes more noise; √(2π) times the quantile, for "
        "margins spread evenly from zero, is too much. Really lost is more than "
        "that, beyond the interval at conv 2 and pooled. What such noise does to the "
        "margin hardly depends on the layer (bars: 90 % of the images); the paper sees "
        f"it rise with depth. {_DIGITS} Intervals (95 %) are over images on the left, "
        f"of the noise on the right, {DRAWS} draws an image.",
        "RFD 2024, Section 3.5, Fig. 2; laws margin.accuracy_loss and "
        "margin.quantile_sigma.",
        (10.6, 4.4),
        legend=3,
    ),
    "gradient-error": Entry(
        (gradient_error_over_noise, gradient_error_over_probe),
        "Error of the gradient that ZOO reads from noisy outputs.",
        "Against a narrow probe any noise drowns the gradient, and more of it hardly "
        "drowns it more: the logarithm compresses it. The printed mean error, which "
        "grows with the variance, holds below the smallest outputs alone; the true "
        "one grows to the gradient itself, which is then gone from the mean, and the "
        "spread of single errors is thousands of times larger. At 3e-8 the mean error "
        "dips: it changes its sign, on the image whose output is smallest. The "
        "analysis fixes the rival class; ZOO takes the best of each answer, and errs "
        "up to four times less. The error falls as 1/width of the probe: a wide one "
        "brings it down to the gradient. Root mean squares over 32 images and 64 "
        f"pixels; intervals (95 %) are of the noise, {DRAWS} draws. σ = {_SIGMA:g} is "
        f"a variance of {_SIGMA**2:g}.",
        "Output Randomization 2020, Section 4.2, Fig. 4; laws "
        "finite_difference.log_ratio_sd, log_ratio_bias and log_ratio_bias_weak.",
        (9.0, 4.8),
        legend=3,
    ),
}
