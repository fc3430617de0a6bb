"""Noise of random scale: simulated, against the laws and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import mixture
from querytax.theory import mixture as laws

from .agreement import by_hand
from .sharpness import holds

FORMS = ("arcsine", "uniform", "bell", "constant")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("gap", "relative"), [(0.05, 0.005), (0.5, 0.01), (2.0, 0.1)])
def test_scales_of_a_beta_law(form, gap, relative):
    law = laws.beta_wrong_sign(gap, 1.0, form)
    holds(mixture.beta_wrong_sign(gap, 1.0, form), law, relative)


@pytest.mark.parametrize(
    ("gap", "sigma", "weight"),
    [
        (0.1, [0.1, 1.0], [1, 1]),
        (0.5, [0.1, 1.0, 3.0], [5, 2, 3]),
        (0.2, [0.3], [1.0]),
    ],
)
def test_scales_of_a_list(gap, sigma, weight):
    law = laws.wrong_sign(gap, sigma, weight)
    holds(mixture.wrong_sign(gap, sigma, weight), law, 0.01)


def test_against_numpy():
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((2, 500_000))
    noise = (rng.beta(0.5, 0.5, normal.shape) * normal).sum(axis=0)
    by_hand(mixture.beta_wrong_sign(0.3, 1.0, "arcsine"), noise > 0.3, 1e6)
    noise = (rng.choice([0.2, 2.0], normal.shape, p=[0.75, 0.25]) * normal).sum(axis=0)
    by_hand(mixture.wrong_sign(0.3, [0.2, 2.0], [3, 1]), noise > 0.3, 1e6)
