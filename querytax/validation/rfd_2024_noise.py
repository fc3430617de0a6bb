"""Claims of RFD (Nguyen et al., ICLR 2024) on what its noise does: f11 to f23.

Variances ν and μ of the paper are named so: ``noise_variance``, ``probe_variance``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import optimize, special

from querytax.montecarlo import margin as margin_drawn
from querytax.montecarlo import misstep as drawn_signs
from querytax.montecarlo.runs import Experiment
from querytax.theory import bisection, margin, misstep
from querytax.validation._samples import Normals, drawn
from querytax.validation.claim import (
    Claim,
    Computed,
    Form,
    Point,
    Simulated,
    Unavailable,
    at,
)

__all__ = ["CLAIMS"]


# -- score-based attacks -----------------------------------------------------------

_DIMENSION = 200


def _opposite(
    probe_variance: float,
    noise_variance: float,
    gradient_norm: float,
    feature_gradient_norm: float,
    curvature: float = 0.0,
) -> Experiment:
    """Whether the attacker acts opposite to the noiseless sign, in full vectors."""
    step, sigma = math.sqrt(probe_variance), math.sqrt(noise_variance)
    if curvature == 0.0:
        return drawn_signs.noisy_layers(
            gradient_norm, feature_gradient_norm, step, sigma
        )
    loss_sigma = sigma * feature_gradient_norm
    return drawn_signs.bent(
        gradient_norm, curvature, step, loss_sigma, dimension=_DIMENSION
    )


def _ratio(
    probe_variance: float,
    noise_variance: float,
    gradient_norm: float,
    feature_gradient_norm: float,
) -> float:
    """R of Theorem 1: variance of the noise in a change over that of the change."""
    gradients = (feature_gradient_norm / gradient_norm) ** 2
    return 2.0 * noise_variance / probe_variance * gradients


def _theorem_1(curvature: float = 0.0, **point: float) -> float:
    return 0.5 + math.atan(-(_ratio(**point) ** -0.5)) / math.pi


def _with_curvature(curvature: float = 0.0, **point: float) -> float:
    slope = point["probe_variance"] * point["gradient_norm"] ** 2
    bend = 0.5 * curvature * point["probe_variance"]
    variance = slope + 2.0 * bend**2 * _DIMENSION
    snr = variance / slope / _ratio(**point)
    return float(misstep.bent(snr, bend * _DIMENSION / math.sqrt(variance)))


def _site(
    probe_variance: float,
    noise_variance: float,
    gradient_norm: float,
    feature_gradient_norm: float,
) -> float:
    """Wrong signs from the noise that reaches the loss, s = √ν G_h, alone."""
    s = math.sqrt(noise_variance) * feature_gradient_norm
    change = math.sqrt(probe_variance) * gradient_norm
    return math.atan(math.sqrt(2.0) * s / change) / math.pi


# -- decision-based attacks --------------------------------------------------------


def _misjudged(
    gap: float,
    slope: float,
    noise_variance: float,
    feature_gradient_norm: float,
    curvature: float = 0.0,
) -> Experiment:
    """Whether one label misjudges a radius so far past the boundary, which is at 1."""
    sigma = math.sqrt(noise_variance)
    if curvature == 0.0:
        return drawn_signs.radius(gap, slope, feature_gradient_norm, sigma)

    def value(normals: Normals) -> Any:
        loss = -slope * gap + 0.5 * curvature * (1.0 - (1.0 + gap) ** 2)
        noise = sigma * feature_gradient_norm * normals(0)[:, 0]
        return (loss + noise > 0.0) != (loss > 0.0)

    arguments = {
        "gap": gap,
        "slope": slope,
        "noise_variance": noise_variance,
        "feature_gradient_norm": feature_gradient_norm,
        "curvature": curvature,
    }
    return drawn("rfd-2024/f15", arguments, value, event=True)


def _radius(
    gap: float,
    slope: float,
    noise_variance: float,
    feature_gradient_norm: float,
    curvature: float = 0.0,
) -> float:
    noise = math.sqrt(noise_variance) * feature_gradient_norm
    return float(special.ndtr(-slope * gap / noise))


def _loss_square(noise_variance: float, gradient: list[float]) -> Experiment:
    """Square of what feature noise adds to a linear loss."""
    slopes = np.asarray(gradient)

    def value(normals: Normals) -> Any:
        change: Any = 0.0
        for i in range(0, slopes.size, 2):
            part = slopes[i : i + 2]
            change = change + normals(i // 2)[:, : part.size] @ part
        return noise_variance * np.square(change)

    arguments = {
        "noise_variance": noise_variance,
        "gradient": " ".join(map(repr, gradient)),
    }
    cost = slopes.size / 2.0
    return drawn("rfd-2024/f16", arguments, value, low=0.0, cost=cost)


def _cell(radius: float, sigma: float, halvings: int, cell: int) -> Experiment:
    """Whether a bisection on noisy labels ends in one cell."""

    def value(normals: Normals) -> Any:
        low: Any = 0.0
        for i in range(halvings):
            width = 0.5 ** (i + 1)
            adversarial = low + width + sigma * normals(i)[:, 0] > radius
            low = low + np.where(adversarial, 0.0, width)
        return low == cell * 0.5**halvings

    arguments = {"radius": radius, "sigma": sigma, "halvings": halvings, "cell": cell}
    return drawn("rfd-2024/f22", arguments, value, event=True, cost=float(halvings))


def _cell_share(radius: float, sigma: float, halvings: int, cell: int) -> float:
    return float(bisection.cells(radius, sigma, halvings)[cell])


# -- accuracy ----------------------------------------------------------------------


def _grid(offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Three scores on a grid, and the margin of the first of them."""
    levels = [k * offset + np.arange(5.0) for k in range(3)]
    scores = np.stack(np.meshgrid(*levels), axis=-1).reshape(-1, 3)
    return scores, scores[:, 0] - scores[:, 1:].max(axis=1)


