"""Gaussian noise on the input: SND (Byun et al. 2022) and RND (Qin et al. 2021)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from querytax.defenses.keyed import KeyedDefense, Model, standard_deviation

__all__ = ["InputNoise"]


class InputNoise(KeyedDefense):
    """Answer f(x + sigma z) with fresh standard normal z for every row of every query.

    Parameters
    ----------
    model : nn.Module or callable
        From images (N, ...) to answers (N, C).
    sigma : float
        Standard deviation in units of the images. At 0 the answer is the model's own.
    rng : int, numpy.random.Generator, torch.Generator or None
        A seed, a generator to draw one from, or None for fresh entropy.

    Raises
    ------
    DomainError
        For a sigma that is negative or not finite.

    Notes
    -----
    The noisy image is not clipped to [0, 1]: clipping would shrink the noise on dark
    and bright pixels and so make another defence. A model that normalises its input
    does so behind the noise.
    """

    def __init__(self, model: Model, sigma: float, *, rng: Any = 0) -> None:
        super().__init__(model, rng=rng)
        self.sigma = standard_deviation(sigma=sigma)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"sigma={self.sigma:g}, seed={self.seed}"

    def forward(
        self, x: Tensor, rows: Tensor | None = None, queries: Tensor | None = None
    ) -> Tensor:
        x, rows, queries = self._admit(x, rows, queries)
        noisy = self._add_noise(x, self.sigma, "input", rows, queries)
        # A model may hand out its input or a tensor that it keeps.
        return self._ask(noisy, rows, queries).clone()

    forward.__doc__ = KeyedDefense.forward.__doc__
