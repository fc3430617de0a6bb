"""Claims of Aithal & Li (2022): loss and one noisy pair, eqs. (1) to (21).

A logistic output 1/(1 + e^-z) stands for the target's where an equation wants a
function; letters as in the theorems' claims.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import integrate, optimize, special, stats

from querytax.montecarlo import ratio as ratio_drawn
from querytax.montecarlo.runs import Experiment
from querytax.theory import log_ratio, query_ratio, ratio, repeats
from querytax.validation import printed
from querytax.validation._samples import Normals, drawn
from querytax.validation.aithal_li_2022_autozoom import KEY, relative_sigma
from querytax.validation.claim import Claim, Computed, Form, Simulated, at

__all__ = [
    "PAIR",
    "autozoom_logs",
    "defined",
    "equation",
    "identity",
    "noise_to_signal",
    "phi",
    "quantile",
    "steps_until",
]


def equation(number: int, statement: str, **rest: Any) -> Claim:
    return Claim(
        id=f"{KEY}/eq-{number}",
        statement=statement,
        source=rest.pop("source", f"eq. ({number})"),
        **rest,
    )


def defined(number: int, statement: str, topic: str = "log_ratio") -> Claim:
    return equation(
        number, statement, kind="definition", topic=topic, expected="DEFINITION"
    )


def identity(number: int, statement: str, **rest: Any) -> Claim:
    """An exact step of algebra, to rounding."""
    rest = {"kind": "exact", "margin": 1e-4, "expected": "CONFIRMED"} | rest
    return equation(number, statement, **rest)


def phi(x: float) -> float:
    """Standard normal distribution function."""
    return float(special.ndtr(x))


def quantile(error: float) -> float:
    """Standard normal quantile, below 0 for an error below 1/2."""
    return float(special.ndtri(error))


# -- gradient estimates ---------------------------------------------------------------


def _loss(z: Any) -> Any:
    """-ln of a logistic output."""
    return np.logaddexp(0.0, -z)


def _smoothed_slope(place: float, probe: float) -> float:
    """Slope of the loss under Gaussian smoothing, E f'(x + βu)."""
    return float(
        integrate.quad(
            lambda u: -special.expit(-place - probe * u) * stats.norm.pdf(u), -12, 12
        )[0]
    )


def _antithetic(place: float, probe: float) -> Experiment:
    """Eq. (2) with J = 2."""

    def value(normals: Normals) -> npt.ArrayLike:
        u = normals(0)
        gap = _loss(place + probe * u) - _loss(place - probe * u)
        return (0.5 * u / probe * gap).mean(axis=1)

    arguments = {"place": place, "probe": probe}
    return drawn(f"{KEY}.antithetic", arguments, value)


def _one_sided(place: float, probe: float) -> Experiment:
    """Eq. (10) with J = 2."""

    def value(normals: Normals) -> npt.ArrayLike:
        u = normals(0)
        return (u / probe * _loss(place + probe * u)).mean(axis=1)

    return drawn(f"{KEY}.one_sided", {"place": place, "probe": probe}, value)


_DIRECTIONS = (0.7, -1.3)


def _sum_of_logs(place: float, probe: float) -> float:
    """Eq. (2) with J = 4 and two given directions."""
    total = sum(
        u / probe * math.log(special.expit(place + probe * u))
        - u / probe * math.log(special.expit(place - probe * u))
        for u in _DIRECTIONS
    )
    return -float(total) / 4.0


def _sum_of_factors(place: float, probe: float, sign: float = 1.0) -> float:
    """Eq. (3) for the same."""
    factors = (
        math.log(special.expit(place - probe * u) / special.expit(place + probe * u))
        for u in _DIRECTIONS
    )
    pairs = zip(_DIRECTIONS, factors, strict=True)
    return sign * sum(u * a / probe for u, a in pairs) / 4.0


# -- one noisy pair -------------------------------------------------------------------


