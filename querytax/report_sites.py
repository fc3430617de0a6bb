"""What a person reads of the places for noise."""

from __future__ import annotations

import textwrap
from typing import Any

from querytax.terminal import WIDTH, new_table, terminal
from querytax.words import spelt

__all__ = ["print_sites"]

# Columns that a name gets before it goes on in the next line.
_NAME = 26


def print_sites(found: Any) -> None:
    """All places, what a preset chooses, and what takes no noise."""
    chosen = {
        part.split("*")[0]: word
        for word, places in found.presets.items()
        if not places.startswith("none: ")
        for part in places.split("+")
    }
    table = new_table()
    longest = max(len(_plain(place.site)) for place in found.places)
    # A name is never cut off, for it is there to be copied.
    table.add_column("site", overflow="fold", min_width=min(longest, _NAME))
    table.add_column("layer", overflow="ellipsis", no_wrap=True, max_width=14)
    table.add_column("shape", overflow="fold", min_width=6)
    for name in ("values", "ms"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("preset", no_wrap=True)
    # Names are no markup, though they may look like it.
    from rich.text import Text

    for place in found.places:
        before = f"{place.site}:before"
        marks = [chosen[place.site]] if place.site in chosen else []
        marks += [f"{chosen[before]}:before"] if before in chosen else []
        shape = "x".join(map(str, place.shape)) or "1"
        if place.visits > 1:
            shape = f"{place.visits} x {shape}"
        table.add_row(
            Text(_plain(place.site)),
            place.kind if place.kind != place.site else "",
            shape,
            f"{place.values:,}",
            f"{place.milliseconds:.3g}",
            "\n".join(marks),
        )
    terminal().print(table)
    _say(
        f"The model alone takes {found.milliseconds:.3g} ms an image, in batches of 8. "
        "A layer's site is what it returns, or with :before what it is given."
    )
    for word, places in found.presets.items():
        _say(f"{word}: {places}")
    if found.closed:
        listed = "; ".join(
            f"{_plain(name)} ({why})" for name, why in found.closed.items()
        )
        _say(f"No noise at: {listed}")


def _plain(name: str) -> str:
    """A name that a terminal can be trusted with."""
    return name if name.isprintable() else ascii(name)


def _say(text: str) -> None:
    print(
        textwrap.fill(
            spelt(text), WIDTH, subsequent_indent="  ", break_on_hyphens=False
        )
    )
