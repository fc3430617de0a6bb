"""What noise costs and how fast averages undo it: measures, no verdicts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax.audits.findings import Log
from querytax.audits.subject import Array, Spent, Subject
from querytax.defenses import Defense

__all__ = ["averaging", "cost"]

_REPEATS, _BATCH, _BINS = 8, 64, 15
# Images whose margins are looked at.
_IMAGES = 32


def averaging(subject: Subject, log: Log) -> None:
    """Noise of the margin against the margin, and the repeats that make it a tenth."""
    images = subject.images[:_IMAGES]
    answers = np.stack([_ask(subject, images) for _ in range(_REPEATS)])
    means = answers.mean(0)
    order = np.argsort(-means, axis=1)[:, :2]
    at = np.arange(len(images))
    margins = answers[:, at, order[:, 0]] - answers[:, at, order[:, 1]]
    noise = math.sqrt(float(margins.var(0, ddof=1).mean()))
    margin = float(np.median(margins.mean(0)))
    log.measures["noise of the margin"] = noise
    log.measures["median margin"] = margin
    if noise and margin > 0:
        log.measures["noise over margin"] = noise / margin
        log.measures["repeats until noise is a tenth of the margin"] = max(
            1, math.ceil((10 * noise / margin) ** 2)
        )


def cost(subject: Subject, labels: Tensor, given: Any, log: Log) -> None:
    """Accuracy and calibration, with noise and without it or on the mean of repeats."""
    images = subject.images[: len(labels)]
    left = (subject.budget.most - subject.budget.asked) // (_REPEATS + 1)
    if left < 1:
        raise Spent
    images, labels = images[:left], labels[:left]
    right = labels.cpu().numpy()
    answers = np.stack([_ask(subject, images) for _ in range(_REPEATS)])
    if isinstance(given, Defense):
        clean, whose = _ask(subject, images, given.judge), "without noise"
    else:
        clean, whose = answers.mean(0), f"of the mean of {_REPEATS} answers"
    log.measures["images"] = len(right)
    log.measures["accuracy"] = float((answers.argmax(2) == right).mean())
    log.measures[f"accuracy {whose}"] = float((clean.argmax(1) == right).mean())
    log.measures["calibration error"] = _calibration(
        answers.reshape(-1, answers.shape[2]), np.tile(right, _REPEATS)
    )
    log.measures[f"calibration error {whose}"] = _calibration(clean, right)


def _ask(subject: Subject, x: Tensor, model: Any = None) -> Array:
    size = max(subject.size, _BATCH)
    if subject.size == 1 and not subject.together:
        size = 1
    if model is not None:
        from querytax.models import ask

        with torch.no_grad():
            parts = [
                ask(model, part).double().cpu().numpy() for part in x.split(_BATCH)
            ]
        return np.concatenate(parts)
    found = []
    for part in x.split(size):
        short = subject.size - len(part)
        whole = part
        if short > 0:
            whole = torch.cat((part, part[:1].repeat(short, *[1] * (part.ndim - 1))))
        found.append(subject.ask(whole)[: len(part)])
    return np.concatenate(found)


def _calibration(answers: Array, labels: Any) -> float:
    """Expected calibration error in bins of equal width."""
    total = answers.sum(1)
    rows = (answers > -0.5).all() and abs(np.median(total) - 1) < 0.1
    if rows:
        shares = answers
    else:
        shares = np.exp(answers - answers.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
    sure = shares.max(1).clip(0, 1)
    hit = (shares.argmax(1) == labels).astype(float)
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    gap = 0.0
    for each in range(_BINS):
        inside = bins == each
        if inside.any():
            gap += inside.mean() * abs(hit[inside].mean() - sure[inside].mean())
    return float(gap)
