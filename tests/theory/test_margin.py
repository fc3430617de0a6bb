"""Accuracy from margins against mpmath, simulation and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from querytax.expect import DomainError
from querytax.theory import accuracy as outputs
from querytax.theory import boundary, margin

from .reference import assert_matches, grid

SCALES = (1e-300, 1e-3, 0.5, 1.0, 7.0, 1e5, 1e300)


def test_one_image_is_a_normal_tail():
    points = [
        (m, g, s)
        for m in (-3.0, -0.2, 0.0, *grid(1e-6, 30, 10))
        for g, s in ((1.0, 1.0), (2.0, 0.3), (1e-200, 1e200))
    ]

    def tail(m, g, s):
        return mp.erfc(m / (s * g) / mp.sqrt(2)) / 2

    def single(law):
        return lambda m, g, s: law(m[:, None], g[:, None], s)

    assert_matches(single(margin.accuracy), lambda m, g, s: tail(-m, g, s), points)
    assert_matches(
        single(margin.flip_share), lambda m, g, s: tail(abs(m), g, s), points
    )
    assert_matches(
        single(margin.accuracy_loss),
        lambda m, g, s: mp.sign(m) * tail(abs(m), g, s),
        points,
    )


def test_margins_of_a_linear_model_under_input_noise():
    """4e6 draws: 2,000 images of 20 pixels, 2,000 noises; five standard errors."""
    rng = np.random.default_rng(7)
    weights, images = rng.standard_normal(20), rng.standard_normal((2000, 20))
    labels = np.where(images @ weights + 3.0 * rng.standard_normal(2000) > 0, 1, -1)
    margins, sigma = labels * (images @ weights), 0.4
    noise = sigma * rng.standard_normal((2000, 2000, 20)).dot(weights)
    noisy = margins[:, None] + labels[:, None] * noise
    right = (noisy > 0).mean(axis=1)
    norm = np.linalg.norm(weights)
    error = 5 * 0.5 / np.sqrt(noise.size)
    assert margin.accuracy(margins, norm, sigma) == pytest.approx(
        right.mean(), abs=error
    )
    lost = (margins > 0).mean() - right.mean()
    assert margin.accuracy_loss(margins, norm, sigma) == pytest.approx(lost, abs=error)
    flips = ((noisy > 0) != (margins > 0)[:, None]).mean()
    assert margin.flip_share(margins, norm, sigma) == pytest.approx(flips, abs=error)


def test_weak_noise_follows_the_two_scaling_laws():
    """Margins r ~ N(1, 0.7²) by their quantiles: linear flips, quadratic loss."""
    r = 1.0 + 0.7 * special.ndtri((np.arange(2_000_000) + 0.5) / 2_000_000)
    bell = np.exp(-0.5 / 0.49) / (0.7 * np.sqrt(2 * np.pi))
    flips, loss = margin.flip_share(r, 1.0, 0.03), margin.accuracy_loss(r, 1.0, 0.03)
    assert boundary.flip_rate(bell, 0.03) == pytest.approx(flips, rel=2e-3)
    assert boundary.net_loss(bell / 0.49, 0.03) == pytest.approx(loss, rel=5e-3)
    # The sheet's example, exact value and simulation alike.
    assert margin.accuracy_loss(r, 1.0, 0.2) == pytest.approx(0.008218, abs=2e-6)
    assert margin.flip_share(r, 1.0, 0.2) == pytest.approx(0.0336, abs=1e-4)


def test_quantile_sigma_on_evenly_spread_margins():
    m = (np.arange(1_000_000) + 0.5) / 1_000_000
    sigma = margin.quantile_sigma(np.quantile(m, 0.01))
    assert margin.flip_share(m, 1.0, sigma) == pytest.approx(0.01, rel=1e-4)


def tied(gap, rivals, sigma):
    a = gap / sigma

    def integrand(z):
        log = rivals * mp.log1p(-mp.erfc((z + a) / mp.sqrt(2)) / 2)
        return mp.npdf(z) * -mp.expm1(log)

    return mp.quad(integrand, [-a / 2 + mp.mpf(k) / 2 for k in range(-36, 37)])


def test_tied_rivals():
    points = [
        (gap, n, 1.0) for gap in (0.0, 0.5, 5.0, 29.0, 36.0) for n in (1, 9, 1e5, 1e12)
    ]
    assert_matches(margin.tied_rivals, tied, points, digits=30)


@given(st.floats(1e-3, 20), st.integers(1, 40), st.floats(0.1, 10))
def test_tied_rivals_are_the_exact_law_of_the_argmax(gap, rivals, sigma):
    scores = np.array([gap] + [0.0] * rivals)
    whole = outputs.misclassification(scores, sigma)
    assert margin.tied_rivals(gap, rivals, sigma) == pytest.approx(whole, rel=1e-11)


def test_the_frozen_runner_up_is_wrong():
    stays = 1 - margin.tied_rivals([2.0, 3.0], 9, 1.0)
    np.testing.assert_allclose(stays, [0.6736, 0.9025], atol=5e-5)
    assert 1 - margin.tied_rivals(2.0, 1, 1.0) == pytest.approx(0.9214, abs=5e-5)


def ball(depth, dimension, sigma, radius):
    """Over the noise along the radius, of a χ² tail across it."""
    rho, r = radius / sigma, (radius - depth) / sigma
    half = (dimension - 1) / 2

    def integrand(z):
        left = rho**2 - (r + z) ** 2
        inside = mp.gammainc(half, max(left, 0) / 2, regularized=True)
        return mp.npdf(z) * inside

    top = rho - r
    points = {-mp.mpf(16), mp.mpf(16), top, *(top - mp.mpf(k) / 2 for k in range(24))}
    points |= {mp.mpf(k) for k in range(-15, 16)}
    return mp.quad(integrand, sorted(points))


BALLS = [
    (0.005, 3072, 0.01, 10.0),
    (0.0, 3072, 0.01, 10.0),
    (0.1, 3072, 0.01, 10.0),
    (0.05, 4, 0.01, 1.0),
    (0.0, 4, 1.0, 18.5),
    (3.0, 10, 1.0, 20.0),
    (8.0, 100, 1.0, 26.0),
]


def test_ball_flip():
    assert_matches(margin.ball_flip, ball, BALLS, digits=25)


@given(st.integers(4, 10**6), st.floats(1e-3, 1e3), st.floats(1.0, 1e6))
def test_the_centre_of_a_ball_is_a_chi_square_tail(dimension, sigma, wide):
    radius = (np.sqrt(dimension) + 16.0) * sigma * wide * (1 + 1e-12)
    found = margin.ball_flip(radius, dimension, sigma, radius)
    tail = special.gammaincc(dimension / 2, (radius / sigma) ** 2 / 2)
    assert found == pytest.approx(tail, rel=1e-6, abs=1e-60)


def test_ball_flip_against_simulation():
    """4e5 noises in 50 dimensions; five standard errors."""
    rng = np.random.default_rng(3)
    point = np.zeros(50)
    point[0] = 24.0 - 0.8
    noisy = point + rng.standard_normal((400_000, 50))
    share = (np.linalg.norm(noisy, axis=1) > 24.0).mean()
    found = margin.ball_flip(0.8, 50, 1.0, 24.0)
    assert found == pytest.approx(share, abs=5 * 0.5 / np.sqrt(4e5))
    # Curvature pushes out: the half-space would say less.
    assert found > boundary.flip(0.8, 1.0)


def test_votes_make_a_wrong_majority_surer():
    from querytax.theory import bisection

    one = margin.ball_flip(0.005, 3072, 0.01, 10.0)
    votes = bisection.majority(one, [1, 5, 20])
    np.testing.assert_allclose(votes, [0.84987, 0.97333, 0.99986], atol=1e-5)


def test_shapes():
    m, g = np.array([[0.1, 0.2, -0.3], [1.0, 2.0, 3.0]]), np.array([1.0, 2.0, 1.0])
    table = margin.accuracy(m[:, None], g, np.array([0.1, 0.2]))
    assert table.shape == (2, 2)
    assert table[1, 0] == pytest.approx(margin.accuracy(m[1], g, 0.1), rel=1e-13)
    assert np.isfinite(margin.accuracy(m, g, [0.1, 0.2])).all()


def test_domains():
    with pytest.raises(DomainError, match="expected rivals at most 1e12"):
        margin.tied_rivals(1.0, 1e13, 1.0)
    with pytest.raises(DomainError, match=r"expected ball_radius at least \(sqrt"):
        margin.ball_flip(0.1, 100, 0.1, 1.0)
    with pytest.raises(DomainError, match="expected depth at most the radius"):
        margin.ball_flip(2.0, 4, 0.01, 1.0)
    some = margin.accuracy(
        np.array([[0.1, np.nan], [0.1, 0.2]]), 1.0, np.array([1.0, 1.0]), errors="nan"
    )
    assert np.isnan(some).tolist() == [True, False]
