"""Noise of random scale against quadrature, simulation, and estimates of many draws."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special

from querytax.theory import boundary, mixture, snr
from querytax.theory.law import RegimeWarning

from .reference import assert_matches

SHAPES = {"arcsine": 0.5, "uniform": 1.0, "bell": 2.0}
MIXED = [([0.1, 1.0], [1, 1]), ([1.0, 3.0, 0.2], [2, 5, 3]), ([1.0, 1.5], [1, 99])]
mixtures = pytest.mark.parametrize(("sigmas", "weights"), MIXED)


@pytest.mark.parametrize("law", SHAPES)
@pytest.mark.parametrize("gap", [1e-3, 0.1, 0.7, 3.0, 9.0, 20.0])
def test_beta_wrong_sign_by_one_answer_s_law(law, gap):
    """P(k'ξ' > gap + x), the known law of one answer, over both parts of the other."""
    even = np.arange(0.00125, 1, 0.0025)
    # Over the scale by even angles, over the normal by its own quadrature.
    scale = {"arcsine": np.sin(np.pi / 2 * even) ** 2, "uniform": even}
    k = scale.get(law, special.betaincinv(2.0, 2.0, even))
    x, dx = np.linspace(-9.5, 9.5, 381, retstep=True)
    place = gap + k[:, None] * x
    tail = boundary.scaled_noise_flip(np.abs(place), 1.0, law)
    one = np.where(place > 0, tail, 1 - tail)
    found = (one @ (dx * np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi))).mean()
    # Midpoints over the scale leave 1e-4 of the far tail.
    rough = pytest.approx(found, rel=2e-3 if gap < 9 else 0.2, abs=1e-6)
    assert mixture.beta_wrong_sign(gap, 1.0, law) == rough


def test_beta_wrong_sign_of_an_even_scale():
    """Over the length of two even scales, whose law is known in closed form."""

    def exact(gap, sigma):
        a, top = gap / sigma, mp.sqrt(2)

        def inside(r, angle):
            return r * angle * mp.erfc(a / (r * mp.sqrt(2))) / 2

        cuts = [0, a / 9, a, 1] if a < 1 else [0, 0.5, 1]
        whole = mp.quad(lambda r: inside(r, mp.pi / 2), cuts)
        # Far tails crowd at the greatest length.
        cuts = [*(top - (top - 1) / 2**k for k in range(16)), top]
        ring = mp.quad(lambda r: inside(r, mp.pi / 2 - 2 * mp.acos(1 / r)), cuts)
        return whole + ring

    near = [(3 * gap, 3.0) for gap in (1e-6, 0.02, 0.7, 5.0)]
    assert_matches(mixture.beta_wrong_sign, exact, near, digits=30)
    far = [(60.0, 3.0), (150.0, 3.0)]
    assert_matches(mixture.beta_wrong_sign, exact, far, tolerance=2e-10, digits=30)


def test_beta_wrong_sign_against_simulation():
    """2 10⁶ pairs; five standard errors are 0.0018."""
    rng = np.random.default_rng(11)
    for law, a in SHAPES.items():
        k = rng.beta(a, a, (2, 2_000_000))
        wrong = np.mean((k * rng.standard_normal(k.shape)).sum(axis=0) < -0.4)
        found = mixture.beta_wrong_sign(0.4, 1.0, law)
        assert found == pytest.approx(wrong, abs=0.0018)


def test_beta_wrong_sign_at_the_ends():
    for law in (*SHAPES, "constant"):
        ends = mixture.beta_wrong_sign([0, 1e-300, 1e-12, 100.0, 1e300], 1.0, law)
        np.testing.assert_allclose(ends, [0.5, 0.5, 0.5, 0.0, 0.0], atol=1e-10)
        ends = mixture.beta_wrong_sign([0, 1e-300], 0.0, law)
        np.testing.assert_allclose(ends, [0.5, 0.0], rtol=1e-15)
    constant = mixture.beta_wrong_sign(0.3, 0.5, "constant")
    assert constant == pytest.approx(special.ndtr(-0.3 / 0.25 / np.sqrt(2)))


def test_beta_moments():
    points = [(a, j) for a in (1e-9, 0.5, 1.0, 2.0, 40.0, 1e9) for j in (1, 2, 3, 60)]
    assert_matches(
        mixture.beta_moment,
        lambda a, j: mp.beta(a + j, a) / mp.beta(a, a),
        points,
        tolerance=1e-14,
    )
    k = np.random.default_rng(2).beta(0.7, 0.7, 4_000_000)
    # Five standard errors are 0.25 %.
    law = mixture.beta_snr(1.0, 1.0, 0.7)
    assert law == pytest.approx(0.5 / np.mean(k**2), rel=0.0025)
    for a, square in ((0.5, 3 / 8), (1.0, 1 / 3), (2.0, 0.3), (1e300, 0.25)):
        assert mixture.beta_moment(a, 2) == pytest.approx(square, rel=1e-15)
        law = mixture.beta_snr(0.7, 0.3, a)
        assert law == pytest.approx(0.7 / (2 * 0.09 * square), rel=1e-14)


def test_medians_under_beta_scales():
    """10,000 medians of 1,001 draws; five standard errors are 7 %."""
    rng = np.random.default_rng(6)
    for a in (2.0, 3.0, 20.0):
        x = rng.beta(a, a, (10_000, 1001)) * rng.standard_normal((10_000, 1001))
        found = mixture.beta_moment(a, 2) / 1001 / np.median(x, axis=1).var()
        # A kink at zero leaves a term of 1/√n.
        assert mixture.beta_median_gain(a) == pytest.approx(found, rel=0.11)
    ends = mixture.beta_median_gain([0.5, 1.0, 1.0 + 1e-9, 1e300])
    exact = [np.inf, np.inf, 2e18 / 3 / np.pi, 2 / np.pi]
    np.testing.assert_allclose(ends, exact, rtol=1e-6)


@mixtures
def test_lists_against_simulation(sigmas, weights):
    """2 10⁶ pairs; five standard errors are 0.0018 and 1.5 %."""
    rng = np.random.default_rng(4)
    s = rng.choice(sigmas, (2, 2_000_000), p=np.array(weights) / np.sum(weights))
    noise = s[0] * rng.standard_normal(s[0].size)
    noise -= s[1] * rng.standard_normal(s[1].size)
    law = mixture.wrong_sign(0.3, sigmas, weights)
    assert law == pytest.approx(np.mean(noise < -0.3), abs=0.0018)
    law = mixture.snr(0.09, sigmas, weights)
    assert law == pytest.approx(0.09 / noise.var(), rel=0.015)


@mixtures
def test_means_and_medians_of_many(sigmas, weights):
    """20,000 means and medians of 401 draws; five standard errors are 7 %."""
    rng = np.random.default_rng(9)
    chances = np.array(weights) / np.sum(weights)
    s = rng.choice(sigmas, (20_000, 401), p=chances)
    x = s * rng.standard_normal(s.shape)
    law = mixture.median_gain(sigmas, weights)
    # The median's variance has a term of 1/n² as well.
    found = x.mean(axis=1).var() / np.median(x, axis=1).var()
    assert law == pytest.approx(found, rel=0.1)
    # Averages fall at the rate 1/n, whatever the mixture.
    variance = (chances * np.square(sigmas)).sum()
    assert x.mean(axis=1).var() == pytest.approx(variance / 401, rel=0.05)
    assert mixture.information(sigmas, weights) >= law * (1 - 1e-12)


@mixtures
def test_information_by_quadrature(sigmas, weights):
    s, w = np.array(sigmas), np.array(weights) / np.sum(weights)

    def told(x):
        part = w / s * np.exp(-0.5 * np.square(x / s))
        return (part / s**2).sum() ** 2 * x**2 / part.sum() / np.sqrt(2 * np.pi)

    cuts = s.max() * np.array([0, 0.01, 0.03, 0.1, 0.3, 1, 3, 8, 20])
    parts = [
        integrate.quad(told, *ends, epsabs=0, epsrel=1e-12, limit=200)[0]
        for ends in pairwise(cuts)
    ]
    exact = 2 * sum(parts) * (w * s * s).sum()
    assert mixture.information(sigmas, weights) == pytest.approx(exact, rel=1e-10)


def test_information_is_reached():
    """3,000 estimates by scoring from 400 draws; five standard errors are 13 %."""
    sigmas, rng = np.array([0.1, 1.0]), np.random.default_rng(12)
    s = rng.choice(sigmas, (3000, 400), p=[0.5, 0.5])
    x = s * rng.standard_normal(s.shape)
    told = mixture.information(sigmas, 1.0) / np.mean(sigmas**2)
    place = np.median(x, axis=1, keepdims=True)
    for _ in range(3):
        part = np.exp(-0.5 * np.square((x - place)[..., None] / sigmas)) / sigmas
        score = (x - place) * (part / sigmas**2).sum(axis=-1) / part.sum(axis=-1)
        place = place + score.mean(axis=1, keepdims=True) / told
    assert place.var() * 400 * told == pytest.approx(1.0, rel=0.14)


@given(
    st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), min_size=1, max_size=5)
)
def test_bounds_and_units(parts):
    sigmas, weights = (np.array(side) for side in zip(*parts, strict=True))
    w = weights / weights.sum()
    told = mixture.information(sigmas, weights)
    most = (w * sigmas**2).sum() * (w / sigmas**2).sum()
    assert 1 - 1e-12 <= told <= most * (1 + 1e-12)
    gain = mixture.median_gain(sigmas, weights)
    assert 2 / np.pi * (1 - 1e-12) <= gain <= told * (1 + 1e-12)
    for law in (mixture.information, mixture.median_gain):
        same = law(sigmas * 2.0**300, weights * 2.0**-300)
        assert same == pytest.approx(law(sigmas, weights), rel=1e-12)
    # Parts of one scale are one normal noise.
    alone = np.full_like(sigmas, 0.4)
    assert mixture.snr(0.1, alone, weights) == pytest.approx(snr.output(0.1, 0.4))
    one = mixture.wrong_sign(0.2, alone, weights)
    assert one == pytest.approx(special.ndtr(-0.2 / 0.4 / np.sqrt(2)))


def test_some_or_all_noises_are_nothing():
    found = mixture.wrong_sign(1.0, [[0.0, 0.0], [0.0, 2.0]], 1.0)
    # Both loud, or one of the two.
    exact = special.ndtr(-1 / np.sqrt(8)) / 4 + special.ndtr(-1 / 2) / 2
    np.testing.assert_allclose(found, [0.0, exact], rtol=1e-15)
    assert mixture.wrong_sign(0.0, [0.0, 2.0], 1.0) == 0.5
    assert mixture.snr([0.0, 0.1], [0.0, 0.0], 1.0).tolist() == [0.0, np.inf]


def test_information_warns_of_what_it_cannot_resolve():
    with pytest.warns(RegimeWarning, match="scales within a factor of 1e6"):
        mixture.information([1e-7, 1.0], [1, 1])
