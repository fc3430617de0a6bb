"""Repeated pairs: Aithal & Li (2022), Theorem 4, figure 3(b)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from querytax import papers
from querytax.figures.style import Panel
from querytax.intervals import Interval, changed, exact, quantile, share
from querytax.noise import normals
from querytax.reproductions.aithal_li_2022.pairs import (
    KEY,
    SIGMA,
    Rows,
    networks,
    noises,
    sample,
    series,
    target,
    targets,
)
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, beyond, follows
from querytax.reproductions.measured import Measured, only, select
from querytax.reproductions.panels import columns
from querytax.theory import log_ratio, repeats, snr
from querytax.validation import printed

__all__ = ["AVERAGING"]

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

METHODS = ("outputs first", "logs first")
PRINTED = "estimator (57)"
LAST = {method: f"right with most pairs, {method}" for method in (*METHODS, PRINTED)}


def _measure(job: Job, part: Part) -> list[Measured]:
    one, two = target(job, part)
    level, error = 0.5 * (one + two), papers.text(f"{KEY}/c11", "epsilon")
    rows = [
        Measured("F_t", exact(level), "probability"),
        Measured("ΔF_t", exact(one - two), "probability"),
        _median_pairs(job, part["network"], error),
    ]
    for noise, sigma in noises(job, level).items():
        counts, right = _decisions(job, part, one, two, noise, sigma)
        laws = {
            "outputs first": snr.output((one - two) ** 2, sigma),
            "logs first": log_ratio.effective_snr(one, two, sigma),
        }
        at = {"noise": noise, "sigma": sigma}
        for method in METHODS:
            found = _enough(counts, right[method], job["trials"], 1.0 - error)
            law = exact(max(1.0, float(repeats.fixed(laws[method], error))))
            rows.append(Measured(f"pairs, {method}", found, "pairs", at))
            rows.append(Measured(f"pairs, {method}, law", law, "pairs", at))
        for method, name in LAST.items():
            last = share(int(right[method][-1]), job["trials"])
            rows.append(Measured(name, last, "fraction", at))
        if noise < _pole(level, one - two):
            said = printed.repeats_8(math.log(one / two), sigma, level, error)
            rows.append(Measured("pairs by (8)", exact(float(said)), "pairs", at))
    return rows


def _pole(level: float, change: float) -> float:
    """σ/F_t beyond which (57) pulls every estimate below 0."""
    return math.sqrt(0.5 * math.log1p(change / (level - 0.5 * change)))


def _median_pairs(job: Job, network: str, error: float) -> Measured:
    """Pairs that the median target needs, by the law, at the paper's noise."""
    sigma = papers.text(
        f"{KEY}/c11", "noise beyond which no realistic N exists, at least"
    )
    found = sample(job, network)
    change = quantile(found.picked(found.change), 0.5)
    wanted = changed(
        change, lambda x: float(repeats.fixed(snr.output(x**2, sigma), error))
    )
    name = "pairs of the median target, law"
    return Measured(name, wanted, "pairs", {"sigma": sigma})


