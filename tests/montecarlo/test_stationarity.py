"""Whole descents against the bounds on them, and against NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import stationarity
from querytax.montecarlo.runs import estimate
from querytax.theory import smoothing
from querytax.theory import stationarity as laws

from .agreement import by_hand
from .sharpness import holds


def test_a_linear_loss_keeps_its_gradient():
    """Projection stops the iterates and not the slope: 1, where eq. (12) has 0.194."""
    step = laws.step_size(1.0, 1.0, 0.3, 0.0, 2, 1001, "projected")
    found = stationarity.square_gradient(
        1.0, 0.3, step, 0.0, 2, 1001, iterates="projected", loss="linear"
    )
    holds(found, 1.0, 0.1)


def test_what_projection_does_bound():
    """The Moreau envelope's gradient, for a bound of .583, and NumPy's own descents.

    The sheet's .136 lies 4 % above this mean; one descent deviates by 12 %.
    """
    values = (1.0, 1.0, 0.3, 0.0, 2, 1001, "projected")
    step = laws.step_size(*values)
    rho = laws.smoothed_smoothness(1.0, 0.3, 0.0)
    experiment = stationarity.square_envelope(1.0, 2 * rho, 0.3, step, 0.0, 2, 1001)
    found = estimate(experiment, max_samples=1e4)
    assert found.high < laws.bound(*values)
    assert found.high - found.low < 0.003
    assert found.value == pytest.approx(0.136, rel=0.05)
    rng = np.random.default_rng(5)
    x, total = np.zeros((3000, 2)), 0.0
    for _ in range(1001):
        y = x - [0.5 / rho, 0.0]
        y /= np.maximum(np.linalg.norm(y, axis=1, keepdims=True), 1.0)
        total = total + np.sum((2 * rho * (x - y)) ** 2, axis=1) / 1001
        u = rng.standard_normal((3000, 2))
        x = x - step * u[:, :1] * u
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1.0)
    by_hand(experiment, total, 1e4)


@pytest.mark.parametrize(("dimension", "sigma"), [(1, 0.0), (1, 0.3), (3, 0.3)])
def test_free_descent_keeps_to_the_bound(dimension, sigma):
    count, start = 400, 2.0
    width = np.hypot(0.3, sigma)
    fall = start + width * smoothing.mean_norm(dimension)
    values = (fall, 1.0, 0.3, sigma, dimension, count)
    step = laws.step_size(*values)
    experiment = stationarity.square_gradient(
        1.0, 0.3, step, sigma, dimension, count, start
    )
    found = estimate(experiment, max_samples=4e3)
    bound = laws.bound(*values)
    assert 0.02 * bound < found.low
    assert found.high < bound


def test_against_numpy():
    """The norm in three dimensions, 30 projected steps; gradients by many probes."""
    rng = np.random.default_rng(0)
    x, total = np.tile([0.8, 0.0, 0.0], (20_000, 1)), 0.0

    def ask(x):
        u, v, w = rng.standard_normal((3, 20_000, 3))
        high = np.linalg.norm(x + 0.4 * u + 0.2 * v, axis=1)
        low = np.linalg.norm(x + 0.2 * w, axis=1)
        return 2.0 * ((high - low) / 0.4)[:, None] * u

    for _ in range(30):
        g = ask(x)
        total = total + (g * ask(x)).sum(axis=1) / 30
        x = x - 0.02 * g
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1.0)
    found = stationarity.square_gradient(
        2.0, 0.4, 0.02, 0.2, 3, 30, start_input=0.8, iterates="projected"
    )
    by_hand(found, total, 5e4)
