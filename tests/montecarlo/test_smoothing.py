"""Functions under input noise, in full vectors, against the laws and NumPy."""

import numpy as np
import pytest

from querytax.expect import DomainError
from querytax.montecarlo import smoothing
from querytax.theory import smoothing as laws

from .agreement import any_split, by_hand
from .sharpness import holds

POINTS = [
    ("mean_norm", (1,), 0.01),
    ("mean_norm", (7,), 0.005),
    ("mean_norm", (3072,), 0.002),
    ("smoothing_gap", (2.0, 30, 0.1), 0.003),
    ("probe_gap", (1.0, 3072, 0.01, 0.02), 0.01),
    ("probe_gap", (1.0, 1, 0.5, 0.1), 0.02),
    ("smooth_gap", (4.0, 1.0, 300, 0.2), 0.005),
    ("smooth_gap", (0.5, 1.0, 3, 0.3), 0.02),
    ("quadratic_gap", (2.0, 3072, 0.01), 0.003),
    ("quadratic_gap", (-1.0, 3, 0.5), 0.02),
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
    found = smoothing.quadratic_variance(slope, curvature, dimension, sigma)
    holds(found, law, 0.05)


def test_the_gradient_moves_no_mean():
    found = smoothing.quadratic_gap(2.0, 16, 0.1, gradient_norm=1.0)
    holds(found, laws.quadratic_gap(2.0, 16, 0.1), 0.01)


def test_no_other_function_gains_more():
    """Huber's bound lies below the norm's and below the parabola's."""
    values = (1.0, 2.0, 8, 0.2)
    assert laws.smooth_gap(*values) < laws.smoothing_gap(1.0, 8, 0.2)
    assert laws.smooth_gap(*values) < laws.quadratic_gap(2.0, 8, 0.2)
    holds(smoothing.smooth_gap(*values), laws.smooth_gap(*values), 0.005)


def test_against_numpy():
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal((2, 200_000, 5))
    far = np.linalg.norm(0.3 * u + 0.2 * v, axis=1)
    near = 0.2 * np.linalg.norm(v, axis=1)
    by_hand(smoothing.probe_gap(1.5, 5, 0.3, 0.2), 1.5 * (far - near), 1e6)
    huber = np.where(near < 0.25, near**2, 0.5 * near - 0.0625)
    by_hand(smoothing.smooth_gap(0.5, 2.0, 5, 0.2), huber, 1e6)
    rise = v.sum(axis=1) * 0.2 / np.sqrt(5) + 1.5 * near**2
    squares = (rise - rise.mean()) ** 2
    by_hand(smoothing.quadratic_variance(1.0, 3.0, 5, 0.2), squares, 1e6)


def test_nothing_depends_on_the_portions():
    any_split(smoothing.quadratic_variance(1.0, 2.0, 9, 0.3))
    any_split(smoothing.smooth_gap(1.0, 2.0, 9, 0.3))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: smoothing.mean_norm(0), "expected dimension a whole number"),
        (lambda: smoothing.smoothing_gap(-1, 1, 1), "expected lipschitz >= 0"),
        (lambda: smoothing.probe_gap(1, 1, 0, 1), "expected probe > 0"),
        (lambda: smoothing.smooth_gap(1, 0, 1, 1), "expected smoothness > 0"),
        (lambda: smoothing.quadratic_gap(np.inf, 1, 1), "expected curvature finite"),
        (lambda: smoothing.quadratic_variance(1, 1, 1, 0), "expected sigma > 0"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(DomainError, match=says):
        call()
