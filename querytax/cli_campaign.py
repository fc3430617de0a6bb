"""Campaigns from the shell: run, look at, summarise, export."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from querytax import interrupts
from querytax.cli_laws import json_option
from querytax.cli_options import Number, Whole
from querytax.expect import DomainError
from querytax.terminal import answer_alone

__all__ = ["campaign"]

_UNDONE, _INTERRUPTED = 3, 130

_FILTERS = [
    click.option("--network", "networks", multiple=True, help="Of these networks."),
    click.option(
        "--site", "sites", multiple=True, help="Behind these defences; none for none."
    ),
    click.option("--strength", "strengths", multiple=True, type=Number()),
    click.option("--attack", "attacks", multiple=True, help="By these attacks."),
    click.option("--recipe", "recipes", multiple=True),
    click.option("--eps", "radii", multiple=True, type=Number()),
    click.option("--seed", "seeds", multiple=True, type=Whole()),
    click.option(
        "--queries", "budgets", multiple=True, type=Whole(), help="With these budgets."
    ),
]
_WHERE = [
    click.argument("where", metavar="PLAN|STORE"),
    click.option("--store", type=click.Path(), help="Store of a plan [PLAN's .db]."),
    click.option("--name", default="", help="Which of the store's campaigns."),
]


def _with(options: list[Any]) -> Callable[..., Any]:
    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.group()
def campaign() -> None:
    """Attacks x networks x defences x strengths x seeds x images, stored and resumed.

    \b
    querytax campaign run plan.toml           what is left; kept in plan.db
    querytax campaign run plan.toml --jobs 2  in two processes
    querytax campaign run plan.toml --scheduler tcp://host:8786  a cluster
    querytax campaign status plan.toml        done, left, time left
    querytax campaign show plan.toml --attack square  rates and medians
    querytax campaign export plan.toml -o outcomes.csv  every image

    docs/campaigns.md tells what a plan says. What is done is never done again, and
    nothing done is lost, whatever stops a run.
    """


@campaign.command()
@click.argument("plan", type=click.Path())
@click.option("--store", type=click.Path(), help="File of trials  [PLAN's .db].")
@click.option(
    "--jobs", type=Whole(), default=1, show_default=True, help="Processes at once."
)
@click.option("--scheduler", metavar="ADDRESS", help="Dask cluster: tcp://host:8786.")
@click.option("--minutes", type=float, help="Begin no job after that.")
@json_option
def run(
    plan: str,
    store: str | None,
    jobs: int,
    scheduler: str | None,
    minutes: float | None,
    as_json: bool,
) -> None:
    """Do the jobs of PLAN, a TOML file, that are left; the same again goes on.

    Exit code 3 if jobs are left, which --minutes or an interrupt can bring about.
    """
    from querytax.campaigns import run as do
    from querytax.report_campaign import print_standing

    store = store or _store_of(plan)
    try:
        with answer_alone():
            found = do(
                plan,
                store,
                jobs=jobs,
                scheduler=scheduler,
                minutes=minutes,
                verbose=not as_json,
            )
    except KeyboardInterrupt:
        interrupts.answered()
        click.echo(f"interrupted; the same command goes on with {store}", err=True)
        sys.exit(_INTERRUPTED)
    if as_json:
        click.echo(json.dumps({"store": store, **found.to_json()}, indent=1))
    else:
        print_standing(found, store)
    if not found.whole:
        sys.exit(_UNDONE)


campaign.add_command(
    click.Command(
        "resume",
        callback=run.callback,
        params=run.params,
        help="The same as run: do the jobs of PLAN that are left.",
        short_help="The same as run.",
    )
)


@campaign.command()
@_with(_WHERE)
@json_option
def status(where: str, store: str | None, name: str, as_json: bool) -> None:
    """How far a campaign is: done, left, crashed, and the time left, about.

    While one runs as well. Exit code 3 if jobs are left.
    """
    from querytax.campaigns import standing
    from querytax.report_campaign import print_standing

    with _opened(where, store, name) as (record, which):
        found = standing(record, which)
    if as_json:
        click.echo(json.dumps({"store": record.path, **found.to_json()}, indent=1))
    else:
        print_standing(found, str(record.path))
    if not found.whole:
        sys.exit(_UNDONE)


@campaign.command()
@_with(_WHERE)
@_with(_FILTERS)
@click.option(
    "--by",
    multiple=True,
    help="Group by these labels  [default: all but seed]",
)
@click.option(
    "--success",
    default="broken",
    show_default=True,
    help="noisy, submitted, confirmed, clean, or broken: the last two, both.",
)
@json_option
def show(
    where: str,
    store: str | None,
    name: str,
    by: tuple[str, ...],
    success: str,
    as_json: bool,
    **only: Any,
) -> None:
    """Success rates with Wilson's intervals, and Kaplan-Meier's medians, by group."""
    from querytax.campaigns import select, summary
    from querytax.campaigns.summary import BY
    from querytax.report_campaign import print_summary

    with _opened(where, store, name) as (record, which):
        selection = select(record, which, _only(only))
    groups = summary(selection, by or BY, success)
    if as_json:
        facts = {
            "campaign": selection.campaign.name,
            "success": success,
            "groups": [group.to_json() for group in groups],
        }
        click.echo(json.dumps(facts, indent=1))
    else:
        print_summary(groups, success)


@campaign.command()
@_with(_WHERE)
@_with(_FILTERS)
@click.option("-o", "--out", required=True, type=click.Path(), help=".csv or .parquet")
@json_option
def export(
    where: str, store: str | None, name: str, out: str, as_json: bool, **only: Any
) -> None:
    """Every outcome as a row: the same bytes for the same content, whoever made it."""
    from querytax.campaigns import export as write
    from querytax.campaigns import select

    with _opened(where, store, name) as (record, which):
        selection = select(record, which, _only(only))
    rows = write(selection, out)
    if as_json:
        click.echo(json.dumps({"file": out, "rows": rows}, indent=1))
    else:
        click.echo(f"{out}: {rows:,} rows of {len(selection.jobs):,} jobs")


def _store_of(plan: str) -> str:
    return os.fspath(Path(plan).with_suffix(".db"))


@contextlib.contextmanager
def _opened(where: str, store: str | None, name: str) -> Iterator[tuple[Any, str]]:
    """A store and the name of a campaign in it, from a plan or the store itself."""
    from querytax.campaigns import Record, read_plan

    if Path(where).suffix.lower() == ".toml":
        name = name or read_plan(where).name
        path = store or _store_of(where)
    elif store is None:
        path = where
    else:
        raise DomainError(f"expected one store, got {where!r} and {store!r}")
    if not Path(path).is_file():
        raise DomainError(
            f"expected a store of campaigns, got {path!r}, which is not there; "
            "querytax campaign run PLAN begins one"
        )
    with Record(path) as record:
        yield record, name


def _only(given: dict[str, Any]) -> dict[str, list[Any]]:
    names = {
        "networks": "network",
        "sites": "site",
        "strengths": "strength",
        "attacks": "attack",
        "recipes": "recipe",
        "radii": "eps",
        "seeds": "seed",
        "budgets": "n_queries",
    }
    only = {names[key]: list(values) for key, values in given.items()}
    only["site"] = ["" if site == "none" else site for site in only["site"]]
    return only
