"""Aim of NES estimates and of sign steps: simulated, against the laws and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import drift
from querytax.montecarlo.runs import estimate
from querytax.theory import drift as laws
from querytax.theory import query_ratio

from .agreement import ALPHA, by_hand
from .sharpness import holds

# The last number is the error that is sure to be seen; 1e-6 are the false alarms.
AIMS = [
    ((3.0, 1, 1), 0.02),
    ((0.3, 1, 2), 0.05),
    ((1e300, 2, 1), 0.02),
    ((0.5, 3, 2, 0.6), 0.05),
    ((1.0, 10, 10), 0.02),
    ((0.1, 12, 30, 0.4), 0.05),
    ((1e300, 784, 1), 0.1),
    ((1.0, 784, 4), 0.06),
    ((1.0, 784, 10, 0.8), 0.04),
]


@pytest.mark.parametrize(("values", "relative"), AIMS)
def test_cosines_against_the_law(values, relative):
    holds(drift.cosine(*values), laws.cosine(*values), relative)


def test_few_pairs_tell_the_mean_from_the_root_mean_square():
    """One pair without noise on 784 inputs: the other form lies 25 % above."""
    found = estimate(drift.cosine(1e300, 784, 1), rng=1, max_samples=3e4, alpha=ALPHA)
    assert found.low <= laws.cosine(1e300, 784, 1) <= found.high
    assert found.high < 0.9 * laws.plain(1e300, 784, 1)


@pytest.mark.parametrize(
    ("snr", "dimension", "pairs", "samples"),
    [(0.1, 2, 1, 4e6), (0.1, 10, 10, 4e5), (0.5, 200, 5, 2e5)],
)
def test_steps_of_fixed_length_against_the_law(snr, dimension, pairs, samples):
    """Unit steps add up: mean cosine without noise over that with it, 12 % wide."""
    quiet, noisy = (
        estimate(
            drift.cosine(share, dimension, pairs),
            rng=1,
            max_samples=samples,
            alpha=ALPHA,
            threads=1,
        )
        for share in (1e300, snr)
    )
    law = query_ratio.fixed_length_step(snr, dimension, pairs)
    assert quiet.low / noisy.high <= law <= quiet.high / noisy.low
    assert quiet.high / noisy.low - quiet.low / noisy.high <= 0.12 * law


def entries(name):
    rng = np.random.default_rng(4)
    return {
        "one size": np.ones(40),
        "student 3": rng.standard_t(3, 201),
        "few": np.where(np.arange(60) % 5, 0.0, rng.standard_normal(60)),
    }[name]


@pytest.mark.parametrize("name", ["one size", "student 3", "few"])
@pytest.mark.parametrize(
    ("cosine", "relative"), [(0.1, 0.05), (0.5, 0.01), (0.9, 0.01)]
)
def test_sign_steps_against_the_law(name, cosine, relative):
    g = entries(name)
    law = laws.sign_of(g, cosine)
    holds(drift.sign_of(g, cosine), law, relative)


def test_against_numpy():
    """A slope of no special direction on five inputs; curvature as a second loss."""
    rng = np.random.default_rng(0)
    slope = np.array([1.0, -2.0, 0.5, 0.0, 3.0])
    size = np.linalg.norm(slope)
    u = rng.standard_normal((60_000, 3, 5))
    answers = 0.6 * u @ slope + 0.8 * size * rng.standard_normal((60_000, 3))
    answers += size / np.sqrt(0.7) * rng.standard_normal((60_000, 3))
    g = (answers[:, :, None] * u).mean(axis=1)
    aim = g @ slope / np.linalg.norm(g, axis=1) / size
    by_hand(drift.cosine(0.7, 5, 3, 0.6), aim, 4e5)
    noisy = slope + 1.3 * rng.standard_normal((200_000, 5))
    gained = np.sign(noisy) @ slope / np.abs(slope).sum()
    share = 1.0 / np.sqrt(1.0 + 5 * 1.3**2 / size**2)
    by_hand(drift.sign_of(slope, share), gained, 4e5)
