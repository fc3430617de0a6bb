"""Claims of Aithal & Li (2022): repeated queries, eqs. (53) to (68).

A pair's outputs are F1 = F_t(x - βu) and F2 = F_t(x + βu); ``log_ratio`` is aβ,
``relative_sigma`` is σ_Z.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import integrate, optimize, special

from querytax.montecarlo import log_ratio as drawn_logs
from querytax.montecarlo.runs import Experiment
from querytax.theory import estimators, log_ratio
from querytax.validation._samples import Normals, drawn
from querytax.validation.aithal_li_2022_autozoom import definition
from querytax.validation.aithal_li_2022_autozoom import relative_sigma as spread_of
from querytax.validation.claim import Claim, Computed, Form, Simulated, at

__all__ = ["REPEATS"]

Floats = npt.NDArray[np.float64]
KEY = "aithal-li-2022"


def _answers(relative_sigma: float, log_ratio: float, count: int = 400) -> Floats:
    """A sample of noisy ratios: evenly spread quantiles of N(1, σ_Z²) times F1/F2."""
    quantiles = special.ndtri((np.arange(count) + 0.5) / count)
    return np.asarray(math.exp(log_ratio) * (1.0 + relative_sigma * quantiles))


def _log_likelihood(trial: Any, ratios: Floats, relative_sigma: float) -> Any:
    """Of the trial value of aβ, up to a constant."""
    seen = ratios * np.exp(-trial)
    return np.sum(-trial - np.square(seen - 1.0) / (2.0 * relative_sigma**2))


def _most_likely(relative_sigma: float, log_ratio: float) -> float:
    ratios = _answers(relative_sigma, log_ratio)
    found = optimize.minimize_scalar(
        lambda trial: -_log_likelihood(trial, ratios, relative_sigma),
        bounds=(log_ratio - 0.5, log_ratio + 0.5),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return float(found.x)


def _score(relative_sigma: float, log_ratio: float, trial: float) -> float:
    """Mean derivative of the log-likelihood, times σ_Z²; by a complex step."""
    ratios = _answers(relative_sigma, log_ratio)
    step = 1e-30
    value = _log_likelihood(trial + 1j * step, ratios, relative_sigma).imag / step
    return float(value) * relative_sigma**2 / ratios.size


def _expanded(
    relative_sigma: float, log_ratio: float, trial: float, second: float
) -> float:
    x = np.log(_answers(relative_sigma, log_ratio)) - trial
    return float(np.mean(x + second * np.square(x)) - relative_sigma**2)


def _equation(
    relative_sigma: float, log_ratio: float, trial: float, power: float = 2.0
) -> float:
    x = np.log(_answers(relative_sigma, log_ratio)) - trial
    return float(np.mean(np.exp(2.0 * x) - np.exp(x)) - relative_sigma**power)


def _below(
    level: float, a: float, probe: float, relative_sigma: float, centre: float = 1.0
) -> float:
    """P(y <= level) by quadrature of the density (58)."""

    def density(y: float) -> float:
        z = math.exp(probe * (y - a))
        bell = math.exp(-0.5 * ((z - centre) / relative_sigma) ** 2)
        return probe * z * bell / (math.sqrt(2.0 * math.pi) * relative_sigma)

    breaks = sorted({a, level})
    ends = [a - 40.0 / probe, *(b for b in breaks if b <= level)]
    pieces = itertools.pairwise(ends)
    return sum(integrate.quad(density, u, v, limit=200)[0] for u, v in pieces)


def _level_experiment(
    level: float, a: float, probe: float, relative_sigma: float
) -> Experiment:
    def value(normals: Normals) -> npt.ArrayLike:
        z = 1.0 + relative_sigma * normals(0)[:, 0]
        with np.errstate(invalid="ignore"):
            return np.asarray(a + np.log(z) / probe <= level)

    arguments = {"level": level, "a": a, "probe": probe, "sd": relative_sigma}
    return drawn(f"{KEY}/eq-58", arguments, value, event=True)


def _mean_log_below(
    log_ratio: float, relative_sigma: float, repeats: int, sign: float = 1.0
) -> float:
    """P(mean ln z < ±σ_Z² - aβ) for one or two z ~ N(1, σ_Z²)."""
    bar = math.exp(repeats * (sign * relative_sigma**2 - log_ratio))
    if repeats == 1:
        return float(special.ndtr((bar - 1.0) / relative_sigma))

    def joint(x: float) -> float:
        z = 1.0 + relative_sigma * x
        other = special.ndtr((bar / z - 1.0) / relative_sigma)
        return float(math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi) * other)

    return float(integrate.quad(joint, -4.9, 8.0)[0])


def _estimate_experiment(
    log_ratio: float, relative_sigma: float, repeats: int
) -> Experiment:
    """Whether the estimate (57) is negative, from one or two ratios."""

    def value(normals: Normals) -> npt.ArrayLike:
        z = np.abs(1.0 + relative_sigma * normals(0)[:, :repeats])
        y = log_ratio + np.log(z)
        return np.asarray(y.mean(axis=1) - relative_sigma**2 < 0.0)

    arguments = {"log_ratio": log_ratio, "sd": relative_sigma, "repeats": repeats}
    return drawn(f"{KEY}/eq-61", arguments, value, event=True)


def _repeated_experiment(
    log_ratio: float, noise: float, repeats: int, form: str
) -> Experiment:
    """Whether (57) is negative, from normal ratios or from pairs of noisy outputs."""
    spread = _spread(log_ratio, noise, form)

    def value(normals: Normals) -> npt.ArrayLike:
        total: Any = 0.0
        for step in range(repeats):
            v = noise * normals(step)
            if form == "normal":
                y = log_ratio + np.log(np.abs(1.0 + v[:, 0]))
            else:
                y = np.log(np.abs((1.0 + v[:, 0]) / (math.exp(-log_ratio) + v[:, 1])))
            total = total + y
        return np.asarray(total / repeats - spread**2 < 0.0)

    arguments = {
        "log_ratio": log_ratio,
        "noise": noise,
        "repeats": repeats,
        "form": form,
    }
    return drawn(f"{KEY}/eq-62", arguments, value, cost=repeats, event=True)


def _spread(log_ratio: float, noise: float, form: str) -> float:
    """σ_Z; of a pair, the noise is that on outputs 1 and e^(-aβ)."""
    return noise if form == "normal" else spread_of(1.0, math.exp(-log_ratio), noise)


def _jensen(
    log_ratio: float, noise: float, repeats: int, form: str, pull: float = 1.0
) -> float:
    spread = _spread(log_ratio, noise, form)
    bar = math.expm1(spread**2 - pull * log_ratio)
    return float(special.ndtr(bar * math.sqrt(repeats) / spread))


def _noisy_pairs(
    output: float, other_output: float, sigma: float
) -> tuple[Floats, Floats]:
    """Seven pairs of noisy outputs, the noise in no order and not centred."""
    v = sigma * special.ndtri((np.arange(7) + 0.3) / 7.0)
    return output + v, other_output + v[[3, 6, 0, 5, 1, 4, 2]]


def _of_means(output: float, other_output: float, sigma: float) -> float:
    one, two = _noisy_pairs(output, other_output, sigma)
    return float(np.log(one.mean() / two.mean()))


def _of_relative_means(
    output: float, other_output: float, sigma: float, sign: float = 1.0
) -> float:
    one, two = _noisy_pairs(output, other_output, sigma)
    rest = np.log((one / output).mean() / (two / other_output).mean())
    return float(math.log(output / other_output) + sign * rest)


def _quotient_experiment(
    output: float, other_output: float, sigma: float
) -> Experiment:
    def value(normals: Normals) -> npt.ArrayLike:
        v = sigma * normals(0)
        return np.asarray((output + v[:, 0]) / (other_output + v[:, 1]))

    arguments = {"output": output, "other_output": other_output, "sigma": sigma}
    return drawn(f"{KEY}/eq-67", arguments, value)


def _mean_inverse(output: float, sigma: float) -> float:
    """F times the mean of 1/(F+v), as a principal value."""
    t = output / sigma
    return float(math.sqrt(2.0) * t * special.dawsn(t / math.sqrt(2.0)))


REPEATS: tuple[Claim, ...] = (
    definition(
        "eq-53",
        "The factor a: log ratio of the pair's outputs over the probe.",
        "log_ratio",
        "appendix F, eq. (53)",
    ),
    definition(
        "eq-54",
        "A repeat's noisy factor: log ratio of its two noisy answers over the probe.",
        "log_ratio",
        "appendix F, eq. (54)",
    ),
    Claim(
        id=f"{KEY}/eq-55",
        statement="A repeat's noisy factor is the noiseless one plus ln z/β.",
        kind="exact",
        topic="log_ratio",
        source="appendix F, eq. (55)",
        printed=Form(
            "a + ln z/β",
            lambda output, other_output, noise, other_noise, probe: (
                (
                    math.log(output / other_output)
                    + math.log(
                        (1.0 + noise / output) / (1.0 + other_noise / other_output)
                    )
                )
                / probe
            ),
        ),
        evidence=Computed(
            lambda output, other_output, noise, other_noise, probe: (
                math.log((output + noise) / (other_output + other_noise)) / probe
            )
        ),
        mutant=Form(
            "a - ln z/β",
            lambda output, other_output, noise, other_noise, probe: (
                (
                    math.log(output / other_output)
                    - math.log(
                        (1.0 + noise / output) / (1.0 + other_noise / other_output)
                    )
                )
                / probe
            ),
        ),
        points=at(
            "output other_output noise other_noise probe",
            (0.1, 0.099, 0.004, -0.007, 0.001),
        ),
        margin=1e-6,
        regime="both noisy answers of one sign; z is normal for σ << F alone",
        expected="CONFIRMED",
    ),
    Claim(
        id=f"{KEY}/eq-56",
        statement="The relative variance of a pair is about twice that of one output.",
        kind="approximation",
        topic="ratio",
        source="appendix F, eq. (56)",
        printed=Form(
            "2σ²/F²",
            lambda output, change, sigma: 2.0 * (sigma / output) ** 2,
        ),
        evidence=Computed(
            lambda output, change, sigma: (
                spread_of(output + change / 2.0, output - change / 2.0, sigma) ** 2
            )
        ),
        mutant=Form("σ²/F²", lambda output, change, sigma: (sigma / output) ** 2),
        points=at(
            "output change sigma",
            (4e-4, 5e-6, 1e-5),
            (0.1, 0.01, 0.01),
            outside=((0.1, 0.1, 0.01),),
        ),
        margin=0.05,
        regime="the outputs differ by a tenth of themselves at most",
        expected="CONFIRMED_IN_REGIME",
    ),
    Claim(
        id=f"{KEY}/eq-57",
        statement="The most likely factor is the mean of the repeats less σ_Z²/β.",
        kind="exact",
        topic="estimators",
        source="Lemma 3, eq. (57)",
        printed=Form(
            "mean(ln r) - σ_Z²",
            lambda relative_sigma, log_ratio: float(
                np.log(_answers(relative_sigma, log_ratio)).mean() - relative_sigma**2
            ),
        ),
        evidence=Computed(_most_likely, error=1e-5),
        corrected=Form(
            "root of (59)",
            lambda relative_sigma, log_ratio: estimators.likelihood_root(
                _answers(relative_sigma, log_ratio).mean(),
                np.square(_answers(relative_sigma, log_ratio)).mean(),
                relative_sigma,
            ),
        ),
        mutant=Form(
            "mean(ln r)",
            lambda relative_sigma, log_ratio: float(
                np.log(_answers(relative_sigma, log_ratio)).mean()
            ),
        ),
        points=at("relative_sigma log_ratio", (0.2, 0.05), (0.1, 0.05)),
        margin=0.05,
        expected="REFUTED",
        note=(
            "To first order the mean is too low by σ_Z²/(2β), so the correction is "
            "added, and half as large."
        ),
    ),
    Claim(
        id=f"{KEY}/eq-58",
        statement="Density of a noisy factor whose ratio z is normal.",
        kind="exact",
        topic="ratio",
        source="appendix F, eq. (58)",
        printed=Form("∫ β e^(β(y-a)) p_Z(e^(β(y-a))) dy", _below),
        evidence=Simulated(_level_experiment),
        mutant=Form("p_Z centred at 0", lambda **at: _below(centre=0.0, **at)),
        points=at(
            "level a probe relative_sigma", (0.0, 0.5, 0.1, 0.1), (40.0, 0.5, 0.1, 0.5)
        ),
        margin=0.01,
        expected="CONFIRMED",
        note="Its mass is Φ(1/σ_Z): the rest has no logarithm.",
    ),
    Claim(
        id=f"{KEY}/eq-59",
        statement="Where the likelihood of a is greatest, this sum vanishes.",
        kind="exact",
        topic="estimators",
        source="appendix F, eq. (59)",
        printed=Form("mean(e^(2x) - e^x) - σ_Z², x = β(y - a)", _equation),
        evidence=Computed(_score),
        mutant=Form("σ_Z for σ_Z²", lambda **at: _equation(power=1.0, **at)),
        points=at(
            "relative_sigma log_ratio trial", (0.2, 0.05, 0.02), (0.3, 0.05, 0.3)
        ),
        margin=1e-6,
        expected="CONFIRMED",
        note="With w = e^(-βa) it is a quadratic, so its root has a closed form.",
    ),
    Claim(
        id=f"{KEY}/eq-60",
        statement="For weak noise the sum of (59) is that of x - σ_Z².",
        kind="approximation",
        topic="estimators",
        source="appendix F, eq. (60)",
        printed=Form("mean(x) - σ_Z²", lambda **at: _expanded(second=0.0, **at)),
        evidence=Computed(_equation),
        corrected=Form(
            "mean(x + 3x²/2) - σ_Z²", lambda **at: _expanded(second=1.5, **at)
        ),
        mutant=Form("x²/2 for 3x²/2", lambda **at: _expanded(second=0.5, **at)),
        points=at(
            "relative_sigma log_ratio trial", (0.1, 0.05, 0.04), (0.02, 0.05, 0.0496)
        ),
        margin=0.2,
        expected="REFUTED",
        note="x² is as large as the σ_Z² that is kept, for however weak noise.",
    ),
    Claim(
        id=f"{KEY}/eq-61",
        statement="(57) is negative when the mean log of z lies below σ_Z² - aβ.",
        kind="exact",
        topic="estimators",
        source="appendix F, eq. (61)",
        printed=Form("P(mean ln z < σ_Z² - aβ)", _mean_log_below),
        evidence=Simulated(_estimate_experiment),
        mutant=Form("-σ_Z² for σ_Z²", lambda **at: _mean_log_below(sign=-1.0, **at)),
        points=at("log_ratio relative_sigma repeats", (0.05, 0.2, 1), (0.05, 0.2, 2)),
        margin=0.02,
        expected="CONFIRMED",
    ),
    Claim(
        id=f"{KEY}/eq-62",
        statement="By Jensen (57) errs at least as often as the mean of z is low.",
        kind="lower bound",
        topic="estimators",
        source="appendix F, eq. (62)",
        printed=Form("Φ((e^(σ_Z² - aβ) - 1) √N/σ_Z)", _jensen),
        evidence=Simulated(_repeated_experiment),
        mutant=Form("without aβ", lambda **at: _jensen(pull=0.0, **at)),
        points=at(
            "log_ratio noise repeats form",
            (0.05, 0.2, 1, "normal"),
            (0.05, 0.2, 20, "normal"),
            outside=((0.01, 0.5, 1, "pairs"),),
        ),
        margin=0.02,
        regime="ratios z normal, as (55) has them; those of real pairs are not",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "A bound on the error from below gives a number of repeats too small. Real "
            "pairs break it by 2 % at σ = F/10 and 20 repeats already."
        ),
    ),
    definition(
        "eq-63",
        "Mean of the repeated noisy answers on one side.",
        "estimators",
        "Remark 6, eq. (63)",
    ),
    definition(
        "eq-64",
        "Mean of the repeated noisy answers on the other side.",
        "estimators",
        "Remark 6, eq. (64)",
    ),
    definition(
        "eq-65",
        "Outputs first: the factor read from the ratio of the two means.",
        "estimators",
        "Remark 6, eq. (65)",
    ),
    Claim(
        id=f"{KEY}/eq-66",
        statement="Outputs first is a plus the log ratio of two relative means.",
        kind="exact",
        topic="estimators",
        source="Lemma 4, eq. (66)",
        printed=Form("aβ + ln(mean(1+v1/F1)/mean(1+v2/F2))", _of_relative_means),
        evidence=Computed(_of_means),
        mutant=Form("minus for plus", lambda **at: _of_relative_means(sign=-1.0, **at)),
        points=at("output other_output sigma", (0.21, 0.2, 0.02)),
        margin=1e-6,
        expected="CONFIRMED",
    ),
    Claim(
        id=f"{KEY}/eq-67",
        statement="The mean of a ratio of noisy outputs is the ratio of their means.",
        kind="approximation",
        topic="estimators",
        source="Lemma 4, eq. (67)",
        printed=Form(
            "F1/F2", lambda output, other_output, sigma: output / other_output
        ),
        evidence=Simulated(_quotient_experiment),
        corrected=Form(
            "F1/F2 √2 t D(t/√2), t = F2/σ",
            lambda output, other_output, sigma: (
                output / other_output * _mean_inverse(other_output, sigma)
            ),
        ),
        mutant=Form("F2/F1", lambda output, other_output, sigma: other_output / output),
        points=at(
            "output other_output sigma",
            (0.21, 0.2, 0.008),
            outside=((0.21, 0.2, 0.03),),
        ),
        margin=0.01,
        regime="σ at most F/20: the relative error is (σ/F)²",
        expected="CONFIRMED_IN_REGIME",
        note="The mean exists as a principal value only.",
    ),
    Claim(
        id=f"{KEY}/eq-68",
        statement="The mean log of a noisy ratio is aβ plus the mean of z - 1.",
        kind="approximation",
        topic="estimators",
        source="Lemma 4, eq. (68)",
        printed=Form(
            "aβ + E[z - 1]",
            lambda output, other_output, sigma: (
                math.log(output / other_output)
                + _mean_inverse(other_output, sigma)
                - 1.0
            ),
        ),
        evidence=Simulated(drawn_logs.mean),
        corrected=Form("mean log of folded outputs", log_ratio.mean),
        mutant=Form(
            "twice that log ratio",
            lambda output, other_output, sigma: 2.0 * math.log(output / other_output),
        ),
        points=at(
            "output other_output sigma",
            (0.105, 0.1, 0.001),
            outside=((0.105, 0.1, 0.02),),
        ),
        margin=0.05,
        regime="σ²/F² << aβ; this slip of σ_Z²/2 and that of (67) cancel",
        expected="CONFIRMED_IN_REGIME",
    ),
)
