"""A world of attackers whose costs are known: what a bench would find, without models.

An attack takes ``base * (1 + (sigma / scale) ** 2)`` queries for an image, both drawn
from its name and the image; a share of the images it cannot break at all.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from querytax.counts import QueryCount
from querytax.evidence import Tried


def _draw(*words):
    digest = hashlib.blake2b(repr(words).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


@dataclasses.dataclass
class World:
    """``strength`` of an attack multiplies its costs; others are drawn by name."""

    seed: int = 0
    images: int = 200
    held_out: int = 200
    median: float = 100.0
    spread: float = 1.0
    scale: float = 0.05
    hopeless: float = 0.1
    strength: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self.rows = 0
        self.asked = []

    def parts(self):
        return {"calibration": self.images, "held_out": self.held_out}

    def costs(self, contender, part, n, sigma, seed=0, eps=0.1):
        """Queries that an attack takes for each image."""
        own = _draw(self.seed, contender.name)
        weak = np.exp(own.exponential(1.2))
        tax = np.exp(own.normal(0.0, 0.5))
        weak = self.strength.get(contender.attack, weak)
        of_image = _draw(self.seed, part)
        hard = np.exp(of_image.normal(0.0, self.spread, 2000))[:n]
        never = of_image.random(2000)[:n] < self.hopeless
        luck = np.exp(_draw(self.seed, contender.name, part, seed).normal(0, 0.4, 2000))
        base = self.median * weak * hard * luck[:n]
        cost = base * (1.0 + (sigma / (self.scale * tax)) ** 2) * (0.1 / eps) ** 2
        return np.where(never, np.inf, np.maximum(np.ceil(cost), 1.0))

    def share(self, contenders, sigma, n_queries, part="held_out"):
        """Largest share that one of them breaks of very many images."""
        return max(
            (self.costs(c, part, 2000, sigma) <= n_queries).mean() for c in contenders
        )

    def run(self, trial):
        """What a trial finds."""
        cost = self.costs(
            trial.contender,
            trial.part,
            trial.images,
            trial.sigma,
            trial.seed,
            trial.eps,
        )
        broke = cost <= trial.n_queries
        queries = np.minimum(cost, trial.n_queries)
        self.rows += int(queries.sum())
        self.asked.append(trial)
        found = QueryCount(queries, broke)
        return Tried(trial, found, found, queries)
