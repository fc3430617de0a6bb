"""A search that keeps the best of its noisy answers, where nothing but noise differs.

Of Q such answers the k-th is the best so far with probability 1/k, whatever the
noise: the search accepts ever less often, and freezes. Each function raises
``DomainError``, naming the parameter, for an argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory import _records
from querytax.theory._floats import Array, Floats, by_region, floats
from querytax.theory.law import law

__all__ = [
    "accepted_mean",
    "accepted_mean_tied",
    "accepted_root",
    "accepted_variance",
    "best_of",
    "log_accepted",
]

_QUERIES = "Q, noisy answers, the first one included, count, [1, inf)"
_REGIME = "answers that differ by noise alone, no ties (none are rounded); exact"
_SOURCE = "Rényi 1962, records; for SND 2023, Sec. 3.3, derived here"


def _count(queries: npt.ArrayLike) -> Array:
    return np.asarray(expect.integer(queries=queries), dtype=float)


@law(
    formula="E N = H_Q - 1",
    latex=r"\mathbb{E}N = H_Q - 1",
    symbols={"queries": _QUERIES},
    regime=_REGIME,
    source=_SOURCE,
)
def accepted_mean(queries: npt.ArrayLike) -> Floats:
    """Mean number of steps that a keep-the-best search accepts on pure noise.

    Parameters
    ----------
    queries : array_like of int
        Noisy answers Q, the first one included.

    Examples
    --------
    >>> round(float(accepted_mean(5000)), 4)
    8.0945
    """
    table = _records.tables()[1]
    return _records.small_or_far(
        table, _count(queries), lambda q: special.digamma(q + 1.0) + np.euler_gamma - 1
    )


@law(
    formula="E N = Σ_j p_j F_j (1 - F_j^(Q-1))/(1 - F_j), F_j = Σ p_i over i < j",
    latex=r"\mathbb{E}N = \sum_j p_j \sum_{k=2}^{Q} F_j^{k-1} = "
    r"\sum_j p_j\,F_j\,\frac{1 - F_j^{Q-1}}{1 - F_j},\qquad F_j = \sum_{i<j} p_i",
    symbols={
        "chances": "p_j, probability of each value of an answer, worst value first, "
        "probability, (..., values), adding up to 1",
        "queries": _QUERIES,
    },
    regime="answers that differ by noise alone and take a few values; a tie is not "
    "accepted; exact",
    source="derived here: an answer of value j is accepted if all before lie below",
    tables={"chances": 1},
)
def accepted_mean_tied(chances: npt.ArrayLike, queries: npt.ArrayLike) -> Floats:
    """Mean number of accepted steps on pure noise where answers are rounded.

    Equal answers are not accepted, so that rounding stops the search the sooner; it
    is :func:`accepted_mean` where the values are many and rare.

    Parameters
    ----------
    chances : array_like, shape (..., values)
        Probability of each value that an answer may take, the worst first.
    queries : array_like of int
        Noisy answers Q, the first one included; broadcasts against the rows.

    Examples
    --------
    Normal noise, rounded to its standard deviation, 200 answers:

    >>> chances = np.diff(special.ndtr(np.arange(-9.5, 10.0)))
    >>> round(float(accepted_mean_tied(chances, 200)), 3)
    2.302
    >>> round(float(accepted_mean(200)), 3)
    4.878
    """
    p = np.atleast_1d(floats(expect.unit(chances=chances)))
    whole = np.abs(p.sum(axis=-1, keepdims=True) - 1.0) <= 1e-9
    expect.that(np.broadcast_to(whole, p.shape), "to add up to 1", chances=chances)
    others = _count(queries)[..., None] - 1.0
    below = np.concatenate(
        [np.zeros_like(p[..., :1]), np.cumsum(p[..., :-1], axis=-1)], axis=-1
    )
    # F is 1 less this, and may be all but 1.
    above = np.cumsum(p[..., ::-1], axis=-1)[..., ::-1]
    near = np.log1p(-np.minimum(above, 0.5))
    log = np.where(above < 0.5, near, np.log(np.maximum(below, 1e-300)))
    earlier = -np.expm1(others * log)
    term = p * below * earlier / np.where(above > 0.0, above, 1.0)
    return term.sum(axis=-1)[()]


@law(
    formula="Var N = Σ (1/k)(1 - 1/k) over k <= Q",
    latex=r"\operatorname{Var} N = \sum_{k=1}^{Q} \frac1k\left(1 - \frac1k\right)",
    symbols={"queries": _QUERIES},
    regime=_REGIME,
    source=_SOURCE,
)
def accepted_variance(queries: npt.ArrayLike) -> Floats:
    """Variance of the number of steps that such a search accepts.

    Parameters
    ----------
    queries : array_like of int
        Noisy answers Q, the first one included.

    Examples
    --------
    >>> round(float(accepted_variance(5000)), 4)
    7.4498
    """

    def far(q: Array) -> Array:
        rest = special.polygamma(1, np.minimum(q + 1.0, 1e150)) - np.pi**2 / 6.0
        harmonic: Array = special.digamma(q + 1.0) + np.euler_gamma
        return harmonic + rest

    return _records.small_or_far(_records.tables()[2], _count(queries), far)


@law(
    formula="E √N",
    latex=r"\mathbb{E}\sqrt N",
    symbols={"queries": _QUERIES},
    regime=_REGIME + "; steps of one length in fresh directions at right angles",
    source=_SOURCE,
)
def accepted_root(queries: npt.ArrayLike) -> Floats:
    """Mean length of the perturbation that such a search ends with, in steps.

    Parameters
    ----------
    queries : array_like of int
        Noisy answers Q, the first one included.

    Notes
    -----
    √N = ∫ (1 - exp(-y² N))/y² dy/√π over y > 0, and E z^N = Γ(Q+z)/(Γ(1+z) Γ(Q+1)).

    Examples
    --------
    >>> round(0.2 * float(accepted_root(5000)), 4)
    0.5604
    """
    return _records.small_or_far(
        _records.tables()[3], _count(queries), _records.root_mean
    )


@law(
    formula="ln P(N = n), P = |s(Q, n+1)|/Q!, s Stirling's numbers of the first kind",
    latex=r"\ln P(N = n),\quad P(N = n) = \frac{1}{Q!}{Q \brack n + 1}",
    symbols={
        "accepted": "n, accepted steps, count, 0 to Q - 1",
        "queries": _QUERIES,
    },
    regime=_REGIME + "; n below Q/2 where Q > 128, and at most 1e6",
    source=_SOURCE,
)
def log_accepted(accepted: npt.ArrayLike, queries: npt.ArrayLike) -> Floats:
    """Logarithm of the chance that such a search accepts so many steps.

    Parameters
    ----------
    accepted : array_like of int
        Accepted steps n, from 0 to Q - 1; below Q/2 where Q > 128, at most 1e6.
    queries : array_like of int
        Noisy answers Q, the first one included.

    Examples
    --------
    >>> round(float(np.exp(log_accepted(8, 5000))), 6)
    0.145528
    """
    n = np.asarray(expect.integer(0, accepted=accepted), dtype=float)
    n, q = np.broadcast_arrays(n, _count(queries))
    most = np.where(q <= _records.SMALL, q - 1.0, np.minimum(0.5 * q - 1.0, 1e6))
    says = "below queries, below half of more than 128, at most 1e6"
    expect.that(n <= most, says, accepted=n)
    law = _records.tables()[0]
    small = q <= _records.SMALL
    return by_region(
        (n, q),
        (small, lambda n, q: law[q.astype(int), n.astype(int) + 1]),
        (~small & (n == 0.0), lambda n, q: -np.log(q)),
        (~small & (n > 0.0), lambda n, q: _records.log_pmf(n + 1.0, q)),
    )


@law(
    formula="E max of Q standard normals",
    latex=r"\mathbb{E}\max(\xi_1, \dots, \xi_Q),\quad \xi_i \sim \mathcal{N}(0, 1)",
    symbols={"queries": _QUERIES},
    regime="normal noise, answers that differ by noise alone; exact",
    source="derived here; Aithal & Li 2022, row C29",
)
def best_of(queries: npt.ArrayLike) -> Floats:
    """How far the best of noisy answers flatters, in standard deviations of one.

    A stored minimum lies so far below the truth, in the mean.

    Parameters
    ----------
    queries : array_like of int
        Noisy answers Q.

    Notes
    -----
    -Q ln Φ(max) is exponential of mean 1: the mean is ∫ Φ⁻¹(exp(-x/Q)) exp(-x) dx.

    Examples
    --------
    >>> round(float(best_of(10)), 4)
    1.5388
    """
    q = _count(queries)
    return by_region((q,), (np.ones_like(q, dtype=bool), _records.best))
