"""Moments of ln|ratio| and the SNRs made of them against mpmath and simulation."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.theory import log_ratio, snr
from querytax.theory.law import RegimeWarning

from .reference import assert_matches


def g(t):
    """E ln|ξ + t| by its hypergeometric form; by its series where that is slow."""
    if t > 40:
        return mp.log(t) - sum(
            mp.fac2(2 * k - 1) / (2 * k * t ** (2 * k)) for k in range(1, 30)
        )
    bend = mp.hyp2f2(1, 1, mp.mpf(3) / 2, 2, -t * t / 2)
    return -(mp.euler + mp.log(2)) / 2 + t * t / 2 * bend


def v(t):
    """Var ln|ξ + t| by the Poisson mixture; by its series for large t."""
    if t > 40:
        second = sum(
            mp.fac2(2 * k - 1) * mp.harmonic(2 * k - 1) / (k * t ** (2 * k))
            for k in range(1, 30)
        )
        return second - (g(t) - mp.log(t)) ** 2
    terms = int(t * t / 2 + 20 * t + 60)
    mean = g(t)
    total, weight = mp.mpf(0), mp.exp(-t * t / 2)
    for k in range(terms):
        half = mp.mpf(k) + 0.5
        inner = (mp.digamma(half) + mp.log(2)) / 2 - mean
        total += weight * (mp.polygamma(1, half) / 4 + inner**2)
        weight *= t * t / 2 / (k + 1)
    return total


LEVELS = [(0.3, 0.5), (0.1, 0.05), (4.05e-4, 4e-4), (0.6, 0.6 - 1e-9), (1e-8, 0.7)]
POINTS = [(a, b, s) for a, b in LEVELS for s in (1e-5, 0.01, 0.04, 0.15, 3.0, 1e6)]


def test_moments():
    points = [*POINTS, (0.3, 0.0, 0.1), (1e-8, 0.0, 1.0), (1e300, 1e-300, 1.0)]
    assert_matches(
        log_ratio.mean, lambda a, b, s: g(a / s) - g(b / s), points, digits=90
    )
    assert_matches(log_ratio.variance, lambda a, b, s: v(a / s) + v(b / s), POINTS)
    four = np.array([[0.6, 0.59, 0.2, 0.21], [0.9, 0.89, 0.02, 0.02]])
    apart = [log_ratio.variance(*pair, 0.01) for pair in (four[:, :2].T, four[:, 2:].T)]
    assert log_ratio.variance_of_sum(four, 0.01) == pytest.approx(sum(apart))


def test_snrs():
    def definition(a, b, s):
        ell = mp.log(a / b)
        one, two = a / s, b / s
        return ell**2 / (v(one) + v(two) + (g(one) - g(two) - ell) ** 2)

    def effective(a, b, s):
        return (g(a / s) - g(b / s)) ** 2 / (v(a / s) + v(b / s))

    def square(a, b, s):
        return s**2 * (1 / a**2 + 1 / b**2)

    assert_matches(log_ratio.definition_snr, definition, POINTS, digits=60)
    assert_matches(log_ratio.effective_snr, effective, POINTS, digits=60)
    weak = [(a, b, s) for a, b, s in POINTS if s <= 0.1 * min(a, b)]
    assert_matches(
        log_ratio.log_snr, lambda a, b, s: mp.log(a / b) ** 2 / square(a, b, s), weak
    )
    assert_matches(log_ratio.relative_sigma, lambda *p: mp.sqrt(square(*p)), weak)


def test_known_numbers():
    """A's setting: twice a million draws gave .01637, .05554, 2.466."""
    shift = log_ratio.mean(0.1, 0.05, 0.01) - np.log(2)
    assert shift == pytest.approx(0.016333, abs=1e-6)
    square = log_ratio.variance(0.1, 0.05, 0.01) + shift**2
    assert square == pytest.approx(0.05548, abs=1e-5)
    assert log_ratio.variance(4.05e-4, 4e-4, 0.01) == pytest.approx(2.4676, abs=4e-4)
    rows = [
        (0.9, 0.8999, 0.02, 0.0205, 1.0844, 2e-3),
        (0.7, 0.6999, 3e-4, 3.05e-4, 2.4678, 5e-4),
        (0.6, 0.59, 0.2, 0.21, 0.0053614, 1e-6),
    ]
    for *outputs, expected, within in rows:
        found = log_ratio.variance_of_sum(outputs, 0.01)
        assert found == pytest.approx(expected, abs=within)


