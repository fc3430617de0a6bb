"""Where the mean squares of gradient estimates come from: χ and normal moments."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import mean, xi
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

gradient_norm, frobenius, dimension, probe, sigma = sp.symbols(
    "gradient_norm frobenius dimension probe sigma", positive=True
)
repeats, lipschitz, smoothness = sp.symbols(
    "repeats lipschitz smoothness", positive=True
)
trace = sp.Symbol("trace", real=True)
r = sp.Symbol("r", positive=True)


def norm_moment(power: int) -> sp.Expr:
    """E‖u‖^power as the integral of χ's density."""
    density = r ** (dimension - 1) * sp.exp(-(r**2) / 2)
    density /= 2 ** (dimension / 2 - 1) * sp.gamma(dimension / 2)
    return sp.integrate(r**power * density, (r, 0, sp.oo))


def _fourth() -> Equality:
    d = dimension
    return proved("E‖u‖⁴ from χ's density", norm_moment(4), d * (d + 2))


def _wick(polynomial: sp.Expr, *normals: sp.Symbol) -> sp.Expr:
    """The mean over independent standard normals, monomial by monomial."""
    poly = sp.Poly(sp.expand(polynomial), *normals)
    total = sp.S.Zero
    for powers, factor in poly.terms():
        if all(p % 2 == 0 for p in powers):
            total += factor * sp.prod(sp.factorial2(p - 1) for p in powers)
    return sp.expand(total)


def _forms(differences: str) -> tuple[sp.Expr, int]:
    """The noise's factor, and whether the loss's even part survives."""
    return (sp.Rational(1, 4), 0) if differences == "antithetic" else (sp.S.One, 1)


def _noise(differences: str) -> sp.Expr:
    part, _ = _forms(differences)
    d, g, a = dimension, gradient_norm, frobenius
    ratio = part * sigma**2 / probe**2
    along = (2 * part if differences == "antithetic" else 1) * (d + 2) * a**2 * sigma**2
    return (d * ratio * (2 * g**2 + a**2 * sigma**2) + along) / repeats


def _quadratic(differences: str) -> sp.Expr:
    _, even = _forms(differences)
    d = dimension
    curved = probe**2 / 4 * (d + 4) * (trace**2 + 2 * frobenius**2)
    return (d + 2) * gradient_norm**2 + even * curved + _noise(differences)


def _enumerated(differences: str) -> Equality:
    """One estimate in two dimensions, a = (a₁, a₂) and A = diag(p, q)."""
    a1, a2, p, q = sp.symbols("a1 a2 p q", real=True)
    u1, u2, v1, v2, w1, w2 = normals = sp.symbols("u1 u2 v1 v2 w1 w2", real=True)

    def loss(x: sp.Expr, y: sp.Expr) -> sp.Expr:
        return a1 * x + a2 * y + (p * x**2 + q * y**2) / 2

    first = loss(probe * u1 + sigma * v1, probe * u2 + sigma * v2)
    if differences == "antithetic":
        other = loss(-probe * u1 + sigma * w1, -probe * u2 + sigma * w2)
        width = 2 * probe
    else:
        other, width = loss(sigma * w1, sigma * w2), probe
    square = sp.expand((first - other) ** 2) * (u1**2 + u2**2) / width**2
    point = {
        dimension: 2,
        repeats: 1,
        gradient_norm: sp.sqrt(a1**2 + a2**2),
        trace: p + q,
        frobenius: sp.sqrt(p**2 + q**2),
    }
    law = _quadratic(differences).subs(point)
    return proved("every monomial's mean, d = 2", _wick(square, *normals), law)


def linear(*, differences: str = "forward") -> Derivation:
    """The slope along u has E‖u‖²(a'u)² = E‖u‖⁴/d; the noise meets E‖u‖² = d."""
    part, _ = _forms(differences)
    d, g = dimension, gradient_norm
    law = g**2 * (d + 2 + 2 * part * d * sigma**2 / (probe**2 * repeats))
    # Two queries, each of variance G²σ²/M, over the distance of the two points.
    distance = probe / sp.sqrt(part)
    noise = norm_moment(2) * 2 * g**2 * sigma**2 / repeats / distance**2
    whole = sp.gammasimp(norm_moment(4)) / d * g**2 + sp.gammasimp(noise)
    return Derivation(law, (_fourth(), proved("slope and noise", whole, law)))


