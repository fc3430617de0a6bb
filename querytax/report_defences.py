"""What a person reads of the defences: a table of all, a page of some."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from querytax.catalogue import DEFENCES, Defence, find
from querytax.evidence import Contender
from querytax.terminal import WIDTH, new_table, terminal

__all__ = ["costs", "facts_of_defences", "print_defences"]


def costs() -> dict[str, list[dict[str, str]]]:
    """What `benchmarks/defences.py` measured last, by a defence's word."""
    table = resources.files("querytax").joinpath("defenses/costs.csv")
    found: dict[str, list[dict[str, str]]] = {}
    if table.is_file():
        for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines()):
            found.setdefault(row["defence"].partition(":")[0], []).append(row)
    return found


def facts_of_defences(names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The catalogue as plain data, or the entries of some words.

    Raises
    ------
    DomainError
        For an unknown word.
    """
    entries = [find(name) for name in names] or list(DEFENCES.values())
    measured = costs()
    return [_facts(entry, measured.get(entry.word, [])) for entry in entries]


def _facts(entry: Defence, measured: list[dict[str, str]]) -> dict[str, Any]:
    attack, changes = entry.attack
    return {
        "word": entry.word,
        "about": entry.about,
        "random": entry.random,
        "strength": entry.strength,
        "usual": entry.usual,
        "levels": list(entry.levels),
        "settings": {
            name: {
                "default": s.default,
                "about": s.about,
                **({"words": list(s.words)} if s.words else {}),
            }
            for name, s in entry.settings.items()
        },
        "trained": entry.trained,
        "decides": entry.decides,
        "comparison": entry.comparison,
        "breaker": entry.breaker,
        "attack": {"attack": attack, **dict(changes)},
        "source": entry.source,
        "measured": measured,
    }


def print_defences(facts: Sequence[Mapping[str, Any]], whole: bool) -> None:
    """A table, or a page of each with everything that is known."""
    if whole:
        for one in facts:
            _page(one)
        return
    table = new_table()
    table.add_column("word", no_wrap=True)
    table.add_column("what it does", overflow="fold")
    table.add_column("", no_wrap=True)
    table.add_column("strength", no_wrap=True)
    for one in facts:
        table.add_row(
            one["word"],
            one["about"],
            ("r" if one["random"] else " ") + ("t" if one["trained"] else ""),
            f"{one['strength']} {one['usual']:g}",
        )
    terminal().print(table)
    _say(
        "r: draws afresh at every query; t: the network is trained for it. "
        "A word stands wherever a site does: querytax attack MODEL --data D --site rls "
        "--sigma 10. querytax defences WORD says what is random, what it costs, what "
        "becomes of a comparison, and what breaks it."
    )


def _page(one: Mapping[str, Any]) -> None:
    changes = dict(one["attack"])
    word, recipe = changes.pop("attack"), changes.pop("recipe", "adaptive")
    attack = Contender(word, recipe, tuple(changes.items()))
    settings = "; ".join(
        f"{name}={s['default']} ({s['about']})" for name, s in one["settings"].items()
    )
    said = {
        "random": one["random"] or "nothing",
        "strength": f"{one['strength']}, usually {one['usual']:g}",
        "settings": settings or "none",
        "training": "needs data: defend(..., data=(images, labels))"
        if one["trained"]
        else "none",
        "class": "can change" if one["decides"] else "never changes",
        "comparison": one["comparison"],
        "breaker": f"{one['breaker']} ({attack.name})",
        "source": one["source"],
    }
    print(f"{one['word']}: {one['about']}")
    for key, value in said.items():
        _say(f"  {key:<11}{value}", indent=13)
    for row in one["measured"]:
        _say(f"  {'measured':<11}{_cost(row)}", indent=13)
    print()


def _cost(row: Mapping[str, str]) -> str:
    broken = "; ".join(
        f"{who} {row[key]}: {row[f'{key}_broken']} %"
        for who, key in (("best attacker", "best"), ("breaker", "breaker"))
    )
    return (
        f"{row['network']}, {row['strength']}: {row['accuracy_lost']} points of "
        f"accuracy lost, {row['time_1']} times the model's time on one image and "
        f"{row['time_256']} on 256; broken by {broken}; without it "
        f"{row['bare_broken']} %"
    )


def _say(text: str, indent: int = 0) -> None:
    print(
        textwrap.fill(
            text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False
        )
    )
