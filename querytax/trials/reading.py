"""From an attack's result to rows of the store, and from rows to what was tried."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from querytax.attacks.outcome import CUT, SUCCESSES, AttackResult
from querytax.attacks.table import plan_of
from querytax.counts import QueryCount
from querytax.evidence import Contender, Trial, Tried
from querytax.plans import Plan
from querytax.trials.store import OPEN, ImageRow, RunKey

__all__ = [
    "APART",
    "contender_of",
    "largest_of",
    "rows_of",
    "settings_of",
    "tried_of",
    "untried",
]

# An image that the network gets right in one batch and, by rounding, wrong in another:
# nothing is known of it.
_UNSURE = "misclassified"

# What a run says by itself, and a contender's changes cannot.
APART = ("eps", "norm", "name", "recipe", "shape")

Rows = Mapping[tuple[str, int], ImageRow]


def settings_of(plan: Plan) -> str:
    """A plan's settings as JSON that is the same for the same settings."""
    values = {}
    for field in dataclasses.fields(plan):
        value, usual = getattr(plan, field.name), cast("Any", field.default)
        if field.name not in APART:
            # 1 and 1.0 are one setting.
            plain = isinstance(usual, (bool, int, float, str))
            values[field.name] = type(usual)(value) if plain else value
    return json.dumps(values, sort_keys=True, separators=(",", ":"), default=float)


def contender_of(run: RunKey, shape: tuple[int, ...]) -> Contender:
    """Who made a run: what its settings change in its recipe."""
    recipe = plan_of(run.attack, run.eps, run.norm, recipe=run.recipe, shape=shape)
    usual = json.loads(settings_of(recipe))
    changes = {
        name: value
        for name, value in json.loads(run.settings).items()
        if name not in usual or usual[name] != value
    }
    return Contender(run.attack, run.recipe, tuple(changes.items()))


def rows_of(
    result: AttackResult,
    names: Sequence[tuple[str, int]],
    rest: int = 0,
    decides: bool = False,
) -> list[ImageRow]:
    """A result's images, for the store; ``rest`` is that of the run.

    What a defence that ``decides`` gets wrong by itself costs an attacker one query.
    """
    place = np.cumsum(result.attacked) - 1
    rows = []
    for i, (image, key) in enumerate(names):
        if not result.attacked[i] and decides:
            events = {f"{n}{end}": 1 for n in SUCCESSES for end in ("", "_need")}
            rows.append(
                ImageRow(image, key, result.budget, 1, 1, "broken", rest, **events)
            )
            continue
        if not result.attacked[i]:
            rows.append(ImageRow(image, key, result.budget, 0, 0, _UNSURE, rest))
            continue
        at = place[i]
        events = {}
        for name in SUCCESSES:
            count = getattr(result, name)
            there = bool(count.success[at])
            events[name] = int(count.queries[at]) if there else 0
            events[f"{name}_need"] = int(result.needs[name][at]) if there else 0
        asked = sum(int(rows[at]) for rows in result.spent.values())
        need = int(result.needs["end"][at])
        status = result.status[i]
        row = ImageRow(image, key, result.budget, asked, need, status, rest, **events)
        rows.append(row)
    return rows


def tried_of(trial: Trial, rows: Rows, names: Sequence[tuple[str, int]]) -> Tried:
    """What a trial saw, from rows of its budget or of larger ones."""
    budget, rest = int(trial.n_queries), int(trial.rest)
    found = [rows[name] for name in names[: trial.images]]
    over = [row.over(budget, rest) for row in found]
    # As in an attack's result: what crashed is known up to there, all else to the
    # budget's end.
    cut = np.array(
        [
            end and row.status.startswith((*CUT, _UNSURE))
            for end, row in zip(over, found, strict=True)
        ]
    )
    asked = np.array(
        [row.asked if end else budget for end, row in zip(over, found, strict=True)]
    )

    def count(name: str) -> QueryCount:
        at = np.array([row.event(name, budget, rest) for row in found])
        known = np.where(cut, asked, budget)
        return QueryCount(np.where(at > 0, at, known), at > 0, cut)

    crashes = [row.status for row, end in zip(found, cut, strict=True) if end]
    return Tried(trial, count("confirmed"), count("clean"), asked, *crashes[:1])


def untried(trial: Trial) -> Tried:
    """A trial whose budget does not pay for its attack's first step and votes."""
    budget = np.full(trial.images, trial.n_queries)
    nobody = QueryCount(budget, np.zeros(trial.images, dtype=bool))
    return Tried(trial, nobody, nobody, np.zeros(trial.images, dtype=np.int64))


def largest_of(
    trial: Trial, rows: Rows, names: Sequence[tuple[str, int]]
) -> list[Tried]:
    """The largest trials like this one that rows cover, the largest budgets first."""
    found: list[tuple[int, int, int]] = []
    least, largest, whole, most = math.inf, 0, math.inf, 0
    for images, name in enumerate(names, 1):
        if (row := rows.get(name)) is None:
            break
        largest, most = max(largest, row.n_queries), max(most, row.rest)
        if row.status == OPEN:
            least = min(least, row.n_queries)
            whole = min(whole, row.n_queries + row.rest)
        # Where every run is over any budget is covered: say the largest asked.
        covered = int(min(least, largest))
        # More images are better than fewer, for no smaller a budget.
        rest = int(min(whole, covered + most) - covered)
        end = covered + rest
        while found and found[-1][1] <= covered and sum(found[-1][1:]) <= end:
            found.pop()
        found.append((images, covered, rest))
    return [
        tried_of(
            dataclasses.replace(trial, images=n, n_queries=budget, rest=rest),
            rows,
            names,
        )
        for n, budget, rest in found
    ]
