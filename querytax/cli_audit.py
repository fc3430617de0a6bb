"""Audits from the shell: of a model, and of an attack's result."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from querytax.cli_laws import json_option
from querytax.cli_options import DATA_HELP, Whole, data_given, with_data
from querytax.cli_sites import sides
from querytax.expect import DomainError
from querytax.terminal import answer_alone

__all__ = ["audit"]

_UNDONE = 3


@click.command()
@click.argument("model", required=False)
@click.option("--data", type=click.Path(), help=DATA_HELP)
@click.option("--shape", help="Of one image, without --data: 3,32,32.")
@with_data
@click.option("--demo", is_flag=True, help="The embedded network and digits.")
@click.option("--site", help="Put this defence around MODEL first.")
@click.option("--sigma", type=float, help="Its standard deviation or strength.")
@click.option("--result", type=click.Path(), help="Audit this result of an attack.")
@click.option("--queries", type=Whole(), default=20_000, show_default=True)
@click.option("--votes", type=Whole(), default=49, show_default=True)
@click.option(
    "--processes/--no-processes",
    default=True,
    show_default=True,
    help="Fork, and start processes anew.",
)
@click.option("--device", default="cpu", show_default=True)
@click.option("--seed", type=Whole(), default=0, show_default=True)
@click.option("--sarif", type=click.Path(), help="Write SARIF 2.1.0 there, or to -.")
@json_option
def audit(
    model: str | None,
    data: str | None,
    shape: str | None,
    demo: bool,
    site: str | None,
    sigma: float | None,
    result: str | None,
    queries: int,
    votes: int,
    processes: bool,
    device: str,
    seed: int,
    sarif: str | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Find out whether the noise of MODEL is any, or a result says what it seems to.

    \b
    querytax audit MODEL --data D        ask a defended model
    querytax audit --demo --site input --sigma 0.1
    querytax audit --result FILE         an attack's result, .json or .npz
    querytax audit MODEL --result FILE   and ask the model about its images

    MODEL is written package.module:function, a function that returns the model.

    Exit codes: 0 nothing undoes the defence or the evaluation, 3 something does, 2
    usage.
    """
    if model is None and not demo and result is None:
        raise click.UsageError("expected MODEL, --demo or --result, got none of them")
    if model is not None and demo:
        raise click.UsageError("expected MODEL or --demo, got both")
    if sarif == "-" and as_json:
        raise click.UsageError("expected --json or --sarif -, got both")
    from querytax.audits import audit as audit_model
    from querytax.audits import audit_result, to_sarif
    from querytax.files import atomic_write, writable
    from querytax.report_audit import print_audit

    if sarif not in (None, "-"):
        writable(str(sarif))
    with answer_alone():
        network, images, labels = _given(
            model, demo, data, shape, device, data_given(how), needed=result is None
        )
        if site is not None:
            if network is None:
                raise click.UsageError("expected MODEL or --demo with --site")
            from querytax.defenses import defend

            network = defend(network, site, sigma)
        elif sigma is not None:
            raise click.UsageError("expected --site with --sigma")
        if result is not None:
            found = audit_result(
                result,
                model=network,
                images=images,
                labels=labels,
                votes=votes,
                rng=seed,
            )
        else:
            # A defence that is put around here is not what a new process would make.
            found = audit_model(
                network,
                images,
                labels,
                source=model if site is None else None,
                processes=processes,
                n_queries=queries,
                rng=seed,
                verbose=not as_json,
            )
    place = model or ("querytax demo" if demo else "") or str(result)
    if sarif is not None:
        text = json.dumps(to_sarif(found, place), indent=1) + "\n"
        if sarif == "-":
            click.echo(text, nl=False)
        else:
            with atomic_write(sarif) as stream:
                stream.write(text.encode())
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
    elif sarif != "-":
        print_audit(found)
    if found.worst == "undoes":
        sys.exit(_UNDONE)


def _given(
    model: str | None,
    demo: bool,
    data: str | None,
    shape: str | None,
    device: str,
    reading: dict[str, Any],
    *,
    needed: bool,
) -> tuple[Any, Any, Any]:
    """The model, images and labels that were named, as far as they were."""
    import torch

    from querytax.loading import load_data, load_model

    network = images = labels = None
    if demo:
        from querytax import demo as embedded

        if data is not None or shape is not None:
            raise click.UsageError("expected no --data or --shape with --demo")
        network = embedded.load_model().to(device)
        images, labels = (part.to(device) for part in embedded.digits().probe)
    elif model is not None:
        network = load_model(model, device)
    if data is not None and shape is not None:
        raise click.UsageError("expected --data or --shape, got both")
    if data is not None:
        images, labels = load_data(data, device, **reading)
    elif any(value is not None for value in reading.values()):
        raise click.UsageError("expected --data with options of data")
    elif shape is not None:
        images = torch.rand(
            64, *sides(shape), generator=torch.Generator().manual_seed(0)
        ).to(device)
    if needed and images is None:
        raise DomainError(
            "expected --data or --shape, as in --shape 3,32,32, got neither"
        )
    return network, images, labels
