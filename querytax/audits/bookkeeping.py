"""What the numbers of a result say of each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from querytax.audits.findings import Log
from querytax.audits.tables import ResultTable
from querytax.intervals import share

__all__ = ["FEW", "SERIOUS", "averages", "ball", "counts", "endings"]

# Of the successes or runs that a fault touches, from which the conclusion falls.
SERIOUS = 0.05
# A difference to eps that is rounding.
_ROUNDING = 1e-5
FEW = 20
# Words of a status that say so.
_CRASHED = ("crash", "out of time", "error", "exception", "timeout", "nan")
_NO_START = ("no start", "start failed", "bad start", "broken start", "not adversarial")
_WRONG = ("misclassified", "target already", "wrong from the start")


def counts(table: ResultTable, log: Log) -> None:
    queries = table.queries
    rule = "result/miscounted"
    if table.rows is None and table.rows_by_image is None:
        log.skip(rule, "no rows that the model counted are told")
    else:
        rows = table.rows
        if table.rows_by_image is not None:
            by_image = int(table.rows_by_image.sum())
            # A failure may be reported at the budget, as censored there.
            more = int((queries > table.rows_by_image)[table.success].sum())
            rows = by_image if rows is None else rows
            if by_image != rows or more:
                log.found(
                    rule,
                    f"{rows:,} rows in all, {by_image:,} image by image; {more} "
                    "successes report more queries than rows",
                    rows=rows,
                    by_image=by_image,
                )
        assert rows is not None
        reported = int(queries.sum())
        # A success is reported at the query that brought it; rows go on to the end.
        ours = table.rows_by_image is not None
        if rows != reported and not (ours and not log.has(rule)):
            log.found(
                rule,
                f"{reported:,} queries are reported and {rows:,} rows were asked, "
                f"{rows / max(reported, 1):.3g} times as many",
                rows=rows,
                reported=reported,
            )
        log.clear(rule, f"{rows:,} rows, as reported")
    rule = "result/duplicates"
    if table.distinct is None:
        log.skip(rule, "no count of distinct questions is told")
    else:
        twice = 1 - float(table.distinct.sum()) / max(float(queries.sum()), 1)
        about = f"{100 * twice:.3g} % of {int(queries.sum()):,} questions were repeats"
        if table.deterministic and twice > SERIOUS:
            log.found(rule, about, share=twice)
        else:
            log.clear(rule, about)
    rule = "result/over-budget"
    if table.budget is None:
        log.skip(rule, "no budget is told")
        return
    over = queries > table.budget
    won = int((over & table.success).sum())
    if over.any():
        log.found(
            rule,
            f"{int(over.sum())} of {len(queries)} runs took more than {table.budget:,} "
            f"queries, up to {int(queries.max()):,}; {won} of them count as successes",
            None if won else "weakens",
            n=int(over.sum()),
            successes=won,
        )
    else:
        log.clear(rule, f"no run took more than {table.budget:,} queries")


def averages(table: ResultTable, log: Log) -> None:
    rule = "result/successes-only"
    won, n = table.success, len(table.success)
    if table.mean_queries is None:
        log.skip(rule, "no average is told")
    elif won.all() or not won.any():
        log.clear(rule, "all runs ended alike")
    else:
        mine, all_ = float(table.queries[won].mean()), float(table.queries.mean())
        told = float(table.mean_queries)
        if abs(told - mine) <= 0.01 * mine + 0.5 < abs(told - all_):
            log.found(
                rule,
                f"{told:,.4g} queries are the mean of {int(won.sum())} successes; "
                f"{n - int(won.sum())} runs that took more are left out, with which it "
                f"is at least {all_:,.4g}",
                told=told,
                of_all_at_least=all_,
                successes=int(won.sum()),
                n=n,
            )
        else:
            log.clear(rule, f"{told:,.4g} queries on average, unfinished runs included")
    if table.success_rate is not None:
        rate = float(won.mean())
        kept = table.correct if table.correct is not None else np.ones(n, dtype=bool)
        rates = [rate] + ([float(won[kept].mean())] if kept.any() else [])
        if min(abs(table.success_rate - each) for each in rates) > 0.5 / n:
            log.found(
                "result/miscounted",
                f"a success rate of {100 * table.success_rate:.3g} % is reported, and "
                f"the runs say {100 * rate:.3g} %",
                told=table.success_rate,
                found=rate,
            )
    if n < FEW:
        bounds = share(int(won.sum()), n)
        log.found(
            "result/few-runs",
            f"{n} runs bound the rate by {100 * bounds.lower:.3g} and "
            f"{100 * bounds.upper:.3g} % (95 %)",
            n=n,
        )
    if table.seed is None:
        log.found("result/no-seed", "no seed is told")
    else:
        log.clear("result/no-seed", f"seed {table.seed}")


def ball(table: ResultTable, log: Log) -> None:
    rule, still = "result/outside-ball", "result/never-moved"
    if table.images is None:
        for each in (rule, still):
            log.skip(each, "no final images are told")
        return
    final = table.images.reshape(len(table.images), -1)
    unit = (final < -_ROUNDING) | (final > 1 + _ROUNDING)
    outside = unit.any(1)
    far = 0.0
    if table.originals is None:
        log.skip(still, "no originals are told")
    else:
        off = final - table.originals.reshape(len(final), -1)
        radius = (
            np.abs(off).max(1) if table.norm == "Linf" else np.linalg.norm(off, axis=1)
        )
        if table.eps is not None:
            beyond = radius > table.eps * (1 + _ROUNDING) + _ROUNDING
            outside = outside | beyond
            far = float(radius.max())
        _still(table, radius, log)
    # A decision attack's failures end far off, and are called failures.
    won = int((outside & table.success).sum())
    if won:
        log.found(
            rule,
            f"{won} of {int(table.success.sum())} successes lie outside [0, 1] or the "
            f"ball of {_said(table.eps)}; the farthest image at {far:.4g}",
            n=won,
            farthest=far,
        )
    else:
        log.clear(rule, f"all successes lie within {_said(table.eps)}")


def _still(table: ResultTable, radius: NDArray[Any], log: Log) -> None:
    rule = "result/never-moved"
    lost = ~table.success & (table.queries > 0) & ~_told(table, _WRONG)
    if table.correct is not None:
        lost &= table.correct
    lost &= ~(_told(table, _CRASHED) | _told(table, _NO_START))
    unmoved = int((lost & (radius == 0)).sum())
    n = int(lost.sum())
    if unmoved and unmoved > n * SERIOUS:
        log.found(
            rule,
            f"{unmoved} of {n} runs without success end where they began",
            # Some libraries give the originals of failures back.
            "weakens" if (radius[table.success] > 0).any() else None,
            n=n,
            unmoved=unmoved,
        )
    else:
        log.clear(rule, f"{unmoved} of {n} runs without success end where they began")


def endings(table: ResultTable, log: Log) -> None:
    n = len(table.queries)
    ours = table.name and table.status is not None and table.rows_by_image is not None
    for rule, words, what in (
        ("result/crashed", _CRASHED, "crashed or were cut short"),
        ("result/broken-start", _NO_START, "found no start"),
    ):
        if table.status is None:
            log.skip(rule, "no status is told")
            continue
        at = _told(table, words) & ~table.success
        count = int(at.sum())
        if not count:
            log.clear(rule, f"none of {n} runs")
            continue
        tried = n if table.correct is None else int(table.correct.sum())
        told = f"{count} of {tried} runs {what}, and count as no success"
        counted = table.success_rate is None or not _left_out(table, at)
        severity = None if count > SERIOUS * tried else "weakens"
        if not counted or (ours and rule == "result/crashed" and count <= tried / 2):
            severity = "note"
            told = f"{count} of {tried} runs {what}; the rate leaves them out"
        log.found(rule, told, severity, n=count, runs=tried)
    rule = "result/misclassified-at-start"
    wrong = _told(table, _WRONG)
    if table.correct is not None:
        wrong |= ~table.correct
    # One question, and the attack was through: it was wrong before.
    first = table.success & (table.queries <= 1)
    if table.correct is not None or table.status is not None:
        count, known = int((wrong & table.success).sum()), True
    else:
        count, known = int(first.sum()), False
    if count:
        log.found(
            rule,
            f"{count} of {int(table.success.sum())} successes are images that were "
            + ("wrong from the start" if known else "won by one question at most"),
            None if count > SERIOUS * table.success.sum() else "weakens",
            n=count,
        )
    else:
        log.clear(rule, "no success was wrong from the start")


def _left_out(table: ResultTable, at: NDArray[Any]) -> bool:
    """Whether the rate that is told leaves these runs out."""
    kept = ~at if table.correct is None else ~at & table.correct
    if not kept.any() or table.success_rate is None:
        return False
    without, with_ = float(table.success[kept].mean()), float(table.success.mean())
    told = table.success_rate
    return abs(told - without) < abs(told - with_)


def _told(table: ResultTable, words: tuple[str, ...]) -> NDArray[Any]:
    """Runs whose status begins with, or names, one of some words."""
    if table.status is None:
        return np.zeros(len(table.queries), dtype=bool)
    return np.array([any(w in s.lower() for w in words) for s in table.status])


def _said(eps: float | None) -> str:
    return "the pixels' range" if eps is None else f"eps {eps:.4g}"
