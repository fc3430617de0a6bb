"""Wrong signs against mpmath, simulated pairs and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import misstep

from .reference import assert_matches, grid

SNRS = grid(1e-300, 1e300, 60, span=40.0)
POINTS = [(s,) for s in SNRS]


def log_ncdf(z):
    """ln Φ(z), by the continued fraction's leading terms where Φ underflows mpmath."""
    return mp.log(mp.erfc(-z / mp.sqrt(2)) / 2)


def test_fixed_direction():
    assert_matches(
        misstep.fixed_direction,
        lambda s: mp.ncdf(-mp.sqrt(s)),
        [(s,) for s in SNRS if s < 1400],
    )
    assert_matches(
        misstep.log_fixed_direction,
        lambda s: log_ncdf(-mp.sqrt(s)),
        [(s,) for s in SNRS if s < 1e12],
    )
    # ln Φ(-x) = -x²/2 - ln(x√(2π)) - 1/x² + ...
    assert_matches(
        misstep.log_fixed_direction,
        lambda s: -s / 2 - mp.log(2 * mp.pi * s) / 2 - 1 / s,
        [(s,) for s in SNRS if s >= 1e12],
    )


def test_random_direction():
    def exact(s):
        return mp.atan(1 / mp.sqrt(s)) / mp.pi

    assert_matches(misstep.random_direction, exact, POINTS)
    assert_matches(misstep.log_random_direction, lambda s: mp.log(exact(s)), POINTS)


def test_known_numbers():
    got = misstep.random_direction([0.1, 1.0, 10.0, 1000.0])
    np.testing.assert_allclose(got, [0.40251, 0.25, 0.09749, 0.01006], atol=6e-6)
    # (μ, ν, G_x, G_h, M) of feature noise, by RFD's Theorem 1.
    rows = [
        (0.01, 0.01, 1.0, 1.0, 1, 0.304087),
        (0.01, 0.04, 1.3, 0.5, 1, 0.263387),
        (0.01, 0.04, 1.3, 0.5, 5, 0.144128),
        (1e-4, 0.04, 1.0, 1.0, 1, 0.488751),
        (0.04, 1e-4, 1.0, 1.0, 1, 0.022471),
    ]
    for mu, nu, slope, feature, repeats, expected in rows:
        snr = mu * slope**2 / (2 * nu * feature**2)
        got = misstep.after_repeats(snr, repeats)
        assert got == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("snr", "repeats"), [(0.2, 1), (0.2, 6), (3.0, 2)])
def test_against_simulated_pairs(snr, repeats):
    """1e6 directions: draw a difference and the mean of its noises, compare signs.

    The standard error is at most 5e-4; 2.5e-3 is five of them: false alarms 6e-7 each.
    """
    rng = np.random.default_rng(2)
    change = np.sqrt(snr) * rng.standard_normal(1_000_000)
    noise = sum(rng.standard_normal(1_000_000) for _ in range(repeats)) / repeats
    wrong = np.mean(np.sign(change + noise) != np.sign(change))
    assert wrong == pytest.approx(misstep.after_repeats(snr, repeats), abs=2.5e-3)
    wrong = np.mean(np.sqrt(snr) + noise < 0)
    predicted = misstep.after_repeats(snr, repeats, direction="fixed")
    assert wrong == pytest.approx(predicted, abs=2.5e-3)


@given(st.floats(0.0, 1e300), st.floats(0.0, 1e300))
def test_more_signal_errs_less(a, b):
    low, high = sorted((a, b))
    for law in (misstep.fixed_direction, misstep.random_direction):
        assert 0.5 >= law(low) >= law(high) >= 0
    # Random directions include flat ones: they err more wherever errors are rare.
    if low > 1:
        assert misstep.random_direction(low) > misstep.fixed_direction(low)


def test_no_signal_is_a_coin():
    assert misstep.fixed_direction(0.0) == misstep.random_direction(0.0) == 0.5


def test_domains():
    with pytest.raises(DomainError, match="expected direction to be one of 'random'"):
        misstep.after_repeats(1.0, 2, direction="best")
    with pytest.raises(DomainError, match="expected repeats a whole number >= 1"):
        misstep.after_repeats(1.0, 1.5)
