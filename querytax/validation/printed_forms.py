"""Every form that a claim holds against its evidence, callable by the claim's id.

``printed:aithal-li-2022/eq-6`` is what the paper prints, true or not. It warns where
the ledger refutes it, and outside the points at which it was held where it is right in
a regime alone; the warning says the true form, and its value there.
"""

from __future__ import annotations

import functools
import inspect
import math
import textwrap
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from querytax import expect
from querytax.expect import DomainError
from querytax.parameters import Domain, Parameter
from querytax.theory.documented import documented
from querytax.theory.law import Kind, Law, RegimeWarning
from querytax.validation.claim import Claim, Form

__all__ = ["Argument", "Printed", "find_printed", "printed_laws"]

_SAID = {
    "approximation": "an approximation",
    "upper bound": "an upper bound",
    "lower bound": "a lower bound",
    "data": "the paper's data",
}
_REALS = Domain.of("(-inf, inf)")
_KEYWORD, _EMPTY = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty


@dataclass(frozen=True)
class Argument(Parameter):
    """An argument of a printed form, in the claim's own words."""

    @property
    def described(self) -> str:
        """Where the claim was held."""
        return self.meaning


@dataclass(frozen=True)
class Printed(Law):
    """A claim's printed form, with the face of a law.

    Attributes
    ----------
    claim : Claim
        Its statement is the summary; its verdict is part of the regime.
    """

    claim: Claim | None = None

    @property
    def latex(self) -> str:
        """The text in LaTeX: a print has no derivation."""
        from querytax.theory.symbolic.printing import in_latex

        return in_latex(self.formula)


@functools.cache
def printed_laws() -> tuple[Printed, ...]:
    """Every printed form, in the order of the ledger.

    Examples
    --------
    >>> printed_laws()[0].name
    'printed:aithal-li-2022/def-1'
    """
    from querytax.validation.ledger import claims

    return tuple(_entry(c, c.printed) for c in claims() if c.printed is not None)


def find_printed(name: str) -> Printed:
    """A printed form by its claim's id, with or without ``printed:``.

    Raises
    ------
    DomainError
        If no claim of that id has one; the message offers the closest names.

    Examples
    --------
    >>> find_printed("aithal-li-2022/eq-6").formula
    '(√(K²+4) - K)²/4, K = Φ⁻¹(ε) √(m/(S(1-r)))'
    """
    known = {entry.name: entry for entry in printed_laws()}
    name = name if name.startswith("printed:") else f"printed:{name}"
    expect.one_of(known, name=name)
    return known[name]


def _arguments(claim: Claim) -> dict[str, Argument]:
    """What the form takes, by what the claim's points give it."""
    found = {}
    for place, (name, given) in enumerate(_given(claim).items()):
        distinct = list(dict.fromkeys(map(str, given)))
        held = "held at " + ", ".join(distinct[:4])
        held += f" and {len(distinct) - 4} more" * (len(distinct) > 4)
        domain, axes = _REALS, int(isinstance(given[0], list | tuple))
        if isinstance(given[0], str):
            domain = Domain(" | ".join(map(repr, distinct)), options=tuple(distinct))
        typical = () if domain.options or axes else (given[0], given[-1])
        found[name] = Argument(
            name, name, "", axes, domain, typical, math.nan, "", held, place
        )
    return found


def _given(claim: Claim) -> dict[str, list[Any]]:
    """Each argument's values at the claim's points."""
    found: dict[str, list[Any]] = {}
    for point in claim.points:
        for name, value in point.arguments.items():
            found.setdefault(name, []).append(value)
    return found


def _optional(claim: Claim, form: Form) -> dict[str, Any]:
    """Arguments with a default, or None where some point leaves one out."""
    known = {k: p.default for k, p in inspect.signature(form.value).parameters.items()}
    found = {}
    for name, values in _given(claim).items():
        if known.get(name, _EMPTY) is not _EMPTY:
            found[name] = known[name]
        elif len(values) < len(claim.points):
            found[name] = None
    return found


def _true(claim: Claim) -> str:
    """The true form in words; empty where the print is true, or nothing is known."""
    if claim.corrected is None:
        return ""
    entry = getattr(claim.corrected.value, "entry", None)
    return claim.corrected.text + (f" ({entry.name})" if entry is not None else "")


