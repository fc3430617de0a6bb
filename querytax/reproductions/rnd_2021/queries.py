"""RND's defended differences, asked of real networks about keyed directions."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from querytax.attacks.oracle import answer_in_batches
from querytax.defenses import InputNoise
from querytax.losses import attacker_loss
from querytax.noise import normals
from querytax.probes.path import slope
from querytax.reproductions import zoo

__all__ = ["Asked", "Scene", "ask", "scene", "steepest"]

BATCH = 256
# Numbers of one block of probes.
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Scene:
    """Images that a network gets right, and the gradient of its margin at each.

    The attacker climbs the best other logit less the label's; the slides cut it at 0,
    where an attack would be over.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    gradient: Tensor

    @property
    def dimension(self) -> int:
        return self.x[0].numel()

    @property
    def norms(self) -> Tensor:
        """Of the gradients, ``(N,)`` float64."""
        return self.gradient.double().norm(dim=1)


@functools.lru_cache(maxsize=8)
def scene(network: str, n: int) -> Scene:
    """Of the first ``n`` test images those that the network gets right."""
    model = zoo.load(network)
    x, y = zoo.images(network, n)
    with torch.no_grad():
        right = answer_in_batches(model, x, BATCH).argmax(1) == y
    x, y = x[right], y[right]
    return Scene(model, x, y, _slope(model, x, y))


def _slope(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return slope(model, x, y, "margin", "logits", False, BATCH).flatten(1)


def steepest(place: Scene, sigma: float, n_draws: int, seed: int) -> float:
    """The largest gradient norm at the images and at noisy ones around them.

    It bounds the loss's Lipschitz constant from below.
    """
    found = place.norms.max()
    rows = torch.arange(len(place.x))
    for draw in range(n_draws):
        at = torch.full_like(rows, draw)
        v = normals(seed, "rnd-2021/steepest", rows, at, place.x.shape[1:])
        norms = _slope(place.model, place.x + sigma * v, place.y).double().norm(dim=1)
        found = torch.maximum(found, norms.max())
    return float(found)


@dataclass(frozen=True)
class Asked:
    """Changes of the loss along directions, and what an attacker makes of them.

    Attributes
    ----------
    change : Tensor
        ``(N, B)`` differences of two answers, or of two means of them.
    square : Tensor
        ``(N, B)`` squared lengths of the directions.
    cosine : Tensor
        ``(N, E)`` between estimates and the gradient, ``B / E`` directions each.
    width : float
        What a change is divided by: the probe, or two of a reflected pair.
    """

    change: Tensor
    square: Tensor
    cosine: Tensor
    width: float

    def moment(self) -> npt.NDArray[np.float64]:
        """Mean square of the estimate from one direction, ``(N,)``."""
        return ((self.change / self.width).square() * self.square).mean(1).numpy()


def ask(
    place: Scene,
    *,
    probe: float,
    sigma: float,
    directions: int,
    estimates: int = 1,
    form: str = "forward",
    repeats: int = 1,
    seed: int,
) -> Asked:
    """Differences about ``estimates * directions`` normal directions an image.

    Directions and noise are keyed by image and place: another probe, sigma or form
    meets the same.

    Parameters
    ----------
    place : Scene
    probe, sigma : float
        Standard deviations on each input.
    directions, estimates : int
        Directions of one estimate, and how many of those.
    form : {"forward", "antithetic"}
        From the image, as the slides' equation (7), or between both ends, as NES.
    repeats : int
        Queries that are averaged for each answer.
    seed : int
    """
    guarded = InputNoise(place.model, sigma, experiment_seed=seed)
    count = directions * estimates
    block = max(1, _BLOCK // (count * place.dimension))
    parts = []
    with torch.no_grad():
        for rows in torch.arange(len(place.x)).split(block):
            x, g = place.x[rows][:, None], place.gradient[rows]
            u = normals(
                seed,
                "rnd-2021/directions",
                rows,
                torch.zeros_like(rows),
                (count, *place.x.shape[1:]),
            )
            ends = x + probe * u, x - probe * u if form == "antithetic" else x + 0.0 * u
            keys = (rows[:, None] * count + torch.arange(count)).flatten()
            goals = place.y[rows].repeat_interleave(count)
            losses = [
                torch.stack(
                    [
                        attacker_loss(
                            answer_in_batches(
                                guarded,
                                end.flatten(0, 1),
                                BATCH,
                                keys,
                                torch.full_like(keys, 2 * draw + side),
                            ),
                            goals,
                            loss="margin",
                        )
                        for draw in range(repeats)
                    ]
                ).mean(0)
                for side, end in enumerate(ends)
            ]
            change = (losses[0] - losses[1]).view(len(rows), count)
            flat = u.flatten(2)
            # One estimate a row: (n, E, 1, B) times (n, E, B, D).
            weights = change.view(len(rows), estimates, 1, directions).to(flat.dtype)
            found = weights @ flat.view(len(rows), estimates, directions, -1)
            cosine = torch.cosine_similarity(found[:, :, 0], g[:, None], dim=2)
            parts.append((change, flat.double().square().sum(2), cosine.double()))
    width = 2.0 * probe if form == "antithetic" else probe
    change, square, cosine = (torch.cat(part) for part in zip(*parts, strict=True))
    return Asked(change, square, cosine, width)
