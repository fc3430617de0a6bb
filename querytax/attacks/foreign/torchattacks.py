"""torchattacks: attacks on tensors, with the model in hand."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from querytax.attacks.foreign.meter import Metered
from querytax.attacks.foreign.table import load

__all__ = ["prepare", "settings"]


def settings(what: str, n_queries: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """What is given to the attack's class where the caller gives nothing.

    Numbers of iterations with which the budget ends the attack.
    """
    if what == "torchattacks:square":
        return {"n_queries": n_queries}
    if what == "torchattacks:pixle":
        return {"restarts": n_queries}
    if what == "torchattacks:onepixel":
        return {"steps": n_queries}
    # Two questions a sample, and the iterate at the end with its votes.
    return {"nb_iter": max(1, (n_queries - 10) // 256)}


def prepare(
    what: str, meter: Metered, settings: dict[str, Any], seed: int
) -> Callable[[], Tensor | None]:
    """The attack on the meter's one image; called, it runs."""
    kind, block = load(what), meter.block
    takes = inspect.signature(kind).parameters
    plan = block.plan
    given: dict[str, Any] = {"eps": plan.eps, "norm": plan.norm, "seed": seed}
    given = {name: value for name, value in given.items() if name in takes}
    attack = kind(meter, **{**given, **settings})
    goal = block.labels
    if block.targets is not None:
        attack.set_mode_targeted_by_label(quiet=True)
        goal = block.targets

    def run() -> Tensor:
        found: Tensor = attack(block.origin.clone(), goal.clone())
        return found

    return run
