"""Claims of RFD (Nguyen et al., ICLR 2024), row by row."""

from __future__ import annotations

import math

from querytax.montecarlo import misstep as drawn
from querytax.theory import misstep
from querytax.validation.claim import Claim, Form, Point, Simulated

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="rfd-2024/f2",
        statement="The margin loss is positive where the answer is right.",
        kind="definition",
        topic="margin",
        source="eqs. (2), (3)",
        expected="DEFINITION",
    ),
    Claim(
        id="rfd-2024/f11",
        statement=(
            "Over random directions the chance that noise turns the sign of a change "
            "grows with the ratio R of their variances."
        ),
        kind="exact",
        topic="misstep",
        source="Theorem 1",
        printed=Form(
            "1/2 + arctan(-1/√R)/π, R = 1/S",
            lambda snr: 0.5 + math.atan(-math.sqrt(snr)) / math.pi,
        ),
        corrected=Form("arctan(1/√S)/π", misstep.random_direction),
        mutant=Form("R for √R", lambda snr: math.atan(1.0 / snr) / math.pi),
        evidence=Simulated(drawn.random_direction),
        points=tuple(Point({"snr": s}) for s in (0.01, 0.5, 20.0)),
        margin=0.02,
        expected="CONFIRMED",
        note="The printed score is π (P - 1/2).",
    ),
)
