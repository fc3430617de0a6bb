"""Noise of random scale: moments of the scale, and sums of two scaled normals."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import sympy as sp

from querytax.theory.symbolic._normal import Phi, expected, phi
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, checked, proved

delta_ms, sigma, shape, gap = sp.symbols("delta_ms sigma shape gap", positive=True)
order = sp.Symbol("order", positive=True, integer=True)
scales = sp.symbols("sigmas_:2", positive=True)
weights = sp.symbols("weights_:2", positive=True)
_k, _r, _theta = sp.symbols("k r theta", positive=True)
_x = sp.Symbol("x", real=True)
_y = sp.Symbol("y", positive=True)
_v1, _v2 = sp.symbols("v1 v2", real=True)


def beta_moment() -> Derivation:
    """A quotient of Beta functions, factor by factor."""
    a, j = shape, order
    law = sp.gamma(a + j) * sp.gamma(2 * a) / (sp.gamma(a) * sp.gamma(2 * a + j))
    more = law.subs(j, j + 1) / law
    steps = [proved("one factor more", sp.gammasimp(more), (a + j) / (2 * a + j))]
    for k in (1, 2, 3):
        weight = (_k * (1 - _k)) ** (k - 1)
        mass = sp.integrate(sp.expand(weight), (_k, 0, 1))
        cube = sp.integrate(sp.expand(_k**3 * weight), (_k, 0, 1)) / mass
        found = sp.gammasimp(law.subs({a: k, j: 3}))
        steps.append(proved(f"third moment, a scale of shape {k}", cube, found))
    return Derivation(law, tuple(steps))


def beta_snr() -> Derivation:
    """Mean square of a Beta scale; two answers."""
    law = delta_ms * (2 * shape + 1) / ((shape + 1) * sigma**2)
    square = sp.gammasimp(beta_moment().law.subs(order, 2))
    spread = expected((sigma * (_v1 - _v2)) ** 2, _v1, _v2) * square
    return Derivation(law, (proved("two answers' noises", delta_ms / spread, law),))


def beta_median_gain() -> Derivation:
    """Mean square of the scale, and the noise's density at zero."""
    a = shape
    inverse = (2 * a - 1) / (a - 1)
    law = (a + 1) / (2 * a + 1) * inverse**2 / sp.pi
    over = sp.gamma(a - 1) / sp.gamma(2 * a - 1) * sp.gamma(2 * a) / sp.gamma(a)
    density = phi(sp.S.Zero) * inverse
    square = (a + 1) / (2 * (2 * a + 1))
    return Derivation(
        sp.Piecewise((law, a > 1), (sp.oo, True)),
        (
            proved("mean of 1/k", sp.gammasimp(over), inverse),
            proved("mean over median", 4 * square * density**2, law),
        ),
    )


def _by_length(density: sp.Expr, a: sp.Expr) -> sp.Expr:
    """Over the length r of two scales, then their direction."""
    one, other = (density.subs(_k, _r * c(_theta)) for c in (sp.cos, sp.sin))
    inside = sp.expand(one * other * _r)
    around = sp.integrate(inside, _theta)

    def ring(start: sp.Expr) -> sp.Expr:
        # Both halves of the square alike.
        return 2 * (around.subs(_theta, sp.pi / 4) - around.subs(_theta, start))

    tail = Phi(-a / _r)
    near = Quadrature(tail * ring(sp.S.Zero), (_r, 0, 1))
    return near + Quadrature(tail * ring(sp.acos(1 / _r)), (_r, 1, sp.sqrt(2)))


