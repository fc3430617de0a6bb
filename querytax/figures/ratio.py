"""Figures of the signal-to-noise ratio: how it is made, and what reads it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from querytax.figures.style import Curve, Panel
from querytax.theory import efficiency, log_ratio, misstep, query_ratio, ratio
from querytax.theory import repeats as repeated
from querytax.theory import snr as made
from querytax.validation import printed_curves

__all__ = [
    "ERROR",
    "MODELS",
    "NES",
    "Measured",
    "noise_ratio",
    "one_ratio",
    "output_efficiency",
    "snr_senses",
]

# CIFAR-sized images, as most NES attacks on them are set.
NES = {"dimension": 3072, "pairs": 50}
ERROR = 0.01


class Measured(NamedTuple):
    """Mean output, probe, and mean and spread of the output's change over a pair."""

    output: float
    probe: float
    change: float
    spread: float


# Aithal & Li 2022, Table 1.
MODELS = {
    "MNIST": Measured(4e-4, 1e-3, 5e-6, 1e-4),
    "CIFAR10": Measured(1e-3, 1e-3, 2e-4, 1e-3),
    "IMAGENET": Measured(3e-4, 1e-5, 5e-8, 1e-6),
}

_SNR = "S, signal-to-noise ratio of one pair (power ratio)"


def one_ratio(figure: Any) -> list[Curve]:
    """Every consequence of S, side by side."""
    curves: list[Curve] = []
    axes = figure.subplots(2, 2)
    s = np.logspace(-6, 2, 161)

    wrong = Panel(axes[0, 0], curves, "wrong signs", _SNR, "wrong signs (probability)")
    wrong.line("random direction", s, misstep.random_direction(s))
    fixed = misstep.fixed_direction(s)
    seen = fixed > 1e-6
    wrong.line("given direction", s[seen], fixed[seen])
    wrong.limits(y=(1e-4, 1.0))
    wrong.legend("lower left")

    share = f"{100 * ERROR:g} %"
    y = f"pairs for {share} wrong signs (count)"
    settle = Panel(axes[0, 1], curves, "repeats that settle a sign", _SNR, y)
    settle.line("random direction", s, repeated.random_direction(s, ERROR))
    settle.line("given direction", s, repeated.fixed(s, ERROR))
    settle.line("given, stopped when sure", s, repeated.sequential(s, ERROR))
    settle.axes.axhline(1.0, color="0.35", linewidth=0.9, linestyle=":")
    settle.legend("upper right")

    y = "queries over those without noise (ratio)"
    slower = Panel(axes[1, 0], curves, "query ratio of NES", _SNR, y)
    slower.line("best plain step", s, query_ratio.best_step(s, **NES))
    slower.line("sign or unit step", s, query_ratio.fixed_length_step(s, **NES))
    slower.line("sign of each coordinate", s, query_ratio.sign_coordinate(s))
    slower.legend("upper right")

    y = "cosine with the gradient (ratio)"
    aimed = Panel(axes[1, 1], curves, "aim of an NES estimate", _SNR, y)
    for pairs in (10, 100, 1000):
        cosine = query_ratio.cosine(s, NES["dimension"], pairs)
        aimed.line(f"{pairs} pairs", s, cosine)
    aimed.legend("lower right")
    return curves


def output_efficiency(figure: Any) -> list[Curve]:
    """What reflection and clipping leave of the information."""
    curves: list[Curve] = []
    t = np.logspace(-2, 1, 121)
    panel = Panel(
        figure.subplots(),
        curves,
        "what the released output leaves",
        "F/σ, output over noise (ratio)",
        "share of the raw output's SNR (ratio)",
    )
    share = efficiency.fisher_efficiency
    panel.line("raw, F + v", t, share(t, "raw"))
    panel.line("clipped at 0, best reading", t, share(t, "clip"))
    panel.line("reflected, best reading", t, share(t, "reflect"))
    panel.line("reflected, mean of |F + v|", t, share(t, "reflect", "abs"))
    panel.line("reflected, mean of ln |F + v|", t, share(t, "reflect", "log"))
    panel.legend("lower right")
    return curves


def snr_senses(figure: Any) -> list[Curve]:
    """Five quantities that go by the name of SNR."""
    curves: list[Curve] = []
    for axes, model in zip(figure.subplots(1, 2), ("CIFAR10", "IMAGENET"), strict=True):
        level, change = MODELS[model].output, MODELS[model].change
        name = f"{model}: F = {level:g}, ΔF = {change:g}"
        x = "σ of the output noise (probability)"
        panel = Panel(axes, curves, name, x, "SNR (dB)", yscale="linear")
        sigma = np.logspace(-2.5, 2.5, 101) * level
        pair = (level + 0.5 * change, level - 0.5 * change, sigma)
        square = change**2
        weak = sigma <= 0.1 * pair[1]
        log_form = log_ratio.log_snr(*pair[:2], sigma[weak])
        senses = {
            "printed, eq. (5)": printed_curves.snr_5(*pair),
            "log form, weak noise": log_form,
            "decision, raw outputs": made.output(square, sigma),
            "as defined, reflected outputs": log_ratio.definition_snr(*pair),
            "effective, mean log of reflected": log_ratio.effective_snr(*pair),
            "best, reflected": made.output(square, sigma, output=level, form="reflect"),
        }
        for label, value in senses.items():
            panel.line(label, sigma[: value.size], 10.0 * np.log10(value))
        panel.mark(level, "σ = F")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return curves


def noise_ratio(figure: Any) -> list[Curve]:
    """The law of the noisy ratio, and of the factor that an attack reads from it."""
    curves: list[Curve] = []
    level, grid = 0.1, figure.subplots(2, 3)
    for column, relative in enumerate((0.1, 0.3, 1.0)):
        sigma = relative * level
        head = f"σ/F = {relative:g}"
        span = 6.0 * np.sqrt(2.0) * relative
        z = np.linspace(1.0 - span, 1.0 + span, 241)
        top = Panel(
            grid[0, column],
            curves,
            f"ratio, {head}",
            "Z, noisy over noiseless ratio (ratio)",
            "density (per unit)",
            xscale="linear",
        )
        top.line("exact", z, ratio.density(z, level, level, sigma))
        # Below what is shown the normal's tail is no more than rounding.
        normal = printed_curves.ratio_density(z, level, sigma)
        top.line("printed, N(1, 2σ²/F²)", z[normal > 1e-6], normal[normal > 1e-6])
        top.limits(y=(1e-5, 100.0))

        x = np.linspace(-4.0, 3.0, 281)
        low = Panel(
            grid[1, column],
            curves,
            f"factor, {head}",
            "βA, log of the noisy ratio (nat)",
            "density (per nat)",
            xscale="linear",
            yscale="linear",
        )
        pair = (level, level, sigma, 1.0)
        low.line("exact", x, ratio.multiplier_density(x, *pair))
        low.line("printed, eq. (17)", x, printed_curves.factor_density(x, *pair))
        mended = printed_curves.factor_density(x, *pair, centre=1.0)
        low.line("eq. (17), its -1 restored", x, mended)
        if column:
            top.axes.set_ylabel("")
            low.axes.set_ylabel("")
        else:
            top.legend("upper left")
            handles, labels = low.axes.get_legend_handles_labels()
            names = [f"factor: {label}" for label in labels]
            figure.legend(handles, names, loc="outside lower center", ncols=3)
    return curves
