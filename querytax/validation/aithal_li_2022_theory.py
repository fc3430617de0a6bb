"""Claims of Aithal & Li (IEEE Access 2022): definition, theorems, lemmas, remarks.

F1 and F2 are the target's outputs at x - βu and x + βu, σ the standard deviation of
the noise on each; m = aλ is the noiseless contraction of a step, r = η/v0.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import numpy.typing as npt

from querytax.montecarlo import contraction as contraction_drawn
from querytax.montecarlo import estimators as estimators_drawn
from querytax.montecarlo import log_ratio as log_ratio_drawn
from querytax.montecarlo import quantization as quantization_drawn
from querytax.montecarlo import ratio as ratio_drawn
from querytax.montecarlo.runs import Experiment
from querytax.papers import column
from querytax.theory import (
    accuracy,
    efficiency,
    estimators,
    log_ratio,
    quantization,
    ratio,
)
from querytax.theory.law import RegimeWarning
from querytax.validation import printed
from querytax.validation._samples import Normals, drawn
from querytax.validation._tables import tabled
from querytax.validation.aithal_li_2022_autozoom import KEY, relative_sigma
from querytax.validation.aithal_li_2022_pair import (
    PAIR,
    autozoom_logs,
    noise_to_signal,
    phi,
    quantile,
)
from querytax.validation.aithal_li_2022_path import PATH, linear_steps, log_walk
from querytax.validation.claim import Claim, Computed, Form, Point, Simulated, at

__all__ = ["THEORY"]


def _autozoom_noise_to_signal(**outputs: float) -> Experiment:
    signal, noise = autozoom_logs(**outputs)
    return drawn(
        f"{KEY}.autozoom_noise_to_signal",
        outputs,
        lambda normals: np.square(noise(normals) / signal),
        cost=2.0,
        low=0.0,
    )


def _steps_6(snr: float, contraction: float, remaining: float, error: float) -> int:
    """R of eq. (6) times the exact number of noiseless steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RegimeWarning)
        many = float(printed.query_ratio_6(snr, contraction, remaining, error))
    return round(many * math.log(remaining) / math.log1p(-contraction))


def _not_arrived(
    snr: float, contraction: float, remaining: float, error: float
) -> Experiment:
    steps = _steps_6(snr, contraction, remaining, error)
    return contraction_drawn.not_arrived(snr, contraction, steps, remaining)


def _gap(output: float, log_ratio: float) -> float:
    return 2.0 * output * math.sinh(0.5 * log_ratio)


def _decided(output: float, log_ratio: float, sigma: float, pairs: int) -> Experiment:
    """Wrong signs after averaging the outputs of so many pairs."""
    return estimators_drawn.outputs_first(_gap(output, log_ratio), sigma, pairs)


def _wrong(
    output: float, log_ratio: float, sigma: float, pairs: int, noise: float = 1.0
) -> float:
    """The law of :func:`_decided`, for a mutant with more noise."""
    gap = _gap(output, log_ratio)
    return float(estimators.outputs_first(gap, noise * sigma, pairs))


def _pairs_8(output: float, log_ratio: float, sigma: float, error: float) -> int:
    return math.ceil(float(printed.repeats_8(log_ratio, sigma, output, error)))


def _error_8(output: float, log_ratio: float, sigma: float, pairs: int) -> float:
    needed = float(printed.repeats_8(log_ratio, sigma, output, 0.3))
    return phi(quantile(0.3) * math.sqrt(pairs / needed))


def _wrong_sign(output: float, other_output: float, sigma: float) -> Experiment:
    return ratio_drawn.multiplier_distribution(0.0, output, other_output, 1.0, sigma)


_SIGN = Form(
    "P(A <= 0), exact",
    lambda output, other_output, sigma: ratio.multiplier_distribution(
        0.0, output, other_output, 1.0, sigma
    ),
)
_SIGN_MUTANT = Form(
    "σ for σ√2: Φ(-(F1-F2)/σ)",
    lambda output, other_output, sigma: phi((other_output - output) / sigma),
)


