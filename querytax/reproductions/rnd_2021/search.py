"""What RND does to a search: the signs that its noise turns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from querytax.figures.style import Panel
from querytax.intervals import exact, mean, quantile
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, beyond, follows, ordered
from querytax.reproductions.measured import Measured, only, select
from querytax.reproductions.rnd_2021.estimate import networks, points
from querytax.reproductions.rnd_2021.queries import ask, scene, steepest
from querytax.theory import misstep

__all__ = ["FLIPS"]


def _flip_parts(job: Job) -> list[Part]:
    return [
        {"network": network, "probe": probe}
        for network in job["networks"]
        for probe in job["probes"]
    ]


def _flips(job: Job, part: Part) -> list[Measured]:
    place = scene(part["network"], job["networks"][part["network"]])
    probe, d = part["probe"], place.dimension
    common: dict[str, Any] = {"probe": probe, "directions": job["directions"]}
    common |= {"seed": job.seed}
    change = ask(place, sigma=0.0, **common).change
    widest = max(job["alphas"]) * probe
    lipschitz = steepest(place, widest, job["gradients"], job.seed)
    rows = []
    for alpha in job["alphas"]:
        noisy = ask(place, sigma=alpha * probe, **common).change
        # The printed bound 2 L ν √d/|h|, L no larger than it is.
        bound = 2.0 * lipschitz * alpha * probe * math.sqrt(d) / change.abs()
        found = {
            "flipped": mean(((change > 0.0) != (noisy > 0.0)).double().mean(1)),
            "law": exact(float(misstep.random_direction(0.5 / alpha**2))),
            "bound": quantile(bound.median(1).values, 0.5),
            "bound_says": mean((bound < 1.0).double().mean(1)),
        }
        setting = {"alpha": alpha, "dimension": d}
        rows += [Measured(name, x, "", setting) for name, x in found.items()]
    return rows


def _judge_flips(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    found = []
    for probe in job["probes"]:
        flipped = select(rows, "flipped", probe=probe)
        found.append(
            follows(
                f"Share of turned signs, probe {probe:g}: arctan(√2 ν/μ)/π",
                [row.value for row in select(rows, "law", probe=probe)],
                [row.interval for row in flipped],
                tolerance=job["tolerance"],
                claim="rnd-2021/n26",
                note="all networks and ν/μ together",
            )
        )
    for part in _flip_parts(job):
        where = f"{part['network']}, probe {part['probe']:g}"
        flipped = select(rows, "flipped", **part)
        found += [
            ordered(
                f"{where}: less noise over probe turns fewer signs",
                [row.interval for row in reversed(flipped)],
                claim="rnd-2021/n26",
            ),
            beyond(
                f"{where}: Theorem 3's bound is above 1 at the median direction, "
                f"ν/μ = {min(job['alphas']):g}",
                only(rows, "bound", alpha=min(job["alphas"]), **part).interval,
                1.0,
                claim="rnd-2021/n25",
            ),
        ]
    return found


def _draw_flips(ax: Any, rows: Sequence[Measured]) -> Any:
    probe = max(float(row.setting["probe"]) for row in rows)
    rows = select(rows, probe=probe)
    panel = Panel(
        ax,
        f"turned signs, probe μ = {probe:g}",
        "ν/μ, noise over probe",
        "share of comparisons",
        yscale="linear",
    )
    points(panel, select(rows, "flipped"), "alpha")
    law = {row.setting["alpha"]: row.value for row in select(rows, "law")}
    panel.line(
        "arctan(√2 ν/μ)/π", list(law), list(law.values()), color="0.35", marker=""
    )
    panel.limits(y=(0.0, 0.55))
    panel.legend("lower right")
    return ax


def _draw_bound(ax: Any, rows: Sequence[Measured]) -> Any:
    probe = max(float(row.setting["probe"]) for row in rows)
    panel = Panel(
        ax,
        "printed bound on that share",
        "ν/μ, noise over probe",
        "2 L ν √d/|h|, median direction",
    )
    points(panel, select(rows, "bound", probe=probe), "alpha")
    panel.level(1.0)
    panel.limits(y=(0.5, None))
    panel.legend()
    return ax


FLIPS = Experiment(
    "sign-flips",
    _flip_parts,
    _flips,
    _judge_flips,
    panels=(_draw_flips, _draw_bound),
    needs=networks,
)
