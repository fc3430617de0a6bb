"""Attackers who answer RND: a wider probe, or the mean of repeated queries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from querytax import papers
from querytax.figures.style import Panel
from querytax.intervals import LEVEL, Interval, changed, exact, mean
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, agrees, follows, ordered
from querytax.reproductions.measured import Measured, distinct, only, select
from querytax.reproductions.panels import columns
from querytax.reproductions.rnd_2021.estimate import laws, networks, points, short
from querytax.reproductions.rnd_2021.queries import Scene, ask, scene
from querytax.theory import angle, second_moment

__all__ = ["EOT", "PROBE", "nu_of_slide", "repeats_of_table"]

_FORMS = ("forward", "antithetic")


def nu_of_slide() -> float:
    """The slide's noise."""
    return papers.text("rnd-2021/n20", "defence noise nu")


def _network_parts(job: Job) -> list[Part]:
    return [{"network": network} for network in job["networks"]]


def _probes(job: Job, part: Part) -> list[Measured]:
    place = scene(part["network"], job["networks"][part["network"]])
    slope = place.norms.numpy() ** 2
    common: dict[str, Any] = {"directions": job["directions"], "seed": job.seed}
    common |= {"estimates": job["estimates"]}
    rows, measured, laws = [], [], []
    cosines: dict[str, list[npt.NDArray[np.float64]]] = {form: [] for form in _FORMS}
    for probe in job["probes"]:
        setting = {"probe": probe}
        for form in _FORMS:
            asked = ask(place, probe=probe, sigma=nu_of_slide(), form=form, **common)
            cosines[form].append(asked.cosine.mean(1).numpy())
            x = mean(cosines[form][-1])
            rows.append(Measured("cosine", x, "", {**setting, "form": form}))
            if form == "forward":
                measured.append(asked.moment() / slope)
        laws.append(_curved(place, probe, job) / slope)
        rows += [
            Measured("moment", mean(measured[-1]), "over |a|²", setting),
            Measured("moment_law", mean(laws[-1]), "over |a|²", setting),
        ]
    rows += [
        Measured("best_probe", _argbest(job, measured), "std", {"by": "moment"}),
        Measured("best_probe", _argbest(job, laws), "std", {"by": "law"}),
    ]
    return rows + [
        Measured(
            "best_probe",
            _argbest(job, [-c for c in cosines[form]]),
            "std",
            {"by": f"cosine, {form}"},
        )
        for form in _FORMS
    ]


def _curved(place: Scene, probe: float, job: Job) -> npt.NDArray[np.float64]:
    """Law of the mean square at the curvature that this probe meets, without noise.

    The even part of the response, μ² u'Au/2, has mean μ² tr A/2 and variance
    μ⁴ |A|²/2.
    """
    ends = [
        ask(
            place,
            probe=sign * probe,
            sigma=0.0,
            directions=job["directions"],
            estimates=job["estimates"],
            seed=job.seed,
        ).change
        for sign in (1.0, -1.0)
    ]
    even = (ends[0] + ends[1]).numpy() / probe**2
    d, n = place.dimension, even.shape[1]
    variance = even.var(axis=1, ddof=1)
    # The mean's square, freed of the variance of that mean.
    square = np.maximum(even.mean(axis=1) ** 2 - variance / n, 0.0)
    frobenius = np.maximum(np.sqrt(variance / 2.0), np.sqrt(square / d))
    law = second_moment.quadratic(
        place.norms.numpy(), np.sqrt(square), frobenius, probe, nu_of_slide(), d
    )
    return np.asarray(law)


def _argbest(job: Job, values: Sequence[npt.NDArray[np.float64]]) -> Interval:
    """The probe of the least mean over images, with a bootstrap interval over them."""
    table, probes = np.stack(values), np.asarray(job["probes"])
    n = table.shape[1]
    rng = np.random.default_rng(job.seed)
    drawn = rng.integers(n, size=(job["resamples"], n))
    best = probes[table[:, drawn].mean(axis=2).argmin(axis=0)]
    tail = 0.5 * (1.0 - LEVEL)
    low, high = np.quantile(best, [tail, 1.0 - tail], method="nearest")
    value = probes[table.mean(axis=1).argmin()]
    return Interval(float(value), float(low), float(high), n)


def _judge_probes(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    found = []
    nu = nu_of_slide()
    for network in job["networks"]:
        at = {"network": network}
        law = only(rows, "best_probe", by="law", **at).value
        measured = only(rows, "best_probe", by="moment", **at)
        found.append(
            agrees(
                f"{network}, ν = {nu:g}: the probe of the least mean square is where "
                "measured curvature puts it (log2)",
                math.log2(law),
                changed(measured.interval, math.log2),
                tolerance=job["octaves"],
                claim="rnd-2021/n5",
            )
        )
        equal, wider, widest = (
            papers.text("rnd-2021/n20", "attack probe mu"),
            job["wider"],
            max(job["probes"]),
        )
        for form in _FORMS:
            cosine = {
                probe: only(rows, "cosine", form=form, probe=probe, **at).interval
                for probe in (equal, wider, widest)
            }
            for better, worse in ((equal, wider), (wider, widest)):
                found.append(
                    ordered(
                        f"{network}, ν = {nu:g}, {form}: a probe of {worse:g} "
                        f"estimates worse than one of {better:g}",
                        [cosine[better], cosine[worse]],
                        claim="rnd-2021/n19",
                    )
                )
    return found


def _draw_cosines(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        f"antithetic (filled) and forward (open), ν = {nu_of_slide():g}",
        "probe μ, standard deviation",
        "mean cosine with the gradient",
        yscale="linear",
    )
    forms: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("antithetic", "", {"linestyle": "-"}),
        ("forward", "_", {"linestyle": ":", "markerfacecolor": "white"}),
    )
    for i, name in enumerate(distinct(rows, "network")):
        for form, mute, style in forms:
            found = columns(select(rows, "cosine", network=name, form=form), "probe")
            panel.points(f"{mute}{short(name)}, {form}", *found, like=i, **style)
    panel.legend(fontsize=7.0)
    return ax


