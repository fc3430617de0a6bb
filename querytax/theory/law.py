"""A law is declared once: its body, a summary, a regime and a source.

All else follows: what its parameters mean and where they lie comes from the vocabulary
(:mod:`querytax.parameters`), which also validates them; its documentation is written
from both; its logarithm, complement or inverse is declared beside it; its LaTeX is that
of its derivation in :mod:`querytax.theory.symbolic`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import pkgutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import (
    Any,
    Literal,
    NamedTuple,
    ParamSpec,
    Protocol,
    TypeAlias,
    cast,
    overload,
)

import numpy as np

from querytax import expect
from querytax.parameters import Domain, Parameter, taken_by
from querytax.theory.documented import documented

__all__ = [
    "Given",
    "Law",
    "LawFunction",
    "RegimeWarning",
    "Support",
    "find",
    "law",
    "laws",
    "register_law",
    "registered",
]

# What a law is given: array_like for its caller, double precision in its body.
Given: TypeAlias = Any

P = ParamSpec("P")
Kind: TypeAlias = Literal["exact", "bound", "approximation", "definition"]
Errors: TypeAlias = Literal["raise", "nan"]


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

    entry: Law

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
    name, topic : str
        Topic and function, as in ``"query_ratio.best_step"``, and the topic alone.
    function : callable
        Evaluates the law; an ordinary vectorised function, with ``errors`` besides:
        ``"raise"``, or ``"nan"`` for the elements outside the domain.
    formula, regime, source : str
        The law in one line of text; the assumptions that its arguments cannot break;
        paper and equation, and what was changed, or "derived here".
    kind : str
        ``"exact"``, ``"bound"``, ``"approximation"`` or ``"definition"``. An
        approximation has limits.
    parameters : mapping of str to Parameter
        Each with the domain that it has here.
    limits : mapping of str to callable
        The part of the regime that the arguments can break: for each limit, in
        words, a predicate of some of the parameters. Outside them the function
        warns with :class:`RegimeWarning`.
    within : Domain
        Where the value lies.
    rises, falls : tuple of str
        Parameters in which it never falls, and never rises.
    relation, parent : str
        ``"log"``, ``"complement"`` or ``"inverse"``, and of which law, if any.
    """

    name: str
    topic: str
    function: Callable[..., Any]
    formula: str
    regime: str
    source: str
    kind: Kind
    parameters: Mapping[str, Parameter]
    limits: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    within: Domain = field(default_factory=lambda: Domain.of("(-inf, inf)"))
    rises: tuple[str, ...] = ()
    falls: tuple[str, ...] = ()
    relation: str = ""
    parent: str = ""

    @property
    def summary(self) -> str:
        """Its first line of documentation, as plain text."""
        line = (self.function.__doc__ or "").partition("\n")[0]
        return line.replace(":func:", "").replace("`", "")

    @property
    def standing(self) -> str:
        """Its kind and its regime, in a line."""
        if self.regime.startswith(self.kind):
            return self.regime
        return f"{self.kind}; {self.regime}"

    @property
    def latex(self) -> str:
        """The law in LaTeX, without delimiters: that of its derivation."""
        module = importlib.import_module("querytax.theory.symbolic.printing")
        return str(module.latex_of(self))

    @property
    def tables(self) -> dict[str, int]:
        """Parameters that are read over so many of their last axes at once."""
        return {name: p.axes for name, p in self.parameters.items() if p.axes}

    def _plain(self, name: str, value: Any) -> Any:
        if isinstance(value, str | None):
            return value
        return np.array(value, dtype=float, ndmin=self.parameters[name].axes)

    @functools.cached_property
    def _watched(self) -> list[tuple[str, Callable[..., Any], tuple[str, ...]]]:
        """Each limit with the parameters that it reads."""
        return [
            (limit, within, tuple(inspect.signature(within).parameters))
            for limit, within in self.limits.items()
        ]

    def broken(self, arguments: Mapping[str, Any]) -> str:
        """Name the first limit that the arguments break; empty if they break none."""
        for limit, within, names in self._watched:
            given = [
                value
                if isinstance(value := arguments[name], np.floating | str | None)
                else np.array(
                    value, float, ndmin=self.parameters[name].axes, copy=None
                )[()]
                for name in names
            ]
            holds = within(*given)
            if holds is np.True_ or holds is True:
                continue
            # An element that is not a number was answered with one already.
            absent = functools.reduce(
                np.logical_or,
                (
                    np.isnan(v).any(axis=tuple(range(-self.parameters[k].axes, 0)))
                    for k, v in zip(names, given, strict=True)
                    if not isinstance(v, str | None)
                ),
            )
            if not np.all(np.asarray(holds) | absent):
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
    formula: str,
    source: str,
    *,
    regime: str = "exact",
    kind: Kind = "exact",
    limits: Mapping[str, Callable[..., Any]] | None = None,
    domain: Mapping[str, str] | None = None,
    tables: Mapping[str, int] | None = None,
    value: str = "(-inf, inf)",
) -> Callable[[Callable[P, Any]], LawFunction[P]]:
    """Register the decorated function as a law of its package.

    The body is called with arrays in double precision that lie in their domains.

    Parameters
    ----------
    formula, source, regime, kind, limits
        As in :class:`Law`.
    domain : mapping of str to str, optional
        Domains that are not the vocabulary's.
    tables : mapping of str to int, optional
        Parameters that are read at once over so many of their last axes, where the
        vocabulary says otherwise.
    value : str
        Where the value lies, and parameters in which it never falls or never rises:
        ``"[0, inf]; rises in sigma; falls in error gap"``.

    Raises
    ------
    TypeError
        If the vocabulary has no such parameter, or they do not come in its order.
    """
    lies, *moves = value.split("; ")
    ways = {m.split(" in ")[0]: tuple(m.split(" in ")[1].split()) for m in moves}
    if not {*ways} <= {"rises", "falls"}:
        raise TypeError(f"expected a value that rises or falls in ..., got {value!r}")

    def register(function: Callable[P, Any]) -> LawFunction[P]:
        return register_law(
            function,
            formula=formula,
            source=source,
            regime=regime,
            kind=kind,
            parameters=taken_by(function, domain, tables),
            limits=dict(limits or {}),
            within=Domain.of(lies),
            **ways,
        )

    return register


