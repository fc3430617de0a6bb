"""What small input noise does to an attacker's loss: its spread, and its mean."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from querytax import papers
from querytax.attacks.oracle import answer_in_batches
from querytax.figures.style import Panel
from querytax.intervals import mean, quantile
from querytax.losses import attacker_loss
from querytax.noise import normals
from querytax.probes.gradients import gradient_norms
from querytax.reproductions import zoo
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, agrees, beyond
from querytax.reproductions.measured import Measured, only, select
from querytax.reproductions.panels import columns, ticks
from querytax.reproductions.snd_2022.noise import (
    BATCH,
    PAPERS_NETWORK,
    Array,
    Probabilities,
    loaded,
    one_network,
    power,
    quotient,
    root,
)
from querytax.theory import margin

__all__ = ["BIAS", "SPREAD"]

# Which scores the margin is made of; the paper defines it on probabilities.
_SCORES = ("probabilities", "logits")
_CLAIM = "snd-2022/s16"
_PRINTED = ("input noise", "std of the loss")


def _model(network: str, scores: str) -> nn.Module:
    model = loaded(network)
    return Probabilities(model) if scores == "probabilities" else model


def _parts(job: Job) -> list[Part]:
    return [
        {"network": job["network"], "scores": scores, "sigma": sigma}
        for scores in _SCORES
        for sigma in job["sigmas"]
    ]


@functools.lru_cache(maxsize=4)
def _pairs(
    network: str, n: int, sigma: float, draws: int, seed: int
) -> dict[str, Array]:
    """Margins ``(n, draws, 2)`` at x + sigma z and x - sigma z, less that at x.

    By scores. Opposite draws part what is odd in the noise, which spreads the loss,
    from what is even, which shifts its mean.
    """
    x, labels = zoo.images(network, n)
    rows = torch.arange(n)
    found = np.empty((len(_SCORES), n, draws, 2))
    clean = _leads(network, x, labels)
    for draw in range(draws):
        queries = torch.full_like(rows, draw)
        z = sigma * normals(seed, "snd/pairs", rows, queries, x.shape[1:])
        for side, noisy in enumerate((x + z, x - z)):
            found[:, :, draw, side] = _leads(network, noisy, labels) - clean
    return dict(zip(_SCORES, found, strict=True))


def _leads(network: str, x: Tensor, labels: Tensor) -> Array:
    """Margins ``(2, N)`` of the true labels, by scores."""
    with torch.no_grad():
        answers = answer_in_batches(loaded(network), x, BATCH)
    both = answers.double().softmax(1), answers
    return np.stack([-attacker_loss(a, labels, loss="margin").numpy() for a in both])


def _draws(job: Job, part: Part) -> Array:
    return _pairs(
        part["network"], job["images"], part["sigma"], job["pairs"], job.seed
    )[part["scores"]]


def _variance(moved: Array) -> Array:
    """Variance of each image's loss: of its odd half and of its even half."""
    odd, even = 0.5 * (moved[..., 0] - moved[..., 1]), 0.5 * moved.sum(-1)
    # The odd half has mean 0 whatever the loss is.
    found: Array = np.square(odd).mean(1) + even.var(1, ddof=1)
    return found


# -- its spread --------------------------------------------------------------------


@functools.lru_cache(maxsize=2)
def _slopes(network: str, scores: str, n: int) -> Array:
    x, labels = zoo.images(network, n)
    norms = gradient_norms(
        _model(network, scores), x, labels, ["input"], batch_size=BATCH
    )
    return norms["input"]


def _measure_spread(job: Job, part: Part) -> list[Measured]:
    sigma = part["sigma"]
    spread = np.sqrt(_variance(_draws(job, part)))
    law = sigma * _slopes(part["network"], part["scores"], job["images"])
    unit = part["scores"]
    return [
        Measured("std", mean(spread), unit),
        Measured("std, linear loss", mean(law), unit),
        Measured("std over linear loss", quotient(spread, law)),
        Measured("median of std over linear loss", quantile(spread / law, 0.5)),
        Measured("median std", quantile(spread, 0.5), unit),
        Measured("std over sigma", mean(spread / sigma), f"{unit}/L2"),
    ]


