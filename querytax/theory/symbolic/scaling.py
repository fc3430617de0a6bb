"""Scaled margins: areas of a square of two factors, and moments of one."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, checked, proved

margin, other_margin = sp.symbols("margin other_margin", real=True)
low, high, log_ratio = sp.symbols("low high log_ratio", positive=True)
repeats = sp.Symbol("repeats", positive=True, integer=True)
_q, _y, _a, _b = sp.symbols("q y a b", positive=True)
_t = (1 - _q) * _b / (_b - _a)


def _of_largest(t: sp.Expr, q: sp.Expr) -> sp.Expr:
    n = repeats
    inside = sp.Max(0, 1 - t)
    series = sp.hyper([1 - n, 1], [n + 2], inside / q)
    return n / (n + 1) * inside ** (n + 1) / q * series


def wrong_sign() -> Derivation:
    """The smaller margin's factor must pass the larger one's by 1/q, from a/q on."""
    smaller = sp.Min(sp.Abs(margin), sp.Abs(other_margin))
    q = smaller / sp.Max(sp.Abs(margin), sp.Abs(other_margin))
    t = (1 - q) * high / (high - low)
    law = sp.Piecewise((_of_largest(t, q), margin * other_margin > 0), (0, True))

    def below(x: sp.Expr) -> sp.Expr:
        return (x - _a) / (_b - _a)

    area = sp.integrate(sp.expand(below(_q * _y) / (_b - _a)), (_y, _a / _q, _b))
    n = sp.Integer(5)
    density = sp.diff(below(_y) ** n, _y)
    whole = Quadrature(below(_q * _y) ** n * density, (_y, _a / _q, _b))
    at = {_q: sp.Rational(6, 7), _a: sp.Rational(1, 2), _b: 10}
    return Derivation(
        law,
        (
            proved("one answer: a triangle's area", area, (1 - _t) ** 2 / (2 * _q)),
            checked(
                "the largest of five each",
                whole,
                _of_largest(_t, _q).subs(repeats, n),
                at,
            ),
        ),
    )


def snr() -> Derivation:
    """Mean and variance of an even factor."""
    mean, square = (sp.integrate(_y**k / (high - low), (_y, low, high)) for k in (1, 2))
    law = 3 * ((high + low) / (high - low)) ** 2 * (margin - other_margin) ** 2
    law /= margin**2 + other_margin**2
    change = (mean * (margin - other_margin)) ** 2
    noise = (square - mean**2) * (margin**2 + other_margin**2)
    return Derivation(law, (proved("by the factor's moments", change / noise, law),))


def log_snr() -> Derivation:
    """Mean and variance of the log of an even factor."""
    x = sp.log(high / low) / 2
    variance = 1 - (x / sp.sinh(x)) ** 2
    law = log_ratio**2 / (2 * variance)
    one, two = (
        sp.integrate(sp.log(_y) ** k, (_y, low, high)) / (high - low) for k in (1, 2)
    )
    at = {low: sp.Rational(1, 2), high: 10}
    return Derivation(
        law,
        (
            checked("variance of ln A", two - one**2, variance, at),
            proved("of a factor from 0 on", sp.Limit(variance, low, 0, "+"), 1),
        ),
    )
