"""What small input noise does to clean images: accuracy lost and labels changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from querytax import papers
from querytax.figures.style import Panel
from querytax.intervals import Interval, changed, mean, share
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, agrees, beyond, follows
from querytax.reproductions.measured import Measured, distinct, only, select
from querytax.reproductions.panels import columns, ticks
from querytax.reproductions.snd_2022.noise import (
    PAPER,
    PAPERS_NETWORK,
    Array,
    labels_under_noise,
    lead,
    power,
    quotient,
    right,
    root,
)
from querytax.theory import boundary, margin

__all__ = ["ACCURACY", "FLIPS"]

_RESNET = {"model": "ResNet-20"}
# Points of several sources stand side by side, this factor apart.
_ASIDE = 1.08


def _networks(job: Job) -> tuple[str, ...]:
    return (job["network"], *job["others"])


def _parts(job: Job) -> list[Part]:
    """Each network at each sigma, then the growth from one sigma to another."""
    sigmas = job["sigmas"]
    one = [{"network": n, "sigma": s} for n in _networks(job) for s in sigmas]
    low, high = job["power"]
    return [*one, {"network": job["network"], "from": low, "to": high}]


def _size(job: Job, network: str) -> int:
    size: int = job["images" if network == job["network"] else "other_images"]
    return size


def _share_wrong(job: Job, network: str, sigma: float, truth: np.ndarray) -> Array:
    """Share of the noisy answers to each image that are not ``truth``."""
    repeats = job["repeats"] if network == job["network"] else 1
    noisy = labels_under_noise(network, truth.size, sigma, repeats, job.seed)
    found: Array = (noisy != truth[:, None]).mean(1)
    return found


# -- accuracy ----------------------------------------------------------------------


def _lost(job: Job, network: str, sigma: float) -> tuple[Array, Array]:
    """Accuracy that each image loses, and what the linear margin predicts."""
    n = _size(job, network)
    clean, truth = lead(network, n), right(network, n)
    was_wrong = clean.answered != truth
    measured = _share_wrong(job, network, sigma, truth) - was_wrong
    signed = np.where(was_wrong, -clean.margin, clean.margin)
    law = margin.accuracy_loss(
        signed[:, None], clean.gradient_norm[:, None], np.asarray(sigma)
    )
    return measured, np.asarray(law)


def _measure_accuracy(job: Job, part: Part) -> list[Measured]:
    network = part["network"]
    if "from" in part:
        weak, weak_law = _lost(job, network, part["from"])
        strong, strong_law = _lost(job, network, part["to"])
        factor = part["to"] / part["from"]
        return [
            Measured("power", power(weak, strong, factor)),
            Measured("power, linear margin", power(weak_law, strong_law, factor)),
        ]
    lost, law = _lost(job, network, part["sigma"])
    n = lost.size
    clean = (lead(network, n).answered == right(network, n)).astype(float)
    rows = [
        Measured("clean accuracy", share(int(clean.sum()), n), "fraction"),
        Measured("accuracy", mean(clean - lost), "fraction"),
        Measured("accuracy lost", mean(lost), "fraction"),
        Measured("accuracy lost, linear margin", mean(law), "fraction"),
        Measured("lost less linear margin", mean(lost - law), "fraction"),
    ]
    if network == job["network"] and job["repeats"] > 1:
        rows.append(Measured("std over runs", _spread(clean - lost, job), "fraction"))
    return rows


def _spread(accuracy: Array, job: Job) -> Interval:
    """Std of the accuracy of one run: every image's answer is right by chance."""
    n, repeats = accuracy.size, job["repeats"]
    variance = mean(accuracy * (1.0 - accuracy) * repeats / (repeats - 1) / n)
    return root(variance)


