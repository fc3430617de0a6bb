"""Attacks from the shell: what there is, and one of them or all, for real."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from querytax import expect
from querytax.cli_laws import json_option
from querytax.cli_options import (
    DATA_HELP,
    Whole,
    data_given,
    plan_changes,
    with_data,
    with_plan,
)
from querytax.expect import DomainError
from querytax.files import parsed
from querytax.terminal import answer_alone

__all__ = ["attack", "attacks"]

_UNRESOLVED = 4


@click.command()
@click.option(
    "--access",
    type=click.Choice(["scores", "top1", "labels"]),
    help="Only those that an API which gives this away allows.",
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
def attacks(access: str | None, names: tuple[str, ...], as_json: bool) -> None:
    """List the attacks: what each must be told, where it works, whose it is.

    \b
    querytax attacks                    all of them
    querytax attacks --access labels    those that need labels alone
    querytax attacks square             one, with the settings of its recipes
    """
    from querytax.report_attacks import facts_of_attacks, print_attacks

    facts = facts_of_attacks(names, access)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        print_attacks(facts, whole=bool(names))


@click.command()
@click.argument("model")
@click.option("--data", required=True, type=click.Path(), help=DATA_HELP)
@with_data
@click.option(
    "--attack",
    "name",
    help="One of `querytax attacks`, or all  [default: nes]",
)
@click.option(
    "--recipe",
    type=click.Choice(["published", "adaptive"]),
    help="Its settings: in circulation, or an answer to noise [default: published; "
    "all: both].",
)
@click.option(
    "--access",
    type=click.Choice(["scores", "top1", "labels"]),
    help="What the API gives away  [default: scores]",
)
@click.option(
    "--site",
    help="Where the noise is, or one of `querytax defences`  [default: output]",
)
@click.option(
    "--sigma",
    type=float,
    help="Its standard deviation  [default: 0]; of another defence its strength "
    "[default: as published].",
)
@click.option(
    "--images",
    type=Whole(),
    default=64,
    show_default=True,
    help="The first so many of the data.",
)
@click.option(
    "--queries",
    "n_queries",
    type=Whole(),
    help="Budget an image  [default: 10000]",
)
@click.option(
    "--votes",
    type=Whole(),
    default=9,
    show_default=True,
    help="Fresh answers whose majority confirms a success.",
)
@click.option("--surrogate", help="A network of the attacker's own, like MODEL.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the attack, as in repeats=4.",
)
@click.option("--batch-size", type=Whole(), default=256, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--seed", type=Whole(), default=0, show_default=True)
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(),
    help="Run the attack that a file of recommend --json names, at its site, sigma, "
    "budget and target, unless another option says otherwise.",
)
@with_plan
@json_option
def attack(
    model: str,
    data: str,
    name: str | None,
    recipe: str | None,
    access: str | None,
    site: str | None,
    sigma: float | None,
    images: int,
    n_queries: int | None,
    votes: int,
    surrogate: str | None,
    settings: tuple[str, ...],
    batch_size: int,
    device: str,
    seed: int,
    plan_file: str | None,
    as_json: bool,
    **plan: Any,
) -> None:
    """Attack MODEL behind noise, and count every query.

    MODEL is written package.module:function, a function that returns the model. With
    --attack all, every attack that the access and the norm allow runs on the same
    images, and the table at the end has the strongest first. Attacks of ART, Foolbox
    and torchattacks are named as in art:square, and count by the same meter.
    """
    from querytax.attacks import attack_all
    from querytax.attacks.foreign import foreign_attack
    from querytax.catalogue import usual_strength
    from querytax.defenses import defend
    from querytax.loading import load_attack, load_data, load_model
    from querytax.report_attacks import (
        EPS,
        grouped,
        print_attack,
        print_portfolio,
        runs_of,
        unresolved,
    )

    expect.integer(images=images)
    how_read = data_given(plan)
    # No more is read than is attacked.
    how_read["limit"] = min(images, how_read["limit"] or images)
    changes = plan_changes(plan)
    for key, value in _settings(settings).items():
        if key in changes:
            raise DomainError(f"expected {key} once, got it twice")
        changes[key] = value
    asked = {}
    if plan_file:
        if name or recipe:
            raise DomainError(
                "expected no attack and no recipe with a plan of recommend, which "
                f"names them, got {name or recipe!r}"
            )
        asked = load_attack(plan_file)
        name, recipe = asked["attack"], asked["recipe"]
        changes = {**asked["settings"], **changes}
    name = name or "nes"
    access = access or asked.get("access", "scores")
    site = site or asked.get("site", "output")
    if sigma is None:
        sigma = asked.get("sigma", usual_strength(site))
    n_queries = asked.get("n_queries", 10_000) if n_queries is None else n_queries
    with answer_alone():
        network = load_model(model, device)
        x, y = load_data(data, device, **how_read)
        own = load_model(surrogate, device) if surrogate else None
        guarded = defend(network, site, sigma, experiment_seed=seed)
        how: dict[str, Any] = {
            "n_queries": n_queries,
            "access": access,
            "votes": votes,
            "batch_size": batch_size,
            "verbose": not as_json,
        }
        left_out: dict[str, str] = {}
        if ":" in name:
            if recipe or own:
                raise DomainError(
                    f"expected no recipe or surrogate with {name}, which has its own"
                )
            changes = {"eps": EPS[changes.get("norm", "Linf")], **changes}
            results = [foreign_attack(guarded, x, y, name, rng=seed, **how, **changes)]
        else:
            runs, left_out = runs_of(
                guarded,
                x,
                y,
                name,
                recipe=recipe,
                access=access,
                changes=changes,
                least=(n_queries, votes),
                surrogate=own,
                rng=seed,
            )
            results = attack_all(runs, **how)
    if not results:
        raise DomainError(f"expected an attack that can run: {grouped(left_out)}")
    if not results[0].attacked.any():
        raise DomainError(
            f"expected labels that the model gets right, got none of "
            f"{len(results[0].attacked)} right"
        )
    place = {"site": site, "sigma": sigma}
    if name == "all":
        if as_json:
            facts = [result.to_json() for result in results]
            whole = {**place, "results": facts, "left_out": left_out}
            click.echo(json.dumps(whole, indent=2))
        else:
            print_portfolio(results, site, sigma, left_out)
    elif as_json:
        click.echo(json.dumps({**place, **results[0].to_json()}, indent=2))
    else:
        print_attack(results[0], site, sigma)
    if unresolved(results):
        sys.exit(_UNRESOLVED)


def _settings(given: tuple[str, ...]) -> dict[str, Any]:
    """``name=value`` words; a value is a number, true, false, or a word."""
    found = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not (name and equals and value) or name == "name":
            raise DomainError(f"expected a setting as NAME=VALUE, got {word!r}")
        try:
            found[name] = parsed(value)
        except ValueError:
            found[name] = value
    return found
