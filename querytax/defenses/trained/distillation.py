"""Defensive distillation (Papernot et al., S&P 2016)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from querytax import expect
from querytax.defenses.defense import Defense, Keys, Model, standard_deviation
from querytax.defenses.trained.preparing import Data, Training, logits, schedule

__all__ = ["Distilled", "distilled"]


class Distilled(Defense):
    """A student that learned a teacher's soft labels at a high temperature.

    Parameters
    ----------
    model : nn.Module
        Never altered: teacher and student begin as copies of it.
    temperature : float
        That both are trained at; the student answers at 1. At 0 nothing is trained, and
        the answer is the model's own.
    data : (Tensor, Tensor)
        Images in [0, 1] and labels.
    epochs, batch, rate, training_seed, experiment_seed, resume, verbose
        As of `GaussianTuned`; the epochs of each of the two.

    Attributes
    ----------
    model : nn.Module
        The student.

    Raises
    ------
    DomainError
        For a model that cannot be trained, and data or settings that do not fit.

    Notes
    -----
    Deterministic. The teacher learns the labels, and the student the teacher's
    probabilities, both through a softmax of logits / temperature, so that logits grow
    and the gradient of the softmax at temperature 1 dies: it hides, and the label and
    the margin of the logits stay where they were (Carlini & Wagner 2017). Published
    networks are trained from nothing; here both go on from the model's weights.
    """

    def __init__(
        self,
        model: Model,
        temperature: float,
        *,
        data: Data,
        epochs: int = 10,
        batch: int = 64,
        rate: float = 5e-3,
        training_seed: int = 0,
        experiment_seed: Any = None,
        resume: Any = None,
        verbose: bool = False,
    ) -> None:
        heat = standard_deviation(temperature=temperature)
        if heat > 0:
            model = distilled(
                model,
                data,
                temperature=heat,
                epochs=epochs,
                batch=batch,
                rate=rate,
                training_seed=training_seed,
                resume=resume,
                verbose=verbose,
            )
        super().__init__(model, experiment_seed=experiment_seed)
        self.temperature = heat

    def _settings(self) -> str:
        return f"temperature={self.temperature:g}"

    def before(self, x: Tensor, rows: Keys, queries: Keys) -> Tensor:
        return x

    def after(self, answer: Tensor, rows: Keys, queries: Keys) -> Tensor:
        # A model may hand out its input or a tensor that it keeps.
        return answer.clone()

    before.__doc__ = Defense.before.__doc__
    after.__doc__ = Defense.after.__doc__


def distilled(model: Model, data: Data, *, temperature: float, **how: Any) -> nn.Module:
    """A student of a teacher, both copies of a network at first."""
    expect.positive(temperature=temperature)
    training = schedule(model, data, "distill", **how, temperature=temperature)
    teacher, student = training.model, copy.deepcopy(training.model)
    one_hot = _one_hot(training)
    # The student's training goes on from a teacher that is known to be ready.
    first = training.resume and training.resume.with_name(
        f"{training.resume.name}.teacher"
    )
    training.run(_loss(training, teacher, one_hot, temperature), teacher, first, True)
    with torch.no_grad():
        parts = [logits(teacher, some) for some in training.x.split(256)]
    soft = torch.softmax(torch.cat(parts) / temperature, 1)
    training.run(_loss(training, student, soft, temperature), student)
    if first is not None:
        first.unlink(missing_ok=True)
    return training.trained(student)


def _one_hot(training: Training) -> Tensor:
    with torch.no_grad():
        classes = logits(training.model, training.x[:1]).shape[1]
    return nn.functional.one_hot(training.y, classes).to(training.x)


def _loss(
    training: Training, network: nn.Module, wanted: Tensor, temperature: float
) -> Any:
    """Cross-entropy with wanted probabilities at a temperature."""

    def loss(rows: Tensor, epoch: int, step: int) -> Tensor:
        answers = logits(network, training.x[rows]) / temperature
        return nn.functional.cross_entropy(answers, wanted[rows])

    return loss
