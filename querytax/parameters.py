"""One vocabulary: what a name of a parameter means, wherever it stands.

``parameters.csv`` is the table: name, symbol, unit, meaning and domain, two typical
values, and how far from one the laws are tested. Laws, simulations, derivations, tests
and the shell read it; a signature names its parameters in the order of the table: what
is compared, then the noise, then counts, then tolerances, then words.
"""

from __future__ import annotations

import csv
import functools
import inspect
import math
import re
import textwrap
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from querytax import expect

__all__ = ["PARAMETERS", "Domain", "Parameter", "named", "section", "taken_by"]

# What an error says that was expected, where an interval reads better in words.
_WORDS = {
    "(0, inf)": "> 0 and finite",
    "[0, inf)": ">= 0 and finite",
    "(-inf, inf)": "finite",
    "[0, inf]": ">= 0",
    "(0, 1/2)": "in (0, 0.5)",
}
_INTERVAL = re.compile(r"([\[(])([^,]+), ([^,]+)([\])])")
_WHOLE = re.compile(r"\{(\d+), (?:\d+, )?\.\.\.(?:, (\d+))?\}")


def _number(text: str) -> float:
    return float(text) if "inf" in text else float(Fraction(text))


@dataclass(frozen=True)
class Domain:
    """Where a parameter may lie: an interval, whole numbers, or words.

    Attributes
    ----------
    text : str
        ``"(0, 1]"``, ``"{1, 2, ...}"``, ``"{1, ..., 60}"``, ``"{0, 1}"`` or
        ``"'a' | 'b'"``.
    low, high : float
        The ends; NaN for words.
    open_low, open_high : bool
        Whether an end is left out.
    whole : bool
        Whether only whole numbers belong to it.
    options : tuple of str
        The words.
    """

    text: str
    low: float = math.nan
    high: float = math.nan
    open_low: bool = False
    open_high: bool = False
    whole: bool = False
    options: tuple[str, ...] = ()

    @classmethod
    @functools.cache
    def of(cls, text: str) -> Domain:
        """The domain that a text describes.

        Raises
        ------
        ValueError
            If it describes none.

        Examples
        --------
        >>> Domain.of("(0, 1/2)").high
        0.5
        """
        if interval := _INTERVAL.fullmatch(text):
            left, low, high, right = interval.groups()
            ends = _number(low), _number(high)
            return cls(text, *ends, left == "(", right == ")")
        if whole := _WHOLE.fullmatch(text):
            high = float(whole[2] or math.inf)
            return cls(text, float(whole[1]), high, False, high == math.inf, True)
        if text == "{0, 1}":
            return cls(text, 0.0, 1.0, whole=True)
        if options := re.findall(r"'(\w+)'", text):
            return cls(text, options=tuple(options))
        raise ValueError(f"expected a domain such as '(0, 1]', got {text!r}")

    @classmethod
    def between(cls, low: float, high: float) -> Domain:
        """The interval between two ends, with those of them that are finite."""
        left, right = "(" if low == -math.inf else "[", ")" if high == math.inf else "]"
        text = f"{left}{low:.6g}, {high:.6g}{right}"
        return cls(text, low, high, left == "(", right == ")")

    @property
    def expectation(self) -> str:
        """What an error says was expected."""
        if self.whole:
            top = f" and at most {self.high:g}" if math.isfinite(self.high) else ""
            return f"a whole number >= {self.low:g}{top}"
        if self.high == math.inf and self.text not in _WORDS:
            sign = ">" if self.open_low else ">="
            return f"{sign} {self.low:g} and finite"
        return _WORDS.get(self.text, f"in {self.text}")

    @property
    def ends(self) -> tuple[float, float]:
        """Least and greatest float inside: no end is left out of these."""
        low, high = self.low, self.high
        return (
            math.nextafter(low, math.inf) if self.open_low else low,
            math.nextafter(high, -math.inf) if self.open_high else high,
        )

    def holds(self, value: Any) -> Any:
        """Which elements lie inside."""
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above & below & (value % 1 == 0) if self.whole else above & below