def _regime(claim: Claim) -> str:
    parts = [claim.expected.lower().replace("_", " ")]
    parts += [f"said to be {_SAID.get(claim.kind, claim.kind)}"]
    parts += [f"holds for {claim.regime}"] * bool(claim.regime)
    parts += [f"true: {_true(claim)}"] * bool(_true(claim))
    return "; ".join(parts)


def _value(form: Form, arguments: Mapping[str, Any]) -> float:
    value = math.nan
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            value = float(form.value(**arguments))
        except DomainError:
            raise
        except (ValueError, ArithmeticError):
            # Of math: a logarithm of 0, a quotient by 0, what passes the floats.
            pass
    if math.isnan(value):
        given = ", ".join(f"{k}={v}" for k, v in arguments.items())
        raise DomainError(f"expected arguments where the form has a value, got {given}")
    return value


def _checked(entry: Argument, value: Any) -> Any:
    if entry.is_word and isinstance(value, int | float):
        # A word that is a number, as the shell reads it.
        value = next((o for o in entry.domain.options if _number(o) == value), value)
    return entry.checked()(value)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _points(claim: Claim, values: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """The shape of what is asked, and each point in the types of the claim's own."""
    given = _given(claim)
    arrays = {k: v for k, v in values.items() if not isinstance(v, str)}
    axes = {k: int(isinstance(given[k][0], list | tuple)) for k in arrays}
    outer = {k: np.shape(v)[: np.ndim(v) - axes[k]] for k, v in arrays.items()}
    shape = np.broadcast_shapes(*outer.values())

    def plain(key: str, at: tuple[int, ...]) -> Any:
        if key not in arrays:
            return values[key]
        core = np.shape(arrays[key])[len(outer[key]) :]
        value = np.broadcast_to(arrays[key], shape + core)[at]
        if axes[key]:
            return type(given[key][0])(value.tolist())
        whole = all(type(x) is int for x in given[key]) and value % 1 == 0
        return int(value) if whole else float(value)

    return shape, [{k: plain(k, at) for k in values} for at in np.ndindex(shape)]


def _warning(claim: Claim, points: list[Any], defaults: Mapping[str, Any]) -> str:
    """What is wrong with the print at these points; empty if nothing is known to be."""
    inside = [{**defaults, **point.arguments} for point in claim.points if point.inside]
    held = bool(claim.regime) and all(point in inside for point in points)
    sound = claim.expected.startswith("CONFIRMED") and (held or not claim.regime)
    if sound:
        return ""
    said = f"printed:{claim.id}: {_regime(claim)}"
    if claim.corrected is not None and len(points) == 1:
        said += f", {_value(claim.corrected, points[0]):.6g} here"
    return said


def _entry(claim: Claim, form: Form) -> Printed:
    arguments, optional = _arguments(claim), _optional(claim, form)
    defaults = {k: v for k, v in optional.items() if v is not None}
    signature = inspect.Signature(
        [
            inspect.Parameter(k, _KEYWORD, default=optional.get(k, _EMPTY))
            for k in arguments
        ]
    )

    def printed(**given: Any) -> Any:
        asked = {**defaults, **signature.bind(**given).arguments}
        values = {k: _checked(arguments[k], v) for k, v in asked.items()}
        shape, points = _points(claim, values)
        found = np.array([_value(form, point) for point in points], dtype=float)
        if warning := _warning(claim, points, defaults):
            warnings.warn(warning, RegimeWarning, stacklevel=2)
        return found.reshape(shape)[()]

    described = cast(Any, printed)
    described.__signature__ = signature
    entry = Printed(
        name=f"printed:{claim.id}",
        topic="printed",
        function=printed,
        formula=form.text,
        regime=_regime(claim),
        source=f"{claim.id.partition('/')[0]}, {claim.source}",
        kind=cast(Kind, "as printed"),
        parameters=arguments,
        claim=claim,
    )
    printed.__name__ = printed.__qualname__ = entry.name
    text = f"{claim.statement}\n\n{textwrap.fill(claim.note, 84)}"
    printed.__doc__ = documented(entry, text, optional)
    return entry
