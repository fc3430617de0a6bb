"""Keep-the-best on pure noise: simulated, against the laws and NumPy."""

import numpy as np
import pytest

from querytax.expect import DomainError
from querytax.montecarlo import records
from querytax.theory import records as laws

from .agreement import any_split, by_hand
from .sharpness import holds


@pytest.mark.parametrize(
    ("queries", "relative"), [(2, 0.05), (7, 0.02), (100, 0.05), (3000, 0.2)]
)
@pytest.mark.parametrize("name", ["accepted_mean", "accepted_root", "best_of"])
def test_against_the_law(name, queries, relative):
    law = getattr(laws, name)(queries)
    holds(getattr(records, name)(queries), law, relative)


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


def test_nothing_depends_on_the_portions():
    any_split(records.accepted_root(31))


def test_bad_input_is_named():
    for name in records.__all__:
        with pytest.raises(DomainError, match="expected queries a whole number"):
            getattr(records, name)(0)