def _corrected_mean(output: float, other_output: float, sigma: float) -> Experiment:
    """β times the estimate (57) from one pair; its mean is that from N."""
    less = relative_sigma(output, other_output, sigma) ** 2

    def value(normals: Normals) -> npt.ArrayLike:
        y = np.array([output, other_output]) + sigma * normals(0)
        return np.log(np.abs(y[:, 0] / y[:, 1])) - less

    arguments = {"output": output, "other_output": other_output, "sigma": sigma}
    return drawn(f"{KEY}.corrected_mean", arguments, value)


def _rise_of_maximum(gap: float, rivals: int, sigma: float) -> Experiment:
    """Rise of the largest noisy output, over that of the largest output.

    Both are drawn with the same noise, which the mean of a difference does not notice.
    """
    rise = 1e-3 * sigma

    def value(normals: Normals) -> npt.ArrayLike:
        v = sigma * np.hstack([normals(k) for k in range(rivals // 2 + 1)])
        best = v[:, 1 : rivals + 1].max(axis=1) - gap
        before, after = np.maximum(v[:, 0], best), np.maximum(v[:, 0] + rise, best)
        return (after - before) / rise

    return drawn(
        f"{KEY}.rise_of_maximum",
        {"gap": gap, "rivals": rivals, "sigma": sigma},
        value,
        cost=rivals // 2 + 1.0,
        low=0.0,
        high=1.0,
    )


def _share_of_wins(gap: float, rivals: int, sigma: float) -> float:
    outputs = np.array([gap, *[0.0] * rivals])
    return 1.0 - float(accuracy.misclassification(outputs, sigma))


def _constant(contraction: float, remaining: float, error: float) -> float:
    """R times the SNR, where the SNR is low."""
    snr = 1e-10
    steps = linear_steps(snr, contraction, remaining, error)
    return snr * steps * contraction / (1.0 - remaining)


_STATEMENTS: tuple[Claim, ...] = (
    Claim(
        id="aithal-li-2022/def-1",
        statement=(
            "Noise is small once its standard deviation is far below 1: a logarithm "
            "is then linear in it, almost surely."
        ),
        kind="approximation",
        topic="log_ratio",
        source="Definition 1",
        printed=Form(
            "Var ln(y1/y2) = σ²(1/F1² + 1/F2²) for σ << 1",
            lambda **pair: relative_sigma(**pair) ** 2,
        ),
        evidence=Simulated(log_ratio_drawn.variance),
        points=at("output other_output sigma", (0.5, 0.5, 0.01), (4e-4, 4e-4, 0.01)),
        corrected=Form("V(F1/σ) + V(F2/σ)", log_ratio.variance),
        mutant=Form(
            "noise on one output: V(F1/σ)",
            lambda output, other_output, sigma: efficiency.log_variance(output / sigma),
        ),
        regime="σ << F, for the logarithm's argument is 1 + v/F: σ/F <= 0.1 for 3 %",
        expected="REFUTED",
        note=(
            "Never almost surely: a normal v is below -F with probability Φ(-F/σ). At "
            "σ = 0.01 the mean outputs of Table 1 have σ/F = 25, 10 and 33, and half "
            "of all logarithms do not exist."
        ),
    ),
    Claim(
        id="aithal-li-2022/thm-1",
        statement=(
            "Output noise turns the factor a into a normal variable about a, of "
            "standard deviation σ_Z/β."
        ),
        kind="approximation",
        topic="ratio",
        source="Theorem 1",
        printed=Form(
            "P(A <= x) = Φ(β(x - a)/σ_Z)",
            lambda multiplier, output, other_output, sigma, probe: phi(
                (multiplier * probe - math.log(output / other_output))
                / relative_sigma(output, other_output, sigma)
            ),
        ),
        evidence=Simulated(ratio_drawn.multiplier_distribution),
        points=at(
            "multiplier output other_output sigma probe",
            (16.1, 0.1001, 0.0999, 1e-3, 1e-3),
            (-5.0, 0.1001, 0.0999, 1e-3, 1e-3),
            outside=((1782.5, 4.025e-4, 3.975e-4, 0.01, 1e-3),),
        ),
        corrected=Form("P(0 < Z <= e^(βx))/P(Z > 0)", ratio.multiplier_distribution),
        mutant=Form(
            "noise on one output: σ_Z = σ/F1",
            lambda multiplier, output, other_output, sigma, probe: phi(
                (multiplier * probe - math.log(output / other_output)) * output / sigma
            ),
        ),
        regime="σ << F1, F2",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "A = a + ln(Z)/β is exact where both answers have one sign. Z itself, a "
            "ratio of normals, has neither mean nor variance; ln|Z| has all moments."
        ),
    ),
    Claim(
        id="aithal-li-2022/thm-2",
        statement=(
            "After R times the noiseless steps an attack whose every step is noisy "
            "has arrived, but for a probability ε."
        ),
        kind="approximation",
        topic="contraction",
        source="Theorem 2",
        printed=Form("P(not arrived) = ε", lambda error, **_: error),
        evidence=Simulated(_not_arrived),
        points=at(
            "snr contraction remaining error",
            (0.12, 1e-4, 0.995, 0.1),
            (0.01, 0.002, 0.9, 0.1),
            (0.01, 0.2, 0.01, 0.01),
        ),
        corrected=Form(
            "Φ((nΛ + ln(1/r))/√(nV)), n = R (1-r)/m",
            lambda snr, contraction, remaining, error: log_walk(
                snr,
                contraction,
                remaining,
                _steps_6(snr, contraction, remaining, error),
            ),
        ),
        mutant=Form(
            "Λ without noise, ln(1-m)",
            lambda snr, contraction, remaining, error: log_walk(
                snr,
                contraction,
                remaining,
                _steps_6(snr, contraction, remaining, error),
                math.log1p(-contraction),
            ),
        ),
        margin=0.1,
        regime="K² <= |q| sqrt(2/(1-r)), R up to about 5, and naλ << 1",
        expected="REFUTED",
        note=(
            "Where naλ << 1 but the SNR is low, R is too large: logarithms of noisy "
            "factors fall faster. At the paper's aλ = 0.2 the mean square diverges "
            "below an SNR of -9.5 dB and the distance itself below -18.6 dB; all its "
            "SNRs are lower. An attacker who shortens the step pays "
            "query_ratio.best_constant_step."
        ),
    ),
    Claim(
        id="aithal-li-2022/thm-3",
        statement=(
            "The SNR of AutoZOOM's one-sided factor is at most L²β²/(2σ²), L the "
            "Lipschitz constant of all outputs together."
        ),
        kind="lower bound",
        topic="log_ratio",
        source="Theorem 3",
        printed=Form(
            "1/SNR >= 2σ²/(Lβ)², Lβ the length of the outputs' change",
            lambda output, rival, output_ahead, rival_ahead, sigma: (
                2.0
                * (sigma / math.hypot(output_ahead - output, rival_ahead - rival)) ** 2
            ),
        ),
        evidence=Simulated(_autozoom_noise_to_signal),
        points=at(
            "output rival output_ahead rival_ahead sigma",
            (0.6, 0.2, 0.60333, 0.19, 0.002),
            (0.6, 0.2, 0.59, 0.21, 0.01),
            outside=((0.7, 3e-4, 0.6999, 3.05e-4, 0.01),),
        ),
        mutant=Form(
            "SNR <= L²β²/(4σ²)",
            lambda output, rival, output_ahead, rival_ahead, sigma: (
                4.0
                * (sigma / math.hypot(output_ahead - output, rival_ahead - rival)) ** 2
            ),
        ),
        regime="σ << all four outputs, and the change << each of them",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "With ‖u‖ = 1. The bound is Cauchy and Schwarz's, reached where the two "
            "outputs change as -1/F. Beyond weak noise the logarithm compresses the "
            "noise and the SNR is above it."
        ),
    ),
    Claim(
        id="aithal-li-2022/thm-4",
        statement=(
            "No attacker settles the sign of a with fewer repeated pairs than eq. (8)."
        ),
        kind="lower bound",
        topic="repeats",
        source="Theorem 4",
        printed=Form("P(wrong sign) >= the ε at which eq. (8) gives N", _error_8),
        evidence=Simulated(_decided),
        points=at(
            "output log_ratio sigma pairs",
            (4e-4, 1e-3, 5e-7, 1),
            (4e-4, 1e-3, 5e-6, 86),
        ),
        corrected=Form("Φ(-√N (F1-F2)/(σ√2))", _wrong),
        mutant=Form(
            "2σ for σ√2", lambda **point: _wrong(**point, noise=math.sqrt(2.0))
        ),
        regime="2σ²/F² << aβ",
        expected="REFUTED",
        note=(
            "Averaging outputs before the logarithm needs 2σ²q²/(F1-F2)² = q²/S pairs "
            "for every σ. Eq. (8) has a pole at 2σ²/F² = aβ, beyond which it returns "
            "finite, falling numbers; at σ = 1e-4, a = 1 the true counts are 3e4, 5e3 "
            "and 6e8 pairs."
        ),
    ),
    Claim(
        id="aithal-li-2022/lemma-1",
        statement=(
            "The SNR of the noisy factor is that of eq. (5), for noise far below 1."
        ),
        kind="approximation",
        topic="log_ratio",
        source="Lemma 1",
        printed=Form(
            "1/SNR = σ²(F1² + F2²)/((F1-F2)² F1²)",
            lambda output, other_output, sigma: (
                (
                    sigma
                    * math.hypot(output, other_output)
                    / ((output - other_output) * output)
                )
                ** 2
            ),
        ),
        evidence=Simulated(noise_to_signal),
        points=at(
            "output other_output sigma",
            (0.1001, 0.0999, 1e-3),
            (4.025e-4, 3.975e-4, 0.01),
        ),
        corrected=Form(
            "(V(t1) + V(t2) + bias²)/ln²(F1/F2)",
            lambda **pair: 1.0 / log_ratio.definition_snr(**pair),
        ),
        mutant=Form(
            "noise on one output: V(t1)/ln²(F1/F2)",
            lambda output, other_output, sigma: (
                efficiency.log_variance(output / sigma)
                / math.log(output / other_output) ** 2
            ),
        ),
        regime="σ << F and |F1 - F2| << F",
        expected="REFUTED",
        note=(
            "At Table 1's means and σ = 0.01 the SNR so defined is -42, -18 and -79 dB "
            "where the lemma says -69, -37 and -109: the logarithm compresses strong "
            "noise. A sign read off raw outputs has (F1-F2)²/(2σ²)."
        ),
    ),
    Claim(
        id="aithal-li-2022/lemma-2",
        statement="Rounded outputs still show every difference.",
        kind="exact",
        topic="quantization",
        source="Lemma 2",
        printed=Form("P(difference shows) = 1", lambda gap, step: 1.0),
        evidence=Simulated(lambda gap, step: quantization_drawn.visibility(gap, step)),
        points=at("gap step", (5e-4, 1 / 255), (2e-3, 1 / 255), (5e-3, 1 / 255)),
        corrected=Form(
            "min(1, |F1-F2|/Δ)", lambda gap, step: quantization.visibility(gap, step)
        ),
        mutant=Form("cells of width Δ/2", lambda gap, step: min(1.0, 2.0 * gap / step)),
        regime="|F1 - F2| >= Δ",
        expected="REFUTED",
        note=(
            "A difference inside one cell gives exactly 0 at any number of queries; "
            "σ_Z = 0 is then no sign of harm. On output-correlated noise the lemma is "
            "right for a fixed function of the output and wrong for a random gain."
        ),
    ),
    Claim(
        id="aithal-li-2022/lemma-3",
        statement=(
            "The mean logarithm of noisy ratios over-estimates aβ by σ_Z², which the "
            "most likely estimate takes off."
        ),
        kind="approximation",
        topic="estimators",
        source="Lemma 3, eq. (57)",
        printed=Form("E ln Z = σ_Z²", lambda relative_sigma: relative_sigma**2),
        evidence=Simulated(estimators_drawn.log_bias),
        points=at("relative_sigma", (0.2,), (0.4,)),
        corrected=Form("ln σ_Z + g(1/σ_Z), about -σ_Z²/2", estimators.log_bias),
        mutant=Form("-σ_Z²", lambda relative_sigma: -(relative_sigma**2)),
        expected="REFUTED",
        note=(
            "The likelihood equation (59) is right; its expansion loses (3/2)β²(y-a)². "
            "The root is estimators.likelihood_root. Where Z is the true ratio of two "
            "near-equal noisy outputs, E ln Z = 0 and (57) is off by all of σ_Z²/β."
        ),
    ),
    Claim(
        id="aithal-li-2022/lemma-4",
        statement=(
            "For small noise the corrected mean (57) agrees with the logarithm of the "
            "ratio of mean outputs."
        ),
        kind="approximation",
        topic="estimators",
        source="Lemma 4",
        printed=Form(
            "mean of (57) = ln(F1/F2)/β",
            lambda output, other_output, sigma: math.log(output / other_output),
        ),
        evidence=Simulated(_corrected_mean),
        points=at(
            "output other_output sigma",
            (0.3, 0.2, 0.002),
            outside=((0.101, 0.099, 0.02),),
        ),
        corrected=Form(
            "E ln|y1/y2| - σ_Z²",
            lambda **pair: log_ratio.mean(**pair) - relative_sigma(**pair) ** 2,
        ),
        mutant=Form(
            "F1/F2 - 1 for the logarithm",
            lambda output, other_output, sigma: output / other_output - 1.0,
        ),
        regime="σ_Z² << aβ",
        expected="CONFIRMED_IN_REGIME",
        note="Elsewhere (57) converges to the wrong sign; means of outputs never do.",
    ),
    Claim(
        id="aithal-li-2022/rem-1",
        statement=(
            "Noise may turn the sign of the factor; its accurate density is eq. (17)."
        ),
        kind="exact",
        topic="ratio",
        source="Remark 1",
        printed=Form(
            "P(A < 0) = ∫ of (17) = Φ(F2/(F1 σ_Z)) - 1/2",
            lambda output, other_output, sigma: (
                phi(other_output / output / relative_sigma(output, other_output, sigma))
                - 0.5
            ),
        ),
        evidence=Simulated(_wrong_sign),
        points=at(
            "output other_output sigma", (0.1005, 0.0995, 0.001), (0.505, 0.495, 0.01)
        ),
        corrected=_SIGN,
        mutant=_SIGN_MUTANT,
        expected="REFUTED",
        note="The words are right; the density lacks a -1, and its whole mass is 1/2.",
    ),
    Claim(
        id="aithal-li-2022/rem-2",
        statement="A falls below x where Z falls below exp(-β(x - a)).",
        kind="exact",
        topic="ratio",
        source="Remark 2",
        printed=Form(
            "P(A < 0) = Φ((e^(βa) - 1)/σ_Z)",
            lambda output, other_output, sigma: phi(
                (output / other_output - 1.0)
                / relative_sigma(output, other_output, sigma)
            ),
        ),
        evidence=Simulated(_wrong_sign),
        points=at(
            "output other_output sigma",
            (0.10005, 0.09995, 0.001),
            (0.1005, 0.0995, 0.001),
        ),
        corrected=_SIGN,
        mutant=_SIGN_MUTANT,
        expected="REFUTED",
        note=(
            "The exponent's sign: exp(+β(x - a)). As printed, a wrong sign is likelier "
            "than a right one. σ = 1e-3 makes it nearly 1/2 only for a near 1: 0.47 "
            "at a = 1, 0.24 at a = 10 for F = 0.1. Non-top outputs are about "
            "(1 - p_top)/(C - 1), not 1/C."
        ),
    ),
    tabled(
        lambda: max(
            f / g
            for f, g in zip(
                column(KEY, "table-1", "beta"),
                column(KEY, "table-1", "mean_f_t"),
                strict=True,
            )
        ),
        "table-1.csv",
        id="aithal-li-2022/rem-3",
        statement="The probe β lies far below the outputs and may count as small.",
        kind="upper bound",
        topic="data",
        source="Remark 3",
        printed=Form("β/F <= 1/10 on average", lambda: 0.1),
        points=(Point({}),),
        corrected=Form("β/F <= 2.5, on MNIST", lambda: 2.5),
        mutant=Form("β/F <= 1", lambda: 1.0),
        expected="REFUTED",
        note=(
            "β is 2.5 F on MNIST and F on CIFAR10. Needed is |F1 - F2| << F, which "
            "holds but for CIFAR10's 20 %. An SNR that is an average reads the mean "
            "square of F1 - F2, mean² + sd²: with Table 1 that is 26, 14 and 26 dB "
            "above the square of the mean."
        ),
    ),
    Claim(
        id="aithal-li-2022/rem-4",
        statement=(
            "For low SNR the ratio is C0/SNR with a constant that hardly depends on "
            "the parameters."
        ),
        kind="approximation",
        topic="query_ratio",
        source="Remark 4",
        printed=Form(
            "R SNR = C0 = 1.09, its value at aλ = 0.2, η/v0 = ε = 0.01",
            lambda **_: quantile(0.01) ** 2 * 0.2 / 0.99,
        ),
        evidence=Computed(_constant, error=1e-4),
        points=at(
            "contraction remaining error",
            (0.2, 0.01, 0.01),
            (0.02, 0.01, 0.01),
            (0.2, 0.01, 1e-6),
        ),
        corrected=Form(
            "C0 = q² m/(1-r)",
            lambda contraction, remaining, error: (
                quantile(error) ** 2 * contraction / (1.0 - remaining)
            ),
        ),
        mutant=Form(
            "|q| for q²",
            lambda contraction, remaining, error: (
                -quantile(error) * contraction / (1.0 - remaining)
            ),
        ),
        expected="REFUTED",
        note=(
            "C0 is proportional to aλ and to q². In total the noise costs q²/SNR "
            "pairs, whatever aλ: R counts in units of (1-r)/(aλ) steps, and R times a "
            "measured query count mixes two models (8.7e15 for 8.7e11 on IMAGENET)."
        ),
    ),
    Claim(
        id="aithal-li-2022/rem-5",
        statement=(
            "The largest noisy output follows the largest output, even if noise makes "
            "another class the largest."
        ),
        kind="approximation",
        topic="accuracy",
        source="Remark 5",
        printed=Form("change of E max(F + v) = change of F_max", lambda **_: 1.0),
        evidence=Simulated(_rise_of_maximum),
        points=at(
            "gap rivals sigma",
            (0.08, 1, 0.01),
            (0.08, 8, 0.01),
            outside=((0.0, 1, 0.01), (0.0, 8, 0.01)),
        ),
        corrected=Form("P(the class is the largest)", _share_of_wins),
        mutant=Form("shared with a rival: 1/2", lambda **_: 0.5),
        regime="the largest output leads by several σ: the index does not change",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "In the very case of the remark, near-equal classes, the change is shared: "
            "half of it for two, a ninth for nine."
        ),
    ),
    Claim(
        id="aithal-li-2022/rem-6",
        statement="Averaging outputs first needs about as many pairs as eq. (8).",
        kind="approximation",
        topic="repeats",
        source="Remark 6",
        printed=Form(
            "P(wrong sign after the pairs of eq. (8)) = ε", lambda error, **_: error
        ),
        evidence=Simulated(
            lambda output, log_ratio, sigma, error: _decided(
                output, log_ratio, sigma, _pairs_8(output, log_ratio, sigma, error)
            )
        ),
        points=at(
            "output log_ratio sigma error",
            (0.1, 1e-5, 2.236e-5, 0.3),
            (4e-4, 1e-3, 5e-6, 0.3),
        ),
        corrected=Form(
            "Φ(-√N (F1-F2)/(σ√2)) at N of eq. (8)",
            lambda output, log_ratio, sigma, error: _wrong(
                output, log_ratio, sigma, _pairs_8(output, log_ratio, sigma, error)
            ),
        ),
        mutant=Form(
            "2σ for σ√2",
            lambda output, log_ratio, sigma, error: _wrong(
                output,
                log_ratio,
                sigma,
                _pairs_8(output, log_ratio, sigma, error),
                math.sqrt(2.0),
            ),
        ),
        margin=0.1,
        regime="2σ²/F² << aβ",
        expected="REFUTED",
        note=(
            "On MNIST at a = 1, σ = 5e-6: 86 pairs, not 182. Beyond the pole of (8) "
            "outputs first still needs q²/S, and there is nothing to compare."
        ),
    ),
)

THEORY: tuple[Claim, ...] = (*_STATEMENTS, *PAIR, *PATH)
