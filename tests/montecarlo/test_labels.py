"""Attacks on labels at a flat boundary: simulated, against the laws and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import labels
from querytax.montecarlo.runs import estimate
from querytax.theory import labels as laws
from querytax.theory.law import RegimeWarning

from .agreement import by_hand
from .sharpness import holds


@pytest.mark.parametrize(
    ("checks", "dimension", "relative"),
    [(1, 16, 0.05), (5, 16, 0.05), (40, 64, 0.02), (127, 64, 0.02), (200, 64, 0.02)],
)
def test_share(checks, dimension, relative):
    law = laws.rays_share(checks, dimension)
    holds(labels.rays_share(checks, dimension), law, relative)


def test_share_where_runs_do_not_halve():
    """784 numbers; as far off as the law says, and seen to be no further."""
    for checks in (98, 300, 1000):
        with pytest.warns(RegimeWarning, match="a power of two"):
            law = laws.rays_share(checks, 784)
        found = estimate(
            labels.rays_share(checks, 784), rng=1, max_samples=4e3, threads=1
        )
        assert abs(found.value / law - 1.0) < 0.04


@pytest.mark.parametrize(
    ("margin", "sigma", "halvings"),
    [(-0.1, 0.1, 8), (0.05, 0.2, 1), (0.05, 0.2, 4), (-1.5, 1.0, 3), (0.3, 0.1, 6)],
)
def test_accepted(margin, sigma, halvings):
    law = laws.rays_accepted(margin, sigma, halvings)
    holds(labels.rays_accepted(margin, sigma, halvings), law, 0.06)


@pytest.mark.parametrize(
    ("distance", "step", "cosine"),
    [(10.0, 10.0, 0.2), (2.0, 1.0, 0.5), (3.0, 4.0, 0.0), (5.0, 2.0, 1.0)],
)
def test_step(distance, step, cosine):
    law = laws.distance_after_step(distance, cosine, step)
    # Of order 1/d off the law, a hundredth of what is looked for.
    holds(labels.distance_after_step(distance, cosine, step, 400), law, 0.03)


def test_against_numpy():
    rng = np.random.default_rng(3)
    slopes = rng.standard_normal((20_000, 8))
    # Eight numbers: the whole, halves, quarters and single ones, by absolute sums.
    halves = np.abs(slopes.reshape(-1, 2, 4).sum(2)).sum(1)
    quarters = np.abs(slopes.reshape(-1, 4, 2).sum(2)).sum(1)
    best = 8 * np.sqrt(2 / np.pi)
    by_hand(labels.rays_share(3, 8), halves / best, 1e5)
    by_hand(labels.rays_share(7, 8), quarters / best, 1e5)
    by_hand(labels.rays_share(15, 8), np.abs(slopes).sum(1) / best, 1e5)
    # A plane at distance 1, in five dimensions.
    across = rng.standard_normal((100_000, 4))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    at = np.zeros((100_000, 5))
    at[:, 0], at[:, 1] = 1.0, np.sqrt(3.0**2 - 1)
    at[:, 0] += 2.0 * 0.6
    at[:, 1:] += 2.0 * 0.8 * across
    length = np.linalg.norm(at, axis=1) / at[:, 0]
    by_hand(labels.distance_after_step(3.0, 0.6, 2.0, 5), length, 1e5)
