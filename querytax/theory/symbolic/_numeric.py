"""Integrals, sums and roots that sympy leaves open and mpmath takes to any digits."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import sympy as sp
from sympy.core.cache import cacheit

__all__ = ["Lattice", "Quadrature", "Root"]

# Digits beyond the wanted ones: what tails and differences of tails lose.
_GUARD = 80
# Precisions are rounded up to a multiple, so that sympy's slow rise finds them cached.
_STEP = 128


def _up(prec: int) -> int:
    return -(-prec // _STEP) * _STEP


def _float(value: Any, prec: int) -> sp.Expr:
    return sp.Float(sp.Float._new(value._mpf_, prec), precision=prec)


def _plain(inside: sp.Expr, prec: int) -> sp.Expr:
    """With the roots inside it as numbers."""
    return inside.replace(
        lambda e: isinstance(e, Root), lambda e: e._eval_evalf(prec + _GUARD)
    )


class _Rounded(sp.Expr):
    """Evaluated once for all precisions up to the next multiple."""

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        value = self._at(_up(prec))
        return None if value is None else _float(value, prec)


class Quadrature(_Rounded, sp.Integral):
    """An integral over one variable, by tanh-sinh; add two at a peak or a kink."""

    @cacheit
    def _at(self, prec: int) -> sp.Expr | None:
        variable, low, high = self.limits[0]
        if self.free_symbols:
            return None
        inside = sp.lambdify(variable, _plain(self.function, prec), "mpmath")

        def function(x: Any) -> Any:
            try:
                return inside(x)
            except OverflowError:  # erfc so far out that nothing is left
                return mp.mpf(0)

        with mp.workprec(prec + _GUARD):
            ends = [sp.lambdify((), end, "mpmath")() for end in (low, high)]
            value, error = mp.quad(function, ends, error=True)
            if error > mp.mpf(2) ** -prec * abs(value):
                value = mp.quad(function, ends, maxdegree=12)
            return _float(mp.mpf(value), prec)


class Lattice(_Rounded, sp.Sum):
    """A sum from a whole number to infinity whose terms in the end fall fast."""

    @cacheit
    def _at(self, prec: int) -> sp.Expr | None:
        variable, start, _ = self.limits[0]
        if self.free_symbols:
            return None
        term = sp.lambdify(variable, _plain(self.function, prec), "mpmath")
        with mp.workprec(prec + _GUARD):
            total, n, small = mp.mpf(0), int(start), 0
            # A single term may vanish by symmetry, four in a row do not.
            while small < 4:
                value = mp.mpf(term(mp.mpf(n)))
                total += value
                n += 1
                small = small + 1 if abs(value) <= mp.eps * abs(total) else 0
            return _float(total, prec)


class Root(_Rounded, sp.Function):
    """The root of ``equation`` in ``unknown`` between ``low`` and ``high``."""

    nargs = 4

    @property
    def free_symbols(self) -> set[Any]:
        equation, unknown, low, high = self.args
        inside = equation.free_symbols - {unknown}
        return inside | low.free_symbols | high.free_symbols

    @cacheit
    def _at(self, prec: int) -> sp.Expr | None:
        equation, unknown, low, high = self.args
        if self.free_symbols:
            return None
        with mp.workprec(prec + _GUARD):
            digits = mp.mp.dps

            def left(x: Any) -> Any:
                at = _float(mp.mpf(x), prec + _GUARD)
                return sp.N(equation.subs(unknown, at), digits)._to_mpmath(mp.mp.prec)

            ends = [sp.N(end, digits)._to_mpmath(mp.mp.prec) for end in (low, high)]
            return _float(mp.findroot(left, ends, solver="anderson"), prec)
