"""Formulas from the shell: list, show, evaluate and simulate them."""

from __future__ import annotations

import json
import math
import sys
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

# What says how a simulation is made, and not what is simulated.
_HOW = {"before", "burn", "counted", "features", "interval", "looks"}


def _named(name: str) -> tuple[Any, ...]:
    """The laws of a name, with or without its topic; printed ones by their claim."""
    from querytax.theory.law import find, laws

    if name.startswith("printed:"):
        from querytax.validation.printed import printed_laws

        return (find(name, printed_laws()),)
    known = laws()
    alike = tuple(e for e in known if e.name.partition(".")[2] == name)
    return alike or (find(name, known),)


def _find(name: str) -> Any:
    """The one law of a name."""
    found = _named(name)
    if len(found) > 1:
        names = " or ".join(entry.name for entry in found)
        raise DomainError(f"expected the name of one law, {names}, got {name!r}")
    return found[0]


@click.command()
@click.argument("words", nargs=-1)
@click.option("--printed", is_flag=True, help="What the papers print, true or not.")
@click.option(
    "-o", "--out", type=click.Path(file_okay=False), help="Write a page a group here."
)
@json_option
def laws(words: tuple[str, ...], printed: bool, out: str | None, as_json: bool) -> None:
    """List every law by topic, or those with all WORDS in them.

    A word is looked for in names, summaries, formulas, and the names, symbols and
    meanings of parameters.
    """
    from querytax import theory
    from querytax.report_laws import law_data, matches, pages, print_laws

    if printed:
        from querytax.validation.printed import printed_laws

        entries: tuple[Any, ...] = tuple(printed_laws())
        groups: Any = {"as papers print it": ["printed"]}
    else:
        from querytax.theory.law import laws as all_laws

        entries, groups = all_laws(), theory.GROUPS
    entries = tuple(e for e in entries if matches(e, words))
    if out is not None:
        click.echo("\n".join(str(path) for path in pages(entries, groups, out)))
    elif as_json:
        click.echo(json.dumps([law_data(e) for e in entries], indent=2))
    else:
        print_laws(entries, groups)
    if not entries:
        sys.exit(1)


@click.command()
@click.argument("name")
@click.option(
    "--derivation", is_flag=True, help="Also the steps that lead to it, in sympy."
)
@json_option
def show(name: str, derivation: bool, as_json: bool) -> None:
    """Print a law: formula, parameters, regime, limits, source, LaTeX.

    A name without its topic shows the law of that name, or lists them.
    """
    from querytax.report_laws import law_data, print_derivation, print_law, print_laws

    found = _named(name)
    if len(found) > 1:
        if as_json:
            click.echo(json.dumps([law_data(e, latex=True) for e in found], indent=2))
        else:
            print_laws(found, {name: [e.topic for e in found]})
        return
    entry = found[0]
    steps: tuple[Any, ...] = ()
    if derivation:
        from querytax.theory.symbolic.derivation import derive

        if entry.name.startswith("printed"):
            raise DomainError(f"expected a true law to derive, got {name!r}")
        steps = derive(entry.name).steps
    if not as_json:
        print_law(entry)
        if derivation:
            print_derivation(steps)
        return
    shown = law_data(entry, latex=True)
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


@click.command("eval")
@click.argument("name")
@click.argument("values", nargs=-1)
@json_option
def evaluate(name: str, values: tuple[str, ...], as_json: bool) -> None:
    """Evaluate a law, true or as printed.

    \b
    querytax eval query_ratio.best_step snr=1e-7,1 dimension=3072 pairs=10
    querytax eval printed:aithal-li-2022/eq-6 ...    what a paper prints

    A value is a number, a comma-separated list, a JSON array, or a word. With
    errors=nan an element outside the law's domain gives NaN, not an error.
    """
    import inspect

    import numpy as np

    from querytax.theory.law import RegimeWarning

    entry = _find(name)
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
    given = _arguments(values, name, parameters)
    experiment = known[name](**given)
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
    law = _law_of(name, given, parameters)
    if as_json:
        answer = {**asdict(found), "arguments": dict(experiment.arguments), "law": law}
        del answer["moments"]
        click.echo(json.dumps({k: _jsonable(v) for k, v in answer.items()}))
    else:
        from querytax.report_laws import print_simulation

        print_simulation(found, experiment, law, time.perf_counter() - start)
    if found.stopped == "interrupted":
        sys.exit(130)
    if found.stopped == "budget" and (width or relative):
        sys.exit(4)


def _law_of(
    name: str, arguments: Mapping[str, Any], parameters: Mapping[str, Any]
) -> float | None:
    """The law of the same name at the same arguments, if there is one.

    An argument that the law does not know must have its default.
    """
    from querytax.theory.law import RegimeWarning, find

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RegimeWarning)
        try:
            entry = find(name)
            given = {p: arguments.get(p, parameters[p].default) for p in parameters}
            unlike = {p for p in given if given[p] != parameters[p].default}
            if unlike - {*entry.parameters} - _HOW:
                return None
            known = {p: given[p] for p in given if p in entry.parameters}
            return float(entry.function(**known))
        except (DomainError, TypeError, ValueError):
            return None


commands = (laws, show, evaluate, simulate)
