"""Query ratios against mpmath, naive searches, simulated attacks and known values."""

from itertools import product

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.theory import drift, query_ratio

from .reference import assert_matches, kappa
from .test_drift import AIMED, NES, SNRS, estimates, mean_cosine

CONTRACTIONS = (1e-300, 1e-12, 1e-3, 0.2, 0.499, 0.501, 0.9, 1 - 1e-9)


def test_best_step():
    assert_matches(query_ratio.best_step, lambda s, d, p: 1 + d / (p + d + 1) / s, NES)


def test_fixed_length_step():
    assert_matches(
        query_ratio.fixed_length_step,
        lambda s, d, p: kappa(p) / kappa(p + d - 1) / mean_cosine(s, d, p),
        AIMED,
    )


@pytest.mark.parametrize("snr", [1e-3, 0.05, 2.0])
@pytest.mark.parametrize("pairs", [1, 10, 200])
def test_fixed_length_is_a_square_root_for_many_dimensions(snr, pairs):
    root = np.sqrt(query_ratio.best_step(snr, 784, pairs))
    assert query_ratio.fixed_length_step(snr, 784, pairs) == pytest.approx(root, 2e-3)
    # At two dimensions the square root is far too low.
    low = query_ratio.fixed_length_step(0.01, 2, 1)
    assert low == pytest.approx(12.78, abs=5e-3)
    assert np.sqrt(query_ratio.best_step(0.01, 2, 1)) < 0.6 * low
    assert query_ratio.fixed_length_step(0.01, 10, 10) == pytest.approx(7.60, abs=5e-3)


def test_sign_coordinate():
    assert_matches(
        query_ratio.sign_coordinate,
        lambda s: 1 / (1 - 2 * mp.ncdf(-mp.sqrt(s))),
        [(s,) for s in SNRS],
        digits=400,  # the naive form cancels
    )


def test_best_constant_step():
    def exact(s, m):
        step = min(s / (1 + s), m)
        return -2 * mp.log(1 - m) / -mp.log((1 - step) ** 2 + step**2 / s)

    points = product(SNRS, CONTRACTIONS)
    assert_matches(query_ratio.best_constant_step, exact, points, digits=700)


def test_best_minibatch():
    """The minimiser by Lambert's W, which the implementation does not use."""

    def exact(s, m):
        w = mp.lambertw(mp.e * (1 - m) ** 2).real
        best = m**2 * w / ((1 - m) ** 2 * (1 - w))
        x = max(s, best)
        return -2 * mp.log(1 - m) * x / s / -mp.log((1 - m) ** 2 + m**2 / x)

    points = product(SNRS, CONTRACTIONS)
    assert_matches(query_ratio.best_minibatch, exact, points, digits=1000)


@pytest.mark.parametrize("contraction", [0.002, 0.2, 0.7])
@pytest.mark.parametrize("snr", [1e-4, 0.03, 0.2, 5.0])
def test_steps_and_batches_against_a_search(snr, contraction):
    steps = np.geomspace(1e-6, contraction, 200_001)
    factor = (1 - steps) ** 2 + steps**2 / snr
    noiseless = -2 * np.log1p(-contraction)
    best = noiseless / -np.log(factor.min())
    assert query_ratio.best_constant_step(snr, contraction) == pytest.approx(best, 1e-7)

    batches = np.geomspace(1, max(10, 100 / snr), 200_001)
    factor = (1 - contraction) ** 2 + contraction**2 / (batches * snr)
    kept = factor < 1
    best = np.min(batches[kept] * noiseless / -np.log(factor[kept]))
    assert query_ratio.best_minibatch(snr, contraction) == pytest.approx(best, 1e-7)


def test_guaranteed_steps():
    assert_matches(
        query_ratio.guaranteed_steps,
        lambda s, r, e: -(2 * mp.log(r) + mp.log(e)) / mp.log(1 + s),
        product(SNRS, (1e-300, 0.01, 0.9), (1e-300, 0.5)),
        digits=700,
    )


def test_known_table():
    """Aithal & Li's parameters: contraction 0.2, error and remainder 0.01."""
    noiseless = np.log(0.01) / np.log(0.8)
    for snr, constant, batch, sure in (
        (1e-12, 4.463e11, 4.983e11, 6.694e11),
        (1e-4, 4463, 4983, 6695),
        (1e-2, 44.85, 49.83, 67.28),
        (1e-1, 4.682, 4.983, 7.024),
        (1.0, 1.157, 1.157, 0.9658),
        (1e2, 1.001, 1.001, 0.1451),
    ):
        assert query_ratio.best_constant_step(snr, 0.2) == pytest.approx(constant, 6e-4)
        assert query_ratio.best_minibatch(snr, 0.2) == pytest.approx(batch, 6e-4)
        steps = query_ratio.guaranteed_steps(snr, 0.01, 0.01)
        assert steps / noiseless == pytest.approx(sure, 6e-4)
    assert query_ratio.best_step(0.1, 100, 10) == pytest.approx(10.01, abs=5e-3)
    assert query_ratio.best_step(0.01, 100, 10) == pytest.approx(91.1, abs=5e-2)
    assert query_ratio.best_step(0.1, 300, 1) == pytest.approx(10.9, abs=5e-2)
    found = query_ratio.sign_coordinate([1e-2, 1e-4])
    assert found == pytest.approx([12.554, 125.33], abs=5e-3)


def test_best_steps_against_simulated_descents():
    """Squared distance removed by the best step on a quadratic, d = 30, p = 6.

    40,000 steps each: the standard error of the ratio is 1.3 %.
    """
    rng = np.random.default_rng(5)
    d, pairs = 30, 6
    gradient = rng.standard_normal(d)
    gradient /= np.linalg.norm(gradient)
    removed = []
    for snr in (1e12, 0.1):
        step = 1 / (1 + (d + 1 + d / snr) / pairs)
        found = [estimates(rng, gradient, snr, pairs, 8000) for _ in range(5)]
        left = np.sum((gradient - step * np.concatenate(found)) ** 2, axis=1)
        removed.append(1 - left.mean())
    ratio = query_ratio.best_step(0.1, d, pairs)
    assert removed[0] / removed[1] == pytest.approx(ratio, rel=0.07)


@given(st.floats(1e-150, 1e150), st.integers(1, 10**12), st.integers(1, 10**9))
def test_ratios_are_those_of_drifts(snr, d, p):
    fixed = query_ratio.fixed_length_step(snr, d, p)
    cosines = drift.cosine(1e300, d, p) / drift.cosine(snr, d, p)
    assert fixed == pytest.approx(cosines, rel=1e-12)
    root = drift.plain(1e300, d, p) / drift.plain(snr, d, p)
    assert root**2 == pytest.approx(query_ratio.best_step(snr, d, p), rel=1e-12)


@given(st.floats(1e-300, 1e12), st.floats(1e-9, 0.999))
def test_small_steps_beat_averaging_and_both_beat_the_untuned_step(snr, m):
    step = query_ratio.best_constant_step(snr, m)
    batch = query_ratio.best_minibatch(snr, m)
    assert step <= batch * (1 + 1e-12)
    factor = (1 - m) ** 2 + m**2 / snr
    if factor < 1 - 1e-3:
        assert batch <= 2 * np.log(1 - m) / np.log(factor) * (1 + 1e-9)
