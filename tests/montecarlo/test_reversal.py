"""Margins led backwards: simulated, against the laws and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import reversal
from querytax.theory import reversal as laws

from .agreement import by_hand
from .sharpness import holds

POINTS = [
    *(
        ("wrong_sign", (gap, 4.0, reverse))
        for gap in (0.1, 3.0, 4.5, 9.5)
        for reverse in (0.5, 1.0, 4.5)
    ),
    *(("sine_wrong_sign", (gap, 6.0, 0.7)) for gap in (0.01, 2.0, 4.9, 9.0)),
    ("sine_wrong_sign", (0.1, 1.0, 0.17)),
]


@pytest.mark.parametrize(("name", "values"), POINTS)
def test_against_the_law(name, values):
    law = getattr(laws, name)(*values)
    holds(getattr(reversal, name)(*values), law, 0.01, floor=0.1)


def test_against_numpy():
    m = 4.0 * np.random.default_rng(0).random(500_000)
    seen = [(np.ceil(x / 4.0) - 0.5) * 8.0 - x for x in (m, m + 1.5)]
    by_hand(reversal.wrong_sign(1.5, 4.0, 1.0), seen[1] < seen[0], 1e6)
