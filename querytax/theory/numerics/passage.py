"""Numerics of first passages: ladder sums of a walk, integrals of Mills' ratio."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.polynomial import chebyshev, polynomial
from scipy import special

from querytax.theory.numerics.floats import Array, by_region, ratio, square
from querytax.theory.numerics.gaussian import (
    ROOT2,
    ROOT2PI,
    legendre,
    mills,
    second_mills,
)

# Below this drift a power series, above it a sum over steps.
_SMALL = 1.5
_LN_ROOT2PI = float(np.log(ROOT2PI))


@cache
def _zetas(top: float) -> Array:
    """ζ(top - r)(-1/2)^r/r! for r = 0, 1, ..., by the functional equation."""
    r = np.arange(40.0)
    s = top - r
    reflected = special.zeta(np.where(s == 0.5, 1.5, 1.0 - s))
    size = special.gammaln(1.0 - s) - special.gammaln(r + 1.0)
    size = size + s * np.log(2.0) + (s - 1.0) * np.log(np.pi) - r * np.log(2.0)
    values = np.sin(0.5 * np.pi * s) * np.exp(size) * reflected * (-1.0) ** r
    return np.where(s == 0.5, -1.4603545088095868, values)


def _steps(drift: Array) -> tuple[Array, Array, Array]:
    n = np.arange(1.0, 45.0)
    x = drift[:, None] * np.sqrt(n)
    return n, x, np.exp(-0.5 * np.minimum(x * x, 1400.0)) / ROOT2PI


def overshoot(drift: Array) -> Array:
    """Mean overshoot of a walk of N(drift, 1) steps over a distant level."""
    r = np.arange(40.0)
    series = _zetas(-0.5) / ((2.0 * r + 1.0) * (2.0 * r + 2.0))

    def near(m: Array) -> Array:
        tail = m * m * polynomial.polyval(m * m, series)
        return 0.25 * m - (_zetas(0.5)[0] + tail) / ROOT2PI

    def far(m: Array) -> Array:
        n, x, bell = _steps(m)
        below = bell * second_mills(np.minimum(x, 1e100)) / np.sqrt(n)
        return 0.5 * m + 0.5 / m - below.sum(axis=1)

    return by_region((drift,), (drift < _SMALL, near), (drift >= _SMALL, far))


def ladder(drift: Array) -> Array:
    """Mean number of steps until such a walk first lies above its start."""
    r = np.arange(40.0)
    series = _zetas(0.5) / (2.0 * r + 1.0)

    def near(m: Array) -> Array:
        power = -m * polynomial.polyval(m * m, series) / ROOT2PI
        return ratio(np.exp(power) / ROOT2, m)

    def far(m: Array) -> Array:
        n, x, _ = _steps(m)
        return np.exp((special.ndtr(-x) / n).sum(axis=1))

    return by_region((drift,), (drift < _SMALL, near), (drift >= _SMALL, far))


# --- C(2n, n)/4ⁿ for real n -------------------------------------------------------

_SHIFT = 16


@cache
def _stirling() -> Array:
    """Coefficients of 1/x^(2k), k >= 1: ln Γ(x+1/4) - ln Γ(x+3/4) + ½ ln x, fitted.

    An even asymptotic series: B_{2k+1}(1/4) over 2k(2k+1), twice.
    """
    euler = np.array([-1.0, 5.0, -61.0, 1385.0, -50521.0, 2702765.0, -199360981.0])
    k = np.arange(1.0, euler.size + 1.0)
    # B_{2k+1}(1/4) = -(2k+1) E_{2k}/4^{2k+1}, and the signs of the two sides add up.
    return euler / (k * 4.0 ** (2.0 * k + 1.0))


def log_central(n: Array) -> Array:
    """ln(Γ(n+1/2)/(√π Γ(n+1)))."""

    def near(n: Array) -> Array:
        """Power series about 0, where the logarithm vanishes."""
        k = np.arange(1.0, 61.0)
        # ψ^(k-1)(1/2) - ψ^(k-1)(1) over k!: (-1)^k (2^k - 2) ζ(k)/k, and -2 ln 2.
        c = np.concatenate([[0.0, -2.0 * np.log(2.0)], np.zeros(59)])
        c[2:] = (-1.0) ** k[1:] * (2.0 ** k[1:] - 2.0) * special.zeta(k[1:]) / k[1:]
        return polynomial.polyval(n, c)

    def far(n: Array) -> Array:
        x = n + 0.25
        small = x < _SHIFT
        y = np.where(small, x + _SHIFT, x)
        even = np.square(1.0 / y)
        value = -0.5 * np.log(np.pi * y) + even * polynomial.polyval(even, _stirling())
        j = np.arange(1.0, _SHIFT + 1.0)
        rise = np.log1p(0.5 / (np.minimum(n, _SHIFT)[:, None] + j - 0.5)).sum(axis=1)
        return value + np.where(small, rise, 0.0)

    return by_region((n,), (n < 0.2, near), (n >= 0.2, far))


def central(value: Array) -> Array:
    """The n at which that is ln(value), 1e-9 <= value < 1."""
    log_value = np.log(value)
    # Newton on a convex fall, from its left.
    n = np.maximum(1.0 / (np.pi * value * value) - 0.28, -log_value / np.log(4.0))
    for _ in range(8):
        near = special.digamma(n + 0.5) - special.digamma(n + 1.0)
        slope = np.where(n < 20.0, near, -0.5 / (n + 0.25))
        n = n - (log_central(n) - log_value) / slope
    return n


# --- Brownian motion: a = (μt - h)/√t, gap = 2h/√t, b = a + gap ----------------------


def log_arrived(a: Array, gap: Array, log_gap: Array | None = None) -> Array:
    """ln of Φ(a) + φ(a) Mills(a + gap); ``log_gap`` where the gap itself underflows."""
    log_gap = np.log(gap) if log_gap is None else log_gap

    def early(a: Array, gap: Array, _: Array) -> Array:
        return np.log(mills(-a) + mills(a + gap)) - 0.5 * a * a - _LN_ROOT2PI

    def late(a: Array, gap: Array, log_gap: Array) -> Array:
        return np.log1p(-np.exp(_log_left(a, gap, log_gap)))

    return by_region((a, gap, log_gap), (a < -1.0, early), (a >= -1.0, late))


def _log_left(a: Array, gap: Array, log_gap: Array) -> Array:
    """ln of φ(a)(Mills(a) - Mills(a + gap)) for a >= -1."""

    def close(a: Array, gap: Array, log_gap: Array) -> Array:
        u, w = legendre(16)
        # Sums, not products of matrices: those round by the number of rows.
        inside = (w * second_mills(a[:, None] + gap[:, None] * u)).sum(axis=1)
        return log_gap + np.log(inside)

    def apart(a: Array, gap: Array, _: Array) -> Array:
        return np.log(mills(a) - mills(a + gap))

    near = gap < 0.5 * np.maximum(a, 1.0)
    slope = by_region((a, gap, log_gap), (near, close), (~near, apart))
    return slope - 0.5 * a * a - _LN_ROOT2PI


def log_not_arrived(a: Array, gap: Array, log_gap: Array | None = None) -> Array:
    """ln of one less the same."""

    def early(a: Array, gap: Array, log_gap: Array) -> Array:
        return np.log1p(-np.exp(log_arrived(a, gap, log_gap)))

    log_gap = np.log(gap) if log_gap is None else log_gap
    return by_region((a, gap, log_gap), (a < -1.0, early), (a >= -1.0, _log_left))


def quantile(x: Array, error: Array) -> Array:
    """√t/h at which the chance of not having arrived is ``error``; x = hμ."""
    log_error = np.log(error)
    # Not arrived is less than Φ(-a), and than without drift; arrived less than 2Φ(a).
    q, half = -special.ndtri(error), -special.ndtri(0.5 * (1.0 - error))
    wide = np.sqrt(q * q + 4.0 * x)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        drifting = np.where(q > 0.0, (q + wide) / (2.0 * x), 2.0 / (wide - q))
    idle = ratio(1.0 / ROOT2, special.erfinv(error))
    high = np.log(np.minimum(drifting, idle))
    low = np.minimum(np.log(ratio(2.0, np.sqrt(half * half + 4.0 * x) + half)), high)
    for _ in range(48):
        middle = 0.5 * (low + high)
        late = log_not_arrived(*_scaled(x, middle)) < log_error
        low, high = np.where(late, low, middle), np.where(late, middle, high)
    log_root = 0.5 * (low + high)
    for _ in range(2):
        a, gap = _scaled(x, log_root)
        left = log_not_arrived(a, gap)
        hazard = np.exp(-0.5 * a * a - _LN_ROOT2PI - left - log_root)
        log_root = log_root + (left - log_error) / (2.0 * hazard)
    return np.exp(log_root)


def _scaled(x: Array, log_root: Array) -> tuple[Array, Array]:
    root = np.exp(log_root)
    return x * root - 1.0 / root, 2.0 / root


# --- The Ornstein-Uhlenbeck process -----------------------------------------------

_FAR = 9.0


@cache
def _panels() -> tuple[Array, ...]:
    """Chebyshev series of K(x) = ∫ Mills over (0, x), on (0, 2) and on (2, 9)."""
    u, w = legendre(60)

    def total(x: Array) -> Array:
        return x * (mills(x[:, None] * u) @ w)

    angle = np.pi * (np.arange(40) + 0.5) / 40.0

    def series(low: float, high: float) -> Array:
        values = total(low + (high - low) * np.square(np.cos(0.5 * angle)))
        terms: Array = np.cos(np.outer(np.arange(32), angle)) @ values / 20.0
        terms[0] *= 0.5
        return terms

    return series(0.0, 2.0), series(2.0, _FAR)


def _mills_integral(x: Array) -> Array:
    """K(x) for 0 <= x <= 9."""
    first, second = _panels()
    return by_region(
        (x,),
        (x < 2.0, lambda x: chebyshev.chebval(x - 1.0, first)),
        (x >= 2.0, lambda x: chebyshev.chebval((x - 5.5) / 3.5, second)),
    )


def _mills_tail(x: Array) -> Array:
    """∫ (1/y - Mills(y)) dy over y > x, x >= 9: Σ -(-1)ᵏ (2k-1)!!/(2k x²ᵏ)."""
    k = np.arange(1.0, 25.0)
    coefficients = -((-1.0) ** k) * np.cumprod(2.0 * k - 1.0) / (2.0 * k)
    even = np.square(1.0 / x)
    return even * polynomial.polyval(even, coefficients)


def _below(high: Array, low: Array) -> Array:
    """∫ Mills over (low, high), 0 <= low <= high, not close to each other."""

    def both_far(high: Array, low: Array) -> Array:
        return np.log(high / low) - (_mills_tail(low) - _mills_tail(high))

    def to_far(high: Array, low: Array) -> Array:
        edge = np.full_like(high, _FAR)
        return _mills_integral(edge) - _mills_integral(low) + both_far(high, edge)

    return by_region(
        (high, low),
        (
            high <= _FAR,
            lambda high, low: _mills_integral(high) - _mills_integral(low),
        ),
        ((high > _FAR) & (low <= _FAR), to_far),
        (low > _FAR, both_far),
    )


def _scaled_erfi(z: Array) -> Array:
    """√(2π) ∫ exp((y² - z²)/2) dy over (0, z)."""
    return 2.0 * np.sqrt(np.pi) * special.dawsn(z / ROOT2)


def ou_mantissa(start: Array, goal: Array) -> tuple[Array, Array]:
    """∫ Φ/φ over (start, goal), as a factor and the logarithm of another."""
    exponent = 0.5 * square(np.maximum(goal, 0.0))
    # From here on the other factor is infinite, and any number will do for this one.
    endless = goal > np.maximum(start, 1e150)
    goal, start = np.minimum(goal, 1e150), np.minimum(start, 1e150)
    length = goal - start
    # The integrand bends over 1/z above zero, over z far below it.
    bend = np.where(goal > 1.0, 1.0 / np.maximum(goal, 1.0), 1.0)
    bend = np.where(goal < -1.0, -goal, bend)
    short = length <= 0.5 * bend

    def by_nodes(start: Array, goal: Array) -> Array:
        u, w = legendre(16)
        z = start[:, None] + (goal - start)[:, None] * u
        top = np.maximum(goal, 0.0)[:, None]
        negative = np.minimum(z, 0.0)
        low = mills(-negative) * np.exp(-0.5 * top * top)
        fall = np.exp(-0.5 * (top - z) * (top + np.maximum(z, 0.0)))
        high = ROOT2PI * special.ndtr(np.maximum(z, 0.0)) * fall
        return (goal - start) * (w * np.where(z < 0.0, low, high)).sum(axis=1)

    def all_below(start: Array, goal: Array) -> Array:
        return _below(-start, -goal)

    def across(start: Array, goal: Array) -> Array:
        zero = np.zeros_like(goal)
        fall = np.exp(-0.5 * goal * goal)
        rest = _below(-start, zero) - _below(goal, zero)
        return _scaled_erfi(goal) + fall * rest

    def all_above(start: Array, goal: Array) -> Array:
        fall = np.exp(-0.5 * (goal - start) * (goal + start))
        bell = np.exp(-0.5 * goal * goal)
        rest = bell * _below(goal, start)
        return _scaled_erfi(goal) - fall * _scaled_erfi(start) - rest

    value = by_region(
        (start, goal),
        (short, by_nodes),
        (~short & (goal <= 0.0), all_below),
        (~short & (goal > 0.0) & (start < 0.0), across),
        (~short & (start >= 0.0), all_above),
    )
    return np.where(endless, 1.0, value), exponent
