"""The ledger from the shell: every statement of the papers, judged."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import click

from querytax.cli_laws import json_option
from querytax.cli_options import Whole
from querytax.expect import DomainError

__all__ = ["validate"]

_WIDTH = 79


@click.command()
@click.argument("claim", required=False)
@click.option("--paper", help="One paper, as in rfd-2024.")
@click.option(
    "--tier",
    type=click.Choice(["quick", "full"]),
    default="quick",
    help="Margins as declared, or a fifth of them.",
)
@click.option("--seed", type=Whole(), help="Seed; 0 when quick, fresh when full.")
@click.option("--evidence", type=click.Path(), help="Add to earlier runs' evidence.")
@click.option(
    "-o", "--out", type=click.Path(), help="Folder for ledger.json and .html."
)
@json_option
def validate(
    claim: str | None,
    paper: str | None,
    tier: str,
    seed: int | None,
    evidence: str | None,
    out: str | None,
    as_json: bool,
) -> None:
    """Hold the papers' statements against simulation, one by one.

    \b
    querytax validate                       the whole ledger
    querytax validate rfd-2024/f11          one claim
    querytax validate --tier full --evidence ledger-evidence.json -o ledger

    Exit code 1 if a verdict is not the recorded one, or a mutant survives.
    """
    from querytax.validation import ledger as book

    try:
        found = book.run(
            paper=paper,
            claim=claim,
            tier=tier,
            rng=0 if seed is None and tier == "quick" else seed,
            evidence=evidence,
            verbose=not as_json,
        )
    except KeyboardInterrupt:
        if evidence is None:
            raise
        click.echo(f"interrupted; the same command goes on from {evidence}", err=True)
        sys.exit(130)
    if out is not None:
        from querytax.validation.page import write_page

        folder = Path(out)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DomainError(
                f"expected a folder to write to, got {out!r}: {error.strerror}"
            ) from None
        found.save(folder / "ledger.json")
        write_page(found, folder / "ledger.html")
    if as_json:
        click.echo(json.dumps(found.facts(), indent=1))
    else:
        _print(found)
    if found.surprises:
        sys.exit(1)


def _print(ledger: Any) -> None:
    """The claims with their verdicts, the counts, and every surprise."""
    for entry in ledger.entries:
        claim = entry.claim
        mark = "  SURPRISE" if entry.surprise else ""
        print(f"{claim.id:<34}{entry.verdict:<21}{claim.kind}{mark}")
        if len(ledger.entries) == 1:
            _print_claim(entry)
    counts = ", ".join(f"{name} {count}" for name, count in ledger.counts().items())
    print()
    _say(f"{len(ledger.entries)} claims: {counts}")
    print(
        f"mutants refuted {100 * ledger.mutation_score:.0f} %, tier {ledger.tier}, "
        f"seed {ledger.seed}"
    )
    for entry in ledger.surprises:
        why = entry.trouble.strip().splitlines()[-1:] or ["the mutant was not refuted"]
        if entry.verdict != entry.claim.expected and not entry.trouble:
            why = [f"recorded {entry.claim.expected}"]
        text = f"surprise: {entry.claim.id} {entry.verdict}, {why[0]}"
        _say(text)


def _print_claim(entry: Any) -> None:
    """One claim in full: its forms, and what was found at each point."""
    claim = entry.claim
    print()
    _say(claim.statement)
    for name, form in claim.forms.items():
        print(
            textwrap.fill(f"  {name}: {form.text}", _WIDTH, subsequent_indent="      ")
        )
    for title, text in (("regime", claim.regime), ("note", claim.note)):
        if text:
            print(
                textwrap.fill(f"  {title}: {text}", _WIDTH, subsequent_indent="      ")
            )
    for found in entry.findings:
        at = " ".join(f"{k}={v}" for k, v in found.arguments.items()) or "the tables"
        side = "" if found.inside else " (outside the regime)"
        print(
            "\n" + textwrap.fill(f"  at {at}{side}", _WIDTH, subsequent_indent="    ")
        )
        kind = ", central limit" if found.asymptotic else ""
        interval = f"[{found.low:.6g}, {found.high:.6g}]"
        print(f"    evidence   {found.value:.6g} {interval}{kind}")
        for name, value in found.forms.items():
            verdict = {True: "agrees", False: "refuted", None: "undecided"}
            print(f"    {name:<11}{value:<12.6g} {verdict[found.holds[name]]}")
    if entry.trouble:
        print("\n" + entry.trouble)


def _say(text: str) -> None:
    print(textwrap.fill(text, _WIDTH, subsequent_indent="      "))
