"""Rounded answers: simulated, against the laws, exact convolutions and NumPy."""

import numpy as np
import pytest
from scipy import special

from querytax.montecarlo import quantization
from querytax.theory import quantization as laws

from .agreement import by_hand
from .sharpness import holds


@pytest.mark.parametrize(
    ("gap", "relative"), [(0.001, 0.01), (0.0039, 0.01), (0.02, 0.01)]
)
def test_visibility_against_the_law(gap, relative):
    experiment = quantization.visibility(gap, 0.004)
    holds(experiment, laws.visibility(gap, 0.004), relative)


@pytest.mark.parametrize(
    ("output", "sigma", "relative"),
    [(0.25, 0.1, 0.5), (0.25, 0.3, 0.02), (3.4, 0.3, 0.001), (0.6, 2.0, 0.02)],
)
def test_dithered_means_against_the_law(output, sigma, relative):
    law = laws.dither_mean(output, sigma, 1.0)
    holds(quantization.dither_mean(output, sigma, 1.0), law, relative, floor=0.02)


@pytest.mark.parametrize("output", [0.2, 0.5, 7.9])
def test_uniform_dither_s_error_against_the_law(output):
    law = laws.uniform_dither_variance(output, 2.0)
    holds(quantization.uniform_dither_variance(output, 2.0), law, 0.01)


@pytest.mark.parametrize("gap", [0.01, 0.6, 1.4, 2.5])
def test_uniform_dither_s_pairs_against_the_law(gap):
    law = laws.uniform_dither_wrong_sign(3 * gap, 3.0)
    holds(quantization.uniform_dither_wrong_sign(3 * gap, 3.0), law, 0.01, floor=0.1)


def exact(output, gap, sigma, queries):
    """Convolved laws of both means on whole steps."""
    edges = np.arange(-60, 61) - 0.5

    def law(x):
        return np.diff(special.ndtr((edges - x) / sigma))

    one = np.convolve(law(output + gap), law(output)[::-1])
    total = one
    for _ in range(queries - 1):
        total = np.convolve(total, one)
    middle = total.size // 2
    return total[:middle].sum() + 0.5 * total[middle]


@pytest.mark.parametrize(
    ("output", "gap", "sigma", "queries", "relative"),
    [
        (0.2, 0.1, 0.25, 1, 0.005),
        (0.0, 0.3, 0.15, 4, 0.005),
        (0.45, 0.1, 0.5, 16, 0.01),
        (0.3, 0.05, 2.0, 64, 0.02),
    ],
)
def test_sign_errors_against_convolutions(output, gap, sigma, queries, relative):
    experiment = quantization.sign_error(output, gap, sigma, 1.0, queries)
    law = exact(output, gap, sigma, queries)
    holds(experiment, law, relative)
    # No reading of these answers beats their information.
    share = laws.dither_efficiency(output + gap / 2, sigma, 1.0)
    best = special.ndtr(-gap / sigma * np.sqrt(share * queries / 2))
    assert law > 0.98 * best
    if sigma == 2.0:
        # Noise has undone the rounding.
        assert law == pytest.approx(best, rel=5e-3)


def test_against_numpy():
    rng = np.random.default_rng(0)
    a, b = 0.4 * rng.standard_normal((2, 500_000, 3))
    gap = (np.round(0.3 + a) - np.round(0.2 + b)).sum(axis=1)
    wrong = (gap < 0) + 0.5 * (gap == 0)
    by_hand(quantization.sign_error(0.4, 0.2, 0.8, 2.0, 3), wrong, 1e6)
    by_hand(quantization.dither_mean(0.6, 0.8, 2.0), 2 * np.round(0.3 + a), 1e6)
    u = rng.random(1_000_000) - 0.5
    error = np.square(2 * np.round(0.3 + u) - 0.6)
    by_hand(quantization.uniform_dither_variance(0.6, 2.0), error, 1e6)