def _draw_least(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        "forward differences",
        "probe μ, standard deviation",
        "mean square over |a|²",
    )
    points(panel, select(rows, "moment"), "probe")
    laws(panel, select(rows, "moment_law"), "probe")
    panel.legend("lower left", fontsize=7.0)
    return ax


PROBE = Experiment(
    "probe-size",
    _network_parts,
    _probes,
    _judge_probes,
    panels=(_draw_cosines, _draw_least),
    needs=networks,
)


def repeats_of_table() -> list[int]:
    """The table's M: fewest, middle and most."""
    return [
        int(papers.text("rnd-2021/n24", f"{which} repeats M"))
        for which in ("fewest", "middle", "most")
    ]


def _eot_parts(job: Job) -> list[Part]:
    return [
        {"network": network, "alpha": alpha, "form": form}
        for network in job["networks"]
        for alpha in job["alphas"]
        for form in _FORMS
    ]


def _averaged(job: Job, part: Part) -> list[Measured]:
    place = scene(part["network"], job["networks"][part["network"]])
    probe, form = job["probe"], part["form"]
    sigma, d = part["alpha"] * probe, place.dimension
    rows = []
    for repeats in repeats_of_table():
        count = job["queries"] // (2 * repeats)
        common: dict[str, Any] = {"probe": probe, "directions": count, "form": form}
        common |= {"estimates": job["estimates"], "seed": job.seed}
        asked = ask(place, sigma=sigma, repeats=repeats, **common)
        free = ask(place, sigma=0.0, **common)
        one = second_moment.noise(
            place.norms.numpy(), 0.0, probe, sigma, d, differences=form
        )
        law = angle.mean_cosine(probe, sigma, d, count, repeats, form)
        setting = {"repeats": repeats, "directions": count, "dimension": d}
        rows += [
            Measured("cosine", mean(asked.cosine.mean(1)), "", setting),
            Measured("law", exact(float(law)), "", setting),
            Measured(
                "noise_times_M",
                mean(repeats * (asked.moment() - free.moment()) / one),
                "of the linear law at M = 1",
                setting,
            ),
        ]
    return rows


def _judge_eot(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    found = []
    weak = min(job["alphas"])
    for form in _FORMS:
        for alpha in job["alphas"]:
            at = {"form": form, "alpha": alpha}
            where = f"{form}, ν/μ = {alpha:g}"
            found += [
                follows(
                    f"{where}: mean cosine at {job['queries']} queries, "
                    "M = 1, 5, 10: the law",
                    [row.value for row in select(rows, "law", **at)],
                    [row.interval for row in select(rows, "cosine", **at)],
                    tolerance=job["tolerance" if alpha == weak else "tolerance_far"],
                    claim="rnd-2021/n24",
                    note="all networks together",
                ),
                follows(
                    f"{where}: every term of the mean square in ν falls as 1/M",
                    [1.0] * len(select(rows, "noise_times_M", **at)),
                    [row.interval for row in select(rows, "noise_times_M", **at)],
                    tolerance=job["tolerance_moment"],
                    claim="rnd-2021/n23",
                    note="M times it; a term (M + 1)/(2M) would end at 5.5",
                ),
            ]
    for part in _eot_parts(job):
        if part["alpha"] > weak:
            continue
        where = f"{part['network']}, {part['form']}, ν/μ = {part['alpha']:g}"
        found.append(
            ordered(
                f"{where}: at {job['queries']} queries repeats cost the estimate",
                [
                    only(rows, "cosine", repeats=repeats, **part).interval
                    for repeats in repeats_of_table()
                ],
                claim="rnd-2021/n24",
            )
        )
    return found


def _draw_eot(which: int) -> Any:
    def draw(ax: Any, rows: Sequence[Measured]) -> Any:
        alpha = sorted({float(row.setting["alpha"]) for row in rows})[which]
        rows = select(rows, alpha=alpha, form="antithetic")
        panel = Panel(
            ax,
            f"ν/μ = {alpha:g}, reflected pairs",
            "M, repeats of each query, at fixed queries",
            "mean cosine with the gradient",
            xscale="linear",
            yscale="linear",
        )
        points(panel, select(rows, "cosine"), "repeats")
        laws(panel, select(rows, "law"), "repeats")
        panel.limits(y=(0.0, None))
        panel.legend(fontsize=7.0)
        return ax

    return draw


EOT = Experiment(
    "eot",
    _eot_parts,
    _averaged,
    _judge_eot,
    panels=(_draw_eot(0), _draw_eot(-1)),
    needs=networks,
)