def test_against_simulation():
    """2e6 pairs, standard errors 1.1e-3 of the mean and 2e-3 of the variance."""
    rng = np.random.default_rng(8)
    pair = (0.02, 0.01, 0.015)
    one, two = (f + 0.015 * rng.standard_normal(2_000_000) for f in pair[:2])
    d = np.log(np.abs(one)) - np.log(np.abs(two))
    assert log_ratio.mean(*pair) == pytest.approx(d.mean(), abs=5e-3)
    assert log_ratio.variance(*pair) == pytest.approx(d.var(), abs=1.2e-2)
    ratio = np.log(2) ** 2 / np.mean((d - np.log(2)) ** 2)
    assert log_ratio.definition_snr(*pair) == pytest.approx(ratio, rel=0.01)


def test_limits_in_strong_noise_and_in_none():
    ell = np.log(2.0)
    floor = ell**2 / (np.pi**2 / 4 + ell**2)
    assert log_ratio.definition_snr(0.2, 0.1, 1e6) == pytest.approx(floor, rel=1e-9)
    small = log_ratio.effective_snr(0.11, 0.1, 1e3)
    assert small == pytest.approx(4 / np.pi**2 * (0.105 * 0.01) ** 2 / 1e12, rel=1e-6)
    pairs = ([0.2, 0.3, 0.0, 0.0], [0.1, 0.3, 0.0, 0.3], 0.0)
    np.testing.assert_allclose(log_ratio.mean(*pairs), [ell, 0.0, 0.0, -np.inf])
    one = np.pi**2 / 8
    np.testing.assert_allclose(log_ratio.variance(*pairs), [0.0, 0.0, 2 * one, one])
    assert log_ratio.effective_snr(*pairs).tolist() == [np.inf, 0.0, 0.0, np.inf]


@given(st.floats(1e-3, 1.0), st.floats(1e-3, 1.0), st.floats(1e-4, 1e3))
def test_no_reading_beats_the_best(one, two, sigma):
    """Swapping outputs changes nothing; mean logarithms never beat raw outputs."""
    effective = log_ratio.effective_snr(one, two, sigma)
    assert effective == pytest.approx(
        log_ratio.effective_snr(two, one, sigma), rel=1e-12, abs=1e-300
    )
    if abs(one - two) < 0.1 * sigma:
        assert effective <= snr.output((one - two) ** 2, sigma) * 1.02


def test_weak_noise_agrees_and_strong_noise_warns():
    decision = snr.output(0.001**2, 0.0005)
    assert log_ratio.log_snr(0.501, 0.5, 0.0005) == pytest.approx(decision, rel=1e-5)
    others = np.geomspace(0.3001, 300, 200)
    pairs = (0.3, others, 0.03)
    share = log_ratio.relative_sigma(*pairs) / np.sqrt(log_ratio.variance(*pairs))
    assert 0.986 < share.min() < share.max() < 1
    share = log_ratio.log_snr(*pairs) / log_ratio.definition_snr(*pairs)
    assert 1 < share.min() < share.max() < 1.03
    with pytest.warns(RegimeWarning, match="weak noise"):
        log_ratio.log_snr(0.3, 0.2, 0.05)
    assert not log_ratio.relative_sigma.supports(0.3, 0.2, 0.05).holds
    assert log_ratio.relative_sigma.supports(0.3, 0.2, 0.01).holds
