"""Claims of RND (NeurIPS 2021): the defended estimate and its mean square.

μ is the standard deviation of the probe on each input and ν that of the defence's
noise; their names are ``probe`` and ``sigma``, and α = ν/μ.
"""

from __future__ import annotations

import math
from typing import Any

from scipy import integrate, stats

from querytax.montecarlo import second_moment as moment_drawn
from querytax.montecarlo.runs import Experiment
from querytax.theory import second_moment, stationarity
from querytax.validation.claim import (
    Claim,
    Computed,
    Form,
    Point,
    Simulated,
    at,
)

__all__ = ["ESTIMATE", "curvature", "definition", "exact_moment", "half_bent"]

_PAPER = "rnd-2021"


def definition(row: str, statement: str, topic: str, source: str) -> Claim:
    return Claim(
        id=f"{_PAPER}/{row}",
        statement=statement,
        kind="definition",
        topic=topic,
        source=source,
        expected="DEFINITION",
    )


def half_bent(slope: float, bend: float, dimension: int, **rest: Any) -> Experiment:
    """A quadratic loss that is bent along every second input."""
    return moment_drawn.quadratic(slope, [bend, 0.0] * (dimension // 2), **rest)


def exact_moment(
    slope: float, bend: float, dimension: int, repeats: float, **rest: Any
) -> float:
    trace, frobenius = 0.5 * dimension * bend, math.sqrt(0.5 * dimension) * abs(bend)
    free = second_moment.quadratic(
        slope, trace, frobenius, dimension=dimension, **{**rest, "sigma": 0.0}
    )
    noise = second_moment.noise(slope, frobenius, dimension=dimension, **rest)
    return float(free + noise / repeats)


def _steep(loss: str, dimension: int, probe: float, sigma: float) -> Experiment:
    """The squared estimate of a loss of Lipschitz constant 1."""
    if loss == "norm":
        return moment_drawn.norm(probe, sigma, dimension)
    return moment_drawn.linear(1.0, probe, sigma, dimension)


def curvature(lipschitz: float, dimension: int, probe: float, sigma: float) -> float:
    """Second derivative at 0 of L|x₁| smoothed by probe and noise."""
    width = math.hypot(probe, sigma)

    def weighed(z: float) -> float:
        return lipschitz * width * z * (z * z - 1.0) * stats.norm.pdf(z) / width**2

    return 2.0 * float(integrate.quad(weighed, 0.0, 40.0)[0])


ESTIMATE: tuple[Claim, ...] = (
    definition(
        "n1",
        "The loss is the margin of the right class, or against the target, cut at 0.",
        "margin",
        "eqs. (1), (2)",
    ),
    definition(
        "n2",
        "One difference along a normal probe estimates the gradient; projected steps.",
        "directions",
        "eqs. (3), (4)",
    ),
    definition(
        "n3",
        "A random search takes the probes along which the loss falls.",
        "directions",
        "eqs. (5), (6)",
    ),
    definition(
        "n4",
        "The defence adds fresh normal noise to the input of every query.",
        "smoothing",
        "eqs. (7) to (11), (15)",
    ),
    Claim(
        id=f"{_PAPER}/n5",
        statement=(
            "On a quadratic loss the mean square of the defended estimate splits into "
            "a part without noise and one that averaging divides by M."
        ),
        kind="exact",
        topic="second_moment",
        source="added here to Theorems 1 and 2",
        printed=Form(
            "(d+2) G² + (μ²/4)(d+4)[(tr A)² + 2‖A‖²] + (1/M)[2 d G² ν²/μ² "
            "+ (d+2) ‖A‖² ν² + d ‖A‖² ν⁴/μ²]",
            lambda repeats, **rest: exact_moment(repeats=repeats, **rest),
        ),
        mutant=Form(
            "√M for M",
            lambda repeats, **rest: exact_moment(repeats=repeats**0.5, **rest),
        ),
        evidence=Simulated(half_bent),
        points=tuple(
            Point(
                dict(
                    zip(
                        ("slope", "bend", "dimension", "probe", "sigma", "repeats"),
                        row,
                        strict=True,
                    )
                )
            )
            for row in ((1.0, 0.5, 10, 0.3, 0.3, 4), (0.5, 2.0, 6, 0.2, 0.6, 2))
        ),
        margin=0.05,
        expected="CONFIRMED",
        note="Not in the slides; Theorems 1 and 2 bound this number.",
    ),
    definition(
        "n6",
        "The loss, or its gradient too, is Lipschitz; smoothing is by normal noise.",
        "smoothing",
        "assumptions 1, 2, definition 1, eq. (9)",
    ),
    Claim(
        id=f"{_PAPER}/n7",
        statement=(
            "The mean square of the defended estimate is at most of the order d² in "
            "the input and d² in the noise."
        ),
        kind="upper bound",
        topic="second_moment",
        source="implied by Theorem 1",
        printed=Form(
            "L² d² (1 + √2 ν/μ)², L = 1",
            lambda loss, dimension, probe, sigma: (
                dimension**2 * (1.0 + math.sqrt(2.0) * sigma / probe) ** 2
            ),
        ),
        corrected=Form(
            "L² d (d + 2 + 2 ν²/μ²)",
            lambda loss, **rest: second_moment.lipschitz_bound(1.0, **rest),
        ),
        mutant=Form(
            "d + 1 for d + 2",
            lambda loss, dimension, probe, sigma: (
                dimension * (dimension + 1.0 + 2.0 * (sigma / probe) ** 2)
            ),
        ),
        evidence=Simulated(_steep),
        points=at(
            "loss dimension probe sigma",
            ("norm", 3, 0.1, 0.0),
            ("norm", 8, 0.1, 0.1),
            ("linear", 8, 0.1, 0.2),
        ),
        margin=0.05,
        regime="α from about 1/(√2 d)",
        expected="REFUTED",
        note=(
            "Without noise ‖y - x‖ attains d (d + 2) > d². The noise's part is d "
            "times too wide."
        ),
    ),
    Claim(
        id=f"{_PAPER}/n8",
        statement="Smoothing by the probe bounds the change of the gradient.",
        kind="upper bound",
        topic="stationarity",
        source="Theorem 1, its coefficient",
        printed=Form(
            "L √d/μ",
            lambda lipschitz, dimension, probe, sigma: (
                lipschitz * math.sqrt(dimension) / probe
            ),
        ),
        corrected=Form(
            "√(2/π) L/√(μ² + ν²)",
            lambda lipschitz, dimension, probe, sigma: stationarity.smoothed_smoothness(
                lipschitz, probe, sigma
            ),
        ),
        mutant=Form(
            "2/π for √(2/π)",
            lambda lipschitz, dimension, probe, sigma: (
                2.0 / math.pi * lipschitz / math.hypot(probe, sigma)
            ),
        ),
        evidence=Computed(curvature, 1e-7),
        points=at(
            "lipschitz dimension probe sigma",
            (1.0, 1, 0.3, 0.0),
            (4.0, 3072, 0.01, 0.02),
        ),
        margin=0.01,
        expected="CONFIRMED",
        note="Held against L|x₁| at 0, the steepest case: no dimension is in it.",
    ),
)
