"""Output randomization: accuracy behind its noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from querytax import papers
from querytax.defenses import OutputNoise
from querytax.figures.style import Panel
from querytax.intervals import Interval, mean, share
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, agrees
from querytax.reproductions.measured import Measured, distinct, only, select
from querytax.reproductions.output_randomization_2020.laws import (
    PAPER,
    against,
    by_law,
    draw,
    needs,
    networks,
    ours,
)
from querytax.reproductions.output_randomization_2020.rates import noiseless
from querytax.reproductions.panels import columns
from querytax.theory import accuracy

__all__ = ["UNDEFENDED_ACCURACY"]

# Its interval is over draws of the noise, the images being given.
_THESE = "accuracy of these images"


class _Answered(nn.Module):
    """A model whose images are its answers: a defence then adds noise to those."""

    answers = "probabilities"

    def forward(self, x: Tensor) -> Tensor:
        return x


def _unharmed() -> float:
    """Variance at which the accuracy is said to be the undefended one."""
    return papers.text(f"{PAPER}/b29", "noise variance with the undefended accuracy")


def _accuracy(job: Job, part: Part) -> list[Measured]:
    probabilities, labels = noiseless(part["network"], job["n_images"][part["network"]])
    clean = probabilities.argmax(1) == labels
    n, draws = len(labels), job["n_draws"]
    rows = [
        Measured("accuracy", share(int(clean.sum()), n), "fraction", {"variance": 0.0})
    ]
    printed = job["undefended"].get(part["network"])
    if printed:
        percent = papers.number(PAPER, "text", "printed", quantity=printed)
        setting = {"variance": _unharmed()}
        rows.append(by_law("accuracy", "printed", percent / 100.0, setting))
    index = torch.arange(n)
    for variance in job["variances"]:
        guarded = OutputNoise(_Answered(), variance**0.5, experiment_seed=job.seed)
        right = torch.stack(
            [
                guarded(probabilities, index, torch.full_like(index, draw)).argmax(1)
                == labels
                for draw in range(draws)
            ]
        )
        loss = accuracy.accuracy_loss(
            probabilities.numpy(), variance**0.5, labels.numpy()
        )
        setting = {"variance": variance}
        rows += [
            Measured(_THESE, _kept(right.numpy()), "fraction", setting),
            by_law(_THESE, "all classes", rows[0].value - float(loss), setting),
            Measured("accuracy lost", _lost(clean, right), "fraction", setting),
        ]
    return rows


def _kept(right: np.ndarray) -> Interval:
    """Share of right answers, ``(draws, images)``, a draw a unit."""
    each = right.mean(1)
    return mean(each) if np.ptp(each) else share(int(right.sum()), right.size)


def _lost(clean: Tensor, right: Tensor) -> Interval:
    """Accuracy lost, an image a unit; of any such images.

    Where no draw changes any image, by the share of images that could have changed.
    """
    lost = (clean.double() - right.double().mean(0)).numpy()
    if lost.any():
        return mean(lost)
    unseen = share(0, lost.size).upper
    return Interval(0.0, -unseen, unseen, lost.size)


def _judge_accuracy(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    unharmed = _unharmed()
    verdicts = []
    for network in job["networks"]:
        lost = only(rows, "accuracy lost", network=network, variance=unharmed)
        verdicts.append(
            agrees(
                f"{network}: no accuracy is lost at a variance of {unharmed:g}",
                0.0,
                lost.interval,
                tolerance=job["tolerance"],
                claim=f"{PAPER}/b29",
            )
        )
        noisy = ours(rows, _THESE, network=network)
        verdicts += [
            agrees(
                f"{network}: accuracy at {row.setting['variance']:g} is the law's",
                law,
                row.interval,
                tolerance=job["tolerance"],
            )
            for row, law in zip(noisy, against(rows, noisy, "all classes"), strict=True)
        ]
    for network, printed in job["undefended"].items():
        (found,) = ours(rows, "accuracy", network=network, variance=0.0)
        (said,) = select(rows, "accuracy", network=network, law="printed")
        verdicts.append(
            agrees(
                f'{network} has the printed "{printed}"',
                said.value,
                found.interval,
                tolerance=job["tolerance_undefended"],
                note="Another network than the paper's.",
            )
        )
    return verdicts


def _draw_accuracy(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        "Accuracy: measured (points) and law (lines)",
        "variance of the noise, probability²",
        "accuracy",
        yscale="linear",
    )
    for i, name in enumerate(distinct(rows, "network")):
        these = ours(rows, _THESE, network=name)
        draw(panel, name, "variance", rows, these, "all classes", i)
        if said := select(rows, "accuracy", network=name, law="printed"):
            at, label = columns(said, "variance"), f"printed, beside {name}"
            panel.points(label, *at[:2], like=i, markerfacecolor="white")
    panel.legend(fontsize=6.5)
    return ax


UNDEFENDED_ACCURACY = Experiment(
    "undefended-accuracy",
    networks,
    _accuracy,
    _judge_accuracy,
    (_draw_accuracy,),
    needs,
)
