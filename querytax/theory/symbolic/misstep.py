"""Where the shares of wrong signs come from: change and noise in one plane."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import Phi, phi, xi
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, checked, proved

snr = sp.Symbol("snr", positive=True)
repeats, base_repeats = sp.symbols("repeats base_repeats", positive=True)
bend = sp.Symbol("bend", real=True)
radius_gap, slope, gradient_norm, site_gradient_norm, candidate_step = sp.symbols(
    "radius_gap slope gradient_norm site_gradient_norm candidate_step", positive=True
)
sigma, loss_sigma = sp.symbols("sigma loss_sigma", positive=True)
gaps, sigmas, site_gradient_norms = (
    sp.symbols(f"{name}_:2", positive=True)
    for name in ("gaps", "sigmas", "site_gradient_norms")
)


def fixed_direction() -> Derivation:
    """A normal variable of mean √S and variance 1 below 0."""
    law = Phi(-sp.sqrt(snr))
    m = sp.Symbol("m", positive=True)
    below = sp.integrate(phi(xi - m), (xi, -sp.oo, 0))
    return Derivation(law, (proved("below 0", below.subs(m, sp.sqrt(snr)), law),))


def _orthant(root: sp.Symbol) -> sp.Expr:
    """d/d√S of 2 ∫ φ(h) Φ(-h√S) dh over h > 0, the two orthants together."""
    h = sp.Symbol("h", positive=True)
    fall = sp.diff(Phi(-h * root), root)
    return 2 * sp.integrate(sp.simplify(phi(h) * fall), (h, 0, sp.oo))


def random_direction() -> Derivation:
    """The orthants' mass falls from 1/2 at S = 0 as the arc tangent does."""
    root = sp.Symbol("root", positive=True)
    law = sp.atan(1 / sp.sqrt(snr)) / sp.pi
    arc = law.subs(snr, root**2)
    return Derivation(
        law,
        (
            proved("the orthants' slope in √S", _orthant(root), sp.diff(arc, root)),
            proved("a coin without signal", sp.limit(arc, root, 0, "+"), Phi(0)),
        ),
    )


def after_repeats(direction: str = "random") -> Derivation:
    """Averages of M queries leave 1/M of the noise."""
    one = random_direction() if direction == "random" else fixed_direction()
    v = sp.Symbol("v", positive=True)
    # Signal v S over noise v, v/M after averaging.
    averaged = v * snr / (v / repeats)
    law = one.law.subs(snr, repeats * snr)
    left = one.law.subs(snr, averaged)
    step = proved("S after averaging", left, law)
    return Derivation(law, () if step.left == step.right else (step,))


def after_unequal_repeats(direction: str = "random") -> Derivation:
    """Noise of the two ends, each averaged over its own repeats."""
    one = random_direction() if direction == "random" else fixed_direction()
    v = sp.Symbol("v", positive=True)
    averaged = 2 * snr / (1 / repeats + 1 / base_repeats)
    # Of S = change²/(2v): 2 v S over the two variances.
    ratio = 2 * v * snr / (v / repeats + v / base_repeats)
    law = one.law.subs(snr, averaged)
    return Derivation(law, (proved("S after averaging", ratio, averaged),))


def noisy_layers() -> Derivation:
    """Two layers; their variances add."""
    pairs = zip(sigmas, site_gradient_norms, strict=True)
    noise = 2 * sum((s * g) ** 2 for s, g in pairs)
    change = candidate_step * gradient_norm
    law = sp.atan(sp.sqrt(noise) / change) / sp.pi
    general = random_direction().law.subs(snr, change**2 / noise)
    return Derivation(law, (proved("S of the step", general, law),))


def over_changes() -> Derivation:
    """The mean over two candidates."""
    law = sum(Phi(-gap / (sp.sqrt(2) * loss_sigma)) for gap in gaps) / 2
    pairs = (fixed_direction().law.subs(snr, (g / loss_sigma) ** 2 / 2) for g in gaps)
    return Derivation(law, (proved("S of the changes", sum(pairs) / 2, law),))


def bent() -> Derivation:
    """The double sector's mass, in place of the mean over changes."""
    w = sp.Symbol("w", real=True)
    b, root = sp.Symbol("b", positive=True), sp.sqrt(snr)
    # Angle w from the axis of no change; b cos w lies beside the line, b sin w along.
    h, u = bend * sp.cos(w), bend * sp.sin(w)
    angle = sp.atan(1 / root)
    inner = u * sp.erf(u / sp.sqrt(2)) * phi(h)
    law = sp.exp(-(bend**2) / 2) * angle / sp.pi + Quadrature(inner, (w, 0, angle))
    h_ = sp.Symbol("h", positive=True)
    r = sp.Symbol("r", positive=True)
    # The slopes in √S of both: -∫ h φ(h√S) (φ(h-b) + φ(h+b)), in closed form.
    c = sp.sqrt(1 + r**2)
    spread = sp.integrate(
        sp.expand(
            h_
            * (
                sp.exp(-((c * h_ - b / c) ** 2) / 2)
                + sp.exp(-((c * h_ + b / c) ** 2) / 2)
            )
        ),
        (h_, 0, sp.oo),
    )
    slope = -sp.exp(-((b * r / c) ** 2) / 2) / (2 * sp.pi) * spread
    rise = sp.diff(law.subs(root, r).subs(bend, b), r)
    return Derivation(
        law,
        (
            proved("the slope in √S, averaged over changes", slope, rise),
            proved(
                "no mean leaves the arc tangent",
                law.subs(bend, 0).doit(),
                random_direction().law,
            ),
        ),
    )


def acceptance_correlation() -> Derivation:
    """Two noisy changes share the base's noise; their signs, by the orthant's angle."""
    v, rho = sp.symbols("v rho", positive=True)
    base = v / base_repeats
    total = 2 * v * snr + v / repeats + base
    law = 2 / sp.pi * sp.asin(1 / (1 + base_repeats / repeats + 2 * base_repeats * snr))
    # Correlation ρ of two normals is S = ρ²/(1-ρ²) of one for the other's sign.
    wrong = random_direction().law.subs(snr, rho**2 / (1 - rho**2))
    signs = 1 - 2 * wrong
    return Derivation(
        law,
        (
            proved("share of the base", 2 / sp.pi * sp.asin(base / total), law),
            checked(
                "the signs' correlation",
                signs,
                2 / sp.pi * sp.asin(rho),
                {rho: sp.Rational(1, 3)},
                {rho: sp.Rational(9, 10)},
            ),
        ),
    )


def radius() -> Derivation:
    """One noisy loss of mean κ|Δr| and deviation σG on the wrong side of 0."""
    law = Phi(-slope * radius_gap / (sigma * site_gradient_norm))
    one = fixed_direction().law.subs(
        snr, (slope * radius_gap) ** 2 / (sigma * site_gradient_norm) ** 2
    )
    return Derivation(law, (proved("S of one answer", one, law),))
