"""Intervals that cover, and samples that are none."""

import math

import numpy as np
import pytest
from scipy import stats

from querytax import intervals
from querytax.expect import DomainError
from querytax.intervals import Interval

RNG = np.random.Generator(np.random.Philox(20))


def test_a_share_has_wilsons_interval():
    found = intervals.share(8, 10)
    z = stats.norm.ppf(0.975)
    centre = (0.8 + z * z / 20) / (1 + z * z / 10)
    half = z / (1 + z * z / 10) * math.sqrt(0.8 * 0.2 / 10 + z * z / 400)
    assert found.value == 0.8
    assert found.lower == pytest.approx(centre - half)
    assert found.upper == pytest.approx(centre + half)
    with pytest.raises(DomainError, match=r"successes in \[0, 10\], got 11"):
        intervals.share(11, 10)
    with pytest.raises(DomainError, match="n"):
        intervals.share(0, 0)


@pytest.mark.parametrize(
    ("interval", "draw", "truth"),
    [
        (intervals.mean, lambda: RNG.exponential(size=60), 1.0),
        (
            lambda x: intervals.quantile(x, 0.9),
            lambda: RNG.exponential(size=200),
            math.log(10.0),
        ),
        (
            lambda x: intervals.share(int((x < 0.03).sum()), x.size),
            lambda: RNG.random(200),
            0.03,
        ),
    ],
    ids=["mean", "quantile", "share"],
)
def test_intervals_cover(interval, draw, truth):
    hits = [
        (found := interval(draw())).lower <= truth <= found.upper for _ in range(2000)
    ]
    # Three standard errors below 95 %; the mean of a skewed law loses a little more.
    assert np.mean(hits) > 0.915


def test_a_quantile_that_the_sample_cannot_bound_is_open():
    found = intervals.quantile(np.arange(20.0), 0.99)
    assert found.upper == math.inf
    assert found.lower <= found.value < 20
    assert intervals.mean([3.0]) == Interval(3.0, -math.inf, math.inf, 1)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_values_that_are_no_sample_are_refused(values):
    with pytest.raises(DomainError, match="values"):
        intervals.mean(values)


def test_a_falling_function_turns_an_interval_round():
    clean = Interval(2.0, 1.0, 4.0, 7)
    assert intervals.changed(clean, lambda x: 1.0 / x) == Interval(0.5, 0.25, 1.0, 7)
    assert intervals.changed(clean, math.log2) == Interval(1.0, 0.0, 2.0, 7)
    assert intervals.about(10.0, clean) == Interval(12.0, 11.0, 14.0, 7)
