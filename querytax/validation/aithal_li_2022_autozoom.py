"""Claims of Aithal & Li (2022): AutoZOOM and rounded outputs, eqs. (40) to (52)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from querytax.montecarlo import ratio as drawn_ratios
from querytax.montecarlo.runs import Experiment
from querytax.theory import ratio
from querytax.validation.claim import Claim, Computed, Form, Point, Simulated, at

__all__ = ["AUTOZOOM", "definition", "relative_sigma"]

KEY = "aithal-li-2022"


def definition(row: str, statement: str, topic: str, source: str) -> Claim:
    return Claim(
        id=f"{KEY}/{row}",
        statement=statement,
        kind="definition",
        topic=topic,
        source=source,
        expected="DEFINITION",
    )


def relative_sigma(output: float, other_output: float, sigma: float) -> float:
    """Relative noise σ_Z of the ratio of two outputs, to first order."""
    return sigma * math.hypot(1.0 / output, 1.0 / other_output)


# Answers of a softmax at x and at x + βu, the target first, and noise on each.
HERE = (0.05, 0.6, 0.35)
AHEAD = (0.052, 0.59, 0.358)
NOISE = (0.004, -0.01, 0.02)
NOISE_AHEAD = (-0.006, 0.015, 0.01)


def _noisy_quotient(
    here: Any, ahead: Any, noise: Any, noise_ahead: Any, **_: float
) -> float:
    """The ratio of (44), each answer's maximum taken after the noise."""
    seen, seen_ahead = np.add(here, noise), np.add(ahead, noise_ahead)
    quotient = seen_ahead[1:].max() / seen_ahead[0] / (seen[1:].max() / seen[0])
    return float(quotient)


def _factors(
    here: Any, ahead: Any, noise: Any, noise_ahead: Any, **_: float
) -> tuple[float, float, float]:
    """h, Z1 and Z2 of (45), (47) and (48): the noiseless maximum's noise."""
    i, j = 1 + int(np.argmax(here[1:])), 1 + int(np.argmax(ahead[1:]))
    h = ahead[j] / ahead[0] / (here[i] / here[0])
    one = (1.0 + noise_ahead[j] / ahead[j]) / (1.0 + noise[i] / here[i])
    two = (1.0 + noise[0] / here[0]) / (1.0 + noise_ahead[0] / ahead[0])
    return float(h), float(one), float(two)


def _whole(probe: float, power: float = 1.0, **answers: Any) -> float:
    h, one, two = _factors(**answers)
    return (math.log(h) + power * math.log(one * two)) / probe


ANSWERS = {"here": HERE, "ahead": AHEAD, "noise": NOISE, "noise_ahead": NOISE_AHEAD}
# The runner-up wins by noise.
SWAPPED = {
    "here": (0.05, 0.48, 0.47),
    "ahead": (0.05, 0.481, 0.469),
    "noise": (0.004, -0.02, 0.02),
    "noise_ahead": (-0.006, 0.015, -0.01),
}


def _z_form(name: str) -> tuple[Form, Form, Form]:
    """Printed normal law of a noise ratio, its exact law, and a slip."""
    return (
        Form(
            f"P({name} <= z) = Φ((z - 1)/σ_Z)",
            lambda quotient, output, other_output, sigma: float(
                special.ndtr(
                    (quotient - 1.0) / relative_sigma(output, other_output, sigma)
                )
            ),
        ),
        Form(
            "law of the ratio of two normals",
            lambda quotient, output, other_output, sigma: ratio.distribution(
                quotient * output / other_output, output, other_output, sigma
            ),
        ),
        Form(
            "one output's noise for both",
            lambda quotient, output, other_output, sigma: float(
                special.ndtr((quotient - 1.0) * output / sigma)
            ),
        ),
    )


def _z_experiment(
    quotient: float, output: float, other_output: float, sigma: float
) -> Experiment:
    quotient = quotient * output / other_output
    return drawn_ratios.distribution(quotient, output, other_output, sigma)


