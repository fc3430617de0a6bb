"""Means of bent functions of normal noise, by integration."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import Phi, in_erf, phi, xi
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

x, margin, second_margin = sp.symbols("value margin second_margin", real=True)
s, margin_sigma, rivals_sigma = sp.symbols(
    "value_sigma margin_sigma rivals_sigma", positive=True
)
slope, output, sigma = sp.symbols("negative_slope output sigma", positive=True)
_y = sp.Symbol("y", real=True)
_NORMAL = phi((_y - x) / s) / s


def _relu(m: sp.Expr, s: sp.Expr) -> sp.Expr:
    return m * Phi(m / s) + s * phi(m / s)


def _bias(m: sp.Expr, s: sp.Expr) -> sp.Expr:
    """s (φ(t) - |t| Φ(-|t|))."""
    return s * phi(m / s) - sp.Abs(m) * Phi(-sp.Abs(m) / s)


def _truncated() -> Equality:
    inside = sp.integrate(_y * _NORMAL, (_y, 0, sp.oo))
    return proved("mean of the positive part", in_erf(inside), in_erf(_relu(x, s)))


def relu_mean() -> Derivation:
    """The truncated normal's integral."""
    return Derivation(_relu(x, s), (_truncated(),))


def relu_bias() -> Derivation:
    """Less the ReLU of the mean, on either side of the kink."""
    law, bent = _bias(x, s), _relu(x, s)
    at = {s: sp.Rational(2, 5)}
    sides = checked(
        "less the ReLU of the mean, on both sides",
        bent - sp.Max(x, 0),
        law,
        {**at, x: sp.Rational(1, 3)},
        {**at, x: -sp.Rational(1, 3)},
    )
    return Derivation(law, (_truncated(), sides))


def leaky_relu_mean() -> Derivation:
    """Both sides of the kink, each with its slope."""
    law = slope * x + (1 - slope) * _relu(x, s)
    above = sp.integrate(_y * _NORMAL, (_y, 0, sp.oo))
    below = sp.integrate(slope * _y * _NORMAL, (_y, -sp.oo, 0))
    return Derivation(law, (proved("both sides", in_erf(above + below), in_erf(law)),))


def _gelu() -> sp.Expr:
    r = sp.sqrt(1 + s**2)
    return x * Phi(x / r) + s**2 / r * phi(x / r)


def _smoothed() -> tuple[Equality, ...]:
    """E Φ(m + sξ) by its slope in m, then E ξ Φ(m + sξ) by parts (Stein)."""
    r = sp.sqrt(1 + s**2)
    density = sp.exp(-(_y**2 + (x + s * _y) ** 2) / 2) / (2 * sp.pi)
    bell = sp.integrate(sp.expand(density), (_y, -sp.oo, sp.oo))
    inside = (x + s * _y) * Phi(x + s * _y) * phi(_y)
    at = {x: sp.Rational(-2, 5), s: sp.Rational(3, 4)}
    return (
        proved("slope of E Φ(m + sξ)", bell, sp.diff(Phi(x / r), x)),
        proved("by parts, with it", x * Phi(x / r) + s**2 * bell, _gelu()),
        checked("the mean", Quadrature(inside, (_y, -sp.oo, sp.oo)), _gelu(), at),
    )


def gelu_mean() -> Derivation:
    """A normal distribution function under normal noise."""
    return Derivation(_gelu(), _smoothed())


def gelu_bias() -> Derivation:
    """Less the GELU of the mean; by the heat equation for small noise."""
    law = _gelu() - x * Phi(x)
    heat = sp.diff(x * Phi(x), x, 2) / 2
    small = sp.diff(law, s, 2).subs(s, 0) / 2
    return Derivation(
        law,
        (
            *_smoothed(),
            proved("small noise", small, (2 - x**2) * phi(x) / 2),
            proved("as half the curvature", heat, (2 - x**2) * phi(x) / 2),
        ),
    )


def two_class_margin() -> Derivation:
    """The integral; the difference of two softmax probabilities is a tanh."""
    law = Quadrature(
        sp.tanh((margin + margin_sigma * xi) / 2) * phi(xi), (xi, -sp.oo, sp.oo)
    )
    one, other = sp.symbols("a b", real=True)
    softmax = (sp.exp(one) - sp.exp(other)) / (sp.exp(one) + sp.exp(other))
    # tanh(y/2) = ∫ sin(ωy) 2/sinh(πω) dω, and E sin(ω(m + sξ)) = sin(ωm) exp(-ω²s²/2).
    w = sp.Symbol("w", positive=True)
    waves = 2 * sp.sin(w * margin) / sp.sinh(sp.pi * w)
    waves *= sp.exp(-(w**2) * margin_sigma**2 / 2)
    return Derivation(
        law,
        (
            proved(
                "softmax",
                softmax.rewrite(sp.exp),
                sp.tanh((one - other) / 2).rewrite(sp.exp),
            ),
            checked(
                "by Fourier",
                Quadrature(waves, (w, 0, sp.oo)),
                law,
                {margin: sp.Rational(2, 3), margin_sigma: sp.Rational(4, 5)},
            ),
        ),
    )


def three_class_margin() -> Derivation:
    """The lesser of two normals: one of them, less a positive part."""
    law = sp.Min(margin, second_margin) - _bias(margin - second_margin, rivals_sigma)
    # min(m + D1, m' + D2) = m + D1 - max(D, 0), D the difference, normal.
    lesser = margin - _relu(margin - second_margin, rivals_sigma)
    return Derivation(
        law,
        (
            _truncated(),
            checked(
                "the difference of the two, rearranged",
                lesser,
                law,
                {
                    margin: 2,
                    second_margin: sp.Rational(3, 2),
                    rivals_sigma: sp.Rational(3, 4),
                },
                {
                    margin: 1,
                    second_margin: sp.Rational(3, 2),
                    rivals_sigma: sp.Rational(3, 4),
                },
            ),
        ),
    )


def reflected_mean() -> Derivation:
    """Both sides of zero."""
    t = output / sigma
    law = output + 2 * sigma * (phi(t) - t * Phi(-t))
    density = _NORMAL.subs({x: output, s: sigma})
    folded = sp.integrate(_y * density, (_y, 0, sp.oo))
    folded -= sp.integrate(_y * density, (_y, -sp.oo, 0))
    return Derivation(law, (proved("both sides", in_erf(folded), in_erf(law)),))


def clipped_mean() -> Derivation:
    """The inside, and the atom at 1."""

    def lost(y: sp.Expr) -> sp.Expr:
        return sigma * phi(y / sigma) - y * Phi(-y / sigma)

    law = output + lost(output) - lost(1 - output)
    ends = (_y, -output / sigma, (1 - output) / sigma)
    inside = sp.integrate((output + sigma * _y) * phi(_y), ends)
    return Derivation(
        law,
        (
            proved(
                "inside and atom",
                in_erf(inside + Phi((output - 1) / sigma)),
                in_erf(law),
            ),
            checked(
                "as the mass above each level",
                Quadrature(Phi((output - _y) / sigma), (_y, 0, 1)),
                law,
                {output: sp.Rational(1, 3), sigma: sp.Rational(1, 5)},
            ),
        ),
    )
