"""Majority votes of noisy hard labels, and the bisection that runs on them.

Each function raises ``DomainError``, naming the parameter, for an argument outside
its stated range.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory._floats import Array, Floats, floats
from querytax.theory.law import law
from querytax.theory.smoothing import mean_norm

__all__ = ["cells", "information_rmse", "majority", "mean", "rmse", "voted_sigma"]

_VOTES = "T, labels asked for each verdict, count, [1, inf)"
_RADIUS = "r*, place of the boundary, fraction of the first interval, [0, 1]"
_RAY = "s, noise in units of the first interval (σG over slope), ratio, (0, inf)"
_HALVINGS = "n, bisection steps, count, [1, 20]"
_BISECTION = "margin linear along the ray, fresh normal noise; an even T acts as T-1"
_CELLS = 1_000_000


def _majority(rate: Array, votes: Array) -> Array:
    """P(X >= k), X binomial over 2k-1 votes: the incomplete beta function I_p(k, k)."""
    k = np.floor(0.5 * (votes + 1.0))
    return special.betainc(k, k, rate)


@law(
    formula="P = I_p(k, k), k = ⌊(T+1)/2⌋",
    latex=r"P = I_p(k, k) = \sum_{i \ge k} \binom{2k - 1}{i} p^i "
    r"(1 - p)^{2k - 1 - i},\qquad k = \lfloor (T + 1)/2 \rfloor",
    symbols={
        "rate": "p, probability that one label is wrong, probability, [0, 1]",
        "votes": _VOTES,
    },
    regime="independent labels of two classes; ties broken at random",
    source="derived here; against SND 2022, Sec. 4.6, where P does not fall with T",
)
def majority(rate: npt.ArrayLike, votes: npt.ArrayLike) -> Floats:
    """Probability that the majority of T labels is wrong.

    An even T with ties broken at random equals T - 1 exactly. Votes help only where
    one label is wrong less than half the time.

    Parameters
    ----------
    rate : array_like
        Probability p that one label is wrong, in [0, 1].
    votes : array_like of int
        Labels T asked for one verdict, at least 1.

    Examples
    --------
    >>> round(float(majority(0.189, 5)), 4)
    0.0498
    """
    return _majority(
        floats(expect.unit(rate=rate)), floats(expect.integer(votes=votes))
    )


@law(
    formula="s_T = s √(π/2)/κ_{2k}, k = ⌊(T+1)/2⌋",
    latex=r"s_T = \frac{s\,2^{2k - 2}}{(2k - 1)\binom{2k - 2}{k - 1}} = "
    r"\sqrt{\frac{\pi}{2}}\,\frac{s}{\kappa_{2k}},\qquad k = \lfloor (T+1)/2 \rfloor",
    symbols={
        "sigma": "s, standard deviation of the noise on the margin, its unit, (0, inf)",
        "votes": _VOTES,
    },
    regime="exact for the slope of P at the boundary; 1.2533 s/√T for many votes",
    source="derived here",
)
def voted_sigma(sigma: npt.ArrayLike, votes: npt.ArrayLike) -> Floats:
    """Noise of one label that is as steep at the boundary as the majority of T.

    Parameters
    ----------
    sigma : array_like
        Standard deviation s of the noise on the margin, in (0, inf).
    votes : array_like of int
        Labels T asked for one verdict, at least 1.

    Examples
    --------
    >>> round(float(voted_sigma(1.0, 5)), 6)
    0.533333
    """
    k = np.floor(0.5 * (floats(expect.integer(votes=votes)) + 1.0))
    s = floats(expect.positive(sigma=sigma))
    return s * (np.sqrt(0.5 * np.pi) / mean_norm(2.0 * k))


def _cells(radius: Array, sigma: Array, votes: Array, halvings: int) -> Array:
    """Probabilities of the 2ⁿ cells, one row for each element."""
    law_of_cell = np.ones((radius.size, 1))
    for step in range(halvings):
        middle = (np.arange(2**step) + 0.5) / 2**step
        z = (middle - radius[:, None]) / sigma[:, None]
        split = np.empty((radius.size, 2 ** (step + 1)))
        for side, sign in ((0, 1.0), (1, -1.0)):
            verdict = _majority(special.ndtr(sign * z), votes[:, None])
            split[:, side::2] = law_of_cell * verdict
        law_of_cell = split
    return law_of_cell


def _bisections(
    radius: npt.ArrayLike,
    sigma: npt.ArrayLike,
    halvings: npt.ArrayLike,
    votes: npt.ArrayLike,
) -> tuple[Array, Array, Array, Array]:
    expect.integer(halvings=halvings)
    expect.that(floats(halvings) <= 20, "a whole number <= 20", halvings=halvings)
    r, s, n, t = np.broadcast_arrays(
        floats(expect.unit(radius=radius)),
        # Weaker noise decides nothing.
        np.maximum(floats(expect.positive(sigma=sigma)), 1e-280),
        floats(halvings),
        floats(expect.integer(votes=votes)),
    )
    return r, s, n, t


def _rows(
    r: Array, s: Array, n: Array, t: Array
) -> Iterator[tuple[npt.NDArray[np.intp], Array, Array]]:
    """Flat indices with their cells' centres and probabilities, in blocks."""
    for halvings in np.unique(n).astype(int):
        same = np.flatnonzero(n == halvings)
        centre = (np.arange(2**halvings) + 0.5) / 2**halvings
        block = max(1, _CELLS // 2**halvings)
        for start in range(0, same.size, block):
            i = same[start : start + block]
            yield (
                i,
                centre,
                _cells(r.flat[i], s.flat[i], t.flat[i], int(halvings)),
            )


def _moment(
    radius: npt.ArrayLike,
    sigma: npt.ArrayLike,
    halvings: npt.ArrayLike,
    votes: npt.ArrayLike,
    power: int,
) -> Floats:
    """Mean of the returned point, or root of its mean squared error."""
    arguments = _bisections(radius, sigma, halvings, votes)
    out = np.empty(arguments[0].shape)
    for rows, centre, probability in _rows(*arguments):
        if power == 1:
            out.flat[rows] = (probability * centre).sum(axis=1)
        else:
            error = centre - arguments[0].flat[rows][:, None]
            out.flat[rows] = np.sqrt((probability * np.square(error)).sum(axis=1))
    return out[()]


@law(
    formula="π(2j) = π(j) P(x_j), π(2j+1) = π(j)(1 - P(x_j)), "
    "P(x) = I_p(k, k) at p = Φ((x - r*)/s), x_j = (j + ½)/2ⁱ",
    latex=r"\pi_{i+1}(2j) = \pi_i(j)\, P(x_j),\quad \pi_{i+1}(2j+1) = \pi_i(j)"
    r"\left(1 - P(x_j)\right),\quad x_j = \frac{j + 1/2}{2^i}",
    symbols={
        "radius": _RADIUS,
        "sigma": _RAY,
        "halvings": _HALVINGS,
        "votes": _VOTES,
    },
    regime=_BISECTION,
    source="derived here; RFD 2024, Sec. 3.4, says that no analytical form exists",
)
def cells(
    radius: npt.ArrayLike, sigma: npt.ArrayLike, halvings: int, votes: npt.ArrayLike = 1
) -> Array:
    """Probability of each cell that a bisection on noisy labels may return.

    Parameters
    ----------
    radius : array_like
        Place r* of the boundary in the first interval [0, 1]; adversarial above it.
    sigma : array_like
        Standard deviation s of the noise, in units of the first interval.
    halvings : int
        Steps n, from 1 to 20.
    votes : array_like of int
        Labels T asked at each step.

    Returns
    -------
    ndarray, shape (..., 2**halvings)
        Cells in ascending order.

    Examples
    --------
    >>> cells(0.6, 0.1, 2).round(6).tolist()
    [3.7e-05, 0.158618, 0.785137, 0.056208]
    """
    arguments = _bisections(radius, sigma, halvings, votes)
    blocks = [probability for _, _, probability in _rows(*arguments)]
    return np.concatenate(blocks).reshape(*arguments[0].shape, -1)


@law(
    formula="E x̂ = Σ_j π(j) (j + ½)/2ⁿ",
    latex=r"\mathbb{E}\hat x = \sum_j \pi_n(j)\,\frac{j + 1/2}{2^n}",
    symbols={
        "radius": _RADIUS,
        "sigma": _RAY,
        "halvings": _HALVINGS,
        "votes": _VOTES,
    },
    regime=_BISECTION,
    source="derived here from the law of the returned cell",
)
def mean(
    radius: npt.ArrayLike,
    sigma: npt.ArrayLike,
    halvings: npt.ArrayLike,
    votes: npt.ArrayLike = 1,
) -> Floats:
    """Mean of the point, the centre of the last cell, that bisection returns.

    Parameters
    ----------
    radius : array_like
        Place r* of the boundary in the first interval [0, 1]; adversarial above it.
    sigma : array_like
        Standard deviation s of the noise, in units of the first interval.
    halvings : array_like of int
        Steps n, from 1 to 20.
    votes : array_like of int
        Labels T asked at each step.

    Examples
    --------
    >>> round(float(mean(0.5, 0.1, 8)), 12)
    0.5
    """
    return _moment(radius, sigma, halvings, votes, 1)


@law(
    formula="√E(x̂ - r*)²",
    latex=r"\sqrt{\mathbb{E}(\hat x - r^*)^2}",
    symbols={
        "radius": _RADIUS,
        "sigma": _RAY,
        "halvings": _HALVINGS,
        "votes": _VOTES,
    },
    regime=_BISECTION + "; 0.64 to 0.76 s with the place of "
    "the boundary, where 2⁻ⁿ << s << 1",
    source="derived here from the law of the returned cell",
)
def rmse(
    radius: npt.ArrayLike,
    sigma: npt.ArrayLike,
    halvings: npt.ArrayLike,
    votes: npt.ArrayLike = 1,
) -> Floats:
    """Root-mean-square error of the point that bisection returns.

    It stops falling after about log2(1/s) steps; from there only votes help.

    Parameters
    ----------
    radius : array_like
        Place r* of the boundary in the first interval [0, 1]; adversarial above it.
    sigma : array_like
        Standard deviation s of the noise, in units of the first interval.
    halvings : array_like of int
        Steps n, from 1 to 20.
    votes : array_like of int
        Labels T asked at each step.

    Examples
    --------
    >>> round(float(rmse(0.4, 0.01, 14)) / 0.01, 2)
    0.69
    """
    return _moment(radius, sigma, halvings, votes, 2)


@law(
    formula="s √(π/(2N))",
    latex=r"s\,\sqrt{\frac{\pi}{2N}}",
    symbols={
        "sigma": "s, standard deviation of the noise along the ray, fraction of it, "
        "(0, inf)",
        "votes": "N, labels spent, count, {1, 2, ...}",
    },
    regime="lower bound of Cramér and Rao for an unbiased search, any place of labels",
    source="derived here for SND 2022, Sec. 3.3: a label tells most at the boundary",
)
def information_rmse(sigma: npt.ArrayLike, votes: npt.ArrayLike) -> Floats:
    """Least root-mean-square error of any unbiased search along a ray with N labels.

    Voted bisection at its best, as many votes at every halving, is 2.1 times worse at
    N = 30, 2.3 at 100, 2.6 at 1,000 and 2.7 at 10,000 for s = 0.01: it spends votes on
    ever more halvings, and falls behind without bound.

    Parameters
    ----------
    sigma : array_like
        Standard deviation s of the noise along the ray, in (0, inf).
    votes : array_like of int
        Labels N spent in all.

    Examples
    --------
    >>> round(float(information_rmse(0.01, 64)), 6)
    0.001567
    """
    labels = floats(expect.integer(votes=votes))
    return floats(expect.positive(sigma=sigma)) * np.sqrt(0.5 * np.pi / labels)
