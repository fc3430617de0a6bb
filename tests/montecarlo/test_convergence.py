"""Walks of fixed steps: clipped in a box, projected onto a ball."""

import math

import numpy as np
import pytest

from querytax.montecarlo import convergence
from querytax.montecarlo.runs import estimate
from querytax.theory import convergence as law
from tests.montecarlo.agreement import ALPHA, agrees, by_hand

# Slopes of one size: every coordinate weighs the same.
EQUAL = math.sqrt(2.0 / math.pi)


@pytest.mark.parametrize(
    ("drift", "step", "burn", "samples", "catches"),
    [
        (0.057, 0.25, 250, 3e5, 0.08),
        (0.5, 0.5, 80, 3e5, 0.013),
        (0.5, 1.0, 60, 3e5, 0.025),
        # Walls that are no whole number of steps apart.
        (0.5, 0.8, 60, 3e5, 0.02),
        (0.5, 1.4, 60, 3e5, 0.03),
    ],
)
def test_plateau(drift, step, burn, samples, catches):
    """A walk that reflects would be 20 % lower at the first, 29 % at the second."""
    found = convergence.plateau(drift, step, burn=burn)
    agrees(found, law.plateau(drift, step), samples, catches)


@pytest.mark.parametrize(
    ("drift", "step", "burn"), [(0.02, 0.25, 250), (0.5, 0.5, 80), (0.5, 0.8, 60)]
)
def test_spread(drift, step, burn):
    found = convergence.spread(drift, step, burn)
    agrees(found, law.spread(drift, step), 3e5, 0.05)


@pytest.mark.parametrize(
    ("steps", "drift", "step"), [(4, 0.1, 0.25), (20, 0.5, 0.1), (22, 0.5, 0.1)]
)
def test_displacement(steps, drift, step):
    """On the free way and near the plateau, where the law is good to 2 parts in 10³."""
    found = convergence.displacement(drift, step, steps)
    agrees(found, law.displacement(drift, step, steps), 3e5, 0.12)


@pytest.mark.parametrize(
    ("steps", "drift", "step"), [(1, 0.9, 1.0), (3, 0.9, 1.0), (40, 0.5, 0.1)]
)
def test_displacement_in_the_ball(steps, drift, step):
    found = convergence.displacement(drift, step, steps, 200, "L2")
    agrees(found, law.displacement(drift, step, steps, "L2"), 2e3, 0.08)


@pytest.mark.parametrize(
    ("drift", "step", "dimension", "share", "samples", "limit"),
    [
        # Well below the plateau, at it, and above it.
        (0.1, 0.1, 784, 0.8, 2e3, 300),
        (0.1, 0.1, 784, 1.0, 6e3, 2500),
        (0.057, 0.25, 784, 1.0, 6e3, 600),
        (0.1, 0.25, 100, 1.3, 6e3, 1500),
    ],
)
def test_first_passage(drift, step, dimension, share, samples, limit):
    """The law is a diffusion, good to 5 % here; an error of 30 % is sure to be seen.

    The interval misses the simulated mean with a chance of 1e-6.
    """
    level = share * float(law.plateau(drift, step))
    told = float(law.first_passage(level, drift, step, dimension, gain=EQUAL))
    found = convergence.first_passage(level, drift, step, dimension, limit)
    got = estimate(found, rng=1, max_samples=samples, alpha=ALPHA, threads=1)
    assert got.low * 0.95 <= told <= got.high * 1.05, (told, got)
    assert got.high - got.low <= 0.25 * told, (told, got)


def test_arrived():
    """By the time at which the mean walk is there, most have been."""
    level = 0.1
    found = convergence.arrived(level, 0.1, 0.1, 784, 10)
    # After ten free steps the sum of coordinates is normal: looked at each step.
    agrees(found, _ever_above(level, 0.1, 0.1, 784, 10), 2e4, 0.2)


def _ever_above(level, drift, step, dimension, count):
    rng = np.random.default_rng(0)
    noise = step * math.sqrt((1 - drift**2) / dimension)
    way = np.cumsum(
        drift * step + noise * rng.standard_normal((400_000, count)), axis=1
    )
    # A mean over a lattice: half its spacing nearer.
    return (way.max(axis=1) >= level - step / dimension).mean()


def test_by_hand():
    rng = np.random.default_rng(0)
    x, passed = np.zeros((4000, 6)), np.full(4000, 40.0)
    ball = np.zeros((4000, 6))
    for t in range(40):
        up = rng.random(x.shape) < 0.6
        x = np.clip(x + np.where(up, 0.4, -0.4), -1.0, 1.0)
        if t == 4:
            by_hand(convergence.displacement(0.2, 0.4, 5), x.ravel(), 1e5)
            gap = 0.5 * (x[:, 0] - x[:, 1]) ** 2
            by_hand(convergence.spread(0.2, 0.4, 5), gap, 1e5)
        there = (x.mean(axis=1) >= 0.4 - 1e-12) & (passed == 40.0)
        passed[there] = t + 1
    by_hand(convergence.first_passage(0.4, 0.2, 0.4, 6, 40), passed, 2e4)
    by_hand(convergence.arrived(0.4, 0.2, 0.4, 6, 7), passed <= 7, 2e4)
    for _ in range(5):
        move = rng.standard_normal(ball.shape)
        move[:, 0] = 0.0
        move *= math.sqrt(1 - 0.2**2) / np.linalg.norm(move, axis=1, keepdims=True)
        move[:, 0] = 0.2
        ball += 0.4 * move
        ball /= np.maximum(np.linalg.norm(ball, axis=1, keepdims=True), 1.0)
    by_hand(convergence.displacement(0.2, 0.4, 5, 6, "L2"), ball[:, 0], 2e4)
