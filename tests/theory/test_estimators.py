"""Estimators of the log ratio against mpmath, simulation and maximisation."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from querytax.expect import DomainError
from querytax.theory import estimators, repeats, snr
from querytax.theory.law import RegimeWarning

from .reference import assert_matches, grid
from .test_log_ratio import g, v


def test_outputs_first():
    def exact(gap, sigma, pairs, rho):
        return mp.erfc(gap / sigma * mp.sqrt(pairs / (2 * (1 - rho))) / mp.sqrt(2)) / 2

    points = [
        (gap, s, n, rho)
        for gap in (0.0, 1e-9, 0.01, 0.3)
        for s in (0.01, 0.2, 1e200)
        for n in (1, 7, 1000)
        for rho in (-0.9, 0.0, 0.5)
    ]
    small = [p for p in points if p[0] / p[1] * p[2] ** 0.5 < 5]
    assert_matches(estimators.outputs_first, exact, small)
    logs = [p for p in points if p[0] / p[1] * p[2] ** 0.5 < 1e4]
    assert_matches(estimators.log_outputs_first, lambda *a: mp.log(exact(*a)), logs)


def test_likelihood_root():
    def exact(m1, m2, s):
        return mp.log(2 * m2 / (m1 + mp.sqrt(m1**2 + 4 * s**2 * m2)))

    points = [
        (m1, m1**2 * (1 + extra), s)
        for m1 in (1e-3, 0.4, 1.0, 1.05, 1.3, 50.0)
        for extra in (1e-9, 0.01, 0.3, 8.0)
        for s in (1e-6, 0.01, 0.2, 1.0, 30.0)
    ]
    # At the root's zero itself the constant term cancels to the last digit.
    points += [(1.0, 1.0 + s * s, s + 1e-13) for s in (0.25, 0.5)]
    assert_matches(estimators.likelihood_root, exact, points)


def test_the_root_maximises_the_likelihood():
    rng = np.random.default_rng(1)
    s, n = 0.2, 50
    r = np.exp(0.05) * (1 + s * rng.standard_normal(n))
    a = np.linspace(-0.2, 0.3, 200_001)
    w = np.exp(-a)
    likelihood = -a - (w**2 * np.mean(r**2) - 2 * w * r.mean() + 1) / (2 * s * s)
    found = estimators.likelihood_root(r.mean(), np.mean(r**2), s)
    assert found == pytest.approx(a[likelihood.argmax()], abs=3e-6)


def test_the_root_reaches_the_bound():
    """40,000 estimates of 200 ratios: N times their variance, to 0.7 % (one error)."""
    rng = np.random.default_rng(4)
    s, n, truth = 0.2, 200, 0.05
    r = np.exp(truth) * (1 + s * rng.standard_normal((40_000, n)))
    found = estimators.likelihood_root(r.mean(axis=1), np.mean(r**2, axis=1), s)
    assert found.mean() == pytest.approx(truth, abs=5e-4)
    bound = estimators.variance_bound(1.0, s, n)
    assert n * bound == pytest.approx(0.0370, abs=1e-4)
    assert found.var() == pytest.approx(bound, rel=0.035)
    # The mean logarithm is biased by about -σ_Z²/2 and spreads more.
    y = np.log(np.abs(r)).mean(axis=1)
    assert y.mean() - truth == pytest.approx(estimators.log_bias(s), abs=5e-4)
    assert n * y.var() == pytest.approx(0.0461, rel=0.03)


def test_information():
    scales = grid(1e-8, 1e8, 12, span=3.0)
    points = [(b, s) for s in scales for b in (1e-3, 1.0, 40.0)]

    def information(b, s):
        return b**2 * (1 / s**2 + 2)

    assert_matches(estimators.fisher_information, information, points)
    assert_matches(
        lambda b, s: estimators.variance_bound(b, s, 7),
        lambda b, s: 1 / (7 * information(b, s)),
        points,
    )
    assert_matches(
        lambda f, s: estimators.variance_bound_of_pairs(f, 0.3, 0.1, s, 5),
        lambda f, s: s**2 * (1 / f**2 + 1 / mp.mpf(0.3) ** 2) / (5 * mp.mpf(0.1) ** 2),
        [(f, s) for f in (1e-6, 0.2, 0.9) for s in (1e-6, 0.01, 2.0)],
    )


def test_log_bias():
    scales = [1e-9, 1e-3, 0.02, 0.1, 0.112, 0.2, 0.4, 0.8, 3.0, 100.0]
    assert_matches(
        estimators.log_bias, lambda s: mp.log(s) + g(1 / s), [(s,) for s in scales]
    )


PAIRS = [
    (0.3, 0.5, 0.1),
    (0.2, 0.2 + 1e-9, 0.2),
    (0.006, 0.004, 0.02),
    (0.9, 0.8, 1e-3),
]


def test_log_first():
    def effective(a, b, s):
        return (g(a / s) - g(b / s)) ** 2 / (v(a / s) + v(b / s))

    assert_matches(
        estimators.log_first_cost,
        lambda a, b, s: (a - b) ** 2 / (2 * s * s) / effective(a, b, s),
        PAIRS,
        digits=60,
    )
    with pytest.warns(RegimeWarning, match="no rare error"):
        assert_matches(
            lambda a, b, s: estimators.log_first(a, b, s, 120),
            lambda a, b, s: mp.erfc(mp.sqrt(60 * effective(a, b, s))) / 2,
            PAIRS[:3],
            digits=60,
        )
    # 2.1 times the pairs at F = σ, 124 at a tenth of it.
    assert estimators.log_first_cost(1.001, 1.0, 1.0) == pytest.approx(2.13, abs=0.01)
    assert estimators.log_first_cost(0.1001, 0.1, 1.0) == pytest.approx(124, abs=0.5)


def wrong(t, t_, pairs):
    """P(Σ ln|y/y'| < 0) from the characteristic function, by Gil-Pelaez."""
    w = 0.01 * (np.arange(6000) + 0.5)
    k = np.arange(120)

    def moments(t):
        """E |ξ + t|^iw: (ξ + t)² is a Poisson mixture of χ²."""
        chance = stats.poisson.pmf(k, t * t / 2)
        parts = special.loggamma(k + 0.5 + 0.5j * w[:, None]) - special.gammaln(k + 0.5)
        return np.exp(0.5j * w * np.log(2)) * (np.exp(parts) @ chance)

    one = moments(t) * np.conj(moments(t_))
    return 0.5 - np.sum(0.01 / w * (one**pairs).imag) / np.pi


def test_log_first_inside_and_outside_its_limits():
    # For one pair, of the signs of y - y' and y + y'.
    a, b = special.ndtr([-5 / np.sqrt(2), 15 / np.sqrt(2)])
    assert wrong(10.0, 5.0, 1) == pytest.approx(a * b + (1 - a) * (1 - b), rel=1e-9)
    # The worst places: pS = 9, found by a search over both outputs.
    for pair, off in (((3.455, 3.0), 0.14), ((1.04, 0.0), -0.041), ((3.1, 3.0), 0.005)):
        share = estimators.log_first(*pair, 1.0, 100) / wrong(*pair, 100)
        assert share - 1 == pytest.approx(off, abs=0.01)
    with pytest.warns(RegimeWarning, match="wants pairs >= 100"):
        estimators.log_first(0.012, 0.009, 0.01, [99, 100])
    assert estimators.log_first.supports(0.012, 0.009, 0.01, 100).holds
    with pytest.warns(RegimeWarning, match="no rare error"):
        rare = estimators.log_first(2.7, 2.0, 1.0, 100)
    assert rare > 1.5 * wrong(2.7, 2.0, 100)


@given(st.floats(1e-6, 1.0), st.floats(1e-3, 1.0), st.floats(1e-6, 0.49))
def test_the_count_of_pairs_inverts_it(gap, sigma, error):
    one = snr.output(gap**2, sigma)
    count = np.ceil(repeats.fixed(one, error))
    assert estimators.outputs_first(gap, sigma, count) <= error * (1 + 1e-9)


def test_domains():
    with pytest.raises(DomainError, match="expected other_output to differ"):
        estimators.log_first_cost(0.3, 0.3, 0.1)
    with pytest.raises(DomainError, match="expected mean_square_ratio at least"):
        estimators.likelihood_root(1.0, 0.5, 0.1)
