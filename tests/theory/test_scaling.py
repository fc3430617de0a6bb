"""Scaled margins against mpmath, simulations in NumPy, and their limits."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import misstep, scaling

from .reference import assert_matches

RANGES = ((0.5, 10.0), (0.0, 2.0), (0.9, 1.0), (1.0, 1e6))
PAIRS = ((2.0, 2.1), (-3.0, -2.9), (1.0, 0.3), (1e-200, 0.93e-200), (5.0, 5.0), (1, -1))


def test_wrong_sign():
    """∫ P(largest factor at the smaller margin > y/q) over the other's largest."""

    def area(margin, other, low, high, n):
        q = min(abs(margin), abs(other)) / max(abs(margin), abs(other))
        if margin * other < 0 or low >= q * high:
            return mp.mpf(0)
        n, width = int(n), high - low
        return mp.quad(
            lambda y: (
                ((q * y - low) * (y - low)) ** n / (y - low) * n / width ** (2 * n)
            ),
            [low / q, high],
        )

    points = [(*m, *r, n) for m in PAIRS for r in RANGES for n in (1, 2, 7, 40)]
    assert_matches(scaling.wrong_sign, area, points)


def test_many_repeats():
    """₂F₁ by mpmath, where the integral is too sharp."""

    def closed(margin, other, low, high, n):
        q = margin / other
        t = (1 - q) * high / (high - low)
        z = (1 - t) / q
        with mp.workdps(120):
            series = mp.hyp2f1(1 - n, 1, n + 2, z)
        return n / (n + 1) * (1 - t) ** n * z * series

    points = [(1.0, 1.0 + s / n, 0.5, 10.0, n) for n in (300, 10_000) for s in (0.1, 5)]
    assert_matches(scaling.wrong_sign, closed, points, tolerance=1e-10)
    # A gap of s/n: (1/2) exp(-s b/(b - a)) in the limit.
    found = scaling.wrong_sign(1.0, 1.0 + 2e-8, 0.5, 10.0, 1e8)
    assert found == pytest.approx(0.5 * np.exp(-2.0 / 0.95), rel=1e-6)


def test_signs_and_ties():
    ones, others = [1.0, 0.0, 0.0, 1.0], [-1.0, 1.0, 0.0, 20.1]
    found = scaling.wrong_sign(ones, others, [0.5, 0.0, 0.5, 0.5], 10.0)
    assert found.tolist() == [0.0, 0.0, 0.5, 0.0]
    assert scaling.wrong_sign(3.0, 3.0, 0.5, 10.0, 9) == pytest.approx(0.5, abs=1e-15)


def test_digits_do_not_help_and_the_largest_does():
    near = scaling.wrong_sign(1.0, 1.0 + np.array([1e-15, 1e-9, 1e-3]), 0.5, 10.0)
    assert np.all(near > 0.498)
    mean = misstep.fixed_direction(20 * scaling.snr(2.0, 2.1, 0.5, 10.0))
    assert mean == pytest.approx(0.384, abs=2e-3)
    largest = scaling.wrong_sign(2.0, 2.1, 0.5, 10.0, 20)
    assert largest == pytest.approx(0.1785, abs=2e-4)


@pytest.mark.parametrize(
    ("margins", "factors"), [((2.0, 2.6), (0.5, 10.0)), ((-1.0, 0.4), (0.0, 3.0))]
)
def test_snr_against_simulation(margins, factors):
    """4 10⁶ pairs of scaled margins; five standard errors are 0.4 %."""
    a = np.random.default_rng(3).uniform(*factors, (2, 4_000_000))
    change = a[0] * margins[0] - a[1] * margins[1]
    found = change.mean() ** 2 / change.var()
    assert scaling.snr(*margins, *factors) == pytest.approx(found, rel=0.006)
    logs = np.log(a[0]) - np.log(a[1])
    assert scaling.log_snr(0.3, *factors) == pytest.approx(0.09 / logs.var(), rel=0.004)


def test_log_snr():
    def exact(change, low, high):
        x = mp.log(high / low) / 2 if low else mp.inf
        return change**2 / 2 / (1 - (x / mp.sinh(x)) ** 2 if low else 1)

    ranges = [*RANGES, (1.0, 1.0 + 2.0**-52), (1.0, 1.001), (1.0, 7.4), (1e-300, 1e300)]
    points = [(c, *r) for c in (1e-200, 0.1, 3.0) for r in ranges]
    assert_matches(scaling.log_snr, exact, points, digits=80)


def test_snr():
    def exact(margin, other, low, high):
        spread = (high - low) ** 2 / (3 * (high + low) ** 2)
        return (margin - other) ** 2 / (spread * (margin**2 + other**2))

    ranges = [*RANGES, (1.0, 1.0 + 2.0**-52), (1e-300, 1e300)]
    margins = [(2.0, 2.1), (1e-300, -3e-300), (1e300, -1.5e300), (0.0, 1.0)]
    points = [(*m, *r) for m in margins for r in ranges]
    assert_matches(scaling.snr, exact, points, digits=80)
    assert scaling.snr(0.0, 0.0, 0.5, 10.0) == 0.0


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0, 5), st.floats(0.01, 5))
def test_order_and_unit_of_the_margins_do_not_matter(one, other, low, width):
    law = scaling.wrong_sign(one, other, low, low + width)
    for same in ((other, one), (-one, -other), (4 * one, 4 * other)):
        assert law == scaling.wrong_sign(*same, low, low + width)


def test_factors_have_a_range():
    with pytest.raises(DomainError, match=r"expected high above low, got 0\.5"):
        scaling.wrong_sign(1.0, 2.0, 0.5, 0.5)
