"""Errors under constant noise against mpmath and recursions."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.theory import additive

from .reference import assert_matches, grid

SNRS = grid(1e-300, 1e300, 20, span=10.0)
REMAINING = (1e-150, 1e-6, 0.01, 0.3, 0.9, 1 - 1e-12)


def test_best_schedule():
    pairs = [(s, r) for s in SNRS for r in REMAINING]
    assert_matches(additive.steps, lambda s, r: (1 / r**2 - 1) / s, pairs)
    assert_matches(
        additive.remaining,
        lambda s, n: 1 / mp.sqrt(1 + n * s),
        [(s, n) for s in SNRS for n in (0.0, 1.0, 99.0, 1e12, 1e300)],
    )


def test_best_schedule_against_a_kalman_filter():
    """The recursion, each step tuned by a search."""
    square, s, steps = 1.0, 0.3, np.linspace(0, 1, 200_001)
    for _ in range(40):
        square = ((1 - steps) ** 2 * square + steps**2 / s).min()
    assert additive.remaining(s, 40) == pytest.approx(np.sqrt(square), rel=1e-8)


def test_constant_step():
    def left(s, m, n):
        shrunk = (1 - m) ** (2 * n)
        return mp.sqrt(shrunk + (1 - shrunk) * m / ((2 - m) * s))

    points = [
        (s, m, n)
        for s in SNRS
        for m in (1e-12, 0.2, 0.7, 1.0, 1.9)
        for n in (0.0, 1.0, 2.0, 50.0, 1e6)
    ]
    assert_matches(additive.constant_step_remaining, left, points, digits=400)
    floors = [(s, m) for s in SNRS for m in (1e-300, 0.2, 1.0, 2 - 1e-9)]
    assert_matches(
        additive.constant_step_floor, lambda s, m: mp.sqrt(m / ((2 - m) * s)), floors
    )


def least_steps(s, r):
    """Over the step itself, by golden section in mpmath."""
    if s >= 1 / r**2 - 1:
        return mp.mpf(1)
    end = s * r * r
    top = 2 * end / (1 + end)

    def count(m):
        floor = m / ((2 - m) * s)
        return mp.log((1 - floor) / (r * r - floor)) / (-2 * mp.log(1 - m))

    low, high = mp.log(top * mp.mpf("1e-12")), mp.log(top)
    gold = (mp.sqrt(5) - 1) / 2
    for _ in range(110):
        a, b = high - gold * (high - low), low + gold * (high - low)
        if count(mp.exp(a)) < count(mp.exp(b)):
            high = b
        else:
            low = a
    return count(mp.exp((low + high) / 2))


def test_constant_steps():
    points = [
        (s, r)
        for s in (1e-20, 1e-6, 0.1, 1.0, 50.0, 9000.0)
        for r in (1e-40, 1e-3, 0.01, 0.3, 0.9, 1 - 1e-9)
    ]
    assert_matches(additive.constant_steps, least_steps, points, digits=250)
    # Printed: 3.189/S_end for r = 0.01.
    assert additive.constant_steps(1e-6, 0.01) * 1e-10 == pytest.approx(3.189, abs=5e-4)


@pytest.mark.parametrize(("snr", "left"), [(2.0, 0.3), (0.05, 0.6), (9.0, 0.2)])
def test_constant_steps_rounded_up_are_exact(snr, left):
    """Over all steps of a fine grid, the first whole count that gets there."""
    m = np.linspace(1e-5, 1, 100_001)
    for n in range(1, 2000):
        if additive.constant_step_remaining(snr, m, n).min() <= left:
            break
    assert np.ceil(additive.constant_steps(snr, left)) == n


def recursion(s, d, p, r):
    """Pairs spent when the mean square distance first is at most r²."""
    y, spent = 1.0, 0
    while y > r * r:
        second = y * (1 + (d + 1) / p) + d / (p * s)
        y, spent = y - y * y / second, spent + p
    return spent


@pytest.mark.parametrize("d", [1, 20, 300])
@pytest.mark.parametrize("p", [1, 5, 40])
@pytest.mark.parametrize(("s", "r"), [(2.0, 0.2), (0.1, 0.5), (1e3, 0.01)])
def test_nes_counts_bracket_the_recursion(s, d, p, r):
    exact = recursion(s, d, p, r)
    if (s, d, p) == (2.0, 20, 5):  # Printed; 323.7 by the formula.
        assert exact == 315
    enough = additive.nes_pairs(s, d, p, r)
    assert exact <= p * np.ceil(enough / p)
    assert exact >= additive.nes_least_pairs(s, d, r)
    if exact // p <= 10_000:
        assert additive.nes_remaining(s, d, p, exact // p) <= r
        assert additive.nes_remaining(s, d, p, exact // p - 1) > r


def test_nes_laws():
    points = [
        (s, d, p, r)
        for s in (1e-9, 1.0, 1e9)
        for d in (1, 3072)
        for p in (1, 50)
        for r in REMAINING[1:]
    ]
    assert_matches(
        additive.nes_pairs,
        lambda s, d, p, r: d / s * (1 / r**2 - 1) - 2 * (p + d + 1) * mp.log(r),
        points,
    )
    assert_matches(
        additive.nes_least_pairs,
        lambda s, d, r: d / s * (1 / r**2 - 1) - 2 * (d + 1) * mp.log(r),
        [(s, d, r) for s, d, p, r in points if p == 1],
    )

    def exact(s, d, p, n):
        w = mp.mpf(1)
        for _ in range(int(n)):
            w *= 1 + p / (d + 1 + d * w / s)
        return 1 / mp.sqrt(w)

    counts = [(s, d, p, n) for s, d, p, _ in points[::5] for n in (0, 1, 7, 900)]
    assert_matches(additive.nes_remaining, exact, counts)


@given(st.floats(-8, 2), st.floats(0.001, 0.999))
def test_a_constant_step_never_beats_the_best_schedule(log_snr, left):
    s = 10.0**log_snr
    best = additive.steps(s, left)
    assert additive.constant_steps(s, left) >= min(best, 1.0) * (1 - 1e-9)
    if best >= 3:
        assert additive.constant_steps(s, left) >= best * (1 - 1e-9)
    assert additive.remaining(s, best) == pytest.approx(left, rel=1e-9)
