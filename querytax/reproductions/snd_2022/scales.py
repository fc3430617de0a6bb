"""Input noise whose scale is drawn anew for each answer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import special
from torch import Tensor

from querytax import papers
from querytax.attacks.oracle import answer_in_batches
from querytax.figures.style import Panel
from querytax.intervals import exact, mean
from querytax.noise import normals, uniforms
from querytax.reproductions import zoo
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, agrees, beyond, follows
from querytax.reproductions.measured import Measured, only, select
from querytax.reproductions.panels import columns
from querytax.reproductions.snd_2022.boundary import crossing
from querytax.reproductions.snd_2022.noise import (
    BATCH,
    Array,
    lead,
    loaded,
    one_network,
    quotient,
    right,
)
from querytax.theory import boundary

__all__ = ["SCALES"]

_FORMS = ("arcsine", "uniform", "bell", "constant")
# What the paper calls the three; the constant is ours.
_PRINTED = {"arcsine": "cup-shaped", "uniform": "uniform", "bell": "cap-shaped"}
# Pairs of neighbours, the one that changes more next to the boundary first.
_PAIRS = tuple(f"{b} less {a}" for a, b in itertools.pairwise(_FORMS))
# Farther from the boundary than this many sigma no noise changes an answer.
_FAR = 8.0


def _shape(form: str) -> float:
    """Parameter a of Beta(a, a)."""
    return papers.text("snd-2022/s21", f"parameter of the {_PRINTED[form]} scale")


def _parts(job: Job) -> list[Part]:
    near = [
        {"network": job["network"], "points": "boundary", "distance": distance}
        for distance in job["distances"]
    ]
    return [*near, {"network": job["network"], "points": "clean"}]


def _answers(job: Job, x: Tensor, stream: str) -> dict[str, npt.NDArray[np.int64]]:
    """Labels ``(N, draws)`` under noise of each scale.

    All scales share the noise and the rank of k, so that they differ in law alone.
    """
    model, rows = loaded(job["network"]), torch.arange(len(x))
    shape = len(x), job["draws"]
    found = {form: np.empty(shape, dtype=np.int64) for form in _FORMS}
    with torch.no_grad():
        for draw in range(job["draws"]):
            keys = job.seed, stream, rows, torch.full_like(rows, draw)
            z = job["sigma"] * normals(*keys, x.shape[1:])
            rank = uniforms(*keys, (1,), dtype=torch.float64).numpy()[:, 0]
            for form in _FORMS:
                k = torch.from_numpy(_scale(form, rank)).float()
                noisy = x + k[:, None, None, None] * z
                answer = answer_in_batches(model, noisy, BATCH).argmax(1)
                found[form][:, draw] = answer.numpy()
    return found


def _scale(form: str, rank: Array) -> Array:
    if form == "constant":
        return np.full_like(rank, 0.5)
    a = _shape(form)
    found: Array = special.betaincinv(a, a, rank)
    return found


def _measure(job: Job, part: Part) -> list[Measured]:
    return _at_clean(job) if part["points"] == "clean" else _at_boundary(job, part)


def _at_boundary(job: Job, part: Part) -> list[Measured]:
    """At points inside the boundary, by distances of sigma."""
    cross = crossing(job["network"], job["rays"])
    distance = part["distance"]
    inside = cross.point - distance * job["sigma"] * cross.normal
    with torch.no_grad():
        clean = answer_in_batches(loaded(job["network"]), inside, BATCH).argmax(1)
    answers = _answers(job, inside, f"snd/scales/{distance}")
    changed = _shares(answers, clean.numpy())
    rows = []
    for form in _FORMS:
        law = float(boundary.scaled_noise_flip(distance, 1.0, form))
        rows += [
            Measured("changed", mean(changed[form]), "probability", {"scale": form}),
            Measured("changed, law", exact(law), "probability", {"scale": form}),
        ]
    return [*rows, *_compared(changed)]


def _at_clean(job: Job) -> list[Measured]:
    """At test images: answers changed, and accuracy lost."""
    network, n = job["network"], job["images"]
    clean, truth = lead(network, n), right(network, n)
    asked = clean.margin < _FAR * job["sigma"] * clean.gradient_norm
    x = zoo.images(network, n)[0][torch.from_numpy(asked)]
    answers = _answers(job, x, "snd/scales/clean")
    changed, lost = {f: np.zeros(n) for f in _FORMS}, {f: np.zeros(n) for f in _FORMS}
    was_wrong = (clean.answered != truth)[asked]
    for form in _FORMS:
        changed[form][asked] = _shares(answers, clean.answered[asked])[form]
        lost[form][asked] = _shares(answers, truth[asked])[form] - was_wrong
    return [
        *(
            Measured(quantity, mean(values[form]), "fraction", {"scale": form})
            for quantity, values in (("changed", changed), ("accuracy lost", lost))
            for form in _FORMS
        ),
        *(
            Measured(
                "changed over constant",
                quotient(changed[form], changed["constant"]),
                "",
                {"scale": form},
            )
            for form in _FORMS[:-1]
        ),
        *_compared(lost),
    ]


def _shares(
    answers: dict[str, npt.NDArray[np.int64]], truth: npt.NDArray[np.int64]
) -> dict[str, Array]:
    """Share of each image's answers that are not ``truth``, by scale."""
    return {form: (a != truth[:, None]).mean(1) for form, a in answers.items()}


