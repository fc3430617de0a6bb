"""Outputs at the two ends of a probe: real networks, real images, random directions."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from querytax import expect, papers
from querytax.intervals import Interval, mean
from querytax.noise import normals, uniforms
from querytax.reproductions import zoo
from querytax.reproductions.experiment import Job, Part
from querytax.reproductions.measured import Measured, select

__all__ = [
    "DIRECTIONS",
    "KEY",
    "SIGMA",
    "Pairs",
    "Rows",
    "decibel",
    "most_noise",
    "networks",
    "noises",
    "pairs",
    "positive",
    "printed_model",
    "sample",
    "series",
    "target",
    "targets",
]

KEY = "aithal-li-2022"
# The paper says that u is random. NES draws it normal: its length is then near √d.
DIRECTIONS = ("normal", "unit")
SIGMA = "σ of the output noise (probability)"

Array = npt.NDArray[np.float64]
Rows = Sequence[Measured]
# Numbers in one batch of images: layers of small batches stay in the cache.
_BATCH = 1 << 15


@dataclass(frozen=True, eq=False)
class Pairs:
    """Softmax outputs of images, and of both ends of one probe about each.

    Attributes
    ----------
    clean, ahead, behind : ndarray of shape (images, classes)
        F(x), F(x + βu) and F(x - βu), in float64.
    labels : ndarray of shape (images,)
    pick : ndarray of shape (images,)
        For each image, one of the classes besides the first choice, at random.
    dimension : int
        Numbers in an image.
    """

    clean: Array
    ahead: Array
    behind: Array
    labels: npt.NDArray[np.int64]
    pick: npt.NDArray[np.int64]
    dimension: int

    def others(self, values: Array) -> Array:
        """Values of all classes but the first choice, (images, classes - 1)."""
        kept = np.ones_like(values, dtype=bool)
        np.put_along_axis(kept, self.clean.argmax(1)[:, None], False, axis=1)
        return values[kept].reshape(len(values), -1)

    def picked(self, others: Array) -> Array:
        """One value of each image: independent, as those of one image are not."""
        return others[np.arange(len(others)), self.pick]

    @property
    def output(self) -> Array:
        """F_t(x), (images, classes - 1)."""
        return self.others(self.clean)

    @property
    def ends(self) -> tuple[Array, Array]:
        """The larger and the smaller of the two ends, (images, classes - 1) each."""
        one, two = self.others(self.ahead), self.others(self.behind)
        return np.maximum(one, two), np.minimum(one, two)

    @property
    def change(self) -> Array:
        """ΔF_t, the distance of the two ends, (images, classes - 1)."""
        return np.subtract(*self.ends)


@functools.lru_cache(maxsize=16)
def pairs(network: str, n: int, probe: float, direction: str, seed: int) -> Pairs:
    """Ask a network of the zoo about its first test images and their probes.

    Parameters
    ----------
    network : str
    n : int
        Images, from the first of the test set.
    probe : float
        β, in units of the pixels.
    direction : {"normal", "unit"}
        u standard normal, or the same scaled to length 1.
    seed : int
        Key of the directions.

    Notes
    -----
    In float64: differences of outputs down to 1e-21 are wanted. Probes are not cut to
    [0, 1].
    """
    expect.one_of(DIRECTIONS, direction=direction)
    model = zoo.load(network).double()
    images, labels = zoo.images(network, n)
    rows = torch.arange(n)
    zero = torch.zeros_like(rows)
    found: list[list[Array]] = [[], [], []]
    size = images[0].numel()
    for at in rows.split(max(1, _BATCH // size)):
        x = images[at].double()
        u = normals(
            seed, f"{KEY}/direction", at, zero[at], x.shape[1:], dtype=torch.float64
        )
        if direction == "unit":
            u /= u.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        for ends, y in zip(found, (x, x + probe * u, x - probe * u), strict=True):
            ends.append(_outputs(model, y))
    clean, ahead, behind = (np.concatenate(ends) for ends in found)
    draws = uniforms(seed, f"{KEY}/class", rows, zero, (1,), dtype=torch.float64)
    pick = (draws[:, 0].numpy() * (clean.shape[1] - 1)).astype(np.int64)
    return Pairs(clean, ahead, behind, labels.numpy(), pick, size)


def _outputs(model: nn.Module, x: Tensor) -> Array:
    with torch.no_grad():
        found: Array = model(x).softmax(dim=1).numpy()
    return found


def printed_model(model: str, name: str) -> float:
    """A number of the paper's table 1, as in ``printed_model("MNIST", "beta")``."""
    table = papers.rows(KEY, "table-1")
    (row,) = (row for row in table if row["model"].partition(" ")[0] == model)
    return float(row[name])


def most_noise() -> float:
    """The strongest noise that the paper tries."""
    return papers.number(KEY, "text", "printed", quantity="noise, most")


def noises(job: Job, output: float) -> dict[float, float]:
    """Noise over an output -> σ, up to the strongest that the paper tries.

    Beyond that the cut at 1 changes what the laws of the logarithms say.
    """
    every = {noise: noise * output for noise in job["noise"]}
    return {noise: sigma for noise, sigma in every.items() if sigma <= most_noise()}


def networks(job: Job) -> list[str]:
    """The networks of the recipe."""
    return list(job["models"])


def sample(job: Job, network: str, direction: str | None = None) -> Pairs:
    """Pairs of a network by the recipe, with the probe of the model it stands for."""
    beta = printed_model(job["models"][network], "beta")
    n, u = job["images"][network], direction or job["direction"]
    return pairs(network, n, beta, u, job.seed)


def targets(job: Job) -> list[Part]:
    """A network and a quantile of its ΔF_t each."""
    return [
        {"network": n, "quantile": q} for n in networks(job) for q in job["quantiles"]
    ]


def target(job: Job, part: Part) -> tuple[float, float]:
    """Both ends of the probe whose ΔF_t is that quantile, the larger first."""
    one, two = sample(job, part["network"]).ends
    order = np.argsort(one - two, axis=None)
    place = order[int(part["quantile"] * (order.size - 1))]
    return float(one.flat[place]), float(two.flat[place])


def positive(value: float, influence: npt.ArrayLike) -> Interval:
    """A positive number made of means over images, symmetric in its logarithm.

    ``influence`` is how far each image pulls it, to first order: for a mean, the
    image's value less the mean. Few images carry these means, and an interval on the
    linear scale would reach below 0.
    """
    _, lower, upper, n = mean(np.asarray(influence) / value)
    value = float(value)
    return Interval(value, value * math.exp(lower), value * math.exp(upper), n)


def decibel(power: float) -> float:
    """Of a power ratio."""
    return 10.0 * math.log10(power)


def series(
    rows: Rows, quantity: str, key: str, **setting: Any
) -> dict[float, Interval]:
    """A measured quantity by one of its settings, rising."""
    found = select(rows, quantity, **setting)
    return dict(sorted((float(row.setting[key]), row.interval) for row in found))