def _judge_accuracy(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    here = select(rows, network=job["network"])
    grown = only(here, "power").interval
    verdicts = [
        agrees(
            "Accuracy is lost with the square of the noise.",
            2.0,
            grown,
            tolerance=job["power_tolerance"],
            claim="snd-2022/s18",
        ),
        beyond("Accuracy is lost faster than labels change.", grown, 1.0),
        *(
            agrees(
                "Accuracy lost less what margin and gradient of each image tell, at "
                f"sigma {row.setting['sigma']:g}.",
                0.0,
                row.interval,
                tolerance=job["law_tolerance"],
            )
            for row in select(here, "lost less linear margin")
        ),
    ]
    if job["network"] == PAPERS_NETWORK:
        verdicts += _against_table_1(job, here)
    return verdicts


def _printed(sigma: float | None, name: str = "clean_accuracy_percent") -> float:
    """A cell of Table 1, as a fraction."""
    place = (
        {"defense": "Baseline"}
        if sigma is None
        else {"defense": "SND", "sigma": f"{sigma:g}"}
    )
    return papers.number(PAPER, "table-1", name, **_RESNET, **place) / 100.0


def _printed_sigmas(table: str, **where: str) -> list[float]:
    rows = [r for r in papers.rows(PAPER, table) if where.items() <= r.items()]
    return [float(row["sigma"]) for row in rows if row["sigma"]]


def _against_table_1(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    sigmas = job["sigmas"]
    within = {"tolerance": job["accuracy_tolerance"]}
    clean = only(rows, "clean accuracy", sigma=sigmas[0]).interval
    low, high = job["power"]
    lost = {s: _printed(None) - _printed(s) for s in sigmas}
    return [
        agrees("Clean accuracy of ResNet-20.", _printed(None), clean, **within),
        *(
            agrees(
                f"Accuracy of ResNet-20 at sigma {s:g}.",
                _printed(s),
                only(rows, "accuracy", sigma=s).interval,
                **within,
            )
            for s in sigmas
        ),
        follows(
            "Accuracy lost at the two greater sigmas.",
            [lost[s] for s in (low, high)],
            [only(rows, "accuracy lost", sigma=s).interval for s in (low, high)],
            tolerance=job["lost_tolerance"],
        ),
        agrees(
            "Power of the accuracy lost, from the same cells.",
            math.log(lost[high] / lost[low]) / math.log(high / low),
            only(rows, "power").interval,
            tolerance=job["power_tolerance"],
            claim="snd-2022/s18",
        ),
        *(
            agrees(
                f"Std of the accuracy over runs at sigma {s:g}.",
                _printed(s, "clean_accuracy_std_percent"),
                only(rows, "std over runs", sigma=s).interval,
                tolerance=job["std_tolerance"]
                * _printed(s, "clean_accuracy_std_percent"),
                note="The printed one is of five runs, known to a factor of about two.",
            )
            for s in sigmas
        ),
    ]


# -- labels ------------------------------------------------------------------------


def _flipped(job: Job, network: str, sigma: float) -> tuple[Array, Array]:
    """Share of changed answers of each image, and what the linear margin predicts."""
    n = _size(job, network)
    clean = lead(network, n)
    law = boundary.flip(clean.margin, sigma * clean.gradient_norm)
    return _share_wrong(job, network, sigma, clean.answered), np.asarray(law)


def _measure_flips(job: Job, part: Part) -> list[Measured]:
    network = part["network"]
    if "from" in part:
        weak, weak_law = _flipped(job, network, part["from"])
        strong, strong_law = _flipped(job, network, part["to"])
        factor = part["to"] / part["from"]
        return [
            Measured("power", power(weak, strong, factor)),
            Measured("power, linear margin", power(weak_law, strong_law, factor)),
            Measured("density at the boundary", _density(job, network), "1/L2"),
        ]
    sigma = part["sigma"]
    flipped, law = _flipped(job, network, sigma)
    at_first = lead(network, flipped.size).answered == right(network, flipped.size)
    rate = float(boundary.flip_rate(1.0, sigma))
    small = changed(_density(job, network), lambda density: rate * density)
    return [
        Measured("changed", mean(flipped), "probability"),
        Measured("changed, right images", mean(flipped[at_first]), "probability"),
        Measured("changed, linear margin", mean(law), "probability"),
        Measured("changed, weak noise", small, "probability"),
        Measured("changed over linear margin", quotient(flipped, law)),
    ]


def _density(job: Job, network: str) -> Interval:
    """Density of signed distances at the boundary, half of it on each side."""
    n = _size(job, network)
    clean = lead(network, n)
    near = clean.margin < job["width"] * clean.gradient_norm
    scale = 0.5 / job["width"]
    return changed(share(int(near.sum()), n), lambda x: scale * x)


def _judge_flips(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    here = select(rows, network=job["network"])
    low, high = job["power"]
    grown = only(here, "power").interval
    verdicts = [
        agrees(
            "Weak noise changes labels in proportion to it.",
            1.0,
            grown,
            tolerance=job["power_tolerance"],
            claim="snd-2022/s18",
        ),
        *(
            agrees(
                "Margin and gradient of each image tell the labels changed at "
                f"sigma {row.setting['sigma']:g}.",
                1.0,
                row.interval,
                tolerance=job["law_tolerance"],
            )
            for row in select(here, "changed over linear margin")
        ),
        follows(
            "Labels changed are 2 p(0) sigma phi(0).",
            [only(here, "changed, weak noise", sigma=s).value for s in (low, high)],
            [only(here, "changed", sigma=s).interval for s in (low, high)],
            tolerance=job["law_tolerance"],
            note="p(0) is measured at the same images.",
        ),
    ]
    if job["network"] == PAPERS_NETWORK:
        verdicts += _against_table_4(job, here)
    return verdicts


def _printed_flips(sigma: float) -> float:
    return papers.number(PAPER, "table-4", "p_mis", attack="none", sigma=f"{sigma:g}")


def _against_table_4(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    low, high = job["power"]
    printed = {s: _printed_flips(s) for s in (low, high)}
    return [
        *(
            agrees(
                f"Share of labels changed on {images} at sigma {s:g}.",
                p,
                only(rows, quantity, sigma=s).interval,
                tolerance=job["printed_tolerance"] * p,
                claim="snd-2022/s18",
            )
            for quantity, images in (
                ("changed", "all test images"),
                ("changed, right images", "the images that are right without noise"),
            )
            for s, p in printed.items()
        ),
        agrees(
            "Power of the share, from the same cells.",
            math.log(printed[high] / printed[low]) / math.log(high / low),
            only(rows, "power").interval,
            tolerance=job["power_tolerance"],
            claim="snd-2022/s18",
        ),
    ]


# -- figures -----------------------------------------------------------------------


def _accuracy_panel(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(ax, "Accuracy", "sigma", "accuracy, fraction", yscale="linear")
    _draw(panel, rows, "accuracy")
    _draw_printed(panel, rows, _printed_sigmas("table-1", **_RESNET), _printed)
    panel.legend()
    return ax


def _lost_panel(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(ax, "Accuracy lost", "sigma", "accuracy lost, fraction")
    _draw(panel, rows, "accuracy lost", "linear margin")
    sigmas = _printed_sigmas("table-1", **_RESNET)
    _draw_printed(panel, rows, sigmas, lambda s: _printed(None) - _printed(s))
    panel.legend()
    return ax


def _flips_panel(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(ax, "Labels changed on clean images", "sigma", "share of answers")
    _draw(panel, rows, "changed", "linear margin", "weak noise")
    network = rows[0].setting["network"]
    alone = select(rows, "changed, right images", network=network)
    panel.points(f"{network}, right images", *columns(alone, "sigma"), like=4)
    sigmas = _printed_sigmas("table-4", attack="none")
    _draw_printed(panel, rows, sigmas, _printed_flips)
    panel.legend()
    return ax


def _draw(panel: Panel, rows: Sequence[Measured], quantity: str, *laws: str) -> None:
    """Measured points of each network, and the laws of the first."""
    found = select(rows, quantity)
    names = distinct(found, "network")
    for i, law in enumerate(laws):
        ours = select(rows, f"{quantity}, {law}", network=names[0])
        x, y, *_ = columns([row for row in ours if row.value > 0.0], "sigma")
        panel.line(f"{law}, {names[0]}", x, y, like=i, marker="")
    for i, name in enumerate(names):
        x, *ends = columns(select(found, network=name), "sigma")
        panel.points(name, x * _ASIDE**i, *ends, like=2 * i)
    ticks(panel, found, "sigma")
    if panel.yscale == "log":
        # Intervals that reach zero are cut, and leave room for the legend.
        panel.limits(y=(min(r.value for r in found if r.value > 0.0) / 5.0, None))


def _draw_printed(
    panel: Panel,
    rows: Sequence[Measured],
    sigmas: Sequence[float],
    cell: Callable[[float], float],
) -> None:
    if rows[0].setting["network"] == PAPERS_NETWORK:
        x = [s / _ASIDE for s in sigmas]
        panel.points("printed, ResNet-20", x, [cell(s) for s in sigmas], like=3)


ACCURACY = Experiment(
    "clean-accuracy",
    _parts,
    _measure_accuracy,
    _judge_accuracy,
    (_accuracy_panel, _lost_panel),
    _networks,
)
FLIPS = Experiment(
    "flips", _parts, _measure_flips, _judge_flips, (_flips_panel,), _networks
)
