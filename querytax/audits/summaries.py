"""The summary of one of our results, which holds no images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from querytax.audits.bookkeeping import FEW
from querytax.audits.findings import Log
from querytax.expect import DomainError

__all__ = ["of_summaries", "summaries"]


def summaries(held: Any) -> list[Mapping[str, Any]]:
    """The summaries that ``to_json`` or ``querytax attack --json`` made, if any."""
    parts = held.get("results", [held]) if isinstance(held, Mapping) else []
    told = isinstance(parts, (list, tuple)) and all(
        isinstance(each, Mapping) and "confirmed" in each and "total_queries" in each
        for each in parts
    )
    return list(parts) if told else []


def of_summaries(parts: list[Mapping[str, Any]]) -> tuple[Log, str]:
    """What they still say, and of what."""
    log = Log()
    try:
        for each in parts:
            name = str(each.get("settings", {}).get("what") or each["attack"])
            log.join(_of_one(each), name)
        names = ", ".join(str(each["attack"]) for each in parts)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DomainError(
            "expected what querytax attack --json prints, got something else"
        ) from None
    for rule in ("result/outside-ball", "result/stale-incumbent"):
        log.skip(rule, "a summary holds no images")
    return log, f"summary of {names}"


def _of_one(each: Mapping[str, Any]) -> Log:
    log, n = Log(), int(each["n_attacked"])
    rows, total = sum(each["queries_by_purpose"].values()), int(each["total_queries"])
    if rows != total:
        log.found(
            "result/miscounted",
            f"{total:,} rows in all, {rows:,} by purpose",
            rows=total,
            by_purpose=rows,
        )
    else:
        log.clear("result/miscounted", f"{total:,} rows, by purpose and in all")
    if total > n * int(each["budget"]):
        log.found(
            "result/over-budget",
            f"{total:,} rows for {n} images at {int(each['budget']):,} each",
        )
    else:
        log.clear("result/over-budget", "rows are within the budget of all")
    cut = len(each["crashes"]) + int(each["status"].get("out of time", 0))
    if cut:
        log.found(
            "result/crashed",
            f"{cut} of {n} runs crashed or were cut short; the rate leaves them out",
            None if cut > n / 2 else "note",
            n=cut,
            runs=n,
        )
    else:
        log.clear("result/crashed", f"none of {n} runs")
    if each["own_noise"]:
        log.found("result/own-noise", "the model answers with noise of its own")
    else:
        log.clear("result/own-noise", "judged by a model that answers alike")
    if n and not total:
        log.found("result/never-moved", f"{n} images attacked, none asked about")
    log.clear("result/successes-only", "medians count unfinished runs as censored")
    log.clear("result/noisy-success", "noisy and confirmed successes are told apart")
    if n < FEW:
        log.found("result/few-runs", f"{n} runs", n=n)
    return log
