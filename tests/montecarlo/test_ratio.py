"""Ratios of noisy outputs against Hinkley's law, weak noise to none but noise."""

import numpy as np
import pytest

from querytax.montecarlo import ratio
from querytax.theory import ratio as law
from tests.montecarlo.agreement import agrees, by_hand

PAIRS = [(0.11, 0.1, 0.01), (0.3, 0.4, 0.2), (1e-3, 0.0, 0.5)]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(("quotient", "side"), [(1.0, "below"), (0.3, "above")])
def test_distribution(pair, quotient, side):
    found = ratio.distribution(quotient, *pair, side)
    agrees(found, law.distribution(quotient, *pair, side), 2e6, 0.02)


def test_the_negative_tail():
    pair = (0.01, 0.005, 0.1)
    agrees(ratio.distribution(-3.0, *pair), law.distribution(-3.0, *pair), 2e6, 0.03)


@pytest.mark.parametrize(
    ("pair", "catches"), [((0.3, 0.1, 0.2), 0.02), ((0.3, 0.4, 0.1), 0.4)]
)
def test_signs(pair, catches):
    agrees(ratio.same_sign(*pair), law.same_sign(*pair), 1e6, 0.02)
    agrees(ratio.opposite_signs(*pair), law.opposite_signs(*pair), 1e6, catches)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(("multiplier", "side"), [(0.5, "below"), (4.0, "above")])
def test_multiplier(pair, multiplier, side):
    """Half of the pairs have no factor in the last case, and are drawn again."""
    values = (multiplier, *pair[:2], 0.1, pair[2], side)
    found = ratio.multiplier_distribution(*values)
    truth = law.multiplier_distribution(*values)
    agrees(found, truth, 1e6, 0.03 if truth > 0.05 else 0.4)


def test_by_hand():
    rng = np.random.default_rng(0)
    one, two = np.array([[0.03], [0.02]]) + 0.05 * rng.standard_normal((2, 400_000))
    real = one * two > 0
    small = np.log(one[real] / two[real]) / 0.2 <= 1.0
    by_hand(ratio.multiplier_distribution(1.0, 0.03, 0.02, 0.2, 0.05), small, 1e6)
    by_hand(ratio.same_sign(0.03, 0.02, 0.05), real, 1e6)
