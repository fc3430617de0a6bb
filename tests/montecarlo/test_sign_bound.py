"""Flipped signs of known functions, against the bounds that must hold for all."""

import numpy as np
import pytest

from querytax.montecarlo import sign_bound
from querytax.montecarlo.runs import estimate
from querytax.theory import sign_bound as laws
from querytax.theory import smoothing

from .agreement import by_hand
from .sharpness import holds


@pytest.mark.parametrize(
    ("difference", "lipschitz", "sigma", "repeats"),
    [(1.6, 1.0, 1.0, 1), (0.3, 3.0, 0.5, 4), (2.0, 1.0, 0.7, 1)],
)
def test_linear_losses_attain_the_bound(difference, lipschitz, sigma, repeats):
    law = laws.isoperimetric(difference, lipschitz, sigma, repeats)
    holds(sign_bound.linear(difference, lipschitz, sigma, repeats), law, 0.03)


@pytest.mark.parametrize(("t", "least"), [(1.0, 0.85), (2.0, 0.99)])
@pytest.mark.parametrize("dimension", [200, 3072])
def test_cusps_flip_nearly_always(t, least, dimension):
    """Below the threshold of the bounds; the sheet has .8525 and .996."""
    kappa = smoothing.mean_norm(dimension)
    h = 2.0 * (kappa - t)
    apart = h + 2.0 * t + 1.0
    found = estimate(
        sign_bound.cusp(h, apart, 1.0, dimension), max_samples=1e5, width=0.03
    )
    assert found.low > least - 0.03
    assert found.high > 1.0 - 3.0 * np.exp(-0.5 * t * t)
    assert found.low <= min(laws.markov(h, 1.0, 1.0, dimension), 1.0)
    assert laws.concentration(h, 1.0, 1.0, dimension) == 1.0
    if dimension == 3072:
        assert found.low < {1.0: 0.8525, 2.0: 0.996}[t] + 5e-4
        assert found.high > {1.0: 0.8525, 2.0: 0.996}[t] - 5e-4


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("height", [0.5, 2.0, 6.0, 9.0])
def test_bounds_hold(height, repeats):
    """In eight dimensions, on both sides of the threshold of 5.5."""
    bounds = [
        laws.markov(height, 1.0, 1.0, 8),
        laws.concentration(height, 1.0, 1.0, 8, repeats),
    ]
    for experiment in (
        sign_bound.cusp(height, 20.0, 1.0, 8, repeats),
        sign_bound.norm(0.0, height, 1.0, 8, repeats),
        sign_bound.norm(3.0, 3.0 + height, 1.0, 8, repeats),
    ):
        assert estimate(experiment, max_samples=1e5).low <= min(bounds)


def test_against_numpy():
    rng = np.random.default_rng(0)
    axis = np.eye(5)[0]
    a, b = 0.5 * rng.standard_normal((2, 200_000, 2, 5))

    def cusps(y):
        down = -1.0 + np.linalg.norm(y - 3.0 * axis, axis=-1)
        middle = np.clip(y[..., 0] - 1.5, -1e-3, 1e-3) - 0.5
        return np.maximum(np.minimum(middle, down), -np.linalg.norm(y, axis=-1))

    flips = (cusps(a + 3.0 * axis) - cusps(b)).mean(axis=1) > 0
    by_hand(sign_bound.cusp(1.0, 3.0, 0.5, 5, 2), flips, 5e5)
    far, near = (np.linalg.norm(x, axis=-1) for x in (a + axis, b + 0.3 * axis))
    by_hand(sign_bound.norm(0.3, 1.0, 0.5, 5, 2), (far - near).sum(axis=1) < 0, 5e5)
