"""Output randomization: QL, run against its noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from querytax import papers
from querytax.attacks import nes
from querytax.defenses import OutputNoise
from querytax.figures.style import LINES, Panel
from querytax.intervals import Interval, share
from querytax.plans import NESPlan
from querytax.reproductions import zoo
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, beyond, ordered, ranks
from querytax.reproductions.measured import Measured, only, select
from querytax.reproductions.output_randomization_2020.laws import (
    PAPER,
    attacked,
    needs,
    networks,
)
from querytax.reproductions.panels import columns

__all__ = ["QUERY_LIMITED"]

_SUCCESS = "success rate"


def _attacks(job: Job) -> list[Part]:
    asked = {job["probe"]: job["variances"], job["wide_probe"]: job["wide_variances"]}
    return [
        {**part, "probe": probe, "variance": variance}
        for part in networks(job)
        for probe, variances in asked.items()
        for variance in variances
    ]


def _attack(job: Job, part: Part) -> list[Measured]:
    network = part["network"]
    images, labels = attacked(network, job["n_images"], 0.0, job["eps"][network])
    guarded = OutputNoise(
        zoo.load(network), part["variance"] ** 0.5, experiment_seed=job.seed
    )
    plan = NESPlan(
        eps=job["eps"][network],
        probe=part["probe"],
        pairs=job["pairs"],
        step=job["eps"][network] * job["step_share"],
    )
    found = nes(guarded, images, labels, plan, budget=job["budget"], rng=job.seed)
    success = found.clean.success
    return [Measured(_SUCCESS, share(int(success.sum()), len(success)), "fraction")]


def _judge_attacks(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    least = papers.text(f"{PAPER}/b28", "noise variance said to prevent the attacks")
    printed = {
        float(cell["noise_variance"]): float(cell["success_rate"])
        for cell in papers.rows(PAPER, "table-1")
        if cell["attack"] == "QL"
    }
    strongest = max(printed)
    verdicts = []
    for network in job["networks"]:

        def success(
            variance: float, probe: float = job["probe"], name: str = network
        ) -> Interval:
            return only(
                rows, _SUCCESS, network=name, probe=probe, variance=variance
            ).interval

        verdicts += [
            ranks(
                f"{network}: the success of QL falls with the noise as in table 1",
                [success(variance).value for variance in printed],
                list(printed.values()),
                claim=f"{PAPER}/b27",
            ),
            beyond(
                f"{network}: a variance of {least:g} stops QL on most images",
                success(least),
                0.5,
                above=False,
                claim=f"{PAPER}/b28",
            ),
            ordered(
                f"{network}: at {strongest:g} a wide probe breaks more than QL's own",
                [success(strongest, job["wide_probe"]), success(strongest)],
                claim=f"{PAPER}/b27",
                note="The paper's adaptive attackers average; they keep the probe.",
            ),
        ]
    return verdicts


def _draw_attacks(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        "Success of QL",
        "variance of the noise, probability²",
        "success rate",
        xscale="linear",
        yscale="linear",
    )
    ax.set_xscale("symlog", linthresh=1e-7)
    groups = dict.fromkeys((r.setting["network"], r.setting["probe"]) for r in rows)
    for i, (network, probe) in enumerate(groups):
        some = select(rows, _SUCCESS, network=network, probe=probe)
        label, dashes = f"{network}, probe {float(probe):g}", LINES[i]["linestyle"]
        panel.points(label, *columns(some, "variance"), like=i, linestyle=dashes)
    cells = [c for c in papers.rows(PAPER, "table-1") if c["attack"] == "QL"]
    panel.points(
        "printed, ImageNet",
        [float(cell["noise_variance"]) for cell in cells],
        [float(cell["success_rate"]) for cell in cells],
        like=6,
    )
    panel.limits(y=(-0.02, 1.05))
    panel.legend(fontsize=6.5)
    return ax


QUERY_LIMITED = Experiment(
    "query-limited", _attacks, _attack, _judge_attacks, (_draw_attacks,), needs
)
