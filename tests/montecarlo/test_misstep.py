"""Wrong signs, simulated in full vectors, against their laws and plain NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import misstep
from querytax.theory import misstep as law
from tests.montecarlo.agreement import agrees, by_hand, is_simd


@pytest.mark.parametrize(("snr", "catches"), [(0.01, 0.01), (1.0, 0.025), (9.0, 0.3)])
def test_fixed_direction(snr, catches):
    agrees(misstep.fixed_direction(snr), law.fixed_direction(snr), 2e6, catches)


@pytest.mark.parametrize(("snr", "catches"), [(1e-4, 0.01), (1.0, 0.02), (100.0, 0.06)])
def test_random_direction(snr, catches):
    agrees(misstep.random_direction(snr), law.random_direction(snr), 2e6, catches)


@pytest.mark.parametrize("direction", ["random", "fixed"])
@pytest.mark.parametrize(("repeats", "base"), [(1, 8), (5, 2)])
def test_unequal_repeats(direction, repeats, base):
    found = misstep.after_unequal_repeats(0.2, repeats, base, direction)
    agrees(found, law.after_unequal_repeats(0.2, repeats, base, direction), 4e5, 0.05)


def test_repeats():
    agrees(misstep.after_repeats(0.05, 9), law.after_repeats(0.05, 9), 4e5, 0.04)


@pytest.mark.parametrize(
    ("arguments", "sizes", "samples", "catches"),
    [
        ((1.0, 1.0, 0.1, 0.1), {"dimension": 1}, 1e6, 0.02),
        (
            (2.0, [1.0, 1.0], 0.5, [0.3, 0.4]),
            {"dimension": 9, "features": 5},
            3e5,
            0.05,
        ),
        ((1.0, [3.0], 0.02, [0.1]), {"dimension": 1000, "features": 1000}, 2e4, 0.1),
        ((1.0, [0.5, 1.0, 2.0], 1.0, [0.1, 0.01, 1e-3]), {"dimension": 6}, 3e5, 0.2),
    ],
)
def test_noisy_layers(arguments, sizes, samples, catches):
    """Small and large dimensions alike: no part of the law is asymptotic."""
    found = misstep.noisy_layers(*arguments, **sizes)
    agrees(found, law.noisy_layers(*arguments), samples, catches)


def test_noisy_layers_with_repeats():
    """Noise of two layers with M = 3 and M0 = 2: R is (1/M + 1/M0)/2 of that of one."""
    sigma, norm = np.array([0.3, 0.2]), np.array([1.0, 2.0])
    found = misstep.noisy_layers(
        1.0, norm, 0.4, sigma, dimension=7, repeats=3, base_repeats=2
    )
    shrunk = sigma * np.sqrt((1 / 3 + 1 / 2) / 2)
    agrees(found, law.noisy_layers(1.0, norm, 0.4, shrunk), 2e5, 0.06)


def test_a_hundred_thousand_dimensions_need_no_memory():
    found = misstep.noisy_layers(1.0, 1.0, 0.1, 0.1, dimension=100_000, features=4)
    total, _ = found.block(0, 4, 0.0, np.uint64(1), np.uint64(2))
    assert 0 <= total <= 4


@pytest.mark.parametrize("bend", [0.3, 1.0, -2.0])
def test_bent(bend):
    """The law has a normal change; in 400 dimensions it is bent²/200 wider and skew.

    Both shift the share by less than a twentieth of the interval.
    """
    d, step, slope, noise = 400, 0.1, 1.0, 0.1
    curvature = 2 * bend * slope / (step * d)
    variance = (step * slope) ** 2 + 0.5 * d * (curvature * step**2) ** 2
    found = misstep.bent(slope, curvature, step, noise, dimension=d)
    mean = 0.5 * curvature * step**2 * d
    truth = law.bent(variance / (2 * noise**2), mean / np.sqrt(variance))
    agrees(found, truth, 8e4, 0.13)


def test_over_changes():
    gaps = [0.0, 0.1, 0.3, 1.0, 4.0]
    agrees(misstep.over_changes(gaps, 0.5), law.over_changes(gaps, 0.5), 1e6, 0.03)


@pytest.mark.parametrize(("snr", "repeats", "base"), [(0.5, 1, 1), (0.01, 4, 1)])
def test_acceptance_correlation(snr, repeats, base):
    found = misstep.acceptance_correlation(snr, repeats, base)
    agrees(found, law.acceptance_correlation(snr, repeats, base), 1e6, 0.08)


@pytest.mark.parametrize("features", [1, 30])
def test_radius(features):
    for gap in (0.01, 0.15):
        found = misstep.radius(gap, 2.0, 1.0, 0.2, features=features)
        agrees(found, law.radius(gap, 2.0, 1.0, 0.2), 2e5, 0.12)


def test_the_loop_is_simd_code():
    key = np.uint64(1), np.uint64(2)
    assert is_simd(misstep._random_direction, np.empty(4), np.uint64(0), 1.0, *key)


def test_vectors_by_hand():
    rng, n, d = np.random.default_rng(0), 100_000, 6
    g = rng.standard_normal((n, d))
    g *= 1.5 / np.linalg.norm(g, axis=1, keepdims=True)
    w = rng.standard_normal((n, d))
    w *= 0.7 / np.linalg.norm(w, axis=1, keepdims=True)
    candidate = 0.2 * rng.standard_normal((n, d))
    at_base, at_candidate = 0.4 * rng.standard_normal((2, n, d))
    base = np.sum(w * at_base, axis=1)
    loss = np.sum(g * candidate, axis=1) + np.sum(w * at_candidate, axis=1)
    wrong = (np.sum(g * candidate, axis=1) < 0) != (loss < base)
    by_hand(misstep.noisy_layers(1.5, 0.7, 0.2, 0.4, d, d), wrong, 2e5)
