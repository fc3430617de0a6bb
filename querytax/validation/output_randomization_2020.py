"""Claims of the output-randomization paper (ICLR 2020 submission), row by row.

p_c and p_o are the outputs of the true and of the best other class, primed behind the
probe: ``output``, ``rival``, ``output_behind``, ``rival_behind``; h is ``probe``.
"""

from __future__ import annotations

from querytax.validation.claim import Claim
from querytax.validation.output_randomization_2020_gradient import GRADIENT
from querytax.validation.output_randomization_2020_rates import RATES

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = (*RATES, *GRADIENT)
