"""Claims of the paper, row by row."""

from __future__ import annotations

from querytax.validation.claim import Claim

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = ()
