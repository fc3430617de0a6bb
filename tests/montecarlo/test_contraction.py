"""Distances under multiplicative noise: exponents, mean squares, arrivals."""

import math

import numpy as np
import pytest

from querytax.montecarlo import contraction
from querytax.montecarlo.runs import estimate
from querytax.theory import contraction as law
from tests.montecarlo.agreement import ALPHA, agrees, by_hand


@pytest.mark.parametrize(
    ("snr", "m", "catches"), [(0.1, 0.2, 0.03), (1e-4, 0.2, 0.01), (5.0, 1.5, 0.03)]
)
def test_lyapunov(snr, m, catches):
    agrees(contraction.lyapunov(snr, m), law.lyapunov(snr, m), 1e6, catches)


def test_lyapunov_over_many_steps():
    found = contraction.lyapunov(0.05, 0.2, steps=50)
    agrees(found, law.lyapunov(0.05, 0.2), 1e5, 0.02)


@pytest.mark.parametrize("snr", [1e-8, 0.02])
def test_the_best_step_for_almost_all_attacks(snr):
    m = float(law.almost_sure_step(snr))
    agrees(contraction.lyapunov(snr, m), law.best_lyapunov(snr), 1e6, 0.07)


def test_a_minibatch_is_so_much_snr():
    """B pairs a step have the S of one pair B times over: of the sum, not the mean."""
    agrees(contraction.lyapunov(0.02, 0.2, batch=5), law.lyapunov(0.1, 0.2), 5e5, 0.04)
    found = contraction.mean_square(0.02, 0.2, batch=4)
    agrees(found, law.mean_square(0.08, 0.2), 5e5, 0.03)


@pytest.mark.parametrize(("snr", "m"), [(0.01, 0.2), (3.0, 0.5)])
def test_variance_and_mean_square(snr, m):
    found = contraction.lyapunov_variance(snr, m)
    agrees(found, law.lyapunov_variance(snr, m), 1e6, 0.06)
    agrees(contraction.mean_square(snr, m), law.mean_square(snr, m), 1e6, 0.03)


@pytest.mark.parametrize(
    ("snr", "error"), [(1e-4, 0.05), (0.3, 0.1), (2.0, 0.01), (1e-6, 0.4)]
)
def test_tuned_steps(snr, error):
    """Within 4 % and a step of the count that the law names, its share is crossed.

    The intervals are narrower than the error itself, which in most cases halves in a
    fifth of the steps: a count that is a third too low or too high is seen.
    """
    m, nats = float(law.almost_sure_step(snr)), 15.0
    steps = float(law.tuned_steps(snr, math.exp(-nats), error))
    soon, late = (
        estimate(
            contraction.not_arrived(snr, m, n, math.exp(-nats)),
            max_samples=1e5,
            alpha=ALPHA,
            threads=1,
        )
        for n in (math.floor(0.96 * steps - 1), math.ceil(1.04 * steps + 1))
    )
    assert late.low <= error <= soon.high
    assert max(soon.high - soon.low, late.high - late.low) < error


def test_arriving_ever_is_easier_than_being_there():
    m = float(law.almost_sure_step(0.01))
    shares = [
        estimate(
            contraction.not_arrived(0.01, m, 40, math.exp(-5.0), when=when),
            max_samples=1e5,
            threads=1,
        )
        for when in ("ever", "end")
    ]
    assert shares[0].high < shares[1].low


def test_by_hand():
    rng = np.random.default_rng(0)
    snr, m, batch, steps = 0.2, 0.3, 3, 12
    a = m * (1 + rng.standard_normal((100_000, steps, batch)) / np.sqrt(snr)).mean(2)
    way = np.cumsum(np.log(np.abs(1 - a)), axis=1)
    found = contraction.lyapunov(snr, m, steps, batch)
    by_hand(found, way[:, -1] / steps, 2e5)
    late = contraction.not_arrived(snr, m, steps, math.exp(-4.0), batch)
    by_hand(late, way[:, -1] > -4.0, 2e5)
    ever = contraction.not_arrived(snr, m, steps, math.exp(-4.0), batch, "ever")
    by_hand(ever, way.min(axis=1) > -4.0, 2e5)
