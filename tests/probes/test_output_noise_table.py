"""The integrated cross-entropy under output noise, against mpmath and the theory."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from querytax.losses import FLOOR
from querytax.probes.output_noise import cross_entropy_under_noise
from querytax.theory.efficiency import log_mean, log_variance

FORMS = ("raw", "reflect", "clip")
LEVELS = (0.0, 1e-6, 0.003, 0.02, 0.3, 0.5, 0.9, 0.995, 1.0)


def reference(f, sigma, form):
    """Mean, variance and slope by adaptive quadrature between the corners."""

    def released(p):
        if form == "clip":
            p = min(max(p, mp.mpf(0)), mp.mpf(1))
        p = abs(p)
        return min(p, mp.mpf(1)) if form == "reflect" else p

    def loss(p):
        return -mp.log(max(released(p), mp.mpf(FLOOR)))

    def density(p):
        return mp.npdf(p, f, sigma)

    corners = [mp.mpf(c) for c in (-1, -FLOOR, 0, FLOOR, 1)]
    near = [s * sigma * mp.mpf(10) ** -k for k in range(6) for s in (-1, 1)]
    low, high = f - 10 * sigma, f + 10 * sigma
    inner = [f + s * sigma for s in (-4, -1, 0, 1, 4)]
    cuts = sorted({low, high, *(c for c in corners + near + inner if low < c < high)})
    mean = mp.quad(lambda p: density(p) * loss(p), cuts)
    variance = mp.quad(lambda p: density(p) * (loss(p) - mean) ** 2, cuts)
    slope = mp.quad(lambda p: density(p) * (p - f) / sigma**2 * (loss(p) - mean), cuts)
    return float(mean), float(variance), float(slope)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sigma", [0.01, 0.2])
def test_against_quadrature(form, sigma):
    table = cross_entropy_under_noise(sigma, form)
    levels = np.array(LEVELS)
    exact = np.array([reference(mp.mpf(f), mp.mpf(sigma), form) for f in LEVELS])
    np.testing.assert_allclose(
        table.variance(levels), exact[:, 1], rtol=2e-6, atol=1e-9
    )
    between = table.change(levels[1:], levels[:-1])
    np.testing.assert_allclose(between, np.diff(exact[:, 0]), rtol=2e-6, atol=1e-9)
    apart = 1e-9 * sigma
    inside = np.clip(levels, apart, 1 - apart)
    slope = table.change(inside + apart, inside - apart) / (2 * apart)
    np.testing.assert_allclose(slope, exact[:, 2], rtol=1e-5, atol=3e-5 / sigma)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([1e-6, 1e-4, 0.01, 0.1]),
    st.sampled_from(["raw", "reflect"]),
    st.floats(-12, -0.31),
    st.floats(-6, 0),
)
def test_against_the_theory_far_from_the_ceiling(sigma, form, level, change):
    """Changes by a millionth of a probability to its double, down to one of 1e-12.

    A naive difference of two means loses all digits there.
    """
    low = 10.0**level
    high = low * (1 + 10.0**change)
    table = cross_entropy_under_noise(sigma, form)
    if form == "reflect" and high + 9 * sigma > 1:
        return
    t = np.array([low, high]) / sigma
    np.testing.assert_allclose(
        table.variance(np.array([low, high])), log_variance(t), rtol=1e-4
    )
    exact = float(
        -mp.quad(
            lambda u: mp.mpf(2) ** 0.5 * dawson(u / mp.sqrt(2)), list(map(mp.mpf, t))
        )
    )
    assert table.change(np.array(high), np.array(low)) == pytest.approx(exact, rel=1e-5)
    if t[1] > 1.1 * t[0] and t[0] > 1e-3:
        assert exact == pytest.approx(-np.diff(log_mean(t))[0], rel=1e-6)


def dawson(x):
    """Half the root of pi, times exp(-x^2) erfi(x); its series where that overflows."""
    if x > 25:
        return (1 + 1 / (2 * x**2) + 3 / (4 * x**4) + 15 / (8 * x**6)) / (2 * x)
    return mp.sqrt(mp.pi) / 2 * mp.exp(-(x**2)) * mp.erfi(x)


@pytest.mark.parametrize("form", FORMS)
def test_large_noise_flattens_everything(form):
    changes = [
        abs(cross_entropy_under_noise(s, form).change(np.array(0.9), np.array(0.1)))
        for s in (1.0, 10.0, 100.0)
    ]
    assert changes == sorted(changes, reverse=True)
    assert 0 < changes[-1] < 0.2