@dataclass(frozen=True)
class Parameter:
    """What one name means.

    Attributes
    ----------
    name, symbol, latex : str
        The name in code, and the symbol in text and in LaTeX.
    axes : int
        Over how many of its last axes it is read at once; 0 if element by element.
    domain : Domain
    typical : tuple of two float
        Values that occur; its range is what lies between.
    far : float
        Laws are tested at sizes from ``1/far`` to ``far``.
    unit, meaning : str
    place : int
        Its place in the order of arguments.
    """

    name: str
    symbol: str
    latex: str
    axes: int
    domain: Domain
    typical: tuple[float, ...]
    far: float
    unit: str
    meaning: str
    place: int

    @property
    def is_word(self) -> bool:
        """Whether it is a word and no number."""
        return bool(self.domain.options)

    @property
    def described(self) -> str:
        """Symbol, meaning, unit and domain in one line."""
        if self.is_word:
            return f"{self.meaning}: {self.domain.text}"
        return f"{self.symbol}, {self.meaning}, {self.unit}, {self.domain.text}"

    def within(self, domain: str) -> Parameter:
        """The same parameter on another domain."""
        return replace(self, domain=Domain.of(domain))

    def read(self, axes: int) -> Parameter:
        """The same parameter, read at once over so many of its last axes."""
        return replace(self, axes=axes)

    @property
    def plain_ends(self) -> tuple[float, float]:
        """Between which any float may stand as it is; none where more is asked."""
        if self.is_word or self.domain.whole or self.axes:
            return math.inf, -math.inf
        return self.domain.ends

    def checked(self) -> Callable[[Any], Any]:
        """A function that converts a value to double precision, or refuses it.

        It raises ``DomainError`` outside the domain; a word is only looked up.
        """
        import numpy as np

        domain, name = self.domain, self.name
        if self.is_word:

            def word(value: Any) -> Any:
                return expect.one_of(domain.options, **{name: value})

            return word
        expectation = domain.expectation
        (least, most), whole, axes = domain.ends, domain.whole, self.axes
        double, array = np.float64, np.array

        def number(value: Any) -> Any:
            kind = type(value)
            # The common case first: it costs less than the call of a validator.
            if (
                (kind is float or kind is double or kind is int)
                and least <= value <= most
                and not (whole and value % 1)
            ):
                return array(value, double, ndmin=axes) if axes else double(value)
            expect.element(domain.holds, expectation, not whole, **{name: value})
            found = np.asarray(value, dtype=float)
            return found if found.ndim >= axes else array(found, ndmin=axes)

        return number


def _read() -> Mapping[str, Parameter]:
    table = Path(__file__).with_name("parameters.csv").read_text(encoding="utf-8")
    found = {}
    for place, row in enumerate(csv.DictReader(table.splitlines())):
        typical = tuple(map(float, row["typical"].split()))
        found[row["name"]] = Parameter(
            row["name"],
            row["symbol"],
            row["latex"],
            int(row["axes"]),
            Domain.of(row["domain"]),
            typical,
            float(row["far"] or "nan"),
            row["unit"],
            row["meaning"],
            place,
        )
    return found


PARAMETERS: Mapping[str, Parameter] = _read()


def named(name: str, where: str = "") -> Parameter:
    """The parameter of a name.

    Parameters
    ----------
    name : str
    where : str
        Who asks, for the error.

    Raises
    ------
    TypeError
        If the vocabulary has no such name.

    Examples
    --------
    >>> named("error").domain.text
    '(0, 1/2)'
    """
    if name not in PARAMETERS:
        import difflib

        near = difflib.get_close_matches(name, PARAMETERS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise TypeError(
            f"{where or 'a signature'} has the parameter {name!r}, which is not in "
            f"parameters.csv{hint}"
        )
    return PARAMETERS[name]


def taken_by(
    function: Callable[..., Any],
    domain: Mapping[str, str] | None = None,
    tables: Mapping[str, int] | None = None,
) -> dict[str, Parameter]:
    """The parameters of a function.

    Parameters
    ----------
    function : callable
    domain, tables : mapping, optional
        Domains and axes that are not the vocabulary's.

    Raises
    ------
    TypeError
        If the vocabulary has no such parameter, or they do not come in its order:
        first those without a default, then those with one.
    """
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    given = inspect.signature(function).parameters
    found = {}
    for p in given:
        entry = named(p, name)
        if domain and p in domain:
            entry = entry.within(domain[p])
        if tables and p in tables:
            entry = entry.read(tables[p])
        found[p] = entry
    if unknown := {*(domain or ()), *(tables or ())} - {*found}:
        raise TypeError(f"{name} has no parameter {', '.join(sorted(unknown))}")
    empty = inspect.Parameter.empty
    ordered = sorted(
        found, key=lambda p: (given[p].default is not empty, found[p].place)
    )
    if ordered != [*found]:
        raise TypeError(f"{name} wants its parameters in the order {ordered}")
    return found


def section(
    parameters: Mapping[str, Parameter],
    optional: Collection[str] = (),
    single: bool = False,
) -> str:
    """The section of a NumPy docstring that describes the parameters.

    Those that are read element by element are arrays, or a ``single`` number each.

    Examples
    --------
    >>> print(section({"drift": PARAMETERS["drift"]}))
    Parameters
    ----------
    drift : array_like
        c, useful part of a step over its length, ratio, [0, 1]
    """
    lines = ["Parameters", "----------"]
    for name, p in parameters.items():
        kind = "str" if p.is_word else "array_like"
        if single and not (p.is_word or p.axes):
            kind = "int" if p.domain.whole else "float"
        kind += f", over the last {p.axes} axes" * (p.axes > 1)
        kind += ", optional" * (name in optional)
        lines += [f"{name} : {kind}"]
        lines += textwrap.wrap(
            p.described, 84, initial_indent=" " * 4, subsequent_indent=" " * 4
        )
    return "\n".join(lines)
