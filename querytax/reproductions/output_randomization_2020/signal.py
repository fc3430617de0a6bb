"""Output randomization: the comparisons that the three attacks make, and QL itself.

ZOO moves one cell of a grid and reads ln p_c - ln p_o; QL moves all pixels at random
and BAND all cells of a grid, and both read ln p_c. All take absolute values under the
logarithm.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax import papers
from querytax.attacks.oracle import answer_in_batches
from querytax.figures.style import LINES, Panel
from querytax.intervals import Interval, changed, mean, quantile
from querytax.noise import normals, uniforms
from querytax.reproductions import zoo
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, beyond, follows, ordered, ranks
from querytax.reproductions.measured import Measured, distinct, only, select
from querytax.reproductions.output_randomization_2020.laws import (
    PAPER,
    against,
    attacked,
    by_law,
    needs,
    ours,
    stages,
)
from querytax.reproductions.panels import columns
from querytax.theory import finite_difference, log_ratio, misstep, query_ratio

__all__ = ["SIGNAL"]

_ATTACKS = ("ZOO", "QL", "BAND")
_SIGNAL = "S of a comparison"
_RATIO = "query ratio"
_WRONG = "wrong signs"
_VARIANCE = "variance of the noise, probability²"


# -- the signal of one comparison --------------------------------------------------


def _parts(job: Job) -> list[Part]:
    return [{**part, "attack": attack} for part in stages(job) for attack in _ATTACKS]


def _points(job: Job, part: Part) -> tuple[Tensor, Tensor]:
    network = part["network"]
    return attacked(network, job["n_images"], part["stage"], job["eps"][network])


def _offsets(job: Job, attack: str, shape: torch.Size) -> Tensor:
    """Probes of an attack, ``(images, n, C, H, W)``, from the place of the image."""
    n, probe = job["n_directions"], job["probes"][attack]
    side = shape[-1] if attack == "QL" else job["grids"][attack]
    rows = torch.arange(shape[0])
    key = (job.seed, f"{PAPER}/{attack}", rows, torch.zeros_like(rows))
    grid = (n, shape[1], side, side)
    if attack == "ZOO":
        # One cell each, at full height: without replacement.
        cells = shape[1] * side * side
        order = uniforms(*key, (cells,), dtype=torch.float64).argsort(1)[:, :n]
        if n > cells:
            order = order.repeat(1, -(-n // cells))[:, :n]
        u = torch.nn.functional.one_hot(order, cells).double()
    else:
        u = normals(*key, grid, dtype=torch.float64)
    u = u.reshape(shape[0] * n, shape[1], side, side)
    u = torch.nn.functional.interpolate(u, shape[-2:], mode="nearest")
    u = u.view(shape[0], n, *shape[1:])
    if attack == "BAND":
        u = u / u.flatten(2).norm(dim=2)[:, :, None, None, None]
    return probe * u


def _compare(job: Job, part: Part) -> list[Measured]:
    attack = part["attack"]
    outputs = _outputs(job, part)
    rows = []
    for variance in job["variances"]:
        sigma = variance**0.5
        each = _snr(attack, outputs, sigma)
        setting = {"variance": variance}
        signal = quantile(each.mean(1), 0.5)
        wrong = _wrong(job, attack, outputs, sigma)
        law = float(misstep.fixed_direction(each).mean())
        rows += [
            Measured(_SIGNAL, signal, "power ratio", setting),
            Measured(_RATIO, _queries(job, part, signal), "ratio", setting),
            Measured(_WRONG, wrong, "fraction", setting),
            by_law(_WRONG, "normal", law, setting),
        ]
    return rows


def _outputs(job: Job, part: Part) -> np.ndarray:
    """p_c, p_o ahead and behind: ``(4, images, directions)``.

    In double precision: the changes are smaller than a float's rounding.
    """
    images, labels = _points(job, part)
    model, x = zoo.load(part["network"]).double(), images.double()
    found = []
    with torch.no_grad():
        others = model(x).scatter(1, labels[:, None], -torch.inf).argmax(1)
        for at, away, own, other in zip(
            x, _offsets(job, part["attack"], x.shape), labels, others, strict=True
        ):
            both = torch.cat((at + away, at - away))
            p = answer_in_batches(model, both, 32).softmax(1)[:, [own, other]]
            found.append(p.T.reshape(2, 2, -1).transpose(0, 1).flatten(0, 1))
    return torch.stack(found, 1).numpy()


def _snr(attack: str, outputs: np.ndarray, sigma: float) -> np.ndarray:
    """S of each comparison: squared change of the mean noisy loss over its variance."""
    own, other, own_behind, other_behind = outputs
    if attack != "ZOO":
        return np.asarray(log_ratio.effective_snr(own, own_behind, sigma))
    # A difference, not a slope: its width to one side is a half.
    pair = (own, other, own_behind, other_behind, 0.5, sigma)
    change = np.log(own / own_behind) - np.log(other / other_behind)
    change = change + finite_difference.log_ratio_bias(*pair)
    return np.square(change / finite_difference.log_ratio_sd(*pair))


def _wrong(job: Job, attack: str, outputs: np.ndarray, sigma: float) -> Interval:
    """Share of comparisons whose noisy change has the wrong sign; a draw a unit.

    The right sign is that of the noiseless change.
    """
    clean = np.log(outputs)
    signs = np.array([1.0, -1.0, -1.0, 1.0] if attack == "ZOO" else [1.0, 0, -1.0, 0])
    right = np.tensordot(signs, clean, 1) >= 0
    rows = torch.arange(job["n_draws"])
    z = normals(
        job.seed,
        f"{PAPER}/comparisons",
        rows,
        torch.zeros_like(rows),
        outputs.shape,
        dtype=torch.float64,
    ).numpy()
    noisy = np.log(np.abs(outputs + sigma * z))
    change = np.einsum("k,dkij->dij", signs, noisy)
    return mean(((change >= 0) != right).mean((1, 2)))


def _queries(job: Job, part: Part, signal: Interval) -> Interval:
    """Queries with noise over queries without, as each attack steps."""
    images, _ = _points(job, part)
    attack, channels = part["attack"], images.shape[1]
    pairs = job["pairs"][attack]

    def ratio(snr: float) -> float:
        if attack == "ZOO":
            return float(query_ratio.sign_coordinate(snr))
        if attack == "QL":
            dimension = images[0].numel()
            return float(query_ratio.fixed_length_step(snr, dimension, pairs))
        cells = channels * job["grids"][attack] ** 2
        return float(query_ratio.best_step(snr, cells, pairs))

    return changed(signal, ratio)


def _judge_signal(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    effective = papers.text(f"{PAPER}/b27", "noise variance said to be effective")
    least = papers.text(f"{PAPER}/b28", "noise variance said to prevent the attacks")
    success = {
        cell["attack"]: float(cell["success_rate"])
        for cell in papers.rows(PAPER, "table-1")
        if float(cell["noise_variance"]) == effective
    }
    order = sorted(job["ordered_attacks"], key=lambda attack: -success[attack])
    verdicts = []
    for part in stages(job):
        where = f"{part['network']}, stage {part['stage']:g}"
        wrong = ours(rows, _WRONG, **part)

        def signal(attack: str, variance: float, at: Part = part) -> Interval:
            return only(rows, _SIGNAL, attack=attack, variance=variance, **at).interval

        verdicts += [
            follows(
                f"{where}: comparisons err as their S says",
                against(rows, wrong, "normal"),
                [row.interval for row in wrong],
                tolerance=job["tolerance"],
            ),
            ordered(
                f"{where}: S orders {', '.join(order)} at {effective:g} as table 1 "
                "does",
                [signal(attack, effective) for attack in order],
                claim=f"{PAPER}/b27",
            ),
        ]
        verdicts += [
            beyond(
                f"{where}: a variance of {least:g} hides a comparison of {attack}",
                signal(attack, least),
                1.0,
                above=False,
                claim=f"{PAPER}/b28",
            )
            for attack in _ATTACKS
        ]
        if part["network"] == job["printed_network"]:
            cells = _cells(rows, part)
            verdicts.append(
                ranks(
                    f"{where}: success in table 1 rises with S",
                    [row.value for row, _ in cells],
                    [success for _, success in cells],
                    claim=f"{PAPER}/b27",
                    note="Nine cells; within an attack both fall with the noise.",
                )
            )
    return verdicts


def _cells(rows: Sequence[Measured], part: Part) -> list[tuple[Measured, float]]:
    """S and printed success in each noisy cell of table 1."""
    found = []
    for cell in papers.rows(PAPER, "table-1"):
        variance = float(cell["noise_variance"])
        if variance:
            where = {"attack": cell["attack"], "variance": variance, **part}
            row = only(rows, _SIGNAL, **where)
            found.append((row, float(cell["success_rate"])))
    return found


def _draw_signal(stage: int, ax: Any, rows: Sequence[Measured]) -> Any:
    """S at one of the stages, counted from 0."""
    at = distinct(rows, "stage")[stage]
    name = f"S of one comparison, stage {float(at):g}"
    panel = Panel(ax, name, _VARIANCE, "S, power ratio, median image")
    found = ours(rows, _SIGNAL, stage=at)
    groups = dict.fromkeys((r.setting["network"], r.setting["attack"]) for r in found)
    for i, (network, attack) in enumerate(groups):
        some = select(found, network=network, attack=attack)
        label, dashes = f"{attack}, {network}", LINES[i]["linestyle"]
        panel.points(label, *columns(some, "variance"), like=i, linestyle=dashes)
    panel.level(1.0)
    # Room for the legend, above.
    panel.limits(y=(None, 1e9))
    panel.legend("upper right", fontsize=6.5)
    return ax


def _draw_success(ax: Any, rows: Sequence[Measured]) -> Any:
    last = rows[-1].setting
    part = {"network": last["network"], "stage": last["stage"]}
    panel = Panel(
        ax,
        f"Table 1 against S, {part['network']}",
        f"S of one comparison, stage {float(part['stage']):g}",
        "printed success rate, ImageNet",
        yscale="linear",
    )
    cells = _cells(rows, part)
    for i, attack in enumerate(_ATTACKS):
        some = [cell for cell in cells if cell[0].setting["attack"] == attack]
        x = [row.value for row, _ in some]
        panel.points(attack, x, [y for _, y in some], like=i)
    panel.legend()
    return ax


SIGNAL = Experiment(
    "signal",
    _parts,
    _compare,
    _judge_signal,
    (
        functools.partial(_draw_signal, 0),
        functools.partial(_draw_signal, -1),
        _draw_success,
    ),
    needs,
)
