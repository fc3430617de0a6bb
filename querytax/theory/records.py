"""A search that keeps the best of its noisy answers, where nothing but noise differs.

Of Q such answers the k-th is the best so far with probability 1/k, whatever the
noise: the search accepts ever less often, and freezes. The first answer counts among Q.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax import expect
from querytax.theory.law import Given, law
from querytax.theory.numerics import records as _records
from querytax.theory.numerics.floats import Array, Floats, by_region

_NOISE = "answers that differ by noise alone"
_UNTIED = _NOISE + ", no ties (none are rounded)"
_SOURCE = "Rényi 1962, records; for SND 2023, Sec. 3.3, derived here"
_COUNT = {"queries": "{1, 2, ...}"}


@law(
    "E N = H_Q - 1",
    _SOURCE,
    regime=_UNTIED,
    domain=_COUNT,
    value="[0, inf]; rises in queries",
)
def accepted_mean(queries: Given) -> Floats:
    """Mean steps that a keep-the-best search accepts on pure noise.

    :func:`accepted_mean_tied` where answers are rounded.

    >>> round(float(accepted_mean(5000)), 4)
    8.0945
    """

    def far(q: Array) -> Array:
        return special.digamma(q + 1.0) + np.euler_gamma - 1

    return _records.small_or_far(_records.tables()[1], queries, far)


@law(
    "E N = Σ_j p_j F_j (1 - F_j^(Q-1))/(1 - F_j), F_j = Σ p_i over i < j",
    "derived here: an answer of value j is accepted if all before lie below",
    regime=_NOISE + " and take a few values; a tie is not accepted",
    domain=_COUNT,
    value="[0, inf]; rises in queries",
)
def accepted_mean_tied(chances: Given, queries: Given) -> Floats:
    """Mean number of accepted steps on pure, rounded noise.

    Equal answers are not accepted, so that rounding stops the search the sooner; it
    is :func:`accepted_mean` where the values are many and rare. ``chances`` add up
    to 1.

    Normal noise, rounded to its standard deviation, 200 answers:

    >>> chances = np.diff(special.ndtr(np.arange(-9.5, 10.0)))
    >>> round(float(accepted_mean_tied(chances, 200)), 3)
    2.302
    >>> round(float(accepted_mean(200)), 3)
    4.878
    """
    whole = np.abs(chances.sum(axis=-1, keepdims=True) - 1.0) <= 1e-9
    whole = np.broadcast_to(whole, chances.shape)
    expect.that(whole, "to add up to 1", chances=chances)
    below = np.zeros_like(chances)
    below[..., 1:] = np.cumsum(chances[..., :-1], axis=-1)
    # F is 1 less this, and may be all but 1.
    above = np.cumsum(chances[..., ::-1], axis=-1)[..., ::-1]
    near = np.log1p(-np.minimum(above, 0.5))
    log = np.where(above < 0.5, near, np.log(np.maximum(below, 1e-300)))
    earlier = -np.expm1((queries[..., None] - 1.0) * log)
    term = chances * below * earlier / np.where(above > 0.0, above, 1.0)
    return term.sum(axis=-1)[()]


@law(
    "Var N = Σ (1/k)(1 - 1/k) over k <= Q",
    _SOURCE,
    regime=_UNTIED,
    domain=_COUNT,
    value="[0, inf]; rises in queries",
)
def accepted_variance(queries: Given) -> Floats:
    """Variance of the number of steps that such a search accepts.

    >>> round(float(accepted_variance(5000)), 4)
    7.4498
    """

    def far(q: Array) -> Array:
        rest = special.polygamma(1, np.minimum(q + 1.0, 1e150)) - np.pi**2 / 6.0
        harmonic: Array = special.digamma(q + 1.0) + np.euler_gamma
        return harmonic + rest

    return _records.small_or_far(_records.tables()[2], queries, far)


@law(
    "E √N, P(N = n) = |s(Q, n+1)|/Q!, s Stirling's numbers of the first kind",
    _SOURCE,
    regime=_UNTIED + "; steps of one length in fresh directions at right angles",
    domain=_COUNT,
    value="[0, inf]; rises in queries",
)
def accepted_root(queries: Given) -> Floats:
    """Mean length of the way that such a search ends with, in steps.

    √N = ∫ (1 - exp(-y² N))/y² dy/√π over y > 0, and E z^N = Γ(Q+z)/(Γ(1+z) Γ(Q+1)).

    >>> round(0.2 * float(accepted_root(5000)), 4)
    0.5604
    """
    return _records.small_or_far(_records.tables()[3], queries, _records.root_mean)


@law(
    "ln P(N = n), P = |s(Q, n+1)|/Q!, s Stirling's numbers of the first kind",
    _SOURCE,
    regime=_UNTIED,
    domain=_COUNT,
    value="(-inf, 0]",
)
def log_accepted(accepted: Given, queries: Given) -> Floats:
    """Logarithm of the chance that such a search accepts so many steps.

    Of n below Q, and below Q/2 and at most 1e6 where Q > 128.

    >>> round(float(np.exp(log_accepted(8, 5000))), 6)
    0.145528
    """
    n, q = np.broadcast_arrays(accepted, queries)
    small = q <= _records.SMALL
    most = np.where(small, q - 1.0, np.minimum(0.5 * q - 1.0, 1e6))
    says = "below queries, below half of more than 128, at most 1e6"
    expect.that(n <= most, says, accepted=n)
    law = _records.tables()[0]
    return by_region(
        (n, q),
        (small, lambda n, q: law[q.astype(int), n.astype(int) + 1]),
        (~small & (n == 0.0), lambda n, q: -np.log(q)),
        (~small & (n > 0.0), lambda n, q: _records.log_pmf(n + 1.0, q)),
    )


@law(
    "E max of Q standard normals",
    "derived here; Aithal & Li 2022, row C29",
    regime="normal noise, " + _NOISE,
    domain=_COUNT,
    value="[0, inf]; rises in queries",
)
def best_of(queries: Given) -> Floats:
    """How far the best of noisy answers flatters, in deviations of one.

    A stored minimum lies so far below the truth, in the mean.

    -Q ln Φ(max) is exponential of mean 1: the mean is ∫ Φ⁻¹(exp(-x/Q)) exp(-x) dx.

    >>> round(float(best_of(10)), 4)
    1.5388
    """
    return by_region((queries,), (np.ones(queries.shape, dtype=bool), _records.best))
