"""Means of noisy units: simulated, against the closed forms and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import bias
from querytax.theory import bias as laws

from .agreement import by_hand
from .sharpness import holds

# Each line: function, arguments, smallest relative error of the law that is caught.
POINTS = [
    ("relu_mean", (0.0, 1.0), 0.006),
    ("relu_mean", (0.04, 0.02), 0.003),
    ("relu_mean", (-2.0, 1.0), 0.1),
    ("leaky_relu_mean", (0.1, 0.5, 1.0), 0.01),
    ("leaky_relu_mean", (-1.0, 0.1, 2.0), 0.01),
    ("gelu_mean", (0.0, 1.0), 0.01),
    ("gelu_mean", (1.0, 0.3), 0.005),
    ("gelu_mean", (-1.0, 2.0), 0.01),
    ("two_class_margin", (1.0, 0.8), 0.005),
    ("two_class_margin", (0.5, 6.0), 0.05),
    ("three_class_margin", (1.0, 1.0, 1.0), 0.01),
    ("three_class_margin", (2.0, 0.3, 0.5), 0.01),
    ("reflected_mean", (3e-4, 0.01), 0.005),
    ("reflected_mean", (0.3, 0.2), 0.005),
    ("clipped_mean", (0.0, 0.1), 0.02),
    ("clipped_mean", (0.3, 1.0), 0.01),
]


@pytest.mark.parametrize(("name", "values", "relative"), POINTS)
def test_against_the_law(name, values, relative):
    holds(getattr(bias, name)(*values), getattr(laws, name)(*values), relative)


def test_against_numpy():
    rng = np.random.default_rng(0)
    x = 0.3 + 0.8 * rng.standard_normal(1_000_000)
    by_hand(bias.leaky_relu_mean(0.3, 0.2, 0.8), np.where(x > 0, x, 0.2 * x), 1e6)
    logits = np.array([0.7, 0.0]) + 0.6 * rng.standard_normal((1_000_000, 2))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    by_hand(bias.two_class_margin(0.7, 0.6 * np.sqrt(2)), p[:, 0] - p[:, 1], 1e6)
    logits = rng.standard_normal((1_000_000, 3)) - [0, 0.5, 0.9]
    margin = logits[:, 0] - logits[:, 1:].max(axis=1)
    by_hand(bias.three_class_margin(0.5, 0.9, np.sqrt(2)), margin, 1e6)
