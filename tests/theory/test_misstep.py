"""Wrong signs against mpmath, simulated pairs and known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import misstep

from .reference import assert_matches, grid

SNRS = grid(1e-300, 1e300, 60, span=40.0)
POINTS = [(s,) for s in SNRS]


def log_ncdf(z):
    """ln Φ(z), by the continued fraction's leading terms where Φ underflows mpmath."""
    return mp.log(mp.erfc(-z / mp.sqrt(2)) / 2)


def test_fixed_direction():
    assert_matches(
        misstep.fixed_direction,
        lambda s: mp.ncdf(-mp.sqrt(s)),
        [(s,) for s in SNRS if s < 1400],
    )
    assert_matches(
        misstep.log_fixed_direction,
        lambda s: log_ncdf(-mp.sqrt(s)),
        [(s,) for s in SNRS if s < 1e12],
    )
    # ln Φ(-x) = -x²/2 - ln(x√(2π)) - 1/x² + ...
    assert_matches(
        misstep.log_fixed_direction,
        lambda s: -s / 2 - mp.log(2 * mp.pi * s) / 2 - 1 / s,
        [(s,) for s in SNRS if s >= 1e12],
    )


def test_random_direction():
    def exact(s):
        return mp.atan(1 / mp.sqrt(s)) / mp.pi

    assert_matches(misstep.random_direction, exact, POINTS)
    assert_matches(misstep.log_random_direction, lambda s: mp.log(exact(s)), POINTS)


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
    for mu, nu, slope, feature, repeats, expected in rows:
        snr = mu * slope**2 / (2 * nu * feature**2)
        got = misstep.after_repeats(snr, repeats)
        assert got == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("snr", "repeats"), [(0.2, 1), (0.2, 6), (3.0, 2)])
def test_against_simulated_pairs(snr, repeats):
    """1e6 directions: draw a difference and the mean of its noises, compare signs.

    The standard error is at most 5e-4; 2.5e-3 is five of them: false alarms 6e-7 each.
    """
    rng = np.random.default_rng(2)
    change = np.sqrt(snr) * rng.standard_normal(1_000_000)
    noise = sum(rng.standard_normal(1_000_000) for _ in range(repeats)) / repeats
    wrong = np.mean(np.sign(change + noise) != np.sign(change))
    assert wrong == pytest.approx(misstep.after_repeats(snr, repeats), abs=2.5e-3)
    wrong = np.mean(np.sqrt(snr) + noise < 0)
    predicted = misstep.after_repeats(snr, repeats, direction="fixed")
    assert wrong == pytest.approx(predicted, abs=2.5e-3)


@given(st.floats(0.0, 1e300), st.floats(0.0, 1e300))
def test_more_signal_errs_less(a, b):
    low, high = sorted((a, b))
    for law in (misstep.fixed_direction, misstep.random_direction):
        assert 0.5 >= law(low) >= law(high) >= 0
    # Random directions include flat ones: they err more wherever errors are rare.
    if low > 1:
        assert misstep.random_direction(low) > misstep.fixed_direction(low)


def test_no_signal_is_a_coin():
    assert misstep.fixed_direction(0.0) == misstep.random_direction(0.0) == 0.5


def test_domains():
    with pytest.raises(DomainError, match="expected direction to be one of 'random'"):
        misstep.after_repeats(1.0, 2, direction="best")
    with pytest.raises(DomainError, match="expected repeats a whole number >= 1"):
        misstep.after_repeats(1.0, 1.5)


def test_after_unequal_repeats():
    points = [(s, m, n) for s in (1e-300, 0.01, 3.0) for m in (1, 4) for n in (1, 30)]
    assert_matches(
        misstep.after_unequal_repeats,
        lambda s, m, n: mp.atan(mp.sqrt((1 / m + 1 / n) / (2 * s))) / mp.pi,
        points,
    )
    for repeats in (1, 5):
        equal = misstep.after_unequal_repeats(0.3, repeats, repeats, direction="fixed")
        assert equal == pytest.approx(
            misstep.after_repeats(0.3, repeats, direction="fixed"), rel=1e-14
        )


def test_noisy_layers():
    found = misstep.noisy_layers([[1.0], [1.3]], 0.1, [0.1, 0.2], [1.0, 0.5])
    assert found.shape == (2, 1)
    noise = np.sqrt(2 * 0.02) / 0.1
    assert found[0, 0] == pytest.approx(np.arctan(noise) / np.pi, rel=1e-14)
    assert misstep.noisy_layers(1.3, 0.1, [0.2], [0.5]) == pytest.approx(
        0.263387, abs=1e-6
    )
    assert misstep.noisy_layers(1.0, 1.0, [1e-250], [1.0]) > 0


