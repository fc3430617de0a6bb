"""Estimators of the sign and of ln(F1/F2) against what is said of them."""

import numpy as np
import pytest

from querytax.montecarlo import estimators
from querytax.theory import estimators as law
from tests.montecarlo.agreement import agrees, by_hand


@pytest.mark.parametrize(
    ("arguments", "samples", "catches"),
    [
        ((0.01, 0.1, 200), 5e4, 0.15),
        ((0.1, 0.1, 2, -0.5), 1e6, 0.03),
        ((0.02, 0.1, 7, 0.9), 3e5, 0.08),
    ],
)
def test_outputs_first(arguments, samples, catches):
    truth = law.outputs_first(*arguments)
    agrees(estimators.outputs_first(*arguments), truth, samples, catches)


def test_log_first():
    """Many pairs in strong noise: the regime of the central limit."""
    arguments = (0.03, 0.02, 0.02, 100)
    agrees(estimators.log_first(*arguments), law.log_first(*arguments), 2e5, 0.55)


def test_log_first_costs_pairs():
    """Twice the error of outputs first, from the same answers of equal number."""
    log_first = law.log_first(0.006, 0.004, 0.02, 800)
    agrees(estimators.log_first(0.006, 0.004, 0.02, 800), log_first, 2e4, 0.13)


@pytest.mark.parametrize("relative_sigma", [0.05, 0.2])
def test_the_most_likely_estimate_reaches_the_bound(relative_sigma):
    """With 400 ratios its variance is the bound's but for parts in a few hundred."""
    found = estimators.likelihood_variance(relative_sigma, 400)
    agrees(found, law.variance_bound(1.0, relative_sigma, 400), 6e4, 0.07)


def test_the_ratio_of_means_reaches_the_bound_of_pairs():
    """300 pairs at σ/F = 0.1: the bound's variance but for a few parts in 10⁵."""
    found = estimators.variance_of_pairs(0.3, 0.1, 0.01, 300)
    truth = law.variance_bound_of_pairs(0.3, 0.1, 1.0, 0.01, 300)
    agrees(found, truth, 6e4, 0.07)


@pytest.mark.parametrize(("relative_sigma", "catches"), [(0.2, 0.05), (2.0, 0.03)])
def test_log_bias(relative_sigma, catches):
    found = estimators.log_bias(relative_sigma)
    agrees(found, law.log_bias(relative_sigma), 4e6, catches)


def test_by_hand():
    """Few pairs: no law is used here, and the estimate is searched for."""
    rng = np.random.default_rng(0)
    one, two = np.array([0.04, 0.02])[:, None, None] + 0.04 * rng.standard_normal(
        (2, 100_000, 5)
    )
    wrong = np.mean(np.log(np.abs(one)) - np.log(np.abs(two)), axis=1) <= 0
    by_hand(estimators.log_first(0.04, 0.02, 0.04, 5), wrong, 5e5)
    wrong = one.mean(axis=1) <= two.mean(axis=1)
    by_hand(estimators.outputs_first(0.02, 0.04, 5), wrong, 5e5)
    s, a = 0.3, np.linspace(-1.5, 1.5, 3001)
    best = []
    for _ in range(2000):
        r = 1.0 + s * rng.standard_normal(3)
        log_likelihood = -3 * a - np.square(r[:, None] * np.exp(-a) - 1).sum(0) / (
            2 * s * s
        )
        best.append(a[np.argmax(log_likelihood)])
    best = np.array(best)
    spread = 0.5 * (best[::2] - best[1::2]) ** 2
    by_hand(estimators.likelihood_variance(s, 3), spread, 1e5)
