"""Blind guesses: simulated, against the laws and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import blind
from querytax.theory import blind as laws

from .agreement import by_hand
from .sharpness import holds

GUESSES = ([0.3, 0.01, 0.05], [0.1, 0.4, 0.9])


@pytest.mark.parametrize("queries", [0, 1, 7, 60])
def test_survival(queries):
    p = [0.5, 0.03, 0.0]
    holds(blind.survival(p, queries), laws.survival(p, queries), 0.02)


@pytest.mark.parametrize(
    ("queries", "votes"), [(1, 1), (9, 9), (10, 9), (40, 3), (200, 9)]
)
def test_confirmed_survival(queries, votes):
    law = laws.confirmed_survival(*GUESSES, votes, queries)
    holds(blind.confirmed_survival(*GUESSES, votes, queries), law, 0.03)


@pytest.mark.parametrize("point", [(0.3, 0.1, 9), (0.02, 0.5, 3), (0.7, 0.3, 1)])
def test_confirmed_mean(point):
    holds(blind.confirmed_mean(*point), laws.confirmed_mean(*point), 0.03)


@pytest.mark.parametrize("votes", [1, 9])
@pytest.mark.parametrize("name", ["success", "false_alarm"])
def test_votes(name, votes):
    rate = [0.9, 0.3, 0.02]
    holds(getattr(blind, name)(rate, votes), getattr(laws, name)(rate, votes), 0.05)


def test_against_numpy():
    rng = np.random.default_rng(0)
    guesses = rng.geometric(rng.choice([0.2, 0.05], 200_000))
    by_hand(blind.survival([0.2, 0.05], 10), guesses > 10, 1e6)
    q = rng.choice([0.9, 0.4], 200_000)
    yes = (rng.random((200_000, 5)) < q[:, None]).sum(axis=1)
    by_hand(blind.success([0.9, 0.4], 5), (rng.random(200_000) < q) & (yes > 2), 1e6)
