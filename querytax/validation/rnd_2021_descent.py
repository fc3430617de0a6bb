"""Claims of RND (NeurIPS 2021): Theorem 1, descent on the smoothed loss.

μ is the standard deviation of the probe on each input and ν that of the defence's
noise; their names are ``probe`` and ``sigma``, and α = ν/μ.
"""

from __future__ import annotations

import math
from typing import Any

from scipy import integrate, optimize, stats

from querytax.montecarlo import smoothing as smoothing_drawn
from querytax.montecarlo import stationarity as descent_drawn
from querytax.montecarlo.runs import Experiment
from querytax.theory import second_moment, smoothing, stationarity
from querytax.validation.claim import (
    Claim,
    Computed,
    Form,
    Point,
    Simulated,
    at,
)
from querytax.validation.rnd_2021_estimate import curvature

__all__ = ["DESCENT", "descent"]

_PAPER = "rnd-2021"
_ROOT = math.sqrt(0.5)


def _mean_length(dimension: int, width: float) -> float:
    """E‖x‖ of x ~ N(0, width² I), by quadrature."""
    density = stats.chi(dimension).pdf
    top = math.sqrt(dimension) + 40.0
    found = integrate.quad(lambda r: r * density(r), 0.0, top, limit=400)
    return width * float(found[0])


def _widest_probe(gap: float, lipschitz: float, dimension: int, alpha: float) -> float:
    """The probe at which the mean of L‖y‖ has moved by the gap, α kept."""
    unit = _mean_length(dimension, 1.0)

    def excess(probe: float) -> float:
        widths = math.hypot(1.0, alpha) * probe, alpha * probe
        return lipschitz * unit * (widths[0] - widths[1]) - gap

    return float(optimize.brentq(excess, 0.0, 1e3 * gap / lipschitz, rtol=1e-12))


def descent(
    measure: str,
    dimension: int,
    step: float,
    steps: int,
    probe: float,
    sigma: float,
    radius: float = 1.0,
) -> Experiment:
    """Mean squared gradient, or envelope's gradient, over a descent from the middle.

    The loss is the first input, on a ball; free descent has the norm instead.
    """
    path = (probe, step, sigma, dimension, steps)
    if measure == "envelope":
        stiffness = 2.0 * math.sqrt(2.0 / math.pi) / math.hypot(probe, sigma)
        return descent_drawn.square_envelope(1.0, stiffness, *path, radius)
    if measure == "free":
        return descent_drawn.square_gradient(1.0, *path, start_input=radius)
    return descent_drawn.square_gradient(
        1.0, *path, radius=radius, iterates="projected", loss="linear"
    )


def _lost(dimension: float, probe: float, sigma: float) -> float:
    """Coefficient of Ση² in Theorem 1, for a Lipschitz constant of 1."""
    squares = 0.5 / probe + math.sqrt(2.0) * sigma / probe**2 + sigma**2 / probe**3
    return dimension**2.5 * squares


def _theorem_1(
    dimension: int,
    step: float,
    steps: int,
    probe: float,
    sigma: float,
    radius: float = 1.0,
    **_: Any,
) -> float:
    return radius / (step * steps) + step * _lost(dimension, probe, sigma)


def _kept_or_bounded(
    measure: str,
    dimension: int,
    step: float,
    steps: int,
    probe: float,
    sigma: float,
    radius: float = 1.0,
    gradient: float = 1.0,
    moment: float = 1.0,
) -> float:
    """What holds: a linear loss keeps its gradient on a ball, other measures fall."""
    if measure == "gradient":
        return gradient
    lost = moment * float(stationarity.coefficient(1.0, probe, sigma, dimension))
    if measure == "free":
        return radius / (step * steps) + step * lost
    return 2.0 * radius / (step * steps) + 4.0 * step * lost


def _equation_12(
    dimension: float,
    steps: float,
    gap: float,
    alpha: float,
    lipschitz: float = 1.0,
    radius: float = 1.0,
    **_: Any,
) -> float:
    scale = lipschitz**2.5 * dimension**1.5 * (alpha + _ROOT)
    return 2.0 * scale * math.sqrt(radius / (steps * gap))


def _step(
    dimension: float,
    steps: float,
    gap: float,
    alpha: float,
    lipschitz: float = 1.0,
    radius: float = 1.0,
    share: float = _ROOT,
) -> float:
    spread = (alpha + share) ** 2 * dimension**3 * lipschitz**3 * steps
    return math.sqrt(radius * gap / spread)


