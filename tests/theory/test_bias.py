"""Means under noise against mpmath, simulation, known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from querytax.theory import bias

from .reference import assert_matches, grid

SIZES = grid(1e-300, 1e300, 30, span=12.0)
SIGMAS = (1e-300, 1e-9, 0.02, 0.7, 1.0, 1.3, 30.0, 1e300)
POINTS = [(sign * m, s) for m in (0.0, *SIZES) for s in SIGMAS for sign in (1, -1)]


def tail(x):
    """Φ(-x), zero where no float is left of it."""
    return mp.mpf(0) if x > 1e4 else mp.erfc(x / mp.sqrt(2)) / 2


def bell(x):
    return mp.mpf(0) if abs(x) > 1e4 else mp.npdf(x)


def relu_bias(m, s):
    t = abs(m) / s
    return s * (bell(t) - t * tail(t))


def test_relu():
    assert_matches(bias.relu_bias, relu_bias, POINTS)
    assert_matches(bias.relu_mean, lambda m, s: max(m, 0) + relu_bias(m, s), POINTS)

    def leaky(m, a, s):
        return (m if m > 0 else a * m) + (1 - a) * relu_bias(m, s)

    points = [(m, a, s) for m, s in POINTS for a in (0.0, 0.01, 1.0) if m or a < 1]
    assert_matches(bias.leaky_relu_mean, leaky, points)


def gelu_mean(m, s):
    r = mp.sqrt(1 + s * s)
    return m * tail(-m / r) + s * s / r * bell(m / r)


def test_gelu():
    """Where both terms cancel for good, at the mean's zero, no point lies."""
    assert_matches(bias.gelu_mean, gelu_mean, POINTS, digits=700)
    assert_matches(
        bias.gelu_bias,
        lambda m, s: gelu_mean(m, s) - m * tail(-m),
        [(m, s) for m, s in POINTS if abs(m) < 1e9],
        digits=700,
    )


def tanh_mean(m, s):
    """E tanh(D/2), m > 0: adaptive quadrature of D's density less its mirror image."""

    def term(x):
        gap = bell((x - m) / s) * -mp.expm1(-2 * x * m / s**2)
        return mp.tanh(x / 2) * gap / (s * min(m, 1))

    low, high = max(0, m - 14 * s), m + 14 * s
    inner = [x for x in (1, 3, 8, 20, 60) if low < x < high]
    cuts = [low + (high - low) * mp.mpf(k) / 10 for k in range(11)]
    return min(m, 1) * mp.quad(term, sorted({*map(mp.mpf, inner), *cuts}))


def test_two_class_margin():
    sizes, sigmas = (
        (1e-300, 1e-9, 0.1, 1.0, 20.0),
        (0.01, 0.3, 1.0, 3.9, 7.99, 8.01, 50),
    )
    points = [(m, s) for m in sizes for s in sigmas]
    assert_matches(bias.two_class_margin, tanh_mean, points, digits=25)
    got = bias.two_class_margin([-1e-9, 1e-9, 700.0, 1e300], [1e-300, 1e-12, 1.0, 1e-9])
    np.testing.assert_allclose(got, [-5e-10, 5e-10, 1.0, 1.0], rtol=1e-12)
    # So wide a noise leaves the signs alone.
    wide = bias.two_class_margin(1e200, 1e201)
    assert wide == pytest.approx(special.erf(0.1 / np.sqrt(2)))


def test_three_class_margin():
    """Clark's printed form, in digits enough for its cancellation."""

    def clark(first, second, theta):
        al = (second - first) / theta
        return first * tail(-al) + second * tail(al) - theta * bell(al)

    points = [
        (a, b, s)
        for a in (-3.0, 0.1, 2.0)
        for b in (-2.5, 0.1, 2.0, 40.0)
        for s in (1e-3, 0.3, 2.0, 1e6)
    ]
    assert_matches(bias.three_class_margin, clark, points, digits=400)


def test_reflected_and_clipped_means():
    """Clipped: F + b(F) - b(1-F), in digits enough for its cancellation."""
    sigmas = (1e-300, 1e-4, 0.02, 0.3, 0.499, 0.501, 2.0, 1e6, 1e300)

    def reflected(f, s):
        t = f / s
        return s * mp.sqrt(2 / mp.pi) * mp.exp(-t * t / 2) + f * (1 - 2 * tail(t))

    points = [(f, s) for f in (0.0, *grid(1e-9, 1.0)) for s in sigmas[1:]]
    assert_matches(bias.reflected_mean, reflected, points)
    assert_matches(
        bias.clipped_mean,
        lambda f, s: f + relu_bias(f, s) - relu_bias(1 - f, s),
        [(f, s) for f in (0.0, *grid(1e-300, 1.0, 16), 1.0) for s in sigmas],
        digits=700,
    )


def test_known_numbers():
    assert bias.relu_mean(0.04, 0.02) == pytest.approx(0.040170, abs=5e-7)
    assert bias.relu_mean(0.2, 0.6) == pytest.approx(0.35254, abs=5e-6)
    assert bias.two_class_margin(1.0, 0.8) == pytest.approx(0.414085, abs=5e-7)
    assert bias.reflected_mean(3e-4, 0.01) == pytest.approx(7.982e-3, abs=5e-7)


ACTIVATIONS = {
    bias.relu_mean: lambda x: np.maximum(x, 0),
    bias.gelu_mean: lambda x: x * special.ndtr(x),
    bias.two_class_margin: lambda x: np.tanh(x / 2),
    bias.clipped_mean: lambda x: np.clip(x, 0, 1),
    bias.reflected_mean: np.abs,
}


@pytest.mark.parametrize("law", ACTIVATIONS)
def test_against_simulation(law):
    """10⁶ draws against exact means: false alarm 6e-5 each, half a per cent is seen."""
    noise = np.random.default_rng(1).standard_normal(1_000_000)
    for mean, sigma in ((0.3, 0.4), (0.1, 1.5), (0.9, 0.05)):
        values = ACTIVATIONS[law](mean + sigma * noise)
        error = 4 * values.std() / 1000
        assert error < 0.005
        assert law(mean, sigma) == pytest.approx(values.mean(), abs=error)


def test_three_classes_against_simulation():
    """10⁶ draws of three noisy logits; four standard errors are 0.0035."""
    noise = np.random.default_rng(2).standard_normal((1_000_000, 3))
    logits = np.array([1.0, 0.7, 0.4]) + 0.5 * noise
    margin = logits[:, 0] - logits[:, 1:].max(axis=1)
    expected = bias.three_class_margin(0.3, 0.6, 0.5 * np.sqrt(2))
    assert expected == pytest.approx(margin.mean(), abs=4e-3 * margin.std())


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_symmetry(mean, sigma):
    found = bias.relu_bias(mean, sigma)
    # Largest at the kink.
    assert 0 <= found <= sigma / np.sqrt(2 * np.pi) * (1 + 1e-14)
    assert found == bias.relu_bias(-mean, sigma)
    assert bias.gelu_bias(mean, sigma) == bias.gelu_bias(-mean, sigma)
    # Noise shrinks the margin of two classes.
    found = bias.two_class_margin(mean, sigma)
    assert abs(found) <= np.tanh(abs(mean) / 2) * (1 + 1e-14) + 1e-320
    assert found == -bias.two_class_margin(-mean, sigma)
