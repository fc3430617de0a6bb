"""Accuracy under output noise: Aithal & Li (2022), figure 2(a)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from querytax import papers
from querytax.figures.style import Panel
from querytax.intervals import about, changed, exact, mean
from querytax.noise import normals
from querytax.reproductions.aithal_li_2022.pairs import (
    DIRECTIONS,
    KEY,
    SIGMA,
    Pairs,
    Rows,
    decibel,
    most_noise,
    networks,
    positive,
    sample,
    series,
)
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, beyond, follows
from querytax.reproductions.measured import Measured, distinct, select
from querytax.reproductions.panels import columns
from querytax.theory import accuracy

__all__ = ["ACCURACY"]

BOUNDED = "folding doubles the rivals' chances, and outputs cut at 1 tie"

Array = npt.NDArray[np.float64]


def _parts(job: Job) -> list[Part]:
    return [{"network": n, "form": f} for n in networks(job) for f in job["forms"]]


def _measure(job: Job, part: Part) -> list[Measured]:
    found = sample(job, part["network"], DIRECTIONS[0])
    clean, labels = found.clean, found.labels
    before = clean.argmax(1) == labels
    power = np.square(clean).mean(1)
    rows = []
    for sigma in job["sigmas"]:
        right = _share_right(job, found, sigma, part["form"])
        law = 1.0 - accuracy.misclassification(clean, sigma, labels)
        ratio = positive(power.mean() / sigma**2, (power - power.mean()) / sigma**2)
        rows += [
            Measured(name, interval, unit, {"sigma": sigma})
            for name, interval, unit in (
                ("accuracy", mean(right), "fraction"),
                ("accuracy lost", mean(before - right), "fraction"),
                ("accuracy by the law", exact(law.mean(), law.size), "fraction"),
                ("accuracy over the law's", mean(right - law), "fraction"),
                ("SNR of the outputs", changed(ratio, decibel), "dB"),
            )
        ]
    return rows


def _share_right(job: Job, found: Pairs, sigma: float, form: str) -> Array:
    """For each image, the share of noisy answers that name the label."""
    clean = torch.from_numpy(found.clean)
    rows = torch.arange(len(clean))
    labels = torch.from_numpy(found.labels)
    right = torch.zeros(len(clean), dtype=torch.float64)
    for draw in range(job["draws"]):
        noise = normals(
            job.seed,
            f"{KEY}/accuracy/{form}/{sigma!r}",
            rows,
            torch.full_like(rows, draw),
            clean.shape[1:],
            dtype=torch.float64,
        )
        noisy = clean + sigma * noise
        noisy = noisy.abs().clamp(max=1) if form == "reflect" else noisy.clamp(0, 1)
        right += noisy.argmax(1) == labels
    share_right: Array = (right / job["draws"]).numpy()
    return share_right


def _judge(job: Job, rows: Rows) -> list[Verdict]:
    bound = papers.text(f"{KEY}/c14", "noise with almost no accuracy loss, at most")
    most = most_noise()
    quoted = papers.text(f"{KEY}/c7", "noise at which the SNRs are quoted")
    verdicts = []
    for network in networks(job):
        # The outputs before the noise: the same whatever is done to it.
        at = {"network": network, "form": job["forms"][0]}
        output = series(rows, "SNR of the outputs", "sigma", **at)[quoted]
        said = f"{network}: the outputs' own SNR is high at the quoted noise, dB"
        note = "mean square over images and classes, our reading"
        verdicts.append(beyond(said, output, job["high"], note=note))
    for part in _parts(job):
        words = f"{part['network']}, {part['form']}"
        lost = series(rows, "accuracy lost", "sigma", **part)
        law = series(rows, "accuracy by the law", "sigma", **part)
        over = series(rows, "accuracy over the law's", "sigma", **part)
        worst = max((lost[s] for s in lost if s <= bound), key=lambda x: x.value)
        verdicts += [
            beyond(
                f"{words}: almost no accuracy is lost up to σ = {bound:g}",
                worst,
                job["almost"],
                above=False,
                claim=f"{KEY}/c14",
            ),
            *(
                follows(
                    f"{words}: the law for unbounded noise, σ {where}",
                    [law[s].value for s in at],
                    [about(law[s].value, over[s]) for s in at],
                    tolerance=job["law_tolerance"],
                    note=note,
                )
                for where, at, note in (
                    (f"up to {most:g}", [s for s in law if s <= most], ""),
                    (f"beyond {most:g}", [s for s in law if s > most], BOUNDED),
                )
            ),
        ]
    return verdicts


def _panel(form: str) -> Any:
    def draw(ax: Any, rows: Rows) -> Any:
        y = "accuracy (fraction)"
        panel = Panel(ax, f"accuracy, {form}", SIGMA, y, yscale="linear")
        for like, network in enumerate(distinct(rows, "network")):
            at = {"network": network, "form": form}
            ours = columns(select(rows, "accuracy", **at), "sigma")
            law = columns(select(rows, "accuracy by the law", **at), "sigma")
            panel.points(network.replace("_", " "), *ours, like=like, mfc="white")
            label = "_" if like else "law, unbounded noise"
            panel.line(label, *law[:2], like=like, marker="")
        panel.mark(
            papers.text(f"{KEY}/c14", "noise with almost no accuracy loss, at most"),
            "paper's bound",
            y=0.08,
        )
        panel.legend("lower left", fontsize=7.0)
        return ax

    return draw


ACCURACY = Experiment(
    "accuracy",
    _parts,
    _measure,
    _judge,
    (_panel("reflect"), _panel("clip")),
    networks,
)
