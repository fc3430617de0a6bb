"""The logarithm of |p + σξ| about ln p, and differences of it, without cancellation."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import polynomial
from scipy import special

from querytax.theory.numerics import efficiency as _efficiency
from querytax.theory.numerics.efficiency import FAR
from querytax.theory.numerics.floats import Array, Floats, by_region, over
from querytax.theory.numerics.gaussian import ROOT2, legendre


def _relative(p: Array, sigma: Array) -> Array:
    return np.minimum(over(p, sigma), 1e300)


def _near(t: Array, offset: Array) -> Array:
    """E ln|ξ + t| - offset for t < 9."""
    weight, factor = _efficiency.chances(t)
    mean, _ = _efficiency.log_chi_square()
    # Sums, not products of matrices: those round by the number of rows.
    return (weight * (mean - offset[:, None])).sum(axis=1) * factor[:, 0]


def _drop(t: Array) -> Array:
    """E ln|ξ + t| - ln t for t >= 9."""
    return _efficiency.log_moments_far(t)[0]


def excess(p: Array, sigma: Array) -> Floats:
    """E ln|p + σξ| - ln p for p > 0; p/σ may be beyond the floats."""
    t = _relative(p, sigma)
    return by_region(
        (t, p, sigma),
        (t < FAR, lambda t, p, s: _near(t, np.log(p) - np.log(s))),
        (t >= FAR, lambda t, *_: _drop(t)),
    )


def deviation(p: Array, sigma: Array) -> Floats:
    """Standard deviation of ln|p + σξ|; linear in a σ however small."""

    def far(t: Array, p: Array, s: Array) -> Array:
        return np.sqrt(_efficiency.log_moments_far(t)[1]) / p * s

    t = _relative(p, sigma)
    return by_region(
        (t, p, sigma),
        (t < FAR, lambda t, *_: np.sqrt(_efficiency.log_moments_near(t)[1])),
        (t >= FAR, far),
    )


_ODD = np.cumprod(2.0 * np.arange(1.0, 25.0) - 1.0)


def slope(t: Array) -> Floats:
    """t d/dt of the excess: t √2 Dawson(t/√2) - 1, (2k-1)!!/t^2k summed for large t."""

    def far(t: Array) -> Array:
        even = np.square(1.0 / t)
        return even * polynomial.polyval(even, _ODD)

    return by_region(
        (t,),
        (t < FAR, lambda t: t * ROOT2 * special.dawsn(t / ROOT2) - 1.0),
        (t >= FAR, far),
    )


def change(behind: Array, ahead: Array, sigma: Array) -> Floats:
    """Excess ahead less that behind; over nodes where the two are close."""

    def close(p: Array, q: Array, s: Array) -> Array:
        u, w = legendre(16)
        part = ((q - p) / p)[:, None]
        t = _relative(p, s)[:, None] * (1.0 + part * u)
        inside: Array = (
            w * slope(np.minimum(t, 1e300)) * (part / (1.0 + part * u))
        ).sum(axis=1)
        return inside

    def apart(p: Array, q: Array, s: Array) -> Array:
        return np.asarray(excess(q, s) - excess(p, s))

    # The slope bends over one unit of t.
    near = np.abs(ahead - behind) <= 0.25 * np.minimum(
        behind, np.maximum(sigma, 0.25 * behind)
    )
    return by_region((behind, ahead, sigma), (near, close), (~near, apart))


def log_quotient(one: Array, two: Array) -> Array:
    """ln(one/two)."""
    close = (one <= 2.0 * two) & (two <= 2.0 * one)
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.log1p(np.where(close, one - two, 0.0) / np.where(two > 0.0, two, 1.0))
        return np.where(close, near, np.log(one) - np.log(two))


def gap(one: Array, two: Array, sigma: Array) -> Floats:
    """E ln|one + v| - E ln|two + v|, v normal of standard deviation ``sigma``."""
    silent = sigma == 0.0
    s = np.where(silent, 1.0, sigma)
    high, low = np.maximum(one, two), np.minimum(one, two)
    top, bottom, width = _relative(high, s), _relative(low, s), _relative(high - low, s)

    def integrated(bottom: Array, width: Array, *_: Array) -> Array:
        """The slope √2 Dawson(t/√2), over the width."""
        x, w = legendre(32)
        t = bottom[:, None] + width[:, None] * x
        return width * (special.dawsn(t / ROOT2) * w).sum(axis=1) * ROOT2

    def apart(
        bottom: Array, _: Array, top: Array, high: Array, low: Array, s: Array
    ) -> Array:
        above = by_region(
            (top, high, s),
            (top < FAR, lambda t, *_: _near(t, 0.0 * t)),
            (top >= FAR, lambda t, high, s: log_quotient(high, s) + _drop(t)),
        )
        return np.asarray(above - _near(bottom, 0.0 * bottom))

    def far_apart(
        bottom: Array, _: Array, top: Array, high: Array, low: Array, s: Array
    ) -> Array:
        return log_quotient(high, low) + _drop(top) - _drop(bottom)

    close = (top <= 4.0) | (0.5 * high <= low)
    value = by_region(
        (bottom, width, top, high, low, s),
        (close, integrated),
        (~close & (bottom < FAR), apart),
        (~close & (bottom >= FAR), far_apart),
    )
    value = np.where(one >= two, value, -value)
    return np.where(silent, log_quotient(one, two), value)[()]
