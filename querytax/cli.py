"""The command line: one command, thin. Every room is imported when it is used."""

from __future__ import annotations

import io
import json
import os
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from querytax import __version__
from querytax.cli_attack import attack, attacks
from querytax.cli_audit import audit
from querytax.cli_campaign import campaign
from querytax.cli_defences import defences
from querytax.cli_figures import figures
from querytax.cli_laws import commands, json_option
from querytax.cli_ledger import validate
from querytax.cli_options import (
    DATA_HELP,
    Number,
    Share,
    Whole,
    data_given,
    with_data,
)
from querytax.cli_recommend import recommend
from querytax.cli_reproduce import reproduce
from querytax.cli_sites import sites
from querytax.expect import DomainError
from querytax.interrupts import heard
from querytax.terminal import answer_alone
from querytax.words import spelt

__all__ = ["main"]

# Threads of torch that wait should sleep: spinning, two programs on a machine slow
# each other down a hundredfold. Read when torch is imported, later.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_USAGE, _INTERRUPTED = 2, 130
# Whose functions our code calls, beside a user's model.
_STANDARD = sys.stdlib_module_names
_LIBRARIES = {"torch", "numpy", "scipy", "numba", "rich", "click", "matplotlib", "PIL"}
# Of an error: somebody may have given a book for a number.
_LINE = 1000


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Bad input is one line on stderr and exit code 2; a warning is one line."""
    _speak_any_alphabet()
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _say(f"warning: {message}")
        try:
            with heard():
                yield
        except DomainError as error:
            _say(f"error: {error}")
            sys.exit(_USAGE)
        except KeyboardInterrupt:
            _say("interrupted; no file was left half written")
            sys.exit(_INTERRUPTED)
        except MemoryError:
            _say("error: expected enough memory, got none; ask for less at a time")
            sys.exit(_USAGE)
        except Exception as error:
            if not _of_a_model(error):
                raise
            lines = str(error).splitlines() or [""]
            _say(
                "error: expected the model to answer, got "
                f"{type(error).__name__}: {lines[0]}"
            )
            sys.exit(_USAGE)


def _of_a_model(error: Exception) -> bool:
    """Whether what our code last called, and what failed, is the user's model."""
    at = error.__traceback__
    called: list[tuple[str, Any]] = []
    while at is not None:
        name = str(at.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        called = [] if name == "querytax" else [*called, (name, at.tb_frame)]
        at = at.tb_next
    # A module that is called, or code that is of no library that we call ourselves.
    return bool(called) and (
        called[0][1].f_code.co_name in ("_wrapped_call_impl", "__call__")
        or any(n not in _LIBRARIES and n not in _STANDARD for n, _ in called)
    )


def _speak_any_alphabet() -> None:
    """A terminal or file that lacks a letter gets a question mark, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _say(text: str) -> None:
    """One line on stderr; what a file's name could do to a terminal is spelt out."""
    line = spelt(text).replace("\n", r"\n").replace("\t", r"\t")
    if len(line) > _LINE:
        line = f"{line[: _LINE // 2]} ... {line[-_LINE // 2 :]}"
    click.echo(line, err=True)


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
    querytax sites MODEL --shape S     where noise can go in a model
    querytax probe MODEL --data D      measure a model
    querytax recommend STATS           sigma for a target query count, by laws
    querytax attack MODEL --data D     count the queries of attacks, for real
    querytax campaign run PLAN         many attacks, stored, resumed, on a cluster
    querytax attacks                   the attacks: access, norms, source
    querytax defences                  the defences: cost, source, breaker
    querytax audit MODEL --data D      is its noise any? and of results
    querytax laws, show, eval          the formulas, from the shell
    querytax simulate LAW name=value   their definitions, by Monte-Carlo
    querytax validate                  every statement of the papers, judged
    querytax figures -o DIR            every figure, from code
    querytax reproduce PAPER           a paper's measurements, made again

    Exit codes: 0 feasible or all right, 2 usage, 3 infeasible or undone, 4 unresolved,
    merely predicted, or data that a part needed is missing, 5 out of the law's regime,
    130 interrupted.
    """


for _command in (
    recommend,
    sites,
    attack,
    attacks,
    campaign,
    defences,
    audit,
    *commands,
    validate,
    figures,
    reproduce,
):
    main.add_command(_command)


# -- measuring -------------------------------------------------------------------


@main.command()
@click.argument("model")
@click.option("--data", required=True, type=click.Path(), help=DATA_HELP)
@with_data
@click.option("-o", "--out", required=True, type=click.Path(), help="Statistics file.")
@click.option("--site", "sites", multiple=True, default=["output"], show_default=True)
@click.option("--eps", type=Number(), default=8 / 255, show_default="8/255")
@click.option("--norm", type=click.Choice(["Linf", "L2"]), default="Linf")
@click.option("--images", "n_probe", type=Whole(), default=64, show_default=True)
@click.option(
    "--directions", "n_directions", type=Whole(), default=16, show_default=True
)
@click.option("--patterns", "n_patterns", type=Whole(), default=256, show_default=True)
@click.option(
    "--max-accuracy-loss",
    type=Share(),
    default=0.01,
    show_default="1%",
    help="What weights ? are found for.",
)
@click.option("--batch-size", type=Whole(), default=256, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--seed", type=Whole(), default=0, show_default=True)
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
    max_accuracy_loss: float,
    batch_size: int,
    device: str,
    seed: int,
    as_json: bool,
    **how: Any,
) -> None:
    """Measure MODEL, written package.module:function, a function that returns it.

    The data are images, floats in [0, 1] or bytes, and their labels; in a folder there
    is a folder a class, or a labels.csv with lines file,label. A SITE is input, output,
    output:logits or the name of a layer, or several such as input*0.5+layer3; a weight
    ?, as in input+layer3*?, is found, and each of its places measured alone as well.
    """
    from querytax.files import writable
    from querytax.loading import load_data, load_model
    from querytax.mixing import mix
    from querytax.probes import probe as measure
    from querytax.recommend.mixtures import Sought, is_sought

    writable(out)
    with answer_alone():
        network = load_model(model, device)
        x, y = load_data(data, device, **data_given(how))
        settings: dict[str, Any] = {
            "eps": eps,
            "norm": norm,
            "n_probe": n_probe,
            "n_directions": n_directions,
            "batch_size": batch_size,
            "rng": seed,
            "verbose": not as_json,
        }
        alone = [c for s in sites if is_sought(s) for c in Sought.parse(s).components]
        mixed = mix(
            network,
            x,
            y,
            [*sites, *alone],
            max_accuracy_loss=max_accuracy_loss,
            **settings,
        )
        stats = measure(
            network,
            x,
            y,
            sites=mixed.sites,
            sigmas=mixed.sigmas,
            n_patterns=n_patterns,
            **settings,
        )
    stats.save(out)
    summary = {
        "file": out,
        "images": len(y),
        "probed": len(stats.probed),
        "accuracy": stats.accuracy,
        "sites": list(stats.sites),
        "dimension": stats.dimension,
        "notes": list(mixed.notes),
    }
    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    click.echo(
        f"{out}: {len(y)} images, accuracy {100 * stats.accuracy:.2f} %, "
        f"{len(stats.probed)} probed at {spelt(', '.join(stats.sites))}"
    )
    for note in mixed.notes:
        click.echo(textwrap.fill(f"Note: {note}.", 79, break_on_hyphens=False))
