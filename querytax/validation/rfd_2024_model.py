"""Claims of RFD (Nguyen et al., ICLR 2024) on attacks and randomised models: f1 to f10.

Variances ν and μ of the paper are named so: ``noise_variance``, ``probe_variance``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from querytax.montecarlo import bias as bias_drawn
from querytax.montecarlo.runs import Experiment
from querytax.theory import bias
from querytax.validation._samples import Normals, differences, drawn
from querytax.validation.claim import Claim, Computed, Form, Point, Simulated, at

__all__ = ["CLAIMS"]


# -- the attacker's estimates ------------------------------------------------------


def _gradient_sum(
    directions: int, probe_variance: float, step: float, gradient_norm: float
) -> Experiment:
    """Eq. (4) for a linear loss."""
    return differences(
        "rfd-2024/f3",
        terms=directions,
        divisor=1.0,
        probe_sigma=math.sqrt(probe_variance),
        step=step,
        gradient_norm=gradient_norm,
        sigma=0.0,
    )


def _radius_gradient(angle: float) -> float:
    """How fast the distance 1/cos(angle) to a plane grows as a unit d turns."""
    return math.sin(angle) / math.cos(angle) ** 2


def _radius_sum(
    directions: int, probe_variance: float, step: float, angle: float
) -> Experiment:
    """Eq. (6) for a plane at distance 1, along the gradient of g."""
    sigma = math.sqrt(probe_variance)
    here, across = math.cos(angle), math.sin(angle)

    def value(normals: Normals) -> Any:
        total: Any = 0.0
        for i in range(directions):
            u = sigma * normals(i)
            x, y = here + step * u[:, 0], across + step * u[:, 1]
            rise = np.hypot(x, y) / x - 1.0 / here
            total = total + rise / step * (here * u[:, 1] - across * u[:, 0])
        return total

    arguments = {
        "directions": directions,
        "probe_variance": probe_variance,
        "step": step,
        "angle": angle,
    }
    return drawn("rfd-2024/f5b", arguments, value, cost=float(directions))


# -- the randomised model ----------------------------------------------------------


def _skewed(spread: float, offset: float) -> Experiment:
    """Whether the margin exp(spread z) - offset is at most 0."""

    def value(normals: Normals) -> Any:
        return np.exp(spread * normals(0)[:, 0]) <= offset

    arguments = {"spread": spread, "offset": offset}
    return drawn("rfd-2024/f7", arguments, value, event=True)


def _skewed_share(spread: float, offset: float) -> float:
    return float(special.ndtr(math.log(offset) / spread))


def _forward(layers: int, noisy: int, sigma: float) -> Experiment:
    """Answer to 0 of layers that each add 1, the first few of them with noise."""

    def value(normals: Normals) -> Any:
        z: Any = 0.0
        for layer in range(layers):
            z = z + 1.0
            if layer < noisy:
                z = z + sigma * normals(layer)[:, 0]
        return z

    arguments = {"layers": layers, "noisy": noisy, "sigma": sigma}
    return drawn("rfd-2024/f8", arguments, value, cost=float(noisy))


def _margin(head: str, spread: float, offset: float) -> Experiment:
    """The margin of a noisy feature, through a linear or an exponential head."""

    def value(normals: Normals) -> Any:
        z = spread * normals(0)[:, 0]
        return (1.0 + z if head == "linear" else np.exp(z)) - offset

    arguments = {"head": head, "spread": spread, "offset": offset}
    return drawn("rfd-2024/f9", arguments, value)


def _mean_margin(head: str, spread: float, offset: float) -> float:
    return (1.0 if head == "linear" else math.exp(0.5 * spread**2)) - offset


def _definition(row: str, statement: str, topic: str, source: str, note: str) -> Claim:
    return Claim(
        id=f"rfd-2024/{row}",
        statement=statement,
        kind="definition",
        topic=topic,
        source=source,
        expected="DEFINITION",
        note=note,
    )


CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="rfd-2024/f1",
        statement="A perturbation's size is its l2 norm.",
        kind="exact",
        topic="margin",
        source="below eq. (1)",
        printed=Form("max |x_i|", lambda perturbation: max(map(abs, perturbation))),
        corrected=Form("√Σ x_i²", lambda perturbation: math.hypot(*perturbation)),
        mutant=Form("Σ |x_i|", lambda perturbation: sum(map(abs, perturbation))),
        evidence=Computed(
            lambda perturbation: float(np.sqrt(np.vdot(perturbation, perturbation)))
        ),
        points=at("perturbation", ([3.0, -4.0],)),
        expected="REFUTED",
        note="Misprints: this index, and the argmax of (1), which runs over classes.",
    ),
    _definition(
        "f2",
        "The margin loss is positive where the answer is right.",
        "margin",
        "eqs. (2), (3)",
        "Its best rival is a maximum: the mean margin of noisy scores lies below the "
        "margin of their means, so that averaging answers is not averaging losses.",
    ),
    Claim(
        id="rfd-2024/f3",
        statement="A sum of finite differences estimates the gradient.",
        kind="exact",
        topic="estimators",
        source="eq. (4)",
        printed=Form(
            "E along the gradient = G_x", lambda gradient_norm, **_: gradient_norm
        ),
        corrected=Form(
            "n μ G_x",
            lambda directions, probe_variance, gradient_norm, **_: (
                directions * probe_variance * gradient_norm
            ),
        ),
        mutant=Form(
            "√μ for μ",
            lambda directions, probe_variance, gradient_norm, **_: (
                directions * math.sqrt(probe_variance) * gradient_norm
            ),
        ),
        evidence=Simulated(_gradient_sum),
        points=tuple(
            Point(
                {
                    "directions": n,
                    "probe_variance": mu,
                    "step": 0.1,
                    "gradient_norm": 2.0,
                }
            )
            for n, mu in ((10, 0.01), (3, 0.5))
        ),
        expected="REFUTED",
        note=(
            "To be divided by n μ. Antithetic pairs, as NES has them, carry a quarter "
            "of the noise per direction."
        ),
    ),
    _definition(
        "f4",
        "A random search accepts a step if it lowers the loss.",
        "misstep",
        "section 3.1",
        "",
    ),
    _definition(
        "f5a",
        "A decision-based attack looks for the direction with the nearest boundary.",
        "bisection",
        "eq. (5)",
        "As printed the minimum over directions is missing.",
    ),
    Claim(
        id="rfd-2024/f5b",
        statement="A sum of finite differences estimates the gradient of the distance.",
        kind="exact",
        topic="estimators",
        source="eq. (6)",
        printed=Form("|∇g|", lambda angle, **_: _radius_gradient(angle)),
        corrected=Form(
            "n μ |∇g|",
            lambda directions, probe_variance, angle, **_: (
                directions * probe_variance * _radius_gradient(angle)
            ),
        ),
        mutant=Form(
            "√μ for μ",
            lambda directions, probe_variance, angle, **_: (
                directions * math.sqrt(probe_variance) * _radius_gradient(angle)
            ),
        ),
        evidence=Simulated(_radius_sum),
        points=at("directions probe_variance step angle", (5, 0.01, 0.01, 0.5)),
        expected="REFUTED",
        note="The scale of eq. (4) again.",
    ),
    _definition(
        "f6",
        "A randomised model answers with a draw that has a mean and a variance.",
        "bias",
        "section 3.1",
        "",
    ),
    Claim(
        id="rfd-2024/f7",
        statement=(
            "A point whose mean margin is positive is answered rightly most of the "
            "time, as its definition of success is meant."
        ),
        kind="upper bound",
        topic="margin",
        source="Definition 1",
        printed=Form("P(wrong) <= 1/2 where E L > 0", lambda spread, offset: 0.5),
        corrected=Form("Φ(ln(offset)/spread) for this skewed margin", _skewed_share),
        mutant=Form(
            "half the logarithm",
            lambda spread, offset: _skewed_share(spread, math.sqrt(offset)),
        ),
        evidence=Simulated(_skewed),
        points=at("spread offset", (1.0, 1.3), (0.5, 1.1)),
        margin=0.02,
        regime="margins without skew",
        expected="REFUTED",
        note=(
            "The mean also depends on whether scores are logits or probabilities. The "
            "ball is called closed, and its inequality is strict."
        ),
    ),
    Claim(
        id="rfd-2024/f8",
        statement="The algorithm runs the whole model, with noise on chosen layers.",
        kind="exact",
        topic="misstep",
        source="Algorithm 1",
        printed=Form(
            "mean answer of layers z + 1: number of noisy ones",
            lambda layers, noisy, sigma: float(noisy),
        ),
        corrected=Form("number of layers", lambda layers, noisy, sigma: float(layers)),
        mutant=Form("one less", lambda layers, noisy, sigma: layers - 1.0),
        evidence=Simulated(_forward),
        points=at("layers noisy sigma", (16, 1, 0.1), (12, 4, 0.5)),
        margin=0.02,
        expected="REFUTED",
        note=(
            "The branch for layers without noise is missing. Of several noisy layers "
            "the variances ν_l G_l² add up in Theorem 1, see misstep.noisy_layers."
        ),
    ),
    Claim(
        id="rfd-2024/f9",
        statement="What fools the model fools the randomised model, in the mean.",
        kind="exact",
        topic="margin",
        source="section 3.2, by Assumption 1 and Definition 1",
        printed=Form(
            "E L = L without noise", lambda head, spread, offset: 1.0 - offset
        ),
        corrected=Form(
            "1 - offset, or exp(spread²/2) - offset for the exponential head",
            _mean_margin,
        ),
        mutant=Form("half of it", lambda **point: 0.5 * _mean_margin(**point)),
        evidence=Simulated(_margin),
        points=at(
            "head spread offset",
            ("linear", 1.0, 1.3),
            outside=(("exponential", 1.0, 1.3),),
        ),
        regime="scores that are affine in the noisy features",
        expected="CONFIRMED_IN_REGIME",
        note="In the second case noise turns a wrong answer into a right one.",
    ),
    Claim(
        id="rfd-2024/f10",
        statement="Noise leaves the mean answer where it is.",
        kind="exact",
        topic="bias",
        source="Assumption 1",
        printed=Form(
            "E f(x + δ) = f(x), here a ReLU", lambda mean, sigma: max(0.0, mean)
        ),
        corrected=Form(
            "m Φ(m/s) + s φ(m/s)",
            lambda mean, sigma: bias.relu_mean(mean, value_sigma=sigma),
        ),
        mutant=Form(
            "twice the noise", lambda mean, sigma: bias.relu_mean(mean, 2.0 * sigma)
        ),
        evidence=Simulated(
            lambda mean, sigma: bias_drawn.relu_mean(mean, value_sigma=sigma)
        ),
        points=tuple(
            Point({"mean": m, "sigma": s}) for m, s in ((0.3, 0.5), (0.01, 0.02))
        ),
        margin=0.02,
        regime="affine scores: noise on the features of a final linear layer",
        expected="REFUTED",
        note=(
            "Bounded scores keep their mean at every feature only if constant, "
            "Lipschitz ones only if affine. The shift is ν/2 times the Laplacian."
        ),
    ),
)
