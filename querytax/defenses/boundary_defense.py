"""Boundary Defense: noise on the logits of answers that are unsure of themselves."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from querytax import expect
from querytax.defenses.defense import Keys, Model, standard_deviation
from querytax.defenses.rewriting import Rewriting

__all__ = ["BoundaryDefense"]


class BoundaryDefense(Rewriting):
    """Answer z + sigma g where the top probability is below a threshold, else z.

    Parameters
    ----------
    model : nn.Module or callable
        From images (N, ...) to answers (N, C). Of probabilities the logarithms are
        noised, and go through a softmax.
    sigma : float
        Standard deviation, in logits; at 0 the answer is the model's own.
    below : float
        An answer whose top probability lies below this is noised, in [0, 1].
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        As for `Defense`.

    Raises
    ------
    DomainError
        For a sigma that is negative or not finite, or a ``below`` outside [0, 1].

    Notes
    -----
    Between two classes that share nearly all of the probability the boundary lies
    where the top one is 1/2: with ``below`` of 1/2 or less such a boundary is answered
    exactly.

    References
    ----------
    Aithal & Li 2022, "Boundary Defense Against Black-box Adversarial Attacks",
    arXiv:2201.13444: sigma 0.1 below 0.3.
    """

    keeps_class: ClassVar[bool] = False

    def __init__(
        self,
        model: Model,
        sigma: float,
        *,
        below: float = 0.3,
        experiment_seed: Any = None,
    ) -> None:
        super().__init__(model, experiment_seed=experiment_seed)
        self.sigma = standard_deviation(sigma=sigma)
        expect.that(0.0 <= below <= 1.0, "in [0, 1]", below=below)
        self.below = float(below)

    def _settings(self) -> str:
        return f"sigma={self.sigma:g}, below={self.below:g}"

    @property
    def acts(self) -> bool:
        """Whether any answer is noised."""
        return self.sigma > 0 and self.below > 0

    def rewritten(self, logits: Tensor, rows: Keys, queries: Keys) -> Tensor:
        """Noisy logits, but for the rows that are sure."""
        sure = logits.softmax(dim=1).amax(dim=1, keepdim=True) >= self.below
        noisy = self._add_noise(logits, self.sigma, "unsure", rows, queries)
        return torch.where(sure, logits, noisy)
