"""Where the drift of a step comes from."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic import angle
from querytax.theory.symbolic._normal import expected, phi
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

snr, dimension, pairs = sp.symbols("snr dimension pairs", positive=True)
alignment = sp.Symbol("alignment", positive=True)
_x = sp.Symbol("x", real=True)


def second_moment(rho: sp.Expr) -> sp.Expr:
    """E‖ĝ‖² of p pairs over squared slope, correlation ``rho`` of response and slope.

    One pair answers with ρa + √(1-ρ²)ω + ν, a its probe along the slope, ω what is
    not linear, ν the noise; it reports the probe times that.
    """
    a, b, omega, nu = sp.symbols("a b omega nu", real=True)
    answer = rho * a + sp.sqrt(1 - rho**2) * omega + nu / sp.sqrt(snr)
    # d - 1 coordinates of the probe are alike: b stands for each.
    length = a**2 + (dimension - 1) * b**2
    one = expected(answer**2 * length, a, b, omega, nu)
    along = expected(answer * a, a, b, omega, nu)
    return along**2 + (one - along**2) / pairs


def correlation() -> Equality:
    """Of an answer with the slope along its probe, squared: what the angle reads."""
    a, omega, nu = sp.symbols("a omega nu", real=True)
    answer = alignment * a + sp.sqrt(1 - alignment**2) * omega + nu / sp.sqrt(snr)
    along = expected(answer * a, a, omega, nu).doit()
    power = expected(answer**2, a, omega, nu).doit()
    return proved(
        "squared correlation of answer and slope", along**2 / power, _tight(alignment)
    )


def _tight(rho: sp.Expr) -> sp.Expr:
    return rho**2 * snr / (1 + snr)


def aim(rho: sp.Expr) -> sp.Expr:
    """Mean cosine, by the angle's law."""
    series = sp.hyper(
        [1 - pairs / 2, sp.Rational(1, 2)], [dimension / 2 + 1], _tight(rho)
    )
    scale = angle.kappa(pairs) / angle.kappa(dimension + 1)
    return sp.sqrt(_tight(rho)) * scale * series


def cosine() -> Derivation:
    """The angle's law at the correlation that alignment and noise leave."""
    steps = angle.mean_cosine(differences="antithetic").steps
    return Derivation(aim(alignment), (*steps, correlation()))


def plain() -> Derivation:
    """Length of the mean over root mean square length."""
    rho = alignment
    a, omega = sp.symbols("a omega", real=True)
    answer = rho * a + sp.sqrt(1 - rho**2) * omega
    length = expected(answer * a, a, omega)
    inside = rho**2 * (pairs + 1) + dimension + dimension / snr
    law = rho * sp.sqrt(pairs / inside)
    return Derivation(
        law,
        (
            proved(
                "squared mean over mean square",
                length**2 / second_moment(rho),
                law**2,
            ),
        ),
    )


def sign() -> Derivation:
    """Gaussian slopes at any noise; slopes of few coordinates at either end."""
    c, h = sp.symbols("cosine gain", positive=True)
    law = h * c / sp.sqrt(1 + c**2 * (h**2 - 1))
    tau, s, spread = sp.symbols("tau s kappa", positive=True)
    g = sp.Symbol("g", positive=True)
    density = phi(g / tau) / tau
    moved = sp.integrate(g * sp.erf(g / (sp.sqrt(2) * s)) * density, (g, 0, sp.oo))
    whole = sp.integrate(g * density, (g, 0, sp.oo))
    # One coordinate in kappa has slope 1, the others none.
    few = sp.erf(1 / (sp.sqrt(2) * s))
    at = {c: 1 / sp.sqrt(1 + spread * s**2), h: sp.sqrt(2 * spread / sp.pi)}
    ends = few / law.subs(at)
    return Derivation(
        law,
        (
            proved(
                "normal slopes: share of the exact sign's progress",
                moved / whole,
                law.subs({h: 1, c: tau / sp.sqrt(tau**2 + s**2)}),
            ),
            proved(
                "normal slopes on a share of the coordinates, none on the others",
                moved / whole,
                law.subs(
                    {
                        h: sp.sqrt(spread),
                        c: tau / sp.sqrt(tau**2 + spread * s**2),
                    }
                ),
            ),
            proved("few slopes, much noise", sp.Limit(ends, s, sp.oo), 1),
            proved("few slopes, little noise", sp.Limit(ends, s, 0), 1),
        ),
    )


def sign_of() -> Derivation:
    """Three coordinates: the mean sign of each, weighted by its slope."""
    c = sp.Symbol("cosine", positive=True)
    s = sp.Symbol("s", positive=True)
    g = sp.symbols("gradient_:3", positive=True)
    norm = sp.sqrt(sum(entry**2 for entry in g))
    z = c * sp.sqrt(3) / (sp.sqrt(1 - c**2) * norm)
    law = sum(entry * sp.erf(z * entry / sp.sqrt(2)) for entry in g) / sum(g)
    noisy = phi((_x - g[0]) / s) / s
    right = Quadrature(noisy, (_x, 0, sp.oo))
    wrong = Quadrature(noisy, (_x, -sp.oo, 0))
    return Derivation(
        law,
        (
            checked(
                "mean sign of one coordinate",
                right - wrong,
                sp.erf(g[0] / (sp.sqrt(2) * s)),
                {g[0]: sp.Rational(2, 5), s: sp.Rational(1, 2)},
            ),
            proved(
                "the spread that leaves this cosine",
                norm**2 / (norm**2 + 3 / z**2),
                c**2,
            ),
        ),
    )
