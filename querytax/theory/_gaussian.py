"""Averages of a function of a normal variable, without cancellation.

``x``, ``t`` and ``m`` are nonnegative here: callers use the symmetry.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import special

from querytax.theory._floats import Array, by_region

ROOT2 = np.sqrt(2.0)
ROOT2PI = np.sqrt(2.0 * np.pi)
_STEP = 1.0 / 16.0


def pdf(x: Array) -> Array:
    return np.exp(-0.5 * x * x) / ROOT2PI


def mills(x: Array) -> Array:
    """Φ(-x)/φ(x)."""
    return np.sqrt(0.5 * np.pi) * special.erfcx(x / ROOT2)


def second_mills(x: Array) -> Array:
    """1 - x Φ(-x)/φ(x) for x >= 0: ∫ u exp(-xu - u²/2) du over u > 0.

    With I_n = ∫ uⁿ exp(-xu - u²/2) du/n!, parts give I_{n-1}/I_{n-2} =
    1/(x + n I_n/I_{n-1}): a continued fraction of positive terms.
    """

    def fraction(x: Array) -> Array:
        # The tail's own fixed point, to begin with.
        rest = 0.5 * (x + np.hypot(x, 2.0 * np.sqrt(101.0)))
        for n in range(100, 1, -1):
            rest = x + n / rest
        return mills(x) / rest

    return by_region(
        (x,), (x < 2.0, lambda x: 1.0 - x * mills(x)), (x >= 2.0, fraction)
    )


@cache
def legendre(count: int) -> tuple[Array, Array]:
    """Nodes and weights on (0, 1)."""
    x, w = special.roots_legendre(count)
    return 0.5 * (1.0 + x), 0.5 * w


def gelu_below(x: Array, s: Array) -> Array:
    """E GELU(-x + sξ) for x >= 0: r φ(τ)(s²/r² - τ Mills(τ)), τ = x/r, r² = 1+s²."""
    r = np.hypot(1.0, s)
    t = np.minimum(x / r, 1e100)
    # Each form is free of cancellation on its side of s = 1.
    wide = second_mills(t) - np.square(1.0 / r)
    narrow = np.square(s / r) - t * mills(t)
    return r * (pdf(t) * np.where(s > 1.0, wide, narrow))


def gelu_heat(x: Array, s: Array) -> Array:
    """Bias as ∫ φ(x/ρ)(1 + 1/ρ² - x²/ρ⁴) dρ over 1 < ρ < r: d/ds² E = ½ E GELU''."""
    u, w = legendre(40)
    width = (s / (1.0 + np.hypot(1.0, s)) * s)[:, None]
    rho = 1.0 + width * u
    y = x[:, None] / rho
    values = pdf(y) * (1.0 + (1.0 - np.square(y)) / rho**2)
    return (width * w * values).sum(axis=1)


def tanh_near(m: Array, s: Array) -> Array:
    """E tanh((m + sξ)/2), trapezoidal over m + sξ > 0 less its mirror image."""
    eta = _STEP * np.arange(1, 300)
    t = (m / s)[:, None]
    weight = pdf(eta - t) * -np.expm1(-2.0 * eta * t)
    return _STEP * (weight * np.tanh(0.5 * s[:, None] * eta)).sum(axis=1)


def tanh_far(m: Array, s: Array) -> Array:
    xi = _STEP * np.arange(-152, 153)
    return _STEP * (pdf(xi) * np.tanh(0.5 * (m[:, None] + s[:, None] * xi))).sum(1)


def tanh_wide(m: Array, s: Array) -> Array:
    """E sign(D) less E[sign(D) 2/(1 + exp|D|)], whose integrand ends at 40."""
    u, w = legendre(100)
    y, wide, t = 40.0 * u, s[:, None], (m / s)[:, None]
    density = pdf(y / wide - t) / wide * -np.expm1(-2.0 * (y / wide) * t)
    lost = 40.0 * (w * 2.0 * special.expit(-y) * density).sum(axis=1)
    return special.erf(t[:, 0] / ROOT2) - lost


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
