"""First passages: walks that are looked at each step, and continuous paths."""

import math

import numpy as np
import pytest

from querytax.montecarlo import _blocks, passage
from querytax.theory import passage as law
from tests.montecarlo.agreement import agrees, by_hand, is_simd


@pytest.mark.parametrize(
    ("snr", "steps", "catches"),
    [(0.01, 100.0, 0.04), (1.0, 20.0, 0.01), (0.1, 30.0, 0.03)],
)
def test_walk_mean(snr, steps, catches):
    agrees(passage.walk_mean(snr, steps), law.walk_mean(snr, steps), 1e5, catches)


@pytest.mark.parametrize(("snr", "catches"), [(1.0, 0.01), (0.1, 0.03), (0.003, 0.1)])
def test_first_gain(snr, catches):
    agrees(passage.first_gain(snr), law.first_gain(snr), 5e5, catches)


@pytest.mark.parametrize("snr", [0.05, 1.0])
def test_overshoot(snr):
    """Eight memory lengths away the level is distant to 3 parts in 10⁴."""
    agrees(passage.overshoot(snr, 8.0), law.overshoot(snr), 1e5, 0.04)


@pytest.mark.parametrize("steps", [1, 2, 25, 100])
def test_no_gain(steps):
    agrees(passage.no_gain(steps), law.no_gain(steps), 3e5, 0.1)


def path(distance, drift):
    """SNR of a step, and steps without noise; as good as without drift at 1e-9."""
    drift = max(drift, 1e-9)
    return drift**2, distance / drift


@pytest.mark.parametrize(
    ("steps", "distance", "drift"),
    [(100.0, 10.0, 0.1), (4.0, 3.0, 0.0), (30.0, 2.0, 0.3)],
)
@pytest.mark.parametrize("looks", [1, 7])
def test_arrived(steps, distance, drift, looks):
    """Bridges make any number of looks exact."""
    found = passage.arrived(*path(distance, drift), steps, looks)
    agrees(found, law.arrived(*path(distance, drift), steps), 3e5, 0.07)


def test_a_walk_goes_as_a_path_with_a_longer_way():
    found = passage.walk_arrived(*path(10.0, 0.1), 100)
    truth = law.arrived(*path(10.0 + law.overshoot(0.0), 0.1), 100.0)
    agrees(found, truth, 1e5, 0.05)


@pytest.mark.parametrize(
    ("origin", "target", "samples", "catches"),
    [(-10.0, 0.0, 2e4, 0.04), (0.0, 1.0, 2e4, 0.14), (-1.0, 2.0, 6e3, 0.2)],
)
def test_ou_mean(origin, target, samples, catches):
    """The interval of 0.02 errs by less than a tenth of what is seen here."""
    found = passage.ou_mean(origin, target, 0.02)
    agrees(found, law.ou_mean(origin, target), samples, catches)


def test_the_loops_are_simd_code():
    out, key = np.empty((2, 4)), (np.uint64(1), np.uint64(2))
    walk = out[0], out[1], np.uint64(0), -1.0, 1.0, 0.1, 1.0, 9.0
    assert is_simd(_blocks.walk, *walk, *key)
    path = out[0], np.uint64(0), 0.0, 1.0, 1.0, 0.1, 1.0, 9.0
    assert is_simd(passage._path, *path, *key)


def test_by_hand():
    rng = np.random.default_rng(0)
    n, steps = 20_000, 400
    way = np.cumsum(0.3 + rng.standard_normal((n, steps)), axis=1)
    there = way > 5.0
    assert there[:, -1].all()
    time = there.argmax(axis=1)
    by_hand(passage.walk_mean(0.09, 5.0 / 0.3), time + 1.0, 2e5)
    by_hand(passage.overshoot(0.09, 5.0), way[np.arange(n), time] - 5.0, 2e5)
    by_hand(passage.walk_arrived(0.09, 5.0 / 0.3, 13), there[:, :13].any(axis=1), 2e5)
    by_hand(passage.walk_arrived(0.09, 5.0 / 0.3, 12), there[:, :12].any(axis=1), 2e5)
    # A held path in small steps, whose barrier is nearer by 0.5826 of one.
    x, running, count = np.full(4000, -1.0), np.ones(4000, dtype=bool), np.zeros(4000)
    dt = 0.004
    while running.any():
        noise = math.sqrt(2 * dt) * rng.standard_normal(x.size)
        x, count = x - dt * x + noise, count + running
        running &= x < 0.5 - 0.5826 * math.sqrt(2 * dt)
    by_hand(passage.ou_mean(-1.0, 0.5), count * dt, 2e4)
