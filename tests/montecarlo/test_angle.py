"""Angles of gradient estimates, in full vectors, against the laws and NumPy."""

import numpy as np
import pytest

from querytax.expect import DomainError
from querytax.montecarlo import angle
from querytax.theory import angle as laws

from .agreement import any_split, by_hand
from .sharpness import holds

POINTS = [
    ((1, 1, 1.0, 0.5), 0.1),
    ((2, 3, 0.01, 0.01, 2), 0.02),
    ((50, 20, 0.01, 0.01), 0.02),
    ((9, 40, 0.1, 1.0, 3), 0.03),
    ((300, 10, 1.0, 0.0), 0.03),
]


@pytest.mark.parametrize("form", ["forward", "antithetic", "centred"])
@pytest.mark.parametrize(("values", "relative"), POINTS)
def test_cosines_against_the_laws(values, relative, form):
    dimension, directions, *rest = values
    if form == "centred":
        directions += 1
    repeats = rest[2] if len(rest) > 2 else 1
    values = (dimension, directions, *rest[:2], repeats, form)
    holds(angle.mean_cosine(*values), laws.mean_cosine(*values), relative)
    law = laws.rms_cosine(*values) ** 2
    holds(angle.mean_square_cosine(*values), law, 3 * relative)


@pytest.mark.parametrize("form", ["forward", "antithetic", "centred"])
@pytest.mark.parametrize(("directions", "sigma"), [(2, 0.3), (5, 2.0), (30, 3.0)])
def test_wrong_ways_against_the_law(directions, sigma, form):
    """The dimension plays no part."""
    law = laws.backwards(directions, 1.0, sigma, 1, form)
    for dimension in (1, 6):
        found = angle.backwards(directions, 1.0, sigma, form=form, dimension=dimension)
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
        found = angle.mean_cosine(5, 7, 1.0, 0.8, 2, form)
        by_hand(found, cosine, 2e5)


def test_nothing_depends_on_the_portions():
    any_split(angle.mean_cosine(7, 3, 0.1, 0.2, 2, "centred"))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: angle.mean_cosine(0, 1, 1, 1), "expected dimension a whole number"),
        (lambda: angle.mean_cosine(1, 1, 1, 1, 1, "centred"), "expected directions"),
        (lambda: angle.mean_square_cosine(1, 1, 0, 1), "expected probe > 0"),
        (lambda: angle.backwards(1, 1, -1), "expected sigma >= 0"),
        (lambda: angle.backwards(1, 1, 1, 0), "expected repeats a whole number"),
        (lambda: angle.backwards(1, 1, 1, 1, "cached"), "expected form to be one of"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(DomainError, match=says):
        call()
