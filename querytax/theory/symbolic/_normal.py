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


def in_erf(x: sp.Expr) -> sp.Expr:
    """All in erf: sympy does not see that erf + erfc is 1."""
    return sp.sympify(x).doit().rewrite(sp.erf)


class expected(sp.Expr):
    """Mean of a polynomial in independent standard normal draws, unevaluated."""

    def doit(self, **hints: object) -> sp.Expr:
        """Moment by moment: E ξ²ᵏ = (2k-1)!!, odd ones 0."""
        polynomial, *draws = self.args
        terms = sp.Poly(sp.expand(polynomial), *draws).terms()
        return sum(
            factor * sp.prod(0 if k % 2 else sp.factorial2(k - 1) for k in powers)
            for powers, factor in terms
        )
