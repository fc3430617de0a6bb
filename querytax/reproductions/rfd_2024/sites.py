"""A network, its images and its sites, and how noise there misleads a comparison."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from querytax.attacks.oracle import answer_in_batches
from querytax.defenses import defend
from querytax.intervals import LEVEL, Interval
from querytax.losses import attacker_loss
from querytax.noise import normals, uniforms
from querytax.probes.gradients import gradient_norms, margins
from querytax.reproductions import zoo

__all__ = [
    "BATCH",
    "INPUT",
    "Misled",
    "Sample",
    "bootstrap",
    "margins_under_noise",
    "misled",
    "sample",
    "site_parts",
    "spread",
]

Array = npt.NDArray[np.float64]

INPUT = "input"
BATCH = 256


def spread(network: str, count: int) -> list[str]:
    """So many of a network's layers, evenly from first to last; one alone: the last."""
    layers = zoo.layers(network)
    places = np.linspace(len(layers) - 1, 0, min(count, len(layers)))
    return [layers[round(place)] for place in reversed(places)]


def site_parts(networks: Sequence[str], count: int) -> list[dict[str, Any]]:
    """The input and layers of each network; depth runs from 0 to 1 at the last."""
    parts = []
    for network in networks:
        sites = [INPUT, *spread(network, count)]
        parts += [
            {"network": network, "site": site, "depth": round(i / (len(sites) - 1), 3)}
            for i, site in enumerate(sites)
        ]
    return parts


@dataclass(frozen=True)
class Sample:
    """Images of a network.

    Attributes
    ----------
    model : nn.Module
    images, labels, keys : Tensor
        ``(n, ...)``, ``(n,)``, and each image's place in the test set, which keys its
        randomness.
    margins : ndarray
        ``(n,)``; above zero where the answer is right.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    keys: Tensor
    margins: Array

    def first_right(self, n: int) -> Sample:
        """The first images that are answered rightly: an attack starts from these."""
        at = torch.from_numpy(np.flatnonzero(self.margins > 0.0)[:n])
        return Sample(
            self.model,
            self.images[at],
            self.labels[at],
            self.keys[at],
            self.margins[at.numpy()],
        )

    def norms(self, sites: Sequence[str]) -> dict[str, Array]:
        """Norms of the margin's gradient, ``(n,)`` by site."""
        return gradient_norms(
            self.model, self.images, self.labels, sites, batch_size=BATCH
        )


@functools.lru_cache(maxsize=4)
def sample(network: str, n: int) -> Sample:
    """The first ``n`` test images."""
    model = zoo.load(network)
    images, labels = zoo.images(network, n)
    lead = margins(model, images, labels, batch_size=BATCH)
    return Sample(model, images, labels, torch.arange(n), lead)


def margins_under_noise(
    who: Sample, site: str, sigma: float, draws: int, seed: int
) -> Array:
    """Margins of noisy answers, ``(draws, n)``."""
    ask = _asker(who, site, sigma, seed)
    return np.stack([_margin(ask(who.images, query), who) for query in range(draws)])


@dataclass(frozen=True)
class Misled:
    """What an attacker makes of candidate steps.

    Attributes
    ----------
    flips : ndarray
        ``(len(repeats), n)``: share of comparisons whose noisy change has another sign
        than the noiseless one.
    changes : ndarray
        ``(n, draws)``: noiseless changes of the margin.
    """

    flips: Array
    changes: Array


def misled(
    who: Sample,
    site: str,
    sigma: float,
    step: float,
    draws: int,
    seed: int,
    repeats: Sequence[int] = (1,),
) -> Misled:
    """Compare images with candidates ``x + step u``, ``u ~ N(0, I)``, under noise.

    There are as many answers at the image as candidates, and each candidate is held
    against each of them. Repeats average the answers before the margin is taken.
    """
    ask = _asker(who, site, sigma, seed)
    most = max(repeats)
    here = who.margins

    def heard(points: Tensor, first: int) -> Array:
        """Margins of averages, ``(len(repeats), n)``."""
        answers = [ask(points, first + i).double() for i in range(most)]
        return np.stack(
            [_margin(torch.stack(answers[:m]).mean(0), who) for m in repeats]
        )

    base = np.stack([heard(who.images, i * most) for i in range(draws)])
    flips, changes = np.zeros(base.shape[1:]), []
    for draw in range(draws):
        key = torch.full_like(who.keys, draw)
        u = normals(seed, "rfd/candidate", who.keys, key, who.images.shape[1:])
        moved = who.images + step * u
        with torch.no_grad():
            clean = _margin(answer_in_batches(who.model, moved, BATCH), who)
        rises = heard(moved, (draws + draw) * most) > base
        flips += (rises != (clean > here)).mean(axis=0)
        changes.append(clean - here)
    return Misled(flips / draws, np.stack(changes, axis=1))


def bootstrap(
    statistic: Callable[[npt.NDArray[np.intp]], float],
    n: int,
    seed: int,
    resamples: int = 200,
) -> Interval:
    """A statistic of ``n`` images, its interval by resampling them.

    Parameters
    ----------
    statistic : callable
        From places of images, with repetitions, to a number.
    n, seed, resamples : int
    """
    rows = torch.arange(resamples)
    draws = uniforms(seed, "rfd/bootstrap", rows, torch.zeros_like(rows), (n,))
    places = (draws.double() * n).long().numpy()
    found = [statistic(at) for at in places]
    tail = (1.0 - LEVEL) / 2.0
    lower, upper = np.quantile(found, [tail, 1.0 - tail])
    value = statistic(np.arange(n))
    # With few images a percentile interval can miss the value that it is about.
    return Interval(value, min(float(lower), value), max(float(upper), value), n)


def _asker(
    who: Sample, site: str, sigma: float, seed: int
) -> Callable[[Tensor, int], Tensor]:
    guarded = defend(who.model, site, sigma, experiment_seed=seed)

    def ask(points: Tensor, query: int) -> Tensor:
        key = torch.full_like(who.keys, query)
        with torch.no_grad():
            return answer_in_batches(guarded, points, BATCH, who.keys, key)

    return ask


def _margin(answers: Tensor, who: Sample) -> Array:
    lead: Array = -attacker_loss(answers, who.labels, loss="margin").numpy()
    return lead
