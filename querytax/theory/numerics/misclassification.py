"""The probability that the noisiest of several Gaussians overtakes a given one.

Rows hold scaled gaps ``a = (winner - other)/sigma`` in ascending order. Then
M = E[1 - Π Φ(z + a_i)] over the winner's own noise z.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax.theory.numerics import gaussian as _gaussian
from querytax.theory.numerics.floats import Array

Rows: TypeAlias = npt.NDArray[np.intp]

_ROOT2 = np.sqrt(2.0)
# Beyond this least gap two classes overtake at once with a relative weight below
# exp(-a²/12) = 3e-33, and the union bound is exact.
_RARE = 30.0
_NEGLIGIBLE = 1e-17
_CELLS = 2_000_000


def _quadrature(gaps: Array) -> Array:
    """M by the trapezoidal rule, which converges exponentially in 1/step."""
    others = gaps.shape[1]
    size = np.log(others + 1.0)
    step = min(0.35, 0.8 / (0.6 + size))
    reach = 9.0 + np.sqrt(size)
    grid = np.arange(-reach, reach + step, step)
    # Classes whose pairwise errors vanish beside the nearest one's add nothing.
    pairwise = special.ndtr(-gaps / _ROOT2)
    left = np.arange(others, 0, -1)
    idle = (left * pairwise <= _NEGLIGIBLE * pairwise[:, :1]).all(axis=0)
    counted = int(np.argmax(idle)) if idle.any() else others
    result = np.empty(gaps.shape[0])
    block = max(1, _CELLS // grid.size)
    for start in range(0, gaps.shape[0], block):
        part = gaps[start : start + block, :counted]
        z = grid - 0.5 * np.maximum(part[:, :1], 0.0)
        # 1 - Π(1-p_i), grown class by class: every term is positive.
        overtaken = np.zeros_like(z)
        for gap in part.T:
            overtaken += special.ndtr(-(z + gap[:, None])) * (1.0 - overtaken)
        overtaken *= np.exp(-0.5 * z * z)
        result[start : start + block] = overtaken.sum(axis=1)
    return np.minimum(result * (step / np.sqrt(2.0 * np.pi)), 1.0)


class Released(NamedTuple):
    """Outputs that are released as their size, or clipped to zero.

    Attributes
    ----------
    folded : bool
        Whether their size is, not what lies above zero.
    top : ndarray
        The winner's output over sigma, one a row.
    first : ndarray of bool
        Whether the winner is the class that the argmax takes where all are zero.
    """

    folded: bool
    top: Array
    first: npt.NDArray[np.bool_]

    def rows(self, where: npt.NDArray[np.bool_]) -> Released:
        """Some of the rows."""
        return Released(self.folded, self.top[where], self.first[where])


def _half_line(gaps: Array, released: Released) -> Array:
    """M of released values, by panels over the winner's own, which is z + top >= 0."""
    size = np.log(gaps.shape[1] + 1.0)
    reach = 9.0 + np.sqrt(size)
    panels = int(np.ceil(2.0 * reach * (0.3 + 0.15 * size)))
    nodes, weights = _gaussian.legendre(16)
    grid = ((np.arange(panels)[:, None] + nodes) / panels).ravel()
    result = np.empty(gaps.shape[0])
    block = max(1, _CELLS // grid.size)
    for start in range(0, gaps.shape[0], block):
        here = slice(start, start + block)
        # Whose squares stay in the floats.
        part = np.minimum(gaps[here], 1e150)
        top = np.minimum(released.top[here, None], 1e150)
        centre = -0.5 * np.maximum(part[:, :1], 0.0)
        low, high = np.maximum(-top, centre - reach), centre + reach
        z = low + (high - low) * grid
        chance = np.exp(-0.5 * z * z)
        if released.folded:
            chance += np.exp(-0.5 * np.square(z + 2.0 * top))
        passed, alive = np.zeros_like(z), np.zeros_like(top)
        for gap in part.T[:, :, None]:
            rival = special.ndtr(-(z + gap))
            if released.folded:
                rival += special.ndtr(-(z + (2.0 * top - gap)))
            passed += rival * (1.0 - passed)
            alive += special.ndtr(top - gap) * (1.0 - alive)
        area = (passed * chance * np.tile(weights, panels)).sum(axis=1)
        value = (high - low)[:, 0] / panels / np.sqrt(2.0 * np.pi) * area
        if not released.folded:
            # Clipped itself, it loses to any rival that is not, or else the tie.
            lost = np.where(released.first[here, None], alive, 1.0)
            value += (special.ndtr(-top) * lost)[:, 0]
        result[here] = value
    return np.minimum(result, 1.0)


def _split(
    gaps: Array,
    released: Released | None,
    common: Callable[[Array], Array],
    rare: Callable[[Array], Array],
) -> Array:
    """``common`` of M, but ``rare`` of the pairwise tails where the gaps are wide."""
    out = np.empty(gaps.shape[0])
    tail = gaps[:, 0] >= _RARE
    if not tail.all():
        part = gaps[~tail]
        near = released and _half_line(part, released.rows(~tail))
        out[~tail] = common(_quadrature(part) if near is None else near)
    if tail.any():
        pairs = gaps[tail]
        if released and released.folded:
            # The winner's output and its rival's, over sigma; without noise infinite.
            top = released.top[tail, None]
            with np.errstate(over="ignore", invalid="ignore"):
                both = np.fmax(2.0 * top - pairs, top)
            pairs = np.concatenate([pairs, both], axis=1)
        out[tail] = rare(-pairs / _ROOT2)
    return out


def probability(gaps: Array, released: Released | None = None) -> Array:
    """M for each row."""
    return _split(gaps, released, lambda m: m, lambda x: special.ndtr(x).sum(axis=1))


def log_probability(gaps: Array, released: Released | None = None) -> Array:
    """ln M for each row, where M itself underflows."""
    return _split(
        gaps,
        released,
        np.log,
        lambda x: special.logsumexp(special.log_ndtr(x), axis=1),
    )


def smallest(
    excess: Callable[[Array, Rows], Array], low: Array, high: Array, tolerance: float
) -> Array:
    """Per element, a point where a decreasing function is <= 0, next to its root.

    Parameters
    ----------
    excess : callable
        ``excess(points, rows)``, the function at the points of the given rows.
    low, high : ndarray
        Brackets; the function must be <= 0 at ``high``, and is taken as >= 0 at
        ``low``.
    tolerance : float
        Relative width at which a bracket counts as closed; its high end, where the
        function was evaluated, is returned.
    """
    low, high = low.copy(), high.copy()
    rows = np.flatnonzero(high - low > tolerance * high)
    if rows.size == 0:
        return high
    at_low, at_high = np.zeros_like(low), np.zeros_like(high)
    at_low[rows], at_high[rows] = excess(low[rows], rows), excess(high[rows], rows)
    turn = 0
    while rows.size:
        a, b, fa, fb = low[rows], high[rows], at_low[rows], at_high[rows]
        turn += 1
        fall = fa - fb
        share = np.divide(fa, fall, out=np.full_like(fa, 0.5), where=fall > 0)
        if turn % 3 == 0:
            share = np.full_like(fa, 0.5)
        # A root next to an end closes the bracket from its other side.
        margin = 0.4 * tolerance * b
        x = np.clip(a + (b - a) * share, a + margin, b - margin)
        fx = excess(x, rows)
        safe = fx <= 0
        high[rows], at_high[rows] = np.where(safe, x, b), np.where(safe, fx, fb)
        low[rows], at_low[rows] = np.where(safe, a, x), np.where(safe, fa, fx)
        rows = rows[high[rows] - low[rows] > tolerance * high[rows]]
    return high
