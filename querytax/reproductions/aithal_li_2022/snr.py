"""The signal-to-noise ratio of one pair: Aithal & Li (2022), Lemma 1, figure 2(b)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy import special

from querytax.figures.style import Panel
from querytax.intervals import Interval, exact, mean
from querytax.noise import uniforms
from querytax.reproductions.aithal_li_2022.pairs import (
    KEY,
    SIGMA,
    Rows,
    networks,
    noises,
    series,
    target,
    targets,
)
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, follows
from querytax.reproductions.measured import Measured, only, select
from querytax.reproductions.panels import columns
from querytax.theory import log_ratio, snr

__all__ = ["GRADIENT_SNR"]

# What averaging logarithms of reflected outputs sees, and the paper's definition.
SENSES = ("SNR of the sign", "SNR as defined")


def _measure(job: Job, part: Part) -> list[Measured]:
    one, two = target(job, part)
    level = 0.5 * (one + two)
    rows = [
        Measured("F_t", exact(level), "probability"),
        Measured("ΔF_t", exact(one - two), "probability"),
    ]
    levels = noises(job, level)
    simulated = _simulated(job, part, one, two, list(levels.values()))
    for (noise, sigma), senses in zip(levels.items(), simulated, strict=True):
        found = dict(zip(SENSES, senses, strict=True))
        laws = (
            snr.output((one - two) ** 2, sigma),
            log_ratio.effective_snr(one, two, sigma),
            log_ratio.definition_snr(one, two, sigma),
        )
        names = ("SNR of Lemma 1", *(f"{sense}, law" for sense in SENSES))
        for name, law in zip(names, laws, strict=True):
            found[name] = exact(float(law))
        at = {"noise": noise, "sigma": sigma}
        rows += [Measured(name, x, "ratio", at) for name, x in found.items()]
    return rows


def _simulated(
    job: Job, part: Part, one: float, two: float, sigmas: list[float]
) -> list[tuple[Interval, Interval]]:
    """(E A)²/Var A and a²/E[(A - a)²], from reflected noise on both ends.

    The change of the mean is small against the noise: each replicate draws one number
    from each of many equal strata, and uses the same draws at both ends. The two
    variances, of independent noises, add.
    """
    strata, factor = job["strata"], math.log(one / two)
    stream = f"{KEY}/gradient-snr/{part['network']}/{part['quantile']!r}"
    values: list[list[tuple[float, float]]] = [[] for _ in sigmas]
    for row in torch.arange(job["replicates"]).split(1):
        shape, kind = (strata,), torch.float64
        jitter = uniforms(job.seed, stream, row, 0 * row, shape, dtype=kind)[0].numpy()
        noise = special.ndtri((np.arange(strata) + jitter) / strata)
        for sigma, found in zip(sigmas, values, strict=True):
            ends = [np.abs(end + sigma * noise) for end in (one, two)]
            logs = [np.log(np.minimum(end, 1.0)) for end in ends]
            signal = float(logs[0].mean() - logs[1].mean())
            spread = float(logs[0].var() + logs[1].var())
            defined = factor**2 / (spread + (signal - factor) ** 2)
            found.append((signal * abs(signal) / spread, defined))
    return [
        (mean([sign for sign, _ in found]), mean([defined for _, defined in found]))
        for found in values
    ]


def _judge(job: Job, rows: Rows) -> list[Verdict]:
    return [verdict for part in targets(job) for verdict in _of_target(job, rows, part)]


def _of_target(job: Job, rows: Rows, part: Part) -> list[Verdict]:
    words = f"{part['network']}, quantile {part['quantile']:g} of ΔF_t"
    sign, defined = SENSES
    lemma = "SNR of Lemma 1"
    levels = list(series(rows, lemma, "noise", **part))
    weak = [r for r in levels if r <= job["weak"]]
    strong = [r for r in levels if r >= 1.0]
    folded = "reflection folds the signal away"
    verdicts = []
    for what, law, sense, at, note in (
        ("Lemma 1 where σ << F_t", lemma, sign, weak, ""),
        ("Lemma 1 from σ = F_t on", lemma, sign, strong, folded),
        (f"{sign}, against its law", f"{sign}, law", sign, levels, ""),
        (f"{defined}, against its law", f"{defined}, law", defined, levels, ""),
    ):
        # A large output leaves no room for strong noise.
        if at:
            predicted = series(rows, law, "noise", **part)
            ours = series(rows, sense, "noise", **part)
            verdicts.append(
                follows(
                    f"{words}: {what}",
                    [predicted[r].value for r in at],
                    [ours[r] for r in at],
                    tolerance=job["tolerance"],
                    note=note,
                )
            )
    return verdicts


def _one_target(ax: Any, rows: Rows) -> Any:
    part = {key: rows[0].setting[key] for key in ("network", "quantile")}
    level, change = (only(rows, n, **part).value for n in ("F_t", "ΔF_t"))
    name = str(part["network"]).replace("_", " ")
    name = f"{name}: F = {level:.2g}, ΔF = {change:.2g}"
    panel = Panel(ax, name, SIGMA, "SNR (dB)", yscale="linear")

    def decibels(quantity: str) -> list[Any]:
        sigma, *power = columns(select(rows, quantity, **part), "sigma")
        return [sigma, *(10.0 * np.log10(p) for p in power)]

    panel.line("Lemma 1", *decibels("SNR of Lemma 1")[:2], marker="")
    for like, sense in enumerate(SENSES, start=1):
        panel.line(
            f"{sense}, law", *decibels(f"{sense}, law")[:2], like=like, marker=""
        )
        panel.points(f"{sense}, simulated", *decibels(sense), like=like, mfc="white")
    panel.legend("lower left")
    return ax


def _every_target(ax: Any, rows: Rows) -> Any:
    """What is left of Lemma 1, which depends on σ/F_t."""
    x, y = "σ/F_t, noise over the output (ratio)", "SNR over Lemma 1's (ratio)"
    panel = Panel(ax, "every target", x, y)
    found = dict.fromkeys((r.setting["network"], r.setting["quantile"]) for r in rows)
    for like, sense in enumerate(SENSES, start=1):
        for i, (network, q) in enumerate(found):
            part = {"network": network, "quantile": q}
            lemma = columns(select(rows, "SNR of Lemma 1", **part), "noise")[1]
            law, ours = (
                columns(select(rows, name, **part), "noise")
                for name in (f"{sense}, law", sense)
            )
            # One entry in the legend for all targets.
            names = ("_", "_") if i else (f"{sense}, law", f"{sense}, simulated")
            panel.line(names[0], law[0], law[1] / lemma, like=like, marker="", lw=0.8)
            shares = (values / lemma for values in ours[1:])
            panel.points(names[1], ours[0], *shares, like=like, mfc="white")
    panel.level(1.0)
    panel.legend("upper left")
    return ax


GRADIENT_SNR = Experiment(
    "gradient-snr",
    targets,
    _measure,
    _judge,
    (_one_target, _every_target),
    networks,
)
