"""A search's incumbent under noise: the law of its answer's error, on a grid.

Errors are in standard deviations of one averaged answer and lie in cells of width
``_STEP``. A candidate that changes the true loss by x and whose own error lies in one
cell beats an incumbent whose error lies d cells above with a chance that is quadratic
in x, piece by piece: each sample is laid down in three neighbouring cells.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.polynomial import polynomial
from scipy import special

from querytax.theory.numerics.floats import Array, by_region, ratio, square
from querytax.theory.numerics.gaussian import ROOT2, ROOT2PI

_STEP = 0.2
# A stored error is a lucky one: there is more room below.
_CELLS: Array = np.arange(-36, 18) * _STEP
_COUNT = _CELLS.size
# Chance at which a stored answer is thrown away all the same, so that a sample which
# is never accepted has a law too.
_LEAST = 1e-25
_BLOCK = 128
_TINY = float(np.finfo(float).tiny)
_ROUNDS = 6
_MOST = float(np.finfo(float).max)


@cache
def _masses() -> Array:
    """Chance of each cell under the standard normal law; the ends take the tails."""
    edges = _CELLS[:-1] + 0.5 * _STEP
    return np.diff(np.concatenate([[0.0], special.ndtr(edges), [1.0]]))


@cache
def _own() -> Array:
    """From values by difference of cells to means over the candidate's own error."""
    spread = np.zeros((2 * _COUNT - 1, _COUNT))
    for b in range(_COUNT):
        spread[b + _COUNT - 1 - np.arange(_COUNT), b] = _masses()
    return spread


def _laid(x: Array, worth: Array | float) -> Array:
    """Mean over the samples of worth times the chance to win, by difference of cells.

    ``x`` has the shape (problems, samples).
    """
    size = 2 * _COUNT
    at = np.clip(x / _STEP, -2.0 * size, 2.0 * size)
    cell = np.floor(at)
    r = at - cell
    rows = size * np.arange(len(x))[:, None]
    out = np.zeros(size * len(x))
    shares = (0.5 * (1.0 - r) ** 2, 0.5 + r - r * r, 0.5 * r * r)
    for k, share in enumerate(shares):
        place = np.clip(cell.astype(int) + (_COUNT - 1 + k), 0, size - 1) + rows
        out += np.bincount(place.ravel(), (share * worth).ravel(), out.size)
    laid: Array = out.reshape(len(x), size)[:, :-1].cumsum(axis=1) / x.shape[1]
    return laid


def _by_cells(chance: Array) -> Array:
    """``[problem, new, old]``: a view of the chances by difference old - new."""
    return sliding_window_view(chance, _COUNT, axis=1)[:, ::-1]


def _standing(wins: Array) -> Array:
    """Law of the stored error, if an accepted answer stands until it is beaten."""
    mass = _masses()
    flow = _by_cells(wins) * -mass[:, None]
    here = np.arange(_COUNT)
    flow[:, here, here] += wins @ _own()
    # The last balance follows from the others; in its place the law's sum.
    flow[:, -1, :] = 1.0
    one = np.zeros((len(wins), _COUNT, 1))
    one[:, -1] = 1.0
    law: Array = np.linalg.solve(flow, one)[..., 0]
    return law


