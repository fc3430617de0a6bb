"""Differences of E ln|ξ + t|, without cancellation."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import special

from querytax.theory import _efficiency
from querytax.theory._floats import Array, Floats, by_region

_ROOT2 = np.sqrt(2.0)
# From here on the asymptotic series of E ln|ξ + t| has all digits.
_FAR = 9.0


@cache
def _nodes() -> tuple[Array, Array]:
    x, w = special.roots_legendre(32)
    return 0.5 * (1.0 + x), 0.5 * w


def _near(low: Array, width: Array) -> Array:
    """The slope √2 Dawson(t/√2), integrated from ``low`` over ``width``."""
    x, w = _nodes()
    t = low[:, None] + width[:, None] * x
    return width * (special.dawsn(t / _ROOT2) * w).sum(axis=1) * _ROOT2


def _drop(t: Array) -> Array:
    """E ln|ξ + t| - ln t for large t, whose squares may leave the floats."""
    return _efficiency._log_moments_far(np.minimum(t, 1e150))[0]


def _weighted(t: Array, offset: Array) -> Array:
    """E ln|ξ + t| - offset for t < 9: (ξ + t)² is a Poisson mixture of χ²_{1+2k}."""
    mean, _ = _efficiency._log_chi_square()
    half = 0.5 * t[:, None] ** 2
    weight = np.ones((t.size, mean.size))
    np.cumprod(half / np.arange(1, mean.size), axis=1, out=weight[:, 1:])
    return (weight * (mean - offset[:, None])).sum(axis=1) * np.exp(-half[:, 0])


def excess(t: Array) -> Floats:
    """E ln|ξ + t| - ln t for t > 0."""
    return by_region(
        (t,),
        (t < _FAR, lambda t: _weighted(t, np.log(t))),
        (t >= _FAR, _drop),
    )


def log_quotient(one: Array, two: Array) -> Array:
    """ln(one/two), both positive."""
    close = (one <= 2.0 * two) & (two <= 2.0 * one)
    near = np.log1p(np.where(close, one - two, 0.0) / two)
    return np.where(close, near, np.log(one) - np.log(two))


def _apart(
    bottom: Array, width: Array, top: Array, high: Array, low: Array, sigma: Array
) -> Array:
    zero = np.zeros_like(bottom)
    above = by_region(
        (top, high, sigma),
        (top < _FAR, lambda t, *_: _weighted(t, 0.0 * t)),
        (top >= _FAR, lambda t, high, sigma: log_quotient(high, sigma) + _drop(t)),
    )
    return np.asarray(above - _weighted(bottom, zero))


def _far_apart(
    bottom: Array, width: Array, top: Array, high: Array, low: Array, _: Array
) -> Array:
    return log_quotient(high, low) + _drop(top) - _drop(bottom)


def gap(one: Array, two: Array, sigma: Array) -> Floats:
    """E ln|one + v| - E ln|two + v|, v normal of standard deviation ``sigma``."""
    high, low = np.maximum(one, two), np.minimum(one, two)
    with np.errstate(over="ignore"):
        top, bottom = np.minimum(high / sigma, 1e300), np.minimum(low / sigma, 1e300)
        width = np.minimum((high - low) / sigma, 1e300)
    close = (top <= 4.0) | (0.5 * high <= low)
    value = by_region(
        (bottom, width, top, high, low, sigma),
        (close, lambda bottom, width, *_: _near(bottom, width)),
        (~close & (bottom < _FAR), _apart),
        (~close & (bottom >= _FAR), _far_apart),
    )
    return np.where(one >= two, value, -value)[()]


def excess_inverse(s: Array) -> Floats:
    """E ln|1 + sξ|."""
    inverse = 1.0 / np.maximum(s, 1e-154)
    return by_region(
        (s, inverse),
        (inverse < _FAR, lambda s, t: _weighted(t, -np.log(s))),
        (inverse >= _FAR, lambda s, t: _drop(t)),
    )
