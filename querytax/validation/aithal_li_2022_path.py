"""Claims of Aithal & Li (2022): steps along a monotone path, eqs. (22) to (39).

F(z) = e^(-bend z)/bend, from z = 0 to z = 1, is the path: its largest slope is L = 1
and its least l = e^-bend. Letters as in the theorems' claims.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize

from querytax.montecarlo import contraction as contraction_drawn
from querytax.montecarlo.runs import Experiment
from querytax.montecarlo.streams import Stream
from querytax.theory import contraction
from querytax.validation import printed
from querytax.validation._samples import Normals, drawn
from querytax.validation.aithal_li_2022_autozoom import KEY
from querytax.validation.aithal_li_2022_pair import (
    defined,
    equation,
    identity,
    phi,
    quantile,
    steps_until,
)
from querytax.validation.claim import Claim, Computed, Form, Simulated, at

__all__ = ["PATH", "linear_steps", "log_walk"]


def _output(z: Any, bend: float) -> Any:
    return np.exp(-bend * z) / bend


def _slope(z: Any, bend: float) -> Any:
    return -np.exp(-bend * z)


_GOAL = 1.0


def _walk(bend: float, rates: Sequence[float] | npt.NDArray[Any]) -> float:
    """Distance left of 1 after gradient steps of eq. (26), w = 1."""
    z = 0.0
    for rate in rates:
        error = _output(z, bend) - _output(_GOAL, bend)
        z -= float(rate * _slope(z, bend) * error)
    return abs(_GOAL - z)


def _linear_walk(scale: float, rates: npt.NDArray[Any]) -> float:
    """Distance to 1 after steps on a linear F of slope √λ."""
    z, slope = 0.0, -math.sqrt(scale)
    for rate in rates:
        z -= rate * slope * (slope * z - slope * _GOAL)
    return _GOAL - z


def _power(bend: float, rate: float, steps: int, slopes: float) -> float:
    """Distance left if each step takes the share ``rate e^(-slopes bend)``."""
    return abs(1.0 - rate * math.exp(-slopes * bend)) ** steps


def _gradient(bend: float, place: float) -> tuple[Any, Any, Any]:
    """A point in two dimensions, its weights, and the numeric gradient of eq. (22)."""
    w = np.array([0.6, 0.8])
    x = place * w + 0.3 * np.array([0.8, -0.6])

    def loss(x: Any) -> float:
        return float(0.5 * (_output(w @ x, bend) - _output(_GOAL, bend)) ** 2)

    step = 1e-5 * np.eye(2)
    slopes = [(loss(x + h) - loss(x - h)) / 2e-5 for h in step]
    return x, w, np.array(slopes)


def _error_slope(bend: float, place: float) -> float:
    """F'[F(wx) - F(wx*)]."""
    return float(_slope(place, bend) * (_output(place, bend) - _output(_GOAL, bend)))


def _rates(rate: float, snr: float, steps: int) -> npt.NDArray[np.float64]:
    """Noisy learning rates a(1 + ξ/√S), the same at every call."""
    xi = Stream.of(0, f"{KEY}.rates").normals(0, steps)[:, 0]
    return rate * (1.0 + xi / math.sqrt(snr))


def _product(
    rate: float, snr: float, steps: int, curvature: float = 1.0, twice: float = 1.0
) -> float:
    """∏|1 - A_i λ|."""
    factors = np.abs(1.0 - twice * curvature * _rates(rate, snr, steps))
    return float(np.exp(np.log(factors).sum()))


def _two_modes(slow: float, fast: float, rate: float, snr: float, steps: int) -> float:
    modes = (_product(rate, snr, steps, curvature) for curvature in (slow, fast))
    return math.hypot(*modes) / math.sqrt(2.0)


def linear_steps(
    snr: float, contraction: float, remaining: float, error: float
) -> float:
    """Steps n at which Σ A_i < (1-r)/λ has probability ε, found by search."""
    goal = (1.0 - remaining) / contraction

    def excess(root: float) -> float:
        below = phi((goal - root * root) * math.sqrt(snr) / root)
        return math.log(below / error) if below > 0.0 else -800.0

    low, high = math.sqrt(goal), 2.0 * math.sqrt(goal)
    while excess(high) > 0.0:
        high *= 2.0
    return float(optimize.brentq(excess, low, high, xtol=1e-13, rtol=1e-12) ** 2)


