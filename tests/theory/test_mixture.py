"""Noise of random scale against quadrature, simulation, and estimates of many draws."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special

from querytax.expect import DomainError
from querytax.theory import boundary, mixture, snr
from querytax.theory.law import RegimeWarning

SHAPES = {"arcsine": 0.5, "uniform": 1.0, "bell": 2.0}
MIXED = [([0.1, 1.0], [1, 1]), ([1.0, 3.0, 0.2], [2, 5, 3]), ([1.0, 1.5], [1, 99])]


def tail(y, form):
    return boundary.scaled_noise_flip(np.abs(y), 1.0, form)


@pytest.mark.parametrize("form", SHAPES)
@pytest.mark.parametrize("gap", [1e-3, 0.1, 0.7, 3.0, 9.0, 20.0])
def test_beta_wrong_sign_by_one_answer_s_law(form, gap):
    """P(k'ξ' > gap + x), the known law of one answer, over both parts of the other."""
    t = np.linspace(0, np.pi / 2, 401)
    t = 0.5 * (t[1:] + t[:-1])
    # Over the scale by even angles, over the normal by its own quadrature.
    scale = {"arcsine": np.sin(t) ** 2, "uniform": np.arange(0.00125, 1, 0.0025)}
    k = scale.get(form, special.betaincinv(2.0, 2.0, np.arange(0.00125, 1, 0.0025)))
    x, dx = np.linspace(-9.5, 9.5, 381, retstep=True)
    weight = dx * np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)
    place = gap + k[:, None] * x
    one = np.where(place > 0, tail(place, form), 1 - tail(place, form))
    found = (one @ weight).mean()
    law = mixture.beta_wrong_sign(gap, 1.0, form)
    # Midpoints over the scale leave 1e-4 of the far tail.
    assert law == pytest.approx(found, rel=2e-3 if gap < 9 else 0.2, abs=1e-6)


@pytest.mark.parametrize("gap", [1e-6, 0.02, 0.7, 5.0, 20.0, 50.0])
def test_beta_wrong_sign_of_an_even_scale(gap):
    """Over the length of two even scales, whose law is known in closed form."""
    with mp.workdps(30):
        a = mp.mpf(gap)

        def inside(r, angle):
            return r * angle * mp.erfc(a / (r * mp.sqrt(2))) / 2

        cuts = [0, a / 9, a, 1] if a < 1 else [0, 0.5, 1]
        whole = mp.quad(lambda r: inside(r, mp.pi / 2), cuts)
        rest = mp.quad(
            lambda r: inside(r, mp.pi / 2 - 2 * mp.acos(1 / r)), [1, 1.2, mp.sqrt(2)]
        )
        exact = float(whole + rest)
    law = mixture.beta_wrong_sign(3 * gap, 3.0)
    assert law == pytest.approx(exact, rel=1e-11)


def test_beta_wrong_sign_against_simulation():
    """2 10⁶ pairs; five standard errors are 0.0018."""
    rng = np.random.default_rng(11)
    for form, a in SHAPES.items():
        k = rng.beta(a, a, (2, 2_000_000))
        noise = (k * rng.standard_normal(k.shape)).sum(axis=0)
        law = mixture.beta_wrong_sign(0.4, 1.0, form)
        assert law == pytest.approx(np.mean(noise < -0.4), abs=0.0018)


def test_beta_wrong_sign_at_the_ends():
    for form in (*SHAPES, "constant"):
        ends = mixture.beta_wrong_sign([1e-300, 1e-12, 100.0, 1e300], 1.0, form)
        np.testing.assert_allclose(ends, [0.5, 0.5, 0.0, 0.0], atol=1e-10)
    constant = mixture.beta_wrong_sign(0.3, 0.5, "constant")
    assert constant == pytest.approx(special.ndtr(-0.3 / 0.25 / np.sqrt(2)))


def test_beta_snr():
    for a, square in ((0.5, 3 / 8), (1.0, 1 / 3), (2.0, 0.3), (1e300, 0.25)):
        law = mixture.beta_snr(0.7, 0.3, a)
        assert law == pytest.approx(0.7 / (2 * 0.09 * square), rel=1e-14)
    k = np.random.default_rng(2).beta(0.7, 0.7, 4_000_000)
    law = mixture.beta_snr(1.0, 1.0, 0.7)
    # Five standard errors are 0.25 %.
    assert law == pytest.approx(0.5 / np.mean(k**2), rel=0.0025)


def test_medians_under_beta_scales():
    """10,000 medians of 1,001 draws; five standard errors are 7 %."""
    rng = np.random.default_rng(6)
    for a in (2.0, 3.0, 20.0):
        x = rng.beta(a, a, (10_000, 1001)) * rng.standard_normal((10_000, 1001))
        found = (a + 1) / (2 * (2 * a + 1)) / 1001 / np.median(x, axis=1).var()
        # A kink at zero leaves a term of 1/√n.
        assert mixture.beta_median_gain(a) == pytest.approx(found, rel=0.11)
    ends = mixture.beta_median_gain([0.5, 1.0, 1.0 + 1e-9, 1e300])
    np.testing.assert_allclose(
        ends, [np.inf, np.inf, 2e18 / 3 / np.pi, 2 / np.pi], rtol=1e-6
    )


@pytest.mark.parametrize(("sigma", "weight"), MIXED)
def test_lists_against_simulation(sigma, weight):
    """2 10⁶ pairs; five standard errors are 0.0018 and 1.5 %."""
    rng = np.random.default_rng(4)
    chances = np.array(weight) / np.sum(weight)
    s = rng.choice(sigma, (2, 2_000_000), p=chances)
    noise = s[0] * rng.standard_normal(s[0].size) - s[1] * rng.standard_normal(
        s[1].size
    )
    law = mixture.wrong_sign(0.3, sigma, weight)
    assert law == pytest.approx(np.mean(noise < -0.3), abs=0.0018)
    assert mixture.snr(0.09, sigma, weight) == pytest.approx(
        0.09 / noise.var(), rel=0.015
    )


@pytest.mark.parametrize(("sigma", "weight"), MIXED)
def test_means_and_medians_of_many(sigma, weight):
    """20,000 means and medians of 401 draws; five standard errors are 7 %."""
    rng = np.random.default_rng(9)
    chances = np.array(weight) / np.sum(weight)
    s = rng.choice(sigma, (20_000, 401), p=chances)
    x = s * rng.standard_normal(s.shape)
    found = x.mean(axis=1).var() / np.median(x, axis=1).var()
    law = mixture.median_gain(sigma, weight)
    # The median's variance has a term of 1/n² as well.
    assert law == pytest.approx(found, rel=0.1)
    # Averages fall at the rate 1/n, whatever the mixture.
    variance = (chances * np.square(sigma)).sum()
    assert x.mean(axis=1).var() == pytest.approx(variance / 401, rel=0.05)
    assert mixture.information(sigma, weight) >= law * (1 - 1e-12)


@pytest.mark.parametrize(("sigma", "weight"), MIXED)
def test_information_by_quadrature(sigma, weight):
    s, w = np.array(sigma), np.array(weight) / np.sum(weight)

    def told(x):
        part = w / s * np.exp(-0.5 * np.square(x / s))
        return (part / s**2).sum() ** 2 * x**2 / part.sum() / np.sqrt(2 * np.pi)

    cuts = s.max() * np.array([0, 0.01, 0.03, 0.1, 0.3, 1, 3, 8, 20])
    parts = [
        integrate.quad(told, *ends, epsabs=0, epsrel=1e-12, limit=200)[0]
        for ends in pairwise(cuts)
    ]
    exact = 2 * sum(parts) * (w * s * s).sum()
    assert mixture.information(sigma, weight) == pytest.approx(exact, rel=1e-10)


def test_information_is_reached():
    """3,000 estimates by scoring from 400 draws; five standard errors are 13 %."""
    sigma, chances = np.array([0.1, 1.0]), np.array([0.5, 0.5])
    rng = np.random.default_rng(12)
    s = rng.choice(sigma, (3000, 400), p=chances)
    x = s * rng.standard_normal(s.shape)
    variance = (chances * sigma**2).sum()
    told = mixture.information(sigma, chances) / variance
    place = np.median(x, axis=1, keepdims=True)
    for _ in range(3):
        part = (
            chances / sigma * np.exp(-0.5 * np.square((x - place)[..., None] / sigma))
        )
        score = (x - place) * (part / sigma**2).sum(axis=-1) / part.sum(axis=-1)
        place = place + score.mean(axis=1, keepdims=True) / told
    assert place.var() * 400 * told == pytest.approx(1.0, rel=0.14)


@given(
    st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), min_size=1, max_size=5)
)
def test_bounds_and_units(parts):
    sigma, weight = (np.array(side) for side in zip(*parts, strict=True))
    w = weight / weight.sum()
    told = mixture.information(sigma, weight)
    most = (w * sigma**2).sum() * (w / sigma**2).sum()
    assert 1 - 1e-12 <= told <= most * (1 + 1e-12)
    gain = mixture.median_gain(sigma, weight)
    assert 2 / np.pi * (1 - 1e-12) <= gain <= told * (1 + 1e-12)
    for law in (mixture.information, mixture.median_gain):
        same = law(sigma * 2.0**300, weight * 2.0**-300)
        assert same == pytest.approx(law(sigma, weight), rel=1e-12)
    # Parts of one scale are one normal noise.
    alone = mixture.snr(0.1, np.full_like(sigma, 0.4), weight)
    assert alone == pytest.approx(snr.output(0.1, 0.4))
    one = mixture.wrong_sign(0.2, np.full_like(sigma, 0.4), weight)
    assert one == pytest.approx(special.ndtr(-0.2 / 0.4 / np.sqrt(2)))


def test_domains():
    with pytest.raises(DomainError, match="expected weight > 0"):
        mixture.snr(0.1, [0.1, 0.2], [1, 0])
    with pytest.raises(DomainError, match="expected shape > 0"):
        mixture.beta_snr(0.1, 0.1, 0)
    with pytest.raises(DomainError, match="expected form to be one of"):
        mixture.beta_wrong_sign(0.1, 0.1, "flat")
    with pytest.warns(RegimeWarning, match="scales within a factor of 1e6"):
        mixture.information([1e-7, 1.0], [1, 1])
