"""Reproductions from the shell: a paper's measurements, made again and judged."""

from __future__ import annotations

import json
import sys
import textwrap
from collections import Counter
from dataclasses import asdict
from typing import Any

import click

from querytax.cli_laws import json_option
from querytax.cli_options import Whole
from querytax.expect import DomainError

__all__ = ["reproduce"]

_WIDTH = 79
_UNRESOLVED = 4


@click.command()
@click.argument("paper", required=False)
@click.argument("experiments", nargs=-1, metavar="[EXPERIMENT]...")
@click.option(
    "--scale",
    type=click.Choice(["small", "full"]),
    default="small",
    help="Embedded digits, or real networks from a data folder.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(),
    default="reproductions",
    show_default=True,
    help="Folder for PAPER/ours/SCALE.",
)
@click.option("--seed", type=Whole(), default=0, help="Seed of every draw; 0.")
@click.option("--fresh", is_flag=True, help="Measure again what is there already.")
@click.option("--list", "listed", is_flag=True, help="Name what there is, run none.")
@json_option
def reproduce(
    paper: str | None,
    experiments: tuple[str, ...],
    scale: str,
    out: str,
    seed: int,
    fresh: bool,
    listed: bool,
    as_json: bool,
) -> None:
    """Measure again what a paper reports: PAPER, or all of them.

    \b
    querytax reproduce --list                        papers and experiments
    querytax reproduce snd-2022                      on the embedded digits
    querytax reproduce all --scale full              on real networks
    querytax reproduce snd-2022 clean-accuracy       one experiment

    Tables, figures and verdicts.csv go to OUT/PAPER/ours/SCALE. An interrupted run
    goes on where it stopped. Exit code 4 if data was missing for an experiment.
    """
    from querytax import expect
    from querytax.papers import PAPERS

    papers = list(PAPERS) if paper in (None, "all") else [paper]
    for name in papers:
        expect.one_of([*PAPERS, "all"], paper=name)
    if listed:
        _list(papers, as_json)
        return
    if paper is None:
        raise DomainError(
            f"expected a paper or all, got none; papers: {', '.join(PAPERS)}"
        )
    if experiments and len(papers) > 1:
        raise DomainError("expected one paper where experiments are named, got all")

    from querytax.reproductions import reproduce as run

    found = []
    for name in papers:
        try:
            found.append(
                run(
                    name,
                    scale=scale,
                    folder=out,
                    names=experiments,
                    rng=seed,
                    fresh=fresh,
                    verbose=not as_json,
                )
            )
        except KeyboardInterrupt:
            click.echo(f"interrupted; the same command goes on in {out}", err=True)
            sys.exit(130)
        if not as_json:
            _say(found[-1])
    if as_json:
        click.echo(json.dumps([_facts(outcome) for outcome in found], indent=1))
    if any(outcome.missing for outcome in found):
        sys.exit(_UNRESOLVED)


def _list(papers: list[str], as_json: bool) -> None:
    from querytax.reproductions.experiment import recipe

    titles = {
        paper: {name: table["title"] for name, table in recipe(paper).items()}
        for paper in papers
    }
    if as_json:
        click.echo(json.dumps(titles, indent=1))
        return
    indent = 4 + max(len(name) for found in titles.values() for name in found)
    lines = []
    for paper, found in titles.items():
        lines.append(paper)
        for name, title in found.items():
            lines += _lines(title, f"  {name:<{indent - 2}}", indent)
    # At once: a reader that stops early, such as head, is no error.
    click.echo("\n".join(lines))


def _facts(outcome: Any) -> dict[str, Any]:
    return {
        "paper": outcome.paper,
        "scale": outcome.scale,
        "seed": outcome.seed,
        "folder": str(outcome.folder),
        "missing": outcome.missing,
        "verdicts": {
            name: [asdict(v) for v in found] for name, found in outcome.verdicts.items()
        },
    }


def _say(outcome: Any) -> None:
    """Verdict, statement, and the two numbers; then the counts."""
    click.echo(f"{outcome.paper}, scale {outcome.scale}, seed {outcome.seed}")
    for name, found in outcome.verdicts.items():
        click.echo(f"\n{name}")
        for v in found:
            _wrap(v.statement, first=f"  {v.verdict:<11}")
            _wrap(f"expected {v.expected}; ours {v.ours} ({v.test})")
            if v.note:
                _wrap(v.note)
    for name, lines in outcome.missing.items():
        click.echo(f"\n{name}")
        _wrap("; ".join(lines), first="  NOT RUN    ")
    if outcome.missing and outcome.scale != "small":
        click.echo("\n--scale small needs none of what is missing")
    counts = Counter(v.verdict for found in outcome.verdicts.values() for v in found)
    said = ", ".join(f"{n} {word}" for word, n in sorted(counts.items())) or "none"
    kept = f"; {outcome.kept} parts were there already" if outcome.kept else ""
    click.echo(f"\nverdicts: {said}{kept}\nfiles in {outcome.folder}\n")


def _wrap(text: str, first: str = "", indent: int = 13) -> None:
    click.echo("\n".join(_lines(text, first, indent)))


def _lines(text: str, first: str, indent: int) -> list[str]:
    margin = " " * indent
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first or margin, subsequent_indent=margin
    )
