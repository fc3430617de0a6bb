"""RND's gradient estimate on real networks: its angle and its mean square."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from querytax.figures.style import Panel
from querytax.intervals import Interval, changed, exact, mean
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, beyond, follows, ordered
from querytax.reproductions.measured import Measured, distinct, only, select
from querytax.reproductions.panels import columns
from querytax.reproductions.rnd_2021.queries import ask, scene, steepest
from querytax.theory import angle, second_moment

__all__ = ["ANGLE", "MOMENT", "laws", "networks", "points", "short"]

_NU_OVER_MU = "ν/μ, noise over probe, both standard deviations"


def networks(job: Job) -> tuple[str, ...]:
    """What an experiment needs: its networks, which stand with their image counts."""
    return tuple(job["networks"])


def short(network: str) -> str:
    """A network's name in a legend."""
    data, word, *_ = network.split("_")
    return f"{data} {word}"


def points(panel: Panel, rows: Sequence[Measured], key: str) -> None:
    """One set of points a network, side by side where they share a setting."""
    names = distinct(rows, "network")
    for i, name in enumerate(names):
        x, *ends = columns(select(rows, network=name), key)
        panel.points(short(name), x * 1.06 ** (i - (len(names) - 1) / 2), *ends, like=i)


def laws(panel: Panel, rows: Sequence[Measured], key: str, label: str = "law") -> None:
    """One line a network, as its points, and one entry in the legend."""
    for i, name in enumerate(distinct(rows, "network")):
        x, y, *_ = columns(select(rows, network=name), key)
        panel.line("_law" if i else label, x, y, like=i, marker="")


def _angle_parts(job: Job) -> list[Part]:
    return [
        {"network": network, "probe": probe, "form": form}
        for network in job["networks"]
        for probe in job["probes"]
        for form in ("antithetic", "forward")
    ]


def _angles(job: Job, part: Part) -> list[Measured]:
    place = scene(part["network"], job["networks"][part["network"]])
    probe, form, d = part["probe"], part["form"], place.dimension
    rows = []
    for alpha in job["alphas"]:
        asked = ask(
            place,
            probe=probe,
            sigma=alpha * probe,
            directions=job["directions"],
            estimates=job["estimates"],
            form=form,
            seed=job.seed,
        )
        law = angle.mean_cosine(
            probe, alpha * probe, d, job["directions"], differences=form
        )
        setting = {"alpha": alpha, "dimension": d}
        rows += [
            Measured("cosine", mean(asked.cosine.mean(1)), "", setting),
            Measured("law", exact(float(law)), "", setting),
        ]
    return rows


