"""How often the argmax changes, for two and three classes and small sets of rows.

Tables are written out: ``outputs_0``, ``outputs_1``, ... are one row, the first the
largest; ``outputs_0_1`` is row 0, class 1.
"""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import Phi, phi, quantile, xi
from querytax.theory.symbolic._numeric import Quadrature, Root
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

sigma, rate, gap = sp.symbols("sigma rate gap", positive=True)
_row = sp.symbols("outputs_:3", real=True)
_z = sp.Symbol("z", real=True)
_AT: dict[sp.Symbol, sp.Expr] = {
    _row[0]: sp.Rational(3, 5),
    _row[1]: sp.Rational(1, 3),
    _row[2]: sp.Rational(1, 5),
    sigma: sp.Rational(1, 4),
}


def _pair(distance: sp.Expr) -> sp.Expr:
    """K, two classes alone."""
    return Phi(-distance / (sp.sqrt(2) * sigma))


def _gaps() -> tuple[sp.Expr, sp.Expr]:
    return _row[0] - _row[1], _row[0] - _row[2]


def _misclassification() -> sp.Expr:
    """Given the winner's noise, one rival passes it, or only the other does."""
    one, other = (Phi(-xi - g / sigma) for g in _gaps())
    return Quadrature(phi(xi) * (one + (1 - one) * other), (xi, -sp.oo, sp.oo))


def _two_classes() -> Equality:
    """The slope in the gap of ∫ φ(z) Φ(z + δ/σ) dz."""
    inside = phi(_z) * sp.diff(Phi(_z + gap / sigma), gap)
    return proved(
        "slope of one pair's rate in the gap",
        sp.integrate(sp.expand(inside), (_z, -sp.oo, sp.oo)),
        -sp.diff(_pair(gap), gap),
    )


def _ties(classes: int) -> Equality:
    p = sp.Symbol("p", positive=True)
    # Equal outputs: Φ of the winner's noise is uniform.
    win = sp.Integral(p ** (classes - 1), (p, 0, 1))
    return proved("equal outputs", 1 - win, 1 - sp.Rational(1, classes))


def _path(low: sp.Expr, high: sp.Expr) -> sp.Expr:
    """Growth of P(no rival wins) with the correlation of the two differences."""
    a, b = (g / (sp.sqrt(2) * sigma) for g in _gaps())
    r = sp.Symbol("r", real=True)
    exponent = (a**2 - 2 * r * a * b + b**2) / (2 * (1 - r**2))
    return Quadrature(
        sp.exp(-exponent) / (2 * sp.pi * sp.sqrt(1 - r**2)), (r, low, high)
    )


def _raw() -> Derivation:
    """Against the two rivals' differences, correlated by 1/2."""
    law = _misclassification()
    first, second = (_pair(g) for g in _gaps())
    at = {**_AT, _row[1]: _AT[_row[0]], _row[2]: _AT[_row[0]]}
    return Derivation(
        law,
        (
            _two_classes(),
            checked(
                "independent rivals, and what their correlation mends",
                1 - (1 - first) * (1 - second) - _path(sp.S.Zero, sp.S.Half),
                law,
                _AT,
            ),
            _ties(3),
            checked("three equal outputs", law, sp.Rational(2, 3), at),
        ),
    )


def _over(t: sp.Expr, rivals: tuple[sp.Expr, ...], folded: int) -> sp.Expr:
    """Whether any of the rivals' released values passes t noises."""
    lost = sp.S.Zero
    for f in rivals:
        passes = Phi(f / sigma - t) + folded * Phi(-f / sigma - t)
        lost += passes * (1 - lost)
    return lost


def _released(rivals: tuple[sp.Expr, ...], folded: int, label: int = 0) -> sp.Expr:
    """Over the label's own value, at least zero; the first class keeps a tie."""
    own, others = rivals[label] / sigma, (*rivals[:label], *rivals[label + 1 :])
    chance = phi(xi - own) + folded * phi(xi + own)
    inside, peak = chance * _over(xi, others, folded), (own + others[0] / sigma) / 2
    law = Quadrature(inside, (xi, 0, peak)) + Quadrature(inside, (xi, peak, sp.oo))
    if folded:
        return law
    return law + Phi(-own) * (_over(sp.S.Zero, others, 0) if label == 0 else 1)


def _reflected() -> Derivation:
    """Of two classes |X| > |Y| where X + Y and X - Y have one sign."""
    one, other = _row[:2]
    sides = [_pair(one - other), _pair(one + other)]
    return Derivation(
        _released(_row, 1),
        (
            checked(
                "two classes: one of two independent normals is negative",
                _released((one, other), 1),
                sides[0] + sides[1] - 2 * sides[0] * sides[1],
                _AT,
            ),
        ),
    )


