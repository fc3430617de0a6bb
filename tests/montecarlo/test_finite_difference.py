"""Slopes from noisy differences: simulated, against the laws and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import finite_difference
from querytax.theory import finite_difference as laws

from .agreement import by_hand
from .sharpness import holds

OUTPUTS = (0.6, 0.3, 0.5, 0.4)


@pytest.mark.parametrize(
    ("third", "probe", "sigma", "repeats"), [(6.0, 0.1, 1e-3, 1), (-6.0, 0.05, 1e-3, 4)]
)
def test_both_sides_against_the_laws(third, probe, sigma, repeats):
    bias, sd = laws.central_bias(third, probe), laws.central_sd(probe, sigma)
    found = finite_difference.central_mean_square(third, probe, sigma, repeats)
    holds(found, bias**2 + sd**2 / repeats, 0.02)


@pytest.mark.parametrize("repeats", [1, 9])
def test_the_best_probes_against_the_laws(repeats):
    probe = laws.best_probe(6.0, 1e-3, repeats)
    found = finite_difference.central_mean_square(6.0, probe, 1e-3, repeats)
    holds(found, laws.best_rms_error(6.0, 1e-3, repeats) ** 2, 0.02)
    probe = laws.best_forward_probe(2.0, 1e-3, repeats)
    bias, sd = laws.forward_bias(2.0, probe), laws.forward_sd(probe, 1e-3)
    found = finite_difference.forward_mean_square(2.0, probe, 1e-3, repeats)
    holds(found, bias**2 + sd**2 / repeats, 0.02)


@pytest.mark.parametrize(
    ("output", "sigma", "relative"),
    [(0.5, 0.1, 0.05), (0.5, 1.0, 0.2), (0.01, 0.1, 0.002), (0.2, 0.15, 0.05)],
)
def test_log_biases_against_the_law(output, sigma, relative):
    law = laws.log_bias(output, sigma)
    holds(finite_difference.log_bias(output, sigma), law, relative, floor=0.03)


@pytest.mark.parametrize(
    ("outputs", "sigma", "relative"),
    [((0.6, 0.2, 0.5, 0.4), 0.1, 0.1), ((0.9, 0.05, 0.5, 0.4), 0.1, 0.02)],
)
def test_log_ratios_against_the_laws(outputs, sigma, relative):
    values = (*outputs, 0.1, sigma)
    found = finite_difference.log_ratio_bias(*values)
    holds(found, laws.log_ratio_bias(*values), relative)
    found = finite_difference.log_ratio_variance(*values)
    holds(found, laws.log_ratio_sd(*values) ** 2, 0.05)


def test_against_numpy():
    rng = np.random.default_rng(0)
    p, q, r, s = np.abs(
        np.array(OUTPUTS)[:, None] + 0.2 * rng.standard_normal((4, 1_000_000))
    )
    slope = (np.log(p / q) - np.log(r / s)) / 0.02
    true = (np.log(0.6 / 0.3) - np.log(0.5 / 0.4)) / 0.02
    found = finite_difference.log_ratio_bias(*OUTPUTS, 0.01, 0.2)
    by_hand(found, slope - true, 1e6)
    found = finite_difference.log_ratio_variance(*OUTPUTS, 0.01, 0.2)
    by_hand(found, (slope - slope.mean()) ** 2, 1e6)
    by_hand(finite_difference.log_bias(0.6, 0.2), np.log(p / 0.6), 1e6)
    noise = 0.1 * rng.standard_normal((2, 3, 500_000)).mean(axis=1)
    slope = (0.2**3 + noise[0] + 0.2**3 - noise[1]) / 0.4
    found = finite_difference.central_mean_square(6.0, 0.2, 0.1, 3)
    by_hand(found, slope**2, 1e6)
