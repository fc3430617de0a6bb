"""Where the law of a noisy ratio comes from: an isotropic normal point and its axis."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import Phi, phi
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, checked, proved

output, other_output = sp.symbols("output other_output", nonnegative=True)
sigma, probe = sp.symbols("sigma probe", positive=True)
quotient, multiplier, w = sp.symbols("quotient multiplier w", real=True)

_ONE, _TWO = output / sigma, other_output / sigma
_Z = sp.Symbol("z", real=True)


def _density(z: sp.Expr) -> sp.Expr:
    """Closed form, h and u the coordinates of the mean beside the line of ratio z."""
    root = sp.sqrt(1 + z**2)
    h, u = (z * _TWO - _ONE) / root, (z * _ONE + _TWO) / root
    flat = sp.exp(-(_ONE**2 + _TWO**2) / 2) / sp.pi
    return (flat + u * sp.erf(u / sp.sqrt(2)) * phi(h)) / (1 + z**2)


def _mass(low: sp.Expr, high: sp.Expr) -> sp.Expr:
    """The density over angles whose tangent is the ratio, between two of them."""
    sine, cosine = sp.sin(w), sp.cos(w)
    h, u = sine * _TWO - cosine * _ONE, sine * _ONE + cosine * _TWO
    flat = sp.exp(-(_ONE**2 + _TWO**2) / 2) / sp.pi
    return Quadrature(flat + u * sp.erf(u / sp.sqrt(2)) * phi(h), (w, low, high))


_POINT = {
    output: sp.Rational(1, 3),
    other_output: sp.Rational(1, 2),
    sigma: sp.Rational(1, 2),
}


def density() -> Derivation:
    """Both outputs over all denominators, integrated in closed form."""
    x, m = sp.symbols("x m", real=True)
    # φ(zx - t1) φ(x - t2) is a normal bell in x: mean u/root, deviation 1/root.
    c = sp.symbols("c", positive=True)
    one, two, z = sp.symbols("t1 t2 z", real=True)
    root = sp.sqrt(1 + z**2)
    h, u = (z * two - one) / root, (z * one + two) / root
    product = sp.log(phi(z * x - one) * phi(x - two))
    bell = sp.log(phi(h) * phi(root * x - u))
    primitive = -phi(c * x - m) / c**2 + m * Phi(c * x - m) / c**2
    at_zero = primitive.subs(x, 0)
    return Derivation(
        _density(quotient),
        (
            proved(
                "two bells are one",
                sp.expand(sp.expand_log(product, force=True)),
                sp.expand(sp.expand_log(bell, force=True)),
            ),
            proved(
                "a primitive of the first moment",
                sp.diff(primitive, x),
                x * phi(c * x - m),
            ),
            proved(
                "from 0 upwards, and from 0 downwards",
                m / c**2 - 2 * at_zero,
                (2 * phi(m) + m * sp.erf(m / sp.sqrt(2))) / c**2,
            ),
            proved(
                "φ(h) φ(u) is φ(t1) φ(t2)", sp.simplify(h**2 + u**2), one**2 + two**2
            ),
        ),
    )


def distribution(side: str = "below") -> Derivation:
    """The density over the angles whose tangents lie on that side."""
    angle = sp.atan(quotient)
    low, high = (-sp.pi / 2, angle) if side == "below" else (angle, sp.pi / 2)
    law = _mass(low, high)
    slope = sp.diff(law, quotient) * (1 if side == "below" else -1)
    return Derivation(
        law,
        (
            proved("its slope is the density", slope, _density(quotient)),
            proved(
                "the density in the angle's tangent",
                _mass(0, 1).function.subs(w, sp.atan(_Z)) / (1 + _Z**2),
                _density(_Z),
            ),
        ),
    )


def same_sign() -> Derivation:
    """Both above 0, or both below."""
    law = Phi(_ONE) * Phi(_TWO) + Phi(-_ONE) * Phi(-_TWO)
    mass = _mass(0, sp.pi / 2)
    return Derivation(
        law, (checked("the sector of positive ratios", mass, law, _POINT),)
    )


def opposite_signs() -> Derivation:
    """One above 0, one below."""
    law = Phi(_ONE) * Phi(-_TWO) + Phi(-_ONE) * Phi(_TWO)
    return Derivation(law, (proved("what is left", 1 - same_sign().law, law),))


def multiplier_distribution(side: str = "below") -> Derivation:
    """The positive ratios below exp(βx), as a share of all positive ones."""
    angle = sp.atan(sp.exp(probe * multiplier))
    low, high = (0, angle) if side == "below" else (angle, sp.pi / 2)
    law = _mass(low, high) / same_sign().law
    slope = sp.diff(_mass(0, angle), multiplier) / same_sign().law
    if side == "above":
        slope = -sp.diff(_mass(angle, sp.pi / 2), multiplier) / same_sign().law
    point = {**_POINT, probe: sp.Rational(1, 2), multiplier: sp.Rational(1, 3)}
    density = multiplier_density().law
    return Derivation(
        law, (checked("its slope is the density", slope, density, point),)
    )


def multiplier_density() -> Derivation:
    """The ratio's density in a logarithmic scale."""
    z = sp.exp(probe * multiplier)
    law = probe * z * _density(z) / same_sign().law
    slope = sp.diff(sp.exp(probe * multiplier), multiplier)
    inverse = sp.solve(sp.log(_Z) / probe - multiplier, _Z)[0]
    return Derivation(law, (proved("the change of scale", slope, probe * inverse),))


def wrong_order() -> Derivation:
    """The positive ratios below one, whatever the probe."""
    law = multiplier_distribution().law.subs(multiplier, 0)
    return Derivation(law)


def principal_mean() -> Derivation:
    """Poles cancel in pairs; what is left solves M' = 1 - t M, as Dawson's integral."""
    t = _TWO
    dawson = sp.sqrt(sp.pi) / 2 * sp.exp(-(t**2) / 2) * sp.erfi(t / sp.sqrt(2))
    law = sp.sqrt(2) * _ONE * dawson
    s = sp.Symbol("s", positive=True)
    mean = sp.sqrt(2) * dawson.subs(other_output, s * sigma)
    # The mean of 1/(s + xi) for xi normal: parts of its integral give the slope.
    return Derivation(
        law, (proved("slope of the mean inverse", sp.diff(mean, s), 1 - s * mean),)
    )
