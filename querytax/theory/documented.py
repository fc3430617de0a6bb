"""A law's documentation: what its author wrote, and what is known beside it."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from querytax.parameters import section

if TYPE_CHECKING:
    from querytax.theory.law import Law

__all__ = ["documented"]


def documented(entry: Law, text: str, defaults: Mapping[str, Any]) -> str:
    """A NumPy docstring: summary, parameters, value, notes, examples.

    Parameters
    ----------
    entry : Law
    text : str
        What the author wrote: a summary, more, and examples that begin with ``>>>``.
    defaults : mapping
        Of the parameters that have one.
    """
    prose, mark, examples = inspect.cleandoc(text).partition(">>>")
    summary, _, more = prose.strip().partition("\n\n")
    sections = [summary, f"``{entry.formula}``"]
    if entry.parameters:
        sections.append(section(entry.parameters, defaults))
    moves = [
        f"{verb} with {', '.join(names)}"
        for verb, names in (("rises", entry.rises), ("falls", entry.falls))
        if names
    ]
    value = "; ".join([f"In {entry.within.text}", *moves]) + "."
    sections.append(_section("Returns", "float or ndarray\n" + _text(value, 4)))
    standing = entry.standing[:1].upper() + entry.standing[1:]
    notes = [f"{standing}. Source: {entry.source}."]
    notes += [f"Outside these limits it warns: {'; '.join(entry.limits)}."] * bool(
        entry.limits
    )
    notes = [_text(note, 0) for note in notes]
    sections.append(_section("Notes", "\n\n".join([*[more] * bool(more), *notes])))
    if mark:
        sections.append(_section("Examples", mark + examples.rstrip()))
    return "\n\n".join(sections) + "\n"


def _section(title: str, body: str) -> str:
    return f"{title}\n{'-' * len(title)}\n{body}"


def _wrapped(text: str, indent: int) -> list[str]:
    pad = " " * indent
    return textwrap.wrap(
        re.sub(r"\s+", " ", text), 84, initial_indent=pad, subsequent_indent=pad
    )


def _text(text: str, indent: int) -> str:
    return "\n".join(_wrapped(text, indent))