def _compared(values: dict[str, Array]) -> list[Measured]:
    """Each scale less the one before, point by point."""
    pairs = itertools.pairwise(_FORMS)
    return [Measured(f"{b} less {a}", mean(values[b] - values[a])) for a, b in pairs]


def _judge(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    near, far = min(job["distances"]), max(job["distances"])
    at_near, at_far = (select(rows, distance=d) for d in (near, far))
    within = [d for d in job["distances"] if d < far]
    laws = [r for d in within for r in select(rows, "changed, law", distance=d)]
    ours = [r for d in within for r in select(rows, "changed", distance=d)]
    clean = select(rows, points="clean")
    claim = "snd-2022/s21"
    return [
        follows(
            "The laws of the four scales hold next to the boundary.",
            [row.value for row in laws],
            [row.interval for row in ours],
            tolerance=job["law_tolerance"],
            claim=claim,
        ),
        *(
            beyond(
                f"Next to the boundary {_said(pair)} changes more labels.",
                only(at_near, pair).interval,
                0.0,
                claim=claim,
            )
            for pair in _PAIRS
        ),
        *(
            beyond(
                f"Away from the boundary {_said(pair)} changes fewer labels.",
                only(at_far, pair).interval,
                0.0,
                above=False,
                claim=claim,
            )
            for pair in _PAIRS
        ),
        *(
            agrees(
                f"On clean images {form} and constant change as many labels.",
                1.0,
                only(clean, "changed over constant", scale=form).interval,
                tolerance=job["clean_tolerance"],
            )
            for form in _FORMS[:-1]
        ),
        *(
            beyond(
                f"On clean images {_said(pair)} costs less accuracy.",
                only(clean, pair).interval,
                0.0,
                above=False,
                claim=claim,
            )
            for pair in _PAIRS
        ),
    ]


def _said(pair: str) -> str:
    return pair.replace(" less ", " rather than ")


def _panel(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        "Scale drawn for each answer",
        "distance from the boundary over sigma",
        "share of labels changed",
        "linear",
    )
    found = select(rows, "changed", points="boundary")
    distances = columns(found, "distance")[0]
    way = np.linspace(distances.min(), distances.max(), 100)
    for i, form in enumerate(_FORMS):
        law = boundary.scaled_noise_flip(way, 1.0, form)
        panel.line(f"{form}, law", way, law, like=i, marker="")
        panel.points(form, *columns(select(found, scale=form), "distance"), like=i)
    panel.legend(ncols=2)
    return ax


SCALES = Experiment("scales", _parts, _measure, _judge, (_panel,), one_network)
