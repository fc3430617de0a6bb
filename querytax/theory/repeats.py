"""Repeated queries: how many pairs settle the sign of one difference.

Counts are real, and infinite where there is nothing to see; a whole number of pairs is
the next one up.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax.theory.law import Given, law
from querytax.theory.numerics.floats import Array, Floats, ratio, square
from querytax.theory.numerics.soft_wall import OVERSHOOT

_KNOWN = "size of the difference known"
_SMALL = {
    "snr <= 0.1": lambda snr: snr <= 0.1,
    "error <= 0.1": lambda error: error <= 0.1,
}


@law(
    "d = (1 - 2ε) ln((1-ε)/ε)",
    "Wald 1945",
    kind="definition",
    regime="two verdicts, each wrong as often",
    value="[0, inf]; falls in error",
)
def divergence(error: Given) -> Floats:
    """Divergence between being right and being wrong so often, in nats.

    >>> round(float(divergence(0.1)), 6)
    1.75778
    """
    return (1.0 - 2.0 * error) * -special.logit(error)


@law(
    "p = Φ⁻¹(ε)²/S",
    "Aithal & Li 2022, Theorem 4; corrected: eq. (8) without 2σ²/F² in its exponent",
    regime="fresh normal noise per query, outputs averaged before any other step",
    value="[0, inf]; falls in snr error",
)
def fixed(snr: Given, error: Given) -> Floats:
    """Pairs, fixed in advance, that settle the sign of one difference.

    >>> round(float(fixed(0.01, 0.01)), 1)
    541.2
    """
    return ratio(square(special.ndtri(error)), snr)


@law(
    "p = 1/(S tan²(πε))",
    "derived here; the inverse of RFD 2024, Theorem 1, in its exact form",
    regime="normal differences over random directions, fresh normal noise",
    value="[0, inf]; falls in snr error",
)
def random_direction(snr: Given, error: Given) -> Floats:
    """Pairs per random direction until only a share ``error`` of signs is wrong.

    >>> round(float(random_direction(0.01, 0.01)))
    101255
    """
    # tan(π(1/2-ε)) = 1/tan(πε), and 1/2-ε is exact where the tangent is steep.
    cotangent = np.where(
        error < 0.25,
        1.0 / np.tan(np.pi * np.minimum(error, 0.25)),
        np.tan(np.pi * (0.5 - error)),
    )
    return square(ratio(cotangent, np.sqrt(snr)))


@law(
    "E p >= d(ε)/(2S), d(ε) = (1-2ε) ln((1-ε)/ε)",
    "Wald 1945; restated here for a pair, whose divergence is 2S",
    regime="lower bound for any stopping rule; " + _KNOWN,
    kind="bound",
    value="[0, inf]; falls in snr error",
)
def sequential(snr: Given, error: Given) -> Floats:
    """Least mean number of pairs of any test that stops when it is sure.

    >>> round(float(sequential(0.01, 0.01)), 1)
    225.2
    """
    return ratio(0.5 * divergence(error), snr)


@law(
    "2 Φ⁻¹(ε)²/d(ε), d(ε) = (1-2ε) ln((1-ε)/ε)",
    "derived here from the two counts",
    regime="upper bound, which tests attain as S vanishes; " + _KNOWN,
    kind="bound",
    value="[1.57, 4]; falls in error",
)
def sequential_saving(error: Given) -> Floats:
    """Fixed number of pairs over the sequential bound.

    π/2 at chance, 4 when sure.

    >>> round(float(sequential_saving(0.01)), 2)
    2.4
    """
    return 2.0 * fixed(1.0, error) / divergence(error)


@law(
    "p = (1 - ρ) Φ⁻¹(ε)²/S",
    "derived here; Aithal & Li 2022, Theorem 4, assumes none is shared",
    regime="normal noise, fresh for each pair but shared in part by its two queries",
    value="[0, inf]; falls in snr error correlation",
)
def shared_within_pair(snr: Given, correlation: Given, error: Given) -> Floats:
    """Pairs that settle a sign when a pair's two noises are correlated.

    Noise common to both queries cancels in their difference.

    >>> round(float(shared_within_pair(0.01, 0.9, 0.01)), 2)
    54.12
    """
    return (1.0 - correlation) * fixed(snr, error)


@law(
    "p = (1 - c) z²/(S - c z²) if S > c z², else inf; z = Φ⁻¹(ε)",
    "derived here; Aithal & Li 2022, Theorem 4, takes every repeat as fresh",
    regime="normal noise that repeats of one query share in part; its two ends apart",
    value="[0, inf]; falls in snr error",
)
def shared_across_repeats(
    snr: Given, repeat_correlation: Given, error: Given
) -> Floats:
    """Pairs that settle a sign when repeats share part of their noise.

    Noise seeded by the input alone is shared in full, and no number of repeats helps:
    the count is one or infinite. Near S = c z² few digits are left.

    >>> round(float(shared_across_repeats(0.01, 0.001, 0.01)), 1)
    1178.4
    >>> float(shared_across_repeats(0.01, 0.01, 0.01))
    inf
    """
    needed = fixed(1.0, error)
    left = snr - repeat_correlation * needed
    count = ratio((1.0 - repeat_correlation) * needed, np.where(left > 0, left, 1.0))
    # One query each is enough where S reaches z² by itself.
    alone = (repeat_correlation == 1.0) & (snr >= needed)
    return np.where(alone, 1.0, np.where(left > 0, count, np.inf))[()]


@law(
    "b = ln((1-ε)/ε)",
    "Wald 1945",
    regime="errs at most so at any S, just so as S vanishes; " + _KNOWN,
    kind="definition",
    value="[0, inf]; falls in error",
)
def stopping_log_odds(error: Given) -> Floats:
    """Log odds of the sign at which Wald's sequential test stops, in nats.

    Every pair that reads D of variance v adds 2 E|D| D/v to the log odds.

    >>> round(float(stopping_log_odds(0.01)), 4)
    4.5951
    """
    return -special.logit(error)


def _barrier(snr: Array, error: Array) -> Floats:
    """Where the log odds stand on average when the test has stopped."""
    # The log odds move by steps of standard deviation 2√S.
    return stopping_log_odds(error) + 2.0 * OVERSHOOT * np.sqrt(snr)


@law(
    "ε' = 1/(1 + exp(b + 2κ√S)), b = ln((1-ε)/ε), κ = -ζ(1/2)/√(2π)",
    "Siegmund 1979, the overshoot; for a pair of queries, derived here",
    regime="small S; " + _KNOWN,
    kind="approximation",
    limits=_SMALL,
    value="[0, 1/2]; rises in error; falls in snr",
)
def walds_error(snr: Given, error: Given) -> Floats:
    """Error of Wald's test, set to ``error`` and asked once a pair.

    Somewhat less than what it was set to. Within the limits the relative error is
    below 0.01 S, against the test's integral equation; at S = 1 or at an error of 0.4
    it has grown to several percent.

    >>> round(float(walds_error(0.01, 0.01)), 6)
    0.00891
    """
    return special.expit(-_barrier(snr, error))


@law(
    "E p = d(ε')/(2S) + 1/4, ε' = 1/(1 + exp(b + 2κ√S))",
    "Wald 1945; Siegmund 1979, the overshoot; derived here for pairs of queries",
    regime="small S; " + _KNOWN,
    kind="approximation",
    limits=_SMALL,
    value="[0, inf]; falls in snr error",
)
def walds_pairs(snr: Given, error: Given) -> Floats:
    """Mean number of pairs of Wald's test.

    :func:`sequential` is what it reaches for. Within the limits it is right to √S/20
    pairs, against the test's integral equation; 7 % too low at S = 0.1 and an error
    of 0.4.

    >>> round(float(walds_pairs(0.01, 0.01)), 1)
    231.6
    """
    far = _barrier(snr, error)
    # The overshoot's next term, a quarter of the drift, is a quarter of a pair.
    return ratio(0.5 * far * np.tanh(0.5 * far), snr) + 0.25
