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
from .test_log_ratio import g as log_mean
from .test_log_ratio import v

WIDTHS = grid(1e-100, 1e100, 10, span=3.0)


def test_elementary_laws():
    pairs = [(x, b) for x in (-7.0, -1e-100, 1e-50, 2.5, 1e100) for b in WIDTHS]
    assert_matches(fd.central_bias, lambda f, b: b * b * f / 6, pairs)
    assert_matches(fd.forward_bias, lambda f, b: b * f / 2, pairs)
    positive = [(b, abs(x)) for x, b in pairs]
    assert_matches(fd.central_sd, lambda b, s: s / (mp.sqrt(2) * b), positive)
    assert_matches(fd.forward_sd, lambda b, s: mp.sqrt(2) * s / b, positive)
    triples = [(f, abs(x), n) for x, f in pairs for n in (1, 50, 1e12)]

    def best(f, s, n):
        return mp.cbrt(3 * s / (abs(f) * mp.sqrt(n)))

    def error(f, s, n):
        b = best(f, s, n)
        return mp.sqrt((b * b * f / 6) ** 2 + s * s / (2 * n * b * b))

    def best_forward(f, s, n):
        return (8 * s * s / (n * f * f)) ** (mp.mpf(1) / 4)

    assert_matches(fd.best_probe, best, triples)
    assert_matches(fd.best_rms_error, error, triples)
    assert_matches(fd.best_forward_probe, best_forward, triples)
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
    """sin(x) read at 0 by 4·10⁵ noisy pairs a width; the least error is at μ*."""
    rng = np.random.default_rng(5)
    sigma, count = 1e-3, 400_000
    best = fd.best_probe(1.0, sigma)
    errors = {}
    for width in (0.7 * best, best, 1.4 * best):
        noise = rng.standard_normal((2, count)) * sigma
        read = (np.sin(width) - np.sin(-width) + noise[0] - noise[1]) / (2 * width)
        errors[width] = np.sqrt(np.mean((read - 1.0) ** 2))
        spread = fd.central_sd(width, sigma)
        assert read.std() == pytest.approx(spread, rel=4 / np.sqrt(2 * count))
    assert min(errors, key=errors.get) == best
    # sin bends less than its third derivative at 0 by a few parts in a thousand.
    assert errors[best] == pytest.approx(fd.best_rms_error(1.0, sigma), rel=0.01)


@given(st.floats(1e-6, 1), st.floats(0.01, 100), st.integers(1, 99), st.floats(0.1, 9))
def test_no_width_beats_the_best(sigma, bend, n, factor):
    def error(width, bias, spread):
        return np.hypot(bias(bend, width), spread(width, sigma) / np.sqrt(n))

    both, one = (fd.central_bias, fd.central_sd), (fd.forward_bias, fd.forward_sd)
    best, least = fd.best_probe(bend, sigma, n), fd.best_rms_error(bend, sigma, n)
    assert error(best, *both) == pytest.approx(least, rel=1e-12)
    assert error(best * factor, *both) >= least * (1 - 1e-12)
    width = fd.best_forward_probe(bend, sigma, n)
    assert error(width * factor, *one) >= error(width, *one) * (1 - 1e-12)


def bias(p, s):
    return log_mean(p / s) - mp.log(p / s)


OUTPUTS = (1e-6, 0.03, 0.3, 0.31, 0.300001, 1.0)
SIGMAS = (1e-7, 0.01, 0.1, 0.3, 2.0)
ENDS = ((0.3, 0.31), (0.3, 0.3000000001), (0.9, 0.02), (0.5, 0.44))


def test_log_bias():
    points = [(p, s) for p in OUTPUTS for s in (*SIGMAS, 1e-200, 1e200)]
    assert_matches(fd.log_bias, bias, points, digits=60)
    # Each term of the weak form.
    weak = np.array([0.2, 0.5, 1.0])
    np.testing.assert_allclose(fd.log_bias(weak, 0.1 * weak), -0.005, rtol=0.04)


