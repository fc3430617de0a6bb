"""Output randomization: what its noise does to the labels.

Each draw of the noise changes an answer from one standard deviation on: at σ the label
stays while σ (z_i - z_m) <= δ_i for every other class i. That deviation is recorded, so
that one set of draws serves every level.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import special
from torch import Tensor

from querytax.attacks.oracle import answer_in_batches
from querytax.figures.style import Panel
from querytax.intervals import Interval, quantile, share
from querytax.noise import normals
from querytax.reproductions import zoo
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, follows, ranks
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
from querytax.reproductions.panels import columns
from querytax.theory import accuracy

__all__ = ["MISCLASSIFICATION", "changing_sigma", "noiseless"]

_CHANGED = "changed answers"
_HELD = "changed answers at the largest variance"
_ALLOWED = "allowed variance"
_VARIANCE = "variance of the noise, probability²"
# Beyond every quantile that is asked for, and finite when squared.
_NEVER = 1e150
# Numbers drawn at once: bounds memory.
_CELLS = 1 << 21


@functools.cache
def noiseless(network: str, n: int) -> tuple[Tensor, Tensor]:
    """Noiseless probabilities ``(N, C)`` float64, and labels."""
    images, labels = zoo.images(network, n)
    with torch.no_grad():
        logits = answer_in_batches(zoo.load(network), images, 100)
    return logits.double().softmax(1), labels


def changing_sigma(
    probabilities: Tensor, n_draws: int, seed: int, stream: str
) -> np.ndarray:
    """Standard deviation at which each draw of the noise changes each label.

    Parameters
    ----------
    probabilities : Tensor
        ``(N, C)`` float64.
    n_draws : int
        Draws of the noise an image.
    seed : int
    stream : str
        Name of the draws.

    Returns
    -------
    ndarray
        ``(n_draws, N)``; infinite for a draw that never does.
    """
    best = probabilities.argmax(1, keepdim=True)
    gap = probabilities.gather(1, best) - probabilities
    rows = torch.arange(len(gap))
    at_once = max(1, _CELLS // gap.numel())
    found = []
    for start in range(0, n_draws, at_once):
        shape = (min(at_once, n_draws - start), gap.shape[1])
        query = torch.full_like(rows, start)
        z = normals(seed, stream, rows, query, shape, dtype=gap.dtype)
        rise = z - z.gather(2, best[:, None].expand(-1, shape[0], 1))
        sigma = torch.where(rise > 0, gap[:, None] / rise, torch.inf)
        found.append(sigma.amin(2).T.numpy())
    return np.concatenate(found)


def _misclassified(job: Job, part: Part) -> list[Measured]:
    probabilities, _ = noiseless(part["network"], job["n_images"][part["network"]])
    outputs = probabilities.numpy()
    stream = f"{PAPER}/labels"
    need = changing_sigma(probabilities, job["n_draws"], job.seed, stream)
    rows = []
    for variance in job["variances"]:
        sigma = variance**0.5
        setting = {"variance": variance}
        gaps = np.sort(outputs.max(1, keepdims=True) - outputs, axis=1)[:, 1:]
        pairs = special.ndtr(-gaps / (np.sqrt(2.0) * sigma))
        law = accuracy.misclassification(outputs, sigma)
        rows += [
            Measured(_CHANGED, _share(need < sigma), "fraction", setting),
            by_law(_CHANGED, "all classes", np.mean(law), setting),
            by_law(_CHANGED, "two classes", pairs[:, 0].mean(), setting),
            by_law(_CHANGED, "sum over classes", pairs.sum(1).mean(), setting),
        ]
    for rate in job["rates"]:
        sigma = accuracy.largest_sigma_mean(outputs, rate)
        setting = {"rate": rate}
        rows += [
            by_law("largest variance", "all classes", sigma**2, setting),
            Measured(_HELD, _share(need < sigma), "fraction", setting),
        ]
    return rows + _allowed(job, probabilities)


def _share(changed: np.ndarray) -> Interval:
    """Given the images the draws are independent: a share's interval is safe."""
    return share(int(changed.sum()), changed.size)


def _allowed(job: Job, probabilities: Tensor) -> list[Measured]:
    """Variance at which single labels change at a given rate, gap by gap."""
    two = probabilities.topk(2).values
    gaps = (two[:, 0] - two[:, 1]).numpy()
    chosen = sorted({int(np.abs(gaps - gap).argmin()) for gap in job["gaps"]})
    picked = probabilities[chosen]
    stream = f"{PAPER}/single labels"
    need = changing_sigma(picked, job["n_draws_single"], job.seed, stream)
    rows = []
    for i, image in enumerate(chosen):
        gap = float(gaps[image])
        for rate in job["rates"]:
            setting = {"image": image, "gap": gap, "rate": rate}
            at = quantile(np.minimum(need[:, i], _NEVER), rate)
            low, high = at.lower * abs(at.lower), at.upper**2
            squared = Interval(at.value**2, low, high, at.n)
            law = float(accuracy.largest_sigma(picked[i].numpy(), rate))
            pair = float(accuracy.two_class_sigma(gap, rate))
            linear = gap / (2.0 * abs(float(special.ndtri(rate))))
            rows += [
                Measured(_ALLOWED, squared, "probability^2", setting),
                by_law(_ALLOWED, "all classes", law**2, setting),
                by_law(_ALLOWED, "two classes", pair**2, setting),
                by_law(_ALLOWED, "linear", linear, setting),
            ]
    return rows


