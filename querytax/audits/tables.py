"""The result of an attack as a table, from ours, a file, or a library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from querytax import expect
from querytax.attacks.outcome import AttackResult
from querytax.expect import DomainError
from querytax.files import parsed

__all__ = ["ResultTable", "read_file", "read_table"]

# Fields of one value an image, by what they hold.
_FLAGS = ("success", "correct", "confirmed")
_COUNTS = ("queries", "rows_by_image", "distinct", "labels", "targets")
_IMAGES = ("images", "originals", "answers")
_SEALS = ("sha256",)


@dataclass(frozen=True)
class ResultTable:
    """What an attack claims, image by image; every field but the first two may lack.

    Attributes
    ----------
    queries : ndarray
        ``(N,)`` as reported, of failures too.
    success : ndarray
        ``(N,)`` bool, as reported.
    budget : int
        Queries an image.
    eps, norm
        The ball.
    status : tuple of str
        ``(N,)``: ``crashed ...``, ``no start ...``, ``misclassified`` and the like.
    correct : ndarray
        ``(N,)`` bool: right before the attack (targeted: not the target yet).
    confirmed : ndarray
        ``(N,)`` bool: fresh answers had a majority for it.
    images, originals : ndarray
        ``(N, ...)`` at the end and at the start.
    labels, targets : ndarray
        ``(N,)``.
    answers : ndarray
        ``(N, C)``: what the attack was told of its final images.
    rows_by_image : ndarray
        ``(N,)`` rows that the model counted in ``forward``.
    rows : int
        The same in all.
    distinct : ndarray
        ``(N,)`` different questions.
    mean_queries, success_rate : float
        As printed in the summary.
    deterministic : bool
        Whether the evaluation took the model for that.
    seed : int
    name : str
    """

    queries: NDArray[Any]
    success: NDArray[Any]
    budget: int | None = None
    eps: float | None = None
    norm: str = "Linf"
    status: tuple[str, ...] | None = None
    correct: NDArray[Any] | None = None
    confirmed: NDArray[Any] | None = None
    images: NDArray[Any] | None = None
    originals: NDArray[Any] | None = None
    labels: NDArray[Any] | None = None
    targets: NDArray[Any] | None = None
    answers: NDArray[Any] | None = None
    rows_by_image: NDArray[Any] | None = None
    rows: int | None = None
    distinct: NDArray[Any] | None = None
    mean_queries: float | None = None
    success_rate: float | None = None
    deterministic: bool | None = None
    seed: int | None = None
    name: str = "a result"

    def __post_init__(self) -> None:
        queries = _array("queries", self.queries, "f")
        n = queries.size
        if queries.ndim != 1 or not n:
            raise DomainError(
                f"expected queries (N,) with N >= 1, got shape {queries.shape}"
            )
        if not (np.isfinite(queries).all() and (queries >= 0).all()):
            raise DomainError("expected queries to be finite and >= 0, got others")
        object.__setattr__(self, "queries", queries)
        for name in (*_FLAGS, *_COUNTS[1:], *_IMAGES):
            value = getattr(self, name)
            if value is None:
                continue
            kind = "b" if name in _FLAGS else "i" if name in _COUNTS else "f"
            value = _array(name, value, kind)
            if len(value) != n or (name not in _IMAGES and value.ndim != 1):
                raise DomainError(
                    f"expected {name} of {n} images, as queries, got {value.shape}"
                )
            object.__setattr__(self, name, value)
        if self.status is not None:
            status = tuple(map(str, self.status))
            if len(status) != n:
                raise DomainError(f"expected status of {n} images, got {len(status)}")
            object.__setattr__(self, "status", status)
        both = self.images, self.originals
        shapes = {part.shape for part in both if part is not None}
        if len(shapes) > 1:
            raise DomainError(
                f"expected images and originals of one shape, got {sorted(shapes)}"
            )
        expect.one_of(("Linf", "L2"), norm=self.norm)
        for name in ("budget", "rows"):
            if getattr(self, name) is not None:
                count = int(expect.count(0, **{name: getattr(self, name)}))
                object.__setattr__(self, name, count)
        if self.eps is not None:
            object.__setattr__(self, "eps", float(expect.nonnegative(eps=self.eps)))


def read_table(source: Any) -> list[ResultTable]:
    """Tables from what holds them.

    Parameters
    ----------
    source : AttackResult, ResultTable, mapping or path
        A mapping has the fields of `ResultTable`, or is what ``to_json`` of a result
        gives: of ours only the summaries are left there, and fewer rules apply. A path
        names JSON of either, or an ``.npz`` of the fields; what
        ``querytax attack --json`` prints may hold several.

    Raises
    ------
    DomainError
        For anything else.
    """
    if isinstance(source, ResultTable):
        return [source]
    if isinstance(source, AttackResult):
        return [_ours(source)]
    if isinstance(source, (str, os.PathLike)):
        source = read_file(source)
    if not isinstance(source, Mapping):
        raise DomainError(
            f"expected result to be an AttackResult, a ResultTable, a mapping or a "
            f"path, got {type(source).__name__}"
        )
    if isinstance(source.get("results"), (list, tuple)):
        return [table for each in source["results"] for table in read_table(each)]
    known = {field.name for field in fields(ResultTable)}
    missing = {"queries", "success"} - set(source)
    if missing:
        raise DomainError(
            f"expected a result with queries and success, one an image, got "
            f"{', '.join(sorted(map(str, source))[:8]) or 'nothing'}"
        )
    strange = sorted(set(source) - known - set(_SEALS))
    if strange:
        raise DomainError(
            f"expected fields of a result ({', '.join(sorted(known))}), "
            f"got {strange[0]!r}"
        )
    return [ResultTable(**{k: v for k, v in source.items() if k in known})]


def _ours(result: AttackResult) -> ResultTable:
    """Our own: what an attacker would claim who trusts one answer, and what held."""
    at = np.flatnonzero(result.attacked)
    n = len(result.attacked)
    queries, success = np.zeros(n), np.zeros(n, dtype=bool)
    confirmed, rows = np.zeros(n, dtype=bool), np.zeros(n)
    spent = np.sum(list(result.spent.values()), axis=0) if result.spent else 0
    queries[at], success[at] = result.confirmed.queries, result.confirmed.success
    confirmed[at], rows[at] = result.confirmed.success, spent
    images = None
    if result.images is not None:
        images = _array("images", result.images, "f")
    return ResultTable(
        queries,
        success,
        budget=result.budget,
        eps=result.plan.eps,
        norm=result.plan.norm,
        status=result.status,
        correct=result.attacked,
        confirmed=confirmed,
        images=images,
        rows=result.total_queries,
        rows_by_image=rows,
        deterministic=False if not result.own_noise else None,
        seed=result.seed,
        name=getattr(result.plan, "what", "") or result.plan.attack,
    )


def read_file(path: str | os.PathLike[str]) -> Any:
    """What a file of JSON or an ``.npz`` holds."""
    name = os.fspath(path)
    try:
        if name.endswith(".npz"):
            with np.load(name, allow_pickle=False) as file:
                return {
                    key: file[key].item() if file[key].ndim == 0 else file[key]
                    for key in file.files
                }
        return parsed(Path(path).read_bytes())
    except Exception as error:
        reason = getattr(error, "strerror", None) or "neither JSON nor .npz"
        raise DomainError(
            f"expected result to be a file, got {name!r}: {reason}"
        ) from None


def _array(name: str, value: Any, kind: str) -> NDArray[Any]:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    try:
        found = np.asarray(value)
        if found.dtype.kind not in "fiub":
            raise ValueError
        if kind == "b" and not np.isin(found, (0, 1)).all():
            raise ValueError
    except (ValueError, TypeError):
        what = {"b": "true or false", "i": "whole numbers", "f": "numbers"}[kind]
        raise DomainError(f"expected {name} to be {what}, got something else") from None
    return found.astype({"b": bool, "i": np.int64, "f": np.float64}[kind])
