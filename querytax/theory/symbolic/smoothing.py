"""Where the smoothing gaps come from."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import mean, xi
from querytax.theory.symbolic.derivation import Derivation, checked, proved

dimension, lipschitz, smoothness, probe, sigma = sp.symbols(
    "dimension lipschitz smoothness probe sigma", positive=True
)
allowed_gap, noise_ratio, gradient_norm, frobenius = sp.symbols(
    "allowed_gap noise_ratio gradient_norm frobenius", positive=True
)
mean_curvature = sp.Symbol("mean_curvature", real=True)
r = sp.Symbol("r", positive=True)


def kappa() -> sp.Expr:
    d = dimension
    return sp.sqrt(2) * sp.gamma((d + 1) / 2) / sp.gamma(d / 2)


def chi() -> sp.Expr:
    """Density of ‖N(0, I_d)‖ at r."""
    d = dimension
    density = r ** (d - 1) * sp.exp(-(r**2) / 2)
    return density / (2 ** (d / 2 - 1) * sp.gamma(d / 2))


def mean_norm() -> Derivation:
    """The first moment of χ."""
    first = sp.integrate(r * chi(), (r, 0, sp.oo))
    low = sp.Integral(sp.Abs(xi), (xi, -1, 1)).doit() * sp.sqrt(2 / sp.pi)
    return Derivation(
        kappa(),
        (
            proved("E‖v‖", first, kappa()),
            proved("one dimension: E|ξ|", 2 * mean(xi, sp.S.Zero), low),
        ),
    )


def smoothing_gap() -> Derivation:
    """‖y - x‖ attains it."""
    law = lipschitz * sigma * kappa()
    found = sp.integrate(lipschitz * sigma * r * chi(), (r, 0, sp.oo))
    return Derivation(law, (proved("mean of L‖σv‖", found, law),))


def probe_gap() -> Derivation:
    """Wasserstein distance of two scaled normals: couple them as multiples of one."""
    width = sp.sqrt(probe**2 + sigma**2)
    law = lipschitz * kappa() * (width - sigma)
    one = sp.integrate(lipschitz * width * r * chi(), (r, 0, sp.oo))
    other = sp.integrate(lipschitz * sigma * r * chi(), (r, 0, sp.oo))
    moved = sp.integrate((width - sigma) * r * chi(), (r, 0, sp.oo))
    return Derivation(
        law,
        (
            proved("attained by L‖y - x‖", one - other, law),
            proved("never more than the transport", lipschitz * moved, law),
        ),
    )


def quadratic_gap() -> Derivation:
    """c‖x + σv‖²/2, whose linear part has mean 0."""
    law = sigma**2 * mean_curvature * dimension / 2
    found = sp.integrate(mean_curvature / 2 * (sigma * r) ** 2 * chi(), (r, 0, sp.oo))
    return Derivation(law, (proved("mean of the quadratic part", found, law),))


def smooth_gap() -> Derivation:
    """The mean of Huber's function of the noise's length."""
    d, turn = dimension, lipschitz / (smoothness * sigma)
    t = turn**2 / 2
    near = sp.lowergamma(d / 2 + 1, t) / sp.gamma(d / 2 + 1)
    far = sp.uppergamma((d + 1) / 2, t) / sp.gamma((d + 1) / 2)
    lost = sp.uppergamma(d / 2, t) / sp.gamma(d / 2)
    law = smoothness * sigma**2 * d / 2 * near + lipschitz * sigma * kappa() * far
    law -= lipschitz**2 / (2 * smoothness) * lost
    s = sp.Symbol("s", positive=True)
    edge = lipschitz / smoothness
    parabola = sp.integrate(smoothness * s, (s, 0, sigma * r))
    line = sp.integrate(smoothness * s, (s, 0, edge)) + lipschitz * (sigma * r - edge)
    point = {d: 3, lipschitz: 2, smoothness: sp.Rational(3, 2), sigma: 1}
    return Derivation(
        law,
        (
            checked(
                "parabola and line over the noise's length",
                sp.Integral(parabola * chi(), (r, 0, turn))
                + sp.Integral(line * chi(), (r, turn, sp.oo)),
                law,
                point,
            ),
        ),
    )


def quadratic_spread() -> Derivation:
    """E(a'v + v'Av/2)² less its mean, in the Hessian's own axes: one of them."""
    g, a = gradient_norm, frobenius
    law = sigma * sp.sqrt(g**2 + sigma**2 * a**2 / 2)
    value = g * sigma * xi + a * (sigma * xi) ** 2 / 2
    variance = mean(sp.expand(value**2)).doit() - mean(value).doit() ** 2
    return Derivation(law, (proved("one axis", variance, law**2),))


def largest_probe() -> Derivation:
    """The inverse of the gap that a probe adds."""
    e = allowed_gap / (lipschitz * kappa())
    law = sp.sqrt(e * (e + 2 * sigma))
    back = probe_gap().law.subs(probe, law)
    at = {allowed_gap: 2, lipschitz: 3, dimension: 7, sigma: sp.Rational(1, 5)}
    return Derivation(
        law, (checked("its gap is the allowed one", back, allowed_gap, at),)
    )


def largest_probe_at_ratio() -> Derivation:
    """The same with σ = αμ, where the gap is linear in the probe."""
    a = noise_ratio
    law = allowed_gap * (sp.sqrt(1 + a**2) + a) / (lipschitz * kappa())
    added = probe_gap().law.subs(sigma, a * probe)
    found = sp.solve(sp.Eq(sp.factor(added), allowed_gap), probe)[0]
    return Derivation(law, (proved("where the gap is the allowed one", found, law),))
