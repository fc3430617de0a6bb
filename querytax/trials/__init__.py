"""What was attacked, kept in one file, and the bench that attacks what is missing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from querytax.trials.bench import Bench
    from querytax.trials.fingerprints import image_fingerprints, network_fingerprint
    from querytax.trials.ground import attacker_seed, noise_seed
    from querytax.trials.store import ImageRow, RunKey, Store

# Name -> the module that holds it; loaded when first used: a store needs no torch.
_HOME = {
    "Bench": "bench",
    "ImageRow": "store",
    "RunKey": "store",
    "Store": "store",
    "attacker_seed": "ground",
    "image_fingerprints": "fingerprints",
    "network_fingerprint": "fingerprints",
    "noise_seed": "ground",
}

__all__ = [
    "Bench",
    "ImageRow",
    "RunKey",
    "Store",
    "attacker_seed",
    "image_fingerprints",
    "network_fingerprint",
    "noise_seed",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
