"""Figures from the shell: from the laws, and measured on the demo network."""

from __future__ import annotations

import json
import textwrap
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from querytax.cli_laws import json_option
from querytax.expect import DomainError

if TYPE_CHECKING:
    from querytax.figures.entry import Entry

__all__ = ["figures"]

_WIDTH, _INDENT = 79, 20


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-o", "--out", type=click.Path(), help="Folder to write to.")
@click.option("--list", "listed", is_flag=True, help="Name the figures, draw none.")
@json_option
def figures(
    names: tuple[str, ...], out: str | None, listed: bool, as_json: bool
) -> None:
    """Draw figures, all or by name: the laws, and what the demo network shows.

    \b
    querytax figures -o figures                 all of them
    querytax figures -o figures query-ratio     one
    querytax figures --list                     what there is

    Each is an SVG and a PNG, with its caption (.txt) and its data (.csv) beside it.
    """
    from querytax import expect
    from querytax.figures import analytic
    from querytax.progress import progress

    for name in names:
        expect.one_of(analytic.FIGURES, figure=name)
    if listed:
        chosen = {n: analytic.FIGURES[n] for n in names} or analytic.FIGURES
        if as_json:
            rows = [_facts(name, figure) for name, figure in chosen.items()]
            click.echo(json.dumps(rows, indent=1))
            return
        # In one piece: a reader who takes only the first line closes the pipe.
        click.echo("\n".join(_lines(n, figure.title) for n, figure in chosen.items()))
        return
    if out is None:
        raise DomainError(
            "expected a folder, -o DIR, to write the figures to, got none"
        )
    with progress(not as_json) as bars:
        bar = bars.add("figures", len(set(names or analytic.FIGURES)))
        done: list[str] = []

        def on_done(name: str) -> None:
            done.append(name)
            bars.update(bar, len(done))

        files = [str(path) for path in analytic.write(out, names, on_done)]
    click.echo(json.dumps(files, indent=1) if as_json else "\n".join(files))


def _facts(name: str, figure: Entry) -> dict[str, Any]:
    return {
        "name": name,
        "title": figure.title,
        "see": figure.see,
        "source": figure.source,
        "panels": [_name_of(panel) for panel in figure.panels],
    }


def _name_of(panel: Any) -> str:
    """The function that draws it, whatever it is given besides the axes."""
    function = panel.func if isinstance(panel, partial) else panel
    return f"{function.__module__}.{function.__qualname__}"


def _lines(name: str, title: str) -> str:
    first, rest = f"{name:<{_INDENT}}", " " * _INDENT
    return textwrap.fill(
        title,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
    )
