"""Noisy bisection, step by step, against the law of the returned cell and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import bisection
from querytax.theory import bisection as laws

from .agreement import by_hand
from .sharpness import holds


@pytest.mark.parametrize("rate", [0.05, 0.45, 0.7])
@pytest.mark.parametrize("votes", [1, 2, 5, 8])
def test_majorities_against_the_law(rate, votes):
    law = laws.majority(rate, votes)
    holds(bisection.majority(rate, votes), law, 0.02, floor=0.01)


@pytest.mark.parametrize(
    ("radius", "sigma", "halvings", "votes", "relative"),
    [
        (0.4, 0.01, 10, 1, 0.02),
        (0.6, 0.1, 8, 5, 0.02),
        (0.3, 0.3, 6, 2, 0.02),
        (0.9, 1.0, 3, 1, 0.02),
    ],
)
def test_searches_against_the_law(radius, sigma, halvings, votes, relative):
    values = (radius, sigma, halvings, votes)
    holds(bisection.mean_estimate(*values), laws.mean_estimate(*values), 0.005)
    law = laws.rmse(*values) ** 2
    holds(bisection.mean_square(*values), law, relative, floor=1e-3)


def test_against_numpy():
    rng = np.random.default_rng(0)
    low, width = np.zeros(200_000), 1.0
    for _ in range(6):
        width /= 2
        votes = low[:, None] + width + 0.2 * rng.standard_normal((200_000, 3)) > 0.35
        low += np.where(votes.sum(axis=1) >= 2, 0.0, width)
    by_hand(bisection.mean_estimate(0.35, 0.2, 6, 3), low + width / 2, 1e6)
    by_hand(bisection.mean_square(0.35, 0.2, 6, 3), (low + width / 2 - 0.35) ** 2, 1e6)
