"""A law: a formula with its symbols, the regime in which it holds, and its source."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from querytax import expect

__all__ = ["Law", "RegimeWarning", "find", "law", "laws", "registered"]

F = TypeVar("F", bound=Callable[..., Any])


class RegimeWarning(UserWarning):
    """A formula was evaluated where its derivation does not hold."""


@dataclass(frozen=True)
class Law:
    """One formula that can be evaluated, printed and looked up.

    Attributes
    ----------
    name : str
        Topic and function, as in ``"query_ratio.best_step"``.
    topic : str
        The module that holds the function.
    function : callable
        Evaluates the law; an ordinary vectorised function.
    formula, latex : str
        The law in one line of text, and in LaTeX without delimiters.
    symbols : mapping of str to str
        For each parameter of the function: symbol, meaning, unit and range.
    regime : str
        The assumptions under which the law is exact, or how far it may be trusted.
    source : str
        Paper and equation, and what was changed; or "derived here".
    """

    name: str
    topic: str
    function: Callable[..., Any]
    formula: str
    latex: str
    symbols: Mapping[str, str]
    regime: str
    source: str


_LAWS: dict[str, dict[str, Law]] = {}


def law(
    *,
    formula: str,
    latex: str,
    symbols: Mapping[str, str],
    regime: str,
    source: str,
) -> Callable[[F], F]:
    """Register the decorated function as a law of its package; return it unchanged.

    Raises
    ------
    TypeError
        If ``symbols`` does not describe exactly the function's parameters.
    """

    def register(function: F) -> F:
        package, _, topic = function.__module__.rpartition(".")
        name = f"{topic}.{function.__name__}"
        parameters = list(inspect.signature(function).parameters)
        if list(symbols) != parameters:
            raise TypeError(f"symbols of {name} are not its parameters {parameters}")
        entry = Law(
            name, topic, function, formula, latex, dict(symbols), regime, source
        )
        _LAWS.setdefault(package, {})[name] = entry
        return function

    return register


def registered(package: str) -> tuple[Law, ...]:
    """Laws of the modules of ``package`` imported so far, in order of definition."""
    return tuple(_LAWS.get(package, {}).values())


def laws() -> tuple[Law, ...]:
    """Every true law; imports each public topic module of the theory.

    Examples
    --------
    >>> "query_ratio.best_step" in {entry.name for entry in laws()}
    True
    """
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if not (module.name.startswith("_") or module.ispkg):
            importlib.import_module(f"{package}.{module.name}")
    return tuple(sorted(registered(package), key=lambda entry: entry.topic))


def find(name: str, among: Iterable[Law] | None = None) -> Law:
    """Look a law up by its dotted name.

    Parameters
    ----------
    name : str
        As in ``"query_ratio.best_step"``.
    among : iterable of Law, optional
        Where to look; every true law by default.

    Raises
    ------
    DomainError
        If there is no such law; the message offers the closest names.

    Examples
    --------
    >>> find("query_ratio.best_step").formula
    'R = 1 + (d/(p + d + 1))/S'
    """
    by_name = {entry.name: entry for entry in (laws() if among is None else among)}
    expect.one_of(by_name, name=name)
    return by_name[name]
