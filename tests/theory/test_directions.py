"""Budgets of queries against mpmath, simulated estimates, searches, known values."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import directions, second_moment

from .reference import assert_matches

FORMS = ("forward", "antithetic", "centred")


def variance(g, d, p, s, n, m, form):
    a2 = (s / p) ** 2
    if form == "forward":
        return g * g * ((d + 1) + 2 * d * a2 / m) * 2 * m / n
    if form == "antithetic":
        return g * g * ((d + 1) + d * a2 / m / 2) * 2 * m / n
    return g * g * ((d + 1) + d * a2 / m) / (n / m - 1)


@pytest.mark.parametrize("form", FORMS)
def test_spread(form):
    points = [
        (g, d, p, s, n, m)
        for g in (0.0, 0.3, 1e50)
        for d in (1, 3072, 10**9)
        for p in (1e-80, 0.1, 1e80)
        for s in (0.0, 1e-80, 0.2, 1e80)
        for n in (14.0, 1e9)
        for m in (1, 7)
    ]
    assert_matches(
        lambda *x: directions.spread(*x, form=form),
        lambda *x: variance(*x, form),
        points,
        digits=400,
    )
    if form == "forward":
        assert_matches(
            directions.cached_spread,
            lambda g, d, p, s, n, m: (
                g * g * (d + 1 + d * (1 + 1 / m) * (s / p) ** 2) / (n - m)
            ),
            points,
            digits=400,
        )


@pytest.mark.parametrize("form", [*FORMS, "cached"])
@pytest.mark.parametrize(("alpha", "repeats"), [(0.5, 1), (2.0, 3)])
def test_simulated_estimates(form, alpha, repeats):
    """2·10⁴ estimates from 24 queries in four dimensions; five standard errors."""
    rng = np.random.default_rng(31)
    runs, d, queries = 20_000, 4, 24
    each = {"centred": 1, "cached": 1}.get(form, 2)
    count = (queries - repeats if form == "cached" else queries) // each
    count = count if form == "cached" else count // repeats
    u = rng.standard_normal((runs, count, d))
    own = 1 if form == "cached" else repeats
    noise = alpha * rng.standard_normal((2, runs, count)) / np.sqrt(own)
    answers = u[..., 0] + noise[0]
    divisor = count
    if form == "forward":
        answers = answers - noise[1]
    elif form == "antithetic":
        answers = u[..., 0] + (noise[0] - noise[1]) / 2
    elif form == "centred":
        answers = answers - answers.mean(axis=1, keepdims=True)
        divisor = count - 1
    else:
        base = alpha * rng.standard_normal((runs, 1)) / np.sqrt(repeats)
        answers = answers - base
    estimate = np.einsum("rb,rbd->rd", answers, u) / divisor
    axis = np.eye(d)[0]
    assert np.abs(estimate.mean(axis=0) - axis).max() < 0.05
    square = ((estimate - axis) ** 2).sum(axis=1)
    if form == "cached":
        law = directions.cached_spread(1.0, d, 1.0, alpha, queries, repeats)
    else:
        law = directions.spread(1.0, d, 1.0, alpha, queries, repeats, form)
    assert abs(square.mean() - law) < 5 * square.std() / np.sqrt(runs)


def test_one_direction_is_its_second_moment():
    for form in ("forward", "antithetic"):
        moment = second_moment.linear(2.0, 30, 0.1, 0.3, 4, form)
        found = directions.spread(2.0, 30, 0.1, 0.3, 8, 4, form)
        assert found == pytest.approx(moment - 4.0, rel=1e-12)


def test_known_numbers():
    found = directions.cached_spread(1, 100, 1, 2, 120, [1, 9])
    np.testing.assert_allclose(found, [7.571, 4.914], atol=5e-4)
    assert directions.best_base_repeats(100, 1, 2, 120) == 9
    found = directions.cached_spread(1, 3072, 1, 10, 1000, [1, 30])
    np.testing.assert_allclose(found, [618, 330], atol=0.5)
    assert directions.best_base_repeats(3072, 1, 10, 1000) == 30
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
        values = directions.cached_spread(1.0, d, 1.0, alpha, n, np.arange(1, n))
        best = directions.best_base_repeats(d, 1.0, alpha, n)
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
    found = directions.progress(*(np.array(axis) for axis in zip(*points, strict=True)))
    each = directions.progress_per_query(
        *(np.array(axis) for axis in zip(*points, strict=True))
    )
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


def test_a_simulated_search():
    """4·10⁶ candidates; five standard errors."""
    rng = np.random.default_rng(33)
    for m, noise, repeats in (
        (0.0, 2.0, 1),
        (0.3, 2.0, 2),
        (0.5, 2.0, 1),
        (-0.4, 1, 3),
    ):
        change, error = rng.standard_normal((2, 4_000_000))
        change = m + change
        taken = change + noise / np.sqrt(repeats) * error < 0
        fall = np.where(taken, -change, 0.0)
        law = directions.progress(m, 1.0, noise, repeats)
        assert abs(fall.mean() - law) < 5 * fall.std() / 2000


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
def test_progress_scales_and_rises_with_repeats(m, own, noise, repeats, unit):
    found = directions.progress(m, own, noise, repeats)
    floor = 1e-12 * (abs(m) + own)
    scaled = directions.progress(unit * m, unit * own, unit * noise, repeats)
    assert scaled == pytest.approx(unit * found, rel=1e-9, abs=unit * floor)
    assert directions.progress(m, own, noise, repeats + 1) >= found - floor


@given(
    st.integers(1, 10**6),
    st.floats(0, 1e3),
    st.integers(1, 50),
    st.sampled_from(FORMS),
)
def test_new_directions_are_always_better(d, alpha, repeats, form):
    one = directions.spread(1.0, d, 1.0, alpha, 1000, repeats, form)
    more = directions.spread(1.0, d, 1.0, alpha, 1000, repeats + 1, form)
    assert one < more


def test_domains():
    with pytest.raises(DomainError, match="expected queries >= 2 repeats, got 9"):
        directions.spread(1.0, 3, 0.1, 0.1, 9, 5)
    with pytest.raises(DomainError, match="expected queries > base_repeats, got 5"):
        directions.cached_spread(1.0, 3, 0.1, 0.1, 5, 5)
    assert directions.best_repeats(1e300, 1e-300, 1e300) >= 1
    assert directions.best_repeats(1.0, 1.0, 0.0) == 1
