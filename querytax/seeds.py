"""A seed from whatever a caller passes as ``rng``."""

from __future__ import annotations

import operator
import secrets
from typing import Any

from querytax.expect import DomainError

__all__ = ["seed_of"]


def seed_of(rng: Any, name: str = "rng") -> int:
    """A seed from whatever a caller passes as ``rng``.

    Parameters
    ----------
    rng : int, numpy.random.Generator, torch.Generator or None
        A whole number is its own seed; a generator is asked for one and so moves
        on; None takes fresh entropy from the operating system. Keep the answer: it
        is what reproduces the run.
    name : str
        What the caller calls it, for the error.

    Returns
    -------
    int

    Raises
    ------
    DomainError
        For anything else.
    """
    if rng is None:
        return secrets.randbits(63)
    if type(rng).__module__.partition(".")[0] == "torch" and hasattr(rng, "device"):
        import torch

        limit = 2**63 - 1
        return int(torch.randint(limit, (), generator=rng, device=rng.device))
    if hasattr(rng, "integers") and hasattr(rng, "bit_generator"):
        return int(rng.integers(2**63))
    if not isinstance(rng, bool):
        try:
            return operator.index(rng)
        except TypeError:
            pass
    raise DomainError(
        f"expected {name} to be a whole number, a NumPy or torch Generator or None, "
        f"got {rng!r}"
    )