def _clipped() -> Derivation:
    """The label's value is above zero, or it and perhaps all are clipped."""
    wins = [1 - _released(_row, 0, label) for label in range(3)]
    p = sp.Symbol("p", positive=True)
    even = sp.Integral(p**2, (p, sp.S.Half, 1)) + sp.Rational(1, 8)
    return Derivation(
        _released(_row, 0),
        (
            checked("the three classes' chances to win", sum(wins), 1, _AT),
            checked(
                "outputs of zero: the greatest of three, or the tie",
                _released((sp.S.Zero,) * 3, 0),
                1 - even,
                {sigma: 1},
            ),
        ),
    )


def misclassification(release: str = "raw") -> Derivation:
    """Three classes, the first the winner."""
    return {"raw": _raw, "reflect": _reflected, "clip": _clipped}[release]()


def clipped_tie() -> Derivation:
    """Each alone; what the first class wins by being the first."""
    law = sp.prod(Phi(-f / sigma) for f in _row)
    own, others = _row[0] / sigma, _row[1:]
    lost = Phi(-own) * (1 - _over(sp.S.Zero, others, 0))
    return Derivation(law, (proved("the tie, lost by one not first", lost, law),))


def misclassification_bounds() -> Derivation:
    """Both bounds are the rate at another correlation: 1 below, 0 above."""
    first, second = (_pair(g) for g in _gaps())
    lower, upper = sp.Max(first, second), 1 - (1 - first) * (1 - second)
    rate = _misclassification()
    # What separates them has a positive integrand.
    return Derivation(
        sp.ImmutableMatrix([lower, upper]),
        (
            checked("upper", rate + _path(sp.S.Zero, sp.S.Half), upper, _AT),
            checked("lower", rate - _path(sp.S.Half, sp.S.One), lower, _AT),
        ),
    )


def accuracy_loss() -> Derivation:
    """Two rows of two classes, both of label 0, the second row wrong without noise."""
    right, wrong = (
        sp.Symbol(f"outputs_{i}_0", real=True) - sp.Symbol(f"outputs_{i}_1", real=True)
        for i in (0, 1)
    )
    law = (_pair(right) + _pair(wrong)) / 2 - sp.S.Half
    mended = (_pair(right) - _pair(-wrong)) / 2
    at = {
        s: sp.Rational(i + 1, i * i + 3)
        for i, s in enumerate(sorted(law.free_symbols, key=str))
    }
    return Derivation(
        law,
        (
            _two_classes(),
            checked("noise spoils one and mends the other", mended, law, at),
        ),
    )


def _solved() -> sp.Expr:
    return gap / (sp.sqrt(2) * -quantile(rate))


def two_class_sigma() -> Derivation:
    """The rate of two classes, solved for the noise."""
    law = _solved()
    at = {gap: sp.Rational(1, 3), rate: sp.Rational(1, 7)}
    return Derivation(
        law,
        (
            _two_classes(),
            checked(
                "mass of the standardised difference below 0, at the law's noise",
                Quadrature(phi(_z), (_z, -sp.oo, -gap / (sp.sqrt(2) * law))),
                rate,
                at,
            ),
        ),
    )


def largest_sigma() -> Derivation:
    """Two classes, where it is the closed form."""
    two = two_class_sigma()
    growth = sp.Derivative(_pair(gap), sigma)
    rising = gap * phi(gap / (sp.sqrt(2) * sigma)) / (sp.sqrt(2) * sigma**2)
    return Derivation(
        two.law.subs(gap, _row[0] - _row[1]),
        (*two.steps, proved("the rate rises with the noise", growth, rising)),
    )


def largest_sigma_mean() -> Derivation:
    """Two rows of two classes: the root of their mean rate."""
    near, far = (
        sp.Symbol(f"outputs_{i}_0", real=True) - sp.Symbol(f"outputs_{i}_1", real=True)
        for i in (0, 1)
    )
    noise = sp.Symbol("noise", positive=True)
    mean = ((_pair(near) + _pair(far)) / 2).subs(sigma, noise)
    ends = [_solved().subs(gap, f(near, far)) for f in (sp.Min, sp.Max)]
    law = Root(mean - rate, noise, *ends)
    at = {
        rate: sp.Rational(1, 9),
        **dict(
            zip(
                sorted(law.free_symbols - {rate}, key=str),
                (
                    sp.Rational(4, 5),
                    sp.Rational(1, 5),
                    sp.Rational(3, 5),
                    sp.Rational(2, 5),
                ),
                strict=True,
            )
        ),
    }
    return Derivation(
        law, (checked("mean rate at the law's noise", mean.subs(noise, law), rate, at),)
    )
