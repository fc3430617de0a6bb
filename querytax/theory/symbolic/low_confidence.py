"""Noise at low confidence alone: how many answers carry it, and where."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import expected
from querytax.theory.symbolic.derivation import Derivation, proved

delta_margin_ms, sigma, top_probability, other_top_probability, threshold = sp.symbols(
    "delta_margin_ms sigma top_probability other_top_probability threshold",
    positive=True,
)
margin = sp.Symbol("margin", real=True)
rivals = sp.Symbol("rivals", positive=True, integer=True)
_v1, _v2, _v3, _v4 = sp.symbols("v1:5", real=True)


def _noisy(level: sp.Expr) -> sp.Expr:
    return sp.Piecewise((1, level < threshold), (0, True))


def snr() -> Derivation:
    """Two noisy logits in each noisy answer."""
    count = _noisy(top_probability) + _noisy(other_top_probability)
    law = delta_margin_ms / (2 * count * sigma**2)
    steps = []
    for k, other in ((1, sp.S.Zero), (2, _v3 - _v4)):
        noise = sigma * (_v1 - _v2 - other)
        spread = expected(noise**2, _v1, _v2, _v3, _v4)
        steps.append(
            proved(
                f"noisy answers: {k}",
                delta_margin_ms / spread,
                delta_margin_ms / (2 * k * sigma**2),
            )
        )
    return Derivation(law, tuple(steps))


def silent_share() -> Derivation:
    """Where the greatest probability falls to the threshold."""
    level = sp.log(rivals * threshold / (1 - threshold))
    law = 1 - sp.Min(1, sp.Max(0, level) / sp.Abs(margin))

    def top(m: sp.Expr) -> sp.Expr:
        return 1 / (1 + rivals * sp.exp(-m))

    z = sp.Symbol("z", real=True)
    equal = sp.exp(z + margin) / (sp.exp(z + margin) + rivals * sp.exp(z))
    return Derivation(
        law,
        (
            proved("probability of the top class", equal, top(margin)),
            proved("is the threshold there", top(level), threshold),
            proved("at the boundary", top(sp.S.Zero), 1 / (1 + rivals)),
        ),
    )
