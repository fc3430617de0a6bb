"""Logarithms of ratios against their exact moments, and clipped ones by hand."""

import numpy as np
import pytest

from querytax.montecarlo import log_ratio
from querytax.theory import log_ratio as law
from tests.montecarlo.agreement import agrees, by_hand


@pytest.mark.parametrize(
    ("pair", "catches"),
    [((0.1, 0.05, 0.01), 0.01), ((0.02, 0.005, 0.01), 0.02), ((0.05, 0.0, 0.1), 0.12)],
)
def test_mean(pair, catches):
    agrees(log_ratio.mean(*pair), law.mean(*pair), 2e6, catches)


@pytest.mark.parametrize(
    "pair", [(0.1, 0.05, 0.01), (0.02, 0.005, 0.01), (0.0, 0.0, 1.0)]
)
def test_variance(pair):
    agrees(log_ratio.variance(*pair), law.variance(*pair), 2e6, 0.025)


def test_reflected_outputs_far_from_the_ceiling_are_magnitudes():
    pair = (0.02, 0.01, 0.02)
    agrees(log_ratio.mean(*pair, release="reflect"), law.mean(*pair), 1e6, 0.06)
    found = log_ratio.variance(*pair, release="reflect")
    agrees(found, law.variance(*pair), 1e6, 0.03)


@pytest.mark.parametrize(("form", "floor"), [("clip", 0.01), ("reflect", 0.0)])
def test_by_hand(form, floor):
    """Near both walls, where the laws of raw magnitudes are no longer true."""
    rng = np.random.default_rng(0)
    y = np.array([[0.9], [0.1]]) + 0.3 * rng.standard_normal((2, 500_000))
    y = np.clip(np.abs(y) if form == "reflect" else y, floor, 1.0)
    logs = np.log(y[0]) - np.log(y[1])
    by_hand(log_ratio.mean(0.9, 0.1, 0.3, floor, form), logs, 1e6)
    spreads = 0.5 * (logs[::2] - logs[1::2]) ** 2
    by_hand(log_ratio.variance(0.9, 0.1, 0.3, floor, form), spreads, 1e6)
