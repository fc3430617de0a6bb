"""Noisy labels near the boundary, by integration and expansion in the noise."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import Phi, in_erf, phi
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

margin = sp.Symbol("margin", real=True)
density_slope = sp.Symbol("density_slope", real=True)
offset = sp.Symbol("offset", real=True)
margin_sigma, width, density, probe, sigma = sp.symbols(
    "margin_sigma width density probe sigma", positive=True
)
_x = sp.Symbol("x", real=True)
_k = sp.Symbol("k", positive=True)
_AT = {
    margin: sp.Rational(2, 5),
    margin_sigma: sp.Rational(1, 3),
    offset: sp.Rational(2, 5),
    sigma: sp.Rational(1, 3),
    probe: sp.Rational(1, 2),
}


def _flip() -> sp.Expr:
    return Phi(-sp.Abs(margin) / margin_sigma)


def _crossing() -> Equality:
    noisy = phi((_x - sp.Abs(margin)) / margin_sigma) / margin_sigma
    mass = Quadrature(noisy, (_x, -sp.oo, 0))
    return checked("mass beyond the boundary", mass, _flip(), _AT, {**_AT, margin: -1})


def flip() -> Derivation:
    """Mass of the noisy margin on the other side."""
    return Derivation(_flip(), (_crossing(),))


def band_flip() -> Derivation:
    """Mean over a uniform margin."""
    z = width / margin_sigma
    law = (phi(sp.S.Zero) - phi(z) + z * Phi(-z)) / z
    mean = sp.integrate(in_erf(Phi(-_k / margin_sigma)), (_k, 0, width)) / width
    return Derivation(
        law,
        (
            proved("mean over the band", in_erf(mean), in_erf(law)),
            proved("a narrow band is a coin", sp.Limit(law, width, 0), sp.S.Half),
        ),
    )


def _sides() -> tuple[sp.Expr, sp.Expr]:
    """Flipped right labels and flipped wrong ones, the margin in units of the noise."""
    tail = Phi(-_k)
    line = density + density_slope * margin_sigma * _k
    right = sp.integrate(sp.expand(in_erf(tail) * line), (_k, 0, sp.oo))
    other = line.subs(density_slope, -density_slope)
    wrong = sp.integrate(sp.expand(in_erf(tail) * other), (_k, 0, sp.oo))
    return margin_sigma * right, margin_sigma * wrong


def flip_rate() -> Derivation:
    """Flips of both sides, the density of margins taken as a line."""
    right, wrong = _sides()
    law = sp.sqrt(2 / sp.pi) * density * margin_sigma
    return Derivation(law, (proved("flips of both sides", right + wrong, law),))


def net_loss() -> Derivation:
    """Right labels spoilt less wrong ones mended; a normal density, expanded."""
    right, wrong = _sides()
    law = density_slope * margin_sigma**2 / 2
    # Margins N(m, τ²) are right with probability Φ(m/τ), under noise Φ(m/√(τ²+s²)).
    m, tau = sp.symbols("m tau", positive=True)
    loss = Phi(m / tau) - Phi(m / sp.sqrt(tau**2 + margin_sigma**2))
    slope = sp.diff(phi((_x - m) / tau) / tau, _x).subs(_x, 0)
    return Derivation(
        law,
        (
            proved("spoilt less mended", right - wrong, law),
            proved(
                "normal margins, at second order",
                sp.Limit(loss / margin_sigma**2, margin_sigma, 0),
                law.subs(density_slope, slope) / margin_sigma**2,
            ),
        ),
    )


def _gain(noise: sp.Expr) -> sp.Expr:
    both = sp.sqrt(probe**2 + noise**2)
    return sp.sqrt(2 / sp.pi) * probe / both * sp.exp(-(offset**2) / (2 * both**2))


def hopskipjump_gain() -> Derivation:
    """E[sgn(m + δu + σν) u] by parts: u's density is its own slope."""
    law = _gain(sigma)
    both = sp.sqrt(probe**2 + sigma**2)
    mean_sign = 2 * Phi(offset / both) - 1
    # Given u the mean sign is 2Φ((m + δu)/σ) - 1.
    given = sp.erf((offset + probe * _x) / (sp.sqrt(2) * sigma))
    inside = _x * given * phi(_x)
    return Derivation(
        law,
        (
            proved(
                "Stein: slope of the mean sign",
                sp.Derivative(probe * mean_sign, offset),
                law,
            ),
            checked(
                "given the probe, then over it",
                Quadrature(inside, (_x, -sp.oo, sp.oo)),
                law,
                _AT,
            ),
        ),
    )


def hopskipjump_cost() -> Derivation:
    """Counts stand as squared gains over the variance of a centred label."""
    ratio = sigma**2 / probe**2
    near, far = offset / sp.sqrt(probe**2 + sigma**2), offset / probe
    gains = (1 + ratio) * sp.exp(near**2 - far**2)
    spread = Phi(near) * Phi(-near) / (Phi(far) * Phi(-far))
    quiet = sp.Limit(_gain(sigma), sigma, 0).doit()
    p = sp.Symbol("p", positive=True)
    average = p - (1 - p)
    return Derivation(
        gains * spread,
        (
            *hopskipjump_gain().steps,
            proved(
                "squared gain without noise over that with it",
                (quiet / _gain(sigma)) ** 2,
                gains,
            ),
            proved(
                "variance of a label, its mean subtracted",
                p * (1 - average) ** 2 + (1 - p) * (1 + average) ** 2,
                4 * p * (1 - p),
            ),
            proved(
                "the other label's chance", in_erf(1 - Phi(near)), in_erf(Phi(-near))
            ),
        ),
    )


def scaled_noise_flip(scale_law: str = "uniform") -> Derivation:
    """Mean over the scale; over the noise first, it is another integral."""
    a = sp.Abs(margin) / margin_sigma
    if scale_law == "constant":
        law = Phi(-2 * a)
        whole = Phi(-a / _k).subs(_k, sp.S.Half)
        return Derivation(
            law,
            (
                checked(
                    "scale 1/2", Quadrature(phi(_x), (_x, 2 * a, sp.oo)), whole, _AT
                ),
            ),
        )
    if scale_law == "arcsine":
        # k = sin² over a uniform quarter turn.
        inside = 2 / sp.pi * Phi(-a / sp.sin(_k) ** 2)
        law = Quadrature(inside, (_k, 0, sp.pi / 2))
        # Given the noise ξ = a + x, the chance of a scale above a/ξ.
        above = 1 - 2 / sp.pi * sp.asin(sp.sqrt(a / (a + _x)))
    else:
        weight = {"uniform": sp.S.One, "bell": 6 * _k * (1 - _k)}[scale_law]
        law = Quadrature(weight * Phi(-a / _k), (_k, 0, 1))
        above = 1 - sp.integrate(weight, (_k, 0, a / (a + _x)))
    other = Quadrature(above * phi(_x + a), (_x, 0, sp.oo))
    return Derivation(
        law, (checked("over the noise first, then the scale", other, law, _AT),)
    )
