"""A derivation: a law as a sympy expression, and the equalities that lead to it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp

__all__ = ["Derivation", "Equality", "checked", "derive", "proved"]

_DIGITS = 50


@dataclass(frozen=True)
class Equality:
    """One step: two expressions that are the same, and how that is known.

    Attributes
    ----------
    words : str
        What the step does, in one line.
    left, right : sympy expression
        The two sides.
    points : tuple of mappings
        Where the sides are compared to 50 digits; empty if sympy proves them equal.
    """

    words: str
    left: sp.Expr
    right: sp.Expr
    points: tuple[Mapping[sp.Symbol, Any], ...] = ()

    @property
    def known(self) -> str:
        """How the equality is known, in words."""
        return "to 50 digits" if self.points else "proved"

    def holds(self) -> bool:
        """Whether sympy proves it, or 50 digits confirm it at every point."""
        if not self.points:
            difference = (self.left - self.right).doit()
            return any(
                sp.simplify(form) == 0
                for form in (difference, difference.rewrite(sp.erf))
            )
        return all(_close(self.left.subs(p), self.right.subs(p)) for p in self.points)


def _close(left: sp.Expr, right: sp.Expr) -> bool:
    a, b = (sp.N(side, _DIGITS + 15, maxn=400) for side in (left, right))
    if not (a.is_number and b.is_number and a.is_finite and b.is_finite):
        return False
    return bool(abs(a - b) <= sp.Float(10, _DIGITS) ** -_DIGITS * max(abs(a), abs(b)))


def proved(words: str, left: Any, right: Any) -> Equality:
    """An equality for sympy to prove."""
    return Equality(words, sp.sympify(left), sp.sympify(right))


def checked(
    words: str, left: Any, right: Any, *points: Mapping[sp.Symbol, Any]
) -> Equality:
    """An equality to confirm to 50 digits at each of the points, given exactly."""
    if not points:
        raise TypeError("checked wants at least one point")
    return Equality(words, sp.sympify(left), sp.sympify(right), points)


@dataclass(frozen=True)
class Derivation:
    """A law as a sympy expression, and where it comes from.

    Attributes
    ----------
    law : sympy expression
        The law, in symbols named like its parameters.
    steps : tuple of Equality
        What leads to it. A definition has none.
    """

    law: sp.Expr
    steps: tuple[Equality, ...] = ()

    def evaluate(self, digits: int = _DIGITS, **values: Any) -> sp.Expr:
        """The law to so many digits.

        Examples
        --------
        >>> twin = derive("query_ratio.best_step")
        >>> print(twin.evaluate(20, snr="1/3", dimension=8, pairs=7))
        2.5000000000000000000
        """
        point = {s: sp.Rational(values[s.name]) for s in self.law.free_symbols}
        # At once: a nested minimum with some symbols left takes sympy minutes.
        return sp.N(self.law.xreplace(point), digits, maxn=400)


def derive(name: str, **words: str) -> Derivation:
    """The derivation of a law.

    Parameters
    ----------
    name : str
        Name of the law, as in ``"query_ratio.best_step"``.
    **words : str
        The law's words, such as ``norm="L2"``; as in the law by default.

    Raises
    ------
    DomainError
        If there is no such law.
    ValueError
        If nobody derived it, and its formula is none that can be read.
    """
    from querytax.theory.law import find

    entry = find(name)
    topic = importlib.import_module(f"{__package__}.{entry.topic}")
    function = getattr(topic, entry.name.partition(".")[2], None)
    if function is None:
        return _followed(entry, words)
    known = inspect.signature(function).parameters
    derivation = function(**{k: v for k, v in words.items() if k in known})
    assert isinstance(derivation, Derivation)
    return derivation


def _followed(entry: Any, words: Mapping[str, str]) -> Derivation:
    """The derivation of a law that has none of its own: by its relation, or as said."""
    from querytax.theory.symbolic.printing import read

    if entry.relation in ("log", "complement"):
        one = derive(entry.parent, **words).law
        return Derivation(sp.log(one) if entry.relation == "log" else 1 - one)
    return Derivation(read(entry.formula, entry.parameters))
