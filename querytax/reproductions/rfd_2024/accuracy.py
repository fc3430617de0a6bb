"""RFD: accuracy under noise at the input and at layers, predicted and measured."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from querytax import intervals
from querytax.figures.style import GREY, Panel
from querytax.intervals import about
from querytax.noise import normals
from querytax.reproductions import judge
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict
from querytax.reproductions.measured import Measured, distinct, only, select
from querytax.reproductions.panels import ticks
from querytax.reproductions.rfd_2024.sites import (
    INPUT,
    Array,
    margins_under_noise,
    sample,
    site_parts,
)
from querytax.theory import bisection, margin

__all__ = ["ACCURACY", "costly_sigma", "right_shares"]


@functools.cache
def right_shares(
    network: str, images: int, site: str, sigma: float, draws: int, seed: int
) -> Array:
    """Share of noisy answers that are right, image by image."""
    who = sample(network, images)
    lead = margins_under_noise(who, site, sigma, draws, seed)
    shares: Array = (lead > 0.0).mean(axis=0)
    return shares


def costly_sigma(margins: Array, norms: Array, level: float) -> float:
    """Noise at which eq. (14) loses so much accuracy, wrong images counted."""

    def short(log_sigma: float) -> float:
        sigma = float(np.exp(log_sigma))
        return float(margin.accuracy_loss(margins, norms, sigma)) - level

    middle = float(np.log(np.median(np.abs(margins) / norms)))
    return float(np.exp(optimize.brentq(short, middle - 12.0, middle + 12.0)))


def linear_shares(
    network: str, images: int, site: str, sigma: float, draws: int, seed: int
) -> Array:
    """Share of right answers, were every score linear in the noise: all rivals count.

    Scores then carry normal noise whose covariance is the Gram matrix of their
    gradients.
    """
    who = sample(network, images)
    scores, root = _linear_scores(network, images, site)
    zero = torch.zeros_like(who.keys)
    shape = (draws, scores.shape[1])
    z = normals(seed, "rfd/scores", who.keys, zero, shape, dtype=torch.float64)
    answers = (scores[:, None] + sigma * z @ root.mT).argmax(-1)
    shares: Array = (answers == who.labels[:, None]).double().mean(1).numpy()
    return shares


@functools.lru_cache(maxsize=8)
def _linear_scores(network: str, images: int, site: str) -> tuple[Tensor, Tensor]:
    """Scores ``(n, C)``, and a root of the Gram matrix of their gradients."""
    who = sample(network, images)
    kept: list[Tensor] = []

    def keep(_module: object, _inputs: object, output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()

    scores, grams = [], []
    handle = None
    if site != INPUT:
        handle = who.model.get_submodule(site).register_forward_hook(keep)
    try:
        for part in who.images.split(100):
            with torch.enable_grad():
                x = part.clone().requires_grad_(True)
                answers = who.model(x)
                place = x if site == INPUT else kept.pop()
                slopes = [
                    torch.autograd.grad(one.sum(), place, retain_graph=True)[0]
                    for one in answers.unbind(1)
                ]
            jacobian = torch.stack(slopes, 1).flatten(2).double()
            scores.append(answers.detach().double())
            grams.append(jacobian @ jacobian.mT)
    finally:
        if handle is not None:
            handle.remove()
    values, vectors = torch.linalg.eigh(torch.cat(grams))
    return torch.cat(scores), vectors * values.clamp_min(0.0).sqrt()[:, None]


def _parts(job: Job) -> Sequence[Part]:
    parts = site_parts(job["networks"], job["layers"])
    return [{**part, "level": level} for part in parts for level in job["levels"]]


def _measure(job: Job, part: Part) -> list[Measured]:
    network, site, level = part["network"], part["site"], part["level"]
    images, votes = job["images"], job["votes"]
    who = sample(network, images)
    norms = who.norms([site])[site]
    sigma = costly_sigma(who.margins, norms, level)
    right = right_shares(network, images, site, sigma, votes, job.seed)
    linear = linear_shares(network, images, site, sigma, job["linear_draws"], job.seed)
    # Image by image, so that the draw of the images cancels.
    law = margin.accuracy(who.margins[:, None], norms[:, None], sigma)
    voted, vote_law = right > 0.5, bisection.majority(law, votes)
    clean = who.margins > 0.0
    return [
        Measured("sigma", intervals.exact(sigma), "site"),
        Measured("loss", intervals.mean(clean - right), "fraction"),
        Measured("excess", intervals.mean(law - right), "fraction"),
        Measured("rivals", intervals.mean(law - linear), "fraction"),
        Measured("bend", intervals.mean(linear - right), "fraction"),
        Measured("voted_loss", intervals.mean(clean - 1.0 * voted), "fraction"),
        Measured("voted_excess", intervals.mean(vote_law - voted), "fraction"),
    ]


def _judge(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    found = []
    for network in distinct(rows, "network"):
        for site in distinct(rows, "site", network=network):
            excess = select(rows, "excess", network=network, site=site)
            printed = [r for r in excess if r.setting["level"] <= job["largest_drop"]]
            found.append(
                judge.follows(
                    f"{network}, noise at {site}: it costs what eq. (14) says, up to "
                    f"{job['largest_drop']:.0%} of accuracy",
                    [row.setting["level"] for row in printed],
                    [about(row.setting["level"], row.interval) for row in printed],
                    tolerance=job["tolerance"],
                    claim="rfd-2024/f19",
                    note=_shares(rows, printed[-1]),
                )
            )
        voted = [
            row
            for row in select(rows, "voted_excess", network=network)
            if row.setting["level"] <= job["largest_drop"]
        ]
        worst = max(voted, key=lambda row: abs(row.value))
        found.append(
            judge.agrees(
                f"{network}: a majority of {job['votes']} answers loses what eq. (14) "
                "says, which is next to nothing",
                0.0,
                worst.interval,
                tolerance=job["vote_tolerance"],
                claim="rfd-2024/f10",
                note=(
                    f"loss above the law's; furthest at {worst.setting['site']}, where "
                    f"one answer loses {worst.setting['level']:.0%} by the law: there "
                    "noise moves the mean answer"
                ),
            )
        )
    return found


def _shares(rows: Sequence[Measured], row: Measured) -> str:
    """What an excess is made of."""
    rivals, bend = (only(rows, part, **row.setting) for part in ("rivals", "bend"))
    level = row.setting["level"]
    return (
        f"{level + row.value:.3g} for {level:g}: other rivals add {rivals.value:.3f}, "
        f"curvature {bend.value:+.3f}"
    )


def _panel(number: int, ax: Any, rows: Sequence[Measured]) -> Any:
    network = distinct(rows, "network")[number]
    panel = Panel(ax, network, "accuracy lost, by eq. (14)", "accuracy lost, measured")
    levels = distinct(rows, "level")
    panel.line("eq. (14)", levels, levels, color=GREY, linestyle="-", marker="", like=6)
    floor = 0.3 * levels[0]
    for i, site in enumerate(distinct(rows, "site", network=network)):
        excess = select(rows, "excess", network=network, site=site)
        lost = [about(row.setting["level"], row.interval) for row in excess]
        ends = np.maximum([x[:3] for x in lost], floor).T
        # Side by side; what reaches below the axis is cut at its edge.
        panel.points(site, np.multiply(levels, 1.05 ** (i - 1.5)), *ends, like=i)
        rivals = select(rows, "rivals", network=network, site=site)
        panel.line(
            "all rivals, linear" if i == 0 else "_",
            levels,
            [max(row.setting["level"] + row.value, floor) for row in rivals],
            like=i,
            marker="",
            linewidth=0.8,
        )
    ticks(panel, rows, "level", ".0%")
    # Room for the legend below the lines.
    panel.limits(y=(0.15 * levels[0], None))
    panel.legend(loc="lower right")
    return ax


ACCURACY = Experiment(
    name="accuracy-feature-noise",
    parts=_parts,
    measure=_measure,
    judge=_judge,
    panels=tuple(functools.partial(_panel, i) for i in range(3)),
    needs=lambda job: job["networks"],
)
