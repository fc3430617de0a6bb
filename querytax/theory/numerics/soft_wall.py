"""Numerics of the walk that fluctuates: when its mean over coordinates first arrives.

The mean m over d coordinates drifts at b(m) a step and diffuses at D(m): the mean time
F to a level obeys (D/2) h' + b h = 1 with h = F'. Up to the plateau b is the slope of
the mean path, on which w = b h is 1 where noise plays no part; above it the pull is
linear, whose h and F are closed forms.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax.theory.numerics import convergence as _convergence
from querytax.theory.numerics import mean_path as _mean_path
from querytax.theory.numerics import passage as _passage
from querytax.theory.numerics.floats import Array
from querytax.theory.numerics.gaussian import ROOT2, mills

# The mean overshoot of a walk of normal steps over a level, in noise of one step.
OVERSHOOT = 0.5825971579390107
# Cells of the path between the free way and the plateau.
_CELLS = 32
# The path is left for the linear pull so many standard deviations below the plateau.
_NEAR = 0.05
# exp(z²/2) is beyond the floats, whatever stands before it.
_ENDLESS = 50.0
_TINY = 1e-300


def _free(way: Array, speed: Array, noise: Array, start: Array) -> tuple[Array, Array]:
    """F and h after the free way; ``start`` is h at the centre."""
    speed = np.maximum(speed, _TINY)
    x = np.minimum(2.0 * speed * (way / noise), 1e300)
    small = np.minimum(x, 1e-2)
    fading = np.where(
        x < 1e-2,
        1.0 - small / 2.0 + small * small / 6.0,
        -np.expm1(-x) / np.maximum(x, 1e-2),
    )
    # (x - 1 + e^-x)/x²
    late = np.where(
        x < 1e-2,
        0.5 - small / 6.0 + small**2 / 24.0 - small**3 / 120.0,
        (1.0 - fading) / np.maximum(x, 1e-2),
    )
    time = way * (start * fading + np.minimum(late * x, 1.0) / speed)
    return time, start * np.exp(-x) + np.minimum(fading * x, 1.0) / speed


def _held(
    origin: Array, target: Array, slope: Array, rate: Array, width: Array
) -> Array:
    """Time from origin to target, in standard deviations of a linear pull.

    ``slope`` is h at the origin, just below the mean; that of a path that comes from
    far below would be Mills' ratio, and the time that of ``ou_mantissa``.
    """
    value = np.where(target > _ENDLESS, np.inf, 0.0)
    at = np.flatnonzero((target > origin) & (target <= _ENDLESS))
    if not at.size:
        return value
    origin, target, slope = origin[at], target[at], slope[at]
    rate, width = rate[at], width[at]
    mantissa, exponent = _passage.ou_mantissa(origin, target)
    high = np.maximum(target, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        # The integral of exp(z²/2) over its value at the end.
        up = ROOT2 * special.dawsn(target / ROOT2)
        up = up - ROOT2 * special.dawsn(origin / ROOT2) * np.exp(
            0.5 * (origin - high) * (origin + high)
        )
        more = slope * width - mills(-origin) / rate
        part = mantissa / rate + more * np.exp(-0.5 * np.square(origin)) * up
        value[at] = np.maximum(part, 0.0) * np.exp(exponent)
    return value


class Box:
    """Walks in the box: how long they take from the centre to any level.

    ``scatter`` is d times the sum of squared weights of the coordinates; ``path``,
    plateau and free way are those of the same walks.
    """

    def __init__(
        self,
        path: _mean_path.Path,
        drift: Array,
        step: Array,
        top: Array,
        free: Array,
        dimension: Array,
        scatter: Array,
    ) -> None:
        c, a = drift, np.minimum(step, 2.0)
        room = _convergence.box_variance(c, step)
        each = scatter / dimension
        self.path, self.top = path, top
        self.width = np.sqrt(np.maximum(each * room, _TINY))
        moves = np.maximum(_convergence.moves(c, a), 1e-17)
        self.noise = each * np.square(a) * moves
        first_noise = each * np.square(a) * (1.0 - c) * (1.0 + c)
        self.first_noise = np.maximum(first_noise, _TINY)
        self.rate = 0.5 * self.noise / np.square(self.width)
        self.look = a * np.sqrt(each * (1.0 - c) * (1.0 + c))
        self.speed = c * np.minimum(step, 1.0)
        # Below the centre it is pulled by the other wall too.
        pull = self.speed / (self.rate * self.width)
        self.start = mills(pull) / (self.rate * self.width)
        self.way = np.minimum(free, top)
        self.edge = np.maximum(top - _NEAR * self.width, self.way)
        self.origin = (self.edge - top) / self.width

    def time(self, level: Array, at: np.ndarray) -> Array:
        """Mean steps until the mean over the coordinates is at ``level``."""
        top, way, width = self.top[at], self.way[at], self.width[at]
        origin = self.origin[at]
        near = np.minimum(level, way)
        ends = self.speed[at], self.first_noise[at], self.start[at]
        time, slope = _free(near, *ends)
        target = np.maximum((level - top) / width, origin)
        time = np.where(target > _ENDLESS, np.inf, time)
        beyond = np.flatnonzero((level > way) & (target <= _ENDLESS))
        if beyond.size:
            there = at[beyond]
            near = np.minimum(level, self.edge[at])[beyond]
            on, end = self._along(near, slope[beyond], there)
            held = _held(
                origin[beyond], target[beyond], end, self.rate[there], width[beyond]
            )
            time[beyond] += on + held
        return time

    def freely(self, level: Array, at: np.ndarray) -> Array:
        """The same if the free way had no end, which is sooner."""
        ends = self.speed[at], self.first_noise[at], self.start[at]
        return _free(level, *ends)[0]

    def _along(self, level: Array, slope: Array, at: np.ndarray) -> tuple[Array, Array]:
        """F along the mean path from the free way to a level, and h there."""
        path, top = self.path, self.top[at]
        first_noise, noise = self.first_noise[at], self.noise[at]
        last = path.steps(1.0 - level / np.maximum(top, _TINY), at)
        moved = last > path.first[at]
        length = np.where(moved, last - path.first[at], 1.0) / _CELLS
        left, fall = path.along(length, _CELLS, at)
        speed = np.maximum(top * fall, _TINY)
        middle = 1.0 - 0.5 * (left[1:] + left[:-1])
        across = first_noise + (noise - first_noise) * middle
        steady = 2.0 * speed[1:] * speed[:-1] / np.maximum(across, _TINY)
        bend = -np.diff(np.log(speed), axis=0) / length
        # w' = A (1 - w) - g w with A = 2b²/D and g = -b'/b, both held within a cell.
        back = np.maximum(steady + bend, 1e-12 / length)
        rest, keep = steady / back, np.exp(-back * length)
        gone = -np.expm1(-back * length) / back
        w, time = slope * speed[0], np.zeros(at.size)
        for i in range(_CELLS):
            excess = w - rest[i]
            time += rest[i] * length + excess * gone[i]
            w = rest[i] + excess * keep[i]
        with np.errstate(over="ignore", divide="ignore"):
            scale = 1.0 / np.square(path.pace[at])
            time = np.where(moved, time * scale, 0.0)
            return time, np.where(moved, w / speed[-1] * scale, slope)


def ball_width(top: Array, dimension: Array) -> Array:
    """Standard deviation of the displacement at the plateau of the ball."""
    width = (1.0 - top) * (1.0 + top) / np.sqrt(dimension * (1.0 + top * top))
    return np.maximum(width, 1e-150)


def ball(level: Array, drift: Array, step: Array, dimension: Array) -> Array:
    """Mean steps from the centre until the displacement is ``level``, in the ball."""
    top = _convergence.ball(drift, step)
    rate = _convergence.ball_rate(drift, step)
    way = _convergence.ball_free(drift, step)
    near = np.minimum(level, way)
    with np.errstate(divide="ignore", invalid="ignore"):
        flown = np.where(near > 0.0, near / drift / np.minimum(step, 1.0), 0.0)
    width = ball_width(top, dimension)
    end = np.maximum(level, way)
    mantissa, exponent = _passage.ou_mantissa((way - top) / width, (end - top) / width)
    bent = np.log1p((end - way) * top / (1.0 + way * top))
    with np.errstate(over="ignore"):
        held = np.where(mantissa > 0.0, mantissa * np.exp(exponent), 0.0)
        return flown + (held + bent) / step / rate
