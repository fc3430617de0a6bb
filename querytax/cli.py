"""The command line: one command, thin. Every room is imported when it is used."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from querytax import __version__
from querytax.cli_attack import attack, attacks
from querytax.cli_figures import figures
from querytax.cli_laws import commands, json_option
from querytax.cli_ledger import validate
from querytax.cli_options import Number
from querytax.cli_recommend import recommend
from querytax.cli_reproduce import reproduce
from querytax.expect import DomainError

__all__ = ["main"]

# Threads of torch that wait should sleep: spinning, two programs on a machine slow
# each other down a hundredfold. Read when torch is imported, later.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_USAGE, _INTERRUPTED = 2, 130


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Bad input is one line on stderr and exit code 2; a warning is one line."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: click.echo(
            f"warning: {message}", err=True
        )
        try:
            yield
        except DomainError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(_USAGE)
        except KeyboardInterrupt:
            click.echo("interrupted; nothing was written", err=True)
            sys.exit(_INTERRUPTED)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        with _one_line_errors():
            return super().invoke(ctx)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """How much does noise tax an attacker's queries, and what does it cost?

    \b
    querytax recommend --demo          the whole job on an embedded model
    querytax recommend --model M --data D   and on yours, certified by attacks
    querytax probe MODEL --data D      measure a model
    querytax recommend STATS           sigma for a target query count, by laws
    querytax attack MODEL --data D     count the queries of attacks, for real
    querytax attacks                   the attacks: access, norms, source
    querytax laws, show, eval          the formulas, from the shell
    querytax simulate LAW name=value   their definitions, by Monte-Carlo
    querytax validate                  every statement of the papers, judged
    querytax figures -o DIR            every figure, from code
    querytax reproduce PAPER           a paper's measurements, made again

    Exit codes: 0 feasible or all right, 2 usage, 3 infeasible, 4 unresolved, merely
    predicted, or data that a part needed is missing, 5 out of the law's regime, 130
    interrupted.
    """


for _command in (recommend, attack, attacks, *commands, validate, figures, reproduce):
    main.add_command(_command)


# -- measuring -------------------------------------------------------------------


@main.command()
@click.argument("model")
@click.option("--data", required=True, type=click.Path(), help=".npz with x and y.")
@click.option("-o", "--out", required=True, type=click.Path(), help="Statistics file.")
@click.option("--site", "sites", multiple=True, default=["output"], show_default=True)
@click.option("--eps", type=Number(), default=8 / 255, show_default="8/255")
@click.option("--norm", type=click.Choice(["Linf", "L2"]), default="Linf")
@click.option("--images", "n_probe", type=int, default=64, show_default=True)
@click.option("--directions", "n_directions", type=int, default=16, show_default=True)
@click.option("--patterns", "n_patterns", type=int, default=256, show_default=True)
@click.option("--batch-size", type=int, default=256, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@json_option
def probe(
    model: str,
    data: str,
    out: str,
    sites: tuple[str, ...],
    eps: float,
    norm: str,
    n_probe: int,
    n_directions: int,
    n_patterns: int,
    batch_size: int,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Measure MODEL, written package.module:function, a function that returns it.

    The data file holds images x, (N, C, H, W) floats in [0, 1] or (N, H, W, C) bytes,
    and labels y. A SITE is input, output, output:logits or the name of a layer.
    """
    from querytax.loading import load_data, load_model, writable
    from querytax.probes import probe as measure

    writable(out)
    network = load_model(model, device)
    x, y = load_data(data, device)
    stats = measure(
        network,
        x,
        y,
        sites=list(sites),
        eps=eps,
        norm=norm,
        n_probe=n_probe,
        n_directions=n_directions,
        n_patterns=n_patterns,
        batch_size=batch_size,
        rng=seed,
        verbose=not as_json,
    )
    stats.save(out)
    summary = {
        "file": out,
        "images": len(y),
        "probed": len(stats.probed),
        "accuracy": stats.accuracy,
        "sites": list(stats.sites),
        "dimension": stats.dimension,
    }
    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    click.echo(
        f"{out}: {len(y)} images, accuracy {100 * stats.accuracy:.2f} %, "
        f"{len(stats.probed)} probed at {', '.join(stats.sites)}"
    )
