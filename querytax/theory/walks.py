"""Walks of fixed steps in a budget: what several questions about them share.

:mod:`querytax.theory.convergence` has the laws, with their regimes. What costs most,
the modes of a walk in the box, depends on its drift and step alone: a :class:`Walk`
finds them once, for all ways and both of its times.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.theory.numerics import convergence as _convergence
from querytax.theory.numerics import mean_path as _mean_path
from querytax.theory.numerics import soft_wall as _soft_wall
from querytax.theory.numerics.floats import Array, floats

__all__ = ["Walk", "bounds"]

# Walks that are followed at once.
_PART = 1024


def _checked(
    drift: npt.ArrayLike, step: npt.ArrayLike, norm: str
) -> tuple[Array, Array]:
    expect.one_of(("Linf", "L2"), norm=norm)
    c = floats(expect.unit(drift=drift))
    a = floats(expect.positive(step=step))
    c, a = np.broadcast_arrays(c, a)
    return c, a


def bounds(
    displacement: npt.ArrayLike,
    drift: npt.ArrayLike,
    step: npt.ArrayLike,
    norm: str = "Linf",
    start: npt.ArrayLike = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Steps of the mean path, from below and about, at a hundredth of their price.

    From below: those of a walk that nothing pushes back; infinite beyond an upper bound
    of the plateau. About: those of a pull towards that bound.

    Parameters
    ----------
    displacement, drift, step, norm, start
        As in :func:`querytax.theory.convergence.steps`.

    Raises
    ------
    DomainError
        If ``drift``, ``step`` or ``norm`` is outside its range.

    Examples
    --------
    >>> [round(float(x), 1) for x in bounds(0.4, 0.1, 0.1)]
    [40.0, 65.6]
    """
    c, a = _checked(drift, step, norm)
    end, begin = floats(displacement), floats(start)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if norm == "L2":
            top = np.minimum(c * (1.0 / a + np.hypot(1.0 / a, 1.0)), 1.0)
        else:
            # coth(x) - 1/x < x/sqrt(9 + x^2).
            k = (1.0 + 2.0 / a) * np.arctanh(c)
            wall = 1.0 + 0.5 * np.minimum(a, 2.0)
            top = np.minimum(wall / np.hypot(1.0, 3.0 / k), 1.0)
        pace = c * np.minimum(a, 1.0)
        free = (end - begin) / pace
        pulled = np.log1p((end - begin) / (top - end)) * (top / pace)
    still = end == begin
    out = (end >= top) & (end > begin)
    least, about = (
        np.where(still, 0.0, np.where(out, np.inf, x)) for x in (free, pulled)
    )
    return least, about


