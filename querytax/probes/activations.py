"""Gradient norms at every site in one backward pass, and the size of activations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from querytax.attacks.oracle import Model
from querytax.losses import attacker_loss
from querytax.sites import Site

__all__ = ["Activations", "measure_activations"]


@dataclass(frozen=True)
class Activations:
    """Gradient norms of the cross-entropy, ``(N,)`` by site word; NaN without any."""

    gradient_norms: dict[str, np.ndarray]

    @staticmethod
    def scale(model: Model, images: Tensor, site: Site, batch_size: int) -> float:
        """Root mean square of what the module named by ``site`` puts out."""
        assert isinstance(model, nn.Module)
        squares: list[Tensor] = []

        def note(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            # At once: an activation that works in place writes over what it is given.
            squares.append(output.detach().double().square().flatten(1).mean(1))

        handle = model.get_submodule(site.name).register_forward_hook(note)
        try:
            for part in images.split(batch_size):
                model(part)
        finally:
            handle.remove()
        return float(torch.cat(squares).mean()) ** 0.5


def measure_activations(
    model: Model,
    images: Tensor,
    goals: Tensor,
    sites: list[Site],
    *,
    answered: str,
    targeted: bool,
    gradient: bool,
    batch_size: int,
) -> Activations:
    """Norms at the input, the logits and the named modules."""
    names = ["input", "output", *(site.name for site in sites)]
    if not gradient:
        return Activations({name: np.full(len(images), np.nan) for name in names})
    kept: dict[str, Tensor] = {}

    def keep(name: str):  # type: ignore[no-untyped-def]
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            # The model goes on with a copy, which it may overwrite.
            kept[name] = output
            return output.clone()

        return hook

    handles = []
    if isinstance(model, nn.Module):
        handles = [
            model.get_submodule(site.name).register_forward_hook(keep(site.name))
            for site in sites
        ]
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    try:
        for x, goal in zip(
            images.split(batch_size), goals.split(batch_size), strict=True
        ):
            with torch.enable_grad():
                x = x.detach().clone().requires_grad_(True)
                answers = model(x)
                loss = attacker_loss(
                    answers, goal, loss="ce", answered=answered, targeted=targeted
                )
                at = {"input": x, "output": answers, **kept}
                gradients = torch.autograd.grad(
                    loss.sum(), [at[name] for name in names], materialize_grads=True
                )
            for name, g in zip(names, gradients, strict=True):
                found[name].append(g.flatten(1).double().norm(dim=1).cpu().numpy())
    finally:
        for handle in handles:
            handle.remove()
    return Activations({name: np.concatenate(v) for name, v in found.items()})
