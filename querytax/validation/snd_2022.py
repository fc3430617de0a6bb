"""Claims of SND (Byun, Go and Kim, WACV 2022), row by row; here s1 to s13."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from querytax.montecarlo import bias as bias_drawn
from querytax.montecarlo import bisection as bisection_drawn
from querytax.montecarlo import boundary as boundary_drawn
from querytax.montecarlo import finite_difference as finite_difference_drawn
from querytax.montecarlo import misstep as misstep_drawn
from querytax.montecarlo import second_moment as second_moment_drawn
from querytax.montecarlo import smoothing as smoothing_drawn
from querytax.montecarlo.runs import Experiment
from querytax.papers import text
from querytax.theory import (
    bias,
    bisection,
    boundary,
    finite_difference,
    misstep,
    second_moment,
    smoothing,
)
from querytax.validation import snd_2022_experiments
from querytax.validation._samples import Normals, differences, drawn
from querytax.validation._tables import tabled
from querytax.validation.claim import Claim, Form, Point, Simulated, at

__all__ = ["CLAIMS"]


# -- experiments -------------------------------------------------------------------


def _estimate(
    directions: int,
    probe_sigma: float,
    probe: float,
    sigma: float,
    gradient_norm: float,
) -> Experiment:
    """The sum over i = 0, ..., B of eq. (4), with probes of their own variance."""
    return differences(
        "snd-2022/s3",
        terms=directions + 1,
        divisor=float(directions),
        probe_sigma=probe_sigma,
        step=probe,
        gradient_norm=gradient_norm,
        sigma=sigma,
    )


def _jump(
    gradient_norm: float, sigma: float, step: float, tolerance: float
) -> Experiment:
    """Whether a linear noisy loss differs at two near points by more than that."""

    def value(normals: Normals) -> Any:
        noise = sigma * normals(0)
        change = gradient_norm * (step + noise[:, 0] - noise[:, 1])
        return np.abs(change) > tolerance

    arguments = {
        "gradient_norm": gradient_norm,
        "sigma": sigma,
        "step": step,
        "tolerance": tolerance,
    }
    return drawn("snd-2022/s4", arguments, value, event=True)


def _relu(weight: float, offset: float, x: float, sigma: float) -> Experiment:
    """A ReLU of one noisy input."""

    def value(normals: Normals) -> Any:
        return np.maximum(0.0, weight * (x + sigma * normals(0)[:, 0]) + offset)

    arguments = {"weight": weight, "offset": offset, "x": x, "sigma": sigma}
    return drawn("snd-2022/s13", arguments, value, low=0.0)


# -- forms -------------------------------------------------------------------------


def _noiseless_square(radius: float, sigma: float, halvings: int) -> float:
    cell = math.floor(radius * 2.0**halvings)
    return ((cell + 0.5) / 2.0**halvings - radius) ** 2


def _moment(
    gradient_norm: float, curvature: list[float], probe: float, sigma: float
) -> float:
    eigenvalues = np.asarray(curvature)
    trace, frobenius = eigenvalues.sum(), math.sqrt(np.square(eigenvalues).sum())
    return float(
        second_moment.quadratic(
            gradient_norm, trace, frobenius, probe, sigma, eigenvalues.size
        )
    )


def _tanh_shifted(margin: float, sigma: float) -> float:
    """Second-order mean of tanh(m/2) with σ in place of σ²."""
    t = math.tanh(0.5 * margin)
    return t - 0.25 * sigma * t * (1.0 - t * t)


def _relu_5(weight: float, offset: float, x: float, sigma: float) -> float:
    m, s = weight * x + offset, abs(weight) * sigma
    density = math.exp(-0.5 * (m / s) ** 2) / math.sqrt(2.0 * math.pi)
    return float(m * (1.0 - special.ndtr(-m / s)) + s * density)


def _relu_proof(weight: float, offset: float, x: float, sigma: float) -> float:
    """With the share of positive values that the proof names, 1 - Φ(m/s)."""
    t = (weight * x + offset) / (abs(weight) * sigma)
    whole = _relu_5(weight, offset, x, sigma)
    return float(whole / special.ndtr(t) * special.ndtr(-t))


CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="snd-2022/s1",
        statement="An attack lowers the margin, or the size of its perturbation.",
        kind="definition",
        topic="margin",
        source="eqs. (1), (2)",
        expected="DEFINITION",
        note="Of probabilities the margin lies in [-1, 1]; success is below 0.",
    ),
    Claim(
        id="snd-2022/s2",
        statement="The defence adds normal noise to the input of every query.",
        kind="definition",
        topic="bias",
        source="eq. (3)",
        expected="DEFINITION",
        note=(
            "σ is a standard deviation, on pixels in [0, 1]. A system that clips "
            "afterwards moves a pixel at 0 by σ/√(2π)."
        ),
    ),
    Claim(
        id="snd-2022/s3",
        statement="A mean of forward differences estimates the gradient.",
        kind="exact",
        topic="estimators",
        source="eq. (4)",
        printed=Form(
            "E along the gradient = G", lambda gradient_norm, **_: gradient_norm
        ),
        corrected=Form(
            "(B + 1)/B σ_u² G",
            lambda directions, probe_sigma, gradient_norm, **_: (
                (1 + 1 / directions) * probe_sigma**2 * gradient_norm
            ),
        ),
        mutant=Form(
            "σ_u for σ_u²",
            lambda directions, probe_sigma, gradient_norm, **_: (
                (1 + 1 / directions) * probe_sigma * gradient_norm
            ),
        ),
        evidence=Simulated(_estimate),
        points=tuple(
            Point(
                {
                    "directions": b,
                    "probe_sigma": u,
                    "probe": 0.1,
                    "sigma": 0.01,
                    "gradient_norm": 1.0,
                }
            )
            for b, u in ((10, 0.3), (1, 1.0))
        ),
        expected="REFUTED",
        note=(
            "The sum has B + 1 terms, the probe lacks its index, and its variance, "
            "named like the defence's, scales the result."
        ),
    ),
    Claim(
        id="snd-2022/s4",
        statement="Where the noisy loss has a very small variance it is continuous.",
        kind="exact",
        topic="misstep",
        source="section 3.2",
        printed=Form("P(jump > t) = 0 as the step vanishes", lambda **_: 0.0),
        corrected=Form(
            "2 Φ(-t/(√2 σ G))",
            lambda gradient_norm, sigma, tolerance, **_: (
                2
                * misstep.fixed_direction(
                    0.5 * (tolerance / (sigma * gradient_norm)) ** 2
                )
            ),
        ),
        mutant=Form(
            "the noise of one query",
            lambda gradient_norm, sigma, tolerance, **_: (
                2 * misstep.fixed_direction((tolerance / (sigma * gradient_norm)) ** 2)
            ),
        ),
        evidence=Simulated(_jump),
        points=tuple(
            Point(
                {
                    "gradient_norm": 1.0,
                    "sigma": s,
                    "step": 1e-6 * s,
                    "tolerance": s,
                }
            )
            for s in (1e-3, 1e-9)
        ),
        expected="REFUTED",
        note=(
            "Fresh noise makes it discontinuous everywhere, at every variance above "
            "0; a small one matters against the probe alone."
        ),
    ),
    Claim(
        id="snd-2022/s5",
        statement="Under noise finite differences do not converge to the gradient.",
        kind="exact",
        topic="finite_difference",
        source="section 3.2",
        printed=Form(
            "mean square error 2 s²/β², whatever the number of directions",
            lambda probe, loss_sigma, **_: 2.0 * (loss_sigma / probe) ** 2,
        ),
        corrected=Form(
            "2 s²/(β² B)",
            lambda probe, loss_sigma, repeats, **_: (
                finite_difference.forward_sd(probe, loss_sigma) ** 2 / repeats
            ),
        ),
        mutant=Form(
            "the noise of one query",
            lambda probe, loss_sigma, repeats, **_: (loss_sigma / probe) ** 2 / repeats,
        ),
        evidence=Simulated(
            lambda repeats, **at: finite_difference_drawn.forward_mean_square(
                pairs=repeats, **at
            )
        ),
        points=tuple(
            Point(
                {"curvature": 0.0, "probe": b, "loss_sigma": 0.04, "repeats": m},
                inside=m == 1,
            )
            for b, m in ((0.1, 1), (0.001, 1), (0.1, 30))
        ),
        regime="a narrow probe and a fixed number of directions",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "With many directions at a fixed probe the mean converges, to the gradient "
            "of the smoothed loss."
        ),
    ),
    tabled(
        lambda: (
            text("snd-2022/s6", "second point")
            + text("snd-2022/s6", "noise at the second point")
        ),
        "text.csv",
        id="snd-2022/s6",
        statement="The second of two near points is evaluated at its noisy place.",
        kind="data",
        topic="data",
        source="section 3.2, example",
        printed=Form("0.9701", lambda: 0.9701),
        corrected=Form("1.001 + 0.03", lambda: 1.031),
        mutant=Form("the first point's noise, 1.001 + 0.08", lambda: 1.081),
        points=(Point({}),),
        margin=1e-3,
        expected="REFUTED",
        note="The first, 1.080, is right; 0.9701 belongs to 1.0001 and -0.03.",
    ),
    Claim(
        id="snd-2022/s7",
        statement="Noise makes a bisection for the boundary end farther from it.",
        kind="lower bound",
        topic="bisection",
        source="section 3.2",
        printed=Form(
            "E error² >= (noiseless error)²",
            _noiseless_square,
        ),
        corrected=Form(
            "E error² from the product of Φ's",
            lambda radius, sigma, halvings: (
                bisection.rmse(radius, sigma, halvings) ** 2
            ),
        ),
        mutant=Form(
            "twice the true E error²",
            lambda radius, sigma, halvings: (
                2.0 * bisection.rmse(radius, sigma, halvings) ** 2
            ),
        ),
        evidence=Simulated(
            lambda radius, sigma, halvings: bisection_drawn.mean_square(
                radius, sigma, halvings
            )
        ),
        points=tuple(
            Point({"radius": 0.6, "sigma": s, "halvings": n})
            for s, n in ((0.1, 3), (0.03, 10))
        ),
        expected="CONFIRMED",
        note=(
            "Past log2(1/σ) halvings the error stays near 0.69 σ; only votes lower it."
        ),
    ),
    Claim(
        id="snd-2022/s8",
        statement="Noise hinders gradient estimates from labels.",
        kind="upper bound",
        topic="boundary",
        source="section 3.2",
        printed=Form(
            "gain <= √(2/π) exp(-m²/(2δ²)), that without noise",
            lambda probe, sigma, margin: (
                math.sqrt(2.0 / math.pi) * math.exp(-0.5 * (margin / probe) ** 2)
            ),
        ),
        corrected=Form(
            "√(2/π) (δ/S) exp(-m²/(2S²)), S² = δ² + σ²",
            lambda probe, sigma, margin: boundary.hopskipjump_gain(
                probe, sigma, margin
            ),
        ),
        mutant=Form(
            "(δ/S)² for δ/S",
            lambda probe, sigma, margin: (
                boundary.hopskipjump_gain(probe, sigma, margin)
                * probe
                / math.hypot(probe, sigma)
            ),
        ),
        evidence=Simulated(
            lambda probe, sigma, margin: boundary_drawn.hopskipjump_gain(
                probe, sigma, margin
            )
        ),
        points=tuple(
            Point({"probe": 1.0, "sigma": s, "margin": m}, inside=m <= 1.0)
            for s, m in ((3.0, 0.0), (1.0, 0.5), (3.0, 3.0))
        ),
        regime="a point at most a probe's width from the boundary",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "At the boundary the labels needed rise by 1 + σ²/δ²; farther off than the "
            "probe is wide, noise helps, as dither does."
        ),
    ),
    Claim(
        id="snd-2022/s9",
        statement="Under noise a local search accepts and rejects as if at random.",
        kind="asymptotic",
        topic="misstep",
        source="section 3.3",
        printed=Form("share of wrong decisions 1/2", lambda snr: 0.5),
        corrected=Form("arctan(1/√S)/π", misstep.random_direction),
        mutant=Form("2π for π", lambda snr: math.atan(snr**-0.5) / (2.0 * math.pi)),
        evidence=Simulated(misstep_drawn.random_direction),
        points=tuple(Point({"snr": s}, inside=s < 0.1) for s in (1e-6, 1e-4, 1.0)),
        regime="noise far above the change of the loss, S below 1e-3",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "A search that keeps its best answer does not walk: the k-th query is "
            "accepted with chance 1/k, and it freezes. Steps of 0.2 then end at norms "
            "0.560, 0.585, 0.608 after 5K, 10K, 20K queries; Table 3 has 0.52, 0.55, "
            "0.57 (SimBA) and 0.56, 0.58, 0.60 (SimBA-DCT)."
        ),
    ),
    Claim(
        id="snd-2022/s10",
        statement="A wider probe drowns the noise, and adds an error of its own.",
        kind="lower bound",
        topic="second_moment",
        source="section 3.4",
        printed=Form(
            "E|g|² at β >= that at β/2",
            lambda probe, **point: _moment(probe=0.5 * probe, **point),
        ),
        corrected=Form("E|g|² at β", _moment),
        mutant=Form("twice the true E|g|²", lambda **point: 2.0 * _moment(**point)),
        evidence=Simulated(
            lambda curvature, **point: second_moment_drawn.quadratic(
                curvatures=curvature, **point
            )
        ),
        points=tuple(
            Point(
                {
                    "gradient_norm": 1.0,
                    "curvature": [1.0] * 4,
                    "probe": b,
                    "sigma": 0.1,
                },
                inside=b > 0.5,
            )
            for b in (0.8, 3.0, 0.1)
        ),
        regime="a probe past √2 times second_moment.minimising_probe",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "That a threshold on the noisy loss acts as a wider probe is a heuristic; "
            "no formula is given."
        ),
    ),
    Claim(
        id="snd-2022/s11",
        statement="Averaged noisy outputs approach the noiseless output.",
        kind="approximation",
        topic="bias",
        source="section 3.4",
        printed=Form(
            "E f(x + η) = f(x), here tanh(m/2)",
            lambda margin, sigma: math.tanh(0.5 * margin),
        ),
        corrected=Form(
            "E tanh(D/2), D ~ N(m, σ²)",
            lambda margin, sigma: bias.two_class_margin(margin, margin_sigma=sigma),
        ),
        mutant=Form("f + σ f''/2", _tanh_shifted),
        evidence=Simulated(
            lambda margin, sigma: bias_drawn.two_class_margin(
                margin, margin_sigma=sigma
            )
        ),
        points=tuple(
            Point({"margin": 1.0, "sigma": s}, inside=s < 0.5)
            for s in (0.03, 0.05, 0.8)
        ),
        margin=0.004,
        regime="noise below the scale on which the output bends",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "The mean is that of the smoothed output, off by σ² times half the "
            "Laplacian; that E η = 0 is reason enough for affine outputs alone."
        ),
    ),
    Claim(
        id="snd-2022/s12",
        statement="Noise lifts the mean of x'x at 0 by d σ².",
        kind="exact",
        topic="smoothing",
        source="section 3.4, example 1",
        printed=Form("d σ²", lambda curvature, dimension, sigma: dimension * sigma**2),
        corrected=Form(
            "d σ²",
            lambda curvature, dimension, sigma: smoothing.quadratic_gap(
                mean_curvature=curvature, sigma=sigma, dimension=dimension
            ),
        ),
        mutant=Form("σ for σ²", lambda curvature, dimension, sigma: dimension * sigma),
        evidence=Simulated(
            lambda curvature, dimension, sigma: smoothing_drawn.quadratic_gap(
                mean_curvature=curvature, sigma=sigma, dimension=dimension
            )
        ),
        points=at("curvature dimension sigma", (2.0, 3, 0.5), (2.0, 3072, 0.01)),
        margin=0.02,
        expected="CONFIRMED",
        note=(
            "It lifts every x alike, so that all differences, and the gradient, are "
            "unmoved: no example of averaging that fails."
        ),
    ),
    Claim(
        id="snd-2022/s13",
        statement="A ReLU of a noisy input has a mean in closed form.",
        kind="exact",
        topic="bias",
        source="section 3.4, example 2, eqs. (5) to (9)",
        printed=Form("m (1 - Φ(-m/s)) + s φ(-m/s), m = wx + b, s = |w| σ", _relu_5),
        corrected=Form(
            "m Φ(m/s) + s φ(m/s)",
            lambda weight, offset, x, sigma: bias.relu_mean(
                weight * x + offset, abs(weight) * sigma
            ),
        ),
        mutant=Form("Φ(-m/s) for P(Y > 0), as a line of the proof has it", _relu_proof),
        evidence=Simulated(_relu),
        points=at(
            "weight offset x sigma", (2.0, -1.0, 0.52, 0.01), (-3.0, 0.5, 0.1, 0.2)
        ),
        margin=0.02,
        expected="CONFIRMED",
        note="The proof's P(Y > 0) is misprinted; its result is right. Needs w != 0.",
    ),
    *snd_2022_experiments.CLAIMS,
)
