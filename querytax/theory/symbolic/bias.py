"""Means of bent functions of normal noise, by integration."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import Phi, in_erf, phi
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

mean, margin, other_margin = sp.symbols("mean margin other_margin", real=True)
sigma, slope, output = sp.symbols("sigma slope output", positive=True)
_y = sp.Symbol("y", real=True)
_NORMAL = phi((_y - mean) / sigma) / sigma


def _relu(m: sp.Expr, s: sp.Expr) -> sp.Expr:
    return m * Phi(m / s) + s * phi(m / s)


def _bias(m: sp.Expr, s: sp.Expr) -> sp.Expr:
    """s (φ(t) - |t| Φ(-|t|))."""
    return s * phi(m / s) - sp.Abs(m) * Phi(-sp.Abs(m) / s)


def _truncated() -> Equality:
    inside = sp.integrate(_y * _NORMAL, (_y, 0, sp.oo))
    return proved(
        "mean of the positive part", in_erf(inside), in_erf(_relu(mean, sigma))
    )


def relu_mean() -> Derivation:
    """The truncated normal's integral."""
    return Derivation(_relu(mean, sigma), (_truncated(),))


def relu_bias() -> Derivation:
    """Less the ReLU of the mean, on either side of the kink."""
    law, bent = _bias(mean, sigma), _relu(mean, sigma)
    at = {sigma: sp.Rational(2, 5)}
    sides = checked(
        "less the ReLU of the mean, on both sides",
        bent - sp.Max(mean, 0),
        law,
        {**at, mean: sp.Rational(1, 3)},
        {**at, mean: -sp.Rational(1, 3)},
    )
    return Derivation(law, (_truncated(), sides))


def leaky_relu_mean() -> Derivation:
    """Both sides of the kink, each with its slope."""
    law = slope * mean + (1 - slope) * _relu(mean, sigma)
    above = sp.integrate(_y * _NORMAL, (_y, 0, sp.oo))
    below = sp.integrate(slope * _y * _NORMAL, (_y, -sp.oo, 0))
    return Derivation(law, (proved("both sides", in_erf(above + below), in_erf(law)),))


def _gelu() -> sp.Expr:
    r = sp.sqrt(1 + sigma**2)
    return mean * Phi(mean / r) + sigma**2 / r * phi(mean / r)


def _smoothed() -> tuple[Equality, ...]:
    """E Φ(m + sξ) by its slope in m, then E ξ Φ(m + sξ) by parts (Stein)."""
    r = sp.sqrt(1 + sigma**2)
    density = sp.exp(-(_y**2 + (mean + sigma * _y) ** 2) / 2) / (2 * sp.pi)
    bell = sp.integrate(sp.expand(density), (_y, -sp.oo, sp.oo))
    inside = (mean + sigma * _y) * Phi(mean + sigma * _y) * phi(_y)
    at = {mean: sp.Rational(-2, 5), sigma: sp.Rational(3, 4)}
    return (
        proved("slope of E Φ(m + sξ)", bell, sp.diff(Phi(mean / r), mean)),
        proved("by parts, with it", mean * Phi(mean / r) + sigma**2 * bell, _gelu()),
        checked("the mean", Quadrature(inside, (_y, -sp.oo, sp.oo)), _gelu(), at),
    )


def gelu_mean() -> Derivation:
    """A normal distribution function under normal noise."""
    return Derivation(_gelu(), _smoothed())


def gelu_bias() -> Derivation:
    """Less the GELU of the mean; by the heat equation for small noise."""
    law = _gelu() - mean * Phi(mean)
    heat = sp.diff(mean * Phi(mean), mean, 2) / 2
    small = sp.diff(law, sigma, 2).subs(sigma, 0) / 2
    return Derivation(
        law,
        (
            *_smoothed(),
            proved("small noise", small, (2 - mean**2) * phi(mean) / 2),
            proved("as half the curvature", heat, (2 - mean**2) * phi(mean) / 2),
        ),
    )


def two_class_margin() -> Derivation:
    """The integral; the difference of two softmax probabilities is a tanh."""
    x = sp.Symbol("x", real=True)
    law = Quadrature(sp.tanh((margin + sigma * x) / 2) * phi(x), (x, -sp.oo, sp.oo))
    one, other = sp.symbols("a b", real=True)
    softmax = (sp.exp(one) - sp.exp(other)) / (sp.exp(one) + sp.exp(other))
    # tanh(y/2) = ∫ sin(ωy) 2/sinh(πω) dω, and E sin(ω(m + sξ)) = sin(ωm) exp(-ω²s²/2).
    w = sp.Symbol("w", positive=True)
    waves = 2 * sp.sin(w * margin) * sp.exp(-(w**2) * sigma**2 / 2) / sp.sinh(sp.pi * w)
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
                {margin: sp.Rational(2, 3), sigma: sp.Rational(4, 5)},
            ),
        ),
    )


def three_class_margin() -> Derivation:
    """The lesser of two normals: one of them, less a positive part."""
    law = sp.Min(margin, other_margin) - _bias(margin - other_margin, sigma)
    # min(m + D1, m' + D2) = m + D1 - max(D, 0), D the difference, normal.
    lesser = margin - _relu(margin - other_margin, sigma)
    return Derivation(
        law,
        (
            _truncated(),
            checked(
                "the difference of the two, rearranged",
                lesser,
                law,
                {margin: 2, other_margin: sp.Rational(3, 2), sigma: sp.Rational(3, 4)},
                {margin: 1, other_margin: sp.Rational(3, 2), sigma: sp.Rational(3, 4)},
            ),
        ),
    )


def reflected_mean() -> Derivation:
    """Both sides of zero."""
    t = output / sigma
    law = output + 2 * sigma * (phi(t) - t * Phi(-t))
    density = _NORMAL.subs(mean, output)
    folded = sp.integrate(_y * density, (_y, 0, sp.oo))
    folded -= sp.integrate(_y * density, (_y, -sp.oo, 0))
    return Derivation(law, (proved("both sides", in_erf(folded), in_erf(law)),))


def clipped_mean() -> Derivation:
    """The inside, and the atom at 1."""

    def lost(x: sp.Expr) -> sp.Expr:
        return sigma * phi(x / sigma) - x * Phi(-x / sigma)

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