def _right(offset: float) -> float:
    return float((_grid(offset)[0].argmax(axis=1) == 0).mean())


def _costly_sigma(images: str, rate: float) -> float:
    """Noise that costs so much accuracy, by a search over the definition."""

    def cost(sigma: float) -> float:
        if images == "even":
            # Right images, margins over G spread evenly from 0 to 1.
            r = (np.arange(20000) + 0.5) / 20000
            return float(special.ndtr(-r / sigma).mean())
        # Normal margins, wrong images among them.
        return float(special.ndtr(1 / 0.7) - special.ndtr(1 / math.hypot(0.7, sigma)))

    return float(optimize.brentq(lambda s: cost(s) - rate, 1e-3, 1.0))


def _quantile(images: str, rate: float) -> float:
    """Margin over G below which that share of the right images lies."""
    if images == "even":
        return rate
    wrong = special.ndtr(-1 / 0.7)
    return float(1.0 + 0.7 * special.ndtri(wrong + rate * (1.0 - wrong)))


def _mean_flips(
    margins: list[float], feature_gradient_norms: list[float], sigma: float
) -> Experiment:
    """Whether noise turns a sign, at an image drawn; changes without it have std 1."""
    slopes = np.asarray(feature_gradient_norms)

    def value(normals: Normals) -> Any:
        image = np.floor(slopes.size * special.ndtr(normals(1)[:, 0])).astype(int)
        change = normals(0)[:, 0]
        noise = normals(2)[:, 0] - normals(2)[:, 1]
        return (change > 0.0) != (change + sigma * slopes[image] * noise > 0.0)

    arguments = {
        "feature_gradient_norms": " ".join(map(repr, feature_gradient_norms)),
        "sigma": sigma,
    }
    return drawn("rfd-2024/f23", arguments, value, event=True, cost=3.0)


def _flips(norms: list[float], sigma: float) -> float:
    """Mean share of wrong signs over images."""
    snr = 0.5 / np.square(sigma * np.asarray(norms))
    return float(np.mean(misstep.random_direction(snr)))


def _flips_of_equal_norms(
    margins: list[float], feature_gradient_norms: list[float], sigma: float
) -> float:
    """The same for a layer of the same accuracy whose norms are all 1."""
    target = margin.accuracy(margins, feature_gradient_norms, sigma)
    even = optimize.brentq(
        lambda s: float(margin.accuracy(margins, 1.0, s) - target), 1e-3, 10.0
    )
    return _flips([1.0] * len(margins), float(even))


