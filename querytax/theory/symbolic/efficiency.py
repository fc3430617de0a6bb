"""What folding and clipping leave of a small change, from densities and scores.

Everything is in units of sigma: ``t`` is the output, ``headroom`` the room above it.
"""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import Phi, in_erf, phi
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, checked, proved

t, headroom = sp.symbols("relative_output headroom", positive=True)
_x = sp.Symbol("x", real=True)
_y = sp.Symbol("y", positive=True)
_HALF = sp.Rational(1, 2)
_AT: dict[sp.Symbol, sp.Expr] = {t: sp.Rational(3, 7), headroom: sp.Rational(5, 4)}
# The density of |ξ + t|.
_FOLDED = phi(_y - t) + phi(_y + t)


def _folded_mean(statistic: sp.Expr) -> sp.Expr:
    """E of a statistic of ``_y`` = |ξ + t|."""
    inside = statistic * _FOLDED
    return Quadrature(inside, (_y, 0, t)) + Quadrature(inside, (_y, t, sp.oo))


def _log_mean(x: sp.Expr) -> sp.Expr:
    series = sp.hyper([1, 1], [sp.Rational(3, 2), 2], -(x**2) / 2)
    return -(sp.EulerGamma + sp.log(2)) / 2 + x**2 / 2 * series


def _log_slope() -> sp.Expr:
    """√2 Dawson(t/√2)."""
    return sp.sqrt(sp.pi / 2) * sp.exp(-(t**2) / 2) * sp.erfi(t / sp.sqrt(2))


def log_mean() -> Derivation:
    """Its value at 0 and its slope; a mixture of chi-squares; the integral itself."""
    s = sp.Symbol("s", positive=True)
    k = sp.Symbol("k", integer=True, nonnegative=True)
    law = _log_mean(t)
    # ln χ_ν from the moments of χ_ν.
    power = 2 ** (s / 2) * sp.gamma((1 + s) / 2 + k) / sp.gamma(_HALF + k)
    moment = sp.integrate(2 * _y**s * phi(_y), (_y, 0, sp.oo))
    slope = sp.integrate(sp.sin(t * s) * sp.exp(-(s**2) / 2), (s, 0, sp.oo))
    return Derivation(
        law,
        (
            proved("moments of |ξ|", moment, power.subs(k, 0)),
            proved(
                "at 0, their slope at power 0",
                sp.Limit(sp.diff(moment, s), s, 0),
                law.subs(t, 0),
            ),
            checked(
                "slope, the principal value of E 1/(ξ+t), by Fourier",
                sp.diff(law, t),
                slope,
                _AT,
            ),
            checked("the mean itself", _folded_mean(sp.log(_y)), law, _AT),
        ),
    )


def log_variance() -> Derivation:
    """The mean of the squared logarithm, less the square of the mean."""
    s = sp.Symbol("s", positive=True)
    power = 2**s * sp.gamma(_HALF + s) / sp.sqrt(sp.pi)
    law = _folded_mean(sp.log(_y) ** 2) - _log_mean(t) ** 2
    # E|ξ+t|^(2s) = E|ξ|^(2s) 1F1(-s; 1/2; -t²/2); ln y is half of d/ds y^(2s).
    k = sp.Symbol("k", integer=True, positive=True)
    z = -(t**2) / 2
    # Second derivative of (-s)_k at 0 is 2 (k-1)! H_(k-1); the first is -(k-1)!.
    first, second = sp.diff(power, s).subs(s, 0), sp.diff(power, s, 2).subs(s, 0)
    shape = z**k / (sp.rf(_HALF, k) * k)
    terms = 40
    linear = -sum(shape.subs(k, i) for i in range(1, terms))
    bent = sum(2 * sp.harmonic(i - 1) * shape.subs(k, i) for i in range(1, terms))
    squared = (second + 2 * first * linear + bent) / 4
    return Derivation(
        law,
        (
            proved(
                "at 0, the second cumulant of ln χ²₁ over 4",
                sp.diff(sp.log(power), s, 2).subs(s, 0) / 4,
                sp.pi**2 / 8,
            ),
            checked(
                "from the moments of |ξ+t|",
                squared - _log_mean(t) ** 2,
                law,
                {t: sp.Rational(3, 7)},
            ),
        ),
    )


def released_log_mean() -> Derivation:
    """The folded density's mean logarithm up to 1; beyond, the logarithm is 0."""
    output, sigma = sp.symbols("output sigma", positive=True)
    density = (phi((_y - output) / sigma) + phi((_y + output) / sigma)) / sigma
    inside = sp.log(_y) * density
    law = Quadrature(inside, (_y, 0, output)) + Quadrature(inside, (_y, output, 1))
    # By parts: E h = h(1) - ∫ h' P(|F+v| < y).
    below = Phi((_y - output) / sigma) - Phi((-_y - output) / sigma)
    parts = -Quadrature(below / _y, (_y, 0, output))
    parts -= Quadrature(below / _y, (_y, output, 1))
    at = {output: sp.Rational(3, 7), sigma: sp.Rational(1, 5)}
    return Derivation(law, (checked("by parts", parts, law, at),))


def _information(density: sp.Expr) -> sp.Expr:
    """Squared slope of a density or of an atom over itself."""
    return sp.diff(density, t) ** 2 / density