def _judge_rates(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    verdicts = []
    for network in job["networks"]:
        changed = [
            row
            for row in ours(rows, _CHANGED, network=network)
            if only(rows, _CHANGED, law="all classes", **row.setting).value
            >= job["least_share"]
        ]
        intervals = [row.interval for row in changed]
        allowed = ours(rows, _ALLOWED, network=network)
        variances = [row.interval for row in allowed]
        held = ours(rows, _HELD, network=network)
        verdicts += [
            follows(
                f"{network}: labels change as the integral over all classes says",
                against(rows, changed, "all classes"),
                intervals,
                tolerance=job["tolerance"],
                claim=f"{PAPER}/b8",
            ),
            follows(
                f"{network}: labels change at the sum over the other classes",
                against(rows, changed, "sum over classes"),
                intervals,
                tolerance=job["tolerance"],
                claim=f"{PAPER}/b8",
                note="A union bound; it can pass 1.",
            ),
            follows(
                f"{network}: one answer bears the variance of the law for all classes",
                against(rows, allowed, "all classes"),
                variances,
                tolerance=job["tolerance_variance"],
                claim=f"{PAPER}/b11",
            ),
            follows(
                f"{network}: one answer bears σ² = δ²/(2Φ⁻¹(K)²), two classes",
                against(rows, allowed, "two classes"),
                variances,
                tolerance=job["tolerance_variance"],
                claim=f"{PAPER}/b11",
                note="Exact for two classes, too much for more.",
            ),
            follows(
                f"{network}: one answer bears σ² = δ/(2|Φ⁻¹(K)|), as extracted",
                against(rows, allowed, "linear"),
                variances,
                tolerance=job["tolerance_variance"],
                claim=f"{PAPER}/b11",
                note="Without the bars it is negative (b12).",
            ),
            follows(
                f"{network}: the largest variance for the set keeps its rate",
                [float(row.setting["rate"]) for row in held],
                [row.interval for row in held],
                tolerance=job["tolerance_held"],
            ),
        ]
        one = [row for row in allowed if row.setting["rate"] == job["rates"][0]]
        verdicts.append(
            ranks(
                f"{network}: a more confident answer bears more noise",
                [float(row.setting["gap"]) for row in one],
                [row.value for row in one],
                claim=f"{PAPER}/b13",
            )
        )
    return verdicts


def _draw_rates(ax: Any, rows: Sequence[Measured]) -> Any:
    title = "Changed labels: measured (points) and law (lines)"
    panel = Panel(ax, title, _VARIANCE, "share of answers")
    for i, name in enumerate(distinct(rows, "network")):
        seen = [r for r in ours(rows, _CHANGED, network=name) if r.value > 0]
        draw(panel, name, "variance", rows, seen, "all classes", i)
    # Of the last network, which has the most classes.
    union = against(rows, seen, "sum over classes")
    x = columns(seen, "variance")[0]
    panel.line(f"sum over classes, {name}", x, union, like=6)
    panel.limits(y=(1e-5, None))
    panel.legend(fontsize=6.5)
    return ax


def _draw_allowed(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax, "Variance that one answer bears", "gap δ of the two best outputs", "σ²"
    )
    measured = ours(rows, _ALLOWED)
    for i, rate in enumerate(distinct(measured, "rate")):
        found = columns(select(measured, rate=rate), "gap")
        grid = np.geomspace(found[0].min(), 1.0, 40)
        two = np.square(accuracy.two_class_sigma(grid, rate))
        panel.line(f"two classes, K = {rate:g}", grid, two, like=i, marker="")
        panel.points(f"measured, K = {rate:g}", *found, like=i)
        if not i:
            linear = grid / (2.0 * abs(float(special.ndtri(rate))))
            label = f"linear reading, K = {rate:g}"
            panel.line(label, grid, linear, like=6, marker="")
    # Room for the legend, below.
    panel.limits(y=(1e-5, None))
    panel.legend("lower right", fontsize=6.5)
    return ax


MISCLASSIFICATION = Experiment(
    "misclassification",
    networks,
    _misclassified,
    _judge_rates,
    (_draw_rates, _draw_allowed),
    needs,
)
