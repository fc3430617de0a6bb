"""Whole descents against the bounds on them, and against NumPy."""

import numpy as np
import pytest

from querytax.expect import DomainError
from querytax.montecarlo import stationarity
from querytax.montecarlo.runs import estimate
from querytax.theory import smoothing
from querytax.theory import stationarity as laws

from .agreement import any_split, by_hand
from .sharpness import holds


def test_a_linear_loss_keeps_its_gradient():
    """Projection stops the iterates and not the slope: 1, where eq. (12) has 0.194."""
    step = laws.best_step(1.0, 1.0, 2, 0.3, 0.0, 1001, "projected")
    found = stationarity.square_gradient(
        1.0, 2, 0.3, 0.0, step, 1001, "projected", loss="linear"
    )
    holds(found, 1.0, 0.1)


def test_what_projection_does_bound():
    """The Moreau envelope's gradient, for a bound of .583, and NumPy's own descents.

    The sheet's .136 lies 4 % above this mean; one descent deviates by 12 %.
    """
    values = (1.0, 2, 0.3, 0.0)
    step = laws.best_step(1.0, *values, 1001, "projected")
    rho = laws.smoothed_smoothness(1.0, 0.3, 0.0)
    experiment = stationarity.square_envelope(*values, step, 1001, 2 * rho)
    found = estimate(experiment, max_samples=1e4)
    assert found.high < laws.bound(1.0, *values, 1001, "projected")
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
    values, count, start = (1.0, dimension, 0.3, sigma), 400, 2.0
    width = np.hypot(0.3, sigma)
    fall = start + width * smoothing.mean_norm(dimension)
    step = laws.best_step(fall, *values, count)
    experiment = stationarity.square_gradient(*values, step, count, start=start)
    found = estimate(experiment, max_samples=4e3)
    bound = laws.bound(fall, *values, count)
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
        2.0, 3, 0.4, 0.2, 0.02, 30, "projected", start=0.8
    )
    by_hand(found, total, 5e4)


def test_nothing_depends_on_the_portions():
    any_split(stationarity.square_gradient(1.0, 3, 0.3, 0.1, 0.05, 5, start=1.0))
    any_split(stationarity.square_envelope(1.0, 2, 0.3, 0.1, 0.05, 5, 2.0))


@pytest.mark.parametrize(
    ("values", "named", "says"),
    [
        ((0, 1, 1, 1, 1, 1), {}, "expected lipschitz > 0"),
        ((1, 0, 1, 1, 1, 1), {}, "expected dimension a whole"),
        ((1, 1, 0, 1, 1, 1), {}, "expected probe > 0"),
        ((1, 1, 1, -1, 1, 1), {}, "expected sigma >= 0"),
        ((1, 1, 1, 1, 0, 1), {}, "expected step > 0"),
        ((1, 1, 1, 1, 1, 0), {}, "expected steps a whole"),
        ((1, 1, 1, 1, 1, 1, "fre"), {}, "expected form to be one of"),
        ((1, 1, 1, 1, 1, 1), {"loss": "x"}, "expected loss to be one of"),
        ((1, 1, 1, 1, 1, 1, "projected"), {"start": 2}, "expected start at most"),
    ],
)
def test_bad_input_is_named(values, named, says):
    with pytest.raises(DomainError, match=says):
        stationarity.square_gradient(*values, **named)
    with pytest.raises(DomainError, match="expected stiffness > 0"):
        stationarity.square_envelope(1, 1, 1, 1, 1, 1, 0)
