"""What an attacker makes of an answer: a number that grows as the attack succeeds.

Shared by the attacks, which climb it, and the probes, which measure its noise. Answers
are ``(N, C)``: logits, or probabilities that a defence may have made negative. An
attack's logarithm needs a positive number, so probabilities are read by their absolute
value, no smaller than ``FLOOR``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax.expect import DomainError
from querytax.plans import reading

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
_TINY = 1e-38
# Dashed Line Defense's h.
_DASHED = 0.3
# Rows whose sums agree by no chance, and how far: percent are rounded.
_ROWS, _SHARED = 8, 0.01
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
    loss : str
        ``ce``: minus the logarithm of the label's probability. ``margin``: best other
        class minus the label, in logits or in probabilities as answered; above zero
        exactly where the answer is misclassified. The others are margins of logits, or
        of probabilities' logarithms, above zero there as well. ``ratio``: over their
        standard deviation among the classes, so that no scale of the logits shows; of
        two classes that leaves only the sign. ``unfold:PERIOD`` and ``undash:PERIOD``:
        the margin that Adversarial Attack on Attackers, linear and with reverse 1, or
        Dashed Line Defense, with its published h, was given, told by the one that they
        answer.
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
    word, period = reading(loss)
    if word == "margin":
        value = _margin(answers, index)
    elif word != "ce":
        value = _undone(_logits(answers, answered), index, word, period)
    elif answered == "logits":
        value = -torch.log_softmax(answers, 1).gather(1, index)[:, 0]
    else:
        value = -answers.gather(1, index)[:, 0].abs().clamp_min(FLOOR).log()
    return -value if targeted else value


def _margin(scores: Tensor, index: Tensor) -> Tensor:
    own = scores.gather(1, index)[:, 0]
    return scores.scatter(1, index, -torch.inf).amax(1) - own


def _logits(answers: Tensor, answered: str) -> Tensor:
    """Logits up to a constant, of whatever was answered."""
    if answered == "logits":
        return answers
    # Below the floor of ``ce``, which would cut off what a large scale makes small.
    return answers.abs().clamp_min(_TINY).log()


def _undone(logits: Tensor, index: Tensor, word: str, period: float) -> Tensor:
    """The margin without what a defence did to it."""
    if word == "ratio":
        return _margin(logits, index) / logits.std(1).clamp_min(_TINY)
    at = logits.argmax(1, keepdim=True)
    top = logits.gather(1, at)
    rest = logits.scatter(1, at, -torch.inf)
    told = top - rest.amax(1, keepdim=True)
    true = _unfolded(told, period) if word == "unfold" else _undashed(told, period)
    return _margin((rest + (told - true)).scatter(1, at, top), index)


def _unfolded(told: Tensor, period: float) -> Tensor:
    """Margins m of intervals [k T, (k + 1) T) that were answered (2 k + 1) T - m."""
    k = (told / period).ceil() - 1.0
    return (2.0 * k + 1.0) * period - told


def _undashed(told: Tensor, period: float) -> Tensor:
    """Margins at u of an interval, answered at h - h u or h + (1 - h) u of it."""
    k = (told / period).floor()
    f = told / period - k
    u = torch.where(f >= _DASHED, (f - _DASHED) / (1.0 - _DASHED), 1.0 - f / _DASHED)
    return (k + u) * period


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
    if images.is_meta or images.is_quantized:
        got = "no data (meta)" if images.is_meta else f"{images.dtype}: .dequantize()"
        raise DomainError(f"expected images to hold numbers, got {got}")
    if images.dtype in (torch.float16, torch.bfloat16):
        # Exactly the same numbers, and room for what is added to them.
        images = images.float()
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
    """Labels: ``(N,)`` whole numbers, one an image; from ``(N, 1)`` or one-hot too.

    Their type may be a float's, which holds whole numbers exactly.
    """
    array = hasattr(labels, "__array__") and not isinstance(labels, Tensor)
    given: Any = labels
    if array and getattr(getattr(labels, "dtype", None), "kind", "") == "O":
        given, array = np.asarray(labels).tolist(), False
    try:
        # A copy of an array, which may not be written to.
        labels = torch.tensor(given) if array else torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise DomainError(
            f"expected {name} to be {n_images} whole numbers, one an image, "
            f"got {_kind(given)}"
        ) from None
    if labels.is_floating_point() and not labels.is_meta:
        exact = (labels == labels.round()) & (labels.abs() < 2.0**53)
        labels = labels.long() if bool(exact.all()) else labels
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


def _kind(labels: Any) -> str:
    """What labels are that are no numbers: of words the first."""
    try:
        first = np.asarray(labels).reshape(-1)[:1].tolist()
    except (TypeError, ValueError):
        first = []
    if first and isinstance(first[0], (str, bytes)) and not isinstance(labels, bytes):
        return f"words such as {first[0][:20]!r}: number the classes as the model does"
    return type(labels).__name__


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
) -> bool:
    """Answers of a model: ``(N, C)``, finite, of the promised kind, C above labels.

    ``answered`` is None where the model does not say what it answers: logits, then,
    unless they look otherwise. Returns whether there were enough to tell.
    """
    if answers.ndim != 2 or len(answers) != len(labels) or answers.shape[1] < 2:
        raise DomainError(
            f"expected model to answer ({len(labels)}, C) with C >= 2, "
            f"got {tuple(answers.shape)}"
        )
    check_finite(answers)
    sure = answered == "probabilities"
    if not sure:
        sure = check_not_probabilities(answers, answered is None)
    n_classes = answers.shape[1]
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_classes:
        raise DomainError(
            f"expected {name} in 0..{n_classes - 1}, the model's classes, "
            f"got {low if low < 0 else high}"
        )
    return sure


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


def _one_whole(answers: Tensor) -> bool:
    """Whether rows share one whole, such as percent do, by no chance."""
    if len(answers) < _ROWS or not bool((answers >= 0).all()):
        return False
    sums = answers.detach().double().sum(1)
    whole = sums.mean()
    even = bool(whole > 1.5) and bool(((sums - whole).abs() <= _SHARED * whole).all())
    # Nearly one answer to all images tells nothing.
    apart = answers.detach().double().std(0).amax()
    return even and bool(apart > 10.0 * _SHARED * whole)


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
    if undeclared and _one_whole(answers):
        whole = float(answers.detach().double().sum(1).mean())
        raise DomainError(
            f"expected model to return logits, got rows that all sum to {whole:.3g} "
            "without a number below 0: probabilities, scaled? say what they are: set "
            "model.answers = 'logits' or 'probabilities'"
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
