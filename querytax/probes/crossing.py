"""The label's sigmoid: how often noisy answers are adversarial near the boundary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from querytax.attacks.oracle import Model, answer_in_batches
from querytax.defenses.build import defend
from querytax.probes.path import slope
from querytax.probes.places import outside
from querytax.probes.response import Known
from querytax.sites import Site

__all__ = ["LARGEST", "OFFSETS", "QUERIES", "Near", "rim_gains"]

# Numbers of an image up to which each one's gain is kept.
LARGEST = 4096

# Shares of the displacement from the image to the boundary, beyond the crossing.
OFFSETS = (-0.5, -0.25, -0.1, -0.03, 0.0, 0.03, 0.1, 0.25, 0.5)
# The first query number: flips and responses have used those from 0.
QUERIES = 1 << 32


@dataclass(frozen=True)
class Near:
    """Points around the boundary, on the lines from images through it.

    Attributes
    ----------
    points : Tensor
        ``(k, O, ...)`` for the images whose way crosses the boundary, cut to [0, 1].
    goals, keys : Tensor
        ``(k,)`` their labels or targets, and their numbers.
    places : ndarray
        ``(k,)`` which of the ``n`` images they are.
    norms : ndarray
        ``(n,)`` L2 lengths from image to boundary; NaN where it is not crossed.
    """

    points: Tensor
    goals: Tensor
    keys: Tensor
    places: np.ndarray
    norms: np.ndarray

    @staticmethod
    def of(images: Tensor, goals: Tensor, keys: Tensor, crossing: Tensor) -> Near:
        """From where each of the images crosses the boundary, NaN if it does not."""
        norms = (crossing - images).double().flatten(1).norm(dim=1)
        known = norms.isfinite()
        x = images[known][:, None]
        beyond = 1.0 + torch.tensor(OFFSETS, dtype=x.dtype, device=x.device)
        beyond = beyond.view(-1, *(1,) * (images.ndim - 1))
        points = (x + beyond * (crossing[known][:, None] - x)).clamp(0.0, 1.0)
        places = known.nonzero()[:, 0].cpu().numpy()
        return Near(points, goals[known], keys[known], places, norms.cpu().numpy())

    def label_share(
        self,
        model: Model,
        site: Site,
        sigmas: np.ndarray,
        *,
        n_draws: int,
        batch_size: int,
        seed: int,
        answered: str,
        targeted: bool,
    ) -> np.ndarray:
        """Share of ``n_draws`` noisy answers that are adversarial, ``(S, O, n)``.

        The noise of offset o and draw k is that of row ``key * O + o`` and query
        ``QUERIES + k``.
        """
        found = np.full((len(sigmas), len(OFFSETS), len(self.norms)), np.nan)
        if not len(self.places):
            return found
        asked = self.points.flatten(0, 1)
        numbers = torch.arange(len(OFFSETS), device=asked.device)
        rows = (self.keys[:, None] * len(OFFSETS) + numbers).flatten()
        goals = self.goals.repeat_interleave(len(OFFSETS))
        if outside(site):
            # The noise acts on answers known already: no forward pass for a draw.
            asked = answer_in_batches(model, asked, batch_size)
            model, batch_size = Known(answered), len(asked)
        for level, sigma in enumerate(sigmas):
            guarded = defend(model, site, float(sigma), experiment_seed=seed)
            share = torch.zeros(len(rows), dtype=torch.float64, device=asked.device)
            draws = n_draws if sigma > 0 else 1
            for k in range(draws):
                queries = torch.full_like(rows, QUERIES + k)
                answers = answer_in_batches(guarded, asked, batch_size, rows, queries)
                said = answers.argmax(1)
                share += (said == goals) if targeted else (said != goals)
            shaped = (share / draws).view(-1, len(OFFSETS)).T
            if not sigma:
                # On the boundary itself rounding would decide.
                shaped[OFFSETS.index(0.0)] = 0.5
            found[level][:, self.places] = shaped.cpu().numpy()
        return found


def rim_gains(
    model: Model,
    images: Tensor,
    goals: Tensor,
    crossing: Tensor,
    *,
    eps: float,
    norm: str,
    answered: str,
    targeted: bool,
    batch_size: int,
) -> np.ndarray | None:
    """What each number gains at the budget's rim, as the statistics keep it.

    Parameters
    ----------
    images, goals : Tensor
        ``(n, ...)`` and ``(n,)``.
    crossing : Tensor
        ``(n, ...)`` where each image's way crosses the boundary, NaN if it does not.
    """
    n, d = len(images), images[0].numel()
    if d > LARGEST:
        return None
    found = np.full((n, 2, d), np.nan, dtype=np.float32)
    known = crossing.flatten(1).isfinite().all(1)
    if not bool(known.any()):
        return found
    x, at = images[known], crossing[known]
    g = slope(model, at, goals[known], "margin", answered, targeted, batch_size)
    origin, g = x.double().flatten(1), g.double().flatten(1)
    whole = (g * (at.double().flatten(1) - origin)).sum(1, keepdim=True)
    # A gradient that leads back to the image tells of no flat boundary.
    g = torch.where(whole > 0.0, g / whole, torch.nan)
    part = eps if norm == "Linf" else eps / d**0.5
    up, down = (1.0 - origin).clamp_max(part), origin.clamp_max(part)
    found[known.cpu().numpy()] = torch.stack((g * up, -g * down), 1).cpu().numpy()
    return found
