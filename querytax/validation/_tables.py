"""Claims about the papers' own tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from querytax.validation.claim import Claim, Computed, Tabled

__all__ = ["tabled"]


def tabled(value: Callable[..., float], tables: str, **claim: Any) -> Claim:
    """A claim about the paper's own tables.

    Parameters
    ----------
    value : callable
        What the tables give, from the arguments of a point.
    tables : str
        Which ones.
    **claim
        The rest of the claim. Without points it has one, without arguments.
    """
    evidence = (
        Computed(value) if claim["points"][0].arguments else Tabled(value, tables)
    )
    return Claim(evidence=evidence, **claim)
