"""NES against RND: how often it fails, by its probe, the noise and repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from querytax import papers
from querytax.attacks import nes
from querytax.defenses import InputNoise
from querytax.figures.style import Panel
from querytax.intervals import share
from querytax.plans import NESPlan
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, agrees, beyond, ordered
from querytax.reproductions.measured import Measured, distinct, only, select
from querytax.reproductions.panels import columns
from querytax.reproductions.rnd_2021.adaptive import nu_of_slide, repeats_of_table
from querytax.reproductions.rnd_2021.estimate import networks, points, short
from querytax.reproductions.rnd_2021.queries import scene

__all__ = ["ATTACK", "Averaged"]


class Averaged(nn.Module):
    """The mean of several queries in place of each: the slides' equation (13)."""

    def __init__(self, model: nn.Module, repeats: int) -> None:
        super().__init__()
        self.model, self.repeats = model, repeats

    def forward(self, x: Tensor) -> Tensor:
        """Answer images ``(N, ...)`` by mean logits ``(N, C)``."""
        return torch.stack([self.model(x) for _ in range(self.repeats)]).mean(0)


def _parts(job: Job) -> list[Part]:
    grid = [
        {"network": network, "nu": nu, "probe": probe, "repeats": 1}
        for network in job["networks"]
        for nu in job["noises"]
        for probe in job["probes"]
    ]
    return grid + [
        {
            "network": network,
            "nu": max(job["noises"]),
            "probe": job["eot_probe"],
            "repeats": repeats,
        }
        for network in job["networks"]
        for repeats in repeats_of_table()[1:]
    ]


def _measure(job: Job, part: Part) -> list[Measured]:
    place = scene(part["network"], job["networks"][part["network"]])
    guarded: nn.Module = InputNoise(place.model, part["nu"], experiment_seed=job.seed)
    if part["repeats"] > 1:
        guarded = Averaged(guarded, part["repeats"])
    plan = NESPlan(
        eps=job["eps"],
        probe=part["probe"],
        pairs=job["pairs"],
        step=job["step"],
        loss="margin",
    )
    # A query of the averaged model is as many of the defended one.
    budget = job["budget"] // part["repeats"]
    found = nes(guarded, place.x, place.y, plan, budget=budget, rng=job.seed).confirmed
    failed = int(np.count_nonzero(~found.success))
    return [Measured("failed", share(failed, found.success.size), "fraction")]


def _judge(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    found = []
    nu = nu_of_slide()
    equal = papers.text("rnd-2021/n20", "attack probe mu")
    for network in job["networks"]:
        at = {"network": network, "repeats": 1}
        narrow, same = (
            only(rows, "failed", nu=nu, probe=probe, **at).interval
            for probe in (min(job["probes"]), equal)
        )
        if job.scale == "full":
            # Printed of VGG-16 on CIFAR-10.
            free = only(rows, "failed", nu=0.0, probe=equal, **at).value
            found.append(
                agrees(
                    f"{network}: share of failed attacks at ν = μ = {nu:g}",
                    papers.text("rnd-2021/n20", "failure rate of NES, near"),
                    same,
                    tolerance=job["tolerance"],
                    claim="rnd-2021/n20",
                    note=f"{job['budget']} queries; {free:.2g} fail without noise; "
                    "VGG-16 there",
                )
            )
        found += [
            ordered(
                f"{network}, ν = {nu:g}: a probe of {min(job['probes']):g} fails more "
                f"often than one of {equal:g}",
                [narrow, same],
                claim="rnd-2021/n20",
            ),
            beyond(
                f"{network}, ν = {max(job['noises']):g}: a probe of "
                f"{max(job['probes']):g} fails in less than half",
                only(
                    rows,
                    "failed",
                    nu=max(job["noises"]),
                    probe=max(job["probes"]),
                    **at,
                ).interval,
                0.5,
                above=False,
                claim="rnd-2021/n19",
            ),
            ordered(
                f"{network}: at a fixed budget repeats lower the share of failed "
                "attacks",
                [
                    only(
                        rows,
                        "failed",
                        network=network,
                        nu=max(job["noises"]),
                        probe=job["eot_probe"],
                        repeats=repeats,
                    ).interval
                    for repeats in repeats_of_table()
                ],
                claim="rnd-2021/n24",
                note="so printed for NES on CIFAR-10; the other way on ImageNet",
            ),
        ]
    return found


def _draw(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        "NES, one query each",
        "probe μ, standard deviation",
        "share of failed attacks",
        yscale="linear",
    )
    rows = select(rows, repeats=1)
    noises = sorted(distinct(rows, "nu"))
    for i, name in enumerate(distinct(rows, "network")):
        for nu, line in zip(noises, ("-", "--", ":"), strict=False):
            found = columns(select(rows, network=name, nu=nu), "probe")
            panel.points(f"{short(name)}, ν = {nu:g}", *found, like=i, linestyle=line)
    panel.limits(y=(-0.03, 1.03))
    panel.legend(fontsize=7.0)
    return ax


def _draw_repeats(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        "NES at a fixed budget",
        "M, repeats of each query",
        "share of failed attacks",
        xscale="linear",
        yscale="linear",
    )
    many = [row for row in rows if row.setting["repeats"] > 1]
    where = {key: many[0].setting[key] for key in ("nu", "probe")}
    points(panel, select(rows, **where), "repeats")
    fixed = {"query_setting": "fixed", "attack": "NES"}
    for i, data in enumerate(("CIFAR-10", "ImageNet")):
        panel.line(
            f"{data}, printed",
            papers.column("rnd-2021", "table-eot", "repeats", dataset=data, **fixed),
            papers.column(
                "rnd-2021", "table-eot", "failure_rate", dataset=data, **fixed
            ),
            like=5 + i,
            markevery=1,
        )
    panel.limits(y=(-0.03, 1.03))
    panel.legend()
    return ax


ATTACK = Experiment(
    "nes-failures",
    _parts,
    _measure,
    _judge,
    panels=(_draw, _draw_repeats),
    needs=networks,
)
