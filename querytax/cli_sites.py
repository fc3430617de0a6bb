"""Where noise can go, from the shell."""

from __future__ import annotations

import json
import math
from typing import Any

import click

from querytax.cli_laws import json_option
from querytax.cli_options import DATA_HELP, data_given, with_data
from querytax.expect import DomainError
from querytax.terminal import answer_alone

__all__ = ["sides", "sites"]


@click.command()
@click.argument("model")
@click.option("--data", type=click.Path(), help=DATA_HELP)
@click.option("--shape", help="Of one image, without --data: 3,32,32.")
@with_data
@click.option("--device", default="cpu", show_default=True)
@json_option
def sites(
    model: str,
    data: str | None,
    shape: str | None,
    device: str,
    as_json: bool,
    **how: Any,
) -> None:
    """List the places in MODEL where noise can go, and what it costs there.

    MODEL is written package.module:function, a function that returns the model. Each
    line is a word for --site, what passes there for one image, the numbers that are
    drawn a query, and milliseconds an image for drawing and adding them.
    """
    if (data is None) == (shape is None):
        raise click.UsageError("expected --data or --shape, as in --shape 3,32,32")
    import torch

    from querytax.loading import load_data, load_model
    from querytax.probes import list_sites
    from querytax.report_sites import print_sites

    reading = data_given(how)
    with answer_alone():
        network = load_model(model, device)
        if data is not None:
            # A few are enough, and no more are read.
            reading["limit"] = min(8, reading["limit"] or 8)
            images, _ = load_data(data, device, **reading)
        else:
            if any(value is not None for value in reading.values()):
                raise click.UsageError("expected no options of data with --shape")
            images = torch.rand(
                8, *sides(str(shape)), generator=torch.Generator().manual_seed(0)
            ).to(device)
        found = list_sites(network, images)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        print_sites(found)


def sides(word: str) -> list[int]:
    """The shape of an image, from a word such as ``3,32,32``."""
    words = [each.strip() for each in word.split(",")]
    plain = [w for w in words if w.isascii() and w.isdigit() and len(w) < 10]
    found = [int(each) for each in plain]
    if len(found) != len(words) or min(found) < 1 or math.prod(found) > 1e8:
        raise DomainError(f"expected shape as in 3,32,32, got {word!r}")
    return found