def noise_to_signal(output: float, other_output: float, sigma: float) -> Experiment:
    """E[(ln|Z|/β)²]/a², the inverse of the SNR as the paper defines it."""
    signal = math.log(output / other_output)

    def value(normals: Normals) -> npt.ArrayLike:
        v = sigma * normals(0)
        z = (1.0 + v[:, 0] / output) / (1.0 + v[:, 1] / other_output)
        return np.square(np.log(np.abs(z)) / signal)

    arguments = {"output": output, "other_output": other_output, "sigma": sigma}
    return drawn(f"{KEY}.noise_to_signal", arguments, value, low=0.0)


def autozoom_logs(
    output: float, rival: float, output_ahead: float, rival_ahead: float, sigma: float
) -> tuple[float, Any]:
    """Noiseless ln h of eq. (45), and the noise ln|Z1 Z2| from a draw's normals.

    ``output`` is F_max and ``rival`` the target's; both are asked at x and ahead.
    """
    one = np.array([output_ahead, output])
    two = np.array([rival, rival_ahead])

    def noise(normals: Normals) -> Any:
        first = np.abs(1.0 + sigma * normals(0) / one)
        second = np.abs(1.0 + sigma * normals(1) / two)
        return np.log(first[:, 0] / first[:, 1] * second[:, 0] / second[:, 1])

    return math.log(output_ahead / rival_ahead * rival / output), noise


def _factor_density(
    multiplier: float, output: float, other_output: float, sigma: float, probe: float
) -> float:
    """Density of ln(y1/y2)/β, by integration over y2."""
    q = math.exp(probe * multiplier)
    low, high = other_output - 12.0 * sigma, other_output + 12.0 * sigma
    density = integrate.quad(
        lambda y: (
            abs(y)
            * stats.norm.pdf(q * y, output, sigma)
            * stats.norm.pdf(y, other_output, sigma)
        ),
        low,
        high,
        points=[output / q, other_output],
        epsabs=0.0,
        epsrel=1e-10,
    )[0]
    return float(probe * q * density)


def _density_17(
    multiplier: float,
    output: float,
    other_output: float,
    sigma: float,
    probe: float,
    less: float = 0.0,
    twice: float = 2.0,
) -> float:
    width = relative_sigma(output, other_output, sigma)
    w = math.exp(probe * multiplier) * other_output / output
    bell = math.exp(-(((w - less) / width) ** 2) / twice)
    return probe * w * bell / (width * math.sqrt(2.0 * math.pi))


def _below(
    quotient: float, output: float, other_output: float, sigma: float, one: bool = False
) -> float:
    """P(Z <= z) for a normal Z; a mutant has the noise of one output only."""
    width = sigma / output if one else relative_sigma(output, other_output, sigma)
    return phi((quotient * other_output / output - 1.0) / width)


def _autozoom_below(multiplier: float, **outputs: float) -> Experiment:
    """Whether AutoZOOM's factor, times β, is below a value."""
    noiseless, noise = autozoom_logs(**outputs)
    return drawn(
        f"{KEY}.autozoom_below",
        {"multiplier": multiplier, **outputs},
        lambda normals: noiseless + noise(normals) <= multiplier,
        cost=2.0,
        event=True,
    )


def _autozoom_normal(
    multiplier: float, sigma: float, ahead: float = 1.0, **outputs: float
) -> float:
    noiseless, _ = autozoom_logs(**outputs, sigma=sigma)
    squares = {name: value**-2.0 for name, value in outputs.items()}
    here = squares["output"] + squares["rival"]
    there = squares["output_ahead"] + squares["rival_ahead"]
    width = sigma * math.sqrt(here + ahead * there)
    return phi((multiplier - noiseless) / width)


def _snr_20(output: float, other_output: float, sigma: float) -> float:
    gap = (output - other_output) / other_output
    return (gap / relative_sigma(output, other_output, sigma)) ** 2


def _lipschitz(output: float, other_output: float, sigma: float) -> float:
    """L²β²‖u‖²/σ² for the least constant that allows the pair, 2Lβ‖u‖ = F1 - F2."""
    return ((output - other_output) / (2.0 * sigma)) ** 2


def _logistic_pair(
    place: float, probe: float, length: float, cosine: float
) -> tuple[float, float]:
    """F1 and F2 of a logistic output of unit gradient at the logit."""
    way = probe * length * cosine
    return float(special.expit(place + way)), float(special.expit(place - way))


