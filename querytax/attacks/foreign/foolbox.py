"""Foolbox: attacks on tensors, each with a criterion of success."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from querytax.attacks.foreign.meter import Metered
from querytax.attacks.foreign.table import load

__all__ = ["prepare", "settings"]


def settings(what: str, n_queries: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """What is given to the attack's class where the caller gives nothing.

    Numbers of steps with which the budget ends the attack.
    """
    return {} if what == "foolbox:pointwise" else {"steps": n_queries}


def prepare(
    what: str, meter: Metered, settings: dict[str, Any], seed: int
) -> Callable[[], Tensor | None]:
    """The attack on the meter's one image; called, it runs."""
    from foolbox import PyTorchModel
    from foolbox.criteria import Misclassification, TargetedMisclassification

    kind, block = load(what), meter.block
    victim = PyTorchModel(meter.eval(), bounds=(0, 1), device=block.origin.device)
    given = dict(settings)
    if what == "foolbox:hopskipjump":
        given["constraint"] = block.plan.norm.lower()
    attack = kind(**given)
    if block.targets is None:
        criterion = Misclassification(block.labels)
    else:
        criterion = TargetedMisclassification(block.targets)
    more: dict[str, Any] = {}
    if block.starts is not None:
        more["starting_points"] = block.starts.clone()
    if what == "foolbox:genattack":
        more["epsilon"] = block.plan.eps

    def run() -> Tensor:
        # `run`, not a call, which would ask the model again about what it found.
        found: Tensor = attack.run(victim, block.origin.clone(), criterion, **more)
        return found

    return run
