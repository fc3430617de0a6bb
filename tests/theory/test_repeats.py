"""Counts of repeated pairs against mpmath, integral equations and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from querytax.theory import misstep, repeats

from .reference import assert_matches, grid

SNRS = grid(1e-300, 1e300, 16, span=10.0)
ERRORS = np.concatenate([grid(1e-300, 0.499, 20), 0.5 - np.geomspace(1e-15, 0.2, 9)])
ALONE = [(e,) for e in ERRORS]


def quantile(error):
    """Φ⁻¹ by Newton's steps on ln Φ."""
    start = mp.mpf(-1) if error > 1e-3 else -mp.sqrt(-2 * mp.log(error))
    return mp.findroot(lambda z: mp.log(mp.ncdf(z)) - mp.log(error), start, tol=1e-60)


def divergence(error):
    return (1 - 2 * error) * mp.log((1 - error) / error)


def test_fixed():
    assert_matches(lambda e: repeats.fixed(1.0, e), lambda e: quantile(e) ** 2, ALONE)
    assert_matches(
        lambda s: repeats.fixed(s, 0.01),
        lambda s: quantile(mp.mpf(0.01)) ** 2 / s,
        [(s,) for s in SNRS],
    )


def test_other_counts():
    points = [(s, e) for s in SNRS for e in ERRORS]
    assert_matches(
        repeats.random_direction, lambda s, e: 1 / (s * mp.tan(mp.pi * e) ** 2), points
    )
    assert_matches(repeats.sequential, lambda s, e: divergence(e) / (2 * s), points)
    assert_matches(
        repeats.sequential_saving,
        lambda e: 2 * quantile(e) ** 2 / divergence(e),
        ALONE,
    )
    assert_matches(repeats.stopping_log_odds, lambda e: mp.log((1 - e) / e), ALONE)
    for law in (repeats.fixed, repeats.random_direction, repeats.sequential):
        assert law(0.0, 0.1) == np.inf


def test_known_numbers():
    assert repeats.fixed(0.01, 0.01) == pytest.approx(541.2, abs=0.05)
    assert repeats.sequential(0.01, 0.01) == pytest.approx(225.2, abs=0.05)
    assert repeats.fixed(1e-8 / 2e-4, 0.1) == pytest.approx(32847, abs=1)
    # From a half π at chance to four.
    saving = repeats.sequential_saving(np.array([0.5 - 1e-9, 0.01, 1e-300]))
    np.testing.assert_allclose(saving, [np.pi / 2, 2.40, 4.0], rtol=2e-2)


@given(st.floats(1e-100, 1e100), st.floats(1e-100, 0.4999))
def test_repeating_that_often_gives_that_error(snr, error):
    """Both counts invert the misstep laws."""
    log = misstep.log_fixed_direction(repeats.fixed(snr, error) * snr)
    assert log == pytest.approx(np.log(error), rel=1e-10)
    count = repeats.random_direction(snr, error)
    assert misstep.random_direction(count * snr) == pytest.approx(error, rel=1e-10)


def test_shared_noise():
    points = [
        (s, c, e) for s in SNRS[:8] for e in (1e-9, 0.01, 0.4) for c in (-0.5, 0.9)
    ]
    assert_matches(
        repeats.shared_within_pair,
        lambda s, c, e: (1 - c) * quantile(e) ** 2 / s,
        points,
    )
    points = [(s, c, e) for s in (0.5, 3.0) for e in (0.01, 0.4) for c in (0.0, 0.05)]
    assert_matches(
        repeats.shared_across_repeats,
        lambda s, c, e: (1 - c) * quantile(e) ** 2 / (s - c * quantile(e) ** 2),
        points,
    )
    assert repeats.shared_across_repeats(0.01, 1.0, 0.01) == np.inf
    assert repeats.shared_across_repeats(9.0, 1.0, 0.01) == 1.0
    # The noise of so many averages, of variance (1 + (N-1)c)/N, errs as asked.
    count = repeats.shared_across_repeats(0.5, 0.05, 0.01)
    kept = (1 + (count - 1) * 0.05) / count
    assert misstep.fixed_direction(0.5 / kept) == pytest.approx(0.01, rel=1e-12)


def wald(snr, error):
    """Error and mean pairs of Wald's test by its integral equation, 600 nodes."""
    barrier, drift = np.log((1 - error) / error), 2 * snr
    x, w = np.polynomial.legendre.leggauss(600)
    x, w, spread = barrier * x, barrier * w, np.sqrt(2 * drift)

    def kernel(start):
        z = (x - start - drift) / spread
        return w * np.exp(-0.5 * z * z) / (spread * np.sqrt(2 * np.pi))

    left = np.eye(x.size) - np.array([kernel(start) for start in x])
    ends = np.column_stack([ndtr((-barrier - x - drift) / spread), np.ones(x.size)])
    below, mean = kernel(0.0) @ np.linalg.solve(left, ends)
    return ndtr((-barrier - drift) / spread) + below, 1 + mean


@pytest.mark.parametrize("snr", [0.003, 0.01, 0.1])
@pytest.mark.parametrize("error", [1e-4, 0.01, 0.1])
def test_walds_test(snr, error):
    wrong, pairs = wald(snr, error)
    assert repeats.walds_error(snr, error) == pytest.approx(wrong, rel=0.01 * snr)
    assert repeats.walds_pairs(snr, error) == pytest.approx(pairs, abs=0.05 * snr**0.5)
    assert repeats.sequential(snr, wrong) <= pairs
    assert wrong < error


@pytest.mark.filterwarnings("ignore::querytax.theory.law.RegimeWarning")
def test_walds_test_beyond_the_limits_of_its_laws():
    for snr, error, off_error, off_pairs in (
        (0.1, 0.4, 0.0205, -0.071),
        (1.0, 0.01, -0.0326, -0.0118),
    ):
        wrong, pairs = wald(snr, error)
        found = repeats.walds_error(snr, error) / wrong - 1
        assert found == pytest.approx(off_error, abs=1e-3)
        found = repeats.walds_pairs(snr, error) / pairs - 1
        assert found == pytest.approx(off_pairs, abs=1e-3)
    assert repeats.walds_pairs(0.0, 0.1) == np.inf
