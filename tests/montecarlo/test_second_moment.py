"""Squared lengths of gradient estimates, in full vectors, against laws and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import second_moment
from querytax.montecarlo.runs import estimate
from querytax.theory import second_moment as laws

from .agreement import by_hand
from .sharpness import holds

# Eigenvalues of both signs, of one size, and a single large one.
MIXED = [2.0, -1.0, 0.5, 0.0, 1.0]
ROUND = [0.3] * 40
LONE = [5.0, *[0.0] * 9]


@pytest.mark.parametrize("form", ["forward", "antithetic"])
@pytest.mark.parametrize(
    ("values", "relative"),
    [((1.0, 0.01, 0.01, 100), 0.05), ((2.0, 0.2, 0.0, 3), 0.1), ((1, 1, 3, 8, 4), 0.1)],
)
def test_linear_losses_against_the_law(values, relative, form):
    law = laws.linear(*values, differences=form)
    holds(second_moment.linear(*values, differences=form), law, relative)


@pytest.mark.parametrize("form", ["forward", "antithetic"])
@pytest.mark.parametrize(
    ("curvature", "probe", "sigma", "repeats"),
    [
        (MIXED, 0.5, 0.5, 1),
        (MIXED, 0.2, 1.0, 3),
        (ROUND, 0.5, 0.2, 2),
        (LONE, 0.1, 0.1, 1),
    ],
)
def test_quadratic_losses_against_the_law(curvature, probe, sigma, repeats, form):
    trace, frobenius = np.sum(curvature), np.linalg.norm(curvature)
    rest = (len(curvature), repeats, form)
    law = laws.quadratic(1.0, trace, frobenius, probe, sigma, *rest)
    found = second_moment.quadratic(1.0, curvature, probe, sigma, repeats, form)
    holds(found, law, 0.1)


def test_averaging_removes_all_of_the_noise():
    """With many repeats the moment is that without noise."""
    law = laws.quadratic(1.0, 2.5, np.linalg.norm(MIXED), 0.5, 0.0, 5)
    found = second_moment.quadratic(1.0, MIXED, 0.5, 0.5, repeats=300)
    holds(found, law + laws.noise(1.0, np.linalg.norm(MIXED), 0.5, 0.5, 5, 300), 0.2)


@pytest.mark.parametrize("form", ["forward", "antithetic"])
def test_the_norm_keeps_to_the_bound(form):
    for dimension, sigma in ((2, 0.0), (8, 0.5), (100, 1.0)):
        found = estimate(
            second_moment.norm(1.0, sigma, dimension, differences=form), max_samples=2e5
        )
        bound = laws.lipschitz_bound(1.0, 1.0, sigma, dimension, differences=form)
        assert found.low <= bound
        # Reflected probes at the tip cancel but for the noise.
        if form == "forward" and sigma == 0.0:
            assert found.high >= bound
    # The sheet's value, far below the bound of 10400.
    found = estimate(second_moment.norm(1.0, 1.0, 100), max_samples=4e5)
    assert found.low < 1924 < found.high
    assert found.high - found.low < 100


def test_against_numpy():
    rng = np.random.default_rng(0)
    u = rng.standard_normal((200_000, 5))
    v, w = 0.5 * rng.standard_normal((2, 200_000, 2, 5))

    def loss(x):
        return x.sum(axis=-1) / np.sqrt(5) + 0.5 * (x * x) @ np.array(MIXED)

    base = 0.3 * u[:, None]
    ahead, behind = loss(base + v), loss(w)
    a = (ahead - behind).mean(axis=1) / 0.3
    by_hand(
        second_moment.quadratic(1.0, MIXED, 0.3, 0.5, 2), a**2 * (u**2).sum(axis=1), 5e5
    )
    a = (ahead - loss(w - base)).mean(axis=1) / 0.6
    by_hand(
        second_moment.quadratic(1.0, MIXED, 0.3, 0.5, 2, "antithetic"),
        a**2 * (u**2).sum(axis=1),
        5e5,
    )
