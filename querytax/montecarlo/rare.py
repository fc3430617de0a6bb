"""Probabilities too small to wait for, and integrals too smooth to draw.

:func:`tilted` moves the draws to where a rare event happens and weighs them back;
:func:`smooth` spreads points evenly instead of drawing them. Both take a function of
standard normals, an array of shape ``(n, dimension)``, and both say how far the answer
may be trusted. :func:`paired` compares two quantities on the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.montecarlo.estimates import Moments, mean_interval
from querytax.montecarlo.streams import Stream
from querytax.seeds import seed_of

__all__ = ["Weighted", "paired", "smooth", "tilted"]

Array: TypeAlias = npt.NDArray[np.floating[Any]]
Function: TypeAlias = Callable[[Array], npt.NDArray[Any]]
_BLOCK = 1 << 14
# Beyond nine sigma the normal density moves no digit.
_REACH = 9.0


@dataclass(frozen=True)
class Weighted:
    """A mean of weighted or evenly spread draws, and how it came about.

    Attributes
    ----------
    value, low, high : float
        Mean and its interval of level ``alpha``.
    samples : int
        Points evaluated.
    effective : float
        Effective sample size (Σw)²/Σw² of the points that count.
    largest : float
        Share of the value that the heaviest point carries: near 1, one draw decides
        and the interval is not to be believed.
    alpha : float
        Probability that the interval misses.
    asymptotic : bool
        Whether the interval rests on the central limit theorem.
    """

    value: float
    low: float
    high: float
    samples: int
    effective: float
    largest: float
    alpha: float
    asymptotic: bool


def _normals(stream: Stream, first: int, count: int, dimension: int) -> Array:
    lanes = range((dimension + 1) // 2)
    pairs = [stream.normals(first, count, lane=lane) for lane in lanes]
    return np.concatenate(pairs, axis=1)[:, :dimension]


def tilted(
    event: Function,
    shift: npt.ArrayLike,
    *,
    rng: Any = 0,
    relative: float = 0.01,
    max_samples: float = 1e7,
    alpha: float = 1e-6,
    half_space: bool = False,
) -> Weighted:
    """Probability of a rare event of normals, drawn around where it happens.

    Parameters
    ----------
    event : callable
        Whether each row of normals, shape ``(n, dimension)``, is in the event.
    shift : array_like
        Mean of the draws: the point of the event nearest to the origin. Without one
        (zeros) it is plain sampling.
    rng : int, numpy.random.Generator or None
        Seed.
    relative : float
        Stop when the interval is this share of the value wide.
    max_samples : float
        Stop after this many draws.
    alpha : float
        Probability that the interval ever misses.
    half_space : bool
        Promise that the event lies beyond the plane through ``shift`` across it. The
        weights are then bounded, and the interval holds at any sample size; a draw
        that breaks the promise raises.

    Returns
    -------
    Weighted

    Raises
    ------
    DomainError
        If a number is out of its range, or the promise is broken.

    Examples
    --------
    >>> found = tilted(lambda z: z[:, 0] > 6, [6.0], half_space=True)
    >>> found.low < 9.8659e-10 < found.high
    True
    """
    centre = np.atleast_1d(np.asarray(expect.finite(shift=shift), dtype=float))
    expect.positive(relative=relative)
    expect.positive(max_samples=max_samples)
    seed, depth = seed_of(rng), float(centre @ centre)
    stream = Stream.of(seed, "rare.tilted", *centre.tolist())
    # Weights over their greatest value in the half-space, exp(-|shift|²/2).
    moments, largest = Moments(), 0.0
    bound = 1.0 if half_space else math.inf
    low, high = 0.0, bound
    while moments.count < max_samples:
        z = _normals(stream, moments.count, _BLOCK, centre.size)
        beyond = z @ centre
        inside = np.asarray(event(z + centre), dtype=bool)
        if half_space:
            expect.that(
                bool(np.all(beyond[inside] >= -1e-9 * (1.0 + depth))),
                "at the nearest point of an event beyond its plane",
                shift=centre.tolist(),
            )
        weight = np.where(inside, np.exp(-beyond), 0.0)
        heavy = float(np.square(weight).sum())
        moments = moments.after(_BLOCK, float(weight.sum()), heavy)
        largest = max(largest, float(weight.max()))
        low, high = mean_interval(moments, 0.0, bound, alpha)
        if moments.total and high - low <= relative * moments.mean:
            break
    scale, total = math.exp(-0.5 * depth), moments.total
    return Weighted(
        float(moments.mean * scale),
        max(low, 0.0) * scale,
        high * scale,
        moments.count,
        float(total**2 / moments.spread) if total else 0.0,
        float(largest / total) if total else 1.0,
        alpha,
        not half_space,
    )


def smooth(
    function: Function,
    dimension: int,
    *,
    rng: Any = 0,
    points: int = 1 << 12,
    copies: int = 8,
    alpha: float = 1e-6,
) -> Weighted:
    """Mean of a smooth function of a few normals, on evenly spread points.

    One and two dimensions have a grid of normals, shifted at random and weighted by
    their density, which converges faster than any power for an analytic function;
    more have scrambled Sobol points. Independent copies, each without bias, give the
    interval.

    Parameters
    ----------
    function : callable
        Value at each row of normals, shape ``(n, dimension)``.
    dimension : int
        Number of normals, at most 20.
    rng : int, numpy.random.Generator or None
        Seed.
    points : int
        Points a copy, a power of two; in two dimensions a power of four.
    copies : int
        Independent copies, at least 4.
    alpha : float
        Probability that Student's interval over the copies misses.

    Returns
    -------
    Weighted

    Examples
    --------
    >>> found = smooth(lambda z: special.ndtr(z[:, 0] - 1.0), 1)
    >>> bool(abs(found.value - special.ndtr(-np.sqrt(0.5))) < 1e-7)
    True
    """
    expect.integer(dimension=dimension)
    expect.that(dimension <= 20, "at most 20", dimension=dimension)
    expect.integer(4, copies=copies)
    power = expect.integer(16, points=points).bit_length() - 1
    even = points == 1 << power and (dimension != 2 or power % 2 == 0)
    expect.that(even, "a power of two, of four in two dimensions", points=points)
    seed = seed_of(rng)
    means = np.empty(copies)
    for copy in range(copies):
        stream = Stream.of(seed, "rare.smooth", dimension, copy)
        if dimension <= 2:
            side = points if dimension == 1 else math.isqrt(points)
            step = 2.0 * _REACH / side
            shifts = stream.uniforms(0, 1)[0, :dimension]
            axes = [step * (np.arange(side) + shift) - _REACH for shift in shifts]
            z = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
            z = z.reshape(-1, dimension)
            density = np.exp(-0.5 * np.square(z).sum(axis=1))
            weight = density * (step / math.sqrt(2.0 * math.pi)) ** dimension
            means[copy] = weight @ function(z)
        else:
            from scipy.stats import qmc

            words = stream.words(0, 1)[0].tolist()
            sobol = qmc.Sobol(dimension, rng=np.random.default_rng(words))
            means[copy] = np.mean(function(special.ndtri(sobol.random(points))))
    value = float(means.mean())
    error = float(means.std(ddof=1) / math.sqrt(copies))
    half = error * float(special.stdtrit(copies - 1, 1.0 - 0.5 * alpha))
    return Weighted(
        value,
        value - half,
        value + half,
        points * copies,
        float(points * copies),
        1.0 / (points * copies),
        alpha,
        True,
    )


def paired(
    first: Function,
    second: Function,
    dimension: int,
    *,
    rng: Any = 0,
    samples: float = 1e6,
    alpha: float = 1e-6,
) -> Weighted:
    """Mean of ``first - second`` on the same normals, where most of the noise cancels.

    Parameters
    ----------
    first, second : callable
        Values at each row of normals, shape ``(n, dimension)``.
    dimension : int
        Number of normals.
    rng : int, numpy.random.Generator or None
        Seed.
    samples : float
        Draws, rounded up to whole blocks.
    alpha : float
        Probability that the interval ever misses.

    Returns
    -------
    Weighted
    """
    expect.integer(dimension=dimension)
    expect.positive(samples=samples)
    stream = Stream.of(seed_of(rng), "rare.paired", dimension)
    moments = Moments()
    while moments.count < samples:
        z = _normals(stream, moments.count, _BLOCK, dimension)
        x = np.asarray(first(z), dtype=float) - np.asarray(second(z), dtype=float)
        moments = moments.after(_BLOCK, float(x.sum()), float(np.square(x).sum()))
    low, high = mean_interval(moments, -math.inf, math.inf, alpha)
    n = moments.count
    return Weighted(moments.mean, low, high, n, float(n), 1.0 / n, alpha, True)
