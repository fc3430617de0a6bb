"""Defences from the shell: what there is, and what each costs."""

from __future__ import annotations

import json

import click

from querytax.cli_laws import json_option

__all__ = ["defences"]


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
def defences(names: tuple[str, ...], as_json: bool) -> None:
    """List the defences: what is random, what they cost, what breaks them.

    \b
    querytax defences            all of them
    querytax defences rls aaa    some, with settings, sources and measured costs

    A defence's word stands wherever a site does: --site rls, or with settings
    --site rls:low=0.25; --sigma is then its strength.
    """
    from querytax.report_defences import facts_of_defences, print_defences

    facts = facts_of_defences(names)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        print_defences(facts, whole=bool(names))
