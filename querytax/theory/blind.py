"""Blind guesses: patterns drawn until one is adversarial, whatever the noise.

No attacker needs more queries than one who reads no answer but success; a target above
these counts cannot be met by noise. Images stand on the last axis and are averaged
over.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax import expect
from querytax.theory.bisection import majority
from querytax.theory.law import Given, law
from querytax.theory.numerics import blind as _blind
from querytax.theory.numerics.floats import Array, Floats, ratio

_FRESH = "patterns and labels drawn afresh at every guess"
_VOTED = f"{_FRESH}; a guess is taken once most of its V votes confirm its first label"
_COUNTS = {"votes": "{1, ..., 999}", "queries": "{0, ..., 9007199254740992}"}
_VOTES = {"votes": _COUNTS["votes"]}
_IMAGES = {"success": 1, "false_alarm": 1}


def _odd(votes: Array) -> Array:
    return expect.that(votes % 2 == 1, "odd", votes=votes)


def _together(success: Array, false_alarm: Array) -> None:
    # Means of probabilities may pass 1 by a rounding.
    sure = success + false_alarm <= 1.0 + 1e-12
    expect.that(sure, "at most 1 - success", false_alarm=false_alarm)


@law(
    "P(T > Q) = mean of (1 - s)^Q over the images",
    "derived here",
    regime=_FRESH,
    domain={"queries": _COUNTS["queries"]},
    tables={"success": 1},
    value="[0, 1]; falls in queries",
)
def survival(success: Given, queries: Given) -> Floats:
    """Share of images that blind guesses have not broken.

    >>> survival([0.5, 0.1, 0.0], [0, 1, 10]).round(4).tolist()
    [1.0, 0.8, 0.4499]
    """
    return np.exp(special.xlog1py(queries[..., None], -success)).mean(axis=-1)


@law(
    "least Q with mean (1 - s)^Q <= 1 - q",
    "derived here",
    regime=f"{_FRESH}; inf beyond 2^53",
    tables={"success": 1},
    value="[1, inf]; rises in share",
)
def queries(success: Given, share: Given) -> Floats:
    """Blind guesses that break a share of the images.

    Infinite where too few images can be broken at all. The count is that of the
    whole population: the median of s alone does not tell it.

    >>> queries([0.5, 0.1, 0.0], [0.1, 0.5, 0.7]).tolist()
    [1.0, 7.0, inf]
    """
    shape = np.broadcast_shapes(success.shape[:-1], share.shape)
    each = np.broadcast_to(success, (*shape, success.shape[-1]))
    return _blind.plain_queries(np.broadcast_to(share, shape), each)[()]


@law(
    "s = mean of q M(q), M(q) = P(Bin(V, q) > V/2)",
    "derived here",
    regime=_VOTED,
    domain=_VOTES,
    value="[0, 1]",
)
def success(label_shares: Given, votes: Given) -> Floats:
    """Chance that a guess is called adversarial and its votes confirm it.

    >>> round(float(success([0.9, 0.2, 0.0], 9)), 6)
    0.301038
    """
    q = label_shares
    return (q * majority(q, _odd(votes)[..., None])).mean(axis=-1)


@law(
    "f = mean of q M(1 - q), M(q) = P(Bin(V, q) > V/2)",
    "derived here",
    regime=_VOTED,
    domain=_VOTES,
    value="[0, 1]",
)
def false_alarm(label_shares: Given, votes: Given) -> Floats:
    """Chance that a guess is called adversarial and its votes refute it.

    >>> round(float(false_alarm([0.9, 0.2, 0.0], 9)), 6)
    0.065629
    """
    q = label_shares
    return (q * majority(1.0 - q, _odd(votes)[..., None])).mean(axis=-1)


@law(
    "w(Q) = (1 - s - f) w(Q-1) + f w(Q-1-V), w = 1 up to V; mean over images",
    "derived here",
    regime=_VOTED,
    domain=_COUNTS,
    tables=_IMAGES,
    value="[0, 1]; falls in queries",
)
def confirmed_survival(
    success: Given, false_alarm: Given, votes: Given, queries: Given
) -> Floats:
    """Share of images without a confirmed guess; each vote is a query.

    >>> confirmed_survival([0.3, 0.01], 0.05, 9, [9, 10, 100]).round(4).tolist()
    [1.0, 0.845, 0.2653]
    """
    _together(success, false_alarm)
    return _blind.over_populations(
        _blind.survival, queries, _odd(votes), success, false_alarm
    )


@law(
    "least Q with mean w(Q) <= 1 - q, w as in confirmed_survival",
    "derived here",
    regime=f"{_VOTED}; inf beyond 2^53",
    domain=_VOTES,
    tables=_IMAGES,
    value="[1, inf]; rises in share",
)
def confirmed_queries(
    success: Given, false_alarm: Given, votes: Given, share: Given
) -> Floats:
    """Queries until guesses have been confirmed on a share of the images.

    Infinite where on too few images any guess is ever confirmed.

    >>> confirmed_queries([0.3, 0.01], 0.05, 9, [0.1, 0.5, 0.9]).tolist()
    [10.0, 22.0, 243.0]
    """
    _together(success, false_alarm)
    return _blind.over_populations(
        _blind.queries, share, _odd(votes), success, false_alarm
    )


@law(
    "E T = (1 + V (s + f))/s",
    "derived here",
    regime=_VOTED,
    domain=_VOTES,
    value="[1, inf]; rises in false_alarm votes; falls in success",
)
def confirmed_mean(success: Given, false_alarm: Given, votes: Given) -> Floats:
    """Mean number of queries until a guess is confirmed, on one image.

    >>> round(float(confirmed_mean(0.01, 0.05, 9)), 1)
    154.0
    """
    _together(success, false_alarm)
    return ratio(1.0 + _odd(votes) * (success + false_alarm), success)
