"""Claims of RND (NeurIPS 2021): accuracy, repeats, searches and tables.

μ is the standard deviation of the probe on each input and ν that of the defence's
noise; their names are ``probe`` and ``sigma``, and α = ν/μ.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from querytax.montecarlo import second_moment as moment_drawn
from querytax.montecarlo import sign_bound as sign_drawn
from querytax.montecarlo import smoothing as smoothing_drawn
from querytax.montecarlo.runs import Experiment
from querytax.papers import rows
from querytax.theory import second_moment, sign_bound, smoothing
from querytax.validation._samples import Normals, drawn
from querytax.validation._tables import tabled
from querytax.validation.claim import (
    Claim,
    Form,
    Point,
    Simulated,
    Unavailable,
    at,
)
from querytax.validation.rnd_2021_descent import descent
from querytax.validation.rnd_2021_estimate import definition, exact_moment, half_bent

__all__ = ["SEARCH"]

_PAPER = "rnd-2021"


def _after_averaging(
    measure: str, dimension: int, probe: float, sigma: float, repeats: int
) -> Experiment:
    """Theorem 2 on a linear loss: descent on a ball, or one estimate's mean square."""
    if measure == "moment":
        return moment_drawn.linear(1.0, probe, sigma, dimension, repeats)
    return descent("gradient", dimension, 1.0, 4, probe, sigma)


def _theorem_2(
    measure: str, dimension: int, probe: float, sigma: float, repeats: int
) -> float:
    """At L₁ = 0, where of the bracket L₁ times one term is left."""
    if measure == "moment":
        return dimension**2 * (1.0 + 4.0 * (sigma / probe) ** 2 / repeats)
    return 1.0 / 4.0


def _true_2(
    measure: str,
    dimension: int,
    probe: float,
    sigma: float,
    repeats: int,
    share: float = 1.0,
) -> float:
    if measure == "moment":
        sigma *= math.sqrt(share)
        return float(
            second_moment.smooth_bound(1.0, 0.0, probe, sigma, dimension, repeats)
        )
    return share


