"""Numerics of the mean path of walks in a box, from the free way to the plateau.

A sum over the modes of the chain that do not change their sign at each step; far from
the other wall a Brownian path against one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
from scipy import special

from querytax.theory.numerics.convergence import walk_mean
from querytax.theory.numerics.floats import Array
from querytax.theory.numerics.gaussian import ROOT2PI, mills

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


# Elements whose modes are summed at once: what fits into the cache.
_ROW = 256
# What is missing at some times, and its fall a step.
_Left = Callable[[Array], tuple[Array, Array]]


class Path:
    """Share of the plateau that is still missing after T steps; arrays of one axis.

    The modes of an element are found when it is first asked about.

    Attributes
    ----------
    pace : ndarray
        Steps are counted in units of 1/pace² of the walk's.
    first : ndarray
        Steps until the walls are felt, so counted.
    """

    def __init__(self, drift: Array, step: Array) -> None:
        c, a = drift, np.clip(step, 1e-300, 2.0)
        # At fine steps only c/a counts, and the time goes as 1/a².
        with np.errstate(over="ignore"):
            ratio = c / a
        scaled = (a < _FINE) & (ratio < 1e3)
        self.pace = np.where(scaled, a / _FINE, 1.0)
        c = np.where(scaled, ratio * _FINE, c)
        a = np.where(scaled, _FINE, a)
        # Of no drift at all the limit: shares do not depend on it any more.
        c = np.clip(c, 1e-30, 1.0 - 1e-16)
        self.first = free(c, np.where(scaled, a, step))[0]
        theta = np.arctanh(c)
        lost = theta * (1.0 / a + 0.5) + 0.5 * np.log1p(-c * c) * self.first
        # Far from the other wall a Brownian path against one wall; else the modes.
        self.one_wall = ~(lost < _LOST) | (ratio >= 1e3)
        self._drift, self._step, self._theta = c, a, theta
        # As whole as they were meant: at half of an even number no mode is left.
        sites = 1.0 + 2.0 / a
        whole = np.rint(sites)
        near = np.abs(sites - whole) < 1e-12 * sites
        self._sites = np.where(near, whole, sites)
        # A mode counts until e^-40 is left of what it may have begun with, e^kappa.
        self._kappa = np.where(self.one_wall, 0.0, 0.5 * self._sites * theta)
        slow = 0.5 * np.square(0.5 * np.pi * np.where(self.one_wall, 1.0, a))
        self._calm = (40.0 + self._kappa) / slow
        # The other half of the modes changes its sign at each step: whether the number
        # of steps is odd or even, of which a smooth path knows nothing.
        self._most = np.maximum(np.ceil(0.5 * self._sites) - 1.0, 1.0)
        self._known = self.one_wall.copy()
        self._size = self._rate = np.empty((0, 0))

    def _modes_at(self, steps: Array, at: np.ndarray) -> np.ndarray:
        """How many modes are alive on some of the elements, on the last axis."""
        alive = np.minimum(np.sqrt(self._calm[at] / steps), self._most[at])
        return np.ceil(alive.max(axis=-1, initial=1.0)).astype(int)

    def _find(self, at: np.ndarray) -> None:
        """Modes of these elements, one a row."""
        new = at[~self._known[at]]
        if not new.size:
            return
        if not self._size.size:
            every = np.flatnonzero(~self.one_wall)
            count = int(self._modes_at(self.first[every], every))
            self._size = np.zeros((count, self.first.size))
            self._rate = np.zeros((count, self.first.size))
        self._known[new] = True
        for some in np.array_split(new, -(-new.size // _ROW)):
            count = int(self._modes_at(self.first[some], some))
            found = self._modes(some, count)
            self._size[:count, some], self._rate[:count, some] = found

    def _modes(self, at: np.ndarray, count: int) -> tuple[Array, Array]:
        c, a, n = self._drift[at], self._step[at], self._sites[at]
        theta, kappa = self._theta[at], self._kappa[at]
        k = np.arange(1.0, count + 1.0)[:, None]
        half = (0.5 * np.pi / n) * k
        outside = k >= 0.5 * n
        if outside.any():
            half[outside] = np.pi / 8.0
        sine, cosine = np.sin(half), np.cos(half)
        square = (1.0 - c) * (1.0 + c)
        # 1 - √(1-c²) cos φ, the eigenvalue's distance from one.
        bias = c * c / (1.0 + np.sqrt(square))
        versed = 2.0 * np.square(sine)
        gap = versed + (1.0 - versed) * bias
        tangential = 2.0 * sine * cosine
        part = np.where(k % 2.0 == 1.0, cosine, sine)
        part[0::2] *= np.sinh(0.5 * theta) * np.cosh(kappa)
        part[1::2] *= np.cosh(0.5 * theta) * np.sinh(kappa)
        part[2::4] *= -1.0
        part[3::4] *= -1.0
        part *= 2.0 * a / n * square / walk_mean(c, a)
        size = tangential / np.square(gap) * part
        size[outside] = 0.0
        # A mode near half of an even number is over after a step.
        turned = np.maximum(-np.square(tangential), 1e-16 - 1.0)
        rate = 0.5 * (np.log1p(turned) + np.log1p(-c * c))
        return size, rate

    def missing(self, steps: Array, at: np.ndarray) -> tuple[Array, Array]:
        """Share 1 - m/L of some elements after own steps, and its fall a step."""
        share, fall = np.empty(at.size), np.empty(at.size)
        for some, left in self._apart(at):
            share[some], fall[some] = left(steps[some])
        return share, fall

    def _apart(self, at: np.ndarray) -> Iterator[tuple[np.ndarray, _Left]]:
        """Elements that are followed together, and what is missing of them by time."""
        one = np.flatnonzero(self.one_wall[at])
        if one.size:
            yield one, functools.partial(self._against_wall, at[one])
        if one.size == at.size:
            return
        two = np.flatnonzero(~self.one_wall[at])
        self._find(at[two])
        for some in np.array_split(two, -(-two.size // _ROW)):
            there = at[some]
            count = self._modes_at(self.first[there], there)
            modes = self._size[:count, there], self._rate[:count, there]
            yield some, functools.partial(self._by_modes, there, *modes)

    def _by_modes(
        self, at: np.ndarray, size: Array, rate: Array, steps: Array
    ) -> tuple[Array, Array]:
        count = self._modes_at(steps, at)
        part = rate[:count] * steps
        np.exp(part, out=part)
        part *= size[:count]
        return part.sum(axis=0), -np.einsum("ij,ij->j", part, rate[:count])

    def along(self, length: Array, cells: int, at: np.ndarray) -> tuple[Array, Array]:
        """The same at the edges of ``cells`` of a length from the free way on.

        Of shape (cells + 1, elements).
        """
        share, fall = np.empty((2, cells + 1, at.size))
        first, edges = self.first[at], np.arange(cells + 1.0)[:, None]
        one = np.flatnonzero(self.one_wall[at])
        if one.size:
            times = first[one] + length[one] * edges
            share[:, one], fall[:, one] = self._against_wall(at[one], times)
        if one.size == at.size:
            return share, fall
        two = np.flatnonzero(~self.one_wall[at])
        self._find(at[two])
        # Long ways together, on which modes soon die.
        two = two[np.argsort(length[two] / first[two])]
        for some in np.array_split(two, -(-two.size // _ROW) or 1):
            count = self._modes_at(first[some], at[some])
            rate, size = self._rate[:count, at[some]], self._size[:count, at[some]]
            # Edges are evenly apart, and so are the exponents.
            part, kept = size * np.exp(rate * first[some]), np.exp(rate * length[some])
            ages = first[some] + length[some] * edges
            alive = self._modes_at(ages, at[some])
            for i in range(cells + 1):
                if i:
                    count = alive[i]
                    part, kept, rate = part[:count], kept[:count], rate[:count]
                    part *= kept
                share[i, some] = part.sum(axis=0)
                fall[i, some] = -np.einsum("ij,ij->j", part, rate)
        return share, fall

    def _against_wall(self, at: np.ndarray, t: Array) -> tuple[Array, Array]:
        """The reflected Brownian path from the centre towards one wall."""
        c, a = self._drift[at], self._step[at]
        v, s = c * a, a * np.sqrt((1.0 - c) * (1.0 + c))
        # So far that the plateau is the chain's: a walk sticks where it is clipped.
        wall = 1.0 + 0.5 * a * (1.0 - c)
        scale = 0.5 * a * (1.0 - c) * (1.0 + c) / c
        root = s * np.sqrt(t)
        z, far = (v * t - wall) / root, (v * t + wall) / root
        bell = np.exp(-0.5 * z * z) / ROOT2PI
        after = special.ndtr(-z)
        rest = root * (bell - z * after) - scale * (after + bell * mills(far))
        top = wall - scale
        fall = v * after - s / np.sqrt(t) * bell
        return np.maximum(rest, 0.0) / top, np.maximum(fall, 0.0) / top

    def steps(self, share: Array, at: np.ndarray) -> Array:
        """Own steps after which ``share`` is missing, from the free way on.

        Newton on the logarithm of the share, which falls at a steady rate in the end.
        """
        self._find(at)
        goal = np.log(np.maximum(share, _TINY))
        one = self.one_wall[at]
        # The slowest mode alone; against one wall the flight to it.
        t = np.empty(at.size)
        t[one] = (1.0 - share[one]) / (self._drift[at[one]] * self._step[at[one]])
        two = at[~one]
        if two.size:
            begun = np.log(np.maximum(self._size[0, two], _TINY))
            t[~one] = (goal[~one] - begun) / self._rate[0, two]
        t = np.maximum(t, self.first[at])
        # Late ones together, of whose modes few are alive.
        order = np.argsort(t / self.first[at])
        for part, left in self._apart(at[order]):
            some = order[part]
            t[some] = _solved(left, t[some], self.first[at[some]], goal[some])
        return t


def _solved(left: _Left, t: Array, first: Array, goal: Array) -> Array:
    for _ in range(40):
        share, fall = left(t)
        share, fall = np.maximum(share, _TINY), np.maximum(fall, _TINY)
        move = np.maximum((np.log(share) - goal) * (share / fall), -0.5 * t)
        new = np.maximum(t + np.minimum(move, 4.0 * t), first)
        # Twice as many digits hold after the move as before it.
        done = np.abs(new - t) <= 1e-8 * t
        t = new
        if done.all():
            break
    return t
