"""Functions under input noise, in full vectors, against the laws and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import smoothing
from querytax.theory import smoothing as laws

from .agreement import by_hand
from .sharpness import holds

POINTS = [
    ("mean_norm", (1,), 0.01),
    ("mean_norm", (7,), 0.005),
    ("mean_norm", (3072,), 0.002),
    ("smoothing_gap", (2.0, 0.1, 30), 0.003),
    ("probe_gap", (1.0, 0.01, 0.02, 3072), 0.01),
    ("probe_gap", (1.0, 0.5, 0.1, 1), 0.02),
    ("smooth_gap", (4.0, 1.0, 0.2, 300), 0.005),
    ("smooth_gap", (0.5, 1.0, 0.3, 3), 0.02),
    ("quadratic_gap", (2.0, 0.01, 3072), 0.003),
    ("quadratic_gap", (-1.0, 0.5, 3), 0.02),
]


@pytest.mark.parametrize(("name", "values", "relative"), POINTS)
def test_against_the_law(name, values, relative):
    law = getattr(laws, name)(*values)
    holds(getattr(smoothing, name)(*values), law, relative)


@pytest.mark.parametrize(
    ("slope", "curvature", "dimension", "sigma"),
    [(1.0, 2.0, 9, 0.3), (0.0, 2.0, 500, 0.01), (3.0, 0.0, 4, 0.2)],
)
def test_variances_against_the_law(slope, curvature, dimension, sigma):
    frobenius = curvature * np.sqrt(dimension)
    law = laws.quadratic_spread(slope, frobenius, sigma) ** 2
    found = smoothing.quadratic_variance(slope, curvature, sigma, dimension)
    holds(found, law, 0.05)


def test_the_gradient_moves_no_mean():
    found = smoothing.quadratic_gap(2.0, 0.1, 16, gradient_norm=1.0)
    holds(found, laws.quadratic_gap(2.0, 0.1, 16), 0.01)


def test_no_other_function_gains_more():
    """Huber's bound lies below the norm's and below the parabola's."""
    values = (1.0, 2.0, 0.2, 8)
    assert laws.smooth_gap(*values) < laws.smoothing_gap(1.0, 0.2, 8)
    assert laws.smooth_gap(*values) < laws.quadratic_gap(2.0, 0.2, 8)
    holds(smoothing.smooth_gap(*values), laws.smooth_gap(*values), 0.005)


def test_against_numpy():
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal((2, 200_000, 5))
    far = np.linalg.norm(0.3 * u + 0.2 * v, axis=1)
    near = 0.2 * np.linalg.norm(v, axis=1)
    by_hand(smoothing.probe_gap(1.5, 0.3, 0.2, 5), 1.5 * (far - near), 1e6)
    huber = np.where(near < 0.25, near**2, 0.5 * near - 0.0625)
    by_hand(smoothing.smooth_gap(0.5, 2.0, 0.2, 5), huber, 1e6)
    rise = v.sum(axis=1) * 0.2 / np.sqrt(5) + 1.5 * near**2
    squares = (rise - rise.mean()) ** 2
    by_hand(smoothing.quadratic_variance(1.0, 3.0, 0.2, 5), squares, 1e6)