def beta_wrong_sign(scale_law: str = "uniform") -> Derivation:
    """Mean over both scales; one answer's density against the other's tail."""
    a = gap / sigma
    if scale_law == "constant":
        law = Phi(-sp.sqrt(2) * a)
        noise = sigma / 2 * (_v1 - _v2)
        spread = sp.sqrt(expected(noise**2, _v1, _v2))
        return Derivation(law, (proved("scales 1/2", Phi(-gap / spread), law),))
    if scale_law == "arcsine":
        # Scales sin² of even quarter turns.
        both = sp.sqrt(sp.sin(_k) ** 4 + sp.sin(_theta) ** 4)
        inner = Quadrature(Phi(-a / both), (_k, 0, sp.pi / 2))
        law = Quadrature(4 / sp.pi**2 * inner, (_theta, 0, sp.pi / 2))
        mass = sp.Integral(2 / sp.pi, (_theta, 0, sp.pi / 2))
        return Derivation(law, (proved("all scales", mass, 1),))
    first = _y * sp.expint(1, _y**2 / 2) / (2 * sp.sqrt(2 * sp.pi))
    weight, tail = {
        "uniform": (sp.S.One, Phi(-_y) - first),
        "bell": (
            6 * _k * (1 - _k),
            (1 + 3 * _y**2) * Phi(-_y) - 2 * _y * phi(_y) - _y**2 * first,
        ),
    }[scale_law]
    law = _by_length(weight, a)
    # One noise beyond y, as boundary.scaled_noise_flip has it, and its density.
    own, beyond = -sp.diff(tail, _y), tail.subs(_y, a + _y)
    near = Quadrature(own * (tail.subs(_y, a - _y) + beyond), (_y, 0, a))
    far = Quadrature(own * (1 - tail.subs(_y, _y - a) + beyond), (_y, a, sp.oo))
    at = {gap: sp.Rational(2, 3), sigma: 1}
    return Derivation(law, (checked("one noise, then the other", near + far, law, at),))


# --- Scales of a list, two of them ----------------------------------------------------


def _mixed(of: Callable[[sp.Expr], sp.Expr]) -> sp.Expr:
    parts = (w * of(s) for w, s in zip(weights, scales, strict=True))
    return sum(parts) / sum(weights)


_AT = {
    scales[0]: sp.Rational(1, 3),
    scales[1]: 1,
    weights[0]: 2,
    weights[1]: 3,
    gap: sp.Rational(1, 2),
}


def snr() -> Derivation:
    """Variances of the parts, averaged; two answers."""
    law = delta_ms / (2 * _mixed(lambda s: s**2))
    spread = _mixed(lambda s: expected((s * (_v1 - _v2)) ** 2, _v1, _v2))
    return Derivation(law, (proved("two answers' noises", delta_ms / spread, law),))


def wrong_sign() -> Derivation:
    """Which part each answer draws; one answer's density, the other's tail."""
    law = _mixed(lambda s: _mixed(lambda o: Phi(-gap / sp.sqrt(s**2 + o**2))))
    own = _mixed(lambda s: phi(_x / s) / s)
    beyond = _mixed(lambda s: Phi((_x - gap) / s))
    cuts = (-sp.oo, -3, 0, 3, sp.oo)
    other = sum(Quadrature(own * beyond, (_x, *ends)) for ends in pairwise(cuts))
    return Derivation(law, (checked("one noise, then the other", other, law, _AT),))


def median_gain() -> Derivation:
    """A median varies as a share of answers does, over its slope's square."""
    law = 2 / sp.pi * _mixed(lambda s: s**2) * _mixed(lambda s: 1 / s) ** 2
    slope = sp.diff(_mixed(lambda s: Phi(_x / s)), _x).subs(_x, 0)
    median = sp.Rational(1, 4) / slope**2
    mean = _mixed(lambda s: expected((s * _v1) ** 2, _v1))
    return Derivation(law, (proved("mean over median", mean / median, law),))


def known_scale_gain() -> Derivation:
    """Answers weighted by 1/s² add up their precisions."""
    law = _mixed(lambda s: s**2) * _mixed(lambda s: s**-2)
    weighted = 1 / _mixed(lambda s: s**-2)
    mean = _mixed(lambda s: expected((s * _v1) ** 2, _v1))
    return Derivation(law, (proved("mean over weighted mean", mean / weighted, law),))


def information() -> Derivation:
    """The score's mean square; or what known scales tell, less what is hidden."""
    density = _mixed(lambda s: phi(_x / s) / s)
    slope = _mixed(lambda s: phi(_x / s) / s**3)
    spread = _mixed(lambda s: s**2)

    def mean(inside: sp.Expr) -> sp.Expr:
        # By symmetry, and beyond 16 of the widest nothing is left.
        wide = 16 * sp.Max(*scales)
        cuts = (0, wide / 16, wide / 4, wide)
        return 2 * sum(Quadrature(inside, (_x, *ends)) for ends in pairwise(cuts))

    law = spread * mean((_x * slope) ** 2 / density)
    # Variance of 1/s² where the answer is known.
    square = _mixed(lambda s: phi(_x / s) / s**5)
    hidden = _x**2 * (square - slope**2 / density)
    told = spread * (_mixed(lambda s: 1 / s**2) - mean(hidden))
    return Derivation(law, (checked("less what stays hidden", told, law, _AT),))