def register_law(function: Callable[P, Any], **known: Any) -> LawFunction[P]:
    """Make a law of a body and the fields of :class:`Law` that are known."""
    package, _, topic = function.__module__.rpartition(".")
    name = f"{topic}.{function.__name__}"
    signature = inspect.signature(function)
    parameters: Mapping[str, Parameter] = known["parameters"]
    defaults = {
        p.name: p.default
        for p in signature.parameters.values()
        if p.default is not p.empty
    }
    checks = {
        p: _unless_none(entry.checked())
        if defaults.get(p, "") is None
        else entry.checked()
        for p, entry in parameters.items()
    }
    listed, count = tuple(checks.items()), len(checks)
    settled = {p: checks[p](value) for p, value in defaults.items()}
    plain = tuple((*entry.plain_ends, checks[p]) for p, entry in parameters.items())
    double = np.float64
    run: Any = function
    # Relations take whatever their law takes, by name.
    placed = function.__code__.co_argcount == count

    def bound(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, validated and in double precision."""
        given = {p: check(v) for (p, check), v in zip(listed, args, strict=False)}
        for p, value in kwargs.items():
            if p in given or p not in checks:
                signature.bind(*args, **kwargs)
            given[p] = checks[p](value)
        if len(given) < count:
            given = {**settled, **given}
        if len(given) < count or len(args) > count:
            signature.bind(*args, **kwargs)
        return given

    def body(**given: Any) -> Any:
        return run(**bound((), given))

    @functools.wraps(function)
    def evaluate(*args: Any, errors: str = "raise", **kwargs: Any) -> Any:
        if errors == "raise" and not kwargs and len(args) == count:
            # Plain numbers in their order: a loop without a call costs least.
            ordered = [
                double(v) if type(v) is float and least <= v <= most else check(v)
                for v, (least, most, check) in zip(args, plain, strict=True)
            ]
            if placed and not limited:
                return run(*ordered)
            given = dict(zip(checks, ordered, strict=True))
            value = run(**given)
        elif errors == "raise":
            given = bound(args, kwargs)
            value = run(**given)
        else:
            expect.one_of(("raise", "nan"), errors=errors)
            given = signature.bind(*args, **kwargs).arguments
            value = _inside(body, given, entry.tables)
            given = {**settled, **given}
        if limited and (broken := entry.broken(given)):
            warnings.warn(broken, RegimeWarning, stacklevel=2)
        return value

    entry = Law(name, topic, evaluate, **known)
    limited = bool(entry.limits)
    errors = inspect.Parameter(
        "errors", inspect.Parameter.KEYWORD_ONLY, default="raise"
    )
    described = cast(Any, evaluate)
    described.__signature__ = signature.replace(
        parameters=[*signature.parameters.values(), errors]
    )
    described.__doc__ = documented(entry, function.__doc__ or "", defaults)
    described.entry, described.supports = entry, entry.supports
    _LAWS.setdefault(package, {})[name] = entry
    return cast("LawFunction[P]", evaluate)


def _unless_none(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The check of a parameter that may be left out."""
    return lambda value: None if value is None else check(value)


def _inside(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    tables: Mapping[str, int],
) -> Any:
    """The law on the elements inside its domain, NaN on the others."""
    try:
        return function(**arguments)
    except expect.DomainError as error:
        if error.outside is None:
            raise
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
