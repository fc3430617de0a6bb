"""Noise at low confidence alone: simulated, against the law and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import low_confidence
from querytax.theory import low_confidence as laws

from .agreement import by_hand
from .sharpness import holds


@pytest.mark.parametrize(
    "values", [(8.0, 0.3, 9), (-3.0, 0.6), (8.0, 0.3), (0.1, 0.9, 99), (2.0, 0.2, 4)]
)
def test_against_the_law(values):
    law = laws.silent_share(*values)
    holds(low_confidence.silent_share(*values), law, 0.01, floor=0.1)


def test_against_numpy():
    m = 5.0 * np.random.default_rng(0).random(500_000)
    silent = 1.0 / (1.0 + 3.0 * np.exp(-m)) >= 0.7
    by_hand(low_confidence.silent_share(5.0, 0.7, 3), silent, 1e6)
