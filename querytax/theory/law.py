"""A law: a formula with its symbols, the regime in which it holds, and its source."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import pkgutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, ParamSpec, Protocol, cast, overload

import numpy as np

from querytax import expect

__all__ = [
    "Law",
    "LawFunction",
    "RegimeWarning",
    "Support",
    "find",
    "law",
    "laws",
    "registered",
]

P = ParamSpec("P")
Errors = Literal["raise", "nan"]


class RegimeWarning(UserWarning):
    """A formula was evaluated where its derivation does not hold."""


class Support(NamedTuple):
    """Whether a law holds for the arguments it was asked about, and why.

    Attributes
    ----------
    holds : bool
        True if it holds for every element.
    reason : str
        The law's regime where it holds; else what is broken, and by which value.
    """

    holds: bool
    reason: str


class LawFunction(Protocol[P]):
    """A law's function: it takes ``errors`` besides its own parameters."""

    __name__: str

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    @overload
    def __call__(self, *args: Any, errors: Errors, **kwargs: Any) -> Any: ...

    def supports(self, *args: P.args, **kwargs: P.kwargs) -> Support:
        """Say whether the law holds for these arguments, and why."""


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
        Evaluates the law; an ordinary vectorised function, with ``errors`` besides:
        ``"raise"``, or ``"nan"`` for the elements outside the domain.
    formula, latex : str
        The law in one line of text, and in LaTeX without delimiters.
    symbols : mapping of str to str
        For each parameter of the function: symbol, meaning, unit and range.
    regime : str
        The assumptions under which the law is exact, or how far it may be trusted.
    source : str
        Paper and equation, and what was changed; or "derived here".
    limits : mapping of str to callable
        The part of the regime that the arguments can break: for each limit, in
        words, a predicate of some of the parameters. Outside them the function
        warns with :class:`RegimeWarning`.
    tables : mapping of str to int
        Parameters that are not read element by element, and over how many of their
        last axes they are read at once.
    """

    name: str
    topic: str
    function: Callable[..., Any]
    formula: str
    latex: str
    symbols: Mapping[str, str]
    regime: str
    source: str
    limits: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    tables: Mapping[str, int] = field(default_factory=dict)

    def broken(self, arguments: Mapping[str, Any]) -> str:
        """Name the first limit that the arguments break; empty if they break none."""
        for limit, within in self.limits.items():
            given = {k: arguments[k] for k in inspect.signature(within).parameters}
            numbers = [v for v in given.values() if not isinstance(v, str | None)]
            # An element that is not a number was answered with one already.
            absent = functools.reduce(np.logical_or, map(np.isnan, numbers))
            if not np.all(np.asarray(within(**given)) | absent):
                return f"{self.name} wants {limit}"
        return ""

    def supports(self, *args: Any, **kwargs: Any) -> Support:
        """Say whether the law holds for these arguments, and why.

        Examples
        --------
        >>> find("query_ratio.best_step").supports(snr=-1, dimension=8, pairs=7)
        Support(holds=False, reason='expected snr >= 0 and finite, got -1')
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RegimeWarning)
            try:
                self.function(*args, **kwargs)
            except expect.DomainError as error:
                return Support(False, str(error))
        for warning in caught:
            if issubclass(warning.category, RegimeWarning):
                return Support(False, str(warning.message))
        return Support(True, self.regime)


_LAWS: dict[str, dict[str, Law]] = {}


def law(
    *,
    formula: str,
    latex: str,
    symbols: Mapping[str, str],
    regime: str,
    source: str,
    limits: Mapping[str, Callable[..., Any]] | None = None,
    tables: Mapping[str, int] | None = None,
) -> Callable[[Callable[P, Any]], LawFunction[P]]:
    """Register the decorated function as a law of its package.

    The function gains ``errors``, a warning outside its ``limits``, and ``supports``.

    Raises
    ------
    TypeError
        If ``symbols`` does not describe exactly the function's parameters.
    """

    def register(function: Callable[P, Any]) -> LawFunction[P]:
        package, _, topic = function.__module__.rpartition(".")
        name = f"{topic}.{function.__name__}"
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())
        if list(symbols) != [p.name for p in parameters]:
            raise TypeError(f"symbols of {name} are not its parameters {signature}")

        @functools.wraps(function)
        def evaluate(*args: Any, errors: Errors = "raise", **kwargs: Any) -> Any:
            if errors == "raise":
                value = function(*args, **kwargs)
            else:
                expect.one_of(("raise", "nan"), errors=errors)
                value = _inside(function, signature, entry.tables, args, kwargs)
            if entry.limits:
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                if broken := entry.broken(bound.arguments):
                    warnings.warn(broken, RegimeWarning, stacklevel=2)
            return value

        entry = Law(
            name,
            topic,
            evaluate,
            formula,
            latex,
            dict(symbols),
            regime,
            source,
            dict(limits or {}),
            dict(tables or {}),
        )
        errors = inspect.Parameter(
            "errors", inspect.Parameter.KEYWORD_ONLY, default="raise"
        )
        described = cast(Any, evaluate)
        described.__signature__ = signature.replace(parameters=[*parameters, errors])
        described.supports = entry.supports
        _LAWS.setdefault(package, {})[name] = entry
        return cast("LawFunction[P]", evaluate)

    return register


def _inside(
    function: Callable[..., Any],
    signature: inspect.Signature,
    tables: Mapping[str, int],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """The law on the elements inside its domain, NaN on the others."""
    try:
        return function(*args, **kwargs)
    except expect.DomainError as error:
        if error.outside is None:
            raise
    arguments = signature.bind(*args, **kwargs).arguments
    rows = {
        # One number for a whole table is a table of one.
        name: np.array(value, dtype=float, ndmin=tables.get(name, 0))
        for name, value in arguments.items()
        if not isinstance(value, str | bool | None)
    }
    split = {name: a.ndim - tables.get(name, 0) for name, a in rows.items()}
    shape = np.broadcast_shapes(*(a.shape[: split[n]] for n, a in rows.items()))
    for name, a in rows.items():
        core = a.shape[split[name] :]
        rows[name] = np.broadcast_to(a, shape + core).reshape((-1, *core))
    count = math.prod(shape)
    kept = np.arange(count)
    value: Any = np.empty(0)
    while kept.size:
        try:
            inside = {name: a[kept] for name, a in rows.items()}
            value = function(**{**arguments, **inside})
            break
        except expect.DomainError as error:
            outside = error.outside
            if outside is None or outside.shape[:1] != kept.shape:
                raise
            kept = kept[~outside.reshape((kept.size, -1)).any(axis=1)]

    def spread(part: Any) -> Any:
        part = np.asarray(part)
        out = np.full((count, *part.shape[1:]), np.nan)
        out[kept] = part
        return out.reshape((*shape, *part.shape[1:]))[()]

    return tuple(map(spread, value)) if isinstance(value, tuple) else spread(value)


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
