"""Random self-ensemble: noise before each convolution, trained with it (RSE)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from querytax import expect
from querytax.defenses.deciding import mean_answer
from querytax.defenses.defense import Defense, Model, standard_deviation
from querytax.defenses.feature_noise import FeatureNoise
from querytax.defenses.layers import Visit, touching, undefended
from querytax.defenses.recording import live
from querytax.defenses.trained.preparing import Data, logits, schedule
from querytax.expect import DomainError

__all__ = ["SelfEnsemble", "ensemble_tuned"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class SelfEnsemble(FeatureNoise):
    """Gaussian noise before every convolution of a copy that was trained with it.

    Liu, Cheng, Zhang & Hsieh (ECCV 2018): noise of standard deviation 0.2 before the
    first convolution and 0.1 before the others, in training and in answers, and the
    mean of the probabilities over several passes.

    Parameters
    ----------
    model : nn.Module
        Never altered: a copy is trained.
    sigma : float
        Before all convolutions but the first. At 0 nothing is trained, and the answer
        is the model's own.
    data : (Tensor, Tensor)
        Images in [0, 1] and labels.
    first : float
        Noise before the first convolution, in units of sigma.
    passes : int
        Of which one answer is the mean.
    epochs, batch, rate, training_seed, experiment_seed, resume, verbose
        As of `GaussianTuned`.

    Attributes
    ----------
    model : nn.Module
        The trained copy, without noise.
    sigma : float
        May be set: the noise of the answers, with nothing trained again.

    Raises
    ------
    DomainError
        For a model that cannot be trained or has no convolutions, and data or settings
        that do not fit.

    Notes
    -----
    The first convolution is the one that the network defines first. A query is one
    answer, however many passes it takes; they cost the defender.
    """

    def __init__(
        self,
        model: Model,
        sigma: float,
        *,
        data: Data,
        first: float = 2.0,
        passes: int = 1,
        epochs: int = 5,
        batch: int = 64,
        rate: float = 1e-3,
        training_seed: int = 0,
        experiment_seed: Any = None,
        resume: Any = None,
        verbose: bool = False,
    ) -> None:
        sigma = standard_deviation(sigma=sigma)
        first = standard_deviation(first=first)
        expect.count(passes=passes)
        if sigma > 0:
            model = ensemble_tuned(
                model,
                data,
                sigma=sigma,
                first=first,
                epochs=epochs,
                batch=batch,
                rate=rate,
                training_seed=training_seed,
                resume=resume,
                verbose=verbose,
            )
        sites = convolutions(undefended(model))
        super().__init__(
            model, 0.0, sites, where="input", experiment_seed=experiment_seed
        )
        self.first, self.passes = first, int(passes)
        self.sigma = sigma

    @property
    def sigma(self) -> float:
        return self._sigma

    @sigma.setter
    def sigma(self, sigma: float) -> None:
        self._sigma = standard_deviation(sigma=sigma)
        self.sigmas = _spread(self._sigma, self.first, len(self.sites))

    @live
    def forward(
        self, x: Tensor, rows: Tensor | None = None, queries: Tensor | None = None
    ) -> Tensor:
        x, rows, queries = self.admit(x, rows, queries)
        turns = range(self.passes if any(self.sigmas) else 1)
        said = [
            self._noisy(x, rows, queries, f"{turn}:" if turn else "") for turn in turns
        ]
        if len(said) == 1:
            return said[0].clone()
        return mean_answer(said, self.answers)

    forward.__doc__ = Defense.forward.__doc__


def ensemble_tuned(
    model: Model, data: Data, *, sigma: float, first: float = 2.0, **how: Any
) -> nn.Module:
    """A copy of a network after training with noise before each convolution."""
    standard_deviation(sigma=sigma)
    standard_deviation(first=first)
    training = schedule(model, data, "rse", **how, sigma=sigma, first=first)
    network, x, y = training.model, training.x, training.y
    inner = undefended(network)
    sites = convolutions(inner)
    sigmas = _spread(sigma, first, len(sites))

    def loss(rows: Tensor, epoch: int, step: int) -> Tensor:
        def touch(at: Visit, h: Tensor) -> Tensor:
            z = training.noise(rows, epoch, at.kind, *h.shape[1:])
            return h + sigmas[at.place] * z

        with touching(inner, sites, "input", len(rows), touch):
            answers = logits(network, x[rows])
        return nn.functional.cross_entropy(answers, y[rows])

    training.run(loss)
    return training.trained()


def convolutions(network: nn.Module) -> list[str]:
    """Names of the convolutions, as the network defines them."""
    found = [n for n, m in network.named_modules() if isinstance(m, _CONVOLUTIONS)]
    if not found:
        raise DomainError(
            "expected model to have convolutions, before which the noise is added, "
            f"got none in {type(network).__name__}"
        )
    return found


def _spread(sigma: float, first: float, count: int) -> tuple[float, ...]:
    return (sigma * first,) + (sigma,) * (count - 1)
