"""The Adversarial Robustness Toolbox: attacks on arrays, in a classifier of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from querytax.attacks.foreign.meter import Metered
from querytax.attacks.foreign.table import load

__all__ = ["prepare", "settings"]


def settings(what: str, n_queries: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """What is given to the attack's class where the caller gives nothing.

    Numbers of iterations with which the budget ends the attack.
    """
    size = int(np.prod(shape))
    if what == "art:square":
        # Its schedule is a share of the iterations, each of three predictions.
        return {"max_iter": max(1, n_queries // 3)}
    if what == "art:simba":
        return {"max_iter": max(1, n_queries // 2)}
    if what == "art:signopt":
        return {"max_iter": n_queries, "query_limit": n_queries}
    if what == "art:zoo":
        # Coordinates without repetition; resizing assumes images above 32 pixels.
        parallel = min(128, size)
        return {
            "max_iter": max(1, n_queries // (2 * parallel)),
            "nb_parallel": parallel,
            "use_resize": min(shape[1:], default=0) > 32,
            "abort_early": False,
        }
    return {"max_iter": n_queries}


def prepare(
    what: str, meter: Metered, settings: dict[str, Any], seed: int
) -> Callable[[], Tensor | None]:
    """The attack on the meter's one image; called, it runs."""
    from art.estimators.classification import PyTorchClassifier

    kind, block = load(what), meter.block
    victim = PyTorchClassifier(
        meter,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(block.shape),
        nb_classes=block.n_classes,
        clip_values=(0.0, 1.0),
        device_type="cpu" if block.origin.device.type == "cpu" else "gpu",
    )
    norm = np.inf if block.plan.norm == "Linf" else 2
    targeted = block.targets is not None
    given: dict[str, Any] = {"verbose": False, **settings}
    if what == "art:square":
        given.update(norm=norm, eps=block.plan.eps)
    else:
        given["targeted"] = targeted
    if what == "art:hopskipjump":
        given["norm"] = norm
    attack = kind(victim, **given)
    goal = block.targets if block.targets is not None else block.labels
    y = np.eye(block.n_classes, dtype=np.float32)[goal.cpu().numpy()]
    more = {}
    if block.starts is not None:
        name = "x_init" if what == "art:signopt" else "x_adv_init"
        more[name] = block.starts.cpu().numpy()

    def run() -> Tensor:
        x = attack.generate(block.origin.cpu().numpy(), y, **more)
        return torch.as_tensor(x)

    return run
