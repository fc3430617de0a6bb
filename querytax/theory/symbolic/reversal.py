"""Margins led backwards: borders crossed within a change, and the way back."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, checked, proved

gap, period, reverse, amplitude = sp.symbols(
    "gap period reverse amplitude", positive=True
)
margin, answered_margin = sp.symbols("margin answered_margin", real=True)
_n = sp.Symbol("n", nonnegative=True, integer=True)
_f, _u, _x = sp.symbols("f u x", positive=True)
_place, _off = sp.symbols("place off", real=True)


def wrong_sign() -> Derivation:
    """A change of n + f periods crosses n borders from a share 1 - f of the places."""
    d = gap / period
    whole = sp.floor(d)
    rest = d - whole
    law = sp.Piecewise((1 - rest, reverse * rest > whole), (0, True))

    def seen(borders: sp.Expr) -> sp.Expr:
        return borders * (1 + reverse) - reverse * (_n + _f)

    crossing = sp.Integral(1, (_u, 1 - _f, 1))
    mean = (1 - _f) * seen(_n) + _f * seen(_n + 1)
    return Derivation(
        law,
        (
            proved("places that cross one border more", crossing, _f),
            proved("seen with n borders", seen(_n), _n - reverse * _f),
            proved("with one more", seen(_n + 1), 1 + _n + reverse * (1 - _f)),
            proved("the mean is the change itself", mean, _n + _f),
        ),
    )


def sine_wrong_sign() -> Derivation:
    """The swing's change is a cosine of an even phase."""
    d = gap / period
    needed = d / (2 * amplitude * sp.Abs(sp.sin(sp.pi * d)))
    law = sp.acos(sp.Min(1, needed)) / sp.pi

    def answer(u: sp.Expr) -> sp.Expr:
        return u - amplitude * sp.sin(2 * sp.pi * u)

    change = answer(_u + _x) - answer(_u)
    swing = 2 * amplitude * sp.sin(sp.pi * _x) * sp.cos(2 * sp.pi * _u + sp.pi * _x)
    at = {_u: sp.Rational(2, 7), _x: sp.Rational(3, 5), amplitude: sp.Rational(7, 10)}
    even = Quadrature(1 / (sp.pi * sp.sqrt(1 - _x**2)), (_x, _f, 1))
    return Derivation(
        law,
        (
            checked("the seen change", change, _x - swing, at),
            checked(
                "cosines of an even phase above f",
                even,
                sp.acos(_f) / sp.pi,
                {_f: sp.Rational(2, 7)},
            ),
            proved(
                "a small change",
                sp.Limit(_x / sp.sin(sp.pi * _x), _x, 0),
                1 / sp.pi,
            ),
        ),
    )


def _attractor(m: sp.Expr) -> sp.Expr:
    return (sp.floor(m / period) + sp.S.Half) * period


def released() -> Derivation:
    """The attractor, less the steep share of what lies beyond it."""
    law = margin - (1 + reverse) * (margin - _attractor(margin))
    target = _place - reverse * (margin - _place)
    same = margin - (1 + reverse) * (margin - _place)
    return Derivation(law, (proved("as it is written", target, same),))


def recovered() -> Derivation:
    """An answer of slope at most 1 stays in its period, and the map is undone."""
    law = answered_margin - (1 + 1 / reverse) * (
        answered_margin - _attractor(answered_margin)
    )
    answer = _place - reverse * _off
    back = answer - (1 + 1 / reverse) * (answer - _place)
    return Derivation(law, (proved("there and back", back, _place + _off),))
