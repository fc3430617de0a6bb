"""Attacks on labels at a flat boundary, against mpmath, small cases and each other."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.theory import labels

from .reference import assert_matches


def test_share_at_the_ends_of_stages_and_between():
    """Runs of length l gain what is worth 1/√l; in between each run as much."""
    for stages in (0, 1, 5, 12):
        d = 2**stages
        for stage in range(stages + 1):
            done = labels.rays_share(2 ** (stage + 1) - 1, d)
            assert done == pytest.approx((d / 2**stage) ** -0.5, rel=1e-14)
    first, half, last = labels.rays_share([15, 23, 31], 1024)
    assert half == pytest.approx(0.5 * (first + last), rel=1e-14)


@given(st.integers(1, 10**6), st.integers(0, 20))
def test_checks_are_the_inverse_of_the_share(checks, power):
    share = labels.rays_share(checks, 2**power)
    back = labels.rays_checks(share, 2**power)
    if share < 1.0:
        assert back == pytest.approx(checks, rel=1e-9)
    else:
        assert back <= checks * (1.0 + 1e-9)


def test_the_rule_of_thumb():
    """Chords under the root: 2dA² checks, at most 3 % fewer; see the docstring."""
    share = np.geomspace(0.1, 1.0, 200)
    ratio = (labels.rays_checks(share, 4096) + 1.0) / (2.0 * 4096 * share**2)
    assert ratio.min() == pytest.approx(1.0, abs=1e-3)
    assert ratio.max() == pytest.approx(1.03, abs=0.005)


def test_accepted_against_the_tree_of_answers():
    """All ways of a bisection, by recursion in 50 digits."""

    def shorter(low, high, y, s, n):
        """Chance that the top moves."""
        if n == 0:
            return mp.mpf(0)
        middle = (low + high) / 2
        yes = mp.ncdf(((1 + y) * middle - 1) / s)
        return yes + (1 - yes) * shorter(middle, high, y, s, n - 1)

    points = [
        (y, s, n)
        for y in (-3.0, -1.0, -0.2, -1e-3, 0.0, 1e-9, 0.4, 5.0)
        for s in (1e-2, 0.3, 2.0, 1e6)
        for n in (1, 2, 7, 30)
    ]
    assert_matches(
        labels.rays_accepted,
        lambda y, s, n: mp.ncdf(y / s) * shorter(mp.mpf(0), mp.mpf(1), y, s, int(n)),
        points,
        tolerance=1e-11,
    )
    for sigma in (1e-9, 0.0):
        found = labels.rays_accepted([-1e-3, 0.2, 0.001], sigma, [8, 8, 5])
        # A pattern that is shorter by less than the bisection tells apart is not.
        assert found.tolist() == [0.0, 1.0, 0.0]


@given(st.floats(1.0, 1e6), st.floats(0.0, 1e6), st.floats(0.0, 1.0))
def test_a_step_and_a_bisection(distance, step, cosine):
    """Vectors: on the normal, beside it, and across both."""
    beside = np.sqrt((distance - 1.0) * (distance + 1.0))
    across = step * np.sqrt((1.0 - cosine) * (1.0 + cosine))
    back = np.array([1.0 + step * cosine, beside, across]) / (1.0 + step * cosine)
    found = labels.distance_after_step(distance, cosine, step)
    assert found == pytest.approx(np.linalg.norm(back), rel=1e-12)


def test_known_values():
    # Straight along the normal from beside it: the angle's tangent shrinks.
    found = labels.distance_after_step(np.sqrt(2.0), 1.0, 1.0)
    assert found == pytest.approx(1.25**0.5)
    assert labels.distance_after_step(3.0, 0.3, 0.0) == 3.0
    # A step across the normal alone leads away.
    assert labels.distance_after_step(3.0, 0.0, 4.0) == pytest.approx(5.0)
    assert labels.rays_share(10**6, 128) == 1.0