def fisher_efficiency(release: str = "raw", reading: str = "best") -> Derivation:
    """Squared slope of a reading's mean over its variance; the information for best."""
    return {"raw": _raw, "reflect": _reflected, "clip": _clipped}[release](reading)


def _raw(reading: str) -> Derivation:
    if reading == "best":
        whole = sp.Integral(sp.diff(phi(_x), _x) ** 2 / phi(_x), (_x, -sp.oo, sp.oo))
        return Derivation(sp.Integer(1), (proved("information of the mean", whole, 1),))
    if reading == "log":
        law = _log_slope() ** 2 / log_variance().law
        step = checked("slope of the mean", sp.diff(_log_mean(t), t), _log_slope(), _AT)
        return Derivation(law, (step,))
    slope = sp.erf(t / sp.sqrt(2))
    mean = sp.integrate(_y * _FOLDED, (_y, 0, sp.oo))
    return Derivation(
        slope**2 / (1 + t**2 - mean**2),
        (
            proved("slope of the mean magnitude", in_erf(sp.diff(mean, t)), slope),
            proved(
                "its mean square",
                sp.integrate(_y**2 * _FOLDED, (_y, 0, sp.oo)),
                1 + t**2,
            ),
        ),
    )


def _reading(
    statistic: sp.Expr, density: sp.Expr, top: sp.Expr, atom: sp.Expr
) -> sp.Expr:
    """(slope of the mean)²/variance of a statistic on (0, top] with an atom at top."""
    peak = sp.Min(t, top)

    def integral(inside: sp.Expr) -> sp.Expr:
        return Quadrature(inside, (_y, 0, peak)) + Quadrature(inside, (_y, peak, top))

    # The ceiling moves with the headroom, not with t: differentiate the weights only.
    height = statistic.subs(_y, top)
    slope = integral(statistic * sp.diff(density, t))
    slope += height * sp.diff(atom, t)
    mean = integral(statistic * density) + height * atom
    square = integral(statistic**2 * density) + height**2 * atom
    return (slope**2 / (square - mean**2)).subs(_CEILING, t + headroom)


_CEILING = sp.Symbol("ceiling", positive=True)


def _reflected(reading: str) -> Derivation:
    """|F+v| cut at the ceiling: a folded density and an atom."""
    b = _CEILING
    atom = Phi(t - b) + Phi(-t - b)
    if reading != "best":
        statistic = sp.log(_y) if reading == "log" else _y
        law = _reading(statistic, _FOLDED, b, atom)
        # E h = h(0) + ∫ h' P(Y > y), whose slope needs no density of its own.
        tail = sp.diff(statistic, _y) * (phi(_y - t) - phi(_y + t))
        weighted = Quadrature(statistic * sp.diff(_FOLDED, t), (_y, 0, b))
        weighted += statistic.subs(_y, b) * sp.diff(atom, t)
        return Derivation(
            law,
            (
                checked(
                    "slope of the mean, by parts",
                    Quadrature(tail, (_y, 0, b)),
                    weighted,
                    {t: _AT[t], b: 2},
                ),
            ),
        )
    score = _y * sp.tanh(_y * t) - t
    inside = score**2 * _FOLDED
    law = Quadrature(inside, (_y, 0, t)) + Quadrature(inside, (_y, t, b))
    law = (law + _information(atom)).subs(b, t + headroom)
    return Derivation(
        law,
        (
            checked(
                "score of the folded density",
                sp.diff(sp.log(_FOLDED), t),
                score,
                {**_AT, _y: sp.Rational(2, 3)},
            ),
            checked(
                "mean score inside, the atom's slope outside",
                Quadrature(sp.diff(_FOLDED, t), (_y, 0, b)).subs(b, t + headroom),
                -sp.diff(atom, t).subs(b, t + headroom),
                _AT,
            ),
        ),
    )


def _clipped(reading: str) -> Derivation:
    """F+v cut at 0 and at the ceiling: a normal density and two atoms."""
    below, above = Phi(-t), Phi(-headroom)
    inside = sp.integrate(_x**2 * phi(_x), (_x, -t, headroom))
    if reading == "best":
        law = Phi(t) - t * phi(t) - Phi(-headroom) - headroom * phi(headroom)
        law += phi(t) ** 2 / below + phi(headroom) ** 2 / above
        return Derivation(
            law,
            (
                proved(
                    "information inside, and that of the two atoms",
                    in_erf(inside + _information(below) + phi(headroom) ** 2 / above),
                    in_erf(law),
                ),
            ),
        )
    mean = sp.integrate((t + _x) * phi(_x), (_x, -t, headroom))
    mean += (t + headroom) * above
    square = sp.integrate((t + _x) ** 2 * phi(_x), (_x, -t, headroom))
    square += (t + headroom) ** 2 * above
    slope = Phi(t) - Phi(-headroom)
    # The ceiling stays where it is while t moves.
    moved = mean.subs(headroom, _CEILING - t)
    return Derivation(
        slope**2 / (square - mean**2),
        (
            proved(
                "slope of the clipped mean",
                in_erf(sp.diff(moved, t).subs(_CEILING, t + headroom)),
                in_erf(slope),
            ),
        ),
    )
