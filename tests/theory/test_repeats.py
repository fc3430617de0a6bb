"""Counts of repeated pairs against mpmath, simulated tests and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import misstep, repeats

from .reference import assert_matches, grid

SNRS = grid(1e-300, 1e300, 16, span=10.0)
ERRORS = np.concatenate([grid(1e-300, 0.499, 20), 0.5 - np.geomspace(1e-15, 0.2, 9)])
POINTS = [(s, e) for s in SNRS for e in ERRORS]


def quantile(error):
    """Φ⁻¹ by Newton's steps on ln Φ."""
    start = mp.mpf(-1) if error > 1e-3 else -mp.sqrt(-2 * mp.log(error))
    return mp.findroot(lambda z: mp.log(mp.ncdf(z)) - mp.log(error), start, tol=1e-60)


def divergence(error):
    return (1 - 2 * error) * mp.log((1 - error) / error)


def test_fixed():
    assert_matches(
        lambda e: repeats.fixed(1.0, e),
        lambda e: quantile(e) ** 2,
        [(e,) for e in ERRORS],
    )
    assert_matches(
        lambda s: repeats.fixed(s, 0.01),
        lambda s: quantile(mp.mpf(0.01)) ** 2 / s,
        [(s,) for s in SNRS],
    )


def test_random_direction():
    assert_matches(
        repeats.random_direction, lambda s, e: 1 / (s * mp.tan(mp.pi * e) ** 2), POINTS
    )


def test_sequential():
    assert_matches(repeats.sequential, lambda s, e: divergence(e) / (2 * s), POINTS)
    assert_matches(
        repeats.sequential_saving,
        lambda e: 2 * quantile(e) ** 2 / divergence(e),
        [(e,) for e in ERRORS],
    )


def test_saving_runs_from_a_half_pi_to_four():
    saving = repeats.sequential_saving(np.array([0.5 - 1e-9, 0.01, 1e-300]))
    np.testing.assert_allclose(saving, [np.pi / 2, 2.40, 4.0], rtol=2e-2)
    assert np.all(np.diff(repeats.sequential_saving(np.geomspace(1e-300, 0.49))) < 0)


def test_known_numbers():
    assert repeats.fixed(0.01, 0.01) == pytest.approx(541.2, abs=0.05)
    assert repeats.sequential(0.01, 0.01) == pytest.approx(225.2, abs=0.05)
    assert repeats.fixed(1e-8 / 2e-4, 0.1) == pytest.approx(32847, abs=1)


def test_a_sequential_test_stays_just_above_its_bound():
    """Wald's test, 4,000 runs at S = 0.01: mean 227.7 in an earlier run.

    The standard error of the mean is 1.3 %; the band is -3 % to +8 %.
    """
    rng = np.random.default_rng(11)
    drift, barrier = 2 * 0.01, np.log(0.99 / 0.01)
    total, count, wrong = np.zeros(4000), np.zeros(4000), 0
    running = np.arange(4000)
    while running.size:
        total[running] += drift + np.sqrt(2 * drift) * rng.standard_normal(running.size)
        count[running] += 1
        running = running[np.abs(total[running]) < barrier]
    wrong = np.mean(total < 0)
    assert wrong <= 0.01 + 4 * np.sqrt(0.01 / 4000)
    bound = repeats.sequential(0.01, 0.01)
    assert 0.97 * bound <= count.mean() <= 1.08 * bound


@given(st.floats(1e-100, 1e100), st.floats(1e-100, 0.4999))
def test_repeating_that_often_gives_that_error(snr, error):
    """Both counts invert the misstep laws."""
    count = repeats.fixed(snr, error)
    assert misstep.log_fixed_direction(count * snr) == pytest.approx(
        np.log(error), rel=1e-10
    )
    count = repeats.random_direction(snr, error)
    assert misstep.random_direction(count * snr) == pytest.approx(error, rel=1e-10)


@given(st.floats(1e-300, 1e300), st.floats(1e-300, 0.4999))
def test_stopping_early_never_costs(snr, error):
    assert repeats.sequential(snr, error) <= repeats.fixed(snr, error) * (1 + 1e-12)


def test_domains():
    for law in (repeats.fixed, repeats.random_direction, repeats.sequential):
        assert law(0.0, 0.1) == np.inf
        with pytest.raises(DomainError, match=r"expected error in \(0, 0.5\), got 0.5"):
            law(1.0, 0.5)


def test_shared_noise():
    points = [
        (s, e, c) for s in SNRS[:8] for e in (1e-9, 0.01, 0.4) for c in (-0.5, 0.9)
    ]
    assert_matches(
        repeats.shared_within_pair,
        lambda s, e, c: (1 - c) * quantile(e) ** 2 / s,
        points,
    )
    points = [(s, e, c) for s in (0.5, 3.0) for e in (0.01, 0.4) for c in (0.0, 0.05)]
    assert_matches(
        repeats.shared_across_repeats,
        lambda s, e, c: (1 - c) * quantile(e) ** 2 / (s - c * quantile(e) ** 2),
        points,
    )
    assert repeats.shared_across_repeats(0.01, 0.01, 1.0) == np.inf
    assert repeats.shared_across_repeats(9.0, 0.01, 1.0) == 1.0
    # The noise of so many averages, of variance (1 + (N-1)c)/N, errs as asked.
    count = repeats.shared_across_repeats(0.5, 0.01, 0.05)
    kept = (1 + (count - 1) * 0.05) / count
    assert misstep.fixed_direction(0.5 / kept) == pytest.approx(0.01, rel=1e-12)


def test_stopping_log_odds():
    assert_matches(
        repeats.stopping_log_odds, lambda e: mp.log((1 - e) / e), [(e,) for e in ERRORS]
    )


def wald(snr, error):
    """Error and mean pairs of Wald's test by its integral equation, 600 nodes."""
    barrier, drift = np.log((1 - error) / error), 2 * snr
    x, w = np.polynomial.legendre.leggauss(600)
    x, w, spread = barrier * x, barrier * w, np.sqrt(2 * drift)

    def kernel(start):
        z = (x - start - drift) / spread
        return w * np.exp(-0.5 * z * z) / (spread * np.sqrt(2 * np.pi))

    from scipy.special import ndtr

    left = np.eye(x.size) - np.array([kernel(start) for start in x])
    ends = np.column_stack([ndtr((-barrier - x - drift) / spread), np.ones(x.size)])
    below, mean = kernel(0.0) @ np.linalg.solve(left, ends)
    return ndtr((-barrier - drift) / spread) + below, 1 + mean


@pytest.mark.parametrize("snr", [0.003, 0.01, 0.1])
@pytest.mark.parametrize("error", [1e-4, 0.01, 0.1])
def test_walds_test(snr, error):
    wrong, pairs = wald(snr, error)
    assert repeats.walds_error(snr, error) == pytest.approx(wrong, rel=0.1 * snr)
    assert repeats.walds_pairs(snr, error) == pytest.approx(pairs, abs=0.05 * snr**0.5)
    assert repeats.sequential(snr, wrong) <= pairs


def test_walds_laws_warn_and_keep_shapes():
    from querytax.theory.law import RegimeWarning

    for law in (repeats.walds_error, repeats.walds_pairs):
        assert law(np.array([[0.01], [0.02]]), np.array([0.01, 0.1])).shape == (2, 2)
        with pytest.warns(RegimeWarning, match="snr <= 0.1"):
            law(1.0, 0.1)
    assert repeats.walds_pairs(0.0, 0.1) == np.inf