AUTOZOOM: tuple[Claim, ...] = (
    Claim(
        id=f"{KEY}/eq-40",
        statement="Before the target wins, the C&W loss is the log of the ratio.",
        kind="exact",
        topic="log_ratio",
        source="appendix D, eq. (40)",
        printed=Form(
            "ln(F_max/F_t)", lambda output, rivals: math.log(max(rivals) / output)
        ),
        evidence=Computed(
            lambda output, rivals: max(
                0.0, max(math.log(r) for r in rivals) - math.log(output)
            )
        ),
        mutant=Form(
            "all others for the best",
            lambda output, rivals: math.log(sum(rivals) / output),
        ),
        points=at(
            "output rivals",
            (0.1, (0.6, 0.3)),
            (3e-4, (0.5, 0.2, 0.2997)),
            outside=((0.7, (0.2, 0.1)),),
        ),
        margin=1e-6,
        regime="the target is not reached yet",
        expected="CONFIRMED_IN_REGIME",
    ),
    definition(
        "eq-41",
        "Under output noise the attacker reads the loss from noisy answers.",
        "log_ratio",
        "appendix D, eq. (41)",
    ),
    Claim(
        id=f"{KEY}/eq-42",
        statement="AutoZOOM's forward difference is the log of a ratio of ratios.",
        kind="exact",
        topic="finite_difference",
        source="appendix D, eq. (42)",
        printed=Form(
            "ln((F'_max/F'_t)/(F_max/F_t))/β",
            lambda rival, output, rival_ahead, output_ahead, probe: (
                math.log(rival_ahead / output_ahead / (rival / output)) / probe
            ),
        ),
        evidence=Computed(
            lambda rival, output, rival_ahead, output_ahead, probe: (
                (
                    math.log(rival_ahead)
                    - math.log(output_ahead)
                    - (math.log(rival) - math.log(output))
                )
                / probe
            )
        ),
        mutant=Form(
            "2β for β",
            lambda rival, output, rival_ahead, output_ahead, probe: (
                math.log(rival_ahead / output_ahead / (rival / output)) / (2.0 * probe)
            ),
        ),
        points=at(
            "rival output rival_ahead output_ahead probe",
            (0.61, 0.048, 0.58, 0.053, 0.001),
        ),
        margin=1e-6,
        expected="CONFIRMED",
    ),
    definition(
        "eq-43",
        "The noisy factor is the log of the noisy ratio over the probe.",
        "log_ratio",
        "appendix D, eq. (43)",
    ),
    definition(
        "eq-44",
        "The noisy ratio of ratios of a forward difference.",
        "log_ratio",
        "appendix D, eq. (44)",
    ),
    definition(
        "eq-45",
        "The noiseless ratio of ratios of a forward difference.",
        "log_ratio",
        "appendix D, eq. (45)",
    ),
    Claim(
        id=f"{KEY}/eq-46",
        statement="The noisy ratio of ratios is the noiseless one times Z1 and Z2.",
        kind="exact",
        topic="ratio",
        source="appendix D, eq. (46)",
        printed=Form("h Z1 Z2", lambda **answers: math.prod(_factors(**answers))),
        evidence=Computed(_noisy_quotient),
        mutant=Form(
            "h Z1/Z2",
            lambda **answers: (
                _factors(**answers)[0] * _factors(**answers)[1] / _factors(**answers)[2]
            ),
        ),
        points=(Point(ANSWERS), Point(SWAPPED, inside=False)),
        margin=0.001,
        regime="noise does not change which rival is the best",
        expected="CONFIRMED_IN_REGIME",
    ),
    definition(
        "eq-47",
        "Z1: relative noise of the best rival ahead, over that here.",
        "ratio",
        "appendix D, eq. (47)",
    ),
    definition(
        "eq-48",
        "Z2: relative noise of the target here, over that ahead.",
        "ratio",
        "appendix D, eq. (48)",
    ),
    *(
        Claim(
            id=f"{KEY}/eq-{number}",
            statement=f"{name} is normal about 1, its relative variances added.",
            kind="approximation",
            topic="ratio",
            source=f"appendix D, eq. ({number})",
            printed=_z_form(name)[0],
            corrected=_z_form(name)[1],
            mutant=_z_form(name)[2],
            evidence=Simulated(_z_experiment),
            points=points,
            margin=0.03,
            regime=f"σ at most {top}/20",
            expected="CONFIRMED_IN_REGIME",
            note=note,
        )
        for number, name, top, note, points in (
            (
                49,
                "Z1",
                "F_max",
                "",
                at(
                    "quotient output other_output sigma",
                    (0.99, 0.59, 0.6, 0.01),
                    outside=((0.5, 0.59, 0.6, 0.3),),
                ),
            ),
            (
                50,
                "Z2",
                "F_t",
                "At the paper's σ = 0.01 and mean outputs the ratio is a Cauchy one.",
                at(
                    "quotient output other_output sigma",
                    (1.01, 0.1, 0.101, 0.001),
                    outside=((2.0, 3e-4, 3e-4, 0.01),),
                ),
            ),
        )
    ),
    Claim(
        id=f"{KEY}/eq-51",
        statement="The noisy factor is the noiseless one plus ln(Z1 Z2)/β.",
        kind="exact",
        topic="log_ratio",
        source="appendix D, eq. (51)",
        printed=Form("a + ln(Z1 Z2)/β", _whole),
        evidence=Computed(
            lambda probe, **answers: math.log(_noisy_quotient(**answers)) / probe
        ),
        mutant=Form("a - ln(Z1 Z2)/β", lambda **at: _whole(power=-1.0, **at)),
        points=(Point({**ANSWERS, "probe": 0.001}),),
        margin=1e-6,
        regime="all noisy answers positive, the best rival unchanged",
        expected="CONFIRMED",
    ),
    Claim(
        id=f"{KEY}/eq-52",
        statement="Z2 when both target answers are rounded to the same value Q.",
        kind="exact",
        topic="quantization",
        source="appendix E, eq. (52)",
        printed=Form(
            "(2 - Q/F)/(2 - Q/F')",
            lambda output, output_ahead, level: (
                (2.0 - level / output) / (2.0 - level / output_ahead)
            ),
        ),
        # The residue is what rounding adds: v = Q - F in (48).
        evidence=Computed(
            lambda output, output_ahead, level: (
                (1.0 + (level - output) / output)
                / (1.0 + (level - output_ahead) / output_ahead)
            )
        ),
        corrected=Form(
            "F'/F", lambda output, output_ahead, level: output_ahead / output
        ),
        mutant=Form("F/F'", lambda output, output_ahead, level: output / output_ahead),
        points=at("output output_ahead level", (0.2, 0.21, 0.25), (0.3, 0.29, 0.25)),
        margin=0.01,
        expected="REFUTED",
        note="The residue's sign is turned. Z2 cancels the signal: nothing is left.",
    ),
)
