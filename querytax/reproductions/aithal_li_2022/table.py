"""Outputs and their change over a probe: Aithal & Li (2022), table 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from querytax.figures.style import Panel
from querytax.intervals import Interval, changed, quantile, share
from querytax.reproductions.aithal_li_2022.pairs import (
    DIRECTIONS,
    Pairs,
    Rows,
    networks,
    positive,
    printed_model,
    sample,
)
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, agrees, ordered
from querytax.reproductions.measured import Measured, only

__all__ = ["OUTPUT_STATISTICS", "average", "root_mean_square"]

# Quantity here -> column of table 1.
CHANGES = {
    "mean change": "mean_delta_f_t",
    "median change": "median_delta_f_t",
    "std of the change": "std_delta_f_t",
}


def _parts(job: Job) -> list[Part]:
    return [{"network": n, "model": m} for n, m in job["models"].items()]


def _measure(job: Job, part: Part) -> list[Measured]:
    rows: list[Measured] = []
    for direction in DIRECTIONS:
        found = sample(job, part["network"], direction)
        if not rows:
            right = found.clean.argmax(1) == found.labels
            rows.append(Measured("accuracy", share(int(right.sum()), right.size)))
            rows.append(Measured("mean F_t", average(found.output), "probability"))
        setting = {"direction": direction}
        rows += [
            Measured(name, interval, "probability", setting)
            for name, interval in _spread(found).items()
        ]
    return rows


def average(values: Any) -> Interval:
    """Over images and classes; the images are independent."""
    each = values.mean(1)
    return positive(each.mean(), each - each.mean())


def root_mean_square(values: Any) -> Interval:
    """Over images and classes."""
    return changed(average(np.square(values)), math.sqrt)


def _spread(found: Pairs) -> dict[str, Interval]:
    change = found.change
    first, second = change.mean(1), np.square(change).mean(1)
    m, std = first.mean(), change.std()
    pull = (second - second.mean() - 2.0 * m * (first - m)) / (2.0 * std)
    return {
        "mean change": average(change),
        "median change": quantile(found.picked(change), 0.5),
        "std of the change": positive(std, pull),
        "root mean square change": root_mean_square(change),
    }


def _judge(job: Job, rows: Rows) -> list[Verdict]:
    verdicts = []
    for part in _parts(job):
        at = {"network": part["network"]}
        if job.scale == "full":
            verdicts += _against_table(job, rows, part)
        for direction in DIRECTIONS:
            names = ("std of the change", "mean change", "median change")
            three = [
                only(rows, name, direction=direction, **at).interval for name in names
            ]
            said = f"{part['network']}, {direction} u: std > mean > median of ΔF_t"
            verdicts.append(ordered(said, three))
    return verdicts


def _against_table(job: Job, rows: Rows, part: Part) -> list[Verdict]:
    """Decades between ours and the printed number, in logarithms."""
    network, model = part["network"], part["model"]
    same = network in job["same_network"]
    note = "" if same else "another network"
    verdicts = []

    def compare(name: str, column: str, **at: str) -> None:
        said = printed_model(model, column)
        words = ", ".join([network, *(f"{v} u" for v in at.values())])
        verdicts.append(
            agrees(
                f"{words}: {name} of table 1, {said:g}, as a power of ten",
                round(math.log10(said), 2),
                changed(only(rows, name, network=network, **at).interval, math.log10),
                tolerance=job["decades"],
                note=note,
            )
        )

    if same:
        ours = only(rows, "accuracy", network=network).interval
        said = printed_model(model, "accuracy")
        words = f"{network}: accuracy of table 1"
        verdicts.append(agrees(words, said, ours, tolerance=job["accuracy_tolerance"]))
    compare("mean F_t", "mean_f_t")
    for direction in DIRECTIONS:
        for name, column in CHANGES.items():
            compare(name, column, direction=direction)
    return verdicts


def _table_panel(direction: str) -> Any:
    def draw(ax: Any, rows: Rows) -> Any:
        y = "probability"
        panel = Panel(ax, f"ΔF_t over a pair, {direction} u", "", y, xscale="linear")
        first = [row for row in rows if row.quantity == "mean F_t"]
        names = [str(row.setting["network"]) for row in first]
        models = [str(row.setting["model"]) for row in first]
        x = np.arange(len(names))
        for style, (name, column) in enumerate(CHANGES.items()):
            found = [only(rows, name, network=n, direction=direction) for n in names]
            offset = x + 0.16 * (style - 1)
            ours = np.array([row.interval[:3] for row in found])
            panel.points(f"{name}, ours", offset, *ours.T, like=style, mfc="white")
            said = [printed_model(m, column) for m in models]
            panel.points(f"{name}, printed", offset, said, like=style)
        ax.set_xticks(
            x,
            [
                f"{name.replace('_', ' ')}\n(as {model})"
                for name, model in zip(names, models, strict=True)
            ],
            fontsize=6.5,
            rotation=30,
            ha="right",
            rotation_mode="anchor",
        )
        panel.limits(x=(-0.6, len(names) - 0.4))
        panel.legend("lower right" if len(names) > 1 else "best", fontsize=6.5)
        return ax

    return draw


OUTPUT_STATISTICS = Experiment(
    "output-statistics",
    _parts,
    _measure,
    _judge,
    tuple(_table_panel(direction) for direction in DIRECTIONS),
    networks,
)
