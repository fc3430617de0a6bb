"""What a person reads of laws: the list, one of them, its simulation, the pages."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from querytax.files import atomic_write
from querytax.terminal import WIDTH

__all__ = [
    "law_data",
    "matches",
    "pages",
    "print_derivation",
    "print_law",
    "print_laws",
    "print_simulation",
]

_COLUMN = 30


def matches(entry: Any, words: Iterable[str]) -> bool:
    """Whether all words are in a law's name, summary, formula or parameters."""
    known = [entry.name, entry.summary, entry.formula]
    for name, p in entry.parameters.items():
        known += [name, p.described]
    text = " ".join(known).casefold()
    return all(word.casefold() in text for word in words)


def law_data(entry: Any, latex: bool = False) -> dict[str, Any]:
    """A law as plain data; its LaTeX wants sympy, and some time."""
    shown = {
        "name": entry.name,
        "topic": entry.topic,
        "summary": entry.summary,
        "formula": entry.formula,
        "kind": entry.kind,
        "regime": entry.regime,
        "source": entry.source,
        "limits": list(entry.limits),
        "within": entry.within.text,
        "rises": list(entry.rises),
        "falls": list(entry.falls),
        "parameters": [
            {
                "name": name,
                "symbol": p.symbol,
                "meaning": p.meaning,
                "unit": p.unit,
                "domain": p.domain.text,
                "axes": p.axes,
            }
            for name, p in entry.parameters.items()
        ],
    }
    return {**shown, "latex": entry.latex} if latex else shown


def _filled(text: str, first: str, rest: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_laws(entries: Sequence[Any], groups: Mapping[str, Sequence[str]]) -> None:
    """The laws by group and topic, a line each, or two."""
    for group, topics in groups.items():
        inside = [e for topic in topics for e in entries if e.topic == topic]
        if not inside:
            continue
        print(f"{group.upper()}\n")
        for topic in topics:
            here = [e for e in inside if e.topic == topic]
            if not here:
                continue
            print(topic)
            for entry in here:
                name = "  " + entry.name.partition(topic)[2].lstrip(".:")
                # A long name stands alone, and what it says begins below.
                if len(name) >= _COLUMN:
                    print(name)
                    name = ""
                print(_filled(entry.summary, name.ljust(_COLUMN), " " * _COLUMN))
            print()
    print(
        f"{len(entries)} laws. querytax show TOPIC.NAME prints formula, parameters,\n"
        "regime and source; querytax laws WORD finds those that speak of it."
        if entries
        else "No law speaks of that. querytax laws lists them all."
    )


def print_law(entry: Any) -> None:
    """A law in plain text."""
    print(f"{entry.name}\n{_filled(entry.summary, '', '')}\n")
    print(_filled(entry.formula, "  ", "    ") + "\n")
    for name, p in entry.parameters.items():
        print(_filled(f"{name}: {p.described}", "  ", "      "))
    moves = [
        f"{verb} with {', '.join(names)}"
        for verb, names in (("rises", entry.rises), ("falls", entry.falls))
        if names
    ]
    said = [
        ("Value", "; ".join([f"in {entry.within.text}", *moves])),
        ("Regime", entry.standing),
        ("Limits", "; ".join(entry.limits)),
        ("Source", entry.source),
        ("LaTeX", entry.latex),
    ]
    for title, text in said:
        if text:
            print("\n" + _filled(f"{title}: {text}", "", ""))


def print_derivation(steps: Sequence[Any]) -> None:
    """The steps that lead to a law, each with how it is known."""
    print("\nDerivation" if steps else "\nDerivation: none, the law is a definition.")
    for step in steps:
        print(f"\n  {step.words} ({step.known}):")
        for sign, side in ((" ", step.left), ("=", step.right)):
            print(
                textwrap.fill(
                    f"{sign} {side}",
                    WIDTH,
                    initial_indent="    ",
                    subsequent_indent="        ",
                )
            )


def print_simulation(
    found: Any, experiment: Any, law: float | None, seconds: float
) -> None:
    """A simulated value with its interval, and the law beside it."""
    given = " ".join(f"{k}={v}" for k, v in experiment.arguments.items())
    print(textwrap.fill(f"{found.name} {given}", WIDTH, subsequent_indent="    "))
    kind = "central limit" if found.asymptotic else "at every look"
    print(
        f"  simulated  {found.value:.6g}  [{found.low:.6g}, {found.high:.6g}], {kind}, "
        f"1 - {found.alpha:g}"
    )
    print(
        f"  draws      {found.samples:,} in {seconds:.1f} s, seed {found.seed}, "
        f"stopped: {found.stopped}"
    )
    if found.truncation is not None:
        cut = found.truncation
        print(
            f"  clipped    to [{cut.low:g}, {cut.high:g}], {100 * cut.share:.3g} % of "
            "the draws"
        )
    if law is not None:
        inside = found.low <= law <= found.high
        print(f"  law        {law:.6g}, {'inside' if inside else 'OUTSIDE'}")


def pages(
    entries: Sequence[Any], groups: Mapping[str, Sequence[str]], folder: str | Path
) -> list[Path]:
    """Write a page of Markdown for each group of laws; returns their paths."""
    written = []
    for group, topics in groups.items():
        parts = [f"# Laws: {group}\n"]
        parts.append("Written by `querytax laws -o`, from the code. Do not edit.\n")
        for topic in topics:
            parts += [_entry(e) for e in entries if e.topic == topic]
        path = Path(folder, group.replace(" ", "-") + ".md")
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write("\n".join(parts).encode())
        written.append(path)
    return written


def _entry(entry: Any) -> str:
    rows = [
        f"| `{name}` | {_cell(p.symbol)} | {_cell(p.meaning)} | {_cell(p.unit)} "
        f"| {_cell(p.domain.text)} |"
        for name, p in entry.parameters.items()
    ]
    moves = "".join(
        f"; {verb} with {', '.join(f'`{n}`' for n in names)}"
        for verb, names in (("rises", entry.rises), ("falls", entry.falls))
        if names
    )
    limits = "".join(f"\n- Warns outside: {limit}" for limit in entry.limits)
    head = "| parameter | symbol | meaning | unit | domain |\n|---|---|---|---|---|\n"
    return (
        f"## `{entry.name}`\n\n{entry.summary}\n\n$${entry.latex}$$\n\n"
        f"`{entry.formula}`\n\n" + head + "\n".join(rows) + "\n\n"
        f"- Value in {entry.within.text}{moves}\n"
        f"- Regime: {entry.standing}{limits}\n- Source: {entry.source}\n"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
