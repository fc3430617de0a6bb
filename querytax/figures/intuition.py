"""Why small noise can disturb an attack and spare the answers: SND's idea, in numbers.

The slope that an attacker reads is a difference over a small probe, and a small probe
divides the noise by a small number. An answer changes only where its margin is small.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from querytax.figures.simulated import crosses, simulate
from querytax.figures.style import Panel
from querytax.montecarlo import finite_difference as draws
from querytax.theory import boundary, finite_difference
from querytax.theory.law import RegimeWarning

__all__ = ["CHANGED", "CHANGED_ROUNDING", "LOST", "clean_answers", "slope_error"]

# A sine where it is steepest: slope 1, third derivative -1.
_THIRD = -1.0
# SND 2022, Table 4: share of the labels of clean images that noise of each standard
# deviation changes, in thousandths; and Table 1: accuracy without noise less accuracy
# with it, and its standard deviation over runs.
CHANGED, CHANGED_ROUNDING = {0.001: 0.002, 0.01: 0.021}, 0.0005
LOST = {
    "CIFAR-10": {
        0.001: (0.0001, 0.0002),
        0.01: (0.0077, 0.0009),
        0.02: (0.0378, 0.0018),
    },
    "ImageNet": {
        0.001: (0.0003, 0.0002),
        0.01: (0.0066, 0.0003),
        0.02: (0.0222, 0.0002),
    },
}
# Where both laws are fixed.
_THROUGH = 0.01


def slope_error(ax: Any) -> Any:
    """Error of a slope read from both sides of a probe, on noisy losses."""
    x = "β, probe to one side (radians of the loss, a sine)"
    y = "RMS error of the slope (share of the slope)"
    panel = Panel(ax, "a slope read from two noisy losses", x, y)
    probe = np.logspace(-3, 0, 61)
    bias = finite_difference.central_bias(_THIRD, probe)
    for noise in (0.1, 0.01, 0.001):
        error = np.hypot(bias, finite_difference.central_sd(probe, noise))
        label = f"noise of a loss {noise:g}"
        panel.line(label, probe, error)
        few = probe[::20]
        drawn = (
            np.sqrt(simulate(draws.central_mean_square(_THIRD, each, noise)))
            for each in few
        )
        crosses(panel, label, few, drawn)
    panel.line("no noise", probe, np.abs(bias), like=6, marker="")
    panel.level(1.0)
    panel.limits(y=(1e-5, 1e2))
    panel.legend("upper right")
    return ax


def clean_answers(ax: Any) -> Any:
    """Changed labels and lost accuracy of SND's clean images, and their two laws."""
    x = "σ of the input noise (pixels in [0, 1])"
    panel = Panel(ax, "what the same noise does to answers", x, "share (fraction)")
    sigma = np.logspace(-3.2, -1.5, 35)
    at, share = (np.array(list(v)) for v in (CHANGED.keys(), CHANGED.values()))
    density = CHANGED[_THROUGH] / boundary.flip_rate(1.0, _THROUGH)
    changed = boundary.flip_rate(density, sigma)
    panel.line("labels changed, as σ", sigma, changed, marker="")
    ends = share - CHANGED_ROUNDING, share + CHANGED_ROUNDING
    panel.points("labels changed, printed", at, share, *ends, like=0)
    for like, (name, table) in enumerate(LOST.items(), start=1):
        slope = table[_THROUGH][0] / boundary.net_loss(1.0, _THROUGH)
        with warnings.catch_warnings():
            # Drawn on to where it leaves the truth.
            warnings.simplefilter("ignore", RegimeWarning)
            law = boundary.net_loss(slope, sigma)
        panel.line(f"accuracy lost, {name}, as σ²", sigma, law, like=like, marker="")
        lost, spread = np.array(list(table.values())).T
        ends = lost - spread, lost + spread
        panel.points(f"{name}, printed", list(table), lost, *ends, like=like)
    panel.limits(y=(1e-5, 1.0))
    panel.legend("upper left")
    return ax
