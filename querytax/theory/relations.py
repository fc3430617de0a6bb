"""Laws that follow from another: its logarithm, its complement, its inverse.

Each is declared beside the law that it belongs to. It is derived from that law unless
a better body is given, one that keeps its digits where the derived one has none.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.parameters import Domain, Parameter, named
from querytax.theory.law import Law, LawFunction, P, register_law

__all__ = ["complement_of", "inverse_of", "log_of"]

Body = Callable[..., Any]


def log_of(law: LawFunction[P], body: Body | None = None) -> LawFunction[P]:
    """The logarithm of a law, under its name after ``log_``.

    Examples
    --------
    >>> from querytax.theory import misstep
    >>> misstep.log_random_direction.entry.parent
    'misstep.random_direction'
    """
    one = law.entry
    ends = (
        -math.inf if end <= 0.0 else math.log(end)
        for end in (one.within.low, one.within.high)
    )
    return _related(
        law,
        body or (lambda **given: np.log(law(**given))),
        "log",
        f"log_{law.__name__}",
        f"ln({_value(one)})",
        f"Logarithm of :func:`{law.__name__}`, to all digits where that underflows.",
        Domain.between(*ends),
        (one.rises, one.falls),
    )


def complement_of(
    law: LawFunction[P], name: str, body: Body | None = None
) -> LawFunction[P]:
    """One less a law, under a name of its own."""
    one = law.entry
    return _related(
        law,
        body or (lambda **given: 1.0 - law(**given)),
        "complement",
        name,
        f"1 - ({_value(one)})",
        f"One less :func:`{law.__name__}`, to all digits where that is near one.",
        Domain.between(1.0 - one.within.high, 1.0 - one.within.low),
        (one.falls, one.rises),
    )


def _value(one: Law) -> str:
    """A formula without the name of its value."""
    return re.sub(r"^[^\s(]+(\([^)]*\))? <?= ", "", one.formula)


def _related(
    law: LawFunction[P],
    body: Body,
    relation: str,
    name: str,
    formula: str,
    summary: str,
    within: Domain,
    moves: tuple[tuple[str, ...], tuple[str, ...]],
) -> LawFunction[P]:
    one = law.entry
    function = _posing(body, law, name, summary, inspect.signature(law).parameters)
    return register_law(
        function,
        formula=formula,
        regime=one.regime,
        source=one.source,
        kind=one.kind,
        parameters=one.parameters,
        limits=one.limits,
        within=within,
        rises=moves[0],
        falls=moves[1],
        relation=relation,
        parent=one.name,
    )


def _posing(
    body: Body, law: Body, name: str, summary: str, parameters: Mapping[str, Any]
) -> Body:
    """The body under a law's name and home, with the parameters that it takes."""

    def posing(**given: Any) -> Any:
        return body(**given)

    posing.__name__ = posing.__qualname__ = name
    posing.__module__ = law.__module__
    posing.__doc__ = inspect.getdoc(body) or summary
    kept = [p for p in parameters.values() if p.name != "errors"]
    posing.__signature__ = inspect.Signature(kept)  # type: ignore[attr-defined]
    return posing


def inverse_of(
    law: LawFunction[...], of: str, value: str, name: str = "", body: Body | None = None
) -> LawFunction[...]:
    """What one parameter of a law has to be, for a value of the law.

    Parameters
    ----------
    law : LawFunction
        Monotone in ``of``.
    of : str
        The parameter that is sought.
    value : str
        What the law's value is called.
    name : str
        The inverse's name; ``of`` by default.
    body : callable, optional
        Takes the value in place of ``of``; solved by bisection if left out.
    """
    one = law.entry
    rises = of in one.rises
    known = {p: entry for p, entry in one.parameters.items() if p != of}
    known[value] = named(value, one.name)
    known = dict(sorted(known.items(), key=lambda pair: pair[1].place))
    sought = one.parameters[of]

    def solved(**given: Any) -> Any:
        goal = given.pop(value)

        def at(x: Any) -> Any:
            with np.errstate(all="ignore"):
                return law(**{of: x}, **given)

        shapes = goal.shape, *(np.shape(a) for a in given.values())
        return _solved(at, goal, value, sought, rises, np.broadcast_shapes(*shapes))

    parameters = {
        p: inspect.Parameter(p, inspect.Parameter.POSITIONAL_OR_KEYWORD) for p in known
    }
    function = _posing(
        body or solved,
        law,
        name or of,
        f"What {of} has to be: the inverse of :func:`{law.__name__}`.",
        parameters,
    )
    # Of f(x, a) = y: x goes with y as f goes with x, and with a the other way.
    same, other = (one.rises, one.falls) if rises else (one.falls, one.rises)
    return register_law(
        function,
        formula=f"the {sought.symbol} at which {one.formula} is so much",
        regime=one.regime,
        source=one.source,
        kind=one.kind,
        parameters=known,
        within=sought.domain,
        rises=tuple(p for p in known if p in other or (p == value and rises)),
        falls=tuple(p for p in known if p in same or (p == value and not rises)),
        relation="inverse",
        parent=one.name,
    )


def _solved(
    law: Body,
    goal: npt.NDArray[Any],
    value: str,
    sought: Parameter,
    rises: bool,
    shape: tuple[int, ...],
) -> Any:
    """Bisection over the floats themselves, so that no magnitude is too small."""
    low, high = (np.full(shape or 1, _place(end)) for end in sought.domain.ends)
    sign = 1.0 if rises else -1.0
    for end, side in ((low, 1.0), (high, -1.0)):
        beyond = side * sign * (law(_float(end)) - goal) > 0.0
        expect.that(~beyond, "among the values of the law", **{value: goal})
    while (wide := high > low + 1).any():
        # The sum of both may be too large for a word.
        middle = low // 2 + high // 2 + (low & high & 1)
        below = sign * (law(_float(middle)) - goal) <= 0.0
        low = np.where(below & wide, middle, low)
        high = np.where(~below & wide, middle, high)
    return _float(low).reshape(shape)[()]


def _place(x: Any) -> Any:
    """Where a float stands in the order of all of them, as a whole number."""
    bits = np.atleast_1d(np.asarray(x, dtype=float)).view(np.int64)
    return np.where(bits < 0, np.iinfo(np.int64).min - bits, bits)


def _float(place: Any) -> Any:
    bits = np.where(place < 0, np.iinfo(np.int64).min - place, place)
    return bits.astype(np.int64).view(float)
