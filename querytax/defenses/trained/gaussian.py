"""RND-GF: fine-tuning under Gaussian noise, then that noise (Qin et al. 2021)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from querytax import expect
from querytax.defenses.defense import Model, standard_deviation
from querytax.defenses.input_noise import InputNoise
from querytax.defenses.trained.preparing import Data, Training, logits, schedule

__all__ = ["GaussianTuned", "noisy_loss", "tune_under_noise"]

READINGS = ("inside", "outside")


class GaussianTuned(InputNoise):
    """Gaussian noise on the input of a copy that was fine-tuned under it: RND-GF.

    Parameters
    ----------
    model : nn.Module
        Never altered: a copy is trained.
    sigma : float
        Standard deviation, in training and in answers. At 0 nothing is trained, and the
        answer is the model's own.
    data : (Tensor, Tensor)
        Images in [0, 1] and labels.
    reading : {"inside", "outside"}
        The logarithm of the mean probability over the draws, as the slides print it, or
        the mean of the logarithms, as augmentation usually has it.
    draws : int
        Of noise, an image and step.
    epochs, batch, rate
        Of Adam, whose rate falls to 0.
    training_seed : int
        Of the training's draws: the same weights each time.
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        As of `InputNoise`.
    resume : path, optional
        Where the state after each epoch is kept; the file is removed at the end.
    verbose : bool
        Whether a bar may be shown.

    Attributes
    ----------
    model : nn.Module
        The trained copy.

    Raises
    ------
    DomainError
        For a model that cannot be trained, and data or settings that do not fit.
    """

    def __init__(
        self,
        model: Model,
        sigma: float,
        *,
        data: Data,
        reading: str = "inside",
        draws: int = 2,
        epochs: int = 5,
        batch: int = 64,
        rate: float = 1e-3,
        training_seed: int = 0,
        experiment_seed: Any = None,
        resume: Any = None,
        verbose: bool = False,
    ) -> None:
        sigma = standard_deviation(sigma=sigma)
        if sigma > 0:
            model = gaussian_tuned(
                model,
                data,
                sigma=sigma,
                reading=reading,
                draws=draws,
                epochs=epochs,
                batch=batch,
                rate=rate,
                training_seed=training_seed,
                resume=resume,
                verbose=verbose,
            )
        super().__init__(model, sigma, experiment_seed=experiment_seed)


def gaussian_tuned(
    model: Model,
    data: Data,
    *,
    sigma: float,
    reading: str = "inside",
    draws: int = 2,
    **how: Any,
) -> nn.Module:
    """A copy of a network after fine-tuning under noise ``sigma``."""
    standard_deviation(sigma=sigma)
    expect.one_of(READINGS, reading=reading)
    expect.count(draws=draws)
    settings: dict[str, Any] = {"sigma": sigma, "reading": reading, "draws": draws}
    training = schedule(model, data, "rnd-gf", **how, **settings)
    tune_under_noise(training, sigma=sigma, reading=reading, draws=draws)
    return training.trained()


def tune_under_noise(
    training: Training, *, sigma: float, reading: str, draws: int
) -> None:
    """Train by the mean loss of the images under ``draws`` of noise each."""
    model, x, y = training.model, training.x, training.y

    def loss(rows: Tensor, epoch: int, step: int) -> Tensor:
        noise = training.noise(rows, epoch, "", draws, *x.shape[1:])
        noisy = (x[rows][:, None] + sigma * noise).transpose(0, 1)
        answers = logits(model, noisy.flatten(0, 1)).view(draws, len(rows), -1)
        return noisy_loss(answers, y[rows], reading)

    training.run(loss)


def noisy_loss(answers: Tensor, labels: Tensor, reading: str) -> Tensor:
    """Cross-entropy of ``(K, N, C)`` logits under K draws of the noise.

    ``inside``, as printed: the logarithm of the mean probability. ``outside``, usual
    augmentation: the mean of the logarithms, which Jensen puts no lower.
    """
    logs = torch.log_softmax(answers, 2)[:, torch.arange(len(labels)), labels]
    if reading == "inside":
        logs = torch.logsumexp(logs, 0) - float(np.log(len(logs)))
    return -logs.mean()