class Walk:
    """Walks of a drift and a step, to be asked how long they take.

    The ends of a way, in [0, 1], and what else is asked about broadcast to the shape
    of the walks.

    Parameters
    ----------
    drift : array_like
        Cosine of a step with the useful direction, in [0, 1].
    step : array_like
        Length of a step over the radius of the ball, > 0.
    norm : {"Linf", "L2"}
        The ball.

    Raises
    ------
    DomainError
        If a parameter is outside its range.

    Examples
    --------
    >>> walk = Walk(0.1, 0.1)
    >>> float(walk.steps(0.4).round(1)), float(walk.first_passage(0.4, 784).round(1))
    (57.8, 58.2)
    """

    def __init__(
        self, drift: npt.ArrayLike, step: npt.ArrayLike, norm: str = "Linf"
    ) -> None:
        c, a = _checked(drift, step, norm)
        self.shape, c, a = c.shape, c.ravel(), a.ravel()
        cuts = range(0, c.size, _PART)
        part = _InBall if norm == "L2" else _InBox
        self._parts = [part(c[i : i + _PART], a[i : i + _PART]) for i in cuts]

    def _asked(self, question: str, *given: npt.ArrayLike) -> np.ndarray:
        rows = [np.broadcast_to(x, self.shape).ravel() for x in given]
        answers = [np.empty(0)]
        for i, part in enumerate(self._parts):
            cut = slice(i * _PART, (i + 1) * _PART)
            answers.append(getattr(part, question)(*(x[cut] for x in rows)))
        return np.concatenate(answers).reshape(self.shape)

    def _asked_of_way(
        self, question: str, end: npt.ArrayLike, begin: npt.ArrayLike, *others: Array
    ) -> np.ndarray:
        end = floats(expect.unit(displacement=end))
        begin = floats(expect.unit(start=begin))
        expect.that(begin <= end, "at most the displacement", start=begin)
        return self._asked(question, end, begin, *others)

    def steps(
        self, displacement: npt.ArrayLike, start: npt.ArrayLike = 0.0
    ) -> np.ndarray:
        """Steps of the mean path, as in :func:`querytax.theory.convergence.steps`."""
        return self._asked_of_way("steps", displacement, start)

    def displacement(self, steps: npt.ArrayLike) -> np.ndarray:
        """Its inverse, as in :func:`querytax.theory.convergence.displacement`."""
        return self._asked("displacement", floats(expect.nonnegative(steps=steps)))

    def first_passage(
        self,
        displacement: npt.ArrayLike,
        dimension: npt.ArrayLike,
        gain: npt.ArrayLike = 1.0,
        start: npt.ArrayLike = 0.0,
    ) -> np.ndarray:
        """Steps of the walk about it, as in the law ``convergence.first_passage``.

        ``gain``, the spread of the gradient over the coordinates, counts in the box
        only.
        """
        d = floats(expect.integer(dimension=dimension))
        h = floats(expect.positive(gain=gain))
        return self._asked_of_way("first_passage", displacement, start, d, h)

    def at_least(
        self,
        displacement: npt.ArrayLike,
        dimension: npt.ArrayLike,
        gain: npt.ArrayLike = 1.0,
        start: npt.ArrayLike = 0.0,
    ) -> np.ndarray:
        """A cheap number below both times.

        That of the walk whose mean nothing pushes back while it fluctuates as freely as
        at first, less a tenth for the cells of the law's integral. 0 in the ball, whose
        times are cheap themselves.
        """
        d = floats(expect.integer(dimension=dimension))
        h = floats(expect.positive(gain=gain))
        return self._asked_of_way("at_least", displacement, start, d, h)


