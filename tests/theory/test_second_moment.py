"""Second moments against mpmath, the estimator itself, and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import second_moment as moments

from .reference import assert_matches

SIZES = (1e-100, 1e-3, 0.7, 1.0, 30.0, 1e80)
FORMS = ("forward", "antithetic")


def exact(g, tr, a, d, p, s, m, form):
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
    points = [
        (g, d, p, s, m)
        for g in (0.0, 0.3, 1e20)
        for d in (1, 3072, 10**9)
        for p in SIZES
        for s in (0.0, *SIZES)
        for m in (1, 7)
    ]
    assert_matches(
        lambda *x: moments.linear(*x, form=form),
        lambda g, d, p, s, m: sum(exact(g, 0, 0, d, p, s, m, form)),
        points,
        digits=400,
    )
    points = [(g, b, *rest) for g, *rest in points for b in (0.0, 2.0)]
    assert_matches(
        lambda *x: moments.noise(*x, form=form),
        lambda g, a, d, p, s, m: exact(g, 0, a, d, p, s, m, form)[1],
        points,
        digits=400,
    )
    points = [(g, 0.3, b + 1, *rest) for g, b, *rest in points]
    assert_matches(
        lambda *x: moments.quadratic(*x, form=form),
        lambda *x: sum(exact(*x, form)),
        points,
        digits=400,
    )


def test_best_probe_and_bounds():
    points = [
        (g, tr, 2.0, d, s, m)
        for g in (0.0, 0.3, 1e50)
        for tr in (-1.0, 2.0)
        for d in (1, 3072)
        for s in SIZES
        for m in (1, 7)
    ]

    def best(g, tr, a, d, s, m):
        top = 4 / m * (2 * s * s * d * g * g + s**4 * d * a * a)
        return mp.root(top / ((d + 4) * (tr * tr + 2 * a * a)), 4)

    assert_matches(moments.best_probe, best, points, digits=400)

    def bound(lip, d, p, s, m):
        return lip**2 * d * (d + 2 + 2 * (s / p) ** 2 / m)

    def smooth(lip, k, d, p, s, m):
        k = min(k, mp.sqrt(2 / mp.pi) * lip / s) if s else k
        curved = lip * mp.sqrt(d + 2) + p * k / 2 * mp.sqrt(d * (d + 2) * (d + 4))
        return min(lip**2 * d * (d + 2), curved**2) + 2 * d * (lip * s / p) ** 2 / m

    points = [
        (lip, d, p, s, m)
        for lip in (0.3, 1e20)
        for d in (1, 2, 3072, 10**9)
        for p in SIZES
        for s in (0.0, *SIZES)
        for m in (1, 7)
    ]
    assert_matches(moments.lipschitz_bound, bound, points, digits=400)
    points = [(lip, k, *rest) for lip, *rest in points for k in (0.0, 1e-3, 1.0, 1e9)]
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


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("probe", "sigma"), [(0.4, 0.3), (0.2, 0.5)])
def test_the_estimator_on_a_quadratic(form, probe, sigma):
    """3·10⁵ estimates in four dimensions; five standard errors."""
    rng = np.random.default_rng(3)
    a = np.array([1.0, -0.5, 0.2, 0.0])
    h = rng.standard_normal((4, 4))
    h = (h + h.T) / 2

    def loss(x):
        return x @ a + 0.5 * np.einsum("ij,jk,ik->i", x, h, x)

    found = draw(loss, 4, probe, sigma, form, 300_000, rng)
    law = moments.quadratic(
        np.linalg.norm(a), np.trace(h), np.linalg.norm(h), 4, probe, sigma, form=form
    )
    error = found.std() / np.sqrt(found.size)
    assert error < 0.01 * law
    assert abs(found.mean() - law) < 5 * error
    bare = moments.quadratic(
        np.linalg.norm(a), np.trace(h), np.linalg.norm(h), 4, probe, 0.0, form=form
    )
    noise = moments.noise(
        np.linalg.norm(a), np.linalg.norm(h), 4, probe, sigma, 1, form
    )
    assert law - bare == pytest.approx(noise)


def test_what_attains_the_bounds():
    """The norm without noise (forward); 2·10⁵ estimates, five standard errors."""
    rng = np.random.default_rng(4)
    found = draw(
        lambda x: np.linalg.norm(x, axis=1), 8, 0.3, 0.0, "forward", 200_000, rng
    )
    bound = moments.lipschitz_bound(1.0, 8, 0.3, 0.0)
    assert bound == 80.0
    assert abs(found.mean() - bound) < 5 * found.std() / np.sqrt(found.size)


@pytest.mark.parametrize("d", [1, 2, 3, 20])
def test_no_reflected_estimate_passes_its_bound(d):
    """Odd losses as steep as they may be; 10⁵ estimates each, five standard errors."""
    rng = np.random.default_rng(5)
    losses = [
        lambda x: x[:, 0],
        lambda x: np.sign(x[:, 0]) * np.minimum(np.abs(x[:, 0]), 0.1),
        lambda x: np.abs(x[:, 0]) - np.linalg.norm(x[:, 1:], axis=1),
        lambda x: np.linalg.norm(x - 0.3, axis=1) - np.linalg.norm(x + 0.3, axis=1),
    ]
    for sigma in (0.0, 0.2):
        for loss, steep in zip(losses, (1.0, 1.0, np.sqrt(2), 2.0), strict=True):
            found = draw(loss, d, 0.2, sigma, "antithetic", 100_000, rng)
            bound = moments.lipschitz_bound(steep, d, 0.2, sigma, form="antithetic")
            assert found.mean() < bound + 5 * found.std() / np.sqrt(found.size)
    # The linear one is within d/(d-1) of it.
    linear = moments.linear(1.0, d, 0.2, 0.0, form="antithetic")
    assert linear * d / max(d - 1, 1) == pytest.approx(
        moments.lipschitz_bound(1.0, d, 0.2, 0.0, form="antithetic")
    )


def test_known_numbers():
    """Norm function, d = 100, σ = μ: tight 10400; the sheet's simulated 1924."""
    assert moments.lipschitz_bound(1, 100, 0.1, 0.1) == pytest.approx(10400)
    rng = np.random.default_rng(6)
    norm = draw(
        lambda x: np.linalg.norm(x, axis=1), 100, 0.1, 0.1, "forward", 20_000, rng
    )
    assert norm.mean() == pytest.approx(1924, rel=0.05)
    # Wide noise smooths: past √(d/2π) the refined bound is lower.
    refined = moments.smooth_bound(1, np.inf, 100, 0.1, 0.1 * np.array([1, 10, 100]))
    plain = moments.lipschitz_bound(1, 100, 0.1, 0.1 * np.array([1, 10, 100]))
    assert (refined < 0.999 * plain).tolist() == [False, True, True]
    assert norm.mean() < refined[0]