def _bound_21(
    place: float,
    probe: float,
    length: float,
    cosine: float,
    sigma: float,
    factor: float = 4.0,
) -> float:
    one, two = _logistic_pair(place, probe, length, cosine)
    share = one * one / (one * one + two * two)
    return factor * (probe * length / (4.0 * sigma)) ** 2 * share


def steps_until(factor: float, share: float) -> float:
    """Steps, each multiplying by the factor, until the share is left."""
    left, steps = 1.0, 0
    while left * factor > share:
        left *= factor
        steps += 1
    return steps + math.log(share / left) / math.log(factor)


def _tuned_ratio(
    snr: float, contraction: float, remaining: float, error: float
) -> float:
    """Steps in mean square at the best constant step, over exact noiseless ones."""

    def steps(log_step: float) -> float:
        m = math.exp(log_step)
        return steps_until((1.0 - m) ** 2 + m * m / snr, remaining**2)

    # From half of the step that is best on sight to as far as it contracts.
    low, high = math.log(0.3 * snr / (1.0 + snr)), math.log(contraction)
    high = min(high, math.log(1.6 * snr / (1.0 + snr)))
    best = optimize.minimize_scalar(
        steps, bounds=(low, high), method="bounded", options={"xatol": 1e-4}
    )
    return float(best.fun) / steps_until(1.0 - contraction, remaining)


