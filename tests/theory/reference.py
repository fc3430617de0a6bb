"""Grids and comparisons against slow, exact references."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import mpmath
import numpy as np


def grid(low: float, high: float, count: int = 24, span: float | None = None) -> Any:
    """Half linear up to ``span``, half logarithmic over all magnitudes."""
    linear = np.linspace(low, min(high, span or high), count // 2 + 1)[1:]
    return np.concatenate([linear, np.geomspace(low, high, count - count // 2)])


def kappa(d: Any) -> Any:
    """Mean length of d standard normal draws, in mpmath."""
    half = mpmath.mpf(d) / 2
    rise = mpmath.loggamma(half + mpmath.mpf(1) / 2) - mpmath.loggamma(half)
    return mpmath.sqrt(2) * mpmath.exp(rise)


def assert_matches(
    function: Callable[..., Any],
    reference: Callable[..., Any],
    points: Iterable[tuple[Any, ...]],
    tolerance: float = 1e-12,
    digits: int = 50,
) -> None:
    """Compare with an mpmath reference, relatively; name the worst point.

    Values beyond the floats are to be infinite or zero. All points are evaluated in
    one vectorised call.
    """
    points = list(points)
    assert points
    values = np.atleast_1d(
        function(*(np.array(axis) for axis in zip(*points, strict=True)))
    )
    worst = (mpmath.mpf(0), None, None, None)
    with mpmath.workdps(digits):
        for point, value in zip(points, values, strict=True):
            exact = reference(*(mpmath.mpf(float(x)) for x in point))
            if abs(exact) > mpmath.mpf("1.7976931348623157e308"):
                assert np.isinf(value), (point, value, exact)
            elif abs(exact) < mpmath.mpf("2.3e-308"):
                assert abs(value) < 2.3e-308, (point, value, exact)
            else:
                error = abs(mpmath.mpf(float(value)) / exact - 1)
                if not error <= worst[0]:
                    worst = (error, point, value, float(exact))
    error, point, value, exact = worst
    assert error <= tolerance, f"error {error} at {point}: got {value}, exact {exact}"
