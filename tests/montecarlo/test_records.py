"""Keep-the-best on pure noise: simulated, against the laws and NumPy."""

import numpy as np
import pytest
from scipy import special

from querytax.montecarlo import records
from querytax.theory import records as laws

from .agreement import by_hand
from .sharpness import holds


@pytest.mark.parametrize(
    ("queries", "relative"), [(2, 0.05), (7, 0.02), (100, 0.05), (3000, 0.2)]
)
@pytest.mark.parametrize("name", ["accepted_mean", "accepted_root", "best_of"])
def test_against_the_law(name, queries, relative):
    law = getattr(laws, name)(queries)
    holds(getattr(records, name)(queries), law, relative)


CHANCES = [
    (0.5, 0.5),
    (0.1, 0.2, 0.3, 0.25, 0.1, 0.05),
    tuple(np.diff(special.ndtr(np.arange(-9.25, 9.5, 0.5)))),
]


@pytest.mark.parametrize("queries", [2, 9, 200])
@pytest.mark.parametrize("chances", CHANCES)
def test_ties_against_the_law(chances, queries):
    law = laws.accepted_mean_tied(chances, queries)
    assert law < 0.9 * laws.accepted_mean(queries)
    holds(records.accepted_mean_tied(chances, queries), law, 0.05)


def test_rounded_answers_against_numpy():
    """Normal answers rounded to half of their deviation; a tie is not accepted."""
    rng = np.random.default_rng(3)
    answers = np.round(rng.standard_normal((50_000, 40)) / 0.5)
    best = np.maximum.accumulate(answers, axis=1)
    steps = (np.diff(best, axis=1) > 0).sum(axis=1)
    by_hand(records.accepted_mean_tied(CHANCES[-1], 40), steps, 1e6)


def test_the_first_answer_alone():
    holds(records.accepted_mean(1), 0.0, 1.0, floor=1e-3)
    holds(records.best_of(1), 0.0, 1.0, floor=0.01)


def test_against_numpy():
    """Uniform answers: only their order counts."""
    rng = np.random.default_rng(0)
    best = np.maximum.accumulate(rng.random((200_000, 20)), axis=1)
    steps = (np.diff(best, axis=1) > 0).sum(axis=1)
    by_hand(records.accepted_mean(20), steps, 1e6)
    by_hand(records.accepted_root(20), np.sqrt(steps), 1e6)
    by_hand(records.best_of(9), rng.standard_normal((200_000, 9)).max(axis=1), 1e6)
