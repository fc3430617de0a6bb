"""Monte-Carlo that simulates definitions and knows none of the laws.

Each topic has the name of its topic in the theory and functions of the same names:
they return an :class:`~querytax.montecarlo.runs.Experiment`, which
:func:`~querytax.montecarlo.runs.estimate` runs until it knows enough.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

__all__ = ["experiments"]

# Rooms of the engine, not topics.
_ENGINE = {"estimates", "rare", "runs", "streams", "tails"}


def experiments() -> dict[str, Callable[..., Any]]:
    """Every function that makes an experiment, by topic and name.

    Examples
    --------
    >>> "misstep.random_direction" in experiments()
    True
    """
    found: dict[str, Callable[..., Any]] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name not in _ENGINE and not module.name.startswith("_"):
            topic = importlib.import_module(f"{__name__}.{module.name}")
            for name in topic.__all__:
                found[f"{module.name}.{name}"] = getattr(topic, name)
    return found
