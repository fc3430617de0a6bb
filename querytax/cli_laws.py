"""Formulas from the shell: list, show, evaluate and simulate them."""

from __future__ import annotations

import json
import math
import sys
import textwrap
import time
import warnings
from collections.abc import Mapping
from typing import Any

import click

from querytax.cli_options import Share, Whole
from querytax.expect import DomainError
from querytax.files import parsed

__all__ = ["commands", "json_option"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _all_laws() -> tuple[Any, ...]:
    from querytax.theory.law import laws
    from querytax.validation.printed import printed_laws

    return (*laws(), *printed_laws())


@click.command()
@json_option
def laws(as_json: bool) -> None:
    """List every law by topic."""
    entries = _all_laws()
    if as_json:
        rows = [
            {"name": e.name, "formula": e.formula, "regime": e.regime} for e in entries
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    topic = ""
    for entry in entries:
        if entry.topic != topic:
            note = (
                "  (as a paper prints it, not true)" if entry.topic == "printed" else ""
            )
            click.echo(("\n" if topic else "") + entry.topic + note)
            topic = entry.topic
        first = (entry.function.__doc__ or "").strip().splitlines()[0]
        first = first.replace(":func:", "").replace("`", "")
        summary = textwrap.shorten(first, 49, placeholder=" ...")
        click.echo(f"  {entry.name.split('.')[1]:<28}{summary}")
    click.echo("\nquerytax show TOPIC.NAME for formula, symbols, regime and source")


@click.command()
@click.argument("name")
@click.option(
    "--derivation", is_flag=True, help="Also the steps that lead to it, in sympy."
)
@json_option
def show(name: str, derivation: bool, as_json: bool) -> None:
    """Print a law: formula, symbols with units, regime, source, LaTeX."""
    from querytax.theory.law import find

    entry = find(name, _all_laws())
    steps: tuple[Any, ...] = ()
    if derivation:
        from querytax.theory.symbolic.derivation import derive

        if entry.topic == "printed":
            raise DomainError(f"expected a true law to derive, got {name!r}")
        steps = derive(name).steps
    if as_json:
        fields = ("name", "formula", "latex", "regime", "source")
        shown = {f: getattr(entry, f) for f in fields}
        shown["symbols"] = dict(entry.symbols)
        shown["limits"] = list(entry.limits)
        if derivation:
            shown["derivation"] = [
                {
                    "words": step.words,
                    "left": str(step.left),
                    "right": str(step.right),
                    "known": step.known,
                }
                for step in steps
            ]
        click.echo(json.dumps(shown, indent=2))
        return
    from querytax.report import print_derivation, print_law

    print_law(entry)
    if derivation:
        print_derivation(steps)


@click.command("eval")
@click.argument("name")
@click.argument("values", nargs=-1)
@json_option
def evaluate(name: str, values: tuple[str, ...], as_json: bool) -> None:
    """Evaluate a law, true or as printed.

    \b
    querytax eval query_ratio.best_step snr=1e-7,1 dimension=3072 pairs=10

    A value is a number, a comma-separated list, a JSON array, or a word. With
    errors=nan an element outside the law's domain gives NaN, not an error.
    """
    import inspect

    import numpy as np

    from querytax.theory.law import RegimeWarning, find

    entry = find(name, _all_laws())
    parameters = inspect.signature(entry.function).parameters
    arguments = _arguments(values, entry.name, parameters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RegimeWarning)
        try:
            result = entry.function(**arguments)
        except DomainError:
            raise
        except (TypeError, ValueError) as error:
            # Lists of unequal length, or a word where an array belongs.
            raise DomainError(
                f"expected values that {entry.name} can broadcast: {error}"
            ) from None
    for warning in caught:
        click.echo(f"warning: {warning.message}", err=True)
    parts = result if isinstance(result, tuple) else (result,)
    plain = [_jsonable(np.asarray(part).tolist()) for part in parts]
    answer = plain if isinstance(result, tuple) else plain[0]
    if as_json:
        click.echo(json.dumps({"name": entry.name, "value": answer}))
    else:
        for part in parts:
            click.echo(" ".join(str(v) for v in np.ravel(part).tolist()))
    if any(issubclass(w.category, RegimeWarning) for w in caught):
        sys.exit(5)


def _arguments(
    values: tuple[str, ...], name: str, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """``name=value`` words as keyword arguments."""
    from querytax import expect

    arguments = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals:
            raise DomainError(f"expected name=value, got {text!r}")
        expect.one_of(parameters, parameter=key)
        arguments[key] = value if key == "errors" else _value(value)
    missing = [
        p.name
        for p in parameters.values()
        if p.default is p.empty and p.name not in arguments
    ]
    if missing:
        raise DomainError(f"expected {', '.join(missing)} for {name}, got nothing")
    return arguments


def _value(text: str) -> Any:
    """A number, a list of numbers, or the word itself."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        if text.startswith("["):
            found = parsed(text)
            return found if _numbers(found) else text
        return [float(part) for part in text.split(",")]
    except ValueError:
        return text


def _numbers(value: Any) -> bool:
    """Whether there are numbers alone in it: true and null would be read as some."""
    if isinstance(value, list):
        return all(_numbers(v) for v in value)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _jsonable(value: Any) -> Any:
    """JSON knows no infinity and no NaN: words for them."""
    if isinstance(value, list):
        return [_jsonable(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


@click.command()
@click.argument("name")
@click.argument("values", nargs=-1)
@click.option("--width", type=float, help="Stop when the interval is this wide.")
@click.option("--relative", type=Share(), help="Stop at this share of the value.")
@click.option("--samples", type=float, default=1e8, help="Draws at most.")
@click.option("--budget-seconds", type=float, help="Stop after this time.")
@click.option("--threads", type=Whole(), help="Threads; all cores by default.")
@click.option("--seed", type=Whole(), default=0, help="Seed of the draws.")
@click.option("--resume", type=click.Path(), help="Keep the state here, and go on.")
@json_option
def simulate(
    name: str,
    values: tuple[str, ...],
    width: float | None,
    relative: float | None,
    samples: float,
    budget_seconds: float | None,
    threads: int | None,
    seed: int,
    resume: str | None,
    as_json: bool,
) -> None:
    """Simulate a law's definition, and hold the law against it.

    \b
    querytax simulate misstep.random_direction snr=0.5 --relative 1%

    The interval holds whenever the run stops. Ctrl-C ends a run; with --resume its
    state is kept. Exit code 4 if the budget ended it before the width it was asked for.
    """
    import inspect
    from dataclasses import asdict

    from querytax import expect
    from querytax.montecarlo import experiments
    from querytax.montecarlo.runs import compiled, estimate

    known = experiments()
    expect.one_of(known, name=name)
    parameters = inspect.signature(known[name]).parameters
    experiment = _experiment(known[name], _arguments(values, name, parameters))
    waited = compiled(experiment)
    if waited > 0.5 and not as_json:
        click.echo(f"compiled in {waited:.1f} s; kept for the next time", err=True)
    start = time.perf_counter()
    found = estimate(
        experiment,
        rng=seed,
        width=width,
        relative=relative,
        max_samples=samples,
        budget_seconds=budget_seconds,
        threads=threads,
        resume=resume,
        verbose=not as_json,
    )
    law = _law_of(experiment, parameters)
    if as_json:
        answer = {**asdict(found), "arguments": dict(experiment.arguments), "law": law}
        del answer["moments"]
        click.echo(json.dumps({k: _jsonable(v) for k, v in answer.items()}))
    else:
        from querytax.report import print_simulation

        print_simulation(found, experiment, law, time.perf_counter() - start)
    if found.stopped == "interrupted":
        sys.exit(130)
    if found.stopped == "budget" and (width or relative):
        sys.exit(4)


def _experiment(make: Any, arguments: Mapping[str, Any]) -> Any:
    """What is simulated; one number at a time, where a law takes many."""
    try:
        return make(**arguments)
    except DomainError:
        raise
    except (TypeError, ValueError) as error:
        lists = [name for name, value in arguments.items() if isinstance(value, list)]
        raise DomainError(
            f"expected one number for {lists[0]} in a simulation, "
            f"got {arguments[lists[0]]!r}"
            if lists
            else f"expected values that can be simulated: {error}"
        ) from None


def _law_of(experiment: Any, parameters: Mapping[str, Any]) -> float | None:
    """The law of the same name at the same arguments, if there is one.

    An argument that the law does not know must have its default.
    """
    from querytax.theory.law import RegimeWarning, find

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RegimeWarning)
        try:
            entry = find(experiment.name)
            arguments = {
                name: value
                for name, value in experiment.arguments.items()
                if name in entry.symbols
                or name not in parameters
                or parameters[name].default != value
            }
            return float(entry.function(**arguments))
        except (DomainError, TypeError, ValueError):
            return None


commands = (laws, show, evaluate, simulate)
