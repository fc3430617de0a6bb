"""Claims of Aithal & Li (IEEE Access 2022), row by row."""

from __future__ import annotations

from querytax.validation.aithal_li_2022_numbers import NUMBERS
from querytax.validation.aithal_li_2022_theory import THEORY
from querytax.validation.claim import Claim

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = (*THEORY, *NUMBERS)
