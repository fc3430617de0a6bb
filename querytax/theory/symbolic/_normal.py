"""The normal law in sympy."""

from __future__ import annotations

import sympy as sp

xi = sp.Symbol("xi", real=True)


def phi(x: sp.Expr) -> sp.Expr:
    """Density at x."""
    return sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)


def Phi(x: sp.Expr) -> sp.Expr:
    """Distribution at x; small tails keep their digits."""
    return sp.erfc(-x / sp.sqrt(2)) / 2


def quantile(p: sp.Expr) -> sp.Expr:
    """Inverse of the distribution."""
    return -sp.sqrt(2) * sp.erfinv(1 - 2 * p)


def mean(expression: sp.Expr, low: sp.Expr = -sp.oo, high: sp.Expr = sp.oo) -> sp.Expr:
    """The integral of ``expression`` times the density of ``xi``, unevaluated."""
    return sp.Integral(expression * phi(xi), (xi, low, high))
