"""Campaigns in words: how far one is, and what came of it."""

from __future__ import annotations

import itertools
import json
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from querytax.campaigns import Group, Standing
from querytax.intervals import share
from querytax.terminal import WIDTH, new_table, short, span, terminal
from querytax.words import percent, spelt

__all__ = ["print_standing", "print_summary"]

# What a heading tells of the groups below it; the rest stands in their lines.
_HEADS = ("network", "eps", "n_queries")


def print_standing(found: Standing, store: str) -> None:
    """Done, left, crashed, and the time."""
    print(
        spelt(
            f"{found.name}: {found.done:,} of {found.jobs:,} jobs done, "
            f"{found.images:,} runs on an image, in {store}"
        )
    )
    if not found.whole:
        left = f"{found.jobs - found.done:,} left"
        if found.left is None:
            print(f"{left}; the first jobs will tell how long they take")
        else:
            print(f"{left}: {_time(found.left)} of one process, about")
    elif found.seconds:
        print(f"they took {_time(found.seconds)} of one process")
    if found.crashed:
        print(f"{found.crashed:,} runs crashed, which say nothing:")
        for what, count in found.crashes[:5]:
            print(textwrap.shorten(spelt(f"  {count:,} x {what}"), WIDTH))
    if found.left_out:
        grouped: dict[str, list[str]] = {}
        for word, why in found.left_out.items():
            grouped.setdefault(why, []).append(word)
        said = "; ".join(f"{', '.join(who)}: {why}" for why, who in grouped.items())
        print(textwrap.fill(spelt(f"Left out of all attacks: {said}"), WIDTH))


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes < 90:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def print_summary(groups: Sequence[Group], success: str) -> None:
    """A table a heading: rates, Wilson's intervals, medians."""
    screen = terminal()
    if not groups:
        screen.print("no job of these is done")
        return

    def head(group: Group) -> tuple[object, ...]:
        all_labels = {**group.labels, "n_queries": group.n_queries}
        return tuple(all_labels[name] for name in _HEADS if name in all_labels)

    names = [n for n in _HEADS if n in {**groups[0].labels, "n_queries": 0}]
    ordered = sorted(range(len(groups)), key=_first_seen([head(g) for g in groups]))
    for key, places in itertools.groupby(ordered, key=lambda i: head(groups[i])):
        said = dict(zip(names, key, strict=True))
        title = [spelt(str(said["network"]))] if "network" in said else []
        title += [f"eps {said['eps']:.4g}"] if "eps" in said else []
        title.append(f"{said['n_queries']:,} queries")
        screen.print(f"{', '.join(title)}; success: {success}", markup=False)
        _table([groups[i] for i in places])


def _first_seen(keys: Sequence[tuple[object, ...]]) -> Callable[[int], Any]:
    """Sorts places by where their key was seen first."""
    first: dict[tuple[object, ...], int] = {}
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    return lambda i: (first[keys[i]], i)


def _table(groups: Sequence[Group]) -> None:
    from rich.text import Text

    table = new_table()
    labels = groups[0].labels
    defended = {"site", "strength"} & set(labels)
    attacked = {"attack", "recipe", "settings"} & set(labels)
    if defended:
        table.add_column("defence", overflow="fold")
    if attacked:
        table.add_column("attack", overflow="fold")
    if "seed" in labels:
        table.add_column("seed", justify="right")
    for name in ("images", "success", "95 %", "median"):
        table.add_column(name, justify="right", no_wrap=True)
    for group in groups:
        own, counts = group.labels, group.counts
        cells = []
        if defended:
            words = own.get("site") or ("none" if "site" in own else "")
            level = own.get("strength")
            cells.append(f"{words} {level:.4g}" if level else str(words or "none"))
        if attacked:
            changes = json.loads(own.get("settings", "{}"))
            said = [own.get("recipe"), *(f"{k} {v}" for k, v in changes.items())]
            parts = [own.get("attack"), ", ".join(filter(None, said))]
            cells.append(", ".join(filter(None, parts)))
        if "seed" in own:
            cells.append(str(own["seed"]))
        cells.append(f"{len(counts.queries):,}")
        fell = counts.success[~(counts.cut & ~counts.success)]
        if len(fell):
            rate = share(int(fell.sum()), len(fell))
            cells.append(percent(rate.value))
            cells.append(f"{100 * rate.lower:.3g}-{100 * rate.upper:.3g}")
        else:
            cells += ["-", "-"]
        median, budget = counts.quantile(), group.n_queries
        if math.isinf(median):
            cells.append(f">{budget:,}")
        else:
            low, high = counts.interval()
            cells.append(f"{short(median)} ({span(low, high, budget)})")
        table.add_row(*(Text(spelt(cell)) for cell in cells))
    terminal().print(table)
