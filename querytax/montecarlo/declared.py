"""A simulation is declared once: its parameters are the vocabulary's.

The decorated function gets plain numbers that lie in their domains and returns what its
kernel draws; its name, its arguments, and the key of its draws are added here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ParamSpec, TypeAlias

import numpy as np

from querytax import expect
from querytax.montecarlo.runs import Experiment
from querytax.parameters import Parameter, section, taken_by

__all__ = ["EXPERIMENTS", "Table", "settled", "simulation"]

# What a caller gives as an array_like: an array of as many axes for the body.
Table: TypeAlias = Any

P = ParamSpec("P")

# Every simulation that is declared, by topic and name.
EXPERIMENTS: dict[str, Callable[..., Experiment]] = {}


def simulation(
    *,
    domain: Mapping[str, str] | None = None,
    tables: Mapping[str, int] | None = None,
    keyed: str = "",
    called: str = "",
) -> Callable[[Callable[P, Experiment]], Callable[P, Experiment]]:
    """Declare the decorated function as the simulation of its name.

    Arguments of the experiment that it returns stand beside those it was given, or for
    them. An experiment that has a key keeps it: another simulation's, called so.

    Parameters
    ----------
    domain, tables : mapping, optional
        Domains and axes that are not the vocabulary's.
    keyed : str
        The arguments that key the draws, in their order, as ``"sigma=loss_sigma gap"``
        where a word of the key is no name of a parameter. A key never changes, so
        that draws stay what they were: ``"gap [form repeats]"`` leaves both out where
        the form is its default.
    called : str
        What the key is called, where that is not topic and function.

    Raises
    ------
    TypeError
        If the vocabulary has no such parameter, or they do not come in its order.
    """

    def declare(function: Callable[P, Experiment]) -> Callable[P, Experiment]:
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        signature = inspect.signature(function)
        found = taken_by(function, domain, tables)
        defaults = {
            p.name: p.default
            for p in signature.parameters.values()
            if p.default is not p.empty
        }
        plain = {p: _plain(entry) for p, entry in found.items()}
        base, _, later = keyed.partition("[")
        key = _words(base) or [(p, p) for p in found]
        more = _words(later.rstrip("]"))

        @functools.wraps(function)
        def made(*args: P.args, **kwargs: P.kwargs) -> Experiment:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given: dict[str, Any] = {
                p: None
                if value is None and p in defaults and defaults[p] is None
                else plain[p](value)
                for p, value in bound.arguments.items()
            }
            drawn = function(**given)  # type: ignore[call-arg]
            came_to = {} if drawn.name else drawn.arguments
            shown = {
                p: _listed(value) if isinstance(value, np.ndarray) else value
                for p, value in {**given, **came_to}.items()
            }
            special = more and shown[more[0][1]] != defaults[more[0][1]]
            words = [*key, *more] if special else key
            meaning = (x for word, p in words for x in (word, shown[p]))
            return replace(
                drawn,
                name=name,
                arguments=shown,
                key=drawn.key or (called or name, *meaning),
            )

        summary, _, notes = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
        parts = [summary, notes, section(found, defaults, single=True)]
        made.__doc__ = "\n\n".join(part for part in parts if part) + "\n"
        EXPERIMENTS[name] = made
        return made

    return declare


def settled(drawn: Experiment, **arguments: Any) -> Experiment:
    """The experiment with what some arguments came to, or with more of them."""
    return replace(drawn, arguments=arguments)


def _words(text: str) -> list[tuple[str, str]]:
    """Words of a key, each with the argument that it stands for."""
    return [
        (word, p or word) for word, _, p in (w.partition("=") for w in text.split())
    ]


def _listed(values: Any) -> str:
    """A table as an argument of an experiment: digits that tell any two apart."""
    return " ".join(repr(float(value)) for value in values.ravel())


def _plain(parameter: Parameter) -> Callable[[Any], Any]:
    """A value as the body takes it: a float, a whole number, a word, an array."""
    checked, name, axes = parameter.checked(), parameter.name, parameter.axes
    if parameter.is_word:
        return checked
    kind: Any = int if parameter.domain.whole else float
    if axes:

        def table(value: Any) -> Any:
            array = np.array(checked(value), dtype=kind, ndmin=axes)
            if array.ndim > axes or not array.size:
                raise expect.DomainError(
                    f"expected {name} with {axes} {'axes' if axes > 1 else 'axis'} and "
                    f"an element, got shape {array.shape}"
                )
            return array

        return table

    def number(value: Any) -> Any:
        # A simulation of many has no key.
        one = isinstance(value, str) or not np.iterable(value)
        expect.that(one, "to be one number", **{name: value})
        return kind(checked(value))

    return number
