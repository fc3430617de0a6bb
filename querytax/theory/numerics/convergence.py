"""Numerics of walks of fixed steps in a box and in a ball: where they settle.

In the box each coordinate steps up with chance (1 + c)/2, else down, and is clipped.
Between walls at a whole number of steps from each other that is a walk over
n = 1 + 2/a sites, whose chances stand as r^j, ln r = 2 θ, θ = atanh c.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import polynomial

from querytax.theory.numerics.floats import Array

# --- The plateau in the box -----------------------------------------------------------

_COTH = np.array(
    [
        1 / 3,
        -1 / 45,
        2 / 945,
        -1 / 4725,
        2 / 93555,
        -1382 / 638512875,
        4 / 18243225,
        -3617 / 162820783125,
        87734 / 38979295480125,
        -349222 / 1531329465290625,
    ]
)
# 1/x² - 1/sinh²x is what is left of the derivative of the other.
_CSCH = _COTH * (2.0 * np.arange(10.0) + 1.0)


def _langevin(x: Array) -> Array:
    """coth(x) - 1/x for x >= 0, by its series where that cancels."""
    small, large = np.minimum(x, 0.5), np.maximum(x, 0.5)
    series = small * polynomial.polyval(np.square(small), _COTH)
    return np.where(x < 0.5, series, 1.0 / np.tanh(large) - 1.0 / large)


def _bent(x: Array) -> Array:
    """1/x² - 1/sinh²(x), the derivative of the former."""
    small, large = np.minimum(x, 0.5), np.clip(x, 0.5, 700.0)
    series = polynomial.polyval(np.square(small), _CSCH)
    return np.where(x < 0.5, series, large**-2.0 - np.sinh(large) ** -2.0)


def walk_mean(drift: Array, step: Array) -> Array:
    """Mean of a coordinate between walls a whole number of steps apart."""
    with np.errstate(over="ignore", divide="ignore"):
        theta = np.arctanh(drift)
        k = theta + theta * (2.0 / step)
        near, far = _langevin(np.stack([theta, k]))
    return np.where(np.isinf(theta), 1.0, far + 0.5 * step * (far - near))


def _variance(drift: Array, step: Array) -> Array:
    """Its variance."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        theta = np.arctanh(drift)
        k = theta + theta * (2.0 / step)
        near, far = _bent(np.stack([theta, np.minimum(k, 350.0)]))
        # Where the other wall is far its part is nothing, however large k.
        wide = np.where(k > 350.0, np.square(step / theta), np.square(2.0 + step) * far)
        calm = 0.25 * (wide - np.square(step) * near)
        # Beyond θ = 1 it is a²/4 [1/sinh²θ - n²/sinh²(nθ)] that does not cancel.
        edge = np.square((2.0 + step) / np.sinh(np.clip(k, 1.0, 350.0)))
        c = np.maximum(drift, 0.5)
        busy = 0.25 * (np.square(step / c) * (1.0 - c) * (1.0 + c) - edge)
    return np.where(theta > 1.0, np.maximum(busy, 0.0), calm)


def _whole_steps(step: Array) -> tuple[Array, Array, Array, Array]:
    """The step, the next longer and shorter of which a whole number is 2, a weight."""
    a = np.clip(step, 1e-150, 2.0)
    count = 2.0 / np.maximum(a, 1e-6)
    # A quotient that is whole but for rounding is taken as whole.
    near = np.rint(count)
    exact = (np.abs(near - count) < 1e-9 * near) | (a < 1e-6)
    count = np.floor(count)
    long = np.where(exact, a, 2.0 / count)
    short = np.where(exact, a, 2.0 / (count + 1.0))
    weight = np.where(exact, 0.0, (long - a) / np.where(exact, 1.0, long - short))
    return a, long, short, weight


def box_mean(drift: Array, step: Array) -> Array:
    """Mean of a coordinate at the plateau, for any step.

    The walls are 2/a steps apart. Between two steps for which that is whole the sites
    keep their chances, for they hang from one wall each: the mean is linear in a, and
    the mean square a parabola that is 1 at a = 0.
    """
    _, long, short, weight = _whole_steps(step)
    top = walk_mean(drift, long)
    if not weight.any():
        return top
    return top + weight * (walk_mean(drift, short) - top)


def box_variance(drift: Array, step: Array) -> Array:
    """Its variance."""
    _, long, short, w = _whole_steps(step)
    room = _variance(drift, long)
    if not w.any():
        return room
    top, other, less = (
        walk_mean(drift, long),
        walk_mean(drift, short),
        _variance(drift, short),
    )
    q = (1.0 - top * top - room) / long - (1.0 - other * other - less) / short
    between = w * (1.0 - w) * (np.square(top - other) + (long - short) * q)
    return np.maximum(room + w * (less - room) + between, 0.0)


# --- The plateau in the ball ----------------------------------------------------------


def ball(drift: Array, step: Array) -> Array:
    """The root L of a/2 (L/c - c/L) = 1 - L²."""
    a = np.minimum(step, 1e20)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        # x = L/c by x² - 1 <= 2x/a, an upper bound; then Newton on a convex function.
        x = np.minimum(1.0 / a + np.hypot(1.0 / a, 1.0), 1.0 / drift)
        for _ in range(60):
            m = drift * x
            value = 0.5 * a * (x - 1.0 / x) - (1.0 - m) * (1.0 + m)
            slope = 0.5 * a * (1.0 + 1.0 / x**2) + 2.0 * m * drift
            new = np.maximum(x - value / slope, 1.0)
            if not np.any(np.abs(new - x) > 4e-16 * x):
                break
            x = new
    return np.where(drift > 0.0, np.minimum(drift * x, 1.0), 0.0)


# --- At the wall ----------------------------------------------------------------------


def moves(drift: Array, step: Array) -> Array:
    """Share of steps at the plateau that a wall does not stop, 1 - c coth(nθ)."""
    theta = np.arctanh(np.minimum(drift, 1.0 - 1e-16))
    k = theta + theta * (2.0 / step)
    flat = step / (2.0 + step)
    share = np.where(drift > 1e-150, drift / np.tanh(np.maximum(k, 1e-300)), flat)
    return 1.0 - share


def ball_free(drift: Array, step: Array) -> Array:
    """Displacement c a T at which a walk meets the sphere: a²T(1 - c²) + (caT)² = 1."""
    a = np.minimum(step, 1.0)
    side = a * (1.0 - drift) * (1.0 + drift)
    return np.where(
        drift > 0.0, 2.0 * drift / (side + np.hypot(side, 2.0 * drift)), 0.0
    )


def ball_rate(drift: Array, step: Array) -> Array:
    """-ln of the map's slope at the plateau, over a: how fast a distance dies out.

    A step takes m to (m + a c)/R with R² = 1 + 2 a c m + a².
    """
    a = np.clip(step, 1e-8, 1e100)
    top = ball(drift, step)
    pull = a * drift * top
    grown = 2.0 * pull + a * a
    # Nothing is left after a step towards the plateau itself.
    kept = np.maximum(1.0 - pull / np.sqrt(1.0 + grown), 1e-300)
    fine = np.log1p(-np.minimum(pull / np.sqrt(1.0 + grown), 0.5))
    exact = 0.5 * np.log1p(grown) - np.where(kept > 0.5, fine, np.log(kept))
    return np.where(step < 1e-8, 2.0 * drift * top + 0.5 * step, exact / a)
