"""Claims of the output-randomization paper: attacks and misclassification, to B14.

A gap δ is the best output less another; σ is the standard deviation of the noise on
each output, and K the chance that the other wins.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import integrate, optimize, special, stats

from querytax.montecarlo import accuracy as accuracy_drawn
from querytax.montecarlo.runs import Experiment
from querytax.theory import accuracy, finite_difference
from querytax.validation._samples import Normals, drawn
from querytax.validation.claim import (
    Claim,
    Computed,
    Form,
    Point,
    Simulated,
    Unavailable,
    at,
)

__all__ = ["RATES", "definition"]

_PAPER = "output-randomization-2020"


def definition(
    row: str, statement: str, topic: str, source: str, note: str = ""
) -> Claim:
    return Claim(
        id=f"{_PAPER}/{row}",
        statement=statement,
        kind="definition",
        topic=topic,
        source=source,
        expected="DEFINITION",
        note=note,
    )


def _log_output(x: float) -> float:
    """A loss: the logarithm of a logistic output."""
    return -math.log1p(math.exp(-x))


def _difference(x: float, probe: float) -> float:
    return (_log_output(x + probe) - _log_output(x - probe)) / (2.0 * probe)


def _slope(x: float, **_: float) -> float:
    return 1.0 / (1.0 + math.exp(x))


def _third(x: float) -> float:
    p = 1.0 / (1.0 + math.exp(-x))
    return p * (1.0 - p) * (2.0 * p - 1.0)


def _searched(x: float, search: float, pairs: int) -> Experiment:
    """The estimate of a logistic loss's slope along the first of two inputs."""

    def value(normals: Normals) -> Any:
        total: Any = 0.0
        for i in range(pairs):
            u = normals(i)
            ahead = special.expit(x + search * u[:, 0])
            behind = special.expit(x - search * u[:, 0])
            total = total + (ahead * u[:, 0] - behind * u[:, 0])
        return total / (2.0 * pairs * search)

    arguments = {"x": x, "search": search, "pairs": pairs}
    return drawn(f"{_PAPER}/b6", arguments, value, cost=float(pairs))


def _smoothed_slope(x: float, search: float, **_: Any) -> float:
    def weighed(u: float) -> float:
        p = special.expit(x + search * u)
        return float(p * (1.0 - p) * stats.norm.pdf(u))

    return float(integrate.quad(weighed, -12.0, 12.0)[0])


def _pairwise(outputs: list[float], sigma: float, scale: float) -> float:
    best = max(outputs)
    others = sorted(outputs)[:-1]
    return sum(float(special.ndtr((p - best) / (scale * sigma))) for p in others)


def _union(outputs: list[float], sigma: float) -> float:
    return _pairwise(outputs, sigma, math.sqrt(2.0))


def _misclassified(outputs: list[float], sigma: float) -> float:
    return float(accuracy.misclassification(outputs, sigma))


_NOISES = ("gap", "mean", "best_mean", "sigma", "best_sigma")


def _spread(**noise: float) -> Experiment:
    """Squared difference of two noises, about the difference of their means."""

    def value(normals: Normals) -> Any:
        z = normals(0)
        other = noise["mean"] + noise["sigma"] * z[:, 0]
        best = noise["best_mean"] + noise["best_sigma"] * z[:, 1]
        return np.square(other - best - (noise["mean"] - noise["best_mean"]))

    return drawn(f"{_PAPER}/b9", noise, value, low=0.0)


def _overtaken(**noise: float) -> Experiment:
    """Whether the other class ends above the best one."""

    def value(normals: Normals) -> Any:
        z = normals(0)
        other = noise["mean"] + noise["sigma"] * z[:, 0]
        best = noise["best_mean"] + noise["best_sigma"] * z[:, 1]
        return other > noise["gap"] + best

    return drawn(f"{_PAPER}/b10", noise, value, event=True)


def _overtaking(
    gap: float,
    mean: float,
    best_mean: float,
    sigma: float,
    best_sigma: float,
    power: float = 0.5,
) -> float:
    spread = (sigma**2 + best_sigma**2) ** power
    return float(special.ndtr((mean - best_mean - gap) / spread))


def _noises(*rows: tuple[float, ...]) -> tuple[Point, ...]:
    return tuple(Point(dict(zip(_NOISES, row, strict=True))) for row in rows)