def log_walk(
    snr: float, m: float, remaining: float, steps: float, drift: float | None = None
) -> float:
    """Probability that r is not reached: the logarithm's walk, as a normal sum."""
    if drift is None:
        drift = float(contraction.lyapunov(snr, m))
    spread = steps * float(contraction.lyapunov_variance(snr, m))
    return phi((steps * drift - math.log(remaining)) / math.sqrt(spread))


def _steps_38(
    snr: float, contraction: float, remaining: float, error: float, sign: float = 1.0
) -> float:
    q = -sign * quantile(error) / math.sqrt(snr)
    return 0.25 * (q + math.sqrt(q * q + 4.0 * (1.0 - remaining) / contraction)) ** 2


def _steps_37(snr: float, rate: float, scale: float, error: float) -> float:
    """Eq. (37) as it stands, solved for n: goal - na = Φ⁻¹(ε) √(n SNR)."""
    q, goal = quantile(error) * math.sqrt(snr), 0.99 / scale
    return ((-q + math.sqrt(q * q + 4.0 * rate * goal)) / (2.0 * rate)) ** 2


def _sum_below(snr: float, rate: float, steps: int, goal: float) -> Experiment:
    """Whether the sum of the noisy rates falls short."""

    def value(normals: Normals) -> npt.ArrayLike:
        total: Any = 0.0
        for k in range(steps // 2):
            total = total + normals(k).sum(axis=1)
        if steps % 2:
            total = total + normals(steps // 2)[:, 0]
        return rate * (steps + total / math.sqrt(snr)) < goal

    arguments = {"snr": snr, "rate": rate, "steps": steps, "goal": goal}
    return drawn(
        f"{KEY}.sum_below", arguments, value, cost=(steps + 1) // 2, event=True
    )


def _sum_normal(steps: int, rate: float, goal: float, spread: float) -> float:
    return phi((goal - steps * rate) / (spread * math.sqrt(steps)))


def _linearised(snr: float, contraction: float, remaining: float, steps: int) -> float:
    goal = (1.0 - remaining) / contraction
    return phi((goal - steps) * math.sqrt(snr / steps))


def _arrives(
    snr: float, contraction: float, remaining: float, steps: int
) -> Experiment:
    return contraction_drawn.not_arrived(snr, contraction, steps, remaining)


_PLACE = at("bend place rate", (1.0, 0.2, 0.5), (0.1, 0.6, 0.5))

PATH: tuple[Claim, ...] = (
    defined(22, "The path's loss, half the squared error of F.", "contraction"),
    defined(23, "A gradient step of learning rate a.", "contraction"),
    identity(
        24,
        "The gradient of that loss is wᵀF'[F(wx) - F(wx*)].",
        topic="contraction",
        printed=Form(
            "w1 F'[F(wx) - F(wx*)]",
            lambda bend, place: 0.6 * _error_slope(bend, place),
        ),
        evidence=Computed(lambda bend, place: _gradient(bend, place)[2][0], error=1e-7),
        points=at("bend place", (1.0, 0.2), (0.1, 0.6)),
        mutant=Form(
            "F' of the goal",
            lambda bend, place: (
                0.6 * _error_slope(bend, place) * math.exp(bend * (place - _GOAL))
            ),
        ),
    ),
    identity(
        25,
        "A step takes a times that gradient off the input.",
        topic="contraction",
        printed=Form(
            "x1 - a w1 F'[F(wx) - F(wx*)]",
            lambda bend, place, rate: (
                0.6 * place + 0.24 - rate * 0.6 * _error_slope(bend, place)
            ),
        ),
        evidence=Computed(
            lambda bend, place, rate: (
                _gradient(bend, place)[0][0] - rate * _gradient(bend, place)[2][0]
            ),
            error=1e-7,
        ),
        points=_PLACE,
        mutant=Form(
            "plus for minus",
            lambda bend, place, rate: (
                0.6 * place + 0.24 + rate * 0.6 * _error_slope(bend, place)
            ),
        ),
    ),
    identity(
        26,
        "It moves wx by a wwᵀ times F'[F(wx) - F(wx*)].",
        topic="contraction",
        printed=Form(
            "wx - a wwᵀ F'[F(wx) - F(wx*)]",
            lambda bend, place, rate: place - rate * _error_slope(bend, place),
        ),
        evidence=Computed(
            lambda bend, place, rate: (
                _gradient(bend, place)[1]
                @ (_gradient(bend, place)[0] - rate * _gradient(bend, place)[2])
            ),
            error=1e-7,
        ),
        points=_PLACE,
        mutant=Form(
            "w for wwᵀ",
            lambda bend, place, rate: place - 1.4 * rate * _error_slope(bend, place),
        ),
    ),
    equation(
        27,
        "A step moves wx by at least a wwᵀ|F'|L times the distance to wx*.",
        kind="lower bound",
        topic="contraction",
        printed=Form("a|F'|L (wx* - wx), w = 1", lambda bend, rate: rate),
        evidence=Computed(lambda bend, rate: 1.0 - _walk(bend, [rate])),
        points=at("bend rate", (1.0, 0.5), (0.01, 0.5)),
        corrected=Form(
            "a|F'|l (wx* - wx), l the least slope",
            lambda bend, rate: rate * math.exp(-bend),
        ),
        mutant=Form("2l", lambda bend, rate: 2.0 * rate * math.exp(-bend)),
        regime="F linear",
        expected="REFUTED",
        note=(
            "F' < 0 makes -a wwᵀF' positive, and the Lipschitz constant bounds the "
            "error of F from above: progress is at most this. A bound on the distance "
            "wants the least slope, strong monotonicity."
        ),
    ),
    equation(
        28,
        "The distance to wx* is at most (1 - a L wwᵀ|F'|)ⁿ of the first one.",
        kind="upper bound",
        topic="contraction",
        printed=Form(
            "(1 - a|F'|L)ⁿ, F' at the start",
            lambda bend, rate, steps: _power(bend, rate, steps, 0.0),
        ),
        evidence=Computed(lambda bend, rate, steps: _walk(bend, [rate] * steps)),
        points=at("bend rate steps", (1.0, 0.1, 20), (0.01, 0.1, 10)),
        corrected=Form(
            "(1 - a l²)ⁿ, l the least slope",
            lambda bend, rate, steps: _power(bend, rate, steps, 2.0),
        ),
        mutant=Form(
            "(1 - 2a l²)ⁿ",
            lambda bend, rate, steps: _power(bend, 2.0 * rate, steps, 2.0),
        ),
        regime="F linear",
        expected="REFUTED",
        note="Inherits (27): it bounds the distance from below.",
    ),
    equation(
        29,
        "The distance falls at least as fast as |1 - aλ|ⁿ, λ the least of L wwᵀ|F'|.",
        kind="upper bound",
        topic="contraction",
        printed=Form("(1 - aλ)ⁿ, λ = L l", lambda **point: _power(**point, slopes=1.0)),
        evidence=Computed(lambda bend, rate, steps: _walk(bend, [rate] * steps)),
        points=at("bend rate steps", (1.0, 0.1, 100), (0.01, 0.1, 10)),
        corrected=Form("(1 - a l²)ⁿ", lambda **point: _power(**point, slopes=2.0)),
        mutant=Form(
            "(1 - 2a l²)ⁿ",
            lambda bend, rate, steps: _power(bend, 2.0 * rate, steps, 2.0),
        ),
        regime="F linear",
        expected="REFUTED",
        note="An equality for linear F. With several modes the factor is the largest.",
    ),
    equation(
        30,
        "Without noise (1 - r)/(aλ) steps are needed.",
        kind="approximation",
        topic="contraction",
        printed=Form(
            "(1-r)/m", lambda contraction, remaining: (1.0 - remaining) / contraction
        ),
        evidence=Computed(
            lambda contraction, remaining: steps_until(1.0 - contraction, remaining)
        ),
        points=at(
            "contraction remaining", (0.0005, 0.99), outside=((0.2, 0.01), (0.2, 0.9))
        ),
        corrected=Form("ln r/ln(1-m)", contraction.noiseless_steps),
        mutant=Form(
            "ln(1/r)/(2m)",
            lambda contraction, remaining: -math.log(remaining) / (2.0 * contraction),
        ),
        regime="naλ << 1",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "A lower bound always (Bernoulli), and a loose one where the paper uses "
            "it: 4.95 for 20.6 steps at aλ = 0.2, r = 0.01."
        ),
    ),
    equation(
        31,
        "With noisy learning rates the distance is at most the product of the factors.",
        kind="upper bound",
        topic="contraction",
        printed=Form(
            "∏(1 - A_i L|F'|), F' at the start",
            lambda bend, rate, snr, steps: _product(rate, snr, steps),
        ),
        evidence=Computed(
            lambda bend, rate, snr, steps: _walk(bend, _rates(rate, snr, steps))
        ),
        points=at(
            "bend rate snr steps",
            (1e-3, 0.05, 1.0, 20),
            outside=((1.0, 0.05, 1.0, 20),),
        ),
        mutant=Form(
            "∏(1 - 2A_i L|F'|)",
            lambda bend, rate, snr, steps: _product(rate, snr, steps, twice=2.0),
        ),
        regime="F' constant along the path",
        expected="CONFIRMED_IN_REGIME",
        note="A bent F makes factors that do not commute, and inherits (27).",
    ),
    equation(
        32,
        "In several dimensions too the slowest mode's product bounds the distance.",
        kind="upper bound",
        topic="contraction",
        printed=Form(
            "∏|1 - A_i λ|, λ the least",
            lambda slow, fast, rate, snr, steps: _product(rate, snr, steps, slow),
        ),
        evidence=Computed(_two_modes),
        points=at(
            "slow fast rate snr steps",
            (1.0, 1.0, 0.05, 1.0, 20),
            (1.0, 2.0, 0.05, 1.0, 20),
            outside=((1.0, 2.0, 0.05, 1e-3, 20),),
        ),
        mutant=Form(
            "2λ",
            lambda slow, fast, rate, snr, steps: _product(
                rate, snr, steps, slow, twice=2.0
            ),
        ),
        regime="one mode, or |A_i|λ < 1 for all of them",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "Where |A|λ > 2 the fastest mode dominates. Noise here vanishes with the "
            "distance; output noise does not (theory.additive)."
        ),
    ),
    equation(
        33,
        "It suffices that the product of the factors is at most η/v0.",
        kind="upper bound",
        topic="contraction",
        printed=Form(
            "v_n/v0 <= ∏|1 - A_i λ|, linear F",
            lambda scale, **point: _product(curvature=scale, **point),
        ),
        evidence=Computed(
            lambda scale, rate, snr, steps: abs(
                _linear_walk(scale, _rates(rate, snr, steps))
            )
        ),
        points=at("scale rate snr steps", (2.0, 0.1, 1.0, 12), (0.5, 0.1, 0.1, 30)),
        mutant=Form(
            "2λ",
            lambda scale, **point: _product(curvature=scale, twice=2.0, **point),
        ),
        expected="CONFIRMED",
        note="Given (32); an equality for one linear mode.",
    ),
    equation(
        34,
        "For small a and low SNR the product is 1 - λ times the sum of the rates.",
        kind="approximation",
        topic="contraction",
        printed=Form("P(not arrived) = Φ(((1-r)/m - n) √(S/n))", _linearised),
        evidence=Simulated(_arrives),
        points=at(
            "snr contraction remaining steps",
            (1e-3, 0.002, 0.9, 400),
            (1e-2, 0.002, 0.9, 100),
            outside=((10.0, 2e-5, 0.999, 52),),
        ),
        corrected=Form(
            "Φ((nΛ + ln(1/r))/√(nV))",
            lambda snr, contraction, remaining, steps: log_walk(
                snr, contraction, remaining, steps
            ),
        ),
        mutant=Form(
            "Λ without noise, ln(1-m)",
            lambda snr, contraction, remaining, steps: log_walk(
                snr, contraction, remaining, steps, math.log1p(-contraction)
            ),
        ),
        regime="n m² (1 + 1/S)/2 << 1 - r: a high SNR",
        expected="REFUTED",
        note="Wanted is the opposite of a low SNR; the paper's are decades too low.",
    ),
    identity(
        35,
        "Then the rates must sum to (1 - r)/λ.",
        topic="contraction",
        printed=Form("(1-r)/λ", lambda scale, remaining: (1.0 - remaining) / scale),
        evidence=Computed(
            lambda scale, remaining: optimize.brentq(
                lambda total: 1.0 - scale * total - remaining, 0.0, 10.0 / scale
            ),
            error=1e-8,
        ),
        points=at("scale remaining", (2.0, 0.01), (0.3, 0.5)),
        mutant=Form("(1+r)/λ", lambda scale, remaining: (1.0 + remaining) / scale),
    ),
    equation(
        36,
        "Noisy rates are normal about a with the SNR as their variance.",
        kind="exact",
        topic="contraction",
        printed=Form(
            "P(ΣA < D) = Φ((D - na)/√(n SNR))",
            lambda snr, **point: _sum_normal(spread=math.sqrt(snr), **point),
        ),
        evidence=Simulated(_sum_below),
        points=at("snr rate steps goal", (1.0, 0.1, 8, 0.495), (0.04, 0.1, 30, 0.495)),
        corrected=Form(
            "Φ((D - na) √SNR/(a√n))",
            lambda snr, rate, **point: _sum_normal(
                rate=rate, spread=rate / math.sqrt(snr), **point
            ),
        ),
        mutant=Form(
            "SNR for its root",
            lambda snr, rate, **point: _sum_normal(
                rate=rate, spread=rate / snr, **point
            ),
        ),
        expected="REFUTED",
        note="By its definition the SNR is (a/sd)²: the standard deviation is a/√SNR.",
    ),
    equation(
        37,
        "The number of steps from the z-score with √(n SNR).",
        kind="exact",
        topic="contraction",
        printed=Form("n of ((1-r)/λ - na)/√(n SNR) = Φ⁻¹(ε), r = 0.01", _steps_37),
        evidence=Computed(
            lambda snr, rate, scale, error: linear_steps(
                snr, rate * scale, 0.01, error
            ),
            error=1e-8,
        ),
        points=at(
            "snr rate scale error", (1.0, 0.1, 2.0, 0.01), (1e-3, 0.1, 2.0, 0.01)
        ),
        corrected=Form(
            "eq. (38)",
            lambda snr, rate, scale, error: _steps_38(snr, rate * scale, 0.01, error),
        ),
        mutant=Form(
            "eq. (38) with K's sign lost",
            lambda snr, rate, scale, error: _steps_38(
                snr, rate * scale, 0.01, error, -1.0
            ),
        ),
        expected="REFUTED",
        note=(
            "It must be a√(n/SNR). Taken literally the noise costs nothing as the SNR "
            "falls; (38) was derived from the right one."
        ),
    ),
    identity(
        38,
        "Steps at which the linearised sum falls short with probability ε.",
        topic="contraction",
        printed=Form("(-q/√S + √(q²/S + 4(1-r)/m))²/4, q = Φ⁻¹(ε)", _steps_38),
        evidence=Computed(linear_steps, error=1e-8),
        points=at(
            "snr contraction remaining error",
            (0.01, 0.2, 0.01, 0.01),
            (1e-7, 0.2, 0.01, 0.01),
            (100.0, 0.01, 0.5, 0.2),
        ),
        mutant=Form("K's sign lost", lambda **point: _steps_38(**point, sign=-1.0)),
        note="For rates of standard deviation a/√SNR. q²/SNR where the SNR is low.",
    ),
    identity(
        39,
        "Over (1 - r)/(aλ) steps that is R of eq. (6).",
        topic="query_ratio",
        printed=Form("eq. (6)", printed.query_ratio_6),
        evidence=Computed(
            lambda snr, contraction, remaining, error: (
                linear_steps(snr, contraction, remaining, error)
                / ((1.0 - remaining) / contraction)
            ),
            error=1e-8,
        ),
        points=at(
            "snr contraction remaining error",
            (0.01, 0.2, 0.01, 0.01),
            (1e-7, 0.2, 0.01, 0.01),
            (100.0, 0.01, 0.5, 0.2),
        ),
        mutant=Form(
            "K's sign lost", lambda **point: 1.0 / float(printed.query_ratio_6(**point))
        ),
        note="Right algebra on (34), which is not right: see eq. (6).",
    ),
)