def _signs(mu: float, nu: float, g_x: float, g_h: float, **more: float) -> Point:
    arguments = {
        "probe_variance": mu,
        "noise_variance": nu,
        "gradient_norm": g_x,
        "feature_gradient_norm": g_h,
    }
    return Point(arguments | more, inside=not more)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="rfd-2024/f11",
        statement=(
            "The chance that the attacker acts opposite to the noiseless sign grows "
            "with the ratio R of noise and change."
        ),
        kind="exact",
        topic="misstep",
        source="Theorem 1",
        printed=Form("1/2 + arctan(-1/√R)/π, R = 2ν G_h²/(μ G_x²)", _theorem_1),
        corrected=Form(
            "E Φ(-|H|√S), H ~ N(b, 1), b from the curvature; arctan(1/√S)/π at b = 0",
            _with_curvature,
        ),
        mutant=Form(
            "4ν for 2ν",
            lambda curvature=0.0, **point: (
                math.atan(math.sqrt(2.0 * _ratio(**point))) / math.pi
            ),
        ),
        evidence=Simulated(_opposite),
        points=(
            _signs(0.01, 0.01, 1.0, 1.0),
            _signs(0.01, 0.04, 1.3, 0.5),
            _signs(0.04, 1e-4, 1.0, 1.0),
            _signs(0.01, 0.01, 1.0, 1.0, curvature=0.1),
        ),
        regime="a loss linear over probe and noise: √μ |tr Hessian|/2 far below G_x",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "The printed score is π (P - 1/2), so that the correlation is exact. The "
            "last point has d = 200 and a Hessian of 0.1: the step's mean change is "
            "as large as its spread."
        ),
    ),
    Claim(
        id="rfd-2024/f12",
        statement="The arctan is bounded: wrong signs saturate as the ratio grows.",
        kind="asymptotic",
        topic="misstep",
        source="section 3.3",
        printed=Form("1/2", lambda snr: 0.5),
        corrected=Form("arctan(1/√S)/π", misstep.random_direction),
        mutant=Form("1/2 - 1/8", lambda snr: 0.375),
        evidence=Simulated(drawn_signs.random_direction),
        points=tuple(Point({"snr": s}, inside=s < 0.1) for s in (1e-6, 1e-5, 2.0)),
        regime="noise far above the change: 1/2 - P is √S/π",
        expected="CONFIRMED_IN_REGIME",
    ),
    Claim(
        id="rfd-2024/f13",
        statement="During an attack the ratio of the two gradient norms rises.",
        kind="data",
        topic="data",
        source="section 3.3, Figure 1",
        evidence=Unavailable("a figure: its numbers are not printed"),
        expected="INCONCLUSIVE",
        note=(
            "Measured under paper_reproductions/rfd-2024: it rises at most layers of "
            "CIFAR-10 networks, and falls at the deep ones of the digits."
        ),
    ),
    Claim(
        id="rfd-2024/f14",
        statement=(
            "Two sites whose noise moves the loss alike are alike to the attacker, "
            "whatever their ratios of gradient norms."
        ),
        kind="exact",
        topic="misstep",
        source="not in the paper; what Theorem 1 comes to",
        printed=Form("arctan(√2 s/(√μ G_x))/π, s = √ν G_h", _site),
        corrected=Form(
            "arctan(1/√S)/π",
            lambda **point: misstep.random_direction(1.0 / _ratio(**point)),
        ),
        mutant=Form(
            "without √2",
            lambda noise_variance, **point: _site(
                noise_variance=0.5 * noise_variance, **point
            ),
        ),
        evidence=Simulated(_opposite),
        points=(_signs(0.01, 0.01, 1.0, 1.0), _signs(0.01, 1e-4, 1.0, 10.0)),
        margin=0.02,
        expected="CONFIRMED",
        note=(
            "Accuracy, Φ(L/s), reads s alone too. A layer can beat the input only by "
            "how its gradient's norm varies over the images, or by curvature."
        ),
    ),
    Claim(
        id="rfd-2024/f15",
        statement="One noisy label misjudges whether a direction's radius is smaller.",
        kind="approximation",
        topic="misstep",
        source="eqs. (7), (8), (9)",
        printed=Form(
            "Φ(-κ |r - g(d)|/(√ν G_h)), κ the slope where the attacker is", _radius
        ),
        corrected=Form(
            "the same with the margin that the label has, κ at the boundary",
            lambda gap, slope, noise_variance, feature_gradient_norm, curvature=0.0: (
                misstep.radius(
                    gap,
                    slope + curvature * (1.0 + 0.5 * gap),
                    feature_gradient_norm,
                    math.sqrt(noise_variance),
                )
            ),
        ),
        mutant=Form(
            "2ν for ν: two draws",
            lambda noise_variance, **point: _radius(
                noise_variance=2.0 * noise_variance, **point
            ),
        ),
        evidence=Simulated(_misjudged),
        points=tuple(
            Point(
                {
                    "gap": gap,
                    "slope": 1.0,
                    "noise_variance": 0.01,
                    "feature_gradient_norm": 1.0,
                    **more,
                },
                inside=not more,
            )
            for gap, more in ((0.08, {}), (0.2, {}), (0.1, {"curvature": 1.0}))
        ),
        regime="a loss that is linear from the attacker to the boundary",
        expected="CONFIRMED_IN_REGIME",
        note="One draw of noise, hence ν and not 2ν. In (7) a bracket is missing.",
    ),
    Claim(
        id="rfd-2024/f16",
        statement="Feature noise adds a normal term to the loss.",
        kind="exact",
        topic="misstep",
        source="section 3.4",
        printed=Form(
            "variance ν G_h²",
            lambda noise_variance, gradient: (
                noise_variance * np.vdot(gradient, gradient)
            ),
        ),
        mutant=Form(
            "G_h for G_h²",
            lambda noise_variance, gradient: noise_variance * math.hypot(*gradient),
        ),
        evidence=Simulated(_loss_square),
        points=at(
            "noise_variance gradient", (0.04, [0.5, -1.0, 2.0, 0.25]), (1.0, [0.1, 0.1])
        ),
        expected="CONFIRMED",
    ),
    Claim(
        id="rfd-2024/f17a",
        statement="An answer is right where the margin loss is positive.",
        kind="exact",
        topic="margin",
        source="eq. (10)",
        printed=Form(
            "share of L > 0", lambda offset: float((_grid(offset)[1] > 0.0).mean())
        ),
        mutant=Form(
            "the worst rival for the best",
            lambda offset: float(
                np.mean([s[0] > s[1:].min() for s in _grid(offset)[0]])
            ),
        ),
        evidence=Computed(_right),
        points=at("offset", (0.3,), outside=((0.0,),)),
        margin=1e-6,
        regime="no ties between scores",
        expected="CONFIRMED_IN_REGIME",
        note="In (10) the scores stand for the class that has the greatest of them.",
    ),
    Claim(
        id="rfd-2024/f17b",
        statement="The accuracy of a randomised model is a mean over its draws.",
        kind="definition",
        topic="margin",
        source="eq. (11)",
        expected="DEFINITION",
    ),
    Claim(
        id="rfd-2024/f18",
        statement="With feature noise it is the chance of a positive noisy margin.",
        kind="definition",
        topic="margin",
        source="eq. (12)",
        expected="DEFINITION",
        note="The noise is drawn under one name and used under another.",
    ),
    Claim(
        id="rfd-2024/f19",
        statement="Noise makes the runner-up win as a linear margin says.",
        kind="approximation",
        topic="margin",
        source="eq. (13)",
        printed=Form(
            "Φ(-δ/(√2 s)), one rival",
            lambda gap, rivals, sigma: special.ndtr(-gap / (math.sqrt(2.0) * sigma)),
        ),
        corrected=Form("E[1 - Φ(ξ + δ/s)ⁿ], n rivals", margin.tied_rivals),
        mutant=Form(
            "the winner without noise",
            lambda gap, rivals, sigma: (
                -math.expm1(rivals * special.log_ndtr(gap / sigma))
            ),
        ),
        evidence=Simulated(margin_drawn.tied_rivals),
        points=tuple(
            Point({"gap": g, "rivals": n, "sigma": 1.0}, inside=n == 1)
            for g, n in ((2.0, 1), (1.0, 1), (2.0, 9))
        ),
        regime="one rival near; first order in the noise",
        expected="CONFIRMED_IN_REGIME",
        note="Nine rivals 2 s away leave 67.4 % right, not 92.1 %.",
    ),
    Claim(
        id="rfd-2024/f20",
        statement="Margin over gradient norm against a normal number: the accuracy.",
        kind="exact",
        topic="margin",
        source="eq. (14)",
        printed=Form(
            "mean of Φ(L/(√ν G_h))",
            lambda margin, gradient_norm, sigma: np.mean(
                special.ndtr(np.divide(margin, np.multiply(sigma, gradient_norm)))
            ),
        ),
        corrected=Form(
            "mean of Φ(m/(σ G))",
            lambda **at: margin.accuracy(
                at["margin"], at["gradient_norm"], at["sigma"]
            ),
        ),
        mutant=Form(
            "ν for √ν",
            lambda margin, gradient_norm, sigma: np.mean(
                special.ndtr(np.divide(margin, np.multiply(sigma**2, gradient_norm)))
            ),
        ),
        evidence=Simulated(
            lambda margin, gradient_norm, sigma: margin_drawn.accuracy(
                margins=margin, site_gradient_norms=gradient_norm, sigma=sigma
            )
        ),
        points=at(
            "margin gradient_norm sigma",
            ([0.1, 0.5, -0.05, 1.0], [1.0, 2.0, 0.5, 4.0], 0.3),
            ([0.2, -0.1], [1.0, 1.0], 0.5),
        ),
        margin=0.02,
        expected="CONFIRMED",
        note=(
            "Given (13). Wrong images count too, so that the net loss is of second "
            "order in the noise."
        ),
    ),
    Claim(
        id="rfd-2024/f21",
        statement=(
            "Noise that costs 1 % of accuracy is in proportion to the 1 % quantile of "
            "margin over gradient norm."
        ),
        kind="approximation",
        topic="margin",
        source="section 3.5",
        printed=Form(
            "σ = c q, c = √(2π) for evenly spread margins",
            lambda **point: margin.quantile_sigma(_quantile(**point)),
        ),
        mutant=Form("σ = q", lambda **point: _quantile(**point)),
        evidence=Computed(_costly_sigma, error=1e-6),
        points=tuple(
            Point({"images": images, "rate": r}, inside=images == "even")
            for images, r in (("even", 0.01), ("even", 0.03), ("normal", 0.01))
        ),
        regime="margins spread evenly from 0, wrong images not counted",
        expected="CONFIRMED_IN_REGIME",
        note=(
            "Where images that noise mends are counted, the loss is quadratic in the "
            "noise, and the noise in proportion to no quantile."
        ),
    ),
    Claim(
        id="rfd-2024/f22",
        statement="A bisection on noisy labels has no law in closed form.",
        kind="exact",
        topic="bisection",
        source="section 3.4",
        printed=Form("none", lambda **_: math.nan),
        corrected=Form("π(2j) = π(j) P, π(2j + 1) = π(j)(1 - P): Φ's", _cell_share),
        mutant=Form(
            "√2 σ for σ",
            lambda sigma, **point: _cell_share(sigma=math.sqrt(2.0) * sigma, **point),
        ),
        evidence=Simulated(_cell),
        points=tuple(
            Point({"radius": 0.6, "sigma": 0.1, "halvings": 3, "cell": j})
            for j in (4, 5, 6)
        ),
        expected="REFUTED",
    ),
    Claim(
        id="rfd-2024/f23",
        statement=(
            "At equal accuracy a layer whose gradients are large where margins are "
            "large misleads attackers more."
        ),
        kind="lower bound",
        topic="misstep",
        source="section 3.5",
        printed=Form(
            "wrong signs >= those of a layer with equal norms", _flips_of_equal_norms
        ),
        corrected=Form(
            "mean of arctan(√2 σ G)/π",
            lambda margins, feature_gradient_norms, sigma: _flips(
                feature_gradient_norms, sigma
            ),
        ),
        mutant=Form(
            "twice that",
            lambda margins, feature_gradient_norms, sigma: (
                2.0 * _flips(feature_gradient_norms, sigma)
            ),
        ),
        evidence=Simulated(_mean_flips),
        points=at(
            "margins feature_gradient_norms sigma",
            ([0.1, 0.5, 2.0], [0.1, 0.5, 2.0], 0.4),
            ([0.1, 0.5, 2.0], [0.3, 0.5, 1.0], 0.3),
        ),
        expected="CONFIRMED",
        note="In the linear theory. Norms that fall with the margins mislead less.",
    ),
)
