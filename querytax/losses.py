"""What an attacker makes of an answer: a number that grows as the attack succeeds.

Shared by the attacks, which climb it, and the probes, which measure its noise. Answers
are ``(N, C)``: logits, or probabilities that a defence may have made negative. An
attack's logarithm needs a positive number, so probabilities are read by their absolute
value, no smaller than ``FLOOR``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from querytax.expect import DomainError

__all__ = [
    "FLOOR",
    "attacker_loss",
    "check_finite",
    "check_images",
    "check_labels",
    "check_logits",
]

FLOOR = 1e-12


def attacker_loss(
    answers: Tensor,
    labels: Tensor,
    *,
    loss: str = "ce",
    answered: str = "logits",
    targeted: bool = False,
) -> Tensor:
    """Loss of each answer, in double precision; the attacker maximises it.

    Parameters
    ----------
    answers : Tensor
        ``(N, C)``.
    labels : Tensor
        ``(N,)``: true labels, or targets when ``targeted``.
    loss : {"ce", "margin"}
        ``ce``: minus the logarithm of the label's probability. ``margin``: best other
        class minus the label, in logits or in probabilities as answered; above zero
        exactly where the answer is misclassified.
    answered : {"logits", "probabilities"}
    targeted : bool
        Minus the same loss of the target.

    Returns
    -------
    Tensor
        ``(N,)`` float64.
    """
    answers = answers.double()
    index = labels[:, None]
    if loss == "margin":
        own = answers.gather(1, index)[:, 0]
        others = answers.scatter(1, index, -torch.inf).amax(1)
        value = others - own
    elif answered == "logits":
        value = -torch.log_softmax(answers, 1).gather(1, index)[:, 0]
    else:
        value = -answers.gather(1, index)[:, 0].abs().clamp_min(FLOOR).log()
    return -value if targeted else value


def check_images(images: Tensor) -> Tensor:
    """Images: a float tensor ``(N, ...)``, not empty, inside [0, 1]."""
    if not isinstance(images, Tensor) or not images.is_floating_point():
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise DomainError(f"expected images to be a float tensor, got {kind}")
    if images.ndim < 2 or images.shape[0] == 0:
        raise DomainError(
            "expected images to be a batch (N, ...) with N >= 1, "
            f"got shape {tuple(images.shape)}"
        )
    low, high = images.amin().item(), images.amax().item()
    if not (low >= 0.0 and high <= 1.0):
        raise DomainError(
            f"expected images in [0, 1] without NaN, got values in [{low:g}, {high:g}]"
        )
    return images


def check_labels(labels: Tensor, n_images: int, name: str = "labels") -> Tensor:
    """Labels: ``(N,)`` whole numbers, one an image."""
    try:
        labels = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError):
        raise DomainError(
            f"expected {name} to be {n_images} whole numbers, one an image, "
            f"got {type(labels).__name__}"
        ) from None
    if labels.is_floating_point() or labels.shape != (n_images,):
        raise DomainError(
            f"expected {name} to be {n_images} whole numbers, one an image, "
            f"got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    return labels.long()


def check_finite(answers: Tensor) -> Tensor:
    """Answers without NaN or infinity, as a tensor."""
    if not isinstance(answers, Tensor):
        raise DomainError(
            f"expected model to return a tensor, got {type(answers).__name__}"
        )
    if not torch.isfinite(answers).all():
        raise DomainError("expected model to return finite numbers, got NaN or inf")
    return answers


def check_logits(
    answers: Tensor,
    labels: Tensor,
    answered: str = "logits",
    name: str = "labels",
) -> None:
    """Answers of a model: ``(N, C)``, finite, of the promised kind, C above labels."""
    if answers.ndim != 2 or len(answers) != len(labels) or answers.shape[1] < 2:
        raise DomainError(
            f"expected model to answer ({len(labels)}, C) with C >= 2, "
            f"got {tuple(answers.shape)}"
        )
    check_finite(answers)
    looks = bool(
        (answers >= 0).all() and ((answers.double().sum(1) - 1).abs() < 1e-4).all()
    )
    if answered == "logits" and looks:
        raise DomainError(
            "expected model to return logits, got probabilities: every row is "
            "non-negative and sums to 1 (where it should, set model.answers = "
            "'probabilities')"
        )
    n_classes = answers.shape[1]
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_classes:
        raise DomainError(
            f"expected {name} in 0..{n_classes - 1}, the model's classes, "
            f"got {low if low < 0 else high}"
        )
