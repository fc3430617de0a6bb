"""Second moments against mpmath, the estimator itself, and known values."""

from itertools import product

import mpmath as mp
import numpy as np
import pytest

from querytax.expect import DomainError
from querytax.theory import second_moment as moments

from .reference import assert_matches

SIZES = (1e-100, 1e-3, 0.7, 1.0, 30.0, 1e80)
FORMS = ("forward", "antithetic")


def exact(g, tr, a, p, s, d, m, form):
    """Signal and noise, term by term."""
    if form == "forward":
        noise = 2 * d * g * g * (s / p) ** 2 + (d + 2) * a * a * s * s
        noise += d * a * a * s**4 / p**2
        return (d + 2) * g * g + p * p / 4 * (d + 4) * (tr * tr + 2 * a * a), noise / m
    noise = d * g * g * (s / p) ** 2 / 2 + (d + 2) * a * a * s * s / 2
    noise += d * a * a * s**4 / p**2 / 4
    return (d + 2) * g * g, noise / m


@pytest.mark.parametrize("form", FORMS)
def test_exact_moments(form):
    rest = [*product(SIZES, (0.0, *SIZES), (1, 3072, 10**9), (1, 7))]
    slopes = (0.0, 0.3, 1e20)
    assert_matches(
        lambda *x: moments.linear(*x, differences=form),
        lambda g, *x: sum(exact(g, 0, 0, *x, form)),
        [(g, *x) for g in slopes for x in rest],
        digits=400,
    )
    assert_matches(
        lambda *x: moments.noise(*x, differences=form),
        lambda g, a, *x: exact(g, 0, a, *x, form)[1],
        [(g, a, *x) for g in slopes for a in (0.0, 2.0) for x in rest],
        digits=400,
    )
    assert_matches(
        lambda *x: moments.quadratic(*x, differences=form),
        lambda *x: sum(exact(*x, form)),
        [(g, 0.3, a, *x) for g in slopes for a in (1.0, 3.0) for x in rest],
        digits=400,
    )


def test_minimising_probe_and_bounds():
    def best(g, tr, a, s, d, m):
        top = 4 / m * (2 * s * s * d * g * g + s**4 * d * a * a)
        return mp.root(top / ((d + 4) * (tr * tr + 2 * a * a)), 4)

    points = product((0.0, 0.3, 1e50), (-1.0, 2.0), (2.0,), SIZES, (1, 3072), (1, 7))
    assert_matches(moments.minimising_probe, best, points, digits=400)

    def bound(lip, p, s, d, m):
        return lip**2 * d * (d + 2 + 2 * (s / p) ** 2 / m)

    def smooth(lip, k, p, s, d, m):
        k = min(k, mp.sqrt(2 / mp.pi) * lip / s) if s else k
        curved = lip * mp.sqrt(d + 2) + p * k / 2 * mp.sqrt(d * (d + 2) * (d + 4))
        return min(lip**2 * d * (d + 2), curved**2) + 2 * d * (lip * s / p) ** 2 / m

    rest = (SIZES, (0.0, *SIZES), (1, 2, 3072, 10**9), (1, 7))
    points = product((0.3, 1e20), *rest)
    assert_matches(moments.lipschitz_bound, bound, points, digits=400)
    points = product((0.3, 1e20), (0.0, 1e-3, 1.0, 1e9), *rest)
    assert_matches(moments.smooth_bound, smooth, points, digits=400)


def draw(loss, d, probe, sigma, form, draws, rng):
    """Squared lengths of estimates at 0."""
    u, v, w = rng.standard_normal((3, draws, d))
    if form == "forward":
        slope = (loss(probe * u + sigma * v) - loss(sigma * w)) / probe
    else:
        slope = loss(probe * u + sigma * v) - loss(-probe * u + sigma * w)
        slope = slope / (2 * probe)
    return slope**2 * (u**2).sum(axis=1)


def norm(x):
    return np.linalg.norm(x, axis=1)


def test_what_attains_the_bounds():
    """The norm without noise (forward); 2·10⁵ estimates, five standard errors."""
    rng = np.random.default_rng(4)
    found = draw(norm, 8, 0.3, 0.0, "forward", 200_000, rng)
    bound = moments.lipschitz_bound(1.0, 0.3, 0.0, 8)
    assert bound == 80.0
    assert abs(found.mean() - bound) < 5 * found.std() / np.sqrt(found.size)


@pytest.mark.parametrize("d", [1, 2, 3, 20])
def test_no_reflected_estimate_passes_its_bound(d):
    """Odd losses as steep as they may be; 10⁵ estimates each, five standard errors."""
    rng = np.random.default_rng(5)
    losses = [
        (1.0, lambda x: x[:, 0]),
        (1.0, lambda x: np.sign(x[:, 0]) * np.minimum(np.abs(x[:, 0]), 0.1)),
        (np.sqrt(2), lambda x: np.abs(x[:, 0]) - norm(x[:, 1:])),
        (2.0, lambda x: norm(x - 0.3) - norm(x + 0.3)),
    ]
    for sigma, (steep, loss) in product((0.0, 0.2), losses):
        found = draw(loss, d, 0.2, sigma, "antithetic", 100_000, rng)
        bound = moments.lipschitz_bound(steep, 0.2, sigma, d, 1, "antithetic")
        assert found.mean() < bound + 5 * found.std() / np.sqrt(found.size)
    # The linear one is within d/(d-1) of it.
    linear = moments.linear(1.0, 0.2, 0.0, d, 1, "antithetic")
    bound = moments.lipschitz_bound(1.0, 0.2, 0.0, d, 1, "antithetic")
    assert linear * d / max(d - 1, 1) == pytest.approx(bound)


def test_known_numbers():
    """Norm function, d = 100, σ = μ: tight 10400; the sheet's simulated 1924."""
    sigmas = 0.1 * np.array([1, 10, 100])
    plain = moments.lipschitz_bound(1, 0.1, sigmas, 100)
    assert plain[0] == pytest.approx(10400)
    found = draw(norm, 100, 0.1, 0.1, "forward", 20_000, np.random.default_rng(6))
    assert found.mean() == pytest.approx(1924, rel=0.05)
    # Wide noise smooths: past √(d/2π) the refined bound is lower.
    refined = moments.smooth_bound(1, np.inf, 0.1, sigmas, 100)
    assert (refined < 0.999 * plain).tolist() == [False, True, True]
    assert found.mean() < refined[0]


def test_domains():
    with pytest.raises(DomainError, match=r"frobenius >= \|trace\|/√dimension"):
        moments.quadratic(1.0, 3.0, 1.0, 0.1, 0.1, 4)
    with pytest.raises(DomainError, match="expected frobenius > 0"):
        moments.minimising_probe(1.0, 0.0, 0.0, 0.1, 4)
    with pytest.raises(DomainError, match="expected differences to be one of"):
        moments.linear(1.0, 0.1, 0.1, 4, differences="centred")
    assert moments.linear(0.0, 1e-300, 1e300, 4) == 0.0
