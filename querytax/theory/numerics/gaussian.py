"""Averages of a function of a normal variable, without cancellation.

``x``, ``t`` and ``m`` are nonnegative here: callers use the symmetry.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import special

from querytax.theory.numerics.floats import Array, by_region, root_one_plus

ROOT2 = np.sqrt(2.0)
ROOT2PI = np.sqrt(2.0 * np.pi)


def pdf(x: Array) -> Array:
    return np.exp(-0.5 * x * x) / ROOT2PI


def mills(x: Array) -> Array:
    """Φ(-x)/φ(x)."""
    return np.sqrt(0.5 * np.pi) * special.erfcx(x / ROOT2)


def second_mills(x: Array) -> Array:
    """1 - x Φ(-x)/φ(x) for x >= 0: ∫ u exp(-xu - u²/2) du over u > 0."""
    x = np.asarray(x)
    value = np.asarray(1.0 - x * mills(x))
    far = x >= 10.0
    if far.any():
        # Σ -(-1)ᵏ (2k-1)!!/x²ᵏ over k >= 1, down to below rounding.
        inverse = np.square(1.0 / x[far])
        series = np.ones_like(inverse)
        for k in range(24, 0, -1):
            series = 1.0 - (2 * k + 1) * inverse * series
        value[far] = inverse * series
    return value


@cache
def legendre(count: int) -> tuple[Array, Array]:
    """Nodes and weights on (0, 1)."""
    x, w = special.roots_legendre(count)
    return 0.5 * (1.0 + x), 0.5 * w


def gelu_below(x: Array, s: Array) -> Array:
    """E GELU(-x + sξ) for x >= 0: r φ(τ)(s²/r² - τ Mills(τ)), τ = x/r, r² = 1+s²."""
    r = root_one_plus(s)
    t = np.minimum(x / r, 1e100)
    # Each form is free of cancellation on its side of s = 1.
    shape = by_region(
        (s, r, t),
        (s <= 1.0, lambda s, r, t: np.square(s / r) - t * mills(t)),
        (s > 1.0, lambda s, r, t: second_mills(t) - np.square(1.0 / r)),
    )
    return r * (pdf(t) * shape)


def gelu_heat(x: Array, s: Array) -> Array:
    """Bias as ∫ φ(x/ρ)(1 + 1/ρ² - x²/ρ⁴) dρ over 1 < ρ < r: d/ds² E = ½ E GELU''."""
    u, w = legendre(40)
    width = (s / (1.0 + np.hypot(1.0, s)) * s)[:, None]
    rho = 1.0 + width * u
    y = x[:, None] / rho
    values = pdf(y) * (1.0 + (1.0 - np.square(y)) / rho**2)
    return (width * w * values).sum(axis=1)


def _spacing(s: float) -> float:
    """Step that puts the poles of tanh(sξ/2), at π/s, beyond rounding."""
    return min(0.5, 0.5 / s)


def tanh_near(top: float) -> Callable[[Array, Array], Array]:
    """E tanh((m + sξ)/2) for s <= top, m <= 9s: over m + sξ > 0 less its image."""
    step = _spacing(top)

    def value(m: Array, s: Array) -> Array:
        eta = step * np.arange(1.0, 18.5 / step)
        t = (m / s)[:, None]
        weight = pdf(eta - t) * -np.expm1(-2.0 * eta * t)
        return step * (weight * np.tanh(0.5 * s[:, None] * eta)).sum(axis=1)

    return value


def tanh_far(top: float) -> Callable[[Array, Array], Array]:
    """The same for m > 9s."""
    step = _spacing(top)

    def value(m: Array, s: Array) -> Array:
        half = np.floor(9.0 / step)
        xi = step * np.arange(-half, half + 1.0)
        return step * np.tanh(0.5 * (m[:, None] + s[:, None] * xi)) @ pdf(xi)

    return value


def tanh_wide(m: Array, s: Array) -> Array:
    """E sign(D) less E[sign(D) 2/(1 + exp|D|)], whose integrand ends at 40.

    In y = 40 u², which crowds the nodes where 2/(1 + eʸ) is.
    """
    u, w = legendre(32)
    y, weight = 40.0 * u * u, 160.0 * u * w * special.expit(-40.0 * u * u)
    wide, t = s[:, None], np.minimum(m / s, 1e100)[:, None]
    density = pdf(y / wide - t) / wide * -np.expm1(-2.0 * (y / wide) * t)
    return special.erf(t[:, 0] / ROOT2) - density @ weight


def clipped_wide(f: Array, s: Array) -> Array:
    """∫ P(F + v > y) dy over 0 < y < 1."""
    y, w = legendre(40)
    return (w * special.ndtr((f[:, None] - y) / s[:, None])).sum(axis=1)


# --- P(kξ > a) for a random scale k in (0, 1), independent of ξ --------------------


def _exponential(a: Array) -> Array:
    """a E₁(a²/2)/√(8π)."""
    return a * special.exp1(np.maximum(0.5 * a * a, 1e-300)) / (2.0 * ROOT2PI)


def _uniform_near(a: Array) -> Array:
    return special.ndtr(-a) - _exponential(a)


def _bell_near(a: Array) -> Array:
    tail = (1.0 + 3.0 * a * a) * special.ndtr(-a)
    return tail - 2.0 * a * pdf(a) - a * a * _exponential(a)


def _arcsine_near(a: Array) -> Array:
    """By nodes that crowd at the margin where it is small."""
    return by_region(
        (a,),
        (a < 0.1, _arcsine_crowded),
        ((a >= 0.1) & (a < 0.3), lambda a: _arcsine_even(a, 128)),
        (a >= 0.3, lambda a: _arcsine_even(a, 80)),
    )


def _arcsine_even(a: Array, count: int) -> Array:
    """(2/π) ∫ Φ(-a/sin²t) dt over a quarter of a period, by the midpoint rule."""
    sine = np.sin(0.5 * np.pi * (np.arange(count) + 0.5) / count)
    return special.ndtr(-a[:, None] / np.square(sine)).mean(axis=1)


def _arcsine_crowded(a: Array) -> Array:
    """∫ φ(x) P(k > a/x) dx by x = a cosh²w, P = (2/π) gd(w): an even integrand."""
    step, reach = 0.06, 9.5
    root = np.sqrt(np.maximum(a, 1e-300))
    top = np.arccosh(np.sqrt(reach) / root)
    # Below the last 20 the integrand has fallen by e⁻⁴⁰.
    first = np.maximum(np.floor((top - 20.0) / step), 0.0)
    w = step * (first[:, None] + np.arange(345) + 0.5)
    rise, fall = np.exp(0.5 * w), np.exp(-2.0 * w)
    half = 0.5 * (root[:, None] * rise) * rise
    x = np.square(half * (1.0 + fall))
    slope = 2.0 * half * half * (1.0 + fall) * -np.expm1(-2.0 * w)
    angle = 2.0 * np.arctan(np.tanh(0.5 * w))
    return (step * 2.0 / np.pi) * (pdf(x) * angle * slope).sum(axis=1)


def _tail(a: Array, power: float, shape: Callable[[Array], Array]) -> Array:
    """φ(a) ∫ e⁻ʸ P(k > a/x)/x dy, x² = a² + 2y; the chance is (1-a/x)^power shape."""
    y, weight = _laguerre(power)
    column = a[:, None]
    x = np.sqrt(np.square(column) + 2.0 * y)
    # 1 - a/x = 2y/(x(x + a)); the power of y stands in the weight.
    edge = np.power(2.0 / (x * (x + column)), power)
    return pdf(a) * (weight * edge * shape(column / x) / x).sum(axis=1)


@cache
def _laguerre(power: float) -> tuple[Array, Array]:
    y, weight = special.roots_genlaguerre(80, power)
    return y, weight


def _arcsine_shape(c: Array) -> Array:
    """(2/π) arccos(√c)/√(1-c)."""
    root = np.sqrt(1.0 - c)
    return (2.0 / np.pi) * np.arcsin(root) / np.maximum(root, 1e-300)


SCALED = {
    "arcsine": (_arcsine_near, lambda a: _tail(a, 0.5, _arcsine_shape)),
    "uniform": (_uniform_near, lambda a: _tail(a, 1.0, np.ones_like)),
    "bell": (_bell_near, lambda a: _tail(a, 2.0, lambda c: 1.0 + 2.0 * c)),
}