def test_over_changes():
    """Normal changes give back the arc tangent: 1e6 of them, five standard errors."""
    rng = np.random.default_rng(12)
    changes = np.abs(rng.standard_normal(1_000_000))
    s = 0.6
    expected = misstep.random_direction(1 / (2 * s * s))
    assert misstep.over_changes(changes, s) == pytest.approx(expected, abs=1e-3)
    one = misstep.over_changes([0.4], s)
    fixed = misstep.fixed_direction(0.4**2 / (2 * s * s))
    assert one == pytest.approx(fixed, rel=1e-13)


def bent_average(s, b):
    """The mean over changes, scaled as mpmath's errors are absolute."""

    def over(scale):
        places = [0, *(k / mp.mpf(2) for k in range(1, 12)), 8, 16, abs(b) + 16]
        places = sorted({*places, *(max(b + k, mp.mpf(0)) for k in (-6, -3, 0, 3, 6))})
        return mp.quad(
            lambda h: (
                scale
                * mp.erfc(h * mp.sqrt(s / 2))
                / 2
                * (mp.npdf(h, b) + mp.npdf(h, -b))
            ),
            places,
        )

    rough = over(1)
    return over(1 / rough) * rough


def test_bent():
    points = [(s, b) for s in (0.01, 0.5, 90.0) for b in (0.0, -0.3, 4.0)]
    points += [(3.0, 9.0), (1e-6, 20.0), (0.0, 1.0)]
    assert_matches(misstep.bent, bent_average, points, digits=20)
    np.testing.assert_allclose(
        misstep.log_bent(*np.transpose(points)),
        np.log(misstep.bent(*np.transpose(points))),
        rtol=1e-13,
    )
    # Far out the noise alone must undo the mean: Φ(-b/√(1+1/S)).
    far = misstep.log_bent(1.0, [1e3, 1e6])
    np.testing.assert_allclose(
        far, misstep.log_fixed_direction([5e5, 5e11]), rtol=1e-12
    )


def test_bent_against_a_curved_loss():
    """f = x1 + c|x|²/2 in 100 dimensions, its changes as drawn; noise of the answers.

    4e5 draws, five standard errors of 8e-4; the change is normal to 3e-3.
    """
    rng = np.random.default_rng(21)
    c, step, noise = 0.3, 0.1, 0.2
    first = step * rng.standard_normal(400_000)
    square = first**2 + step**2 * rng.chisquare(99, 400_000)
    change = first + 0.5 * c * square
    seen = change + noise * rng.standard_normal(400_000)
    wrong = np.mean(np.sign(seen) != np.sign(change))
    spread = change.std()
    found = misstep.bent(spread**2 / noise**2, change.mean() / spread)
    assert found == pytest.approx(wrong, abs=7e-3)
    # The flat law would be far off.
    assert abs(misstep.random_direction(spread**2 / noise**2) - wrong) > 0.1


def test_acceptances_share_the_base():
    """1e6 pairs of candidates: standard error 1e-3 of the correlation, five of them."""
    rng = np.random.default_rng(22)
    for s, m, m0 in ((0.5, 1, 1), (0.1, 2, 5)):
        base = rng.standard_normal(1_000_000) / np.sqrt(m0)
        accepted = [
            np.sqrt(2 * s) * rng.standard_normal(1_000_000)
            + rng.standard_normal(1_000_000) / np.sqrt(m)
            < base
            for _ in range(2)
        ]
        found = misstep.acceptance_correlation(s, m, m0)
        assert found == pytest.approx(np.corrcoef(*accepted)[0, 1], abs=5e-3)
    assert misstep.acceptance_correlation(0.5) == pytest.approx(0.2163, abs=1e-4)


def test_radius():
    points = [
        (r, k, 0.2, g) for r in (0.0, 0.01, 0.3) for k in (0.5, 3.0) for g in (1.0, 2.0)
    ]
    assert_matches(misstep.radius, lambda r, k, s, g: mp.ncdf(-k * r / (s * g)), points)
    assert_matches(
        misstep.log_radius, lambda r, k, s, g: log_ncdf(-k * r / (s * g)), points
    )
    assert misstep.log_radius(1.0, 1.0, 1e-3, 1.0) < -5e5


def test_noise_on_layers_at_any_magnitude():
    """Products and squares of numbers that a double holds, though they overflow."""
    three = np.arctan(np.sqrt(6.0)) / np.pi
    huge, tiny = 1e200, 1e-200
    for size in (huge, 1.0, tiny):
        value = misstep.noisy_layers(size, size, [size] * 3, [size] * 3)
        assert value == pytest.approx(three, rel=1e-15)
    assert misstep.noisy_layers(huge, huge, [1.0], [tiny]) == 0.0
    assert misstep.noisy_layers(tiny, tiny, [huge, 1.0], [huge, 0.0]) == 0.5
    assert misstep.noisy_layers(1.0, 1.0, [huge, 1.0], [0.0, 1.0]) == pytest.approx(
        np.arctan(np.sqrt(2.0)) / np.pi, rel=1e-15
    )
