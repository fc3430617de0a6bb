"""Where the laws of accuracy and margin come from."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import Phi, mean, phi, xi
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, checked, proved

margins, norms, sigma = sp.symbols("margins site_gradient_norms sigma", positive=True)
_t = margins / (sigma * norms)


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
    """Margins spread evenly with density p per unit lose p σ/√(2π)."""
    quantile, density, m = sp.symbols("quantile density m", positive=True)
    lost = sp.Integral(density * Phi(-m / sigma), (m, 0, sp.oo))
    share = density * quantile
    law = sp.sqrt(2 * sp.pi) * quantile
    return Derivation(
        law,
        (
            proved("right answers lost", lost, density * sigma * phi(sp.Integer(0))),
            proved(
                "as many as lie below q", sp.solve(lost.doit() - share, sigma)[0], law
            ),
        ),
    )


def tied_rivals() -> Derivation:
    """Given the winner's noise the rivals are independent."""
    gap = sp.Symbol("gap", positive=True)
    rivals = sp.Symbol("rivals", positive=True, integer=True)
    lost = (1 - Phi(xi + gap / sigma) ** rivals) * phi(xi)
    half = -gap / (2 * sigma)
    law = Quadrature(lost, (xi, half - 16, half)) + Quadrature(
        lost, (xi, half, half + 16)
    )
    one = Phi(-gap / (sp.sqrt(2) * sigma))
    at = {rivals: 1, gap: sp.Rational(2, 3), sigma: sp.Rational(1, 2)}
    return Derivation(
        law, (checked("one rival: the difference of two noises", law, one, at),)
    )


def ball_flip() -> Derivation:
    """The noise along the radius given its length across, which is χ of d-1."""
    depth, radius, d = sp.symbols("depth ball_radius dimension", positive=True)
    c = sp.Symbol("c", positive=True)
    chi = (
        c ** (d - 2) * sp.exp(-(c**2) / 2) * 2 ** ((3 - d) / 2) / sp.gamma((d - 1) / 2)
    )
    inside, across = (radius - depth) / sigma, sp.sqrt((radius / sigma) ** 2 - c**2)
    leaves = Phi(inside - across) + Phi(-inside - across)
    middle = sp.sqrt(d)
    law = Quadrature(leaves * chi, (c, 0, middle)) + Quadrature(
        leaves * chi, (c, middle, radius / sigma)
    )
    beyond = sp.uppergamma((d - 1) / 2, (radius / sigma) ** 2 / 2) / sp.gamma(
        (d - 1) / 2
    )
    # At the centre it is the tail of χ² with d degrees of freedom.
    tail = sp.uppergamma(d / 2, (radius / sigma) ** 2 / 2) / sp.gamma(d / 2)
    at = {depth: 5, sigma: 1, radius: 5, d: 10}
    return Derivation(
        law + beyond,
        (checked("at the centre of the ball", law + beyond, tail, at),),
    )