def _judge_angles(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    found = []
    for probe in job["probes"]:
        for form in ("antithetic", "forward"):
            for alphas, tolerance in (
                (job["near"], job["tolerance"]),
                (job["far"], job["tolerance_far"]),
            ):
                at = [
                    {"network": n, "probe": probe, "form": form, "alpha": alpha}
                    for n in job["networks"]
                    for alpha in alphas
                ]
                said = ", ".join(f"{alpha:g}" for alpha in alphas)
                found.append(
                    follows(
                        f"Mean cosine of {form} estimates, probe {probe:g}, "
                        f"ν/μ = {said}: the law of a linear loss",
                        [only(rows, "law", **each).value for each in at],
                        [only(rows, "cosine", **each).interval for each in at],
                        tolerance=tolerance,
                        claim="rnd-2021/n5",
                        note="all networks together",
                    )
                )
    probe = job["probes"][-1]
    for network in job["networks"]:
        found.append(
            ordered(
                f"{network}, probe {probe:g}: the estimate worsens with ν/μ",
                [
                    only(
                        rows,
                        "cosine",
                        network=network,
                        probe=probe,
                        form="antithetic",
                        alpha=alpha,
                    ).interval
                    for alpha in (*job["near"], job["far"][0])
                ],
                claim="rnd-2021/n16",
            )
        )
    return found


def _draw_angles(which: int) -> Any:
    def draw(ax: Any, rows: Sequence[Measured]) -> Any:
        rows = [row for row in select(rows, form="antithetic") if row.setting["alpha"]]
        probe = sorted({float(row.setting["probe"]) for row in rows})[which]
        panel = Panel(
            ax,
            f"reflected pairs, probe μ = {probe:g}",
            _NU_OVER_MU,
            "mean cosine over that of a linear loss",
            yscale="linear",
        )
        points(
            panel,
            [_relative(row, rows) for row in select(rows, "cosine", probe=probe)],
            "alpha",
        )
        panel.level(1.0)
        panel.limits(y=(-0.8, 2.0))
        panel.legend("lower left")
        return ax

    return draw


def _relative(row: Measured, rows: Sequence[Measured]) -> Measured:
    """What was measured over the law at its setting."""
    law = only(rows, "law", **row.setting).value
    return replace(row, interval=changed(row.interval, lambda x: x / law))


ANGLE = Experiment(
    "estimator-angle",
    _angle_parts,
    _angles,
    _judge_angles,
    panels=(_draw_angles(0), _draw_angles(-1)),
    needs=networks,
)


def _moment_parts(job: Job) -> list[Part]:
    return [
        {"network": network, "probe": probe}
        for network in job["networks"]
        for probe in job["probes"]
    ]


def _printed(lipschitz: float, d: int, alpha: float) -> float:
    """What Theorem 1 implies for the mean square: L² d² (1 + √2 α)²."""
    return (lipschitz * d * (1.0 + math.sqrt(2.0) * alpha)) ** 2


def _moments(job: Job, part: Part) -> list[Measured]:
    place = scene(part["network"], job["networks"][part["network"]])
    probe, d = part["probe"], place.dimension
    widest = max(job["alphas"]) * probe
    lipschitz = steepest(place, widest, job["gradients"], job.seed)
    rows = [Measured("steepest", exact(lipschitz), "per unit of input")]
    for alpha in job["alphas"]:
        sigma = alpha * probe
        moment = ask(
            place, probe=probe, sigma=sigma, directions=job["directions"], seed=job.seed
        ).moment()
        linear = second_moment.linear(place.norms.numpy(), probe, sigma, d)
        tight = float(second_moment.lipschitz_bound(lipschitz, probe, sigma, d))
        found = {
            "over_linear": mean(moment / linear),
            "tight_over": _over(tight, mean(moment)),
            "printed_over": _over(_printed(lipschitz, d, alpha), mean(moment)),
        }
        setting = {"alpha": alpha, "dimension": d}
        rows += [Measured(name, x, "ratio", setting) for name, x in found.items()]
    return rows


def _over(bound: float, x: Interval) -> Interval:
    """A bound over a measured number, which is positive."""
    return changed(x, lambda moment: bound / moment if moment > 0.0 else math.inf)


def _judge_moments(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    found = []
    for probe in job["probes"]:
        measured = select(rows, "over_linear", probe=probe)
        found.append(
            follows(
                f"Mean square of the estimate, probe {probe:g}: "
                "|a|² (d + 2 + 2 α² d), linear",
                [1.0] * len(measured),
                [row.interval for row in measured],
                tolerance=job["tolerance"],
                claim="rnd-2021/n5",
                note="ratio to the law, all networks and ν/μ together",
            )
        )
    most = max(job["alphas"])
    for part in _moment_parts(job):
        at = {**part, "alpha": most}
        d = float(only(rows, "printed_over", **at).setting["dimension"])
        where = f"{part['network']}, probe {part['probe']:g}, ν/μ = {most:g}"
        found += [
            beyond(
                f"{where}: Theorem 1's bound on the mean square is over d times wide",
                only(rows, "printed_over", **at).interval,
                d,
                claim="rnd-2021/n7",
                note="d as the number printed",
            ),
            beyond(
                f"{where}: the tight bound is less than d times wide",
                only(rows, "tight_over", **at).interval,
                d,
                above=False,
                claim="rnd-2021/n7",
                note="and holds if it is above 1; L is the steepest slope met",
            ),
        ]
    return found


def _draw_moments(ax: Any, rows: Sequence[Measured]) -> Any:
    probe = max(float(row.setting["probe"]) for row in rows)
    rows = [row for row in select(rows, probe=probe) if row.setting.get("alpha")]
    panel = Panel(
        ax,
        f"bounds, printed (filled) and tight (open), μ = {probe:g}",
        _NU_OVER_MU,
        "bound over measured mean square",
    )
    for i, name in enumerate(distinct(rows, "network")):
        for word, mute, fill in (("printed", "", None), ("tight", "_", "white")):
            x, y, *_ = columns(select(rows, f"{word}_over", network=name), "alpha")
            label = f"{mute}{short(name)}, {word}"
            panel.line(label, x, y, like=i, markerfacecolor=fill, markevery=1)
    panel.limits(y=(0.1, None))
    panel.level(1.0)
    panel.legend(fontsize=7.0)
    return ax


def _draw_law(ax: Any, rows: Sequence[Measured]) -> Any:
    probe = max(float(row.setting["probe"]) for row in rows)
    rows = [
        row
        for row in select(rows, "over_linear", probe=probe)
        if row.setting["alpha"] > 0
    ]
    panel = Panel(
        ax,
        f"linear law, probe μ = {probe:g}",
        _NU_OVER_MU,
        "measured mean square over the law",
        yscale="linear",
    )
    points(panel, rows, "alpha")
    panel.level(1.0)
    panel.legend()
    return ax


MOMENT = Experiment(
    "second-moment",
    _moment_parts,
    _moments,
    _judge_moments,
    panels=(_draw_law, _draw_moments),
    needs=networks,
)