def noise(*, differences: str = "forward") -> Derivation:
    """What is left of the mean square when the noiseless one is taken away."""
    law = _noise(differences)
    averaged = sp.limit(_quadratic(differences), repeats, sp.oo)
    left = _quadratic(differences) - averaged
    return Derivation(
        law,
        (
            _enumerated(differences),
            proved("all of it vanishes under averaging", left, law),
        ),
    )


def quadratic(*, differences: str = "forward") -> Derivation:
    """Isserlis' theorem, carried out."""
    return Derivation(_quadratic(differences), (_enumerated(differences),))


def minimising_probe() -> Derivation:
    """The stationary point of the forward mean square."""
    moment = _quadratic("forward")
    d, g, a = dimension, gradient_norm, frobenius
    fourth = 4 * d * sigma**2 * (2 * g**2 + a**2 * sigma**2)
    fourth /= repeats * (d + 4) * (trace**2 + 2 * a**2)
    law = sp.root(fourth, 4)
    x = sp.Symbol("x", positive=True)
    slope = sp.numer(sp.together(sp.diff(moment, probe)))
    found = sp.solve(slope.subs(probe, sp.root(x, 4)), x)
    return Derivation(law, (proved("where its slope is 0", found[0], fourth),))


def lipschitz_bound(*, differences: str = "forward") -> Derivation:
    """Poincaré's inequality for the noise, ‖y - x‖ or a sphere's for the signal."""
    d, part = dimension, _forms(differences)[0]
    ratio = 2 * part * sigma**2 / (probe**2 * repeats)
    fourth = sp.gammasimp(norm_moment(4))
    if differences == "antithetic":
        own = (d + 2) / sp.Max(d - 1, 1)
        t = sp.Symbol("t", real=True)
        # x₁ is an eigenfunction of the sphere's Laplacian: least nonzero value d - 1.
        slope = sp.Derivative(t, t)
        curve = (1 - t**2) * sp.Derivative(t, t, t) - (d - 1) * t * slope
        steps: tuple[Equality, ...] = (
            _fourth(),
            proved("the sphere's first eigenvalue", -curve / t, d - 1),
        )
    else:
        own = d + 2
        norm = lipschitz * probe * r / probe
        density = r ** (d - 1) * sp.exp(-(r**2) / 2)
        density /= 2 ** (d / 2 - 1) * sp.gamma(d / 2)
        attained = sp.integrate(norm**2 * r**2 * density, (r, 0, sp.oo))
        steps = (
            proved(
                "L‖y - x‖ attains the signal's part",
                attained,
                lipschitz**2 * d * own,
            ),
            proved(
                "a linear loss attains the noise's part",
                linear(differences=differences).law.subs(gradient_norm, lipschitz)
                - lipschitz**2 * fourth / d,
                lipschitz**2 * d * ratio,
            ),
        )
    return Derivation(lipschitz**2 * d * (own + ratio), steps)


def smooth_bound() -> Derivation:
    """Minkowski's inequality for slope and remainder, E‖u‖⁶ by χ's density."""
    d, s = dimension, smoothness
    bend = sp.Min(s, sp.sqrt(2 / sp.pi) * lipschitz / sigma)
    sixth = d * (d + 2) * (d + 4)
    root = lipschitz * sp.sqrt(d + 2) + probe * bend / 2 * sp.sqrt(sixth)
    law = sp.Min(lipschitz**2 * d * (d + 2), root**2)
    law += 2 * d * lipschitz**2 * sigma**2 / (probe**2 * repeats)
    t = sp.Symbol("t", positive=True)
    rest = sp.integrate(s * t, (t, 0, probe * r)) / probe
    remainder = norm_moment(6) * (rest / r**2) ** 2
    point = {d: 7, s: sp.Rational(1, 3), probe: sp.Rational(2, 5)}
    return Derivation(
        law,
        (
            proved("E‖u‖⁶", norm_moment(6), sixth),
            checked(
                "the remainder's mean square",
                remainder,
                (probe * s / 2) ** 2 * sixth,
                point,
            ),
            proved(
                "noise smooths any Lipschitz loss: L E|ξ|/σ",
                2 * lipschitz / sigma * mean(xi, sp.S.Zero),
                sp.sqrt(2 / sp.pi) * lipschitz / sigma,
            ),
        ),
    )
