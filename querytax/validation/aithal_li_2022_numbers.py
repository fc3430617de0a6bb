"""Claims of Aithal & Li (2022): equations (40) to (68), and what the text asserts.

Numbers are held against the paper's own tables, and what follows from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from querytax.montecarlo import bias as drawn_bias
from querytax.montecarlo import directions as drawn_directions
from querytax.montecarlo import estimators as drawn_estimators
from querytax.montecarlo import log_ratio as drawn_logs
from querytax.montecarlo import margin as drawn_margins
from querytax.montecarlo.runs import Experiment
from querytax.papers import number, text
from querytax.theory import bias, directions, estimators, log_ratio, repeats, snr
from querytax.validation._samples import Normals, drawn
from querytax.validation._tables import tabled
from querytax.validation.aithal_li_2022_autozoom import AUTOZOOM, relative_sigma
from querytax.validation.aithal_li_2022_rates import RATES
from querytax.validation.aithal_li_2022_repeats import REPEATS
from querytax.validation.claim import (
    Claim,
    Form,
    Point,
    Simulated,
    at,
)

__all__ = ["NUMBERS"]

KEY = "aithal-li-2022"
MODELS = {"MNIST": "MNIST", "CIFAR10": "CIFAR10", "IMAGENET": "IMAGENET (InceptionV3)"}
# Section IV-A: aλ = 0.2, η/v0 = 0.01, ε = 0.01.
CONTRACTION, REMAINING, ERROR = 0.2, 0.01, 0.01
NOISELESS = {"MNIST": 1e3, "CIFAR10": 1e3, "IMAGENET": 1e5}
NOTHING = (Point({}),)
BY_MODEL = tuple(Point({"model": model}) for model in MODELS)


def _table_1(model: str, name: str) -> float:
    return number(KEY, "table-1", name, model=MODELS[model])


def _decision_snr(model: str, sigma: float, widened: float = 1.0) -> float:
    """Lemma 1 for F1 near F2, with the mean difference of table 1."""
    change = widened * _table_1(model, "mean_delta_f_t")
    return change**2 / (2.0 * sigma**2)


def _steps(s: float) -> float:
    """Steps until a sum of N(a, a²/S) passes (1 - η/v0)/λ but for a chance ε."""
    distance = (1.0 - REMAINING) / CONTRACTION

    def excess(log_steps: float) -> float:
        n = math.exp(log_steps)
        return float(special.ndtr((distance - n) / math.sqrt(n / s))) - ERROR

    return math.exp(optimize.brentq(excess, 0.0, 90.0, xtol=1e-13))


def _ratio(model: str, sigma: float, halved: float = 1.0) -> float:
    """R of (6): steps over those without noise."""
    s = _decision_snr(model, sigma) * halved
    return _steps(s) * CONTRACTION / (1.0 - REMAINING)


def _one_digit(value: float) -> float:
    return float(f"{value:.0e}")


def _quoted(claim: str, what: str) -> Callable[..., float]:
    return lambda model: text(f"{KEY}/{claim}", f"{what}, {model}")


def _change(width: float) -> float:
    """F(β) - F(-β) of a logistic output."""
    return math.tanh(width / 2.0)


def _probe_experiment(width: float, sigma: float) -> Experiment:
    return drawn_estimators.outputs_first(_change(width), sigma, 1)


def _threshold_sigma(count: int, error: float) -> float:
    """Noise at which so many repeats leave the sign wrong with that chance."""
    change = 0.2 * -math.expm1(-0.02)
    return change * math.sqrt(count / 2.0) / -float(special.ndtri(error))


def _threshold_experiment(count: int, error: float, threshold: float) -> Experiment:
    """Whether the estimate of a, outputs first, lies below a share of a."""
    sigma = _threshold_sigma(count, error)

    def value(normals: Normals) -> npt.ArrayLike:
        one: Any = 0.0
        two: Any = 0.0
        for step in range(count):
            v = sigma * normals(step)
            one = one + 0.2 + v[:, 0]
            two = two + 0.2 * math.exp(-0.02) + v[:, 1]
        return np.asarray(np.log(np.abs(one / two)) < threshold * 0.02)

    arguments = {"count": count, "error": error, "threshold": threshold}
    return drawn(f"{KEY}/c12", arguments, value, cost=count, event=True)


def _relabelled(rivals: int, sigma: float) -> Experiment:
    """Whether the label changes, the gap to equal rivals anywhere from 0 to 1."""

    def value(normals: Normals) -> npt.ArrayLike:
        own, other = normals(0).T
        gap = special.ndtr(normals(1)[:, 0])
        # The greatest of n normals, by its distribution Φⁿ.
        best = special.ndtri_exp(special.log_ndtr(other) / rivals)
        return np.asarray(gap + sigma * own < sigma * best)

    arguments = {"rivals": rivals, "sigma": sigma}
    return drawn(f"{KEY}/c14", arguments, value, cost=2.0, event=True)


def _logit_experiment(margin: float, change: float, sigma: float) -> Experiment:
    """Squared error of the log ratio's change, two classes with noisy logits."""

    def value(normals: Normals) -> npt.ArrayLike:
        seen = []
        for step, clean in enumerate((margin, margin + change)):
            v = sigma * normals(step)
            logits = clean + v[:, 0] - v[:, 1]
            seen.append(special.log_expit(logits) - special.log_expit(-logits))
        return np.asarray(np.square(seen[1] - seen[0] - change))

    arguments = {"margin": margin, "change": change, "sigma": sigma}
    return drawn(f"{KEY}/c34", arguments, value, cost=2.0, low=0.0)


