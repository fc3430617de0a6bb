"""Budgets of queries: simulated, against the laws and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import directions
from querytax.theory import directions as laws

from .agreement import by_hand
from .sharpness import holds


@pytest.mark.parametrize("form", ["forward", "antithetic", "centred"])
@pytest.mark.parametrize(
    ("values", "relative"),
    [
        ((1.0, 0.01, 0.02, 100, 120, 1), 0.03),
        ((0.5, 0.1, 0.1, 7, 24, 3), 0.03),
        ((3.0, 1.0, 0.0, 1, 8, 1), 0.1),
    ],
)
def test_spreads_against_the_law(values, relative, form):
    holds(directions.spread(*values, form), laws.spread(*values, form), relative)


@pytest.mark.parametrize(
    ("values", "relative"),
    [
        ((1.0, 0.01, 0.02, 100, 9, 120), 0.04),
        ((1.0, 0.01, 0.02, 100, 1, 120), 0.04),
        ((2.0, 0.3, 1.0, 5, 4, 6), 0.05),
    ],
)
def test_a_shared_base_against_the_law(values, relative):
    holds(directions.cached_spread(*values), laws.cached_spread(*values), relative)


@pytest.mark.parametrize(
    ("values", "relative"),
    [
        ((0.0, 1.0, 0.0, 1), 0.02),
        ((0.0, 1.0, 2.0, 5), 0.01),
        ((0.5, 1.0, 2.0, 1), 0.05),
        ((1.0, 1.0, 2.0, 11), 0.05),
        ((-3.0, 1.0, 1.0, 2), 0.01),
    ],
)
def test_progress_against_the_laws(values, relative):
    holds(directions.progress(*values), laws.progress(*values), relative)
    law = laws.progress_per_query(*values)
    holds(directions.progress_per_query(*values), law, relative)


def test_against_numpy():
    rng = np.random.default_rng(0)
    u = rng.standard_normal((50_000, 4, 3))
    v = 0.7 * rng.standard_normal((50_000, 4))
    base = 0.7 * rng.standard_normal((50_000, 2)).mean(axis=1, keepdims=True)
    g = ((2.0 * (u[..., 0] + v - base))[..., None] * u).mean(axis=1)
    errors = np.square(g - [2.0, 0.0, 0.0]).sum(axis=1)
    by_hand(directions.cached_spread(2.0, 1.0, 0.7, 3, 2, 6), errors, 3e5)
    change = 0.2 + rng.standard_normal(500_000)
    seen = change + 1.5 * rng.standard_normal((3, 500_000)).mean(axis=0)
    fall = np.where(seen < 0, -change, 0.0)
    by_hand(directions.progress(0.2, 1.0, 1.5, 3), fall, 1e6)
