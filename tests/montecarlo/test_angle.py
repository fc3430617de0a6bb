"""Angles of gradient estimates, in full vectors, against the laws and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import angle
from querytax.theory import angle as laws

from .agreement import by_hand
from .sharpness import holds

# Probe, noise, dimension, directions, repeats.
POINTS = [
    ((1.0, 0.5, 1, 1, 1), 0.1),
    ((0.01, 0.01, 2, 3, 2), 0.02),
    ((0.01, 0.01, 50, 20, 1), 0.02),
    ((0.1, 1.0, 9, 40, 3), 0.03),
    ((1.0, 0.0, 300, 10, 1), 0.03),
]


@pytest.mark.parametrize("form", ["forward", "antithetic", "centred"])
@pytest.mark.parametrize(("values", "relative"), POINTS)
def test_cosines_against_the_laws(values, relative, form):
    probe, sigma, dimension, directions, repeats = values
    directions += form == "centred"
    values = (probe, sigma, dimension, directions, repeats, form)
    holds(angle.mean_cosine(*values), laws.mean_cosine(*values), relative)
    law = laws.rms_cosine(*values) ** 2
    holds(angle.mean_square_cosine(*values), law, 3 * relative)


@pytest.mark.parametrize("form", ["forward", "antithetic", "centred"])
@pytest.mark.parametrize(("directions", "sigma"), [(2, 0.3), (5, 2.0), (30, 3.0)])
def test_wrong_ways_against_the_law(directions, sigma, form):
    """The dimension plays no part."""
    law = laws.backwards(1.0, sigma, directions, 1, form)
    for dimension in (1, 6):
        found = angle.backwards(1.0, sigma, directions, dimension, 1, form)
        holds(found, law, 0.05, floor=0.2)


def test_against_numpy():
    """Five inputs, a gradient of no special direction, noise on all of them."""
    rng = np.random.default_rng(0)
    gradient = np.array([1.0, -2.0, 0.5, 0.0, 3.0])
    u = rng.standard_normal((40_000, 7, 5))
    v, w = 0.8 * rng.standard_normal((2, 40_000, 7, 2, 5)).mean(axis=3)
    forward = (u + v - w) @ gradient
    antithetic = (2 * u + v - w) @ gradient
    centred = (u + v) @ gradient
    centred -= centred.mean(axis=1, keepdims=True)
    for form, answers in (
        ("forward", forward),
        ("antithetic", antithetic),
        ("centred", centred),
    ):
        g = (answers[:, :, None] * u).sum(axis=1)
        cosine = g @ gradient / np.linalg.norm(g, axis=1) / np.linalg.norm(gradient)
        found = angle.mean_cosine(1.0, 0.8, 5, 7, 2, form)
        by_hand(found, cosine, 2e5)
