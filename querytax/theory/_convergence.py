"""Numerics of walks of fixed steps in a box and in a ball: plateaus and mean paths.

In the box each coordinate steps up with chance (1 + c)/2, else down, and is clipped.
Between walls at a whole number of steps from each other that is a walk over
n = 1 + 2/a sites, whose chances stand as r^j, ln r = 2 θ, θ = atanh c.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import polynomial
from scipy import special

from querytax.theory._floats import Array
from querytax.theory._gaussian import ROOT2PI, mills

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


def _mean(drift: Array, step: Array) -> Array:
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
    top = _mean(drift, long)
    if not weight.any():
        return top
    return top + weight * (_mean(drift, short) - top)


def box_variance(drift: Array, step: Array) -> Array:
    """Its variance."""
    _, long, short, w = _whole_steps(step)
    room = _variance(drift, long)
    if not w.any():
        return room
    top, other, less = (
        _mean(drift, long),
        _mean(drift, short),
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


# --- The mean path in the box ---------------------------------------------------------

# Until then no coordinate meets a wall, but for six standard deviations.
_MARGIN = 6.0
# Digits that the sum over modes may lose: e^14.
_LOST = 14.0
# Steps as fine as this are as good as any finer ones.
_FINE = 1e-5
_TINY = 1e-300


def free(drift: Array, step: Array) -> tuple[Array, Array]:
    """Steps and displacement up to which nothing pushes back.

    No wall is within reach for 1/a steps. A fine step spreads more slowly than that:
    the time is also that of a c t + 6 a √t = 1.
    """
    with np.errstate(over="ignore", divide="ignore"):
        root = 2.0 / (_MARGIN + np.sqrt(_MARGIN**2 + 4.0 * drift / step))
        calm = np.square(root / step)
        time = np.maximum(np.maximum(1.0 / step, calm), 1.0)
        way = np.maximum(drift, drift / step * np.square(root))
    return time, np.where(step < 1.0, np.minimum(way, 1.0), drift)


@dataclass
class Path:
    """Share of the plateau that is still missing after T steps; arrays of one axis.

    Attributes
    ----------
    drift, step : ndarray
        c and a.
    pace : ndarray
        Steps are counted in units of 1/pace² of the walk's.
    first : ndarray
        Steps until the walls are felt, so counted.
    """

    drift: Array
    step: Array

    def __post_init__(self) -> None:
        c, a = self.drift, np.clip(self.step, 1e-300, 2.0)
        # At fine steps only c/a counts, and the time goes as 1/a².
        with np.errstate(over="ignore"):
            ratio = c / a
        scaled = (a < _FINE) & (ratio < 1e3)
        self.pace = np.where(scaled, a / _FINE, 1.0)
        c = np.where(scaled, ratio * _FINE, c)
        a = np.where(scaled, _FINE, a)
        # Of no drift at all the limit: shares do not depend on it any more.
        c = np.clip(c, 1e-30, 1.0 - 1e-16)
        self.first = free(c, np.where(scaled, a, self.step))[0]
        theta = np.arctanh(c)
        lost = theta * (1.0 / a + 0.5) + 0.5 * np.log1p(-c * c) * self.first
        # Far from the other wall a Brownian path against one wall; else the modes.
        self.one_wall = ~(lost < _LOST)
        two = ~self.one_wall
        self._set_modes(np.where(two, c, 0.01), np.where(two, a, 0.1))
        self._set_wall(np.where(two, 0.5, c), np.where(two, 0.01, a))

    def _set_modes(self, c: Array, a: Array) -> None:
        n, theta = 1.0 + 2.0 / a, np.arctanh(c)
        kappa = 0.5 * n * theta
        # Modes that have died before the walls are felt are left out.
        slow = 0.5 * np.square(0.5 * np.pi * a) * self.first
        used = np.minimum(np.sqrt((40.0 + kappa) / slow), np.ceil(0.5 * n) - 1.0)
        used = np.where(self.one_wall, 1.0, used)
        k = np.arange(1.0, np.maximum(np.ceil(used.max(initial=1.0)), 1.0) + 1.0)
        # The other half of the modes changes its sign at each step: whether the number
        # of steps is odd or even, of which a smooth path knows nothing.
        inside = k < 0.5 * n[:, None]
        phi = np.where(inside, np.pi * k / n[:, None], 0.25 * np.pi)
        sine, cosine = np.sin(0.5 * phi), np.cos(0.5 * phi)
        square = (1.0 - c) * (1.0 + c)
        # 1 - √(1-c²) cos φ, the eigenvalue's distance from one.
        bias = c * c / (1.0 + np.sqrt(square))
        gap = 2.0 * np.square(sine) + np.cos(phi) * bias[:, None]
        odd = np.sinh(0.5 * theta) * np.cosh(kappa)
        even = np.cosh(0.5 * theta) * np.sinh(kappa)
        part = np.where(k % 2.0 == 1.0, cosine * odd[:, None], -sine * even[:, None])
        part = np.where(np.floor(0.5 * k) % 2.0 == 0.0, part, -part)
        scale = 2.0 * a / n * square / _mean(c, a)
        size = scale[:, None] * np.sin(phi) / np.square(gap) * part
        self._size = np.where(inside, size, 0.0)
        decay = np.log1p(-np.square(np.sin(phi))) + np.log1p(-c * c)[:, None]
        self._rate = 0.5 * decay

    def _set_wall(self, c: Array, a: Array) -> None:
        self._speed, self._spread = c * a, a * np.sqrt((1.0 - c) * (1.0 + c))
        # So far that the plateau is the chain's: a walk sticks where it is clipped.
        self._wall = 1.0 + 0.5 * a * (1.0 - c)
        self._scale = 0.5 * a * (1.0 - c) * (1.0 + c) / c

    def missing(self, steps: Array) -> tuple[Array, Array]:
        """Share 1 - m/L after steps of shape (elements, any), and its fall a step.

        In own steps: :attr:`pace` squared of each of them is a step of the walk.
        """
        share, fall = np.empty(steps.shape), np.empty(steps.shape)
        one, two = self.one_wall, ~self.one_wall
        if two.any():
            rate, size = self._rate[two][:, None, :], self._size[two][:, None, :]
            part = size * np.exp(rate * steps[two][..., None])
            share[two] = part.sum(-1)
            fall[two] = -(part * rate).sum(-1)
        if one.any():
            share[one], fall[one] = self._against_wall(one, steps[one])
        return share, fall

    def _against_wall(self, one: Array, t: Array) -> tuple[Array, Array]:
        """The reflected Brownian path from the centre towards one wall."""
        v, s = self._speed[one][:, None], self._spread[one][:, None]
        wall, scale = self._wall[one][:, None], self._scale[one][:, None]
        root = s * np.sqrt(t)
        z, far = (v * t - wall) / root, (v * t + wall) / root
        bell = np.exp(-0.5 * z * z) / ROOT2PI
        after = special.ndtr(-z)
        rest = root * (bell - z * after) - scale * (after + bell * mills(far))
        top = wall - scale
        fall = v * after - s / np.sqrt(t) * bell
        return np.maximum(rest, 0.0) / top, np.maximum(fall, 0.0) / top

    def steps(self, share: Array) -> Array:
        """Own steps after which ``share`` is missing, from the free way on.

        Newton on the logarithm of the share, which falls at a steady rate in the end.
        """
        goal = np.log(np.maximum(share, _TINY))
        # The slowest mode alone; against one wall the flight to it.
        slow = (goal - np.log(np.maximum(self._size[:, 0], _TINY))) / self._rate[:, 0]
        t = np.where(self.one_wall, (1.0 - share) / self._speed, slow)
        t = np.maximum(t, self.first)
        for _ in range(40):
            left, fall = (x[:, 0] for x in self.missing(t[:, None]))
            left, fall = np.maximum(left, _TINY), np.maximum(fall, _TINY)
            move = np.maximum((np.log(left) - goal) * (left / fall), -0.5 * t)
            new = np.maximum(t + np.minimum(move, 4.0 * t), self.first)
            # Twice as many digits hold after the move as before it.
            done = np.abs(new - t) <= 1e-8 * t
            t = new
            if done.all():
                break
        return t


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