def _tail(x: float) -> float:
    """P(Z > x) of a standard normal, by quadrature."""
    body = integrate.quad(stats.norm.pdf, 0.0, x)[0]
    return 0.5 - float(body)


def _variance(gap: float, rate: float) -> float:
    """The noise at which the two classes trade places at that rate."""

    def excess(log_sigma: float) -> float:
        return _tail(gap / (math.sqrt(2.0) * math.exp(log_sigma))) - rate

    found = optimize.brentq(excess, math.log(gap) - 4.0, math.log(gap) + 8.0)
    return math.exp(2.0 * float(found))


def _printed_variance(gap: float, rate: float) -> float:
    return float(gap / (2.0 * special.ndtri(rate)))


def _true_variance(gap: float, rate: float) -> float:
    return float(accuracy.two_class_sigma(gap, rate)) ** 2


def _solved_side(gap: float, rate: float) -> float:
    """The printed right side, its quantile solved for."""
    quantile = optimize.brentq(lambda x: _tail(-x) - rate, -8.0, 8.0, xtol=1e-13)
    return gap / (2.0 * float(quantile))


_GAPS = at("gap rate", (0.3, 0.1), (1.0, 0.005))

RATES: tuple[Claim, ...] = (
    definition(
        "b1",
        "An attack ends at another label, within a distance of the original.",
        "margin",
        "section 3.1",
    ),
    definition(
        "b2",
        "The targeted loss is the log margin against the target, cut below.",
        "margin",
        "eq. (1)",
    ),
    definition(
        "b3",
        "The untargeted loss is the log margin of the true class, cut below.",
        "margin",
        "eq. (2)",
    ),
    definition(
        "b4",
        "Squared distance and loss are minimised together, inside the unit cube.",
        "margin",
        "section 3.1",
    ),
    Claim(
        id=f"{_PAPER}/b5",
        statement="The symmetric difference along a pixel is about the derivative.",
        kind="approximation",
        topic="finite_difference",
        source="section 3.1",
        printed=Form("∂L/∂x ≈ (L(x+h) - L(x-h))/(2h)", _slope),
        corrected=Form(
            "L' + h² L'''/6",
            lambda x, probe: (
                _slope(x) + float(finite_difference.central_bias(_third(x), probe))
            ),
        ),
        mutant=Form("h for 2h", lambda x, probe: 2.0 * _slope(x)),
        evidence=Computed(_difference),
        points=at("x probe", (1.0, 1e-4), (-2.0, 0.1), outside=((1.0, 2.0),)),
        margin=0.02,
        regime="h² |L'''| far below 6 |L'|",
        expected="CONFIRMED_IN_REGIME",
        note="n pixels take 2n queries.",
    ),
    Claim(
        id=f"{_PAPER}/b6",
        statement="Reflected normal probes estimate the gradient.",
        kind="exact",
        topic="directions",
        source="section 3.2",
        printed=Form("E g = ∇E L(x + σu), σ the search's", _smoothed_slope),
        mutant=Form("mσ for 2mσ", lambda **rest: 2.0 * _smoothed_slope(**rest)),
        evidence=Simulated(_searched),
        points=at("x search pairs", (0.5, 0.3, 3), (1.0, 2.0, 5)),
        margin=0.02,
        expected="CONFIRMED",
        note=(
            "Of the smoothed loss, without bias. The search's σ is a standard "
            "deviation, though called a variance, and not that of the noise."
        ),
    ),
    definition(
        "b7",
        "Every input moves by the sign of its estimate.",
        "query_ratio",
        "section 3.2",
        "Under noise an input moves by 2Φ(√S) - 1 of a step: slower by S^(-1/2).",
    ),
    Claim(
        id=f"{_PAPER}/b8",
        statement="The chance of a wrong label is the sum over the other classes.",
        kind="exact",
        topic="accuracy",
        source="section 4.1",
        printed=Form("Σ_i Φ(-δ_i/(√2 σ))", _union),
        corrected=Form("1 - ∫ φ(z) Π Φ(z + δ_i/σ) dz", _misclassified),
        mutant=Form(
            "√2 lost",
            lambda outputs, sigma: _misclassified(outputs, sigma / math.sqrt(2.0)),
        ),
        evidence=Simulated(accuracy_drawn.misclassification),
        points=at(
            "outputs sigma",
            ([0.6, 0.4], 0.1),
            ([0.4, 0.25, 0.2, 0.15], 0.15),
            ([0.145, *[0.095] * 9], 0.05),
        ),
        margin=0.03,
        regime="two classes, or all gaps far above σ",
        expected="REFUTED",
        note="A union bound: it passes 1 where many classes are near.",
    ),
    Claim(
        id=f"{_PAPER}/b9",
        statement="The difference of two noises is normal with the sum of variances.",
        kind="exact",
        topic="accuracy",
        source="section 4.1",
        printed=Form(
            "Var = σ_i² + σ_m²",
            lambda sigma, best_sigma, **_: sigma**2 + best_sigma**2,
        ),
        mutant=Form("σ_m² lost", lambda sigma, **_: sigma**2),
        evidence=Simulated(_spread),
        points=_noises((0.1, 0.02, -0.01, 0.1, 0.05), (0.3, 0.0, 0.0, 0.1, 0.1)),
        margin=0.02,
        expected="CONFIRMED",
        note="Of independent noises; the difference of their means is its mean.",
    ),
    Claim(
        id=f"{_PAPER}/b10",
        statement="One class overtakes the best at the rate of a normal tail.",
        kind="exact",
        topic="accuracy",
        source="section 4.1",
        printed=Form("K = Φ((-δ + μ_i - μ_m)/√(σ_i² + σ_m²))", _overtaking),
        mutant=Form("√ lost", lambda **rest: _overtaking(**rest, power=1.0)),
        evidence=Simulated(_overtaken),
        points=_noises((0.1, 0.02, -0.01, 0.1, 0.05), (0.3, 0.0, 0.0, 0.2, 0.2)),
        margin=0.03,
        expected="CONFIRMED",
        note="The text at hand garbles root and signs; the derivation decides them.",
    ),
    Claim(
        id=f"{_PAPER}/b11",
        statement="This variance gives a chosen rate of misclassification.",
        kind="exact",
        topic="accuracy",
        source="section 4.1",
        printed=Form("σ² = δ/(2Φ⁻¹(K))", _printed_variance),
        corrected=Form("σ² = δ²/(2Φ⁻¹(K)²)", _true_variance),
        mutant=Form("2 lost", lambda gap, rate: 2.0 * _true_variance(gap, rate)),
        evidence=Computed(_variance, 1e-6),
        points=_GAPS,
        margin=0.01,
        expected="REFUTED",
        note=(
            "Below 0 for K < 1/2, and a probability where its square is due; the text "
            "at hand may have lost both exponents."
        ),
    ),
    Claim(
        id=f"{_PAPER}/b12",
        statement="For rates below 1/2 the right side is positive.",
        kind="exact",
        topic="accuracy",
        source="section 4.1",
        printed=Form(
            "δ/(2Φ⁻¹(K)) > 0", lambda gap, rate: abs(_printed_variance(gap, rate))
        ),
        corrected=Form("δ/(2Φ⁻¹(K)) < 0", _printed_variance),
        mutant=Form("2 lost", lambda **rest: 2.0 * _printed_variance(**rest)),
        evidence=Computed(_solved_side, 1e-6),
        points=_GAPS,
        margin=0.01,
        expected="REFUTED",
        note="Its quantile is negative there; the squared form is always positive.",
    ),
    Claim(
        id=f"{_PAPER}/b13",
        statement="A more confident answer bears more noise.",
        kind="lower bound",
        topic="accuracy",
        source="section 4.1",
        printed=Form("variance at 2δ over that at δ is at least 1", lambda **_: 1.0),
        corrected=Form(
            "4",
            lambda gap, rate: (
                _true_variance(2.0 * gap, rate) / _true_variance(gap, rate)
            ),
        ),
        mutant=Form("8: δ³ for δ²", lambda **_: 8.0),
        evidence=Computed(
            lambda gap, rate: _variance(2.0 * gap, rate) / _variance(gap, rate), 1e-6
        ),
        points=_GAPS,
        margin=0.01,
        expected="CONFIRMED",
        note="Quadratically: σ = δ/(√2 |Φ⁻¹(K)|).",
    ),
    Claim(
        id=f"{_PAPER}/b14",
        statement="A figure has the largest variance at rates of 20, 10, 1 and 0.5 %.",
        kind="data",
        topic="accuracy",
        source="figure 1(b)",
        evidence=Unavailable("the curves are in a figure only"),
        expected="INCONCLUSIVE",
        note="They must be δ² times 0.7059, 0.3044, 0.0924 and 0.0754.",
    ),
)