def test_log_ratio_bias():
    def exact(p, q, p_, q_, h, s):
        return (bias(p, s) - bias(q, s) - bias(p_, s) + bias(q_, s)) / (2 * h)

    points = [
        (p, q, p_, q_, 0.01, s)
        for p, p_ in ENDS
        for q, q_ in ((0.2, 0.2), (0.2, 0.19999), (0.01, 0.6))
        for s in SIGMAS
    ]
    assert_matches(fd.log_ratio_bias, exact, points, tolerance=2e-12, digits=80)
    # A difference too small to see is no difference; nor is there one without noise.
    assert fd.log_ratio_bias(0.3, 0.2, 0.3, 0.2, 0.1, 1e-300) == 0.0
    assert fd.log_ratio_bias(0.6, 0.3, 0.2, 0.1, 0.1, 0.0) == 0.0


def test_log_ratio_bias_weak():
    def exact(p, q, p_, q_, h, s):
        return -(s**2) / (4 * h) * (p**-2 - q**-2 - p_**-2 + q_**-2)

    points = [
        (p, 0.4, p_, 0.4, 1e-3, s)
        for p, p_ in (*ENDS[:2], (0.9, 0.2), ENDS[3])
        for s in (1e-100, 1e-3, 0.02)
    ]
    assert_matches(fd.log_ratio_bias_weak, exact, points)
    # The part of one class, from a tenth of the least output on.
    p = np.linspace(0.1, 1.0, 200)
    ends = (p[:, None], 0.1, p, 0.1, 1.0, 0.01)
    weak, true = fd.log_ratio_bias_weak(*ends), fd.log_ratio_bias(*ends)
    share = weak[true != 0] / true[true != 0]
    assert 0.97 < share.min() < share.max() < 1
    with pytest.warns(RegimeWarning, match="weak noise"):
        fd.log_ratio_bias_weak(0.3, 0.3, 0.3, 0.2, 1.0, 0.021)


def test_log_ratio_sd():
    def exact(p, q, p_, q_, h, s):
        return mp.sqrt(sum(v(x / s) for x in (p, q, p_, q_))) / (2 * h)

    points = [
        (p, 0.2, 0.3, 0.25, h, s)
        for p in (0.02, 0.9)
        for s in (1e-100, 0.004, 0.1, 2.0)
        for h in (1e-50, 0.1)
    ]
    assert_matches(fd.log_ratio_sd, exact, points, digits=60)
    assert fd.log_ratio_sd(0.6, 0.3, 0.2, 0.1, 0.1, 0.0) == 0.0


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
    wide = fd.log_ratio_bias(0.4 + 2 * h, 0.2 - 3 * h, 0.4 - 2 * h, 0.2 + 3 * h, h, 0.1)
    assert fd.log_slope_bias(0.4, 0.2, 2.0, -3.0, 0.1) == pytest.approx(wide, rel=1e-6)


def test_known_numbers():
    """Printed as truth less reading; here it is the reading less the truth."""
    four = (0.6, 0.3, 0.59, 0.31, 1e-4)
    found = fd.log_ratio_bias(*four, [0.01, 0.05, 0.1, 0.3])
    np.testing.assert_allclose(found, [0.20067, 5.430, 30.88, -19.01], rtol=3e-4)
    assert fd.log_ratio_bias_weak(*four, 0.01) == pytest.approx(0.20006, rel=1e-4)
    assert fd.log_ratio_sd(*four, 0.01) == pytest.approx(260.8, rel=1e-3)
    assert fd.best_probe(6.0, 1e-3) == pytest.approx(0.0794, abs=5e-5)
    assert fd.white_box_saving(0.4, 0.005) == pytest.approx(12800)
    variance = fd.forward_sd([0.1, 0.01, 0.001], 0.04) ** 2
    np.testing.assert_allclose(variance, [0.32, 32, 3200])


def test_a_slope_without_bend_has_no_best_probe():
    with pytest.raises(DomainError, match="expected third_derivative other than 0"):
        fd.best_probe(0.0, 0.1)
