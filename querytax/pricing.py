"""What noise costs in accuracy, by asking the model."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from querytax.attacks.oracle import Model, answer_in_batches, evaluating
from querytax.defenses import defend

__all__ = ["affordable", "price"]

# Noise draws an image.
_DRAWS = 16
# Two levels so near each other need no third between them.
_NEAR = 1.04


def price(
    model: Model,
    images: Tensor,
    labels: Tensor,
    site: str,
    sigma: float,
    *,
    n_draws: int = _DRAWS,
    batch_size: int = 256,
    rng: int = 0,
) -> tuple[float, float, float]:
    """Accuracy that noise costs on these images (lower, estimate, upper).

    Two standard errors to either side, of the paired change over images; where no
    answer changed at all, the bound of a share that was never seen.

    Parameters
    ----------
    model, images, labels
        The model without a defence.
    site : str
    sigma : float
    n_draws : int
        Noise draws an image.
    batch_size, rng
        As in :func:`querytax.attack`.
    """
    guarded = defend(model, site, sigma, experiment_seed=rng)
    with torch.no_grad(), evaluating(model):
        clean = answer_in_batches(model, images, batch_size).argmax(1) == labels
        right = torch.zeros(len(images), dtype=torch.float64, device=images.device)
        for _ in range(n_draws):
            said = answer_in_batches(guarded, images, batch_size).argmax(1)
            right += (said == labels).double()
    change = (clean.double() - right / n_draws).cpu().numpy()
    n = len(change)
    loss = float(change.mean())
    error = max(2.0 * float(change.std(ddof=1)) / n**0.5, 3.0 / n) if n > 1 else 1.0
    low, middle, high = np.clip((loss - error, loss, loss + error), 0.0, 1.0).tolist()
    return low, middle, high


def affordable(
    model: Model,
    images: Tensor,
    labels: Tensor,
    site: str,
    allowed: float,
    low: float,
    high: float,
    *,
    batch_size: int = 256,
    rng: int = 0,
) -> float:
    """The largest noise of a bracket that costs no more than is allowed, by estimate.

    Every level is asked with the same draws. An end of the bracket, where all of it or
    nothing is affordable.

    Parameters
    ----------
    model, images, labels, site, batch_size, rng
        As of :func:`price`.
    allowed : float
        Accuracy that may be lost.
    low, high : float
        Above 0.
    """

    def held(sigma: float) -> bool:
        _, loss, _ = price(
            model, images, labels, site, sigma, batch_size=batch_size, rng=rng
        )
        return loss <= allowed

    if held(high):
        return high
    while high > low * _NEAR:
        middle = math.sqrt(low) * math.sqrt(high)
        low, high = (middle, high) if held(middle) else (low, middle)
    return low
