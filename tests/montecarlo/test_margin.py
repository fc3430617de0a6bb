"""Noisy margins, tied rivals and balls: simulated, against the laws and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import margin
from querytax.theory import margin as laws

from .agreement import by_hand
from .sharpness import holds

MARGINS, SLOPES = [0.1, 0.3, -0.1, 0.0], [1.0, 2.0, 0.5, 1.0]


@pytest.mark.parametrize("sigma", [0.1, 1.0])
@pytest.mark.parametrize("features", [1, 6])
def test_images_against_the_laws(sigma, features):
    for name, relative in (("accuracy", 0.01), ("accuracy_loss", 0.2)):
        law = getattr(laws, name)(MARGINS, SLOPES, sigma)
        found = getattr(margin, name)(MARGINS, SLOPES, sigma, features=features)
        holds(found, law, relative, floor=0.05)
    law = laws.flip_share(MARGINS[:3], SLOPES[:3], sigma)
    holds(margin.flip_share(MARGINS[:3], SLOPES[:3], sigma), law, 0.02)


@pytest.mark.parametrize(
    ("values", "relative"),
    [((2.0, 1.0, 9), 0.02), ((0.0, 1.0, 1), 0.01), ((0.4, 0.1, 100), 0.05)],
)
def test_rivals_against_the_law(values, relative):
    holds(margin.tied_rivals(*values), laws.tied_rivals(*values), relative)


@pytest.mark.parametrize(
    ("values", "relative"),
    [
        ((0.005, 10.0, 0.01, 3072), 0.03),
        ((0.03, 1.0, 0.02, 64), 0.03),
        ((0.03, 0.5, 0.02, 5), 0.02),
    ],
)
def test_balls_against_the_law(values, relative):
    holds(margin.ball_flip(*values), laws.ball_flip(*values), relative)


def test_against_numpy():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((400_000, 6))
    x = np.array([0.95, 0, 0, 0, 0, 0]) + 0.1 * noise
    outside = np.linalg.norm(x, axis=1) > 1
    by_hand(margin.ball_flip(0.05, 1.0, 0.1, 6), outside, 1e6)
    by_hand(
        margin.tied_rivals(0.7, 1.0, 5),
        0.7 + noise[:, 0] < noise[:, 1:].max(axis=1),
        1e6,
    )
