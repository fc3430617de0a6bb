"""Random Logit Scaling: logits times a random number, the same for a whole row."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from querytax import expect
from querytax.defenses.defense import Keys, Model, standard_deviation
from querytax.defenses.rewriting import Rewriting

__all__ = ["RandomLogitScaling"]


class RandomLogitScaling(Rewriting):
    """Answer a z with z the model's logits and a fresh a of U(low, high) for every row.

    The class never changes. Whatever is homogeneous in the logits, such as a margin
    over their spread, does not see a at all.

    Parameters
    ----------
    model : nn.Module or callable
        From images (N, ...) to answers (N, C). Of probabilities p, softmax(a ln p) is
        answered.
    high : float
        The largest scale; at 0 the answer is the model's own. Below ``low`` nothing is
        left to draw: each row is scaled by ``high``.
    low : float
        The smallest scale, > 0.
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        As for `Defense`.

    Raises
    ------
    DomainError
        For a ``high`` that is negative or not finite, or a ``low`` that is not
        above 0.

    References
    ----------
    "Random Logit Scaling: Defending Deep Neural Networks Against Black-Box Score-Based
    Adversarial Example Attacks" 2026: U(0.5, 10).
    """

    def __init__(
        self,
        model: Model,
        high: float,
        *,
        low: float = 0.5,
        experiment_seed: Any = None,
    ) -> None:
        super().__init__(model, experiment_seed=experiment_seed)
        self.high = standard_deviation(high=high)
        self.low = float(expect.positive(low=low))

    def _settings(self) -> str:
        return f"high={self.high:g}, low={self.low:g}"

    @property
    def acts(self) -> bool:
        """Whether anything is scaled."""
        return self.high > 0

    def rewritten(self, logits: Tensor, rows: Keys, queries: Keys) -> Tensor:
        """The logits of each row times its own scale."""
        one = (1,) * (logits.dim() - 1)
        u = self._uniforms(one, "scale", logits, rows, queries)
        low = min(self.low, self.high)
        return logits * (low + (self.high - low) * u)
