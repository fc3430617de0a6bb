"""Gradient estimates of a small network: NumPy, the linear limit, and curvature."""

import numpy as np
import pytest

from querytax.montecarlo import angle, second_moment
from querytax.montecarlo._network import gradient, weights
from querytax.montecarlo.runs import estimate
from querytax.theory import angle as angles
from querytax.theory import second_moment as moments

from .agreement import ALPHA, by_hand
from .sharpness import holds

FORMS = ["forward", "antithetic", "cached"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("dimension", "hidden", "scale"), [(5, 3, 2.0), (2, 6, 0.5)])
def test_against_numpy(dimension, hidden, scale, form):
    """Four directions; whole vectors, other random numbers."""
    first, inner, margin = weights(dimension, hidden, scale, 3)
    rng = np.random.default_rng(0)
    probe, sigma, size = 0.4, 0.3, (30_000, 4, dimension)
    u = rng.standard_normal(size)
    v, w = sigma * rng.standard_normal((2, *size))
    if form == "cached":
        w = w[:, :1]

    def loss(shift):
        return np.tanh(inner + shift @ first.T) @ margin

    if form == "antithetic":
        answers = (loss(probe * u + v) - loss(w - probe * u)) / (2 * probe)
    else:
        answers = (loss(probe * u + v) - loss(w)) / probe
    g = (answers[:, :, None] * u).mean(axis=1)
    slope = gradient(first, inner, margin)
    length = np.linalg.norm(slope)
    rest = (probe, sigma, dimension, hidden, 4, scale, 3, form)
    square = (g**2).sum(axis=1)
    by_hand(second_moment.network(*rest), square / length**2, 1e5)
    cosine = g @ slope / length / np.sqrt(square)
    by_hand(angle.network(*rest), cosine, 1e5)


def test_the_gradient_is_that_of_differences():
    first, inner, margin = weights(7, 5, 1.5, 0)
    found = gradient(first, inner, margin)
    for j in range(7):
        ahead, behind = (
            np.tanh(inner + shift * first[:, j]) @ margin for shift in (1e-5, -1e-5)
        )
        assert found[j] == pytest.approx((ahead - behind) / 2e-5, rel=1e-8)


def _moment(dimension, directions, probe, sigma, form):
    """Of a mean of independent estimates, whose own mean is the gradient."""
    one = moments.linear(1.0, probe, sigma, dimension, differences=form)
    return (one + directions - 1.0) / directions


@pytest.mark.parametrize(("dimension", "directions"), [(6, 3), (41, 5)])
@pytest.mark.parametrize("form", FORMS)
def test_a_network_of_small_weights_is_linear(dimension, directions, form):
    """Errors of 5 % of the moment and 3 % of the cosine would show."""
    rest = (0.1, 0.1, dimension, 4, directions, 1e-4, 0, form)
    # One base for all adds as much noise to the square as one for each.
    law = _moment(
        dimension, directions, 0.1, 0.1, "forward" if form == "cached" else form
    )
    holds(second_moment.network(*rest), law, 0.05)
    if form != "cached":
        law = angles.mean_cosine(0.1, 0.1, dimension, directions, 1, form)
        holds(angle.network(*rest), law, 0.03)


@pytest.mark.parametrize("form", ["forward", "antithetic"])
def test_curvature_shows_at_a_larger_scale(form):
    """Saturated units and wide probes: the linear laws lie outside the intervals."""
    rest = (1.0, 0.5, 6, 4, 3, 3.0, 0, form)
    law = _moment(6, 3, 1.0, 0.5, form)
    found = estimate(second_moment.network(*rest), max_samples=1e5, alpha=ALPHA)
    assert found.excludes(law)
    law = angles.mean_cosine(1.0, 0.5, 6, 3, 1, form)
    found = estimate(angle.network(*rest), max_samples=1e5, alpha=ALPHA)
    assert found.excludes(law)


def test_a_thousand_inputs():
    """One base for all turns the estimate no more than one for each."""
    rest = (0.01, 0.01, 1000, 32, 10, 1e-3)
    found = estimate(angle.network(*rest), max_samples=600, alpha=ALPHA)
    law = float(angles.mean_cosine(0.01, 0.01, 1000, 10))
    assert found.low < law < found.high
    assert found.value == pytest.approx(law, abs=0.01)


def test_another_network_is_another_loss():
    one, two = (weights(5, 3, 1.0, network)[0] for network in (0, 1))
    assert not np.isclose(one, two).any()
    assert np.array_equal(weights(5, 3, 2.0, 0)[0], 2.0 * one)
