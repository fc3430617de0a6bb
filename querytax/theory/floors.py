"""What no attacker can beat when every answer carries fresh normal noise.

Each function raises ``DomainError``, naming the parameter, for an argument outside
its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory._floats import Array, Floats, floats, ratio, square
from querytax.theory.law import law
from querytax.theory.repeats import divergence

__all__ = [
    "explained_fraction",
    "gradient_signs",
    "hard_label_information",
    "log_hard_label_information",
    "optimisation",
    "optimisation_1d",
    "pairs_per_sign",
    "queries_any_attacker",
]

_SIGMA = "σ, standard deviation of the noise on each output, output unit, (0, inf)"
_ERROR = "ε, probability of the wrong verdict, probability, (0, 1/2)"
_DIMENSION = "d, dimension of the searched space, count, [1, inf)"
_SLOPE = "G, norm of the gradient, output per unit of input, (0, inf)"
_RADIUS = "r, radius around the image inside which queries lie, input, (0, inf)"
_SOURCE = "derived here"


@law(
    formula="N = 2σ² Φ⁻¹(ε)²/ΔF²",
    latex=r"N = \frac{2\sigma^2\,\Phi^{-1}(\varepsilon)^2}{\Delta F^2}",
    symbols={
        "error": _ERROR,
        "sigma": _SIGMA,
        "gap": "|ΔF|, difference of the output over a pair, output unit, (0, inf)",
    },
    regime="number of pairs fixed in advance; attained (Neyman-Pearson)",
    source="Aithal & Li 2022, Theorem 4; corrected and shown to be a floor",
)
def pairs_per_sign(
    error: npt.ArrayLike, sigma: npt.ArrayLike, gap: npt.ArrayLike
) -> Floats:
    """Pairs per reliable sign of one directional difference, fixed in advance.

    Parameters
    ----------
    error : array_like
        Probability ε of the wrong sign, in (0, 1/2).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    gap : array_like
        Size |ΔF| of the difference, in the output's unit, in (0, inf).

    Examples
    --------
    >>> round(float(pairs_per_sign(0.3, 1e-4, 4e-7)))
    34374
    """
    quantile = special.ndtri(floats(expect.error_rate(error=error)))
    noise = ratio(expect.positive(sigma=sigma), expect.positive(gap=gap))
    return 2.0 * square(noise * quantile)


@law(
    formula="E T >= 2σ² d(ε)/δ², d(ε) = (1-2ε) ln((1-ε)/ε)",
    latex=r"\mathbb{E}T \ge \frac{2\sigma^2 d(\varepsilon)}{\delta_2^2}",
    symbols={
        "error": _ERROR,
        "sigma": _SIGMA,
        "gap": "δ, largest distance ‖F₊(x) - F₋(x)‖₂ of the two models' outputs over "
        "all allowed queries, output unit, (0, inf)",
    },
    regime="mean over both models; whoever tells them apart, by any adaptive choice of "
    "allowed queries, all outputs revealed; no bound on an attack that need not",
    source="derived here (data processing, Wald)",
)
def queries_any_attacker(
    error: npt.ArrayLike, sigma: npt.ArrayLike, gap: npt.ArrayLike
) -> Floats:
    """Least mean number of single queries that tell two candidate models apart.

    The mean is over both models, each as likely: at unequal errors the mean under one
    of them may lie below. It bounds no attack: who guesses an adversarial example
    blindly needs no answer at all.

    Parameters
    ----------
    error : array_like
        Probability ε of taking one model for the other, in (0, 1/2).
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    gap : array_like
        Largest Euclidean distance between the two models' output vectors over the
        whole region the attacker may query, in (0, inf). A wider probe widens it.

    Examples
    --------
    >>> print(f"{queries_any_attacker(0.01, 0.01, 5e-8):.3g}")
    3.6e+11
    """
    noise = ratio(expect.positive(sigma=sigma), expect.positive(gap=gap))
    return 2.0 * square(noise * np.sqrt(divergence(error)))


@law(
    formula="T >= ((1-2ε) d σ/(G r))²",
    latex=r"T \ge \left(\frac{(1 - 2\varepsilon)\, d\, \sigma}{G r}\right)^2",
    symbols={
        "error": "ε, mean share of wrong gradient signs, probability, (0, 1/2)",
        "dimension": _DIMENSION,
        "sigma": _SIGMA,
        "gradient_norm": _SLOPE,
        "radius": _RADIUS,
    },
    regime="one scalar output, linear response, gradient entries ±G/√d",
    source="derived here (Assouad, Pinsker)",
)
def gradient_signs(
    error: npt.ArrayLike,
    dimension: npt.ArrayLike,
    sigma: npt.ArrayLike,
    gradient_norm: npt.ArrayLike,
    radius: npt.ArrayLike,
) -> Floats:
    """Least number of queries that recover most signs of a gradient.

    Parameters
    ----------
    error : array_like
        Mean share ε of wrong signs, in (0, 1/2).
    dimension : array_like of int
        Dimension d of the searched space.
    sigma : array_like
        Standard deviation of the noise on the output, in (0, inf).
    gradient_norm : array_like
        Norm G of the gradient, in (0, inf).
    radius : array_like
        Radius r inside which the queries lie, in (0, inf).

    Examples
    --------
    >>> round(float(gradient_signs(0.25, 100, 0.1, 1.0, 1.0)), 9)
    25.0
    """
    share = 1.0 - 2.0 * floats(expect.error_rate(error=error))
    return square(share * _noise(dimension, sigma, gradient_norm, radius))


def _noise(
    dimension: npt.ArrayLike,
    sigma: npt.ArrayLike,
    gradient_norm: npt.ArrayLike,
    radius: npt.ArrayLike,
) -> Floats:
    """d σ/(G r)."""
    per_slope = ratio(
        expect.positive(sigma=sigma), expect.positive(gradient_norm=gradient_norm)
    )
    return ratio(
        per_slope * floats(expect.integer(dimension=dimension)),
        expect.positive(radius=radius),
    )


@law(
    formula="τ/(1+τ), τ = T G² r²/(d² σ²)",
    latex=r"\frac{\tau}{1 + \tau},\qquad \tau = \frac{T G^2 r^2}{d^2 \sigma^2}",
    symbols={
        "queries": "T, queries spent, count, [0, inf)",
        "dimension": _DIMENSION,
        "sigma": _SIGMA,
        "gradient_norm": _SLOPE,
        "radius": _RADIUS,
    },
    regime="upper bound, attained: normal prior on the gradient, linear response",
    source=_SOURCE,
)
def explained_fraction(
    queries: npt.ArrayLike,
    dimension: npt.ArrayLike,
    sigma: npt.ArrayLike,
    gradient_norm: npt.ArrayLike,
    radius: npt.ArrayLike,
) -> Floats:
    """Largest share of the squared gradient that T queries can explain.

    Parameters
    ----------
    queries : array_like
        Queries T, in [0, inf).
    dimension : array_like of int
        Dimension d of the searched space.
    sigma : array_like
        Standard deviation of the noise on the output, in (0, inf).
    gradient_norm : array_like
        Root-mean-square norm G of the gradient, in (0, inf).
    radius : array_like
        Radius r inside which the queries lie, in (0, inf).

    Examples
    --------
    >>> round(float(explained_fraction(100, 100, 0.1, 1.0, 1.0)), 9)
    0.5
    """
    root = np.sqrt(floats(expect.nonnegative(queries=queries)))
    inverse = square(ratio(_noise(dimension, sigma, gradient_norm, radius), root))
    return 1.0 / (1.0 + inverse)


@law(
    formula="E T >= 2σ² d(δ)/((6+4√2)² ε²)",
    latex=r"\mathbb{E}T \ge \frac{2\sigma^2 d(\delta)}{(6 + 4\sqrt{2})^2 "
    r"\varepsilon^2}",
    symbols={
        "error": "δ, probability of a worse answer, probability, (0, 1/2)",
        "sigma": _SIGMA,
        "excess": "ε, allowed excess over the minimum, output unit, (0, inf)",
    },
    regime="functions of one variable with curvature in [1/2, 3/2], any queries",
    source=_SOURCE,
)
def optimisation_1d(
    error: npt.ArrayLike, sigma: npt.ArrayLike, excess: npt.ArrayLike
) -> Floats:
    """Least mean number of queries that find an ε-minimiser on a line.

    Two such functions lie within (6 + 4√2) ε of each other everywhere and share no
    ε-minimiser.

    Parameters
    ----------
    error : array_like
        Probability δ of returning a worse point, in (0, 1/2).
    sigma : array_like
        Standard deviation of the noise on the output, in (0, inf).
    excess : array_like
        Allowed excess ε over the minimum, in (0, inf).

    Examples
    --------
    >>> round(float(optimisation_1d(0.01, 1.0, 0.001)))
    66281
    """
    distance = (6.0 + 4.0 * np.sqrt(2.0)) * floats(expect.positive(excess=excess))
    return queries_any_attacker(error, sigma, distance)


@law(
    formula="E[f - min f] >= min(4 d² σ²/(9 T B²), B²)/12",
    latex=r"\sup_f \mathbb{E}[f(x_T) - \min f] \ge "
    r"\frac{1}{12}\min\left(\frac{4 d^2 \sigma^2}{9\,T B^2}, B^2\right)",
    symbols={
        "queries": "T, queries spent, count, (0, inf)",
        "dimension": _DIMENSION,
        "sigma": _SIGMA,
        "radius": "B, radius of the ball that holds all queries, input, (0, inf)",
    },
    regime="the worst of f = ‖x‖²/2 - ⟨e, x⟩; any adaptive choice of queries",
    source="derived here (Assouad, Pinsker); queries grow as d²",
)
def optimisation(
    queries: npt.ArrayLike,
    dimension: npt.ArrayLike,
    sigma: npt.ArrayLike,
    radius: npt.ArrayLike,
) -> Floats:
    """Excess loss that T queries cannot beat on every quadratic of d dimensions.

    Parameters
    ----------
    queries : array_like
        Queries T, in (0, inf); below 4 d² σ²/(9 B⁴) the worst minimum would leave
        the ball, and the floor stays at B²/12.
    dimension : array_like of int
        Dimension d of the searched space.
    sigma : array_like
        Standard deviation of the noise on the output, in (0, inf).
    radius : array_like
        Radius B inside which the queries lie, in (0, inf).

    Examples
    --------
    >>> print(f"{optimisation(1e4, 100, 0.01, 1.0):.4g}")
    3.704e-06
    """
    d = floats(expect.integer(dimension=dimension))
    reach = floats(expect.positive(radius=radius))
    noise = ratio(expect.positive(sigma=sigma), reach) * d
    root = np.sqrt(floats(expect.positive(queries=queries)))
    # The side of the cube of minima, in the ball.
    return square(np.minimum(ratio(noise, root) / 1.5, reach)) / 12.0


def _margin(margin: npt.ArrayLike, sigma: npt.ArrayLike) -> Array:
    """u, at most 1e160, whose square is infinite."""
    size = np.abs(floats(expect.finite(margin=margin)))
    scaled = ratio(size, expect.positive(sigma=sigma)) / np.sqrt(2.0)
    return np.minimum(scaled, 1e160)


@law(
    formula="I = φ(u)²/(2σ² Φ(u) Φ(-u)), u = δ/(√2 σ)",
    latex=r"I = \frac{\varphi(u)^2}{2\sigma^2\,\Phi(u)\,\Phi(-u)},\qquad "
    r"u = \frac{\delta}{\sqrt{2}\,\sigma}",
    symbols={
        "margin": "δ, noiseless margin of the top two outputs, output unit, finite",
        "sigma": _SIGMA,
    },
    regime="hard labels of two classes, normal noise before the argmax",
    source="derived here; Aithal & Li 2022, hard-label attacks",
)
def hard_label_information(margin: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Fisher information that one noisy hard label carries about the margin.

    On the boundary 1/(π sigma²): noise turns a hard label into a soft oracle.

    Parameters
    ----------
    margin : array_like
        Noiseless margin δ of the top two outputs; its sign does not matter.
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Examples
    --------
    >>> round(float(hard_label_information(0.0, 0.1)), 2)
    31.83
    """
    u = _margin(margin, sigma)
    with np.errstate(over="ignore"):
        bell = np.exp(-0.5 * np.square(u))
    # φ(u)/Φ(-u) = √(2/π)/erfcx(u/√2)
    inside = bell / (np.pi * special.erfcx(u / np.sqrt(2.0)) * special.ndtr(u))
    return ratio(inside, 2.0 * square(sigma))


@law(
    formula="ln I, I = φ(u)²/(2σ² Φ(u) Φ(-u)), u = δ/(√2 σ)",
    latex=r"\ln I = 2\ln\varphi(u) - \ln\Phi(u) - \ln\Phi(-u) - \ln(2\sigma^2)",
    symbols={
        "margin": "δ, noiseless margin of the top two outputs, output unit, finite",
        "sigma": _SIGMA,
    },
    regime="hard labels of two classes, normal noise before the argmax",
    source="derived here; Aithal & Li 2022, hard-label attacks",
)
def log_hard_label_information(margin: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Logarithm of :func:`hard_label_information`, where that underflows.

    Parameters
    ----------
    margin : array_like
        Noiseless margin δ of the top two outputs; its sign does not matter.
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Examples
    --------
    >>> round(float(log_hard_label_information(1.0, 0.01)), 2)
    -2488.14
    """
    u = _margin(margin, sigma)
    shape = -np.log(np.pi * special.erfcx(u / np.sqrt(2.0))) - special.log_ndtr(u)
    return shape - 0.5 * square(u) - np.log(2.0) - 2.0 * np.log(floats(sigma))
