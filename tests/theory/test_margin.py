"""Accuracy from margins against mpmath, simulation and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from querytax.expect import DomainError
from querytax.theory import accuracy as outputs
from querytax.theory import bisection, boundary, margin

from .reference import assert_matches, grid


def test_one_image_is_a_normal_tail():
    points = [
        (m, g, s)
        for m in (-3.0, -0.2, 0.0, *grid(1e-6, 30, 10))
        for g, s in ((1.0, 1.0), (2.0, 0.3), (1e-200, 1e200))
    ]

    def tail(m, g, s):
        return mp.erfc(m / (s * g) / mp.sqrt(2)) / 2

    for law, exact in {
        margin.accuracy: lambda m, g, s: tail(-m, g, s),
        margin.flip_share: lambda m, g, s: tail(abs(m), g, s),
        margin.accuracy_loss: lambda m, g, s: mp.sign(m) * tail(abs(m), g, s),
    }.items():
        assert_matches(
            lambda m, g, s, f=law: f(m[:, None], g[:, None], s), exact, points
        )


def test_margins_of_a_linear_model_under_input_noise():
    """4e6 draws: 2,000 images of 20 pixels, 2,000 noises; five standard errors."""
    rng = np.random.default_rng(7)
    weights, images = rng.standard_normal(20), rng.standard_normal((2000, 20))
    labels = np.where(images @ weights + 3.0 * rng.standard_normal(2000) > 0, 1, -1)
    margins, sigma = labels * (images @ weights), 0.4
    noise = sigma * rng.standard_normal((2000, 2000, 20)).dot(weights)
    noisy = margins[:, None] + labels[:, None] * noise
    right, norm = (noisy > 0).mean(), np.linalg.norm(weights)
    error = 5 * 0.5 / np.sqrt(noise.size)
    for law, truth in (
        (margin.accuracy, right),
        (margin.accuracy_loss, (margins > 0).mean() - right),
        (margin.flip_share, ((noisy > 0) != (margins > 0)[:, None]).mean()),
    ):
        assert law(margins, norm, sigma) == pytest.approx(truth, abs=error)


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


def test_tied_rivals():
    def tied(gap, sigma, rivals):
        a = gap / sigma

        def integrand(z):
            log = rivals * mp.log1p(-mp.erfc((z + a) / mp.sqrt(2)) / 2)
            return mp.npdf(z) * -mp.expm1(log)

        return mp.quad(integrand, [-a / 2 + mp.mpf(k) / 2 for k in range(-36, 37)])

    points = [
        (gap, 1.0, n) for gap in (0.0, 0.5, 5.0, 29.0, 36.0) for n in (1, 9, 1e5, 1e12)
    ]
    assert_matches(margin.tied_rivals, tied, points, digits=30)
    # The frozen runner-up is wrong.
    stays = 1 - margin.tied_rivals([2.0, 3.0, 2.0], 1.0, [9, 9, 1])
    np.testing.assert_allclose(stays, [0.6736, 0.9025, 0.9214], atol=5e-5)


@given(st.floats(1e-3, 20), st.integers(1, 40), st.floats(0.1, 10))
def test_tied_rivals_are_the_exact_law_of_the_argmax(gap, rivals, sigma):
    whole = outputs.misclassification([gap] + [0.0] * rivals, sigma)
    assert margin.tied_rivals(gap, sigma, rivals) == pytest.approx(whole, rel=1e-11)


def ball(depth, radius, sigma, dimension):
    """Over the noise along the radius, of a χ² tail across it."""
    rho, r = radius / sigma, (radius - depth) / sigma
    half = (dimension - 1) / 2

    def integrand(y):
        left = (rho - y) * (rho + y) / 2
        return mp.npdf(y - r) * mp.gammainc(half, max(left, 0), regularized=True)

    low, high = max(-rho, r - 16), min(rho, r + 16)
    outside = mp.ncdf(r - rho) + mp.ncdf(-rho - r)
    count = int(2 * (high - low)) + 4
    return outside + mp.quad(integrand, mp.linspace(low, high, count))


BALLS = [
    # Wide ones.
    (0.005, 10.0, 0.01, 3072),
    (0.0, 10.0, 0.01, 3072),
    (0.1, 10.0, 0.01, 3072),
    (0.05, 1.0, 0.01, 4),
    (0.0, 18.5, 1.0, 4),
    (3.0, 20.0, 1.0, 10),
    (8.0, 26.0, 1.0, 100),
    # An odd dimension, small balls, and the noise much longer than the radius.
    (2.0, 18.5, 1.0, 5),
    (1.0, 20.0, 1.0, 7),
    (0.0, 4.0, 1.0, 10),
    (1.0, 3.0, 1.0, 5),
    (5.0, 9.0, 1.0, 100),
    (0.1, 1.0, 1.0, 2),
    (0.02, 0.2, 2.0, 3),
]


def test_ball_flip():
    assert_matches(margin.ball_flip, ball, BALLS, digits=30)


@given(st.floats(1e-3, 300), st.floats(0, 1), st.sampled_from([1, 3]))
def test_ball_flip_in_one_and_three_dimensions(rho, part, dimension):
    """Closed forms, down to 1e-290, and all sizes of balls."""
    r = part * rho
    depth = rho - r
    r = rho - depth
    exact = special.ndtr(-depth) + special.ndtr(-rho - r)
    if dimension == 3:
        bell = np.exp(-0.5 * depth**2) / np.sqrt(2 * np.pi)
        exact += bell * (-np.expm1(-2 * rho * r) / r if r else 2 * rho)
    found = margin.ball_flip(depth, rho, 1.0, dimension)
    assert found == pytest.approx(exact, rel=1e-13 * (1 + depth**2), abs=1e-290)


def test_ball_flip_against_simulation():
    """4e5 noises in 50 dimensions; five standard errors."""
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((400_000, 50))
    for radius, depth in ((24.0, 0.8), (7.0, 2.0), (7.0, 7.0)):
        point = np.eye(50)[0] * (radius - depth)
        share = (np.linalg.norm(point + noise, axis=1) > radius).mean()
        found = margin.ball_flip(depth, radius, 1.0, 50)
        assert found == pytest.approx(share, abs=5 * 0.5 / np.sqrt(4e5))
        # Curvature pushes out: the half-space would say less.
        assert found > boundary.flip(depth, 1.0)


def test_votes_make_a_wrong_majority_surer():
    one = margin.ball_flip(0.005, 10.0, 0.01, 3072)
    votes = bisection.majority(one, [1, 5, 20])
    np.testing.assert_allclose(votes, [0.84987, 0.97333, 0.99986], atol=1e-5)


def test_ends():
    np.testing.assert_array_equal(margin.accuracy([[1], [-1], [0]], 1, 0), [1, 0, 0.5])
    with pytest.raises(DomainError, match=r"rivals a whole number .* at most 1e\+12"):
        margin.tied_rivals(1.0, 1.0, 1e13)
    with pytest.raises(DomainError, match="expected depth at most the radius"):
        margin.ball_flip(2.0, 1.0, 0.01, 4)
