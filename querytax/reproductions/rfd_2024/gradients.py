"""RFD: gradient norms at hidden layers, and what a step towards the adversary does."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from querytax import intervals
from querytax.figures.style import GREY, Panel
from querytax.noise import signs
from querytax.papers import column
from querytax.probes.gradients import margins, signed_step
from querytax.probes.path import slope
from querytax.reproductions import judge, zoo
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict
from querytax.reproductions.measured import Measured, distinct, only, select
from querytax.reproductions.panels import columns
from querytax.reproductions.rfd_2024.accuracy import costly_sigma, right_shares
from querytax.reproductions.rfd_2024.sites import (
    BATCH,
    INPUT,
    Sample,
    misled,
    sample,
    site_parts,
    spread,
)
from querytax.theory import misstep

__all__ = ["GRADIENT_NORMS", "GRADIENT_RATIOS"]

_PAPER = "rfd-2024"
_RAW, _SIGNED, _PLAIN, _RANDOM = "raw", "signed", "plain", "random"


# --- Figure 1: the ratio, before and after a step -----------------------------------


def _ratio_parts(job: Job) -> Sequence[Part]:
    return [{"network": network} for network in job["networks"]]


def _measure_ratios(job: Job, part: Part) -> list[Measured]:
    network = part["network"]
    who = sample(network, job["images"]).first_right(job["images"])
    layers = zoo.layers(network)
    raw = who.norms([INPUT, *layers])
    rows = _quartiles(raw, layers, {"image": _RAW})
    for step in job["steps"]:
        for kind in (_SIGNED, _PLAIN, _RANDOM):
            there = _moved(who, kind, step, job.seed)
            moved = there.norms([INPUT, *layers])
            setting = {"image": kind, "step": step}
            right = intervals.share(int((there.margins > 0.0).sum()), raw[INPUT].size)
            rows.append(Measured("still_right", right, "fraction", setting))
            rows += _quartiles(moved, layers, setting)
            rows += _rises(raw, moved, layers, setting)
    return rows


def _moved(who: Sample, kind: str, step: float, seed: int) -> Sample:
    """The same after one step down the margin, or anywhere; all of one length."""
    x = who.images
    if kind == _SIGNED:
        images = signed_step(who.model, x, who.labels, step, batch_size=BATCH)
    elif kind == _PLAIN:
        up = slope(who.model, x, who.labels, "margin", "logits", False, BATCH)
        way = torch.nn.functional.normalize(up.flatten(1)).view_as(x)
        images = x + step * x[0].numel() ** 0.5 * way
    else:
        zero = torch.zeros_like(who.keys)
        images = x + step * signs(seed, "rfd/way", who.keys, zero, x.shape[1:])
    images = images.clamp(0.0, 1.0)
    lead = margins(who.model, images, who.labels, batch_size=BATCH)
    return dataclasses.replace(who, images=images, margins=lead)


def _quartiles(
    norms: dict[str, Any], layers: Sequence[str], setting: dict[str, Any]
) -> list[Measured]:
    return [
        Measured(
            "ratio",
            intervals.quantile(norms[layer] / norms[INPUT], q),
            "input over feature",
            {**setting, "layer": layer, "quantile": q},
        )
        for layer in layers
        for q in (0.25, 0.5, 0.75)
    ]


def _rises(
    raw: dict[str, Any],
    moved: dict[str, Any],
    layers: Sequence[str],
    setting: dict[str, Any],
) -> list[Measured]:
    """How each layer's ratio changed, and the change of the input's norm beside it."""
    at_input = np.log(moved[INPUT] / raw[INPUT])
    rows = [
        Measured("input_norm_change", intervals.quantile(at_input, 0.5), "log", setting)
    ]
    for layer in layers:
        change = np.log(moved[layer] / raw[layer]) - at_input
        here = {**setting, "layer": layer}
        risen = intervals.share(int((change > 0.0).sum()), change.size)
        rows += [
            Measured("rising", risen, "fraction", here),
            Measured("ratio_change", intervals.quantile(change, 0.5), "log", here),
        ]
    return rows


def _judge_ratios(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    """The layer at which fewest images rise decides."""
    found = []
    for network in distinct(rows, "network"):
        for kind in (_SIGNED, _PLAIN):
            setting = {"network": network, "image": kind, "step": job["steps"][0]}
            rising = select(rows, "rising", **setting)
            least = min(rising, key=lambda row: row.value)
            up = sum(row.interval.lower > 0.5 for row in rising)
            down = sum(row.interval.upper < 0.5 for row in rising)
            layer = least.setting["layer"]
            change = only(rows, "ratio_change", layer=layer, **setting)
            right = only(rows, "still_right", **setting)
            found.append(
                judge.beyond(
                    f"{network}: after a {kind} step towards the adversary the ratio "
                    "of gradient norms is higher at every layer, on most images",
                    least.interval,
                    0.5,
                    claim="rfd-2024/f13",
                    note=(
                        f"it rises at {up} of {len(rising)} layers and falls at {down}"
                        f"; least at {layer}, in the median by a factor of "
                        f"{np.exp(change.value):.2f}; {right.value:.0%} of the images "
                        "are still answered rightly"
                    ),
                )
            )
    return found


def _ratio_panel(number: int, ax: Any, rows: Sequence[Measured]) -> Any:
    network = distinct(rows, "network")[number]
    step = distinct(rows, "step")[0]
    panel = Panel(ax, network, "layer", "ratio to the input's norm", xscale="linear")
    layers = distinct(rows, "layer", network=network)
    drawn = (
        ("raw", {"image": _RAW}, 0),
        (f"signed step of {step:g}", {"image": _SIGNED, "step": step}, 1),
        ("plain step, as long", {"image": _PLAIN, "step": step}, 2),
        ("random step, as long", {"image": _RANDOM, "step": step}, 3),
    )
    for label, setting, i in drawn:
        here = {"network": network, **setting}
        low, middle, high = (
            [only(rows, "ratio", layer=x, quantile=q, **here).value for x in layers]
            for q in (0.25, 0.5, 0.75)
        )
        panel.points(
            label, np.arange(len(layers)) + 0.18 * (i - 1.5), middle, low, high
        )
    ax.set_xticks(range(len(layers)), layers, rotation=30, ha="right")
    panel.legend(loc="lower left")
    return ax


GRADIENT_RATIOS = Experiment(
    name="gradient-ratios",
    parts=_ratio_parts,
    measure=_measure_ratios,
    judge=_judge_ratios,
    panels=tuple(functools.partial(_ratio_panel, i) for i in range(3)),
    needs=lambda job: job["networks"],
)


# --- Table 6: one noise for all layers ----------------------------------------------


def _norm_parts(job: Job) -> Sequence[Part]:
    parts = site_parts(job["networks"], job["layers"])
    return [part for part in parts if part["site"] != INPUT]


def _measure_norms(job: Job, part: Part) -> list[Measured]:
    network, site = part["network"], part["site"]
    everyone = sample(network, job["images"])
    who = everyone.first_right(job["attacked"])
    sigma = _common_sigma(network, job["images"], job["layers"], job["level"])
    norms, all_norms = who.norms([INPUT, site]), everyone.norms([site])[site]
    step, draws, seed = job["step"], job["draws"], job.seed
    fooled = misled(who, site, sigma, step, draws, seed).flips[0]
    law = misstep.noisy_layers(norms[INPUT], norms[site][:, None], step, [[sigma]])
    right = right_shares(network, job["images"], site, sigma, job["loss_draws"], seed)
    lost = (everyone.margins > 0.0) - right
    return [
        Measured("norm", intervals.mean(all_norms), "margin per feature"),
        Measured("sigma", intervals.exact(sigma), "feature"),
        Measured("flips", intervals.mean(fooled), "probability"),
        Measured("flips_law", intervals.mean(law), "probability"),
        Measured("loss", intervals.mean(lost), "fraction"),
    ]


@functools.cache
def _common_sigma(network: str, images: int, layers: int, level: float) -> float:
    """One noise for all layers: in the middle of those that cost each the level."""
    who = sample(network, images)
    norms = who.norms(spread(network, layers))
    sigmas = [costly_sigma(who.margins, norm, level) for norm in norms.values()]
    return float(np.exp(np.mean(np.log(sigmas))))


def _printed(model: str, quantity: str = "gradient_norm") -> list[float]:
    """The legible numbers of Table 6, by layer."""
    return column(_PAPER, "table-6", "printed", model=model, quantity=quantity)


def _judge_norms(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    found = []
    for network in distinct(rows, "network"):
        norms, flips, losses = (
            [row.value for row in select(rows, quantity, network=network)]
            for quantity in ("norm", "flips", "loss")
        )
        found += [
            judge.ranks(
                f"{network}: the larger a layer's gradient norm, the more its noise "
                "misleads, one noise for all layers",
                norms,
                flips,
                claim="rfd-2024/f26",
            ),
            judge.ranks(
                f"{network}: and the more accuracy that noise costs",
                norms,
                losses,
                note="ours: the paper does not print what its noise costs here",
            ),
        ]
    return found + _against_table(rows)


def _against_table(rows: Sequence[Measured]) -> list[Verdict]:
    """Shapes alone: the networks are others, and so is the number of layers."""
    found = []
    for network in distinct(rows, "network"):
        norms, flips = (
            [row.interval for row in select(rows, quantity, network=network)]
            for quantity in ("norm", "flips")
        )
        if network.endswith("vit"):
            found += [
                judge.ordered(
                    f"{network}: gradient norms fall from block to block, as ViT's "
                    "printed ones",
                    norms,
                ),
                judge.ordered(
                    f"{network}: wrong comparisons fall from block to block, as ViT's "
                    "printed accuracy under Square",
                    flips,
                ),
            ]
        if network.endswith("vgg"):
            found.append(
                judge.ordered(
                    f"{network}: the norm falls from the first layer to the next that "
                    "is measured, as VGG's from layer 1 to 4",
                    norms[:2],
                    note="VGG's other printed norms cannot be assigned to their layers",
                )
            )
    return found


def _norm_panel(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        "Gradient norm by layer",
        "place of the layer, first to last",
        "mean norm over the first layer's",
        xscale="linear",
    )
    for network in distinct(rows, "network"):
        depth, *norms = columns(select(rows, "norm", network=network), "depth")
        place = np.linspace(0.0, 1.0, depth.size)
        unit = norms[0][0]
        panel.points(network, place, *(norm / unit for norm in norms), linestyle="-")
    printed, where = _printed("ViT"), _printed("ViT", "layer")
    panel.points(
        "ViT, printed",
        np.interp(where, (where[0], where[-1]), (0.0, 1.0)),
        np.divide(printed, printed[0]),
        like=6,
        marker="*",
        markersize=9,
    )
    panel.legend()
    return ax


def _one_noise_panel(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        "One noise for all layers",
        "accuracy that it costs",
        "wrong comparisons",
        xscale="linear",
        yscale="linear",
    )
    for i, network in enumerate(distinct(rows, "network")):
        (losses, *_), flips, (law, *_) = (
            columns(select(rows, quantity, network=network), "depth")[1:]
            for quantity in ("loss", "flips", "flips_law")
        )
        panel.points(network, losses, *flips)
        order = np.argsort(losses)
        panel.line(
            "_" if i else "Theorem 1, exact form",
            losses[order],
            law[order],
            like=6,
            color=GREY,
            linestyle=":",
            linewidth=0.8,
            marker="",
        )
    panel.legend(loc="lower right")
    return ax


GRADIENT_NORMS = Experiment(
    name="gradient-norms",
    parts=_norm_parts,
    measure=_measure_norms,
    judge=_judge_norms,
    panels=(_norm_panel, _one_noise_panel),
    needs=lambda job: job["networks"],
)
