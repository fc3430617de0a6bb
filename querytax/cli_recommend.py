"""The main job from the shell."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from querytax.cli_laws import json_option
from querytax.cli_options import (
    DATA_HELP,
    Share,
    Whole,
    data_given,
    plan_changes,
    with_data,
    with_plan,
)
from querytax.expect import DomainError
from querytax.terminal import answer_alone

__all__ = ["recommend"]

# The demo asks what noise can answer: below the blind ceiling of these images.
_DEMO = {
    "target_queries": 300.0,
    "protect": 0.65,
    "max_accuracy_loss": 0.03,
    "site": "input",
    "eps": 0.1,
}


@click.command()
@click.argument("stats", required=False, type=click.Path())
@click.option("--demo", is_flag=True, help="Embedded digits and network, attacked.")
@click.option("--model", help="Attack this one: package.module:function.")
@click.option("--data", type=click.Path(), help=DATA_HELP)
@with_data
@click.option(
    "--held-out",
    type=click.Path(),
    help="Images for the certificate [default: every second one of --data].",
)
@click.option("--target-queries", type=float, help="Queries an attack shall need.")
@click.option("--base-queries", type=float, help="Median queries without noise.")
@click.option(
    "--max-accuracy-loss",
    type=Share(),
    help="Accuracy that may be lost: 0.01 or 1% [default: 1%; demo: 3%].",
)
@click.option(
    "--site",
    "sites",
    multiple=True,
    help="Where the noise is; several to choose among [default: output, or the only "
    "one; demo: input].",
)
@click.option(
    "--protect",
    type=Share(),
    help="Share of images that must reach the target [default: 0.9; demo: 0.65].",
)
@click.option(
    "--attacker",
    help="best [default], an attack's word, published, or published:WORD.",
)
@click.option(
    "--access",
    type=click.Choice(["scores", "top1", "labels"]),
    default="scores",
    show_default=True,
    help="What the API gives away.",
)
@click.option(
    "--effort",
    type=click.Choice(["quick", "normal", "thorough"]),
    default="quick",
    show_default=True,
    help="What the attacks may spend.",
)
@click.option("--store", type=click.Path(), help="File of trials: kept, and resumed.")
@click.option("--surrogate", help="A network of the attacker's own, like --model.")
@click.option(
    "--network",
    "networks",
    multiple=True,
    metavar="NAME=MODULE:FUNCTION",
    help="Another network that the noise could guard.",
)
@click.option("-o", "--out", type=click.Path(), help="Figure (.png, .svg, .pdf).")
@click.option("--batch-size", type=Whole(), default=256, show_default=True)
@click.option(
    "--jobs",
    type=Whole(),
    help="Processes that attack beside each other [default: 1; demo: one a core].",
)
@click.option("--device", default="cpu", show_default=True)
@click.option("--seed", type=Whole(), default=0, show_default=True)
@with_plan
@json_option
def recommend(
    stats: str | None,
    demo: bool,
    model: str | None,
    data: str | None,
    held_out: str | None,
    target_queries: float | None,
    max_accuracy_loss: float | None,
    sites: tuple[str, ...],
    protect: float | None,
    attacker: str | None,
    effort: str,
    store: str | None,
    surrogate: str | None,
    networks: tuple[str, ...],
    out: str | None,
    batch_size: int,
    jobs: int | None,
    device: str,
    seed: int,
    as_json: bool,
    **more: Any,
) -> None:
    """Recommend sigma at a SITE for a target query count, or say that none is enough.

    STATS, a file of `querytax probe`, alone gives what laws predict. With --model and
    --data attacks are raced at a few noise levels, and the level found is certified on
    held-out images; STATS then saves the probe. --demo does so on a network that is
    trained on the spot.
    """
    if (demo and (stats or model)) or not (demo or stats or model):
        raise click.UsageError("expected a STATS file, --model with --data, or --demo")
    if model and not data:
        raise click.UsageError("expected --data with --model")
    how = data_given(more)
    attacked = {
        "--data": data,
        **{f"--{name}": value for name, value in how.items()},
        "--held-out": held_out,
        "--store": store,
        "--surrogate": surrogate,
        "--network": networks,
    }
    idle = [word for word, value in attacked.items() if value]
    if idle and not model:
        raise click.UsageError(f"expected --model with {', '.join(idle)}")
    if target_queries is None and not demo:
        raise click.UsageError("expected --target-queries")
    from querytax.report_recommend import demo_job, model_job, print_job, statistics_job

    usual = _DEMO if demo else {"protect": 0.9, "max_accuracy_loss": 0.01}
    changes = plan_changes(more)

    def given(name: str, value: Any) -> Any:
        return usual[name] if value is None else value

    question: dict[str, Any] = {
        "target_queries": given("target_queries", target_queries),
        "base_queries": more["base_queries"],
        "max_accuracy_loss": given("max_accuracy_loss", max_accuracy_loss),
        "protect": given("protect", protect),
        "access": more["access"],
        "attackers": [attacker] if attacker else None,
    }
    # One is a word, which may be `best`.
    where = (sites[0] if len(sites) == 1 else list(sites)) or None
    with answer_alone():
        if demo:
            if len(sites) > 1:
                raise click.UsageError("expected one --site with --demo")
            job = demo_job(
                site=where or usual["site"],
                changes={"eps": usual["eps"], **changes},
                rng=seed,
                effort=effort,
                jobs=jobs,
                out="portfolio.png" if out is None else out,
                verbose=not as_json,
                **question,
            )
        elif model:
            from querytax.loading import load_data, load_model

            eps, norm = changes.pop("eps", None), changes.pop("norm", None)
            if changes:
                raise DomainError(
                    f"expected no {', '.join(changes)} with --model: attacks bring "
                    "their own settings"
                )
            job = model_job(
                load_model(model, device),
                load_data(str(data), device, **how),
                load_data(held_out, device, **how) if held_out else None,
                stats=stats,
                out=out,
                site=where,
                eps=eps,
                norm=norm,
                effort=effort,
                store=store,
                surrogate=load_model(surrogate, device) if surrogate else None,
                networks={
                    name: load_model(where, device) for name, where in _named(networks)
                },
                batch_size=batch_size,
                jobs=1 if jobs is None else jobs,
                rng=seed,
                verbose=not as_json,
                **question,
            )
        else:
            job = statistics_job(
                str(stats), site=where, changes=changes, out=out, **question
            )
    if as_json:
        click.echo(json.dumps(job.to_json(), indent=2))
    else:
        print_job(job)
    if not demo or attacker:
        sys.exit(job.recommendations[0].exit_code)


def _named(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """``name=module:function`` words."""
    found = []
    for word in words:
        name, equals, where = word.partition("=")
        if not (name and equals and where):
            raise DomainError(f"expected --network NAME=MODULE:FUNCTION, got {word!r}")
        found.append((name, where))
    return found
