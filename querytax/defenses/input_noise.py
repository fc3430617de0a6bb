"""Gaussian noise on the input: SND (Byun et al. 2022) and RND (Qin et al. 2021)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from querytax.defenses.defense import Defense, Keys, Model, standard_deviation

__all__ = ["InputNoise"]


class InputNoise(Defense):
    """Answer f(x + sigma z) with fresh standard normal z for every row of every query.

    Parameters
    ----------
    model : nn.Module or callable
        From images (N, ...) to answers (N, C).
    sigma : float
        Standard deviation in units of the images. At 0 the answer is the model's own.
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        None, for deployment: noise that nobody can predict or repeat. A whole number,
        or a generator to draw one from, is for experiments alone: whoever knows or
        finds it can subtract the noise.

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

    def __init__(
        self, model: Model, sigma: float, *, experiment_seed: Any = None
    ) -> None:
        super().__init__(model, experiment_seed=experiment_seed)
        self.sigma = standard_deviation(sigma=sigma)

    def _settings(self) -> str:
        return f"sigma={self.sigma:g}"

    @property
    def touches_input(self) -> bool:
        return self.sigma > 0

    def before(self, x: Tensor, rows: Keys, queries: Keys) -> Tensor:
        return self._add_noise(x, self.sigma, "input", rows, queries)

    def after(self, answer: Tensor, rows: Keys, queries: Keys) -> Tensor:
        # A model may hand out its input or a tensor that it keeps.
        return answer.clone()

    before.__doc__ = Defense.before.__doc__
    after.__doc__ = Defense.after.__doc__