@cache
def _averaging() -> tuple[list[float], list[Array]]:
    """How a mean of c answers moves when more come in, and for how long it stays.

    Challenges after each move and before the next, and each move's matrix from old
    cells to new. One answer at a time at first, then a quarter of the count at once.
    """
    counts = list(range(1, 9))
    while counts[-1] < 10_000:
        counts.append(counts[-1] + -(-counts[-1] // 4))
    stays = [float(n) for n in np.diff(counts[1:])] + [np.inf]
    moves = []
    for old, new in pairwise(counts):
        mean, width = _CELLS * old / new, np.sqrt(new - old) / new
        # Mean of the tents over the cells, which keep the mean where it is.
        z = (mean[:, None] - _CELLS) / width
        bell = np.exp(-0.5 * z * z) / ROOT2PI
        above = width * (bell + z * special.ndtr(z))
        # Slopes between cells are shares above; beyond the ends 1 and 0.
        share = -np.diff(above, axis=1) / _STEP
        first, last = np.ones((_COUNT, 1)), np.zeros((_COUNT, 1))
        moves.append(-np.diff(np.hstack([first, share, last]), axis=1))
    return stays, moves


def _mixed(wins: Array) -> Array:
    """The same, if each candidate brings one more answer about the incumbent."""
    mass, taken = _masses(), np.minimum(wins @ _own(), 1.0)
    kept, worth = 1.0 - taken, 1.0 / taken
    stays, moves = _averaging()
    # Chance to survive a stay, and challenges met on it. A power by its logarithm, at a
    # quarter of the price.
    with np.errstate(divide="ignore"):
        decay = np.log(kept)
    left = [kept if n == 1.0 else np.exp(min(n, 1e300) * decay) for n in stays]
    met = [
        None if n == 1.0 else (1.0 - k) * worth
        for n, k in zip(stays, left, strict=True)
    ]
    begin: Array = np.broadcast_to(mass, taken.shape)
    for _ in range(_ROUNDS):
        law, visits = begin, np.zeros_like(taken)
        for i, (move, survived, count) in enumerate(zip(moves, left, met, strict=True)):
            law = law @ move
            visits += law if count is None else law * count
            law = law * survived
            # Who still stands moves towards cells that are taken more readily, and is
            # challenged less often than here.
            if i % 3 == 2 and ((law * worth).sum(1) < 1e-20 * visits.sum(1)).all():
                break
        begin = mass * np.matmul(_by_cells(wins), visits[..., None])[..., 0]
        begin = begin / begin.sum(axis=1, keepdims=True)
    law = visits / visits.sum(axis=1, keepdims=True)
    return law


def unit_of(size: Array) -> Array:
    """A power of two about as large, to divide by without rounding; 1 for 0."""
    return np.where(size > 0.0, np.exp2(np.frexp(size)[1] - 1.0), 1.0)


def _moments(
    deltas: Array, sigma: Array, stored: Callable[[Array], Array]
) -> tuple[Array, Array]:
    """Mean fall and mean square change per candidate, samples on the last axis."""
    shape = np.broadcast_shapes(deltas.shape[:-1], sigma.shape)
    rows = np.broadcast_to(deltas, (*shape, deltas.shape[-1]))
    rows = rows.reshape(-1, deltas.shape[-1])
    noise = np.broadcast_to(sigma, shape).ravel()
    # Without noise what helps is taken.
    fall: Array = np.maximum(-rows, 0.0).mean(axis=1)
    energy: Array = square(np.minimum(rows, 0.0)).mean(axis=1)
    noisy = np.flatnonzero(noise > 0.0)
    # Incumbents that stand alike long together: a block is followed to its last.
    with np.errstate(over="ignore", invalid="ignore"):
        beaten = special.ndtr(-rows[noisy] / noise[noisy, None]).mean(axis=1)
    noisy = noisy[np.argsort(beaten, kind="stable")]
    # Each problem over its own largest change, so that no square leaves the floats.
    most = unit_of(np.abs(rows).max(axis=1, keepdims=True))
    for start in range(0, noisy.size, _BLOCK):
        block = noisy[start : start + _BLOCK]
        change, unit = rows[block] / most[block], most[block, 0]
        with np.errstate(over="ignore"):
            x = rows[block] / noise[block, None]
        law = stored(_laid(x, 1.0) + _LEAST)
        fallen = (law * (_laid(x, -change) @ _own())).sum(axis=1)
        moved = (law * (_laid(x, np.square(change)) @ _own())).sum(axis=1)
        fall[block] = unit * fallen
        with np.errstate(over="ignore"):
            energy[block] = unit * (unit * moved)
    return fall.reshape(shape), energy.reshape(shape)


def stale(deltas: Array, sigma: Array) -> tuple[Array, Array]:
    """Moments per candidate if the incumbent is never asked again."""
    return _moments(deltas, sigma, _standing)


def averaged(deltas: Array, sigma: Array) -> tuple[Array, Array]:
    """Moments if the incumbent's answers are averaged, one more a candidate."""
    return _moments(deltas, sigma, _mixed)


def requeried(deltas: Array, sigma: Array) -> tuple[Array, Array]:
    """Moments if the incumbent is asked again beside each candidate."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        score = -deltas / (ROOT2 * sigma[..., None])
    # 0/0: no change, of no worth either way.
    taken = special.ndtr(np.where(np.isnan(score), 0.0, score))
    return (-deltas * taken).mean(axis=-1), (square(deltas) * taken).mean(axis=-1)


def _crossed(ways: Array, deltas: Array) -> Array:
    """Where the walk of a diffusion changes its stage, for one that goes by steps.

    Steps of the changes that help end a way by o = E[Δ²]/(2 E Δ) beyond it, and the
    next stage begins there, by renewal. Of this its diffusion knows v/(2g) = o - E Δ/2
    of the next stage.
    """
    better = np.maximum(-deltas, 0.0)
    # Over its own largest, so that no square leaves the floats.
    most = better.max(axis=-1, keepdims=True)
    scaled = better / np.where(most > 0.0, most, 1.0)
    mean = scaled.mean(axis=-1)
    beyond = np.square(scaled).mean(axis=-1) / np.maximum(2.0 * mean, _TINY)
    ways, beyond, known = np.broadcast_arrays(
        ways, most[..., 0] * beyond, most[..., 0] * (beyond - 0.5 * mean)
    )
    out = np.where(ways > 0.0, beyond, 0.0)
    after, over = np.zeros(ways.shape[:-1]), np.zeros(ways.shape[:-1])
    for i in reversed(range(ways.shape[-1])):
        walked = ways[..., i] > 0.0
        out[..., i] -= np.where(walked, after, 0.0)
        after = np.where(walked, known[..., i], after)
    moved = np.empty(ways.shape)
    for i in range(ways.shape[-1]):
        walked = ways[..., i] > 0.0
        way = np.where(walked, ways[..., i] + out[..., i] - over, 0.0)
        moved[..., i] = np.maximum(way, 0.0)
        over = np.where(walked, out[..., i] + np.maximum(-way, 0.0), over)
    return moved


def candidates(ways: Array, deltas: Array, fall: Array, energy: Array) -> Array:
    """Mean number of candidates until all ways are walked, stages on the last axis.

    First passage of a walk with drift g and variance v of its stage, by the diffusion:
    J = -dT/dx, x the fall so far, is continuous and v J'/2 + g J = 1.
    """
    spread = np.maximum(energy - square(fall), 1e-9 * energy)
    ways, drift, spread = np.broadcast_arrays(_crossed(ways, deltas), fall, spread)
    shape = ways.shape[:-1]
    total, per = np.zeros(shape), np.full(shape, np.nan)
    for i in range(ways.shape[-1]):
        way, g, v = ways[..., i], drift[..., i], spread[..., i]
        walked = way > 0.0
        # Before the first stage the walk is free to go back.
        per = np.where(walked & np.isnan(per), ratio(1.0, np.maximum(g, 0.0)), per)
        lost = walked & (np.isinf(per) | np.isinf(way) | (v <= 0.0))
        goes = walked & ~lost
        start = np.where(goes, per, 0.0)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            length = np.where(goes, way / np.where(goes, v, 1.0), 0.0)
            z = np.clip(2.0 * g * length, -_MOST, _MOST)
            one, two = _phi(z)
            # Of long ways 2 length φ₂(z) = (1 - φ₁(z))/g: squares may be lost.
            span = np.where(np.abs(z) > 1e8, (1.0 - one) / g, 2.0 * length * two)
            taken = way * (start * one + span)
            after = start * np.exp(-z) + 2.0 * length * one
        total = total + np.where(lost, np.inf, np.where(goes, taken, 0.0))
        per = np.where(lost, np.inf, np.where(goes, after, per))
    return total


def _phi(z: Array) -> tuple[Array, Array]:
    """(1 - e^-z)/z and (z - 1 + e^-z)/z², infinite where they pass the floats."""
    small = np.abs(z) < 1e-2
    with np.errstate(over="ignore"):
        at = np.where(small, 1.0, z)
        one = np.where(
            small, 1.0 - z / 2.0 + z * z / 6.0 - z**3 / 24.0, -np.expm1(-at) / at
        )
        two = (at + np.expm1(-at)) / square(at)
        near = 0.5 - z / 6.0 + z * z / 24.0 - z**3 / 120.0
    return one, np.where(small, near, two)


# --- Logistic changes, where the stored error's law is known ------------------------


def log_stale_ratio(tau: Array) -> Array:
    """Logarithm of ln 2 over the mean of the entropy f of 1/(1 + e^Y).

    Y ~ N(-τ², 2τ²); f is even, so the mean is exp(-τ²/4) E[f(Z) cosh(Z/2)] over
    Z ~ N(0, 2τ²).
    """
    return by_region((tau,), (tau < 1.0, _near), (tau >= 1.0, _far))


@cache
def _lacking() -> Array:
    """Σ (2k-1) c_k u^(2k), c_k of ln cosh."""
    k = np.arange(1.0, 13.0)
    bernoulli = special.bernoulli(24)[2::2]
    size = 2.0 ** (2 * k - 1) * (4.0**k - 1.0) * bernoulli / k
    return np.concatenate([[0.0], (2.0 * k - 1.0) * size / special.factorial(2 * k)])


def _near(tau: Array) -> Array:
    """From what f lacks at ln 2, u tanh u - ln cosh u with u = y/2."""
    node = 0.35 * np.arange(1, 27)
    weight = 0.7 * np.exp(-0.5 * node * node) / ROOT2PI
    u = np.sqrt(0.5) * tau[:, None] * node
    small = polynomial.polyval(np.square(np.minimum(u, 0.25)), _lacking())
    lacking = np.where(u < 0.25, small, u * np.tanh(u) - np.log(np.cosh(u)))
    short = (weight * lacking * np.cosh(u)).sum(axis=1)
    return -np.log1p(-np.exp(-0.25 * tau * tau) * short / np.log(2.0))


def _far(tau: Array) -> Array:
    y = 0.5 * np.arange(181)
    q = np.exp(-y)
    value = np.exp(0.5 * y) * (np.log1p(q) + y * q / (1.0 + q)) * (1.0 + q)
    value[0] *= 0.5
    # Twice the half line, and cosh without its half.
    inside = 0.5 * (value * np.exp(-np.square(y / (2.0 * tau[:, None])))).sum(axis=1)
    level = np.log(np.log(2.0) * 2.0 * np.sqrt(np.pi)) + np.log(tau) - np.log(inside)
    grown: Array = 0.25 * square(tau) + level
    return grown