PAIR: tuple[Claim, ...] = (
    defined(1, "The attack's loss: a distance plus λ times a loss of the output."),
    equation(
        2,
        "The antithetic NES estimate has the slope of the smoothed loss as its mean.",
        kind="exact",
        topic="finite_difference",
        printed=Form("E f'(x + βu)", _smoothed_slope),
        evidence=Simulated(_antithetic),
        points=at("place probe", (0.5, 0.1), (1.5, 1.0)),
        mutant=Form("not halved", lambda **point: 2.0 * _smoothed_slope(**point)),
        margin=0.02,
        expected="CONFIRMED",
        note="J/2 pairs, each worth twice the slope, over J queries.",
    ),
    identity(
        3,
        "The estimate is the mean of factors ln(F1/F2)/β times directions.",
        topic="log_ratio",
        printed=Form("Σ a_j u_j/J", _sum_of_factors),
        evidence=Computed(_sum_of_logs, error=1e-9),
        points=at("place probe", (0.5, 0.1), (-1.0, 1e-3)),
        mutant=Form("a = ln(F2/F1)/β", lambda **p: _sum_of_factors(**p, sign=-1.0)),
        note="Each g_j is twice a directional derivative; a > 0 where F1 > F2.",
    ),
    equation(
        4,
        "The ratio Z of two noisy outputs to its noiseless value is normal about 1.",
        kind="approximation",
        topic="ratio",
        printed=Form("P(Z <= z) = Φ((z - 1)/σ_Z)", _below),
        evidence=Simulated(ratio_drawn.distribution),
        points=at(
            "quotient output other_output sigma",
            (1.004, 0.1, 0.1, 0.0005),
            (0.995, 0.1, 0.1, 0.0005),
            outside=((2.0, 4e-4, 4e-4, 0.01),),
        ),
        corrected=Form("the exact law of the ratio", ratio.distribution),
        mutant=Form(
            "noise on one output: σ/F1", lambda **point: _below(**point, one=True)
        ),
        regime="σ << F",
        expected="CONFIRMED_IN_REGIME",
        note="The exact law has heavy tails: E|Z| is infinite.",
    ),
    equation(
        5,
        "The SNR of the factor is at most 2L²β²/σ² for a direction of unit length.",
        kind="upper bound",
        topic="log_ratio",
        printed=Form("2L²β²/σ²", lambda **pair: 2.0 * _lipschitz(**pair)),
        evidence=Computed(_snr_20),
        points=at(
            "output other_output sigma",
            (0.1001, 0.0999, 0.001),
            (1.1e-3, 9e-4, 1e-5),
            (0.3, 0.001, 0.001),
        ),
        corrected=Form("4L²β²/σ²", lambda **pair: 4.0 * _lipschitz(**pair)),
        mutant=Form("L²β²/σ²", lambda **pair: _lipschitz(**pair)),
        regime="F1 = F2 to first order",
        expected="REFUTED",
        note=(
            "F1²/(F1² + F2²) is below 1, not below 1/2. 2L²β²/σ² does bound "
            "(F1-F2)²/(2σ²) and ln²(F1/F2)/σ_Z², for |ln h| <= |h - 1|/√h. With "
            "normal directions ‖u‖² is about d, but the mean over them of the "
            "decision SNR keeps the bound (Poincaré)."
        ),
    ),
    equation(
        6,
        "With noise an attack takes R times as many steps.",
        kind="approximation",
        topic="query_ratio",
        printed=Form(
            "(√(K²+4) - K)²/4, K = Φ⁻¹(ε) √(m/(S(1-r)))", printed.query_ratio_6
        ),
        evidence=Computed(_tuned_ratio, error=1e-3),
        points=at(
            "snr contraction remaining error",
            (0.01, 0.2, 0.01, 0.01),
            (0.001, 0.2, 0.01, 0.01),
        ),
        corrected=Form(
            "2 ln(1/(1-m))/ln(1+S)",
            lambda snr, contraction, remaining, error: query_ratio.best_constant_step(
                snr, contraction
            ),
        ),
        mutant=Form(
            "ln(1/(1-m))/ln(1+S)",
            lambda snr, contraction, remaining, error: (
                -math.log1p(-contraction) / math.log1p(snr)
            ),
        ),
        regime="K² <= |q| sqrt(2/(1-r)), R up to about 5, and naλ << 1",
        expected="REFUTED",
        note=(
            "Held against the best constant step in mean square: at these SNRs the "
            "unchanged step never arrives. 2.45 times too many at m = 0.2."
        ),
    ),
    equation(
        7,
        "AutoZOOM's factor is normal, with the sum of four variances (σ/(βF))².",
        kind="approximation",
        topic="log_ratio",
        printed=Form("P(A <= x) = Φ((x - a)β/(σ√(Σ1/F²)))", _autozoom_normal),
        evidence=Simulated(_autozoom_below),
        points=at(
            "multiplier output rival output_ahead rival_ahead sigma",
            (0.0075, 0.6, 0.2, 0.59, 0.21, 0.01),
            outside=((2.0, 0.7, 3e-4, 0.6999, 3.05e-4, 0.01),),
        ),
        mutant=Form(
            "noise at x only", lambda **point: _autozoom_normal(**point, ahead=0.0)
        ),
        regime="σ << all four outputs",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "The exact variance is ΣV(F/σ)/β², log_ratio.variance_of_sum. Factors "
            "that share one query at x are correlated, by 1/2."
        ),
    ),
    equation(
        8,
        "So many repeated pairs settle the sign of the factor.",
        kind="exact",
        topic="repeats",
        printed=Form("(2σ²/F²) (Φ⁻¹(ε)/(exp(2σ²/F² - aβ) - 1))²", printed.repeats_8),
        evidence=Computed(
            lambda log_ratio, sigma, output, error: optimize.brentq(
                lambda pairs: (
                    stats.norm.sf(
                        2.0 * output * math.sinh(0.5 * log_ratio),
                        scale=sigma * math.sqrt(2.0 / pairs),
                    )
                    - error
                ),
                1e-9,
                1e12,
                xtol=1e-9,
                rtol=1e-12,
            ),
            error=1e-6,
        ),
        points=at(
            "log_ratio sigma output error",
            (1e-3, 5e-7, 4e-4, 0.3),
            (1e-3, 5e-6, 4e-4, 0.3),
            (1e-3, 1e-4, 4e-4, 0.3),
        ),
        corrected=Form(
            "2σ²Φ⁻¹(ε)²/(F1-F2)²",
            lambda log_ratio, sigma, output, error: repeats.fixed(
                2.0 * (output * math.sinh(0.5 * log_ratio) / sigma) ** 2, error
            ),
        ),
        mutant=Form(
            "σ²Φ⁻¹(ε)²/(F1-F2)²",
            lambda log_ratio, sigma, output, error: repeats.fixed(
                4.0 * (output * math.sinh(0.5 * log_ratio) / sigma) ** 2, error
            ),
        ),
        regime="2σ²/F² << aβ",
        expected="REFUTED",
        note="182 for 86 pairs at σ = 5e-6; beyond the pole, 2 for 34,374 at 1e-4.",
    ),
    defined(9, "The loss is minus the logarithm of the target's output."),
    equation(
        10,
        "The one-sided NES estimate has the slope of the smoothed loss as its mean.",
        kind="exact",
        topic="finite_difference",
        printed=Form("E f'(x + βu)", _smoothed_slope),
        evidence=Simulated(_one_sided),
        points=at("place probe", (0.5, 1.0), (1.5, 1.0)),
        mutant=Form("halved", lambda **point: 0.5 * _smoothed_slope(**point)),
        expected="CONFIRMED",
        note="Without a baseline its variance is higher: (f/β)² a query.",
    ),
    defined(11, "A pair's estimate is u ln(F1/F2)/β."),
    defined(12, "The factor is a = ln(h)/β, h = F1/F2."),
    equation(
        13,
        "The noisy factor is the logarithm of the noisy ratio over β.",
        kind="approximation",
        topic="ratio",
        printed=Form("P(A is real) = 1", lambda **_: 1.0),
        evidence=Simulated(ratio_drawn.same_sign),
        points=at(
            "output other_output sigma",
            (0.1, 0.1, 0.01),
            outside=((4e-4, 4e-4, 0.01),),
        ),
        corrected=Form("Φ(t1)Φ(t2) + Φ(-t1)Φ(-t2)", ratio.same_sign),
        mutant=Form("Φ(t1)Φ(-t2) + Φ(-t1)Φ(t2)", ratio.opposite_signs),
        regime="σ << F",
        expected="CONFIRMED_IN_REGIME",
        note="A definition with a domain: for σ >> F half of all factors do not exist.",
    ),
    defined(14, "The noisy ratio is (F1 + v1)/(F2 + v2).", "ratio"),
    identity(
        15,
        "The noisy ratio is the noiseless one times Z = (1 + v1/F1)/(1 + v2/F2).",
        topic="ratio",
        printed=Form(
            "h Z",
            lambda output, other_output, noise, other_noise: (
                output
                / other_output
                * (1.0 + noise / output)
                / (1.0 + other_noise / other_output)
            ),
        ),
        evidence=Computed(
            lambda output, other_output, noise, other_noise: (
                (output + noise) / (other_output + other_noise)
            )
        ),
        points=at(
            "output other_output noise other_noise",
            (0.1, 0.09, 0.02, -0.01),
            (4e-4, 3.9e-4, -0.01, 0.02),
        ),
        mutant=Form(
            "h/Z",
            lambda output, other_output, noise, other_noise: (
                output
                / other_output
                / (1.0 + noise / output)
                * (1.0 + other_noise / other_output)
            ),
        ),
    ),
    identity(
        16,
        "The noisy factor is the noiseless one plus ln(Z)/β.",
        topic="log_ratio",
        printed=Form(
            "a + ln(Z)/β",
            lambda output, other_output, noise, other_noise, probe: (
                (
                    math.log(output / other_output)
                    + math.log1p(noise / output)
                    - math.log1p(other_noise / other_output)
                )
                / probe
            ),
        ),
        evidence=Computed(
            lambda output, other_output, noise, other_noise, probe: (
                math.log((output + noise) / (other_output + other_noise)) / probe
            )
        ),
        points=at(
            "output other_output noise other_noise probe",
            (0.1, 0.09, 0.02, -0.01, 1e-3),
            (0.5, 0.4, -0.1, 0.05, 0.1),
        ),
        mutant=Form(
            "a - ln(Z)/β",
            lambda output, other_output, noise, other_noise, probe: (
                (
                    math.log(output / other_output)
                    - math.log1p(noise / output)
                    + math.log1p(other_noise / other_output)
                )
                / probe
            ),
        ),
        note="Where Z > 0.",
    ),
    equation(
        17,
        "The density of the noisy factor.",
        kind="exact",
        topic="ratio",
        printed=Form("β e^(β(x-a)) exp(-e^(2β(x-a))/(2σ_Z²))/(σ_Z √(2π))", _density_17),
        evidence=Computed(_factor_density, error=1e-7),
        points=at(
            "multiplier output other_output sigma probe",
            (0.0, 0.1, 0.1, 0.005, 0.01),
            (6.8, 0.1, 0.1, 0.005, 0.01),
            (-6.0, 0.1, 0.1, 0.005, 0.01),
        ),
        corrected=Form("β e^(βx) f_Z(e^(βx))/P(Z > 0)", ratio.multiplier_density),
        mutant=Form(
            "σ_Z² for 2σ_Z²",
            lambda **point: _density_17(**point, less=1.0, twice=1.0),
        ),
        expected="REFUTED",
        note="The exponent is -(e^(β(x-a)) - 1)²/(2σ_Z²): a -1 is lost; (58) has it.",
    ),
    defined(18, "The factor of a pair, once more."),
    equation(
        19,
        "The square of the factor is ((F1 - F2)/(βF2))².",
        kind="approximation",
        topic="log_ratio",
        printed=Form(
            "((F1-F2)/(βF2))²",
            lambda output, other_output, probe: (
                ((output - other_output) / (probe * other_output)) ** 2
            ),
        ),
        evidence=Computed(
            lambda output, other_output, probe: (
                (math.log(output / other_output) / probe) ** 2
            )
        ),
        points=at(
            "output other_output probe",
            (0.1001, 0.0999, 1e-3),
            outside=((0.1, 0.05, 0.1),),
        ),
        mutant=Form(
            "one-sided, half the gap",
            lambda output, other_output, probe: (
                ((output - other_output) / (2.0 * probe * other_output)) ** 2
            ),
        ),
        regime="|F1 - F2| << F2",
        expected="CONFIRMED_IN_REGIME",
        note="Too large for a > 0, too small for a < 0.",
    ),
    equation(
        20,
        "The SNR of the factor is ((F1 - F2)/(F2 σ_Z))².",
        kind="approximation",
        topic="log_ratio",
        printed=Form("1/SNR = (F2 σ_Z/(F1-F2))²", lambda **pair: 1.0 / _snr_20(**pair)),
        evidence=Simulated(noise_to_signal),
        points=at(
            "output other_output sigma",
            (0.1001, 0.0999, 1e-3),
            outside=((0.1, 0.05, 0.01),),
        ),
        corrected=Form(
            "(V(t1) + V(t2) + bias²)/ln²(F1/F2)",
            lambda **pair: 1.0 / log_ratio.definition_snr(**pair),
        ),
        mutant=Form("one-sided, half the gap", lambda **pair: 4.0 / _snr_20(**pair)),
        regime="σ << F and |F1 - F2| << F",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "The text says to put (3) for σ_Z²; (4) is meant. E[(Z-1)²] is infinite "
            "for the true ratio, E[ln²|Z|] is not."
        ),
    ),
    equation(
        21,
        "A Lipschitz output bounds the SNR by 4L²β²‖u‖² F1²/(σ²(F1² + F2²)).",
        kind="upper bound",
        topic="log_ratio",
        printed=Form("4L²β²‖u‖² F1²/(σ²(F1² + F2²)), logistic, L = 1/4", _bound_21),
        evidence=Computed(
            lambda place, probe, length, cosine, sigma: _snr_20(
                *_logistic_pair(place, probe, length, cosine), sigma
            )
        ),
        points=at(
            "place probe length cosine sigma",
            (0.0, 0.1, 1.0, 1.0, 0.01),
            (2.0, 0.1, 3.0, 0.4, 0.01),
        ),
        mutant=Form("2L²β²‖u‖²", lambda **point: _bound_21(**point, factor=2.0)),
        expected="CONFIRMED",
        note="Putting F1 = F2 and ‖u‖ = 1 next is what breaks the bound of (5).",
    ),
)
