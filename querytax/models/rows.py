"""What a model answers, read as one row of classes an image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax.expect import DomainError

__all__ = ["Pick", "first_tensor", "holds_tensor", "read_answer"]

#: Which part of an answer holds the classes: a place, a key, several of them from the
#: outside inwards, or what finds them.
Pick = int | str | tuple[int | str, ...] | Callable[[Any], Any]

# Wrappings that are looked through.
_DEPTH = 4


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
        answer = _found(answer, x)
    if _foreign(answer):
        answer = _tensor(answer, x)
    if not isinstance(answer, Tensor):
        raise DomainError(
            f"expected model to return a tensor, got {type(answer).__name__}: "
            "qt.as_model(model, pick=...) takes a function that makes one of it"
        )
    if answer.ndim == 1 and len(answer) == n:
        answer = answer[:, None]
    if not _is_rows(answer, n):
        floats = answer.is_floating_point()
        kind = f"{tuple(answer.shape)}" if floats else f"{answer.dtype} of shape "
        kind += "" if floats else f"{tuple(answer.shape)}"
        raise DomainError(
            f"expected model to answer ({n}, C) with C >= 2, got {kind}"
            f"{_remedy(answer, n)}"
        )
    if answer.shape[1] == 1:
        other = 1 - answer if answered == "probabilities" else torch.zeros_like(answer)
        return torch.cat((other, answer), 1)
    return answer


def _remedy(answer: Tensor, n: int) -> str:
    """What makes rows of classes of another tensor, where that is known."""
    if not answer.is_floating_point():
        if answer.is_complex():
            return ""
        return (
            "; a model that answers labels alone: "
            "qt.Remote(model, classes=..., answers='labels')"
        )
    if n > 1 and answer.ndim and len(answer) == 1:
        return (
            "; a model that takes one image a call: "
            "qt.Remote(model, classes=..., batched=False)"
        )
    sides = [side for side in answer.shape[1:] if side > 1]
    if answer.ndim > 2 and len(answer) == n and len(sides) == 1:
        return ": qt.as_model(model, pick=lambda out: out.flatten(1))"
    return ""


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
    for key in pick if isinstance(pick, tuple) else (pick,):
        answer = _part(answer, key)
    return answer


def _part(answer: Any, key: int | str) -> Any:
    try:
        return answer[key]
    except (KeyError, IndexError, TypeError):
        pass
    if isinstance(key, str) and hasattr(answer, key):
        return getattr(answer, key)
    has = list(answer) if isinstance(answer, Mapping) else type(answer).__name__
    raise DomainError(f"expected pick to be in the model's answer {has}, got {key!r}")


def _parts(answer: Any) -> dict[Any, Any]:
    """The parts of a structured answer by the keys that pick them; none of others."""
    if isinstance(answer, Mapping):
        return dict(answer)
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        return {f.name: getattr(answer, f.name) for f in dataclasses.fields(answer)}
    if isinstance(answer, (tuple, list)) and any(map(_is_part, answer)):
        return dict(
            zip(getattr(answer, "_fields", range(len(answer))), answer, strict=False)
        )
    if isinstance(answer, (Tensor, np.ndarray, tuple, list)):
        return {}
    logits = getattr(answer, "logits", None)
    return {} if logits is None else {"logits": logits}


def _is_part(value: Any) -> bool:
    """Whether this stands in a tuple for itself, and is no number or row of one."""
    if isinstance(value, (Tensor, Mapping)) or value is None:
        return True
    if isinstance(value, (tuple, list)):
        return any(map(_is_part, value))
    return getattr(value, "ndim", 0) > 1


def _found(answer: Any, x: Tensor) -> Any:
    """The part of a structured answer that holds the classes.

    The one that is called ``logits``, or the only one of so many rows, as near to the
    surface as there is one.
    """
    level: dict[tuple[Any, ...], Any] = {(): answer}
    seen: dict[tuple[Any, ...], Any] = {}
    narrow: dict[tuple[Any, ...], Any] = {}
    fits: dict[tuple[Any, ...], Any] = {}
    for _ in range(_DEPTH):
        level = {
            (*path, key): part
            for path, whole in level.items()
            for key, part in _parts(whole).items()
        }
        read = {path: _read(part, x) for path, part in level.items()}
        seen |= {p: v for p, v in read.items() if not _parts(level[p])}
        tensors = {p: v for p, v in read.items() if isinstance(v, Tensor)}
        named = [v for p, v in tensors.items() if p[-1] == "logits"]
        if len(named) == 1:
            return named[0]
        fits = {p: v for p, v in tensors.items() if _is_rows(v, len(x))}
        narrow |= {
            p: v
            for p, v in tensors.items()
            if v.shape in ((len(x),), (len(x), 1)) and len(p)
        }
        wide = {p: v for p, v in fits.items() if v.shape[1] > 1}
        if wide:
            # A number an image above them could be the classes as well.
            above = {p: v for p, v in narrow.items() if len(p) < len(next(iter(wide)))}
            fits = {**above, **wide}
            break
    fits = fits or narrow
    if len(fits) == 1:
        return next(iter(fits.values()))
    if not seen:
        return answer
    listed = ", ".join(
        f"{'.'.join(map(str, path))}: "
        f"{tuple(v.shape) if isinstance(v, Tensor) else type(v).__name__}"
        for path, v in list(seen.items())[:6]
    )
    first: Any = next(iter(fits or seen))
    first = first[0] if len(first) == 1 else first
    rows = all(
        isinstance(v, Tensor) and v.ndim == 1 and len(v) != len(x)
        for v in seen.values()
    )
    how = f"say which, as in qt.as_model(model, pick={first!r})"
    if rows and len(seen) == len(x):
        how = "of a row an image qt.as_model(model, pick=torch.stack)"
    kind = "dict" if isinstance(answer, Mapping) else type(answer).__name__
    article = "an" if kind[0] in "aeiouAEIOU" else "a"
    raise DomainError(
        f"expected model to answer one tensor ({len(x)}, C), got {article} {kind} of "
        f"{listed}: {how}"
    )


def _read(part: Any, x: Tensor) -> Any:
    """A part as a tensor, if it is one or holds numbers."""
    return _tensor(part, x) if _foreign(part) and not _parts(part) else part


def _foreign(value: Any) -> bool:
    """Numbers of another library, or in lists."""
    if isinstance(value, (Tensor, Mapping, str, bytes)) or value is None:
        return False
    return hasattr(value, "__array__") or isinstance(value, (list, tuple))


def holds_tensor(answer: Any) -> bool:
    """Whether an answer is torch's, which autograd may see through."""
    if isinstance(answer, Tensor):
        return True
    return any(map(holds_tensor, _parts(answer).values()))


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
