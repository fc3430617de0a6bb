"""Budgets of queries against mpmath, searches, other laws, and known values."""

from itertools import product

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import directions, second_moment

from .reference import assert_matches

FORMS = ("forward", "antithetic", "centred")


def variance(g, p, s, d, n, m, form):
    a2 = (s / p) ** 2
    if form == "forward":
        return g * g * ((d + 1) + 2 * d * a2 / m) * 2 * m / n
    if form == "antithetic":
        return g * g * ((d + 1) + d * a2 / m / 2) * 2 * m / n
    return g * g * ((d + 1) + d * a2 / m) / (n / m - 1)


def test_spread():
    sigmas = (0.0, 1e-80, 0.2, 1e80)
    noises = (0.0, 0.3, 1e50), (1e-80, 0.1, 1e80), sigmas, (1, 3072, 10**9)
    for form in FORMS:
        assert_matches(
            lambda *x, form=form: directions.spread(*x, differences=form),
            lambda *x, form=form: variance(*x, form),
            product(*noises, (14.0, 1e9), (1, 7)),
            digits=400,
        )
    assert_matches(
        directions.cached_spread,
        lambda g, p, s, d, m, n: (
            g * g * (d + 1 + d * (1 + 1 / m) * (s / p) ** 2) / (n - m)
        ),
        product(*noises, (1, 7), (14.0, 1e9)),
        digits=400,
    )


def test_one_direction_is_its_second_moment():
    for form in ("forward", "antithetic"):
        moment = second_moment.linear(2.0, 0.1, 0.3, 30, 4, form)
        found = directions.spread(2.0, 0.1, 0.3, 30, 8, 4, form)
        assert found == pytest.approx(moment - 4.0, rel=1e-12)


def test_known_numbers():
    found = directions.cached_spread(1, 1, 2, 100, [1, 9], 120)
    np.testing.assert_allclose(found, [7.571, 4.914], atol=5e-4)
    assert directions.best_base_repeats(1, 2, 100, 120) == 9
    found = directions.cached_spread(1, 1, 10, 3072, [1, 30], 1000)
    np.testing.assert_allclose(found, [618, 330], atol=0.5)
    assert directions.best_base_repeats(1, 10, 3072, 1000) == 30
    means = [0, 0.1, 0.3, 0.5, 0.8, 1, 1.5]
    best = directions.best_repeats(means, 1, 2)
    assert best.tolist() == [1, 1, 2, 4, 8, 11, 21]
    assert directions.best_repeats(means[:4], 1, 10).tolist() == [1, 6, 40, 91]
    signs = np.sign(directions.progress([0.3, 0.5], 1, 2))
    assert signs.tolist() == [1, -1]


def test_best_base_repeats_by_enumeration():
    rng = np.random.default_rng(32)
    for _ in range(300):
        d, n = rng.integers(1, 5000), rng.integers(2, 3000)
        alpha = 10 ** rng.uniform(-3, 2)
        values = directions.cached_spread(1.0, 1.0, alpha, d, np.arange(1, n), n)
        best = directions.best_base_repeats(1.0, alpha, d, n)
        assert values[int(best) - 1] <= values.min() * (1 + 1e-14)


def exact(m, own, noise, repeats):
    s = mp.sqrt(own**2 + noise**2 / repeats)
    t = m / s
    phi = mp.exp(-t * t / 2) / mp.sqrt(2 * mp.pi)
    return own**2 / s * phi, m * mp.erfc(t / mp.sqrt(2)) / 2


def test_progress():
    """Relative to the larger of its two terms where these all but cancel."""
    points = [
        (sign * m * own, own, own * noise, repeats)
        for m in (0.0, 1e-8, 0.3, 1.0, 3.0, 12.0, 30.0)
        for sign in (-1, 1)
        for own in (1e-100, 0.7, 1e100)
        for noise in (0.0, 1e-9, 0.3, 1.0, 2.0, 1e9)
        for repeats in (1, 5)
    ]
    axes = [np.array(axis) for axis in zip(*points, strict=True)]
    found, each = directions.progress(*axes), directions.progress_per_query(*axes)
    clean = 0
    with mp.workdps(60):
        for point, value, share in zip(points, found, each, strict=True):
            gain, loss = exact(*(mp.mpf(float(x)) for x in point))
            # Rounding of t alone moves a tail by t² parts in 10¹⁶.
            scale = abs(gain - loss)
            if scale > 0.01 * abs(gain):
                clean += 1
            else:
                quiet = 1 / (1 + (mp.mpf(point[2]) / mp.mpf(point[1])) ** 2 / point[3])
                scale = max(scale, quiet * gain * mp.mpf("1e-2"))
            assert abs(value - (gain - loss)) <= mp.mpf("1e-12") * scale, point
            assert share == value / point[3]
    assert clean > 300


def test_best_repeats_by_enumeration():
    rng = np.random.default_rng(34)
    counts = np.arange(1, 20_001)
    tried = 0
    for _ in range(200):
        m, noise = 10 ** rng.uniform(-3, 0.7), 10 ** rng.uniform(-2, 1.5)
        best = directions.best_repeats(m, 1.0, noise)
        if best < 10_000:
            tried += 1
            values = directions.progress_per_query(m, 1.0, noise, counts)
            assert values[int(best) - 1] >= values.max() * (1 - 1e-11)
    assert tried > 100
    assert directions.best_repeats(1e300, 1e-300, 1e300) >= 1
    assert directions.best_repeats(1.0, 1.0, 0.0) == 1


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.integers(1, 1000))
def test_without_drift_averaging_never_pays(own, noise, repeats):
    found = directions.progress_per_query(0.0, own, noise, repeats)
    level = own / np.sqrt(2 * np.pi * repeats * (repeats + (noise / own) ** 2))
    assert found == pytest.approx(level, rel=1e-12)
    assert directions.best_repeats(0.0, own, noise) == 1


@given(
    st.floats(-3, 3),
    st.floats(0.1, 10),
    st.floats(0, 100),
    st.integers(1, 100),
    st.floats(1e-3, 1e3),
)
def test_progress_scales(m, own, noise, repeats, unit):
    found = directions.progress(m, own, noise, repeats)
    scaled = directions.progress(unit * m, unit * own, unit * noise, repeats)
    floor = 1e-12 * unit * (abs(m) + own)
    assert scaled == pytest.approx(unit * found, rel=1e-9, abs=floor)


def test_domains():
    with pytest.raises(DomainError, match="expected queries >= 2 repeats, got 9"):
        directions.spread(1.0, 0.1, 0.1, 3, 9, 5)
    with pytest.raises(DomainError, match="expected queries > base_repeats, got 5"):
        directions.cached_spread(1.0, 0.1, 0.1, 3, 5, 5)