def _logit_printed(margin: float, change: float, sigma: float) -> float:
    here, ahead = special.expit(margin), special.expit(margin + change)
    one = relative_sigma(here, 1.0 - here, sigma)
    two = relative_sigma(ahead, 1.0 - ahead, sigma)
    return float(one**2 + two**2)


def _queries(mean_square: float, sigma: float) -> float:
    """Two for each pair of (38), at the SNR of that mean square difference."""
    return 2.0 * _steps(mean_square / (2.0 * sigma**2))


def _spread_square(model: str, widened: float, form: str) -> float:
    """Mean difference squared, or mean square difference, of table 1."""
    mean = _table_1(model, "mean_delta_f_t") * widened
    sd = _table_1(model, "std_delta_f_t") * widened
    return mean**2 + (sd**2 if form == "mean square" else 0.0)


def _imagenet_queries(widened: float, form: str) -> float:
    return _queries(_spread_square("IMAGENET", widened, form), 0.01)


def _imagenet_law(widened: float, form: str, factor: float = 1.0) -> float:
    s = snr.output(_spread_square("IMAGENET", widened, form), 0.01)
    return 2.0 * factor * float(repeats.fixed(s, ERROR))


def _unchanged_query_ratio(model: str, widened: float) -> float:
    """Least ratio of an NES attack: 1 + 1/S, S from the mean square difference."""
    return 1.0 + 2.0 * 0.01**2 / _spread_square(model, widened, "mean square")


def _budget(model: str, form: str) -> float:
    """Queries at the noise of section IV-A, by (6) or by one lump of steps."""
    sigma = text(f"{KEY}/c10", f"noise that stops the budget, {model}")
    if form == "ratio":
        return _ratio(model, sigma) * NOISELESS[model]
    return 2.0 * _steps(_decision_snr(model, sigma))


