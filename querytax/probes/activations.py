"""The size of activations and of gradients at every site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from querytax.attacks.oracle import Model, even_parts
from querytax.models import inside
from querytax.models.rows import first_tensor
from querytax.probes.gradients import gradient_norms
from querytax.sites import Site

__all__ = ["Activations", "measure_activations"]


@dataclass(frozen=True)
class Activations:
    """Gradient norms of the cross-entropy, ``(N,)`` by site word; NaN without any."""

    gradient_norms: dict[str, np.ndarray]

    def of(self, site: Site) -> np.ndarray:
        """A site's norm; of several places, to first order, that of all together."""
        # A rival has no place of its own: what it rewrites or filters comes out there.
        if site.kind in ("output", "rival"):
            return self.gradient_norms["output"]
        return self.gradient_norms[site.name]

    @staticmethod
    def scale(model: Model, images: Tensor, site: Site, batch_size: int) -> float:
        """Root mean square of what the module of ``site`` puts out, or is given."""
        squares: list[Tensor] = []

        def note(_module: nn.Module, _inputs: object, output: Any) -> None:
            # At once: an activation that works in place writes over what it is given.
            first, _ = first_tensor(output)
            squares.append(first.detach().double().square().flatten(1).mean(1))

        def before(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            note(module, None, args[0])

        module = cast(nn.Module, inside(model)).get_submodule(site.module)
        if site.where == "input":
            handle = module.register_forward_pre_hook(before)
        else:
            handle = module.register_forward_hook(note)
        try:
            for part in images.split(even_parts(len(images), batch_size)):
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
    gradient: bool,
    batch_size: int,
) -> Activations:
    """Norms at the input, the logits and the sites."""
    others = (site.name for site in sites if site.kind in ("feature", "several"))
    names = list(dict.fromkeys(["input", "output", *others]))
    if not gradient:
        return Activations({name: np.full(len(images), np.nan) for name in names})
    # Towards a target the cross-entropy has the other sign, and the same norm.
    return Activations(
        gradient_norms(model, images, goals, names, loss="ce", batch_size=batch_size)
    )
