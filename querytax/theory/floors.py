"""What no attacker can beat when every answer carries fresh normal noise."""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax.theory.law import Given, law
from querytax.theory.numerics.floats import Array, Floats, over, ratio, square
from querytax.theory.relations import log_of
from querytax.theory.repeats import divergence

_GAP = {"gap": "(0, inf)"}
_GRADIENT = {"gradient_norm": "(0, inf)"}


@law(
    "N = 2σ² Φ⁻¹(ε)²/ΔF²",
    "Aithal & Li 2022, Theorem 4; corrected and shown to be a floor",
    regime="number of pairs fixed in advance; attained (Neyman-Pearson)",
    kind="bound",
    domain=_GAP,
    value="[0, inf]; rises in sigma; falls in error gap",
)
def pairs_per_sign(gap: Given, sigma: Given, error: Given) -> Floats:
    """Pairs per reliable sign of one difference along a direction.

    >>> round(float(pairs_per_sign(4e-7, 1e-4, 0.3)))
    34374
    """
    return 2.0 * square(ratio(sigma, gap) * special.ndtri(error))


@law(
    "E T >= 2σ² d(ε)/ΔF², d(ε) = (1-2ε) ln((1-ε)/ε)",
    "derived here (data processing, Wald)",
    regime="mean over both models; whoever tells them apart, by any adaptive choice of "
    "allowed queries, all outputs revealed; no bound on an attack that need not",
    kind="bound",
    domain=_GAP,
    value="[0, inf]; rises in sigma; falls in error gap",
)
def queries_any_attacker(gap: Given, sigma: Given, error: Given) -> Floats:
    """Least mean number of single queries that tell two models apart.

    The gap is the largest Euclidean distance between the two models' output vectors
    over all that the attacker may query; a wider probe widens it. The mean is over
    both models, each as likely: at unequal errors the mean under one of them may lie
    below. It bounds no attack: who guesses an adversarial example blindly needs no
    answer at all.

    >>> print(f"{queries_any_attacker(5e-8, 0.01, 0.01):.3g}")
    3.6e+11
    """
    return 2.0 * square(ratio(sigma, gap) * np.sqrt(divergence(error)))


def _noise(
    gradient_norm: Array, radius: Array, sigma: Array, dimension: Array
) -> Array:
    """d σ/(G r)."""
    return ratio(ratio(sigma, gradient_norm) * dimension, radius)


@law(
    "T >= ((1-2ε) d σ/(G r))²",
    "derived here (Assouad, Pinsker)",
    regime="one scalar output, linear response, gradient entries ±G/√d",
    kind="bound",
    domain=_GRADIENT,
    value="[0, inf]; rises in sigma dimension; falls in gradient_norm radius error",
)
def gradient_signs(
    gradient_norm: Given, radius: Given, sigma: Given, dimension: Given, error: Given
) -> Floats:
    """Least number of queries that recover most signs of a gradient.

    The error is the mean share of wrong signs.

    >>> round(float(gradient_signs(1.0, 1.0, 0.1, 100, 0.25)), 9)
    25.0
    """
    share = 1.0 - 2.0 * error
    return square(share * _noise(gradient_norm, radius, sigma, dimension))


@law(
    "τ/(1+τ), τ = Q G² r²/(d² σ²)",
    "derived here",
    regime="upper bound, attained: normal prior on the gradient, G its root mean "
    "square, linear response",
    kind="bound",
    domain=_GRADIENT,
    value="[0, 1]; rises in gradient_norm radius queries; falls in sigma dimension",
)
def explained_fraction(
    gradient_norm: Given, radius: Given, sigma: Given, dimension: Given, queries: Given
) -> Floats:
    """Largest share of the squared gradient that queries can explain.

    >>> round(float(explained_fraction(1.0, 1.0, 0.1, 100, 100)), 9)
    0.5
    """
    # No query explains nothing, without noise too.
    noise = np.maximum(_noise(gradient_norm, radius, sigma, dimension), 5e-324)
    return 1.0 / (1.0 + square(ratio(noise, np.sqrt(queries))))


@law(
    "E T >= 2σ² d(ε)/((6+4√2)² e²), d(ε) = (1-2ε) ln((1-ε)/ε)",
    "derived here",
    regime="functions of one variable with curvature in [1/2, 3/2], any queries",
    kind="bound",
    value="[0, inf]; rises in sigma; falls in error excess",
)
def optimisation_1d(excess: Given, sigma: Given, error: Given) -> Floats:
    """Least mean number of queries that find an e-minimiser on a line.

    Two such functions lie within (6 + 4√2) e of each other everywhere and share no
    e-minimiser; the error is the chance of a worse answer.

    >>> round(float(optimisation_1d(0.001, 1.0, 0.01)))
    66281
    """
    distance = (6.0 + 4.0 * np.sqrt(2.0)) * excess
    return queries_any_attacker(distance, sigma, error)


@law(
    "E[f - min f] >= min(4 d² σ²/(9 Q r²), r²)/12",
    "derived here (Assouad, Pinsker); queries grow as d²",
    regime="the worst of f = ‖x‖²/2 - ⟨e, x⟩; any adaptive choice of queries",
    kind="bound",
    domain={"queries": "(0, inf)"},
    value="[0, inf]; rises in dimension sigma; falls in queries",
)
def optimisation(
    radius: Given, sigma: Given, dimension: Given, queries: Given
) -> Floats:
    """Excess loss that queries cannot beat on all quadratics.

    Below 4 d² σ²/(9 r⁴) queries the worst minimum would leave the ball that holds
    them all, and the floor stays at r²/12.

    >>> print(f"{optimisation(1.0, 0.01, 100, 1e4):.4g}")
    3.704e-06
    """
    noise = ratio(ratio(sigma, radius) * dimension, np.sqrt(queries))
    # The side of the cube of minima, in the ball.
    return square(np.minimum(noise / 1.5, radius)) / 12.0


def _shape(margin: Array, sigma: Array) -> tuple[Array, Array]:
    """u, at most 1e160, whose square is infinite, and 2π exp(u²/2) Φ(-u)."""
    u = np.minimum(over(np.abs(margin), sigma) / np.sqrt(2.0), 1e160)
    return u, np.pi * special.erfcx(u / np.sqrt(2.0))


@law(
    "I = φ(u)²/(2σ² Φ(u) Φ(-u)), u = m/(√2 σ)",
    "derived here; Aithal & Li 2022, hard-label attacks",
    regime="hard labels of two classes, normal noise before the argmax",
    value="[0, inf]",
)
def hard_label_information(margin: Given, sigma: Given) -> Floats:
    """Fisher information that one noisy hard label carries about the margin.

    On the boundary 1/(π sigma²): noise turns a hard label into a soft oracle.

    >>> round(float(hard_label_information(0.0, 0.1)), 2)
    31.83
    """
    u, tails = _shape(margin, sigma)
    with np.errstate(over="ignore"):
        inside = np.exp(-0.5 * np.square(u)) / (tails * special.ndtr(u))
    return ratio(inside, np.where(inside > 0.0, 2.0 * square(sigma), 1.0))


def _log_hard_label_information(margin: Array, sigma: Array) -> Floats:
    u, tails = _shape(margin, sigma)
    shape = -np.log(tails) - special.log_ndtr(u)
    with np.errstate(divide="ignore"):
        scale = np.where((u > 0.0) & (sigma == 0.0), 0.0, np.log(sigma))
    return shape - 0.5 * square(u) - np.log(2.0) - 2.0 * scale


log_hard_label_information = log_of(hard_label_information, _log_hard_label_information)
