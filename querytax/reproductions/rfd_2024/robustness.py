"""RFD: the paper's magnitude of robustness, and what misleads at equal accuracy."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from querytax import intervals
from querytax.figures.style import Panel
from querytax.reproductions import judge
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict
from querytax.reproductions.measured import Measured, distinct, only, select
from querytax.reproductions.panels import columns
from querytax.reproductions.rfd_2024.accuracy import costly_sigma, right_shares
from querytax.reproductions.rfd_2024.sites import (
    INPUT,
    Array,
    bootstrap,
    misled,
    sample,
    site_parts,
)
from querytax.theory import margin, misstep

__all__ = ["ROBUSTNESS"]


def _parts(job: Job) -> Sequence[Part]:
    return site_parts(job["networks"], job["layers"])


def _measure(job: Job, part: Part) -> list[Measured]:
    network, site, level = part["network"], part["site"], job["level"]
    here, there = (_Place(job, network, place) for place in (site, INPUT))
    margins = sample(network, job["images"]).margins
    right = margins > 0.0

    def quantile(place: _Place, at: Any) -> float:
        return float(np.quantile((margins[at] / place.norms[at])[right[at]], level))

    def magnitude(place: _Place, at: Any) -> Array:
        return quantile(place, at) * place.norms[at][right[at]]

    def advantage(at: Any) -> float:
        return float(np.median(np.log10(magnitude(here, at) / magnitude(there, at))))

    def constant(at: Any) -> float:
        return here.price(at) / quantile(here, at)

    def gain(at: Any) -> float:
        return here.misled(at) - there.misled(at)

    n, seed = right.size, job.seed
    size = magnitude(here, np.arange(n))
    law = here.law(here.sigma)[here.attacked]
    return [
        *(
            Measured(
                "magnitude", intervals.quantile(size, q), "margin", {"quantile": q}
            )
            for q in (0.25, 0.5, 0.75)
        ),
        Measured("advantage", bootstrap(advantage, n, seed), "log10"),
        Measured("sigma", bootstrap(here.price, n, seed), "site"),
        Measured("rule_constant", bootstrap(constant, n, seed), "ratio"),
        Measured("flips", bootstrap(here.misled, n, seed), "probability"),
        Measured("flips_law", intervals.mean(law), "probability"),
        Measured("flips_gain", bootstrap(gain, n, seed), "probability"),
    ]


class _Place:
    """Noise at one site that costs the level, and what it does to comparisons."""

    def __init__(self, job: Job, network: str, site: str) -> None:
        images, draws, seed = job["images"], job["loss_draws"], job.seed
        who = sample(network, images)
        norms = who.norms([INPUT, site])
        self.norms, self.at_input = norms[site], norms[INPUT]
        self.level, self.step = job["level"], job["step"]
        middle = costly_sigma(who.margins, self.norms, self.level)
        # The equation understates the cost: most of the levels lie below its own.
        self.sigmas = middle * 2.0 ** np.arange(-2.5, 1.0, 0.5)
        shares = [
            right_shares(network, images, site, float(s), draws, seed)
            for s in self.sigmas
        ]
        self.loss: Array = (who.margins > 0.0) - np.stack(shares)
        self.sigma = self.price(np.arange(images))
        key = (network, images, job["attacked"], site, self.sigma)
        self.attacked = who.first_right(job["attacked"]).keys.numpy()
        self.flips = np.full(images, np.nan)
        self.flips[self.attacked] = _flips(*key, self.step, job["draws"], seed)

    def price(self, at: Any) -> float:
        """Noise at which these images lose the level."""
        return _crossing(self.sigmas, self.loss[:, at].mean(axis=1), self.level)

    def law(self, sigma: float) -> Array:
        """Wrong comparisons by the exact form of Theorem 1, image by image."""
        slopes = self.norms[:, None]
        return misstep.noisy_layers(self.at_input, slopes, self.step, [[sigma]])

    def misled(self, at: Any) -> float:
        """Share of wrong comparisons at the noise that these images bear.

        It was measured at the noise that all of them bear; the law goes from there.
        """
        moved = self.law(self.price(at)) - self.law(self.sigma)
        return float(np.nanmean((self.flips + moved)[at]))


def _crossing(sigmas: Array, loss: Array, level: float) -> float:
    """Where the loss, made to rise, passes the level; the last line goes on."""
    x, y = np.append(0.0, sigmas), np.maximum.accumulate(np.append(0.0, loss))
    if y[-1] > level:
        i = int(np.argmax(y > level))
        return float(np.interp(level, y[i - 1 : i + 1], x[i - 1 : i + 1]))
    return float(x[-1] * level / y[-1]) if y[-1] > 0.0 else float(2.0 * x[-1])


@functools.cache
def _flips(
    network: str,
    images: int,
    attacked: int,
    site: str,
    sigma: float,
    step: float,
    draws: int,
    seed: int,
) -> Array:
    who = sample(network, images).first_right(attacked)
    return misled(who, site, sigma, step, draws, seed).flips[0]


def _judge(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    found = []
    for network in distinct(rows, "network"):
        first, *_, last = distinct(rows, "site", network=network)[1:]
        near = only(rows, "advantage", network=network, site=first).interval
        far = only(rows, "advantage", network=network, site=last).interval
        gain = only(rows, "flips_gain", network=network, site=last).interval
        rule = select(rows, "rule_constant", network=network)
        found += [
            judge.agrees(
                f"{network}: at the first layer the magnitude of robustness is like "
                "that at the input (log10)",
                0.0,
                near,
                tolerance=job["alike"],
            ),
            judge.beyond(
                f"{network}: at the last layer it is higher than at the input (log10)",
                far,
                0.0,
            ),
            judge.beyond(
                f"{network}: at equal accuracy noise at the last layer misleads more "
                "than at the input",
                gain,
                0.0,
                claim="rfd-2024/f23",
                note="share of wrong comparisons, less that with noise on the input",
            ),
            judge.follows(
                f"{network}: the noise that costs {job['level']:.0%} is sqrt(2 pi) "
                f"times the {job['level']:.0%} quantile of margin over gradient norm, "
                "at every site",
                [float(margin.quantile_sigma(1.0))] * len(rule),
                [row.interval for row in rule],
                tolerance=job["tolerance"],
                claim="rfd-2024/f21",
                note="the paper says in proportion; this factor is for even margins",
            ),
        ]
    hidden = [row for row in select(rows, "advantage") if row.setting["site"] != INPUT]
    gains = [
        only(rows, "flips_gain", network=r.setting["network"], site=r.setting["site"])
        for r in hidden
    ]
    found.append(
        judge.ranks(
            "all networks: sites rank by the magnitude of robustness as by wrong "
            "comparisons at equal accuracy",
            [row.value for row in hidden],
            [row.value for row in gains],
            claim="rfd-2024/f23",
        )
    )
    return found


def _magnitude_panel(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        "The paper's magnitude",
        "place of the noise, input to last layer",
        "quantile times gradient norm, margin",
        xscale="linear",
    )
    for i, network in enumerate(distinct(rows, "network")):
        low, middle, high = (
            select(rows, "magnitude", network=network, quantile=q)
            for q in (0.25, 0.5, 0.75)
        )
        panel.points(
            f"{network}, middle half of images",
            [row.setting["depth"] + 0.012 * (i - 1) for row in middle],
            *([row.value for row in quartile] for quartile in (middle, low, high)),
            linestyle="-",
            linewidth=0.8,
        )
    panel.legend()
    return ax


def _gain_panel(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        "Misled at equal accuracy",
        "place of the noise, input to last layer",
        "wrong comparisons",
        xscale="linear",
        yscale="linear",
    )
    for i, network in enumerate(distinct(rows, "network")):
        depth, *flips = columns(select(rows, "flips", network=network), "depth")
        law = columns(select(rows, "flips_law", network=network), "depth")[1]
        x = depth + 0.012 * (i - 1)
        panel.points(network, x, *flips)
        label = "_" if i else "Theorem 1, exact form"
        panel.line(label, x, law, like=i, marker="", linewidth=0.8)
    # The networks are named in the panel beside.
    law_alone = [line for line in ax.lines if line.get_label().startswith("Theorem")]
    panel.legend("lower left", handles=law_alone)
    return ax


ROBUSTNESS = Experiment(
    name="robustness",
    parts=_parts,
    measure=_measure,
    judge=_judge,
    panels=(_magnitude_panel, _gain_panel),
    needs=lambda job: job["networks"],
)
