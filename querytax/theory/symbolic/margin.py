"""Where the laws of accuracy and margin come from."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import Phi, mean, phi, xi
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, checked, proved

margin, gradient_norm, sigma = sp.symbols("margin gradient_norm sigma", positive=True)
_t = margin / (sigma * gradient_norm)
_POINT = {margin: sp.Rational(1, 10), gradient_norm: 2, sigma: sp.Rational(3, 100)}


def _stays(words: str) -> sp.Expr:
    # The margin stays positive where ξ > -m/(σ G).
    return proved(words, mean(sp.Integer(1), -_t, sp.oo), Phi(_t))


def accuracy() -> Derivation:
    """One image; a set is the mean over its images."""
    return Derivation(Phi(_t), (_stays("the noisy margin is positive"),))


def accuracy_loss() -> Derivation:
    """One image that was right: what it loses."""
    return Derivation(1 - Phi(_t), (_stays("the noisy margin is positive"),))


def flip_share() -> Derivation:
    """One image, right or wrong."""
    gone = mean(sp.Integer(1), -sp.oo, -_t)
    return Derivation(
        Phi(-_t), (proved("the margin changes its sign", gone, Phi(-_t)),)
    )


def quantile_sigma() -> Derivation:
    """Margins spread evenly with density p per unit lose p s/√(2π)."""
    quantile, density, s = sp.symbols("quantile density s", positive=True)
    m = sp.Symbol("m", positive=True)
    lost = sp.Integral(density * Phi(-m / s), (m, 0, sp.oo))
    share = density * quantile
    law = sp.sqrt(2 * sp.pi) * quantile
    return Derivation(
        law,
        (
            proved("right answers lost", lost, density * s * phi(sp.Integer(0))),
            proved("as many as lie below q", sp.solve(lost.doit() - share, s)[0], law),
        ),
    )


def tied_rivals() -> Derivation:
    """Given the winner's noise the rivals are independent."""
    gap, s = sp.symbols("gap sigma", positive=True)
    rivals = sp.Symbol("rivals", positive=True, integer=True)
    lost = (1 - Phi(xi + gap / s) ** rivals) * phi(xi)
    half = -gap / (2 * s)
    law = Quadrature(lost, (xi, half - 16, half)) + Quadrature(
        lost, (xi, half, half + 16)
    )
    one = Phi(-gap / (sp.sqrt(2) * s))
    at = {rivals: 1, gap: sp.Rational(2, 3), s: sp.Rational(1, 2)}
    return Derivation(
        law, (checked("one rival: the difference of two noises", law, one, at),)
    )


def ball_flip() -> Derivation:
    """The noise along the radius given its length across, which is χ of d-1."""
    depth, s, radius, d = sp.symbols("depth sigma ball_radius dimension", positive=True)
    c = sp.Symbol("c", positive=True)
    chi = (
        c ** (d - 2) * sp.exp(-(c**2) / 2) * 2 ** ((3 - d) / 2) / sp.gamma((d - 1) / 2)
    )
    inside, across = (radius - depth) / s, sp.sqrt((radius / s) ** 2 - c**2)
    leaves = Phi(inside - across) + Phi(-inside - across)
    middle = sp.sqrt(d)
    law = Quadrature(leaves * chi, (c, 0, middle)) + Quadrature(
        leaves * chi, (c, middle, radius / s)
    )
    beyond = sp.uppergamma((d - 1) / 2, (radius / s) ** 2 / 2) / sp.gamma((d - 1) / 2)
    # At the centre it is the tail of χ² with d degrees of freedom.
    tail = sp.uppergamma(d / 2, (radius / s) ** 2 / 2) / sp.gamma(d / 2)
    at = {depth: 5, s: 1, radius: 5, d: 10}
    return Derivation(
        law + beyond,
        (checked("at the centre of the ball", law + beyond, tail, at),),
    )