@given(
    st.floats(0.01, 10),
    st.floats(-1, 1),
    st.floats(0.1, 10),
    st.integers(1, 5000),
    st.floats(1e-3, 10),
    st.integers(1, 50),
)
def test_the_best_probe_is_the_best(slope, share, bend, d, sigma, repeats):
    trace = share * np.sqrt(d) * bend
    best = moments.best_probe(slope, trace, bend, d, sigma, repeats)
    widths = best * np.array([0.9, 1.0, 1.1])
    values = moments.quadratic(slope, trace, bend, d, widths, sigma, repeats)
    assert values[1] <= min(values[0], values[2])


@given(
    st.floats(1e-3, 1e3),
    st.floats(0, 1e3),
    st.integers(1, 10**6),
    st.floats(1e-3, 10),
    st.floats(0, 10),
    st.integers(1, 20),
)
def test_order_of_the_bounds(lip, bend, d, probe, sigma, repeats):
    arguments = (d, probe, sigma, repeats)
    smooth = moments.smooth_bound(lip, bend, *arguments)
    assert smooth <= moments.lipschitz_bound(lip, *arguments) * (1 + 1e-12)
    assert smooth >= moments.linear(lip, *arguments) * (1 - 1e-12)
    reflected = moments.linear(lip, *arguments, form="antithetic")
    assert (
        reflected <= moments.lipschitz_bound(lip, *arguments, "antithetic") * 1.0000001
    )


def test_domains():
    with pytest.raises(
        DomainError, match=r"expected frobenius >= \|trace\|/√dimension"
    ):
        moments.quadratic(1.0, 3.0, 1.0, 4, 0.1, 0.1)
    with pytest.raises(DomainError, match="expected frobenius > 0"):
        moments.best_probe(1.0, 0.0, 0.0, 4, 0.1)
    with pytest.raises(DomainError, match="expected form to be one of"):
        moments.linear(1.0, 4, 0.1, 0.1, form="both")
    assert moments.linear(0.0, 4, 1e-300, 1e300) == 0.0
