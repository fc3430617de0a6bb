"""Bias and spread of ln|p + σξ| about ln p, without cancellation; t = p/σ."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.polynomial import polynomial
from scipy import special

from querytax.theory import _efficiency
from querytax.theory._floats import Array, Floats, by_region, ratio
from querytax.theory._gaussian import ROOT2, legendre

_FAR = 9.0


def excess(p: Array, sigma: Array) -> Floats:
    """E ln|ξ+t| - ln t, t = p/σ, which may be beyond the floats."""

    def near(t: Array, p: Array, s: Array) -> Array:
        return _efficiency._log_moments_near(t)[0] - (np.log(p) - np.log(s))

    p, sigma = np.broadcast_arrays(p, sigma)
    t = np.minimum(ratio(p, sigma), 1e300)
    return by_region(
        (t, p, sigma),
        (t < _FAR, near),
        (t >= _FAR, lambda t, p, s: _efficiency._log_moments_far(t)[0]),
    )


def deviation(p: Array, sigma: Array) -> Floats:
    """Standard deviation of ln|p + σξ|; linear in a σ however small."""

    def far(t: Array, p: Array, s: Array) -> Array:
        return np.sqrt(_efficiency._log_moments_far(t)[1]) / p * s

    p, sigma = np.broadcast_arrays(p, sigma)
    t = np.minimum(p / sigma, 1e300)
    return by_region(
        (t, p, sigma),
        (t < _FAR, lambda t, p, s: np.sqrt(_efficiency._log_moments_near(t)[1])),
        (t >= _FAR, far),
    )


@cache
def _odd() -> Array:
    return np.cumprod(2.0 * np.arange(1.0, 25.0) - 1.0)


def slope(t: Array) -> Floats:
    """t d/dt of the excess: t √2 Dawson(t/√2) - 1, (2k-1)!!/t^2k summed for large t."""

    def far(t: Array) -> Array:
        even = np.square(1.0 / t)
        return even * polynomial.polyval(even, _odd())

    return by_region(
        (t,),
        (t < _FAR, lambda t: t * ROOT2 * special.dawsn(t / ROOT2) - 1.0),
        (t >= _FAR, far),
    )


def change(behind: Array, ahead: Array, sigma: Array) -> Floats:
    """Excess ahead less that behind; over nodes where the two are close."""

    def close(p: Array, q: Array, s: Array) -> Array:
        u, w = legendre(16)
        part = ((q - p) / p)[:, None]
        t = np.minimum((p / s)[:, None] * (1.0 + part * u), 1e300)
        # Sums, not products of matrices: those round by the number of rows.
        inside: Array = (w * slope(t) * (part / (1.0 + part * u))).sum(axis=1)
        return inside

    def apart(p: Array, q: Array, s: Array) -> Array:
        return np.asarray(excess(q, s) - excess(p, s))

    p, q, s = np.broadcast_arrays(behind, ahead, sigma)
    # The slope bends over one unit of t.
    near = np.abs(q - p) <= 0.25 * np.minimum(p, np.maximum(s, 0.25 * p))
    return by_region((p, q, s), (near, close), (~near, apart))