def _decisions(
    job: Job, part: Part, one: float, two: float, noise: float, sigma: float
) -> tuple[Counts, dict[str, Counts]]:
    """How many trials get the sign right, by the number of pairs and the method."""
    most = job["most_pairs"]
    grid = np.geomspace(1, most, 4 * round(math.log2(most)) + 1)
    counts = np.unique(grid.round()).astype(np.int64)
    # The correction of (57), the square of (4), also where noise is not weak.
    bias = (sigma / one) ** 2 + (sigma / two) ** 2
    right = {name: np.zeros(counts.size, np.int64) for name in LAST}
    # By the recipe's number: the last digits of σ, a network's, are the processor's.
    stream = f"{KEY}/averaging/{part['network']}/{part['quantile']!r}/{noise!r}"
    # A few trials at a time: 2**20 pairs of draws.
    for rows in torch.arange(job["trials"]).split(max(1, (1 << 20) // most)):
        drawn = normals(
            job.seed,
            stream,
            rows,
            torch.zeros_like(rows),
            (2, most),
            dtype=torch.float64,
        )
        first, second = one + sigma * drawn[:, 0], two + sigma * drawn[:, 1]
        logs = first.abs().clamp(max=1).log() - second.abs().clamp(max=1).log()
        sums = {
            "outputs first": (first - second).cumsum(1),
            "logs first": logs.cumsum(1),
            PRINTED: (logs - bias).cumsum(1),
        }
        for name, total in sums.items():
            right[name] += (total[:, counts - 1] > 0).sum(0).numpy()
    return counts, right


def _enough(counts: Counts, right: Counts, trials: int, wanted: float) -> Interval:
    """Least number of pairs with the wanted share right; open if it was not reached.

    The ends are where the ends of the shares' intervals cross.
    """
    shares = np.array([share(int(r), trials)[:3] for r in right])
    # The share rises with the pairs; what falls in it is chance.
    value, lower, upper = (
        _crossing(counts, np.maximum.accumulate(column), wanted)
        for column in shares[:, [0, 2, 1]].T
    )
    most = float(counts[-1])
    return Interval(min(value, most), min(lower, most), upper, trials)


def _crossing(counts: Counts, shares: Array, wanted: float) -> float:
    if shares[-1] < wanted:
        return math.inf
    k = int(np.argmax(shares >= wanted))
    if k == 0:
        return float(counts[0])
    low, high = shares[k - 1], shares[k]
    part = (wanted - low) / (high - low)
    return float(counts[k - 1] * (counts[k] / counts[k - 1]) ** part)


def _judge(job: Job, rows: Rows) -> list[Verdict]:
    verdicts = []
    bar = 1e6 * papers.text(f"{KEY}/c10", "query budget")
    least = papers.text(
        f"{KEY}/c11", "noise beyond which no realistic N exists, at least"
    )
    for network in networks(job):
        median = select(rows, "pairs of the median target, law", network=network)[0]
        verdicts.append(
            beyond(
                f"{network}: no realistic N at σ = {least:g}, median target, by the "
                f"law",
                median.interval,
                bar,
                claim=f"{KEY}/c11",
                note="its ΔF_t is tiny at this probe; the law is N = q²/S",
            )
        )
    for part in targets(job):
        verdicts += _judge_target(job, rows, part, bar, least)
    return verdicts


def _judge_target(
    job: Job, rows: Rows, part: Part, bar: float, least: float
) -> list[Verdict]:
    words = f"{part['network']}, quantile {part['quantile']:g} of ΔF_t"
    verdicts = []
    held = [
        (f"{method}, against q²/S", f"pairs, {method}, law", f"pairs, {method}")
        for method in METHODS
    ]
    held.append(("by (8), below its pole", "pairs by (8)", "pairs, outputs first"))
    for what, law, method in held:
        predicted = series(rows, law, "noise", **part)
        ours = series(rows, method, "noise", **part)
        true = series(rows, f"{method}, law", "noise", **part)
        # Few pairs are no average, and beyond the most nothing was seen.
        low, high = job["least_pairs"], 0.5 * job["most_pairs"]
        at = [r for r in predicted if low <= true[r].value <= high]
        if at:
            verdicts.append(
                follows(
                    f"{words}: pairs for 70 %, {what}",
                    [predicted[r].value for r in at],
                    [ours[r] for r in at],
                    tolerance=job["tolerance"],
                )
            )
    strong = [
        row
        for row in select(rows, "pairs, outputs first", **part)
        if row.setting["sigma"] >= least and math.isfinite(row.interval.upper)
    ]
    if strong:
        row = max(strong, key=lambda row: float(row.setting["sigma"]))
        verdicts.append(
            beyond(
                f"{words}: no realistic N at σ = {row.setting['sigma']:.2g}",
                row.interval,
                bar,
                claim=f"{KEY}/c11",
                note="averaging the outputs before the logarithm",
            )
        )
    last = select(rows, LAST[PRINTED], **part)[-1]
    verdicts.append(
        beyond(
            f"{words}: estimator (57) fails beyond its pole however many the pairs",
            last.interval,
            0.5,
            above=False,
            claim=f"{KEY}/lemma-3",
        )
    )
    return verdicts


def _one_target(ax: Any, rows: Rows) -> Any:
    network = rows[0].setting["network"]
    q = max(float(r.setting["quantile"]) for r in select(rows, network=network))
    part = {"network": network, "quantile": q}
    level, change = (only(rows, n, **part).value for n in ("F_t", "ΔF_t"))
    name = str(network).replace("_", " ")
    name = f"{name}: F = {level:.2g}, ΔF = {change:.2g}"
    panel = Panel(ax, name, SIGMA, "pairs for 70 % right signs (count)")
    for like, method in enumerate(METHODS):
        ours = columns(select(rows, f"pairs, {method}", **part), "sigma")
        law = columns(select(rows, f"pairs, {method}, law", **part), "sigma")
        panel.points(f"{method}, measured", *ours, like=like, mfc="white")
        panel.line(f"{method}, law", *law[:2], like=like, marker="")
    said = columns(select(rows, "pairs by (8)", **part), "sigma")
    panel.points("(8), below its pole", *said[:2], like=6)
    panel.mark(_pole(level, change) * level, "pole of (8)")
    # Whole decades: labels between them would overlap.
    first, *_, last = np.log10(ours[0])
    panel.limits(x=(10.0 ** math.floor(first), 10.0 ** math.ceil(last)))
    panel.legend("lower right")
    return ax


def _every_target(ax: Any, rows: Rows) -> Any:
    x = "σ over the pole of (8) (ratio)"
    y = "right signs (share)"
    panel = Panel(ax, "every target, most pairs", x, y, yscale="linear")
    found = dict.fromkeys((r.setting["network"], r.setting["quantile"]) for r in rows)
    for i, (network, q) in enumerate(found):
        part = {"network": network, "quantile": q}
        pole = _pole(*(only(rows, n, **part).value for n in ("F_t", "ΔF_t")))
        for like, (label, name) in enumerate(LAST.items()):
            noise, *ours = columns(select(rows, name, **part), "noise")
            label = "_" if i else label
            panel.points(label, noise / pole, *ours, like=like, mfc="white")
    panel.mark(1.0, "pole of (8)", y=0.5)
    panel.legend("center left", fontsize=7.0)
    return ax


AVERAGING = Experiment(
    "averaging",
    targets,
    _measure,
    _judge,
    (_one_target, _every_target),
    networks,
)
