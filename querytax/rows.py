"""What a model answers, read as one row of classes an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax.expect import DomainError

__all__ = ["Pick", "first_tensor", "holds_tensor", "read_answer"]

#: Which part of an answer holds the classes: a place, a key, or what finds them.
Pick = int | str | Callable[[Any], Any]


def read_answer(
    answer: Any, x: Tensor, answered: str = "logits", pick: Pick | None = None
) -> Tensor:
    """Rows of classes from what a model answered to ``x``.

    Raises
    ------
    DomainError
        For an answer that cannot be read as rows of classes.
    """
    if pick is None and _is_rows(answer, len(x)) and answer.shape[1] > 1:
        rows: Tensor = answer
    else:
        rows = _rows(answer, x, answered, pick)
    # A scripted module may give out its graph even where none is kept.
    if rows.requires_grad and not torch.is_grad_enabled():
        return rows.detach()
    return rows


def _rows(answer: Any, x: Tensor, answered: str, pick: Pick | None) -> Tensor:
    n = len(x)
    if pick is not None:
        answer = _picked(answer, pick)
    elif not isinstance(answer, Tensor):
        answer = _found(answer, n, x.device)
    if _foreign(answer):
        answer = _tensor(answer, x)
    if not isinstance(answer, Tensor):
        raise DomainError(
            f"expected model to return a tensor, got {type(answer).__name__}"
        )
    if answer.ndim == 1 and len(answer) == n:
        answer = answer[:, None]
    if not _is_rows(answer, n):
        kind = (
            f"{tuple(answer.shape)}"
            if answer.is_floating_point()
            else f"{answer.dtype} of shape {tuple(answer.shape)}"
        )
        hint = ""
        if n > 1 and answer.ndim and len(answer) == 1:
            hint = (
                "; a model that takes one image a call: "
                "qt.Remote(model, classes=..., batched=False)"
            )
        elif not answer.is_floating_point():
            hint = (
                "; a model that answers labels alone: "
                "qt.Remote(model, classes=..., answers='labels')"
            )
        raise DomainError(
            f"expected model to answer ({n}, C) with C >= 2, got {kind}{hint}"
        )
    if answer.shape[1] == 1:
        other = 1 - answer if answered == "probabilities" else torch.zeros_like(answer)
        return torch.cat((other, answer), 1)
    return answer


def _is_rows(value: Any, n: int) -> bool:
    return (
        isinstance(value, Tensor)
        and value.ndim == 2
        and len(value) == n
        and value.shape[1] > 0
        and value.is_floating_point()
    )


def _picked(answer: Any, pick: Pick) -> Any:
    if callable(pick):
        return pick(answer)
    try:
        return answer[pick]
    except (KeyError, IndexError, TypeError):
        pass
    if isinstance(pick, str) and hasattr(answer, pick):
        return getattr(answer, pick)
    has = list(answer) if isinstance(answer, Mapping) else type(answer).__name__
    raise DomainError(f"expected pick to be in the model's answer {has}, got {pick!r}")


def _found(answer: Any, n: int, device: torch.device) -> Any:
    """The part of a structured answer that holds the classes."""
    if isinstance(answer, Mapping):
        parts: dict[Any, Any] = dict(answer)
    elif isinstance(answer, (tuple, list)) and any(
        isinstance(part, Tensor) for part in answer
    ):
        parts = dict(enumerate(answer))
    else:
        parts = {}
    logits = parts.get("logits", getattr(answer, "logits", None))
    if isinstance(logits, Tensor):
        return logits
    tensors = {k: v for k, v in parts.items() if isinstance(v, Tensor)}
    fits = {k: v for k, v in tensors.items() if _is_rows(v, n)}
    fits = {k: v for k, v in fits.items() if v.shape[1] > 1} or fits
    fits = fits or {k: v for k, v in tensors.items() if v.shape == (n,)}
    if len(fits) == 1:
        return next(iter(fits.values()))
    if not parts:
        return answer
    listed = ", ".join(
        f"{k}: {tuple(v.shape) if isinstance(v, Tensor) else type(v).__name__}"
        for k, v in list(parts.items())[:6]
    )
    first = next(iter(fits or parts))
    kind = "dict" if isinstance(answer, Mapping) else type(answer).__name__
    article = "an" if kind[0] in "aeiouAEIOU" else "a"
    raise DomainError(
        f"expected model to answer one tensor ({n}, C), got {article} {kind} of "
        f"{listed}: say which, as in qt.as_model(model, pick={first!r})"
    )


def _foreign(value: Any) -> bool:
    """Numbers of another library, or in lists."""
    if isinstance(value, (Tensor, Mapping, str, bytes)) or value is None:
        return False
    return hasattr(value, "__array__") or isinstance(value, (list, tuple))


def holds_tensor(answer: Any) -> bool:
    """Whether an answer is torch's, which autograd may see through."""
    if isinstance(answer, Mapping):
        parts = list(answer.values())
    elif isinstance(answer, (list, tuple)):
        parts = list(answer)
    else:
        parts = [answer, getattr(answer, "logits", None)]
    return any(isinstance(part, Tensor) for part in parts)


def _tensor(value: Any, x: Tensor) -> Any:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return value
    if array.dtype.kind not in "fiub":
        return value
    found = torch.from_numpy(np.ascontiguousarray(array)).to(x.device)
    # Whole numbers may be labels, which are no scores.
    return found.to(x.dtype) if found.is_floating_point() else found


def first_tensor(value: Any) -> tuple[Any, Callable[[Tensor], Any]]:
    """The tensor that a module hands on, and how another is put in its place.

    Of a tuple or list the first part, as blocks hand on their features before masks,
    weights or states.
    """
    if not isinstance(value, (tuple, list)) or not value:
        return value, lambda new: new
    first, *rest = value

    def put(new: Tensor) -> Any:
        parts = [new, *rest]
        if hasattr(value, "_fields"):
            return type(value)(*parts)
        return type(value)(parts)

    return first, put
