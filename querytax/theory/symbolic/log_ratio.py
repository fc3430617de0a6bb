"""Moments of the logarithm of a folded normal, and the ratios of signal to noise."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import Phi, phi
from querytax.theory.symbolic._numeric import Lattice, Quadrature
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

output, other_output, sigma = sp.symbols("output other_output sigma", positive=True)
x = sp.Symbol("x", positive=True)
k = sp.Symbol("k", integer=True, nonnegative=True)


def g(t: sp.Expr) -> sp.Expr:
    """E ln|ξ + t|."""
    bend = sp.hyper((1, 1), (sp.Rational(3, 2), 2), -(t**2) / 2)
    return -(sp.EulerGamma + sp.log(2)) / 2 + t**2 / 2 * bend


def _mixed(t: sp.Expr, power: int) -> sp.Expr:
    """E ln^power|ξ + t|: (ξ + t)² is χ² of 1 + 2k degrees, k Poisson of t²/2."""
    half = t**2 / 2
    # Of ln χ²: mean ψ + ln 2 and variance ψ'.
    centre = (sp.digamma(k + sp.S.Half) + sp.log(2)) / 2
    value = centre if power == 1 else sp.polygamma(1, k + sp.S.Half) / 4 + centre**2
    return Lattice(sp.exp(-half) * half**k / sp.factorial(k) * value, (k, 0, sp.oo))


def V(t: sp.Expr) -> sp.Expr:
    """Var ln|ξ + t|."""
    return _mixed(t, 2) - _mixed(t, 1) ** 2


_MIXTURE = (
    "the mixture's mean is g",
    _mixed(x, 1),
    g(x),
    {x: sp.Rational(2, 3)},
    {x: sp.Rational(7, 2)},
)


def _spread() -> Equality:
    """The mean square over the folded density on both sides of t."""
    t = sp.Rational(3, 2)
    square = sp.log(x) ** 2 * (phi(x - t) + phi(x + t))
    spread = Quadrature(square, (x, 0, t)) + Quadrature(square, (x, t, t + 16))
    return checked("the mixture's mean square", spread, _mixed(x, 2), {x: t})


_SLOPE = (
    "the slope of g is Dawson's",
    sp.diff(g(x), x),
    sp.sqrt(sp.pi / 2) * sp.exp(-(x**2) / 2) * sp.erfi(x / sp.sqrt(2)),
)


def mean() -> Derivation:
    """The difference of two mean logarithms."""
    t = sp.Rational(3, 2)
    folded = sp.log(x / t) * (phi(x - t) + phi(x + t))
    heat = Quadrature(folded, (x, 0, t)) + Quadrature(folded, (x, t, t + 16))
    return Derivation(
        g(output / sigma) - g(other_output / sigma),
        (
            checked(*_SLOPE, {x: sp.Rational(2, 3)}, {x: 3}),
            checked("g from the density", heat, g(x) - sp.log(x), {x: t}),
        ),
    )


def variance() -> Derivation:
    """Variances of independent logarithms add."""
    return Derivation(
        V(output / sigma) + V(other_output / sigma), (checked(*_MIXTURE), _spread())
    )


def variance_of_sum() -> Derivation:
    """Two terms of the sum."""
    outputs = sp.symbols("outputs_:2", positive=True)
    law = sum(V(level / sigma) for level in outputs)
    return Derivation(law, (checked(*_MIXTURE), _spread()))


def all_positive() -> Derivation:
    """Two independent answers, each above zero."""
    one, two = sp.symbols("outputs_:2", positive=True)
    return Derivation(Phi(one / sigma) * Phi(two / sigma))


def relative_sigma() -> Derivation:
    """The first order of the logarithm in both noises."""
    a, b = sp.symbols("a b", real=True)
    log = sp.log(output + a) - sp.log(other_output + b)
    first = [sp.diff(log, v).subs({a: 0, b: 0}) for v in (a, b)]
    law = sigma * sp.sqrt(1 / output**2 + 1 / other_output**2)
    variance = sigma**2 * sum(slope**2 for slope in first)
    return Derivation(law, (proved("the variance", variance, law**2),))


def log_snr() -> Derivation:
    """The exact ratio's limit for weak noise."""
    law = sp.log(output / other_output) ** 2 / relative_sigma().law ** 2
    r = sp.Symbol("r", positive=True)
    # For F1 near F2 = F it is the decision SNR (F1 - F2)²/(2σ²).
    near = sp.limit(law.subs(output, other_output * (1 + r)) / r**2, r, 0)
    decision = other_output**2 / (2 * sigma**2)
    return Derivation(law, (proved("close outputs", near, decision),))


def definition_snr() -> Derivation:
    """The noiseless logarithm's square over the noisy one's mean square error."""
    m, v, a = sp.symbols("m v a", real=True)
    ell = sp.log(output / other_output)
    one, two = output / sigma, other_output / sigma
    second = v + m**2
    law = ell**2 / (V(one) + V(two) + (_mixed(one, 1) - _mixed(two, 1) - ell) ** 2)
    error = second - 2 * a * m + a**2
    whole = proved("mean square error", error, v + (m - a) ** 2)
    return Derivation(law, (whole, checked(*_MIXTURE)))


def effective_snr() -> Derivation:
    """Drift squared over variance of one pair's difference of logarithms."""
    one, two = output / sigma, other_output / sigma
    law = (_mixed(one, 1) - _mixed(two, 1)) ** 2 / (V(one) + V(two))
    slope = sp.diff(g(x), x)
    small = sp.limit(slope / x, x, 0)
    weak = proved("in strong noise the slope of g is t", small, 1)
    return Derivation(law, (checked(*_MIXTURE), weak))
