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
    "check_not_probabilities",
    "look_like_probabilities",
]

FLOOR = 1e-12
# Numbers that all lie in [0, 1] by no chance.
_TELLING = 20


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
        raise DomainError(
            f"expected images to be a float tensor, got {kind}: "
            "querytax.load_images makes one"
        )
    if images.layout is not torch.strided:
        raise DomainError(
            f"expected images to be a dense tensor, got {images.layout}: .to_dense()"
        )
    if images.ndim < 2 or images.shape[0] == 0:
        raise DomainError(
            "expected images to be a batch (N, ...) with N >= 1, "
            f"got shape {tuple(images.shape)}"
        )
    if not images.numel():
        raise DomainError(
            f"expected images of one pixel at least, got shape {tuple(images.shape)}"
        )
    low, high = images.amin().item(), images.amax().item()
    if not (low >= 0.0 and high <= 1.0):
        raise DomainError(
            f"expected images in [0, 1] without NaN, got values in [{low:g}, {high:g}]"
            "; of a model with another range: qt.Preprocessed(model, bounds=(lo, hi))"
        )
    return images


def check_labels(labels: Tensor, n_images: int, name: str = "labels") -> Tensor:
    """Labels: ``(N,)`` whole numbers, one an image; from ``(N, 1)`` or one-hot too."""
    try:
        # A copy of an array, which may not be written to.
        array = hasattr(labels, "__array__") and not isinstance(labels, Tensor)
        labels = torch.tensor(labels) if array else torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError):
        raise DomainError(
            f"expected {name} to be {n_images} whole numbers, one an image, "
            f"got {type(labels).__name__}"
        ) from None
    if not (labels.is_floating_point() or labels.is_complex()):
        labels = labels.long()
    if labels.shape == (n_images, 1):
        labels = labels[:, 0]
    elif labels.ndim == 2 and len(labels) == n_images and _one_hot(labels):
        labels = labels.long().argmax(1)
    whole = not (labels.is_floating_point() or labels.is_complex())
    if not whole or labels.shape != (n_images,):
        raise DomainError(
            f"expected {name} to be {n_images} whole numbers, one an image, "
            f"got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    return labels.long()


def _one_hot(labels: Tensor) -> bool:
    """Whether every row is 0 but for a 1 at the class."""
    if labels.is_complex() or labels.shape[1] < 2:
        return False
    ones = labels == 1
    return bool((ones.sum(1) == 1).all()) and bool((ones | (labels == 0)).all())


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
    answered: str | None = "logits",
    name: str = "labels",
) -> None:
    """Answers of a model: ``(N, C)``, finite, of the promised kind, C above labels.

    ``answered`` is None where the model does not say what it answers: logits, then,
    unless they look otherwise.
    """
    if answers.ndim != 2 or len(answers) != len(labels) or answers.shape[1] < 2:
        raise DomainError(
            f"expected model to answer ({len(labels)}, C) with C >= 2, "
            f"got {tuple(answers.shape)}"
        )
    check_finite(answers)
    if answered != "probabilities":
        check_not_probabilities(answers, answered is None)
    n_classes = answers.shape[1]
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_classes:
        raise DomainError(
            f"expected {name} in 0..{n_classes - 1}, the model's classes, "
            f"got {low if low < 0 else high}"
        )


def look_like_probabilities(answers: Tensor) -> bool:
    """Whether every row is non-negative and sums to 1, as far as its numbers can.

    Numbers that float16 or bfloat16 holds exactly may have been rounded to it, whatever
    their type is now.
    """
    if not bool((answers >= 0).all()):
        return False
    slack = 1e-4
    for narrow in (torch.float16, torch.bfloat16):
        if bool((answers.to(narrow).to(answers.dtype) == answers).all()):
            slack = max(slack, torch.finfo(narrow).eps)
    return bool(((answers.double().sum(1) - 1).abs() < slack).all())


def check_not_probabilities(answers: Tensor, undeclared: bool) -> bool:
    """Refuse what is surely no row of logits.

    Where the model does not say what it answers, ``undeclared``, numbers that all lie
    in [0, 1] are refused as well. Returns whether there were enough to tell.
    """
    if look_like_probabilities(answers):
        raise DomainError(
            "expected model to return logits, got probabilities: every row is "
            "non-negative and sums to 1 (where it should, set model.answers = "
            "'probabilities')"
        )
    if not (undeclared and bool(((answers >= 0) & (answers <= 1)).all())):
        return True
    # One answer to all images tells nothing.
    if answers.numel() < _TELLING or not bool((answers != answers[:1]).any()):
        return False
    one = answers.shape[1] == 2 and not bool(answers[:, 0].any())
    sums = answers.detach().double().sum(1)
    what = (
        "one number an image, all of them in [0, 1]: a sigmoid's probability?"
        if one
        else "numbers in [0, 1] whose rows sum to "
        f"{float(sums.min()):.3g}..{float(sums.max()):.3g}: a sigmoid for each class? "
        "Where several labels hold at once (multi-label) no class can be attacked or "
        "guarded alone"
    )
    raise DomainError(
        f"expected model to return logits, got {what}; say what they are: set "
        "model.answers = 'logits' or 'probabilities'"
    )
