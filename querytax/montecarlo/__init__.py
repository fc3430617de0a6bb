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


def experiments() -> dict[str, Callable[..., Any]]:
    """Every function that makes an experiment, by topic and name.

    Examples
    --------
    >>> "misstep.random_direction" in experiments()
    True
    """
    from querytax.montecarlo.declared import EXPERIMENTS

    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(EXPERIMENTS.items()))
