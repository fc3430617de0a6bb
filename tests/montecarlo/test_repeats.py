"""Repeats: the counts that the laws name give the errors that they promise."""

import math

import numpy as np
import pytest
from scipy import special

from querytax.montecarlo import repeats
from querytax.montecarlo.runs import estimate
from querytax.theory import misstep
from querytax.theory import repeats as law
from tests.montecarlo.agreement import agrees, by_hand


def _error(needed, pairs, error):
    """The error of a whole number of pairs near the real one that the law names."""
    return special.ndtr(special.ndtri(error) * math.sqrt(pairs / needed))


@pytest.mark.parametrize(("snr", "error"), [(0.1, 0.1), (0.02, 0.01)])
def test_fixed(snr, error):
    needed = float(law.fixed(snr, error))
    found = repeats.fixed(snr, round(needed))
    agrees(found, _error(needed, round(needed), error), 1e5, 0.4)


def test_noise_shared_within_a_pair():
    needed = float(law.shared_within_pair(0.02, 0.8, 0.05))
    found = repeats.fixed(0.02, round(needed), correlation=0.8)
    agrees(found, _error(needed, round(needed), 0.05), 2e5, 0.15)


def test_noise_shared_across_repeats():
    """Half of the signal's noise never averages out."""
    error = 0.1
    share = 0.05 / float(law.fixed(1.0, error)) / 2
    needed = float(law.shared_across_repeats(0.05, share, error))
    pairs = round(needed)
    exact = misstep.fixed_direction(0.05 / (share + (1 - share) / pairs))
    assert exact == pytest.approx(error, rel=0.01)
    agrees(repeats.fixed(0.05, pairs, alignment=share), exact, 2e5, 0.1)


@pytest.mark.parametrize(
    ("snr", "error", "catches"),
    [(0.01, 0.01, 0.03), (0.1, 0.1, 0.03), (0.001, 0.1, 0.06)],
)
def test_walds_pairs(snr, error, catches):
    samples = 1e5 if snr > 0.001 else 3e4
    agrees(
        repeats.walds_pairs(snr, error), law.walds_pairs(snr, error), samples, catches
    )


@pytest.mark.parametrize(
    ("snr", "error", "catches"), [(0.01, 0.01, 0.5), (0.1, 0.1, 0.1), (0.05, 0.03, 0.2)]
)
def test_walds_error(snr, error, catches):
    agrees(repeats.walds_error(snr, error), law.walds_error(snr, error), 3e5, catches)


def test_no_test_is_faster_than_the_bound():
    """The bound of the error that the test really has lies below its mean count."""
    for snr, error in ((0.01, 0.05), (0.5, 0.05)):
        wrong = estimate(repeats.walds_error(snr, error), max_samples=1e5, threads=1)
        pairs = estimate(repeats.walds_pairs(snr, error), max_samples=1e5, threads=1)
        assert pairs.high > law.sequential(snr, wrong.high)


def test_by_hand():
    rng = np.random.default_rng(0)
    snr, error = 0.3, 0.05
    edge, odds = math.log((1 - error) / error), np.zeros(100_000)
    count, running = np.zeros(odds.size), np.ones(odds.size, dtype=bool)
    while running.any():
        y1 = 1.0 + math.sqrt(0.5 / snr) * rng.standard_normal(odds.size)
        y2 = math.sqrt(0.5 / snr) * rng.standard_normal(odds.size)
        odds += running * 2.0 * snr * (y1 - y2)
        count += running
        running &= np.abs(odds) < edge
    by_hand(repeats.walds_pairs(snr, error), count, 3e5)
    by_hand(repeats.walds_error(snr, error), odds < 0, 3e5)
