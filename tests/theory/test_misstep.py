"""Wrong signs against mpmath and known values."""

import mpmath as mp
import numpy as np
import pytest

from querytax.theory import misstep

from .reference import assert_matches, grid

POINTS = [(s,) for s in grid(1e-300, 1e300, 60, span=40.0)]


def log_ncdf(z):
    """ln Φ(z), by the continued fraction's leading terms where Φ underflows mpmath."""
    return mp.log(mp.erfc(-z / mp.sqrt(2)) / 2)


def test_fixed_direction():
    few = [(s,) for (s,) in POINTS if s < 1400]
    assert_matches(misstep.fixed_direction, lambda s: mp.ncdf(-mp.sqrt(s)), few)
    few = [(s,) for (s,) in POINTS if s < 1e12]
    assert_matches(misstep.log_fixed_direction, lambda s: log_ncdf(-mp.sqrt(s)), few)
    # ln Φ(-x) = -x²/2 - ln(x√(2π)) - 1/x² + ...
    assert_matches(
        misstep.log_fixed_direction,
        lambda s: -s / 2 - mp.log(2 * mp.pi * s) / 2 - 1 / s,
        [(s,) for (s,) in POINTS if s >= 1e12],
    )


def test_random_direction():
    def exact(s):
        return mp.atan(1 / mp.sqrt(s)) / mp.pi

    assert_matches(misstep.random_direction, exact, POINTS)
    assert_matches(misstep.log_random_direction, lambda s: mp.log(exact(s)), POINTS)
    # Random directions include flat ones: they err more wherever errors are rare.
    high = [s for (s,) in POINTS if s > 1]
    assert np.all(misstep.random_direction(high) > misstep.fixed_direction(high))


def test_known_numbers():
    got = misstep.random_direction([0.1, 1.0, 10.0, 1000.0])
    np.testing.assert_allclose(got, [0.40251, 0.25, 0.09749, 0.01006], atol=6e-6)
    # (μ, ν, G_x, G_h, M) of feature noise, by RFD's Theorem 1.
    rows = [
        (0.01, 0.01, 1.0, 1.0, 1, 0.304087),
        (0.01, 0.04, 1.3, 0.5, 1, 0.263387),
        (0.01, 0.04, 1.3, 0.5, 5, 0.144128),
        (1e-4, 0.04, 1.0, 1.0, 1, 0.488751),
        (0.04, 1e-4, 1.0, 1.0, 1, 0.022471),
    ]
    assert misstep.acceptance_correlation(0.5) == pytest.approx(0.2163, abs=1e-4)
    for mu, nu, slope, feature, repeats, expected in rows:
        snr = mu * slope**2 / (2 * nu * feature**2)
        got = misstep.after_repeats(snr, repeats)
        assert got == pytest.approx(expected, abs=1e-6)


def test_after_unequal_repeats():
    points = [(s, m, n) for s in (1e-300, 0.01, 3.0) for m in (1, 4) for n in (1, 30)]
    assert_matches(
        misstep.after_unequal_repeats,
        lambda s, m, n: mp.atan(mp.sqrt((1 / m + 1 / n) / (2 * s))) / mp.pi,
        points,
    )
    for repeats in (1, 5):
        equal = misstep.after_unequal_repeats(0.3, repeats, repeats, "fixed")
        assert equal == pytest.approx(misstep.after_repeats(0.3, repeats, "fixed"))


def test_over_changes():
    """Normal changes give back the arc tangent: 1e6 of them, five standard errors."""
    changes = np.abs(np.random.default_rng(12).standard_normal(1_000_000))
    s = 0.6
    expected = misstep.random_direction(1 / (2 * s * s))
    assert misstep.over_changes(changes, s) == pytest.approx(expected, abs=1e-3)
    fixed = misstep.fixed_direction(0.4**2 / (2 * s * s))
    assert misstep.over_changes(0.4, s) == pytest.approx(fixed, rel=1e-13)
    assert misstep.over_changes([0.0, 1.0], 0.0) == 0.25


def bent_average(s, b):
    """The mean over changes, scaled as mpmath's errors are absolute."""
    places = {0, *(k / mp.mpf(2) for k in range(1, 12)), 8, 16, abs(b) + 16}
    places |= {max(b + k, mp.mpf(0)) for k in (-6, -3, 0, 3, 6)}

    def over(scale):
        def inside(h):
            wrong = scale * mp.erfc(h * mp.sqrt(s / 2)) / 2
            return wrong * (mp.npdf(h, b) + mp.npdf(h, -b))

        return mp.quad(inside, sorted(places))

    rough = over(1)
    return over(1 / rough) * rough


def test_bent():
    points = [(s, b) for s in (0.01, 0.5, 90.0) for b in (0.0, -0.3, 4.0)]
    points += [(3.0, 9.0), (1e-6, 20.0), (0.0, 1.0)]
    assert_matches(misstep.bent, bent_average, points, digits=20)
    found = misstep.bent(*np.transpose(points))
    log = misstep.log_bent(*np.transpose(points))
    np.testing.assert_allclose(log, np.log(found), rtol=1e-13)
    # Far out the noise alone must undo the mean: Φ(-b/√(1+1/S)).
    far = misstep.log_bent(1.0, [1e3, 1e6])
    np.testing.assert_allclose(
        far, misstep.log_fixed_direction([5e5, 5e11]), rtol=1e-12
    )
    falls = misstep.bent(np.array([[1e-9], [1.0], [50.0]]), np.geomspace(1e-3, 30, 50))
    assert np.all(np.diff(falls) <= 0)


def test_radius():
    points = [
        (r, k, g, 0.2) for r in (0.0, 0.01, 0.3) for k in (0.5, 3.0) for g in (1.0, 2.0)
    ]
    assert_matches(misstep.radius, lambda r, k, g, s: mp.ncdf(-k * r / (s * g)), points)
    assert_matches(
        misstep.log_radius, lambda r, k, g, s: log_ncdf(-k * r / (s * g)), points
    )
    assert misstep.log_radius(1.0, 1.0, 1.0, 1e-3) < -5e5
    assert misstep.radius([0.0, 0.1], 1.0, 1.0, 0.0).tolist() == [0.5, 0.0]


def test_noise_on_layers_at_any_magnitude():
    """Products and squares of numbers that a double holds, though they overflow."""
    found = misstep.noisy_layers([[1.0], [1.3]], [1.0, 0.5], 0.1, [0.1, 0.2])
    assert found.shape == (2, 1)
    assert found[0, 0] == pytest.approx(np.arctan(2.0) / np.pi, rel=1e-14)
    one = misstep.noisy_layers(1.3, 0.5, 0.1, 0.2)
    assert one == pytest.approx(0.263387, abs=1e-6)
    three = np.arctan(np.sqrt(6.0)) / np.pi
    huge, tiny = 1e200, 1e-200
    for size in (huge, 1.0, tiny):
        value = misstep.noisy_layers(size, [size] * 3, size, [size] * 3)
        assert value == pytest.approx(three, rel=1e-15)
    assert misstep.noisy_layers(huge, tiny, huge, 1.0) == 0.0
    assert misstep.noisy_layers(tiny, [huge, 0.0], tiny, [huge, 1.0]) == 0.5
    assert misstep.noisy_layers(1.0, [0.0, 1.0], 1.0, [huge, 1.0]) == pytest.approx(
        np.arctan(np.sqrt(2.0)) / np.pi, rel=1e-15
    )
    assert misstep.noisy_layers(1.0, 1.0, 1.0, 1e-250) > 0
    assert misstep.noisy_layers(1.0, 1.0, 1.0, [0.0, 0.0]) == 0.0
