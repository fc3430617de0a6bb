"""What the model says of an attack's final images now."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from querytax.audits.bookkeeping import SERIOUS
from querytax.audits.findings import Log
from querytax.audits.subject import differ
from querytax.audits.tables import ResultTable
from querytax.models import ask, evaluating

__all__ = ["again"]

_BATCH, _ALIKE = 256, 3


def again(table: ResultTable, model: Any, log: Log, votes: int, level: float) -> int:
    """Ask about final images again, and about originals; rows asked."""
    if table.images is None or table.labels is None:
        lacking = "final images" if table.images is None else "labels"
        for rule in (
            "result/noisy-success",
            "result/stale-incumbent",
            "result/own-noise",
        ):
            log.skip(rule, f"no {lacking} are told")
        return 0
    asked = 0

    def answers(images: NDArray[Any]) -> NDArray[Any]:
        nonlocal asked
        asked += len(images)
        x = torch.from_numpy(images.astype(np.float32))
        with torch.no_grad(), evaluating(model):
            parts = [
                ask(model, part).double().cpu().numpy() for part in x.split(_BATCH)
            ]
        return np.concatenate(parts)

    won = np.flatnonzero(table.success)
    at = won if len(won) else np.arange(len(table.images))
    few = table.images[at[:8]]
    noisy = differ([answers(few) for _ in range(_ALIKE)])
    if noisy and table.deterministic:
        log.found(
            "result/own-noise",
            f"{_ALIKE} calls with the same {len(few)} images were answered differently",
            n=len(few),
        )
    elif noisy is False or table.deterministic is not None:
        log.clear("result/own-noise", "the model is taken for what it is")
    if not len(won):
        log.clear("result/noisy-success", "no success to confirm")
        return asked
    votes = votes if noisy else 1
    fresh = np.stack([answers(table.images[won]) for _ in range(votes)])
    labels = table.labels if table.targets is None else table.targets
    hits = fresh.argmax(2) == labels[won]
    fooled = (hits if table.targets is not None else ~hits).sum(0)
    # Called none only if a majority in the long run would so rarely show so few.
    least = _fewest(votes, level / max(len(won), 1)) if noisy else 1
    lost = int((fooled < least).sum())
    doubtful = int((fooled * 2 <= votes).sum())
    told = (
        f"asked {votes} times again, {doubtful} of {len(won)} successes have no "
        f"majority, {lost} of them beyond chance"
    )
    facts = {"n": len(won), "votes": votes, "lost": lost, "no_majority": doubtful}
    if lost:
        severe = None if lost > SERIOUS * len(won) else "weakens"
        log.found(
            "result/noisy-success",
            told,
            severe,
            chance=level if noisy else 0.0,
            **facts,
        )
    else:
        log.clear("result/noisy-success", told)
    _lucky(table, won, fresh, log, level)
    return asked


def _lucky(
    table: ResultTable, won: NDArray[Any], fresh: NDArray[Any], log: Log, level: float
) -> None:
    """Whether the answers that the attack kept are better than fresh ones."""
    rule = "result/stale-incumbent"
    if table.answers is None or table.labels is None:
        log.skip(rule, "no answers to the final images are told")
        return
    labels = (table.labels if table.targets is None else table.targets)[won]
    sign = 1.0 if table.targets is None else -1.0
    kept = sign * _margins(table.answers[won], labels)
    now = np.median([sign * _margins(each, labels) for each in fresh], axis=0)
    better = int((kept > now).sum())
    n = int((kept != now).sum())
    # A fresh answer is above the median of others as often as below.
    chance = (
        math.fsum(math.comb(n, k) for k in range(better, n + 1)) / 2.0**n if n else 1
    )
    told = f"{better} of {n} kept answers are better for the attack than fresh ones"
    if n and chance <= level:
        log.found(rule, told, n=n, better=better, chance=chance)
    else:
        log.clear(rule, told)


def _margins(answers: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    """The best other class less the label."""
    at = np.arange(len(answers))
    own = answers[at, labels]
    others = answers.copy()
    others[at, labels] = -np.inf
    return np.asarray(others.max(1) - own)


def _fewest(votes: int, level: float) -> int:
    """The fewest of so many votes that a share of one half shows, but for ``level``."""
    total = 0.0
    for hits in range(votes + 1):
        total += math.comb(votes, hits) / 2.0**votes
        if total > level:
            return hits
    return votes