class _Part:
    """A thousand walks at most, on one axis."""

    # Displacement up to which nothing pushes back, and the plateau.
    free: Array
    top: Array

    def __init__(self, drift: Array, step: Array) -> None:
        self.drift, self.step = drift, step
        self.pace = np.minimum(step, 1.0)

    def steps(self, end: Array, begin: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            flown = np.minimum(end, self.free) - np.minimum(begin, self.free)
            taken = np.where(flown > 0.0, flown / self.drift / self.pace, 0.0)
        late = np.flatnonzero((end > self.free) & (end > begin))
        if late.size:
            within = end[late] < self.top[late]
            taken[late[~within]] = np.inf
            inside = late[within]
            since = np.maximum(begin, self.free)[inside]
            taken[inside] += self._pushed(end[inside], since, inside)
        return taken

    def _pushed(self, end: Array, since: Array, at: np.ndarray) -> Array:
        """Steps from the free way on, where the plateau lies beyond the goal."""
        raise NotImplementedError

    def _flown(self, steps: Array) -> tuple[Array, Array]:
        """Displacement on the free way, and steps after it."""
        c, free = self.drift, self.free
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            flown = np.minimum(steps * self.pace * c, free)
            late = steps - np.where(c > 0.0, free / c / self.pace, 0.0)
        return np.where(c > 0.0, flown, 0.0), late


class _InBox(_Part):
    _walls: tuple[Array, Array, _soft_wall.Box] | None = None

    @cached_property
    def free(self) -> Array:  # type: ignore[override]
        return _mean_path.free(self.drift, self.step)[1]

    @cached_property
    def top(self) -> Array:  # type: ignore[override]
        return _convergence.box_mean(self.drift, self.step)

    @cached_property
    def path(self) -> _mean_path.Path:
        return _mean_path.Path(self.drift, self.step)

    def _pushed(self, end: Array, since: Array, at: np.ndarray) -> Array:
        # Both ends at once, the starts that lie on the pushed way after the goals.
        begun = np.flatnonzero(since > self.free[at])
        level = np.concatenate([end, since[begun]])
        at = np.concatenate([at, at[begun]])
        own = self.path.steps(1.0 - level / self.top[at], at)
        with np.errstate(over="ignore", divide="ignore"):
            unit = self.path.pace[at]
            time = (own - self.path.first[at]) / unit / unit
            # Modes cut off and modes that alternate make it no faster than free.
            least = (level - self.free[at]) / self.drift[at] / self.pace[at]
            time = np.maximum(time, least)
        time[begun] -= time[end.size :]
        return np.maximum(time[: end.size], 0.0)

    def displacement(self, steps: Array) -> Array:
        covered, late = self._flown(steps)
        at = np.flatnonzero((late > 0.0) & (self.drift > 0.0))
        if at.size:
            free, top, path = self.free[at], self.top[at], self.path
            with np.errstate(over="ignore"):
                own = path.first[at] + late[at] * path.pace[at] * path.pace[at]
                gone = top * (1.0 - path.missing(own, at)[0])
            flying = steps[at] * self.pace[at] * self.drift[at]
            gone = np.clip(np.minimum(gone, flying), free, None)
            covered[at] = np.minimum(gone, np.maximum(top, free))
        return covered

    def first_passage(self, end: Array, begin: Array, d: Array, h: Array) -> Array:
        wall = self._wall(d, h)
        return _between(wall.time, end, begin, wall.look)

    def at_least(self, end: Array, begin: Array, d: Array, h: Array) -> Array:
        wall = self._wall(d, h)
        between = _between(wall.freely, end, begin, wall.look)
        return np.minimum(0.9 * between, (end - begin) / np.maximum(wall.speed, 1e-300))

    def _wall(self, d: Array, h: Array) -> _soft_wall.Box:
        """Of these walks; those of the last dimension and gain are kept."""
        kept = self._walls
        if kept is None or not (
            np.array_equal(kept[0], d) and np.array_equal(kept[1], h)
        ):
            scatter = 0.5 * np.pi * np.square(h)
            walks = self.path, self.drift, self.step, self.top, self.free
            self._walls = kept = d, h, _soft_wall.Box(*walks, d, scatter)
        return kept[2]


class _InBall(_Part):
    def __init__(self, drift: Array, step: Array) -> None:
        super().__init__(drift, step)
        self.top = _convergence.ball(drift, step)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            self.free = _convergence.ball_free(drift, step)

    def _pushed(self, end: Array, since: Array, at: np.ndarray) -> Array:
        c, a, top, way = self.drift[at], self.step[at], self.top[at], end - since
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            # Where the walk is free as far as the plateau, rounded, no way is left.
            share = np.where(way > 0.0, way / (top - since), 0.0)
            relaxed = np.log1p(way * top / (1.0 + since * top)) - np.log1p(-share)
            return relaxed / a / _convergence.ball_rate(c, a)

    def displacement(self, steps: Array) -> Array:
        covered, late = self._flown(steps)
        free, top, rest = self.free, self.top, self.top - self.free
        with np.errstate(over="ignore", invalid="ignore"):
            rate = _convergence.ball_rate(self.drift, self.step)
            gone = -np.maximum(late, 0.0) * self.step * rate
            # (1 + m L)/(1 - m/L) grows by E from its value at m = free.
            pull = top * rest / (1.0 + free * top) * np.exp(gone)
            return covered - rest * np.expm1(gone) / (1.0 + pull)

    def at_least(self, end: Array, *_: Array) -> Array:
        return np.zeros(end.size)

    def first_passage(self, end: Array, begin: Array, d: Array, _: Array) -> Array:
        c, a, top = self.drift, self.step, self.top
        # A long step is cut to the sphere.
        cut = a / np.sqrt(1.0 + np.square(np.minimum(a, 1e150)))
        look = cut * np.sqrt((1.0 - top) * (1.0 + top) / d)

        def time(level: Array, at: np.ndarray) -> Array:
            return _soft_wall.ball(level, c[at], a[at], d[at])

        return _between(time, end, begin, look)


def _between(
    time: Callable[[Array, np.ndarray], Array], end: Array, begin: Array, look: Array
) -> Array:
    """Time from one level to the other, overshooting both at a last look."""
    taken, more = np.zeros(end.size), _soft_wall.OVERSHOOT * look
    at = np.flatnonzero(end > begin)
    taken[at] = time((end + more)[at], at)
    before = at[begin[at] > 0.0]
    with np.errstate(invalid="ignore"):
        taken[before] -= time((begin + more)[before], before)
    # Where even the start is beyond the floats.
    taken = np.maximum(np.where(np.isnan(taken), np.inf, taken), 0.0)
    # Differences of equal numbers: rounding, not steps.
    taken[taken < 1e-12] = 0.0
    return taken
