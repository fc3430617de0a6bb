"""Attacks from the shell: what there is, and one of them or all, for real."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from querytax.cli_laws import json_option
from querytax.cli_options import plan_changes, with_plan
from querytax.expect import DomainError

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
@click.option("--data", required=True, type=click.Path(), help=".npz with x and y.")
@click.option(
    "--attack",
    "name",
    default="nes",
    show_default=True,
    help="One of `querytax attacks`, or all.",
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
    default="scores",
    show_default=True,
    help="What the API gives away.",
)
@click.option("--site", default="output", show_default=True, help="Where the noise is.")
@click.option("--sigma", type=float, default=0.0, show_default=True)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="The first so many of the data.",
)
@click.option(
    "--queries",
    "n_queries",
    type=int,
    default=10_000,
    show_default=True,
    help="Budget an image.",
)
@click.option(
    "--votes",
    type=int,
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
@click.option("--batch-size", type=int, default=256, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--plan", "plan_file", type=click.Path(), help="Run the plan of recommend --json."
)
@with_plan
@json_option
def attack(
    model: str,
    data: str,
    name: str,
    recipe: str | None,
    access: str,
    site: str,
    sigma: float,
    images: int,
    n_queries: int,
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
    from querytax.defenses import defend
    from querytax.loading import load_data, load_model
    from querytax.report_attacks import (
        EPS,
        grouped,
        print_attack,
        print_portfolio,
        runs_of,
        unresolved,
    )

    network = load_model(model, device)
    x, y = load_data(data, device)
    own = load_model(surrogate, device) if surrogate else None
    changes = plan_changes(plan)
    for key, value in _settings(settings).items():
        if key in changes:
            raise DomainError(f"expected {key} once, got it twice")
        changes[key] = value
    eps = changes.get("eps", 0.0)
    if changes.get("norm", "Linf") == "Linf" and isinstance(eps, float) and eps >= 1.0:
        raise DomainError(f"expected eps < 1, of pixels in [0, 1], got {eps:g}")
    guarded = defend(network, site, sigma, rng=seed)
    x, y = x[:images], y[:images]
    how: dict[str, Any] = {
        "n_queries": n_queries,
        "access": access,
        "votes": votes,
        "batch_size": batch_size,
        "verbose": not as_json,
    }
    left_out: dict[str, str] = {}
    if ":" in name:
        if recipe or own or plan_file:
            raise DomainError(
                f"expected no recipe, surrogate or plan with {name}, which has its own"
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
            plan_file=plan_file,
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
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
