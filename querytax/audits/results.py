"""The audit of an evaluation: does a result carry what it claims?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from querytax import expect
from querytax.attacks.outcome import AttackResult
from querytax.audits import bookkeeping
from querytax.audits.again import again
from querytax.audits.findings import Audit, Log
from querytax.audits.summaries import of_summaries, summaries
from querytax.audits.tables import ResultTable, read_file, read_table
from querytax.expect import DomainError
from querytax.losses import check_images, check_labels
from querytax.models import as_model
from querytax.seeds import seed_of

__all__ = ["audit_result"]


def audit_result(
    result: AttackResult | ResultTable | Mapping[str, Any] | str | os.PathLike[str],
    *,
    model: nn.Module | Callable[[Tensor], Tensor] | None = None,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    votes: int = 49,
    false_alarm: float = 1e-6,
    rng: Any = 0,
) -> Audit:
    """Look for what makes an attack's result say less than it seems to.

    Parameters
    ----------
    result : AttackResult, ResultTable, mapping or path
        Of ours, of a library run by `querytax.foreign_attack`, or a table; see
        :class:`querytax.audits.ResultTable`.
    model : nn.Module or callable, optional
        What was attacked, noise and all. Final images and originals are asked again.
    images, labels : Tensor, optional
        The originals, where the table does not hold them.
    votes : int
        Fresh answers to each final image.
    false_alarm : float
        Bound of the probability that a success that fresh answers bear out, by a
        majority of them in the long run, is called none.
    rng : int or Generator
        Recorded alone: nothing is drawn.

    Returns
    -------
    Audit

    Raises
    ------
    DomainError
        For a result that cannot be read, or originals that do not fit it.

    Examples
    --------
    >>> found = audit_result({"queries": [10, 500, 30, 500], "success": [1, 0, 1, 0],
    ...                       "budget": 500, "mean_queries": 20.0})
    >>> [f.rule for f in found.findings]  # doctest: +NORMALIZE_WHITESPACE
    ['result/successes-only', 'result/unconfirmed', 'result/few-runs',
     'result/no-seed']
    """
    votes = int(expect.count(votes=votes))
    level = float(expect.probability(false_alarm=false_alarm))
    held = read_file(result) if isinstance(result, (str, os.PathLike)) else result
    if parts := summaries(held):
        told, about = of_summaries(parts)
        return told.audit(about, seed=seed_of(rng))
    log, asked, names = Log(), 0, []
    tables = read_table(held)
    for table in tables:
        if images is not None:
            table = _with_originals(table, images, labels)
        names.append(table.name)
        one = Log() if len(tables) > 1 else log
        bookkeeping.counts(table, one)
        bookkeeping.averages(table, one)
        bookkeeping.ball(table, one)
        bookkeeping.endings(table, one)
        if isinstance(result, AttackResult):
            _own(result, one)
        if model is not None:
            asked += again(table, as_model(model), one, votes, level)
        elif isinstance(result, AttackResult):
            one.skip("result/stale-incumbent", "no model to ask again")
        elif table.confirmed is None and table.success.any():
            one.found(
                "result/unconfirmed",
                f"{int(table.success.sum())} successes, of which no fresh answer tells",
                n=int(table.success.sum()),
            )
            one.skip("result/noisy-success", "no model to ask again")
        if one is not log:
            log.join(one, table.name)
    return log.audit(
        ", ".join(names), n_queries=asked, seed=seed_of(rng), false_alarm=level
    )


def _with_originals(
    table: ResultTable, images: Tensor, labels: Tensor | None
) -> ResultTable:
    images = check_images(images)
    if len(images) < len(table.queries):
        raise DomainError(
            f"expected images of {len(table.queries)} runs, got {len(images)}"
        )
    n = len(table.queries)
    more: dict[str, Any] = {}
    if table.originals is None:
        more["originals"] = images[:n].detach().cpu().numpy()
    if labels is not None and table.labels is None:
        more["labels"] = check_labels(labels, len(images))[:n].cpu().numpy()
    return replace(table, **more)


def _own(result: AttackResult, log: Log) -> None:
    rates = {
        name: float(np.mean(getattr(result, name).success))
        if result.attacked.any()
        else 0
        for name in ("noisy", "confirmed", "clean")
    }
    log.measures.update({f"rate, {name}": rate for name, rate in rates.items()})
    if result.own_noise:
        log.found(
            "result/own-noise",
            "the model answers with noise of its own: its word without a defence's "
            "noise is one more noisy answer",
        )
    else:
        log.clear("result/own-noise", "judged by a model that answers alike")
    lucky = int((result.noisy.success & ~result.confirmed.success).sum())
    log.clear(
        "result/noisy-success",
        f"{lucky} noisy successes were not confirmed, and are not counted as such",
    )
    if result.total_queries == 0 and result.attacked.any():
        log.found(
            "result/never-moved",
            f"{int(result.attacked.sum())} images were attacked, none was asked about",
        )
