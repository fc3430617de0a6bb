"""Output randomization: the images that are asked about, and rows of formulas.

An attack asks on its way from an image to the decision boundary. A stage is a share of
that way: 0 at the image itself.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from querytax.attacks.oracle import answer_in_batches
from querytax.figures.style import Panel
from querytax.intervals import exact
from querytax.probes.path import boundary_path
from querytax.reproductions import zoo
from querytax.reproductions.experiment import Job, Part
from querytax.reproductions.measured import Measured, only, select
from querytax.reproductions.panels import columns

__all__ = [
    "PAPER",
    "against",
    "attacked",
    "by_law",
    "draw",
    "needs",
    "networks",
    "ours",
    "stages",
]

PAPER = "output-randomization-2020"


def networks(job: Job) -> list[Part]:
    """A part a network."""
    return [{"network": name} for name in job["networks"]]


def stages(job: Job) -> list[Part]:
    """A part a network and stage."""
    return [
        {**part, "stage": stage} for part in networks(job) for stage in job["stages"]
    ]


def needs(job: Job) -> list[str]:
    """The networks."""
    return list(job["networks"])


def by_law(quantity: str, law: str, value: float, setting: dict[str, Any]) -> Measured:
    """What a formula gives where the quantity is measured at that setting."""
    return Measured(quantity, exact(value), "", {"law": law, **setting})


def ours(rows: Sequence[Measured], quantity: str, **setting: Any) -> list[Measured]:
    """What was measured, without the formulas."""
    found = select(rows, quantity, **setting)
    return [row for row in found if "law" not in row.setting]


def against(
    rows: Sequence[Measured], measured: Sequence[Measured], law: str
) -> list[float]:
    """What a formula gives where each of the rows was measured."""
    return [only(rows, r.quantity, law=law, **r.setting).value for r in measured]


def draw(
    panel: Panel,
    label: str,
    key: str,
    rows: Sequence[Measured],
    measured: Sequence[Measured],
    law: str,
    like: int,
) -> None:
    """Measured points over a part of their setting, on the line of a formula."""
    found = columns(measured, key)
    panel.line(label, found[0], against(rows, measured, law), like=like)
    panel.points(f"measured, {label}", *found, like=like, legend="_")


@functools.lru_cache(maxsize=4)
def attacked(network: str, n: int, stage: float, eps: float) -> tuple[Tensor, Tensor]:
    """The first n test images that a network gets right, moved to a stage; labels.

    The way follows the gradient's sign within Linf ``eps``; one that ends at ``eps``
    counts as if the boundary were there.
    """
    images, labels = zoo.images(network, 2 * n)
    model = zoo.load(network)
    with torch.no_grad():
        said = answer_in_batches(model, images, 100).argmax(1)
    right = torch.nonzero(said == labels).flatten()[:n]
    images, labels = images[right], labels[right]
    if stage:
        path = boundary_path(
            model,
            images,
            labels,
            eps=eps,
            norm="Linf",
            stages=torch.tensor([stage]),
            answered="logits",
            targeted=False,
            batch_size=100,
        )
        images = path.points[:, 0]
    return images, labels
