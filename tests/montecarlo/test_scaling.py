"""Scaled margins: simulated, against the closed form and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import scaling
from querytax.theory import scaling as laws

from .agreement import by_hand
from .sharpness import holds


@pytest.mark.parametrize(
    ("values", "relative"),
    [
        ((2.0, 2.1, 0.5, 10.0), 0.005),
        ((-1.0, -0.3, 0.5, 10.0), 0.01),
        ((1.0, 0.1, 0.5, 10.0), 0.05),
        ((2.0, 2.1, 0.5, 10.0, 20), 0.02),
        ((1.0, 0.99, 0.9, 1.0, 5), 0.01),
        ((0.4, 0.4, 0.0, 1.0, 3), 0.01),
    ],
)
def test_against_the_law(values, relative):
    holds(scaling.wrong_sign(*values), laws.wrong_sign(*values), relative)


def test_against_numpy():
    a = np.random.default_rng(0).uniform(0.5, 10.0, (2, 4, 500_000)).max(axis=1)
    by_hand(scaling.wrong_sign(1.0, 1.2, 0.5, 10.0, 4), a[0] > 1.2 * a[1], 1e6)
