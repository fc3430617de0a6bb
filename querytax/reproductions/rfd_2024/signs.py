"""RFD: how often noise on a real network turns an attacker's comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from querytax import intervals
from querytax.figures.style import GREY, Panel
from querytax.intervals import Interval, about
from querytax.reproductions import judge
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict
from querytax.reproductions.measured import Measured, distinct, only, select
from querytax.reproductions.panels import columns, ticks
from querytax.reproductions.rfd_2024.sites import (
    INPUT,
    Array,
    misled,
    sample,
    site_parts,
)
from querytax.theory import misstep

__all__ = ["THEOREM_1"]


def _parts(job: Job) -> Sequence[Part]:
    """Every ratio at the smallest step, every step and repeat at one ratio each."""
    least, *wider = job["steps"]
    points = [{"ratio": ratio, "step": least} for ratio in job["ratios"]]
    points += [{"ratio": job["ratio_of_steps"], "step": step} for step in wider]
    points.append({"ratio": job["ratio_of_repeats"], "step": least, "repeated": 1})
    sites = site_parts(job["networks"], job["layers"])
    return [{**site, "repeated": 0, **point} for site in sites for point in points]


def _measure(job: Job, part: Part) -> list[Measured]:
    network, site, step = part["network"], part["site"], part["step"]
    who = sample(network, job["images"]).first_right(job["attacked"])
    norms = who.norms([INPUT, site])
    at_input, here = norms[INPUT], norms[site]
    # The ratio is that of the median image; each image has its own.
    sigma = step * float(np.median(at_input / here) * np.sqrt(part["ratio"] / 2.0))
    repeats = job["repeats"] if part["repeated"] else [1]
    found = misled(who, site, sigma, step, job["draws"], job.seed, repeats)
    rows = [Measured("sigma", intervals.exact(sigma), "site")]
    for flips, m in zip(found.flips, repeats, strict=True):
        # Averaging M answers at both ends divides the noise's variance by M.
        s = sigma / m**0.5
        law = misstep.noisy_layers(at_input, here[:, None], step, [[s]])
        exact = misstep.over_changes(np.abs(found.changes), s * here)
        rows += _compared(flips, law, exact, m)
    return rows


def _compared(flips: Array, law: Array, exact: Array, m: int) -> list[Measured]:
    setting = {"repeats": m}
    return [
        Measured("flips", intervals.mean(flips), "probability", setting),
        Measured("law", intervals.mean(law), "probability", setting),
        # Image by image, so that the draw of images cancels.
        Measured("excess", intervals.mean(flips - law), "probability", setting),
        Measured("of_changes", intervals.mean(exact), "probability", setting),
    ]


def _about_law(rows: Sequence[Measured], excess: Measured) -> tuple[float, Interval]:
    """The law's mean, and the measured mean about it."""
    law = only(rows, "law", **excess.setting).value
    return law, about(law, excess.interval)


def _judge(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    found = []
    for network in distinct(rows, "network"):
        excess = select(rows, "excess", network=network)
        single = [row for row in excess if not row.setting["repeated"]]
        for step in job["steps"]:
            found.append(
                _holds(
                    f"{network}, noise at the input and the last layer: wrong "
                    "comparisons are arctan(sqrt(R))/pi of the gradient norms, at "
                    f"steps of {step:g}",
                    job,
                    rows,
                    [row for row in single if row.setting["step"] == step],
                )
            )
        found.append(
            _holds(
                f"{network}: averaging M answers at both ends divides R by M",
                job,
                rows,
                [row for row in excess if row.setting["repeated"]],
            )
        )
        blind = select(rows, "flips", network=network, ratio=max(job["ratios"]))
        far = max(blind, key=lambda row: abs(row.value - 0.5))
        found.append(
            judge.agrees(
                f"{network}: wrong comparisons come up to one half and no further",
                0.5,
                far.interval,
                tolerance=job["saturation"],
                claim="rfd-2024/f12",
                note=f"at R {max(job['ratios']):g}; furthest at {far.setting['site']}",
            )
        )
    return found


def _holds(
    statement: str, job: Job, rows: Sequence[Measured], chosen: Sequence[Measured]
) -> Verdict:
    found = [_about_law(rows, row) for row in chosen]
    i = int(np.argmax([abs(ours.value / law - 1.0) for law, ours in found]))
    (law, ours), setting = found[i], chosen[i].setting
    curved = only(rows, "of_changes", **setting).value
    return judge.follows(
        statement,
        [law for law, _ in found],
        [ours for _, ours in found],
        tolerance=job["tolerance"],
        claim="rfd-2024/f11",
        note=(
            f"furthest at {setting['site']}, R {setting['ratio']:g}: {ours.value:.3f} "
            f"for {law:.3f}, and for {curved:.3f} with the true changes"
        ),
    )


def _drawn(panel: Panel, rows: Sequence[Measured], along: str, **setting: Any) -> None:
    """Measured shares of each network's sites along one setting, and the law's."""
    for i, network in enumerate(distinct(rows, "network")):
        for j, site in enumerate(distinct(rows, "site", network=network)):
            here = {"network": network, "site": site, **setting}
            x, *flips = columns(select(rows, "flips", **here), along)
            fill: dict[str, Any] = {"markerfacecolor": "white"} if site == INPUT else {}
            panel.points(
                f"{network}, {'input' if site == INPUT else 'last layer'}",
                x * 1.06 ** (j - 1),
                *flips,
                like=i,
                **fill,
            )
            panel.line(
                "arctan(√R)/π",
                *columns(select(rows, "law", **here), along)[:2],
                color=GREY,
                linestyle=":",
                linewidth=0.8,
                marker="",
                like=6,
            )


def _ratio_panel(ax: Any, rows: Sequence[Measured]) -> Any:
    step = min(distinct(rows, "step"))
    panel = Panel(
        ax,
        f"Theorem 1, steps of {step:g}",
        "R of the median image",
        "wrong comparisons",
        yscale="linear",
    )
    _drawn(panel, rows, "ratio", repeated=0, step=step)
    # One for all panels: each label once.
    handles, labels = ax.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    panel.legend("lower right", handles=list(once.values()), labels=list(once))
    return ax


def _step_panel(ax: Any, rows: Sequence[Measured]) -> Any:
    widest = select(rows, "flips", step=max(distinct(rows, "step")))
    ratio = widest[0].setting["ratio"]
    panel = Panel(
        ax,
        f"Wider steps and noise, R = {ratio:g}",
        "step, standard deviation a pixel",
        "wrong comparisons",
        yscale="linear",
    )
    _drawn(panel, rows, "step", repeated=0, ratio=ratio)
    return ax


def _repeat_panel(ax: Any, rows: Sequence[Measured]) -> Any:
    ratio = select(rows, "flips", repeated=1)[0].setting["ratio"]
    panel = Panel(
        ax,
        f"Answers averaged: R = {ratio:g}/M",
        "answers M at each end",
        "wrong comparisons",
        yscale="linear",
    )
    _drawn(panel, rows, "repeats", repeated=1)
    ticks(panel, rows, "repeats")
    return ax


THEOREM_1 = Experiment(
    name="theorem-1",
    parts=_parts,
    measure=_measure,
    judge=_judge,
    panels=(_ratio_panel, _step_panel, _repeat_panel),
    needs=lambda job: job["networks"],
)
