"""Errors under noise of constant size, in one dimension and in full vectors."""

import numpy as np
import pytest

from querytax.montecarlo import additive
from querytax.montecarlo.runs import estimate
from querytax.theory import additive as law
from tests.montecarlo.agreement import agrees, by_hand


@pytest.mark.parametrize(
    ("snr", "steps", "samples", "catches"),
    [(1.0, 1, 1e6, 0.03), (1.0, 99, 5e4, 0.08), (1e-3, 400, 2e4, 0.12)],
)
def test_best_steps(snr, steps, samples, catches):
    truth = law.remaining(snr, steps) ** 2
    agrees(additive.remaining(snr, steps), truth, samples, catches)


@pytest.mark.parametrize(
    ("snr", "m", "steps"), [(1.0, 0.2, 30), (0.01, 0.02, 60), (4.0, 1.7, 25)]
)
def test_constant_steps(snr, m, steps):
    found = additive.constant_step_remaining(snr, m, steps)
    agrees(found, law.constant_step_remaining(snr, m, steps) ** 2, 1e5, 0.07)


def test_a_constant_step_stalls():
    found = additive.constant_step_remaining(1.0, 0.3, 60)
    agrees(found, law.constant_step_floor(1.0, 0.3) ** 2, 1e5, 0.06)


@pytest.mark.parametrize("remaining", [0.7, 0.3])
def test_the_named_number_of_steps_is_the_least(remaining):
    steps = int(np.ceil(law.steps(0.2, remaining)))
    ends = [
        estimate(additive.remaining(0.2, n), max_samples=2e6, threads=1)
        for n in (steps, steps - 1)
    ]
    assert ends[0].low <= remaining**2 < ends[1].high


@pytest.mark.parametrize(
    ("snr", "dimension", "pairs", "steps", "samples", "catches"),
    [
        (2.0, 3, 2, 10, 5e4, 0.07),
        (2.0, 20, 5, 63, 3e3, 0.2),
        (50.0, 60, 1, 30, 3e3, 0.1),
        (0.1, 1, 4, 20, 4e4, 0.1),
    ],
)
def test_nes(snr, dimension, pairs, steps, samples, catches):
    truth = law.nes_remaining(snr, dimension, pairs, steps) ** 2
    found = additive.nes_remaining(snr, dimension, pairs, steps)
    agrees(found, truth, samples, catches)


def test_by_hand():
    rng = np.random.default_rng(0)
    e = np.ones(300_000)
    for _ in range(7):
        e -= 0.4 * (e + rng.standard_normal(e.size) / np.sqrt(0.5))
    by_hand(additive.constant_step_remaining(0.5, 0.4, 7), e**2, 5e5)
    # One NES step of two pairs in three dimensions, its size from the draws.
    n, start = 300_000, np.array([1.0, 0.0, 0.0])
    u = rng.standard_normal((n, 2, 3))
    reading = u @ start + rng.standard_normal((n, 2))
    g = (u * reading[..., None]).mean(axis=1)
    gain = g[:, 0].mean() / np.square(g).sum(axis=1).mean()
    left = np.square(start - gain * g).sum(axis=1)
    by_hand(additive.nes_remaining(1.0, 3, 2, 1), left, 5e5)


def test_constant_steps_in_one_dimension_average_their_pairs():
    """With d = 1 the noise is u ξ of variance 1, and u² has a variance of 2 more."""
    rng, e = np.random.default_rng(1), np.ones(300_000)
    for _ in range(4):
        u, noise = rng.standard_normal((2, e.size, 2))
        e = e - 0.3 * np.mean(u * (u * e[:, None] + noise / np.sqrt(0.5)), axis=1)
    by_hand(additive.nes_constant_step_remaining(0.5, 0.3, 1, 2, 4), e**2, 5e5)


def test_planned_steps_beat_constant_ones():
    planned, constant = (
        estimate(experiment, max_samples=2e4, threads=1)
        for experiment in (
            additive.nes_remaining(2.0, 5, 2, 40),
            additive.nes_constant_step_remaining(2.0, 0.1, 5, 2, 40),
        )
    )
    assert planned.high < constant.low