def _judge_spread(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    verdicts = [
        agrees(
            f"The margin in {row.setting['scores']} spreads by sigma G over the "
            f"images, at sigma {row.setting['sigma']:g}.",
            1.0,
            row.interval,
            tolerance=job["law_tolerance"],
            claim=_CLAIM,
        )
        for row in select(rows, "std over linear loss")
    ]
    if job["network"] == PAPERS_NETWORK:
        sigma, printed = (papers.text(_CLAIM, name) for name in _PRINTED)
        verdicts += [
            agrees(
                f"Mean std of the loss at sigma {sigma:g}, margin in {scores}.",
                printed,
                only(rows, "std", scores=scores, sigma=sigma).interval,
                tolerance=job["printed_tolerance"] * printed,
                claim=_CLAIM,
            )
            for scores in _SCORES
        ]
    return verdicts


# -- its mean ----------------------------------------------------------------------


def _bias(moved: Array) -> Array:
    found: Array = moved.mean((1, 2))
    return found


def _square(moved: Array) -> Array:
    """Square of each image's bias, without that of its error: two halves' product."""
    even = 0.5 * moved.sum(-1)
    half = even.shape[1] // 2
    found: Array = even[:, :half].mean(1) * even[:, half : 2 * half].mean(1)
    return found


def _measure_bias(job: Job, part: Part) -> list[Measured]:
    moved, unit = _draws(job, part), part["scores"]
    variance = _variance(moved)
    rows = [
        Measured("bias", mean(_bias(moved)), unit),
        Measured("rms bias", root(mean(_square(moved))), unit),
        Measured("rms std", root(mean(variance)), unit),
        Measured("rms bias over rms std", root(quotient(_square(moved), variance))),
    ]
    first = job["sigmas"][0]
    if part["sigma"] != first:
        weak = _draws(job, {**part, "sigma": first})
        growth = power(_square(weak), _square(moved), (part["sigma"] / first) ** 2)
        # Half the Laplacian, from second differences over the weaker noise.
        second = (part["sigma"] / first) ** 2 * _bias(weak)
        rows += [
            Measured("bias, second difference", mean(second), unit),
            # The mean falls: the best rival is another one under other noise.
            Measured("bias over second difference", quotient(-_bias(moved), -second)),
            Measured("power of the rms bias", growth),
        ]
        if unit == "logits":
            rows += _lost(job, part, moved, weak)
    return rows


def _lost(job: Job, part: Part, moved: Array, weak: Array) -> list[Measured]:
    """Accuracy lost, and what a linear and a curved margin tell of it.

    The curved one has a mean and a std, which draws of weaker noise tell.
    """
    network, times = part["network"], part["sigma"] / job["sigmas"][0]
    clean = _leads(network, *zoo.images(network, job["images"]))[1]
    linear = part["sigma"] * _slopes(network, "logits", job["images"])
    fallen = clean + times**2 * _bias(weak)
    laws = {
        "linear margin": _right(clean, linear),
        "curved margin": _right(fallen, times * np.sqrt(_variance(weak))),
    }
    right = (clean[:, None, None] + moved > 0.0).mean((1, 2))
    rows = [Measured("accuracy lost", mean((clean > 0.0) - right), "fraction")]
    for name, law in laws.items():
        lost = (clean > 0.0) - law
        rows += [
            Measured(f"accuracy lost, {name}", mean(lost), "fraction"),
            Measured(f"accuracy lost less {name}", mean(law - right), "fraction"),
        ]
    return rows


def _right(center: Array, std: Array) -> Array:
    """Probability of each image's right answer, its margin normal."""
    law = margin.accuracy(center[:, None], std[:, None], np.asarray(1.0))
    return np.asarray(law)


def _judge_bias(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    strongest = job["sigmas"][-1]
    verdicts = []
    for scores in _SCORES:
        here = select(rows, scores=scores, sigma=strongest)
        verdicts += [
            beyond(
                f"Averages of the margin in {scores} miss the noiseless one.",
                only(here, "rms bias").interval,
                0.0,
                claim="snd-2022/s11",
            ),
            beyond(
                f"The miss is small against the std of one draw, margin in {scores}.",
                only(here, "rms bias over rms std").interval,
                job["small"],
                above=False,
                claim="snd-2022/s11",
            ),
            agrees(
                f"The miss grows with the square of the noise, margin in {scores}.",
                2.0,
                only(here, "power of the rms bias").interval,
                tolerance=job["power_tolerance"],
                claim="snd-2022/s11",
            ),
            agrees(
                f"Second differences over weaker noise tell the mean miss, {scores}.",
                1.0,
                only(here, "bias over second difference").interval,
                tolerance=job["law_tolerance"],
                claim="snd-2022/s11",
            ),
        ]
    at_strongest = select(rows, scores="logits", sigma=strongest)
    verdicts += [
        agrees(
            f"Accuracy lost less what a {name} tells.",
            0.0,
            only(at_strongest, f"accuracy lost less {name}").interval,
            tolerance=job["lost_tolerance"],
        )
        for name in ("linear margin", "curved margin")
    ]
    return verdicts


# -- figures -----------------------------------------------------------------------


def _spread_panel(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(ax, "Spread of the margin", "sigma", "mean std, unit of the scores")
    for i, scores in enumerate(_SCORES):
        here = select(rows, scores=scores)
        law = columns(select(here, "std, linear loss"), "sigma")
        panel.line(f"{scores}, sigma G", *law[:2], like=i, marker="")
        panel.points(scores, *columns(select(here, "std"), "sigma"), like=i)
    ticks(panel, rows, "sigma")
    if rows[0].setting["network"] == PAPERS_NETWORK:
        sigma, std = (papers.text(_CLAIM, name) for name in _PRINTED)
        panel.points("printed", [sigma], [std], like=3)
    panel.legend()
    return ax


def _bias_panel(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(ax, "Spread and bias of the margin", "sigma", "unit of the scores")
    for i, scores in enumerate(_SCORES):
        for j, quantity in enumerate(("rms std", "rms bias"), start=2 * i):
            found = columns(select(rows, quantity, scores=scores), "sigma")
            panel.points(f"{scores}, {quantity}", *found, like=j)
    ticks(panel, rows, "sigma")
    panel.legend()
    return ax


SPREAD = Experiment(
    "loss-noise", _parts, _measure_spread, _judge_spread, (_spread_panel,), one_network
)
BIAS = Experiment(
    "bias", _parts, _measure_bias, _judge_bias, (_bias_panel,), one_network
)
