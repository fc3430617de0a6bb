"""Figures from the shell: from the laws, and measured on the demo network."""

from __future__ import annotations

import json

import click

from querytax.cli_laws import json_option
from querytax.expect import DomainError

__all__ = ["figures"]


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
            rows = [
                {"name": n, "title": f.title, "see": f.see, "source": f.source}
                for n, f in chosen.items()
            ]
            click.echo(json.dumps(rows, indent=1))
            return
        for name, figure in chosen.items():
            click.echo(f"{name:<20}{figure.title}")
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