def _widened(
    slope: float, bend: float, dimension: int, probe: float, sigma: float
) -> Experiment:
    """How much the squared estimate grows when the probe does by a half."""

    def value(normals: Normals) -> Any:
        u = np.hstack([normals(j) for j in range(dimension // 2)])
        v = np.hstack([normals(dimension + j) for j in range(dimension // 2)])
        w = np.hstack([normals(2 * dimension + j) for j in range(dimension // 2)])

        def loss(x: Any) -> Any:
            return slope * x[:, 0] + 0.5 * bend * np.square(x).sum(axis=1)

        def square(width: float) -> Any:
            change = loss(width * u + sigma * v) - loss(sigma * w)
            return np.square(change / width)

        rise = square(1.5 * probe) - square(probe)
        return rise * np.square(u).sum(axis=1)

    arguments = {"slope": slope, "bend": bend, "dimension": dimension}
    arguments |= {"probe": probe, "sigma": sigma}
    return drawn(f"{_PAPER}/n19", arguments, value, cost=1.5 * dimension)


def _growth(
    slope: float, bend: float, dimension: int, probe: float, sigma: float
) -> float:
    width = np.array([1.5 * probe, probe])
    square = second_moment.quadratic(
        slope, dimension * bend, math.sqrt(dimension) * bend, width, sigma, dimension
    )
    return float(square[0] - square[1])


def _net_flips(margin: float, spread: float, sigma: float) -> Experiment:
    """Right answers that noise on normal margins turns wrong, less those it mends."""

    def value(normals: Normals) -> Any:
        z = normals(0)
        clean = margin + spread * z[:, 0]
        return (clean > 0.0) * 1.0 - (clean + sigma * z[:, 1] > 0.0)

    arguments = {"margin": margin, "spread": spread, "sigma": sigma}
    return drawn(f"{_PAPER}/n18", arguments, value, low=-1.0, high=1.0)


def _net_loss(margin: float, spread: float, sigma: float) -> float:
    clean, noisy = margin / spread, margin / math.hypot(spread, sigma)
    return float(special.ndtr(clean) - special.ndtr(noisy))


def _step_size(dimension: int, probe: float, gradient_norm: float) -> Experiment:
    """Size of a linear loss's change by a probe, its gradient along the first input.

    All inputs are drawn, as the probe draws them.
    """

    def value(normals: Normals) -> Any:
        u = np.hstack([normals(j) for j in range((dimension + 1) // 2)])
        gradient = np.zeros(u.shape[1])
        gradient[0] = gradient_norm
        return np.abs(probe * u @ gradient)

    arguments = {"dimension": dimension, "probe": probe}
    arguments["gradient_norm"] = gradient_norm
    cost = 0.5 * dimension + 0.5
    return drawn(f"{_PAPER}/n26", arguments, value, cost=cost, low=0.0)


def _turned(
    loss: str, difference: float, dimension: int, sigma: float, apart: float
) -> Experiment:
    if loss == "cusp":
        return sign_drawn.cusp(difference, apart, sigma, dimension)
    return sign_drawn.linear(difference, 1.0, sigma)


def _shrinking() -> float:
    """Share of the attacks that gain by M = 5, and then less by M = 10."""
    found: dict[tuple[str, ...], list[float]] = {}
    for row in rows(_PAPER, "table-eot"):
        key = row["dataset"], row["query_setting"], row["attack"]
        found.setdefault(key, []).append(float(row["failure_rate"]))
    falls = [(1.0 - m5 / m1, 1.0 - m10 / m5) for m1, m5, m10 in found.values()]
    return sum(first > max(second, 0.0) for first, second in falls) / len(falls)


def _best_cells() -> float:
    """Cells of table 2 with RND-AT above every method and RND-GF above RND."""
    count = 0
    table = [row for row in rows(_PAPER, "table-2") if row["attack"] != "none"]
    for cell in {(row["dataset"], row["attack"]) for row in table}:
        rates = {
            row["method"]: float(row["failure_rate"])
            for row in table
            if (row["dataset"], row["attack"]) == cell
        }
        best = max(rates, key=lambda method: rates[method]) == "RND-AT"
        count += best and rates["RND-GF"] > rates["RND"]
    return float(count)


SEARCH: tuple[Claim, ...] = (
    Claim(
        id=f"{_PAPER}/n17",
        statement="Noise moves the loss by at most its mean length.",
        kind="upper bound",
        topic="smoothing",
        source="trade-off with clean accuracy",
        printed=Form(
            "ν L √d",
            lambda lipschitz, dimension, sigma: (
                sigma * lipschitz * math.sqrt(dimension)
            ),
        ),
        corrected=Form("ν L κ_d", smoothing.smoothing_gap),
        mutant=Form(
            "√(d - 1) for κ_d",
            lambda lipschitz, dimension, sigma: (
                sigma * lipschitz * math.sqrt(dimension - 1)
            ),
        ),
        evidence=Simulated(smoothing_drawn.smoothing_gap),
        points=at("lipschitz dimension sigma", (1.0, 2, 0.3), (4.0, 100, 0.02)),
        margin=0.02,
        expected="CONFIRMED",
        note="Of a smooth loss ν² L₁ d/2 bounds it too.",
    ),
    Claim(
        id=f"{_PAPER}/n18",
        statement="Noise costs clean accuracy.",
        kind="lower bound",
        topic="boundary",
        source="trade-off with clean accuracy",
        printed=Form("loss >= 0", lambda margin, spread, sigma: 0.0),
        corrected=Form("Φ(m/s) - Φ(m/√(s² + ν²)), margins N(m, s²)", _net_loss),
        mutant=Form("twice that", lambda **rest: 2.0 * _net_loss(**rest)),
        evidence=Simulated(_net_flips),
        points=at(
            "margin spread sigma",
            (1.0, 0.7, 0.15),
            (1.0, 0.7, 0.25),
            outside=((-1.0, 0.7, 0.25),),
        ),
        margin=0.1,
        regime="near the boundary more right answers than wrong: p'(0) > 0",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "Flips of right and wrong points cancel at first order: p'(0) ν²/2 is "
            "left, quadratic in ν."
        ),
    ),
    Claim(
        id=f"{_PAPER}/n19",
        statement="A wider probe makes the estimate less accurate.",
        kind="lower bound",
        topic="second_moment",
        source="larger attack noise",
        printed=Form("mean square grows with μ", lambda **_: 0.0),
        corrected=Form("quadratic(1.5 μ) - quadratic(μ)", _growth),
        mutant=Form("twice that growth", lambda **rest: 2.0 * _growth(**rest)),
        evidence=Simulated(_widened),
        points=tuple(
            Point(
                {
                    "slope": 1.0,
                    "bend": 1.0,
                    "dimension": 4,
                    "probe": probe,
                    "sigma": sigma,
                },
                inside,
            )
            for probe, sigma, inside in (
                (0.5, 0.0, True),
                (0.8, 0.1, True),
                (0.1, 0.1, False),
            )
        ),
        margin=0.1,
        regime="μ above second_moment.minimising_probe, 0 without noise",
        expected="CONFIRMED_IN_REGIME",
        note="Below that probe the noise's part falls faster than curvature grows.",
    ),
    Claim(
        id=f"{_PAPER}/n20",
        statement="NES with a probe as wide as the noise fails almost never.",
        kind="data",
        topic="angle",
        source="slide on larger attack noise",
        evidence=Unavailable("the failure rates are in a figure only"),
        expected="INCONCLUSIVE",
        note=(
            "Consistent with the theory: 20 reflected pairs in 3072 dimensions have "
            "mean cosine 0.0794 without noise, 0.0649 at α = 1 and 0.0112 at α = 10. "
            "NES is run under paper_reproductions/rnd-2021."
        ),
    ),
    definition(
        "n21",
        "The adaptive attacker averages M differences along the same probe.",
        "second_moment",
        "eq. (13)",
    ),
    Claim(
        id=f"{_PAPER}/n22",
        statement="For smooth losses averaging lowers a bound on the gradient.",
        kind="upper bound",
        topic="stationarity",
        source="Theorem 2, eq. (14)",
        printed=Form(
            "L R/Ση on the mean squared gradient, η = 1 and Q = 3; d² (1 + 4 α²/M) on "
            "the estimate's mean square; both at L₁ = 0, L = R = 1",
            _theorem_2,
        ),
        corrected=Form("L²; (d + 2) L² + 2 α² d L²/M", _true_2),
        mutant=Form(
            "L²/2; half of what noise adds",
            lambda **rest: _true_2(**rest, share=0.5),
        ),
        evidence=Simulated(_after_averaging),
        points=tuple(
            Point(
                {
                    "measure": measure,
                    "dimension": dimension,
                    "probe": 0.1,
                    "sigma": sigma,
                    "repeats": repeats,
                }
            )
            for measure, dimension, sigma, repeats in (
                ("gradient", 2, 0.0, 1),
                ("moment", 20, 0.2, 4),
            )
        ),
        margin=0.05,
        expected="REFUTED",
        note=(
            "Under projection a linear loss keeps its gradient, while the bound falls "
            "to 0. Of the mean square the first term lacks d (d + 2), the second is "
            "2 d times too wide, and the last two are not needed."
        ),
    ),
    Claim(
        id=f"{_PAPER}/n23",
        statement="For large M the quartic term of the noise stays, so averaging ends.",
        kind="approximation",
        topic="second_moment",
        source="after Theorem 2",
        printed=Form(
            "the mean square falls by (M + 1)/(2M)",
            lambda repeats, **rest: (
                exact_moment(repeats=1, **rest) * (repeats + 1.0) / (2.0 * repeats)
            ),
        ),
        corrected=Form("each term in ν carries 1/M", exact_moment),
        mutant=Form(
            "1/√M",
            lambda repeats, **rest: exact_moment(repeats=repeats**0.5, **rest),
        ),
        evidence=Simulated(half_bent),
        points=tuple(
            Point(
                {
                    "slope": 0.1,
                    "bend": 1.0,
                    "dimension": 4,
                    "probe": 0.1,
                    "sigma": 1.0,
                    "repeats": repeats,
                }
            )
            for repeats in (1, 4, 16)
        ),
        margin=0.05,
        expected="REFUTED",
        note=(
            "The limit's algebra is right; its term comes of two smoothing biases "
            "that in fact cancel. At M = ∞ nothing of ν is left."
        ),
    ),
    tabled(
        _shrinking,
        "table-eot",
        id=f"{_PAPER}/n24",
        statement="Each further repeat helps the attacker less.",
        kind="lower bound",
        topic="data",
        source="figure of the repeats",
        printed=Form("generally: in more than half of the attacks", lambda: 0.5),
        corrected=Form("14 of 18", lambda: 14.0 / 18.0),
        mutant=Form("in all of them", lambda: 1.0),
        points=(Point({}),),
        margin=0.01,
        expected="CONFIRMED",
        note=(
            "Four rows get worse with M, which a bound that falls with M cannot "
            "explain: ECO twice, NES and ZS on ImageNet at a fixed budget."
        ),
    ),
    Claim(
        id=f"{_PAPER}/n25",
        statement="Noise turns the sign of a change of that size at most this often.",
        kind="upper bound",
        topic="sign_bound",
        source="Theorem 3, eq. (16)",
        printed=Form(
            "2 L ν √d/|h|, L = 1",
            lambda loss, difference, dimension, sigma, apart: (
                2.0 * sigma * math.sqrt(dimension) / difference
            ),
        ),
        corrected=Form(
            "min(1, 2 L ν κ_d/|h|)",
            lambda loss, difference, dimension, sigma, apart: sign_bound.markov(
                difference, 1.0, sigma, dimension
            ),
        ),
        mutant=Form(
            "L ν κ_d/|h|",
            lambda loss, difference, dimension, sigma, apart: sign_bound.markov(
                2.0 * difference, 1.0, sigma, dimension
            ),
        ),
        evidence=Simulated(_turned),
        points=tuple(
            Point(
                {
                    "loss": loss,
                    "difference": difference,
                    "dimension": dimension,
                    "sigma": 1.0,
                    "apart": 30.0,
                }
            )
            for loss, difference, dimension in (
                ("cusp", 26.2, 200),
                ("linear", 2.0, 1),
                ("linear", 2.0, 200),
            )
        ),
        margin=0.05,
        expected="CONFIRMED",
        note=(
            "It says nothing in practice: about a random direction it is 164 at "
            "d = 3072 and α = 1, where a linear loss flips in 0.30 of them. Two "
            "cusps come near it; past 2 L ν κ_d the chance falls like a Gaussian."
        ),
    ),
    Claim(
        id=f"{_PAPER}/n26",
        statement="A small probe changes the loss in proportion to its length.",
        kind="approximation",
        topic="misstep",
        source="Remark 2",
        printed=Form(
            "E|h| = C μ E‖u‖, C the slope G, as it is in one dimension",
            lambda dimension, probe, gradient_norm: (
                gradient_norm * probe * smoothing.mean_norm(dimension)
            ),
        ),
        corrected=Form(
            "G μ √(2/π)",
            lambda dimension, probe, gradient_norm: (
                gradient_norm * probe * smoothing.mean_norm(1)
            ),
        ),
        mutant=Form(
            "without √(2/π)",
            lambda dimension, probe, gradient_norm: gradient_norm * probe,
        ),
        evidence=Simulated(_step_size),
        points=tuple(
            Point({"dimension": dimension, "probe": 0.1, "gradient_norm": 2.0})
            for dimension in (1, 20)
        ),
        margin=0.05,
        expected="REFUTED",
        note=(
            "A random direction sees one coordinate of the gradient, 1/√d of it. "
            "That the chance of a flip grows with α is right: arctan(√2 α)/π."
        ),
    ),
    definition(
        "n27",
        "Fine-tuning takes the logarithm of the mean output under noise.",
        "data",
        "Gaussian augmentation fine-tuning",
    ),
    tabled(
        _best_cells,
        "table-2",
        id=f"{_PAPER}/n28",
        statement=(
            "Adversarial training with noise has the most failed attacks in all 14 "
            "cells, and noise is better after fine-tuning in all."
        ),
        kind="data",
        topic="data",
        source="table 2",
        printed=Form("14 cells", lambda: 14.0),
        mutant=Form("13 cells", lambda: 13.0),
        points=(Point({}),),
        margin=0.01,
        expected="CONFIRMED",
        note="Not a controlled comparison: ν is 0.02 without and 0.05 with tuning.",
    ),
)
