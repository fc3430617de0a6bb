"""Majority votes of noisy hard labels, and the bisection that runs on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from querytax import expect
from querytax.theory.law import Given, law
from querytax.theory.numerics.floats import Array, Floats
from querytax.theory.smoothing import mean_norm

_BISECTION = "margin linear along the ray, fresh normal noise; an even V acts as V-1"
_CELL = "derived here from the law of the returned cell"
_HALVINGS = {"halvings": "{1, ..., 20}"}
_AT_ONCE = 1_000_000


def _half(votes: Array) -> Array:
    """Labels that decide a vote; an even count is the odd one below."""
    return np.floor(0.5 * (votes + 1.0))


@law(
    "P = I_p(k, k), k = ⌊(V+1)/2⌋",
    "derived here; against SND 2022, Sec. 4.6, where P does not fall with V",
    regime="independent labels of two classes; ties broken at random",
    value="[0, 1]; rises in label_error",
)
def majority(label_error: Given, votes: Given) -> Floats:
    """Probability that the majority of so many labels is wrong.

    An even V with ties broken at random equals V - 1 exactly. Votes help only where
    one label is wrong less than half the time.

    >>> round(float(majority(0.189, 5)), 4)
    0.0498
    """
    # P(X >= k), X binomial over 2k-1 votes: the incomplete beta function.
    k = _half(votes)
    return special.betainc(k, k, label_error)


@law(
    "s_V = s √(π/2)/κ_{2k}, k = ⌊(V+1)/2⌋",
    "derived here",
    regime="the slope of P at the boundary is the same; further out it is not",
    kind="definition",
    value="[0, inf]; rises in margin_sigma; falls in votes",
)
def voted_sigma(margin_sigma: Given, votes: Given) -> Floats:
    """Noise of one label that is as steep at the boundary as a majority.

    κ is :func:`querytax.theory.smoothing.mean_norm`; 1.2533 s/√V for many votes.

    >>> round(float(voted_sigma(1.0, 5)), 6)
    0.533333
    """
    return margin_sigma * (np.sqrt(0.5 * np.pi) / mean_norm(2.0 * _half(votes)))


def _cells(boundary: Array, ray_sigma: Array, halvings: int, votes: Array) -> Array:
    """Probabilities of the 2ʰ cells, one row for each element."""
    k = _half(votes)[:, None]
    law_of_cell = np.ones((boundary.size, 1))
    for step in range(halvings):
        middle = (np.arange(2**step) + 0.5) / 2**step
        # Weaker noise decides nothing; on the boundary itself a label is a coin.
        z = (middle - boundary[:, None]) / np.maximum(ray_sigma, 1e-280)[:, None]
        split = np.empty((boundary.size, 2 ** (step + 1)))
        for side, sign in ((0, 1.0), (1, -1.0)):
            verdict = special.betainc(k, k, special.ndtr(sign * z))
            split[:, side::2] = law_of_cell * verdict
        law_of_cell = split
    return law_of_cell


def _centres(halvings: int) -> Array:
    return (np.arange(2**halvings) + 0.5) / 2**halvings


def _of_cells(
    statistic: Callable[[Array, Array, Array], Array], *given: Array
) -> Floats:
    """A statistic of probabilities, centres and the boundary, a block at a time."""
    r, s, n, votes = np.broadcast_arrays(*given)
    out = np.empty(r.shape)
    for halvings in np.unique(n).astype(int):
        same = np.flatnonzero(n == halvings)
        block = max(1, _AT_ONCE // 2**halvings)
        for start in range(0, same.size, block):
            i = same[start : start + block]
            rows = _cells(r.flat[i], s.flat[i], halvings, votes.flat[i])
            out.flat[i] = statistic(rows, _centres(halvings), r.flat[i][:, None])
    return out[()]


@law(
    "π(2j) = π(j) P(x_j), π(2j+1) = π(j)(1 - P(x_j)), P(x) = I_p(k, k) at "
    "p = Φ((x - r)/s), x_j = (j + ½)/2ⁱ",
    "derived here; RFD 2024, Sec. 3.4, says that no analytical form exists",
    regime=_BISECTION,
    domain=_HALVINGS,
    value="[0, 1]",
)
def cells(
    boundary: Given, ray_sigma: Given, halvings: Given, votes: Given = 1
) -> Floats:
    """Probability of each cell that a bisection on noisy labels may return.

    Cells stand in ascending order on an axis of their own, the last one.

    >>> cells(0.6, 0.1, 2).round(6).tolist()
    [3.7e-05, 0.158618, 0.785137, 0.056208]
    """
    count = np.max(halvings, initial=1)
    expect.that(halvings == count, f"{count:g} as elsewhere", halvings=halvings)
    r, s, votes, _ = np.broadcast_arrays(boundary, ray_sigma, votes, halvings)
    rows = _cells(r.ravel(), s.ravel(), int(count), votes.ravel())
    return rows.reshape(*r.shape, rows.shape[-1])


@law(
    "E x̂ = Σ_j π(j) (j + ½)/2^h",
    _CELL,
    regime=_BISECTION,
    domain=_HALVINGS,
    value="[0, 1]; rises in boundary",
)
def mean_estimate(
    boundary: Given, ray_sigma: Given, halvings: Given, votes: Given = 1
) -> Floats:
    """Mean of the point that bisection returns, the last cell's centre.

    π are :func:`cells`.

    >>> round(float(mean_estimate(0.5, 0.1, 8)), 12)
    0.5
    """

    def mean(chance: Array, centre: Array, boundary: Array) -> Array:
        return (chance * centre).sum(axis=1)

    return _of_cells(mean, boundary, ray_sigma, halvings, votes)


@law(
    "√E(x̂ - r)²",
    _CELL,
    regime=_BISECTION,
    domain=_HALVINGS,
    value="[0, 1]",
)
def rmse(
    boundary: Given, ray_sigma: Given, halvings: Given, votes: Given = 1
) -> Floats:
    """Root-mean-square error of the point that bisection returns.

    It stops falling after about log2(1/s) steps, at 0.64 to 0.76 s with the place of
    the boundary; from there only votes help.

    >>> round(float(rmse(0.4, 0.01, 14)) / 0.01, 2)
    0.69
    """

    def root(chance: Array, centre: Array, boundary: Array) -> Array:
        return np.sqrt((chance * np.square(centre - boundary)).sum(axis=1))

    return _of_cells(root, boundary, ray_sigma, halvings, votes)


@law(
    "s √(π/(2 Q))",
    "derived here for SND 2022, Sec. 3.3: a label tells most at the boundary",
    regime="lower bound of Cramér and Rao for an unbiased search, any place of labels",
    kind="bound",
    domain={"queries": "{1, 2, ...}"},
    value="[0, inf]; rises in ray_sigma; falls in queries",
)
def information_rmse(ray_sigma: Given, queries: Given) -> Floats:
    """Least root-mean-square error of unbiased searches along a ray.

    Voted bisection at its best, as many votes at every halving, is 2.1 times worse at
    30 labels, 2.3 at 100, 2.6 at 1,000 and 2.7 at 10,000 for s = 0.01: it spends votes
    on ever more halvings, and falls behind without bound.

    >>> round(float(information_rmse(0.01, 64)), 6)
    0.001567
    """
    return ray_sigma * np.sqrt(0.5 * np.pi / queries)
