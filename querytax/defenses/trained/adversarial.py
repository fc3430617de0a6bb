"""Adversarial fine-tuning by projected gradients (Madry et al., ICLR 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from querytax.defenses.defense import Model, standard_deviation
from querytax.defenses.input_noise import InputNoise
from querytax.defenses.trained.preparing import Data, check_eps, logits, schedule

__all__ = ["AdversariallyTuned", "adversarially_tuned", "worst"]

# A step in units of eps / steps: far enough to cross the ball, and to turn.
_STRIDE = 2.5


class AdversariallyTuned(InputNoise):
    """Gaussian noise on the input of an adversarially trained copy: RND-AT.

    Parameters
    ----------
    model : nn.Module
        Never altered: a copy is trained.
    sigma : float
        Standard deviation of the noise, which the training knows nothing of. At 0
        nothing is trained, and the answer is the model's own.
    data : (Tensor, Tensor)
        Images in [0, 1] and labels.
    eps : float
        Radius of the ball that the training attacks in.
    norm : {"Linf", "L2"}
    steps : int
        Of projected gradients, from a random start.
    epochs, batch, rate, training_seed, experiment_seed, resume, verbose
        As of `GaussianTuned`.

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
        eps: float = 0.03,
        norm: str = "Linf",
        steps: int = 7,
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
            model = adversarially_tuned(
                model,
                data,
                eps=eps,
                norm=norm,
                steps=steps,
                epochs=epochs,
                batch=batch,
                rate=rate,
                training_seed=training_seed,
                resume=resume,
                verbose=verbose,
            )
        super().__init__(model, sigma, experiment_seed=experiment_seed)


def adversarially_tuned(
    model: Model,
    data: Data,
    *,
    eps: float = 0.03,
    norm: str = "Linf",
    steps: int = 7,
    **how: Any,
) -> nn.Module:
    """A copy of a network after fine-tuning on the worst images of a ball."""
    check_eps(eps, norm, steps)
    training = schedule(model, data, "pgd", **how, eps=eps, norm=norm, steps=steps)
    network, x, y = training.model, training.x, training.y

    def loss(rows: Tensor, epoch: int, step: int) -> Tensor:
        start = training.noise(rows, epoch, "start", *x.shape[1:])
        hard = worst(
            lambda at, _turn: logits(network, at),
            x[rows],
            y[rows],
            start,
            eps=eps,
            norm=norm,
            steps=steps,
        )
        return nn.functional.cross_entropy(logits(network, hard), y[rows])

    training.run(loss)
    return training.trained()


def worst(
    answer: Callable[[Tensor, int], Tensor],
    x: Tensor,
    y: Tensor,
    start: Tensor,
    *,
    eps: float,
    norm: str,
    steps: int,
) -> Tensor:
    """Images of a ball around ``x`` that projected gradients find hard.

    Parameters
    ----------
    answer : callable
        Logits of images at a step; may draw noise.
    x, y : Tensor
    start : Tensor
        Normal draws of the images' shape, which a point of the ball is made of.
    """
    stride = _STRIDE * eps / steps
    move = _ball(start, eps, norm, first=True)
    for turn in range(steps):
        at = (x + move).clamp(0.0, 1.0).detach().requires_grad_(True)
        loss = nn.functional.cross_entropy(answer(at, turn), y, reduction="sum")
        (slope,) = torch.autograd.grad(loss, at)
        uphill = slope.sign() if norm == "Linf" else slope / _length(slope)
        move = _ball(at.detach() - x + stride * uphill, eps, norm)
    return (x + move).clamp(0.0, 1.0).detach()


def _ball(move: Tensor, eps: float, norm: str, first: bool = False) -> Tensor:
    """A move within the ball; of normal draws a random one."""
    if norm == "Linf":
        # The normal's distribution function makes them uniform.
        return eps * torch.erf(move / 2**0.5) if first else move.clamp(-eps, eps)
    length = _length(move)
    return move * ((eps / length) if first else (eps / length).clamp(max=1.0))


def _length(move: Tensor) -> Tensor:
    flat = move.flatten(1).norm(dim=1).clamp_min(1e-12)
    return flat.view(-1, *[1] * (move.dim() - 1))