def _bound_of_step(
    step: float,
    dimension: float,
    steps: float,
    gap: float,
    alpha: float,
    lipschitz: float = 1.0,
    radius: float = 1.0,
) -> float:
    """Theorem 1's right-hand side at the probe that (12) uses."""
    probe = gap / (lipschitz * math.sqrt(dimension))
    lost = lipschitz**3 * _lost(dimension, probe, alpha * probe)
    return lipschitz * radius / (step * steps) + step * lost


def _least_step(**arguments: float) -> float:
    found = optimize.minimize_scalar(
        lambda x: math.log(_bound_of_step(math.exp(x), **arguments)),
        bounds=(-40.0, 10.0),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return math.exp(float(found.x))


def _at_12(
    measure: str, dimension: int, steps: int, gap: float, alpha: float, **_: Any
) -> dict[str, Any]:
    """The descent that (12) is about: its probe and step."""
    probe = gap / math.sqrt(dimension)
    step = _step(dimension, steps, gap, alpha)
    named = {"measure": measure, "dimension": dimension, "step": step, "steps": steps}
    return {**named, "probe": probe, "sigma": alpha * probe}


def _needed(tolerance: float, **arguments: float) -> float:
    """Steps until the least of Theorem 1's bounds is down at the tolerance."""

    def excess(log_steps: float) -> float:
        given = {**arguments, "steps": math.exp(log_steps)}
        return math.log(_bound_of_step(_least_step(**given), **given) / tolerance)

    return math.exp(float(optimize.brentq(excess, 0.0, 60.0, xtol=1e-8)))


_BASE = {
    "dimension": 10.0,
    "gap": 0.1,
    "alpha": 1.0,
    "tolerance": 0.1,
    "lipschitz": 1.0,
    "radius": 1.0,
}


def _complexity(power: float = 3.0, **changed: float) -> float:
    """The order of (12)'s query count, over that of the base case."""

    def order(
        dimension: float,
        gap: float,
        alpha: float,
        tolerance: float,
        lipschitz: float,
        radius: float,
    ) -> float:
        scale = (alpha + _ROOT) ** 2 * dimension**power * lipschitz**5
        return scale * radius / (gap * tolerance**2)

    return order(**{**_BASE, **changed}) / order(**_BASE)


def _tightest(loss: str, dimension: int, alpha: float) -> float:
    """Least valid coefficient of Ση² at this α, over that without noise.

    For Lipschitz losses it is the largest curvature times the largest mean square;
    along a linear loss nothing is curved, and the mean square alone counts.
    """
    inputs = stats.chi2(dimension)
    square = float(inputs.moment(1))
    # Of the norm: E‖u‖⁴, of a linear loss: E u₁²‖u‖²; the noise adds 2α² E‖u‖² to both.
    own = float(inputs.moment(2)) if loss == "lipschitz" else square + 2.0
    noise = 2.0 * alpha**2 * square
    rise = (own + noise) / own
    if loss == "linear":
        return rise
    curvatures = [curvature(1.0, dimension, 1.0, width) for width in (alpha, 0.0)]
    return rise * curvatures[0] / curvatures[1]


def _coefficients(loss: str, dimension: int, alpha: float) -> float:
    if loss == "lipschitz":
        least = stationarity.coefficient(1.0, 1.0, [alpha, 0.0], dimension)
    else:
        least = second_moment.linear(1.0, 1.0, [alpha, 0.0], dimension)
    return float(least[0] / least[1])


DESCENT: tuple[Claim, ...] = (
    Claim(
        id=f"{_PAPER}/n9",
        statement=(
            "Projected descent drives the smoothed loss's gradient down to any level "
            "that steps and step size allow."
        ),
        kind="upper bound",
        topic="stationarity",
        source="Theorem 1, first inequality",
        printed=Form(
            "L R/Ση + L³ d^(5/2) (1/(2μ) + √2 ν/μ² + ν²/μ³) Ση²/Ση, L = 1",
            lambda measure, **rest: _theorem_1(**rest),
        ),
        corrected=Form(
            "free: L R/Ση + C Ση²/Ση; projected: L², and that bound with 2 and 4 for "
            "its terms on the envelope's gradient",
            _kept_or_bounded,
        ),
        mutant=Form(
            "L²/2 under projection",
            lambda **rest: _kept_or_bounded(gradient=0.5, **rest),
        ),
        evidence=Simulated(descent),
        points=tuple(
            Point(
                {
                    "measure": measure,
                    "dimension": dimension,
                    "step": step,
                    "steps": 200,
                    "probe": 1.0,
                    "sigma": sigma,
                },
                measure == "gradient",
            )
            for measure, dimension, step, sigma in (
                ("gradient", 2, 0.04, 0.0),
                ("gradient", 2, 0.02, 0.5),
                ("free", 4, 0.02, 0.0),
                ("envelope", 2, 0.04, 0.0),
            )
        ),
        margin=0.05,
        regime="iterates that are not projected, d >= 3",
        expected="REFUTED",
        note=(
            "A linear loss keeps its gradient on the ball's edge. The fall should be "
            "of f_(μ,ν), not f_ν. Correct chain: L³ √d (d (d + 2) + 2 α² d²)/(2μ); "
            "the least known coefficient is theory's, below the printed one for "
            "d >= 3."
        ),
    ),
    Claim(
        id=f"{_PAPER}/n10",
        statement="The probe moves the smoothed loss by at most its mean length.",
        kind="upper bound",
        topic="smoothing",
        source="Theorem 1",
        printed=Form(
            "μ L √d",
            lambda lipschitz, dimension, probe, sigma: (
                probe * lipschitz * math.sqrt(dimension)
            ),
        ),
        corrected=Form("L κ_d (√(μ² + ν²) - ν)", smoothing.probe_gap),
        mutant=Form(
            "half of it",
            lambda **rest: 0.5 * smoothing.probe_gap(**rest),
        ),
        evidence=Simulated(smoothing_drawn.probe_gap),
        points=at(
            "lipschitz dimension probe sigma", (1.0, 2, 1.0, 0.5), (2.0, 40, 0.1, 0.2)
        ),
        margin=0.05,
        expected="CONFIRMED",
        note="About 2α times too wide for noise well above the probe.",
    ),
    Claim(
        id=f"{_PAPER}/n11",
        statement="A probe this narrow keeps the smoothed loss within ε.",
        kind="lower bound",
        topic="smoothing",
        source="Theorem 1",
        printed=Form(
            "μ = ε/(L √d)",
            lambda gap, lipschitz, dimension, alpha: (
                gap / (lipschitz * math.sqrt(dimension))
            ),
        ),
        corrected=Form(
            "μ = ε (√(1 + α²) + α)/(L κ_d)",
            lambda gap, lipschitz, dimension, alpha: smoothing.largest_probe_at_ratio(
                gap, lipschitz, alpha, dimension
            ),
        ),
        mutant=Form(
            "κ_d/√2 for κ_d",
            lambda gap, lipschitz, dimension, alpha: smoothing.largest_probe_at_ratio(
                math.sqrt(2.0) * gap, lipschitz, alpha, dimension
            ),
        ),
        evidence=Computed(_widest_probe, 1e-7),
        points=at(
            "gap lipschitz dimension alpha", (0.1, 1.0, 3, 0.0), (0.5, 4.0, 100, 2.0)
        ),
        margin=0.01,
        expected="CONFIRMED",
        note="Sufficient; a probe some 2α times wider is too, at the same α.",
    ),
    Claim(
        id=f"{_PAPER}/n12",
        statement="The constant step is the one with the least bound.",
        kind="exact",
        topic="stationarity",
        source="Theorem 1, constant step",
        printed=Form("η² = R ε/((α + √2/2)² d³ L³ (Q+1))", _step),
        mutant=Form("1/2 for √2/2", lambda **rest: _step(share=0.5, **rest)),
        evidence=Computed(_least_step, 1e-6),
        points=(
            Point({"dimension": 2, "steps": 100, "gap": 0.5, "alpha": 0.0}),
            Point(
                {
                    "dimension": 3072,
                    "steps": 1e4,
                    "gap": 0.1,
                    "alpha": 1.0,
                    "lipschitz": 4.0,
                }
            ),
        ),
        margin=0.001,
        expected="CONFIRMED",
        note="Algebra: the bound that it minimises fails under projection.",
    ),
    Claim(
        id=f"{_PAPER}/n13",
        statement="With that step the mean squared gradient falls as 1/√steps.",
        kind="upper bound",
        topic="stationarity",
        source="eq. (12)",
        printed=Form(
            "2 L^(5/2) √R d^(3/2) (α + √2/2)/√((Q+1) ε), L = R = 1",
            lambda measure, **rest: _equation_12(**rest),
        ),
        corrected=Form(
            "the gradient keeps L² on a linear loss; the envelope's falls",
            lambda **rest: _kept_or_bounded(**_at_12(**rest)),
        ),
        mutant=Form(
            "L²/2 under projection",
            lambda **rest: _kept_or_bounded(gradient=0.5, **_at_12(**rest)),
        ),
        evidence=Simulated(lambda **rest: descent(**_at_12(**rest))),
        points=at(
            "measure dimension steps gap alpha",
            ("gradient", 2, 1001, 0.5, 0.0),
            ("gradient", 2, 1001, 0.5, 0.5),
            outside=(("envelope", 2, 1001, 0.5, 0.0),),
        ),
        margin=0.05,
        expected="REFUTED",
        note=(
            "The algebra is right, but it takes the fall from the ball, L R, and the "
            "gradient as if there were none."
        ),
    ),
    Claim(
        id=f"{_PAPER}/n14",
        statement="The query count to a given gradient grows with these powers.",
        kind="asymptotic",
        topic="stationarity",
        source="Theorem 1, query complexity",
        printed=Form(
            "(α + √2/2)² d³ L⁵ R/(ε δ²), over its value at the base case", _complexity
        ),
        mutant=Form("d² for d³", lambda **rest: _complexity(2.0, **rest)),
        evidence=Computed(
            lambda **changed: _needed(**{**_BASE, **changed}) / _needed(**_BASE), 1e-5
        ),
        points=(
            Point({"alpha": 10.0, "dimension": 3072}),
            Point(
                {
                    "tolerance": 0.01,
                    "gap": 0.02,
                    "lipschitz": 2.0,
                    "radius": 3.0,
                    "dimension": 20,
                }
            ),
        ),
        margin=0.001,
        regime="as algebra on (12)",
        expected="CONFIRMED",
        note=(
            "The hidden constant is 4 for steps and 8 for model queries: 6.9e15 of "
            "them for L = 4, R = 1, ε = 0.1, δ = 1, d = 3072, α = 1."
        ),
    ),
    Claim(
        id=f"{_PAPER}/n15",
        statement="With that probe no smoothed loss is moved by more than ε.",
        kind="upper bound",
        topic="smoothing",
        source="Remark 1",
        printed=Form("ε", lambda gap, dimension, alpha: gap),
        corrected=Form(
            "ε κ_d (√(1 + α²) - α)/√d",
            lambda gap, dimension, alpha: smoothing.probe_gap(
                1.0,
                gap / math.sqrt(dimension),
                alpha * gap / math.sqrt(dimension),
                dimension,
            ),
        ),
        mutant=Form(
            "half of it",
            lambda gap, dimension, alpha: (
                0.5
                * smoothing.probe_gap(
                    1.0,
                    gap / math.sqrt(dimension),
                    alpha * gap / math.sqrt(dimension),
                    dimension,
                )
            ),
        ),
        evidence=Simulated(
            lambda gap, dimension, alpha: smoothing_drawn.probe_gap(
                1.0,
                gap / math.sqrt(dimension),
                alpha * gap / math.sqrt(dimension),
                dimension,
            )
        ),
        points=at("gap dimension alpha", (0.1, 4, 0.5), (0.1, 30, 2.0)),
        margin=0.05,
        expected="CONFIRMED",
        note=(
            "The second of three points; the first shares the fault of Theorem 1, and "
            "the third is its query count."
        ),
    ),
    Claim(
        id=f"{_PAPER}/n16",
        statement="More noise over the probe means a higher bound on descent.",
        kind="lower bound",
        topic="stationarity",
        source="after Remark 1",
        printed=Form(
            "coefficient of Ση² at α over that at 0 is at least 1",
            lambda loss, dimension, alpha: 1.0,
        ),
        corrected=Form(
            "(d + 2 + 2α²)/((d + 2) √(1 + α²)); linear: 1 + 2α² d/(d + 2)",
            _coefficients,
        ),
        mutant=Form(
            "without √(1 + α²)",
            lambda loss, dimension, alpha: (
                1.0 + 2.0 * alpha**2 / (dimension + 2.0)
                if loss == "lipschitz"
                else _coefficients(loss, dimension, alpha)
            ),
        ),
        evidence=Computed(_tightest, 1e-6),
        points=at(
            "loss dimension alpha",
            ("lipschitz", 30, 2.0),
            ("lipschitz", 3072, 1.0),
            ("linear", 100, 1.0),
        ),
        margin=0.01,
        regime="losses that are nearly linear over probe and noise",
        expected="REFUTED",
        note=(
            "Noise smooths a rough loss faster than it hurts, up to α = √(d/2 - 1). "
            "The gradient that falls is then that of a smoother loss."
        ),
    ),
)
