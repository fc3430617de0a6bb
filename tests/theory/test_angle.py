"""The cosine's law against mpmath, simulated estimates, and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from querytax.expect import DomainError
from querytax.theory import angle, misstep, query_ratio, snr

from .reference import assert_matches

COUNTS = (1, 2, 3, 10, 55, 1000, 10_000)
RATIOS = (0.0, 1e-8, 1e-3, 0.1, 1.0, 3.0, 300.0, 1e6, 1e100)


def kappa(n):
    return mp.sqrt(2) * mp.exp(mp.loggamma((n + 1) / 2) - mp.loggamma(n / 2))


def mean(d, b, s):
    rho2 = 1 / (1 + 2 * s * s)
    series = mp.hyp2f1(1 - b / 2, mp.mpf(1) / 2, d / 2 + 1, rho2)
    return mp.sqrt(rho2) * kappa(b) / kappa(d + 1) * series


def rms(d, b, s):
    """By the complement: E sin² has one term."""
    rho2 = 1 / (1 + 2 * s * s)
    return mp.sqrt(1 - (d - 1) / d * mp.hyp2f1((1 - b) / 2, 1, d / 2 + 1, rho2))


def test_cosines():
    grid = [
        (d, b, s) for d in (1, 2, 7, 50, 3072, 10**6) for b in COUNTS for s in RATIOS
    ]
    assert_matches(lambda d, b, s: angle.mean_cosine(d, b, 1.0, s), mean, grid)
    assert_matches(lambda d, b, s: angle.rms_cosine(d, b, 1.0, s), rms, grid)


def log_tail(b, s):
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
    grid = [(b, s) for b in COUNTS[1:] for s in (1e-9, 1e-3, 0.1, 1.0, 30.0, 1e6)]
    assert_matches(
        lambda b, s: angle.log_backwards(b, 1.0, s), log_tail, grid, digits=40
    )
    b, s = (np.array(axis) for axis in zip(*grid, strict=True))
    found = angle.backwards(b, 1.0, s)
    x, rest = 2 * s**2 / (1 + 2 * s**2), 1 / (1 + 2 * s**2)
    tail = np.where(
        x < 0.5,
        special.betainc(b / 2, 0.5, x),
        special.betaincc(0.5, b / 2, rest),
    )
    np.testing.assert_allclose(found, tail / 2, rtol=1e-10, atol=1e-300)
    # One direction: the arctan.
    s = np.geomspace(1e-100, 1e100, 41)
    flips = np.arctan(np.sqrt(2) * s) / np.pi
    np.testing.assert_allclose(angle.backwards(1, 1.0, s), flips, rtol=1e-12)


def simulate(d, count, alpha, form, repeats, runs, rng):
    """Cosines of estimates of a linear loss along the first axis."""
    u = rng.standard_normal((runs, count, d))
    noise = alpha * rng.standard_normal((2, runs, count, repeats)).mean(axis=-1)
    if form == "forward":
        answers = u[..., 0] + noise[0] - noise[1]
    elif form == "antithetic":
        answers = u[..., 0] + (noise[0] - noise[1]) / 2
    else:
        answers = u[..., 0] + noise[0]
        answers = answers - answers.mean(axis=1, keepdims=True)
    estimate = np.einsum("rb,rbd->rd", answers, u)
    return estimate[:, 0] / np.linalg.norm(estimate, axis=1)


@pytest.mark.parametrize("form", ["forward", "antithetic", "centred"])
@pytest.mark.parametrize(
    ("d", "count", "alpha", "repeats"), [(5, 3, 0.7, 1), (12, 8, 2.0, 3), (2, 2, 1, 1)]
)
def test_simulated_estimates(form, d, count, alpha, repeats):
    """4·10⁴ estimates; five standard errors, which are at most 0.02."""
    rng = np.random.default_rng(21)
    cos = simulate(d, count, alpha, form, repeats, 40_000, rng)
    arguments = (count, 1.0, alpha, repeats, form)
    root = np.sqrt(cos.size)
    for values, law in (
        (cos, angle.mean_cosine(d, *arguments)),
        (cos**2, angle.rms_cosine(d, *arguments) ** 2),
        (cos < 0, angle.backwards(*arguments)),
    ):
        error = values.std() / root
        assert error < 0.004
        assert abs(values.mean() - law) < 5 * error


def test_known_numbers():
    assert angle.mean_cosine(50, 20, 1, 1) == pytest.approx(0.339548, abs=5e-7)
    reflected = angle.mean_cosine(50, 20, 1, 1, form="antithetic")
    assert reflected == pytest.approx(0.456493, abs=5e-7)
    found = angle.mean_cosine(3072, 20, 1, [0, 1, 2, 10, 20], form="antithetic")
    listed = [0.0795, 0.0649, 0.0459, 0.0112, 0.0056]
    np.testing.assert_allclose(found, listed, atol=1.1e-4)
    assert angle.mean_cosine(3072, 20, 1, 1) == pytest.approx(0.0460, abs=5e-5)
    # 120 queries, d = 100, α = 2.
    found = angle.mean_cosine(100, [60, 30, 12, 6], 1, 2, [1, 2, 5, 10])
    np.testing.assert_allclose(found, [0.2487, 0.2359, 0.2060, 0.1728], atol=5e-5)
    found = [
        angle.mean_cosine(100, 60, 1, 2, form="antithetic"),
        angle.mean_cosine(100, 120, 1, 2, form="centred"),
    ]
    np.testing.assert_allclose(found, [0.407, 0.437], atol=1e-3)


def test_many_dimensions():
    """ρ √(B/d) for 1 << B << d, and close to query_ratio.plain_drift."""
    found = angle.mean_cosine(10**9, 1000, 1, 1.0)
    assert found == pytest.approx(np.sqrt(1000 / 3 / 1e9), rel=5e-3)
    for form, signal in (("forward", 0.5), ("antithetic", 2.0)):
        other = query_ratio.plain_drift(signal, 3072, 200)
        found = angle.rms_cosine(3072, 200, 1, 1.0, form=form)
        assert found == pytest.approx(other, rel=5e-3)


@given(
    st.integers(2, 10**6), st.integers(1, 10**4), st.floats(0, 1e3), st.integers(1, 50)
)
def test_order(d, count, alpha, repeats):
    def cosine(*arguments):
        return angle.mean_cosine(d, *arguments)

    found = cosine(count, 1, alpha, repeats)
    assert 0 < found <= angle.rms_cosine(d, count, 1, alpha, repeats) * (1 + 1e-12)
    assert found <= cosine(count + 1, 1, alpha, repeats) * (1 + 1e-12)
    assert found <= cosine(count, 1, alpha, repeats, "antithetic") * (1 + 1e-12)
    # Four times the repeats are half the noise.
    assert cosine(count, 1, 2 * alpha, 4) == pytest.approx(cosine(count, 1, alpha))
    wrong = angle.backwards(count, 1, alpha, repeats)
    assert wrong <= 0.5
    assert angle.backwards(count + 1, 1, alpha, repeats) <= wrong * (1 + 1e-12)
    ratio = 1 / (2 * alpha**2) if alpha > 1e-100 else np.inf
    if np.isfinite(ratio):
        one = misstep.random_direction(snr.averaged(ratio, repeats))
        assert angle.backwards(1, 1, alpha, repeats) == pytest.approx(one, rel=1e-11)


def test_one_dimension_is_a_sign():
    wrong = angle.backwards(7, 1, 0.8)
    assert angle.mean_cosine(1, 7, 1, 0.8) == pytest.approx(1 - 2 * wrong, rel=1e-12)
    assert angle.rms_cosine(1, 7, 1, 0.8) == pytest.approx(1, rel=1e-12)


def test_domains():
    with pytest.raises(DomainError, match="expected directions a whole number >= 2"):
        angle.mean_cosine(10, 1, 0.1, 0.1, form="centred")
    with pytest.raises(DomainError, match="expected form to be one of"):
        angle.backwards(10, 0.1, 0.1, form="reflected")
    assert angle.log_backwards(3, 1.0, 0.0) == -np.inf
