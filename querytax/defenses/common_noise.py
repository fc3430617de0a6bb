"""Output noise of which all classes of a row share a part."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from querytax import expect
from querytax.defenses.defense import Keys, Model
from querytax.defenses.output_noise import OutputNoise

__all__ = ["CommonNoise"]


class CommonNoise(OutputNoise):
    """Answer F(x) + sigma (sqrt(rho) c + sqrt(1 - rho) z), c one number for each row.

    Every score has noise of standard deviation sigma, and two classes of a row have
    noises of correlation rho. A difference of scores has noise of variance
    2 (1 - rho) sigma**2: what is common is no defence against who compares classes.

    Parameters
    ----------
    model : nn.Module or callable
        As for `OutputNoise`.
    sigma : float
        Standard deviation in units of the answer. At 0 the answer is exact.
    rho : float
        Share of the variance that is common to all classes of a row, in [0, 1].
    on : {"logits", "probabilities"}
        What the noise is added to, and what is answered. Probabilities are not put
        back into [0, 1], which would make the common part differ.
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        As for `Defense`.

    Raises
    ------
    DomainError
        As for `OutputNoise`, and for a rho outside [0, 1].
    """

    def __init__(
        self,
        model: Model,
        sigma: float,
        *,
        rho: float = 0.5,
        on: str = "logits",
        experiment_seed: Any = None,
    ) -> None:
        super().__init__(model, sigma, on=on, experiment_seed=experiment_seed)
        expect.that(0.0 <= rho <= 1.0, "in [0, 1]", rho=rho)
        self.rho = float(rho)

    def _settings(self) -> str:
        return f"sigma={self.sigma:g}, rho={self.rho:g}, on={self.on}"

    def _add_noise(
        self, value: Tensor, sigma: float, kind: str, rows: Keys, queries: Keys
    ) -> Tensor:
        if sigma == 0:
            return value
        wide = value.double()
        own = super()._add_noise(
            wide, sigma * math.sqrt(1.0 - self.rho), kind, rows, queries
        )
        none = wide.new_zeros((len(wide), 1, *(1,) * (wide.dim() - 2)))
        common = super()._add_noise(
            none, sigma * math.sqrt(self.rho), f"{kind}/common", rows, queries
        )
        return (own + common).to(value.dtype)
