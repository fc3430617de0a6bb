"""Noisy labels at a boundary: simulated, against the closed forms and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import boundary
from querytax.montecarlo.runs import estimate
from querytax.theory import boundary as laws

from .agreement import ALPHA, by_hand
from .sharpness import holds

POINTS = [
    ("flip", (1.0, 1.0), 0.01),
    ("flip", (-0.1, 1.0), 0.005),
    ("flip", (3.0, 1.0), 0.2),
    ("band_flip", (1.47, 1.0), 0.005),
    ("band_flip", (30.0, 1.0), 0.05),
    ("hopskipjump_gain", (1.0, 3.0), 0.02),
    ("hopskipjump_gain", (1.0, 0.5, 1.0), 0.01),
    ("hopskipjump_gain", (0.1, 0.1, -0.3), 0.1),
    *(
        ("scaled_noise_flip", (m, 1.0, form), relative)
        for form in ("arcsine", "uniform", "bell", "constant")
        for m, relative in ((0.1, 0.005), (1.5, 0.1))
    ),
]


@pytest.mark.parametrize(("name", "values", "relative"), POINTS)
def test_against_the_law(name, values, relative):
    law = getattr(laws, name)(*values)
    holds(getattr(boundary, name)(*values), law, relative)


def test_against_numpy():
    """Scales from NumPy's beta, and full probes on eight inputs."""
    rng = np.random.default_rng(0)
    for form, a in (("arcsine", 0.5), ("uniform", 1.0), ("bell", 2.0)):
        moved = rng.beta(a, a, 1_000_000) * rng.standard_normal(1_000_000)
        by_hand(boundary.scaled_noise_flip(0.3, 1.0, form), moved > 0.3, 1e6)
    gradient = np.full(8, 8**-0.5)
    u, v = rng.standard_normal((2, 400_000, 8))
    label = np.sign(0.4 + (1.0 * u + 2.0 * v) @ gradient)
    by_hand(boundary.hopskipjump_gain(1.0, 2.0, 0.4), label * (u @ gradient), 1e6)
    margins = 2.0 * rng.random(1_000_000)
    by_hand(
        boundary.band_flip(2.0, 0.7),
        margins < 0.7 * rng.standard_normal(1_000_000),
        1e6,
    )


@pytest.mark.parametrize("margin", [0.0, 1.5])
def test_as_many_more_labels_aim_as_well(margin):
    """500 labels without noise, and the law's number with noise as large.

    Each interval misses its mean by chance once in a million. The cosine goes as the
    root of the labels: an error of 4 % in their number would show.
    """
    labels = round(500 * laws.hopskipjump_cost(1.0, 1.0, margin))
    found = [
        estimate(
            boundary.hopskipjump_cosine(margin, 1.0, sigma, 500, count),
            rng=1,
            max_samples=8e4,
            alpha=ALPHA,
            threads=1,
        )
        for sigma, count in ((0.0, 500), (1.0, labels))
    ]
    quiet, noisy = found
    assert noisy.low <= quiet.high
    assert quiet.low <= noisy.high
    assert max(f.high - f.low for f in found) <= 0.008 * quiet.value


def test_centred_labels_against_numpy():
    """Full probes on five inputs, off the boundary, the mean label subtracted."""
    rng = np.random.default_rng(1)
    gradient = np.array([0.0, 0.6, 0.0, -0.8, 0.0])
    u, v = rng.standard_normal((2, 100_000, 7, 5))
    labels = np.sign(0.9 + (1.0 * u + 0.5 * v) @ gradient)
    middle = labels.mean(axis=1, keepdims=True)
    middle[np.abs(middle) == 1.0] = 0.0
    g = ((labels - middle)[:, :, None] * u).sum(axis=1)
    cosine = g @ gradient / np.linalg.norm(g, axis=1)
    by_hand(boundary.hopskipjump_cosine(0.9, 1.0, 0.5, 5, 7), cosine, 4e5)
