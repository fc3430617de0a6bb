"""The cosine's law against mpmath, other laws, and known values."""

from itertools import product

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from querytax.expect import DomainError
from querytax.theory import angle, drift, misstep, snr

from .reference import assert_matches, kappa

COUNTS = (1, 2, 3, 10, 55, 1000, 10_000)
RATIOS = (0.0, 1e-8, 1e-3, 0.1, 1.0, 3.0, 300.0, 1e6, 1e100)


def mean(_, s, d, b):
    rho2 = 1 / (1 + 2 * s * s)
    series = mp.hyp2f1(1 - b / 2, mp.mpf(1) / 2, d / 2 + 1, rho2)
    return mp.sqrt(rho2) * kappa(b) / kappa(d + 1) * series


def rms(_, s, d, b):
    """By the complement: E sin² has one term."""
    rho2 = 1 / (1 + 2 * s * s)
    return mp.sqrt(1 - (d - 1) / d * mp.hyp2f1((1 - b) / 2, 1, d / 2 + 1, rho2))


def test_cosines():
    grid = [*product((1.0,), RATIOS, (1, 2, 7, 50, 3072, 10**6), COUNTS)]
    assert_matches(angle.mean_cosine, mean, grid)
    assert_matches(angle.rms_cosine, rms, grid)


def log_tail(_, s, b):
    """½ I_x(b/2, ½) as ∫ sin^(b-1) up to arcsin √x."""
    c = mp.sqrt(2) * s
    end = mp.atan(c)
    top = mp.log(mp.sin(end))
    rate = (b - 1) / mp.tan(end)
    length = min(end, 130 / max(rate, mp.sqrt(b) / 12))
    panels = [length * k / 24 for k in range(25)]
    value = mp.quad(
        lambda y: mp.exp((b - 1) * (mp.log(mp.sin(end - y)) - top)) if y < end else 0,
        panels,
    )
    return (b - 1) * top + mp.log(kappa(b) / mp.sqrt(2 * mp.pi) * value)


def test_backwards():
    grid = [*product((1.0,), (1e-9, 1e-3, 0.1, 1.0, 30.0, 1e6), COUNTS[1:])]
    assert_matches(angle.log_backwards, log_tail, grid, digits=40)
    _, s, b = (np.array(axis) for axis in zip(*grid, strict=True))
    x, rest = 2 * s**2 / (1 + 2 * s**2), 1 / (1 + 2 * s**2)
    near, far = special.betainc(b / 2, 0.5, x), special.betaincc(0.5, b / 2, rest)
    tail = np.where(x < 0.5, near, far)
    found = angle.backwards(1.0, s, b)
    np.testing.assert_allclose(found, tail / 2, rtol=1e-10, atol=1e-300)
    # One direction: the arctan.
    s = np.geomspace(1e-100, 1e100, 41)
    flips = np.arctan(np.sqrt(2) * s) / np.pi
    np.testing.assert_allclose(angle.backwards(1.0, s, 1), flips, rtol=1e-12)


def test_known_numbers():
    for form, *arguments, known, off in (
        ("forward", 1, 50, 20, 1, 0.339548, 5e-7),
        ("antithetic", 1, 50, 20, 1, 0.456493, 5e-7),
        ("antithetic", 0, 3072, 20, 1, 0.0795, 1.1e-4),
        ("antithetic", 1, 3072, 20, 1, 0.0649, 1.1e-4),
        ("antithetic", 2, 3072, 20, 1, 0.0459, 1.1e-4),
        ("antithetic", 10, 3072, 20, 1, 0.0112, 1.1e-4),
        ("antithetic", 20, 3072, 20, 1, 0.0056, 1.1e-4),
        ("forward", 1, 3072, 20, 1, 0.0460, 5e-5),
        # 120 queries, d = 100, α = 2.
        ("forward", 2, 100, 60, 1, 0.2487, 5e-5),
        ("forward", 2, 100, 30, 2, 0.2359, 5e-5),
        ("forward", 2, 100, 12, 5, 0.2060, 5e-5),
        ("forward", 2, 100, 6, 10, 0.1728, 5e-5),
        ("antithetic", 2, 100, 60, 1, 0.407, 1e-3),
        ("centred", 2, 100, 120, 1, 0.437, 1e-3),
    ):
        assert angle.mean_cosine(1, *arguments, form) == pytest.approx(known, abs=off)


def test_many_dimensions():
    """ρ √(B/d) for 1 << B << d, and close to drift.plain."""
    found = angle.mean_cosine(1, 1.0, 10**9, 1000)
    assert found == pytest.approx(np.sqrt(1000 / 3 / 1e9), rel=5e-3)
    for form, signal in (("forward", 0.5), ("antithetic", 2.0)):
        other = drift.plain(signal, 3072, 200)
        found = angle.rms_cosine(1, 1.0, 3072, 200, differences=form)
        assert found == pytest.approx(other, rel=5e-3)


@given(
    st.integers(2, 10**6),
    st.integers(1, 10**4),
    st.floats(1e-99, 1e3),
    st.integers(1, 50),
)
def test_equivalents(d, count, alpha, repeats):
    found = angle.mean_cosine(1, alpha, d, count, repeats)
    reflected = angle.mean_cosine(1, alpha, d, count, repeats, "antithetic")
    assert 0 < found <= reflected * (1 + 1e-12)
    # Four times the repeats are half the noise.
    same = angle.mean_cosine(1, 2 * alpha, d, count, 4 * repeats)
    assert same == pytest.approx(found)
    one = misstep.random_direction(snr.averaged(1 / (2 * alpha**2), repeats))
    assert angle.backwards(1, alpha, 1, repeats) == pytest.approx(one, rel=1e-11)


def test_one_dimension_is_a_sign():
    wrong = angle.backwards(1, 0.8, 7)
    assert angle.mean_cosine(1, 0.8, 1, 7) == pytest.approx(1 - 2 * wrong, rel=1e-12)
    assert angle.rms_cosine(1, 0.8, 1, 7) == pytest.approx(1, rel=1e-12)


def test_domains():
    with pytest.raises(DomainError, match="expected directions a whole number >= 2"):
        angle.mean_cosine(0.1, 0.1, 10, 1, differences="centred")
    with pytest.raises(DomainError, match="expected differences to be one of"):
        angle.backwards(0.1, 0.1, 10, differences="reflected")