TEXT: tuple[Claim, ...] = (
    tabled(
        _unchanged_query_ratio,
        "table 1",
        id=f"{KEY}/c1",
        statement="Noise of 0.01 raises the query count by orders of magnitude.",
        kind="lower bound",
        topic="query_ratio",
        source="abstract; section I",
        printed=Form("at least two orders", lambda model, widened: 100.0),
        mutant=Form("at least three orders", lambda model, widened: 1000.0),
        points=(
            *(Point({"model": model, "widened": 1.0}) for model in MODELS),
            Point({"model": "CIFAR10", "widened": 30.0}, inside=False),
        ),
        regime="an attacker who keeps the published probe",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "Ratios 1 + 1/S with the mean square difference of table 1: 2e4, 193, 2e8. "
            "A probe that widens the difference k-fold divides S^-1 by k²."
        ),
    ),
    Claim(
        id=f"{KEY}/c3",
        statement="Weak noise, σ << 1, is enough for the log of z to be z - 1.",
        kind="approximation",
        topic="log_ratio",
        source="section III-A, definition 1",
        printed=Form(
            "Var = σ²(1/F1² + 1/F2²)",
            lambda output, other_output, sigma: (
                relative_sigma(output, other_output, sigma) ** 2
            ),
        ),
        evidence=Simulated(drawn_logs.variance),
        corrected=Form("V(F1/σ) + V(F2/σ)", log_ratio.variance),
        mutant=Form(
            "one output's alone",
            lambda output, other_output, sigma: (
                0.5 * log_ratio.variance(output, output, sigma)
            ),
        ),
        points=at(
            "output other_output sigma",
            (3e-4, 3e-4, 0.01),
            (1.1e-3, 9e-4, 0.01),
            (0.5, 0.4, 0.01),
        ),
        margin=0.05,
        expected="REFUTED",
        note="The condition is σ << F_t, met by the last point alone.",
    ),
    Claim(
        id=f"{KEY}/c4",
        statement="Queries grow in proportion to σ/ΔF.",
        kind="exact",
        topic="repeats",
        source="section III-B",
        printed=Form(
            "noise and pairs k-fold: the same errors",
            lambda gap, sigma, factor: float(
                special.ndtr(-gap / (math.sqrt(2.0) * sigma))
            ),
        ),
        evidence=Simulated(
            lambda gap, sigma, factor: drawn_estimators.outputs_first(
                gap, factor * sigma, factor
            )
        ),
        corrected=Form(
            "Φ(-ΔF/(√(2k) σ))",
            lambda gap, sigma, factor: estimators.outputs_first(
                gap, factor * sigma, factor
            ),
        ),
        mutant=Form(
            "k for √k",
            lambda gap, sigma, factor: estimators.outputs_first(gap, factor * sigma, 1),
        ),
        points=at("gap sigma factor", (0.01, 0.01, 4), (0.01, 0.005, 10)),
        margin=0.05,
        expected="REFUTED",
        note="With its square: ten times the noise, a hundred times the pairs.",
    ),
    Claim(
        id=f"{KEY}/c5",
        statement="The SNR is low because a small probe amplifies the noise.",
        kind="approximation",
        topic="snr",
        source="section III-B",
        printed=Form(
            "Φ(-√S), S = (2β F')²/(2σ²)",
            lambda width, sigma: float(
                special.ndtr(-width / (2.0 * math.sqrt(2.0) * sigma))
            ),
        ),
        evidence=Simulated(_probe_experiment),
        mutant=Form(
            "β for 2β",
            lambda width, sigma: float(
                special.ndtr(-width / (4.0 * math.sqrt(2.0) * sigma))
            ),
        ),
        points=at("width sigma", (0.1, 0.1), (0.2, 0.1), outside=((4.0, 0.7),)),
        margin=0.05,
        regime="outputs linear over the probe",
        expected="CONFIRMED_IN_REGIME",
        note="The probe itself cancels: it acts through the difference of the outputs.",
    ),
    tabled(
        lambda: _imagenet_queries(1.0, "mean"),
        "table 1",
        id=f"{KEY}/c6",
        statement="Attacking IMAGENET takes 1e15 queries.",
        kind="lower bound",
        topic="query_ratio",
        source="section III-B",
        printed=Form("1e15", lambda: text(f"{KEY}/c6", "queries needed on IMAGENET")),
        corrected=Form("2 q²/S", lambda: _imagenet_law(1.0, "mean")),
        mutant=Form("4 q²/S", lambda: _imagenet_law(1.0, "mean", 2.0)),
        points=NOTHING,
        margin=0.05,
        expected="REFUTED",
        note=(
            "The model's own steps are q²/S in all, 9e11 queries; its ratio times an "
            "unrelated noiseless count is 1e4 times that."
        ),
    ),
    tabled(
        lambda model: 10.0 * math.log10(_decision_snr(model, 0.01)),
        "table 1",
        id=f"{KEY}/c7",
        statement="SNR of the factor at σ = 0.01, by Lemma 1.",
        kind="data",
        topic="snr",
        source="section IV-A",
        printed=Form("-66, -34, -106 dB", _quoted("c7", "gradient SNR")),
        corrected=Form(
            "ΔF²/(2σ²): -69.0, -37.0, -109.0 dB",
            lambda model: (
                10.0
                * math.log10(snr.output(_table_1(model, "mean_delta_f_t") ** 2, 0.01))
            ),
        ),
        mutant=Form(
            "ΔF²/(4σ²)",
            lambda model: 10.0 * math.log10(_decision_snr(model, 0.01) / 2.0),
        ),
        points=BY_MODEL,
        margin=0.01,
        expected="REFUTED",
        note="The printed ones are ΔF²/σ²: Lemma 1's factor 2 is left out.",
    ),
    tabled(
        lambda model: _one_digit(_ratio(model, 0.01)),
        "table 1",
        id=f"{KEY}/c8",
        statement="Query ratio of (6) at σ = 0.01.",
        kind="data",
        topic="query_ratio",
        source="section IV-A",
        printed=Form("9e6, 5e3, 9e10", _quoted("c8", "query ratio")),
        mutant=Form(
            "at the printed SNR",
            lambda model: _one_digit(_ratio(model, 0.01, 2.0)),
        ),
        points=BY_MODEL,
        margin=0.01,
        expected="CONFIRMED",
        note="Arithmetic alone, and with the factor 2 that the printed SNRs lack.",
    ),
    tabled(
        lambda model: math.floor(math.log10(_ratio(model, 0.01) * NOISELESS[model])),
        "table 1",
        id=f"{KEY}/c9",
        statement="Queries at σ = 0.01: 1e6 to 1e15.",
        kind="data",
        topic="query_ratio",
        source="section IV-A",
        printed=Form(
            "decade of the least and the most",
            lambda model: math.log10(
                text(
                    f"{KEY}/c9",
                    "noisy queries, " + ("most" if model == "IMAGENET" else "least"),
                )
            ),
        ),
        mutant=Form(
            "1e5 noiseless queries everywhere",
            lambda model: math.floor(math.log10(_ratio(model, 0.01) * 1e5)),
        ),
        points=at("model", ("CIFAR10",), ("IMAGENET",)),
        margin=1e-6,
        expected="CONFIRMED",
        note="Arithmetic alone: ratio times noiseless count is no query count.",
    ),
    tabled(
        _budget,
        "table 1",
        id=f"{KEY}/c10",
        statement="σ = 0.001, 0.01 and 0.0001 stop an attacker with 1e6 queries.",
        kind="lower bound",
        topic="query_ratio",
        source="section IV-A",
        printed=Form("1e6", lambda model, form: 1e6),
        mutant=Form("1e7", lambda model, form: 1e7),
        points=(
            *(Point({"model": model, "form": "ratio"}) for model in MODELS),
            Point({"model": "MNIST", "form": "steps"}, inside=False),
            Point({"model": "CIFAR10", "form": "steps"}, inside=False),
        ),
        regime="the printed ratio times the noiseless count",
        expected="CONFIRMED_IN_REGIME",
        note="The model's own steps come to 9e5 and 5e4 queries on the small datasets.",
    ),
    Claim(
        id=f"{KEY}/c11",
        statement="From σ = 1e-4 on no number of repeats shows the sign at 70 %.",
        kind="lower bound",
        topic="repeats",
        source="section IV-A, figure 3(b)",
        printed=Form("wrong in 0.3 at least", lambda gap, sigma, pairs: 0.3),
        evidence=Simulated(drawn_estimators.outputs_first),
        corrected=Form("Φ(-√N ΔF/(√2 σ))", estimators.outputs_first),
        mutant=Form(
            "N/2 pairs",
            lambda gap, sigma, pairs: estimators.outputs_first(gap, sigma, pairs // 2),
        ),
        points=at("gap sigma pairs", (5e-6, 1e-4, 400), (2e-4, 1e-3, 60)),
        margin=0.05,
        expected="REFUTED",
        note="Mean differences of MNIST and CIFAR10. The estimator (57) is at fault.",
    ),
    Claim(
        id=f"{KEY}/c12",
        statement="Caption: repeats for an estimate below 0.3 with chance 0.3.",
        kind="exact",
        topic="repeats",
        source="figure 3(b), caption",
        printed=Form(
            "P(estimate < 0.3 a) = ε",
            lambda count, error, threshold: error,
        ),
        evidence=Simulated(_threshold_experiment),
        corrected=Form(
            "Φ((1 - share) q)",
            lambda count, error, threshold: float(
                special.ndtr((1.0 - threshold) * special.ndtri(error))
            ),
        ),
        mutant=Form(
            "Φ((1 - share)² q)",
            lambda count, error, threshold: float(
                special.ndtr((1.0 - threshold) ** 2 * special.ndtri(error))
            ),
        ),
        points=at("count error threshold", (16, 0.3, 0.3), (16, 0.3, 0.0)),
        margin=0.03,
        expected="REFUTED",
        note="Theorem 4 has threshold 0; its repeats leave 0.36 below 0.3 a.",
    ),
    tabled(
        lambda model, used: (
            math.log(
                (_table_1(model, "mean_f_t") + _table_1(model, "mean_delta_f_t") / 2.0)
                / (
                    _table_1(model, "mean_f_t")
                    - _table_1(model, "mean_delta_f_t") / 2.0
                )
            )
            / _table_1(model, "beta")
        ),
        "table 1",
        id=f"{KEY}/c13",
        statement="The factor a is 0.1 in the query ratio and 1 in the repeats.",
        kind="data",
        topic="log_ratio",
        source="section IV-A",
        printed=Form(
            "0.1; 1", lambda model, used: text(f"{KEY}/c13", f"a in the {used}")
        ),
        corrected=Form(
            "ΔF/(βF): 12.5, 200, 16.7",
            lambda model, used: (
                _table_1(model, "mean_delta_f_t")
                / (_table_1(model, "beta") * _table_1(model, "mean_f_t"))
            ),
        ),
        mutant=Form(
            "ΔF/(2βF)",
            lambda model, used: (
                _table_1(model, "mean_delta_f_t")
                / (2.0 * _table_1(model, "beta") * _table_1(model, "mean_f_t"))
            ),
        ),
        points=tuple(
            Point({"model": model, "used": used})
            for model in MODELS
            for used in ("query ratio", "repeated queries")
        ),
        margin=0.02,
        expected="REFUTED",
    ),
    Claim(
        id=f"{KEY}/c14",
        statement="Noise up to 0.02 costs almost no accuracy.",
        kind="upper bound",
        topic="accuracy",
        source="section IV-A, figure 2(a)",
        printed=Form("at most two points", lambda rivals, sigma: 0.02),
        evidence=Simulated(_relabelled),
        mutant=Form("at most half a point", lambda rivals, sigma: 0.005),
        points=at("rivals sigma", (1, 0.02), outside=((999, 0.02),)),
        margin=0.05,
        regime="one rival, gaps spread evenly from 0 to 1",
        expected="CONFIRMED_IN_REGIME",
        note="σ/√π of the labels change for each unit of the gaps' density at 0.",
    ),
    tabled(
        _imagenet_queries,
        "table 1",
        id=f"{KEY}/c20",
        statement="By all means over 1e15 queries break the defence on IMAGENET.",
        kind="lower bound",
        topic="query_ratio",
        source="section IV-B1",
        printed=Form(
            "1e15",
            lambda widened, form: text(
                f"{KEY}/c20", "queries to break the defence on IMAGENET, over"
            ),
        ),
        corrected=Form("2 q²/S", _imagenet_law),
        mutant=Form("4 q²/S", lambda widened, form: _imagenet_law(widened, form, 2.0)),
        points=at("widened form", (1.0, "mean"), (1.0, "mean square"), (100.0, "mean")),
        margin=0.05,
        expected="REFUTED",
        note=(
            "9e11 with the mean difference, 2e9 with its mean square, 9e7 with the "
            "probe that the attack in fact uses; 2e13 if 1e5 queries grow by 1 + 1/S."
        ),
    ),
    Claim(
        id=f"{KEY}/c27",
        statement="A larger probe lowers the SNR of the factor.",
        kind="lower bound",
        topic="snr",
        source="section III-D",
        printed=Form(
            "wrong signs of the probe 0.1",
            lambda width, sigma: float(
                special.ndtr(-_change(0.1) / (math.sqrt(2.0) * sigma))
            ),
        ),
        evidence=Simulated(_probe_experiment),
        corrected=Form(
            "Φ(-ΔF(β)/(√2 σ))",
            lambda width, sigma: estimators.outputs_first(_change(width), sigma, 1),
        ),
        mutant=Form(
            "2σ for √2 σ",
            lambda width, sigma: float(special.ndtr(-_change(width) / (2.0 * sigma))),
        ),
        points=at("width sigma", (0.4, 0.2), (2.0, 0.5)),
        margin=0.05,
        expected="REFUTED",
        note="It raises the bias, and the SNR until the outputs saturate.",
    ),
    Claim(
        id=f"{KEY}/c28",
        statement="The mean of gradients along many random directions may go to zero.",
        kind="exact",
        topic="directions",
        source="section III-D",
        printed=Form(
            "squared error G², all of the gradient",
            lambda gradient_norm, dimension, probe, sigma, queries: gradient_norm**2,
        ),
        evidence=Simulated(
            lambda **at: drawn_directions.spread(differences="antithetic", **at)
        ),
        corrected=Form(
            "(2/N)(G²(d+1) + d G² σ²/(2μ²))",
            lambda **at: directions.spread(differences="antithetic", **at),
        ),
        mutant=Form(
            "1/N for 2/N",
            lambda **at: 0.5 * directions.spread(differences="antithetic", **at),
        ),
        points=tuple(
            Point(
                {
                    "gradient_norm": 1.0,
                    "dimension": 4,
                    "probe": 0.1,
                    "sigma": 0.1,
                    "queries": queries,
                }
            )
            for queries in (60, 240)
        ),
        margin=0.05,
        expected="REFUTED",
        note="It goes to the gradient; the squared error falls as 1/N, to 0.",
    ),
    Claim(
        id=f"{KEY}/c29",
        statement="SimBA's choice of a step carries relative noise σ²/P².",
        kind="exact",
        topic="misstep",
        source="section III-C",
        printed=Form("Φ(-ΔP/σ)", lambda gap, sigma: float(special.ndtr(-gap / sigma))),
        evidence=Simulated(
            lambda gap, sigma: drawn_estimators.outputs_first(gap, sigma, 1)
        ),
        corrected=Form(
            "Φ(-ΔP/(√2 σ))",
            lambda gap, sigma: estimators.outputs_first(gap, sigma, 1),
        ),
        mutant=Form(
            "Φ(-ΔP/(2σ))", lambda gap, sigma: float(special.ndtr(-gap / (2.0 * sigma)))
        ),
        points=at("gap sigma", (0.01, 0.01), (0.002, 0.005)),
        margin=0.03,
        expected="REFUTED",
        note="It compares two noisy answers: twice the variance.",
    ),
    Claim(
        id=f"{KEY}/c30",
        statement="GenAttack's choice of a sample carries relative noise σ²/F².",
        kind="approximation",
        topic="log_ratio",
        source="section III-C",
        printed=Form(
            "σ²/F²", lambda output, other_output, sigma: (sigma / output) ** 2
        ),
        evidence=Simulated(drawn_logs.variance),
        corrected=Form("V(F1/σ) + V(F2/σ)", log_ratio.variance),
        mutant=Form(
            "4σ²/F²",
            lambda output, other_output, sigma: 4.0 * (sigma / output) ** 2,
        ),
        points=at("output other_output sigma", (0.1, 0.1, 0.005), (0.3, 0.29, 0.02)),
        margin=0.05,
        expected="REFUTED",
        note="Two noisy answers are compared: twice the variance.",
    ),
    Claim(
        id=f"{KEY}/c31",
        statement="Hard labels are analysed alike: noise turns a comparison's sign.",
        kind="exact",
        topic="margin",
        source="section III-C",
        printed=Form(
            "Φ(-δ/(√2 σ))",
            lambda gap, rivals, sigma: float(
                special.ndtr(-gap / (math.sqrt(2.0) * sigma))
            ),
        ),
        evidence=Simulated(drawn_margins.tied_rivals),
        mutant=Form(
            "Φ(-δ/σ)", lambda gap, rivals, sigma: float(special.ndtr(-gap / sigma))
        ),
        points=at(
            "gap rivals sigma",
            (0.01, 1, 0.01),
            (0.02, 1, 0.01),
            outside=((0.02, 9, 0.01),),
        ),
        margin=0.03,
        regime="two classes near the boundary",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "Noise also makes a hard label speak of its margin: 1/(πσ²) of Fisher "
            "information a query on the boundary."
        ),
    ),
    Claim(
        id=f"{KEY}/c32",
        statement="Folded at 0 and clipped at 1, the noise is the one analysed.",
        kind="approximation",
        topic="bias",
        source="section IV-B",
        printed=Form("mean output F", lambda output, sigma: output),
        evidence=Simulated(drawn_bias.reflected_mean),
        corrected=Form("E|F + v|", bias.reflected_mean),
        mutant=Form("clipped for folded", bias.clipped_mean),
        points=at("output sigma", (3e-4, 0.01), (4e-4, 1e-3), (0.05, 0.01)),
        margin=0.02,
        expected="REFUTED",
        note=(
            "Folding lifts 1,000 small outputs to a sum of 8, and leaves 2F²/σ² of "
            "the information on them."
        ),
    ),
    Claim(
        id=f"{KEY}/c34",
        statement="The logits that carry the noise lie in [0, 1].",
        kind="exact",
        topic="snr",
        source="sections III-A and IV-B",
        printed=Form("noise variance of the log ratio: σ² Σ 1/F²", _logit_printed),
        evidence=Simulated(_logit_experiment),
        corrected=Form(
            "4σ², whatever the logits",
            lambda margin, change, sigma: (
                change**2 / snr.output_logits(change**2, sigma)
            ),
        ),
        mutant=Form("2σ²", lambda margin, change, sigma: 2.0 * sigma**2),
        points=at("margin change sigma", (0.0, 0.1, 0.1), (2.0, 0.1, 0.5)),
        margin=0.05,
        expected="REFUTED",
        note="They are softmax probabilities. On true logits the noise is normal.",
    ),
)

_IN_ORDER = sorted((*TEXT, *RATES), key=lambda claim: int(claim.id.rpartition("c")[2]))
NUMBERS: tuple[Claim, ...] = (*AUTOZOOM, *REPEATS, *_IN_ORDER)
