"""Finite differences against mpmath, simulation and printed numbers."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import finite_difference as fd
from querytax.theory.law import RegimeWarning

from .reference import assert_matches, grid
from .test_contraction import log_mean

WIDTHS = grid(1e-100, 1e100, 10, span=3.0)


def test_elementary_laws():
    pairs = [(x, b) for x in (-7.0, -1e-100, 1e-50, 2.5, 1e100) for b in WIDTHS]
    assert_matches(fd.central_bias, lambda f, b: b * b * f / 6, pairs)
    assert_matches(fd.forward_bias, lambda f, b: b * f / 2, pairs)
    positive = [(abs(x), b) for x, b in pairs]
    assert_matches(fd.central_sd, lambda s, b: s / (mp.sqrt(2) * b), positive)
    assert_matches(fd.forward_sd, lambda s, b: mp.sqrt(2) * s / b, positive)
    triples = [(abs(x), f, n) for x, f in pairs for n in (1, 50, 1e12)]
    third = mp.mpf(1) / 3

    def best(s, f, n):
        return (3 * s / (abs(f) * mp.sqrt(n))) ** (mp.mpf(1) / 3)

    def error(s, f, n):
        b = best(s, f, n)
        return mp.sqrt((b * b * f / 6) ** 2 + s * s / (2 * n * b * b))

    assert third
    assert_matches(fd.best_probe, best, triples)
    assert_matches(fd.best_rms_error, error, triples)
    assert_matches(
        fd.best_forward_probe,
        lambda s, f, n: (8 * s * s / (n * f * f)) ** (mp.mpf(1) / 4),
        triples,
    )
    outputs = [(p, g) for p in (1e-9, 0.3, 1.0) for g in (1e-100, 1e-3, 1.0)]
    assert_matches(fd.white_box_saving, lambda p, g: 2 * (p / g) ** 2, outputs)


def test_a_logistic_curve():
    """Bias lies between those of the least and greatest derivative in the probe."""
    x, b = 0.7, 0.3

    def derivative(at, order):
        return float(mp.diff(lambda y: 1 / (1 + mp.exp(-y)), at, order))

    inside = np.linspace(x - b, x + b, 41)

    def f(y):
        return 1 / (1 + np.exp(-y))

    bias = (f(x + b) - f(x - b)) / (2 * b) - derivative(x, 1)
    found = [fd.central_bias(derivative(y, 3), b) for y in inside]
    assert min(found) < bias < max(found)
    bias = (f(x + b) - f(x)) / b - derivative(x, 1)
    found = [fd.forward_bias(derivative(y, 2), b) for y in inside[20:]]
    assert min(found) < bias < max(found)


def test_the_best_probe_against_simulation():
    """sin(x) read at 0 by 4·10⁵ noisy pairs a width; the least error is at β*."""
    rng = np.random.default_rng(5)
    sigma, count = 1e-3, 400_000
    best = fd.best_probe(sigma, 1.0)
    errors = {}
    for width in (0.7 * best, best, 1.4 * best):
        noise = rng.standard_normal((2, count)) * sigma
        read = (np.sin(width) - np.sin(-width) + noise[0] - noise[1]) / (2 * width)
        errors[width] = np.sqrt(np.mean((read - 1.0) ** 2))
        spread = fd.central_sd(sigma, width)
        assert read.std() == pytest.approx(spread, rel=4 / np.sqrt(2 * count))
    assert min(errors, key=errors.get) == best
    # sin bends less than its third derivative at 0 by a few parts in a thousand.
    assert errors[best] == pytest.approx(fd.best_rms_error(sigma, 1.0), rel=0.01)


@given(st.floats(1e-6, 1), st.floats(0.01, 100), st.integers(1, 99), st.floats(0.1, 9))
def test_no_width_beats_the_best(sigma, bend, n, factor):
    def error(width):
        noise = fd.central_sd(sigma, width) / np.sqrt(n)
        return np.hypot(fd.central_bias(bend, width), noise)

    best = fd.best_probe(sigma, bend, n)
    least = fd.best_rms_error(sigma, bend, n)
    assert error(best) == pytest.approx(least, rel=1e-12)
    assert error(best * factor) >= least * (1 - 1e-12)

    def one_sided(width):
        noise = fd.forward_sd(sigma, width) / np.sqrt(n)
        return np.hypot(fd.forward_bias(bend, width), noise)

    width = fd.best_forward_probe(sigma, bend, n)
    assert one_sided(width * factor) >= one_sided(width) * (1 - 1e-12)


def bias(p, s):
    return log_mean(p / s) - mp.log(p / s)


OUTPUTS = (1e-6, 0.03, 0.3, 0.31, 0.300001, 1.0)
SIGMAS = (1e-7, 0.01, 0.1, 0.3, 2.0)


def test_log_bias():
    points = [(p, s) for p in OUTPUTS for s in (*SIGMAS, 1e-200, 1e200)]
    assert_matches(fd.log_bias, bias, points, digits=60)


def test_log_ratio_bias():
    def exact(p, q, p_, q_, s, h):
        return (bias(p, s) - bias(q, s) - bias(p_, s) + bias(q_, s)) / (2 * h)

    points = [
        (p, q, p_, q_, s, 0.01)
        for p, p_ in ((0.3, 0.31), (0.3, 0.3000000001), (0.9, 0.02), (0.5, 0.44))
        for q, q_ in ((0.2, 0.2), (0.2, 0.19999), (0.01, 0.6))
        for s in SIGMAS
    ]
    assert_matches(fd.log_ratio_bias, exact, points, tolerance=2e-12, digits=80)
    # A difference too small to see is no difference.
    assert fd.log_ratio_bias(0.3, 0.2, 0.3, 0.2, 0.1, 1e-300) == 0.0


def test_log_ratio_bias_weak():
    def exact(p, q, p_, q_, s, h):
        return -(s**2) / (4 * h) * (p**-2 - q**-2 - p_**-2 + q_**-2)

    points = [
        (p, 0.4, p_, 0.4, s, 1e-3)
        for p, p_ in ((0.3, 0.31), (0.3, 0.3000000001), (0.9, 0.2), (0.5, 0.44))
        for s in (1e-100, 1e-3, 0.02)
    ]
    assert_matches(fd.log_ratio_bias_weak, exact, points)
    with pytest.warns(RegimeWarning, match="weak noise"):
        fd.log_ratio_bias_weak(0.3, 0.3, 0.3, 0.2, 0.021, 1.0)


@pytest.mark.parametrize("output", [0.2, 0.5, 1.0])
def test_each_term_of_the_weak_form_is_within_four_percent(output):
    sigma = 0.1 * output
    assert fd.log_bias(output, sigma) == pytest.approx(
        -(sigma**2) / (2 * output**2), rel=0.04
    )


def variance(p, s):
    """By the Poisson mixture of chi-squares, or its first terms for weak noise."""
    t = p / s
    if t > 40:
        k = [mp.mpf(i) for i in range(1, 30)]
        moments = [mp.fac2(2 * i - 1) for i in range(1, 60)]
        mean = -sum(moments[int(i) - 1] / (2 * i * t ** (2 * i)) for i in k)
        # ln²(1+x) = Σ 2 H_{n-1}/n (-x)^n.
        square = sum(
            2
            * mp.harmonic(2 * int(i) - 1)
            / (2 * i)
            * moments[int(i) - 1]
            / t ** (2 * i)
            for i in k
        )
        return square - mean**2
    half = t * t / 2
    total = [mp.mpf(0)] * 3
    weight, k = mp.exp(-half), 0
    while k < 2 * half + 60:
        c1 = (mp.digamma(k + mp.mpf(0.5)) + mp.log(2)) / 2
        c2 = mp.polygamma(1, k + mp.mpf(0.5)) / 4
        total = [total[0], total[1] + weight * c1, total[2] + weight * (c2 + c1**2)]
        k += 1
        weight *= half / k
    return total[2] - total[1] ** 2


def test_log_ratio_sd():
    def exact(p, q, p_, q_, s, h):
        return mp.sqrt(sum(variance(x, s) for x in (p, q, p_, q_))) / (2 * h)

    points = [
        (p, 0.2, 0.3, 0.25, s, h)
        for p in (0.02, 0.9)
        for s in (1e-100, 0.004, 0.1, 2.0)
        for h in (1e-50, 0.1)
    ]
    assert_matches(fd.log_ratio_sd, exact, points, digits=60)


def test_log_slope_bias():
    def exact(p, q, a, b, s):
        def share(x):
            t = x / s
            if t > 40:
                return sum(mp.fac2(2 * k - 1) / t ** (2 * k) for k in range(1, 60)) / x
            dawson = mp.sqrt(mp.pi) / 2 * mp.exp(-t * t / 2) * mp.erfi(t / mp.sqrt(2))
            return mp.sqrt(2) * dawson / s - 1 / x

        return a * share(p) - b * share(q)

    points = [
        (p, q, a, -1.5, s)
        for p in OUTPUTS
        for q in (0.2, 0.9)
        for a in (0.7, 30.0)
        for s in SIGMAS
    ]
    assert_matches(fd.log_slope_bias, exact, points, digits=60)
    # What is left of the two-sided form as the probe narrows.
    h = 1e-5
    wide = fd.log_ratio_bias(0.4 + 2 * h, 0.2 - 3 * h, 0.4 - 2 * h, 0.2 + 3 * h, 0.1, h)
    assert fd.log_slope_bias(0.4, 0.2, 2.0, -3.0, 0.1) == pytest.approx(wide, rel=1e-6)


def test_log_losses_against_simulation():
    """10⁶ pairs; five standard errors."""
    rng = np.random.default_rng(6)
    p, q, p_, q_, s, h = 0.3, 0.2, 0.24, 0.26, 0.15, 0.05
    noise = s * rng.standard_normal((4, 1_000_000))
    ahead = np.log(np.abs(p + noise[0])) - np.log(np.abs(q + noise[1]))
    behind = np.log(np.abs(p_ + noise[2])) - np.log(np.abs(q_ + noise[3]))
    read = (ahead - behind) / (2 * h)
    truth = np.log(p / q * q_ / p_) / (2 * h)
    arguments = (p, q, p_, q_, s, h)
    assert fd.log_ratio_bias(*arguments) == pytest.approx(
        read.mean() - truth, abs=5 * read.std() / 1000
    )
    assert fd.log_ratio_sd(*arguments) == pytest.approx(read.std(), rel=0.01)


def test_known_numbers():
    """Printed as truth less reading; here it is the reading less the truth."""
    four = (0.6, 0.3, 0.59, 0.31)
    found = fd.log_ratio_bias(*four, np.array([0.01, 0.05, 0.1, 0.3]), 1e-4)
    np.testing.assert_allclose(found, [0.20067, 5.430, 30.88, -19.01], rtol=3e-4)
    weak = fd.log_ratio_bias_weak(*four, 0.01, 1e-4)
    assert weak == pytest.approx(0.20006, rel=1e-4)
    assert fd.log_ratio_sd(*four, 0.01, 1e-4) == pytest.approx(260.8, rel=1e-3)
    assert fd.best_probe(1e-3, 6.0) == pytest.approx(0.0794, abs=5e-5)
    assert fd.white_box_saving(0.4, 0.005) == pytest.approx(12800)
    variance = fd.forward_sd(0.04, np.array([0.1, 0.01, 0.001])) ** 2
    np.testing.assert_allclose(variance, [0.32, 32, 3200])


def test_domains():
    with pytest.raises(DomainError, match="expected third_derivative other than 0"):
        fd.best_probe(0.1, 0.0)
    with pytest.raises(DomainError, match="expected rival at most 1"):
        fd.log_ratio_sd(0.3, 1.2, 0.3, 0.3, 0.1, 0.1)
