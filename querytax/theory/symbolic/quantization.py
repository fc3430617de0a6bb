"""Rounded outputs: what an even place, a cell's index and Poisson's sum give."""

from __future__ import annotations

from typing import Any

import sympy as sp
from mpmath.libmp import prec_to_dps

from querytax.theory.symbolic._normal import Phi, in_erf, mean, phi, xi
from querytax.theory.symbolic._numeric import Lattice, Quadrature, Root
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

sigma, grain, gap = sp.symbols("sigma grain gap", positive=True)
output = sp.Symbol("output", nonnegative=True)
_h = grain / sigma
_HALF = sp.S.Half
_f, _g = sp.symbols("f g", positive=True)
_k, _n = sp.symbols("k n", positive=True, integer=True)
_x, _z = sp.symbols("x z", real=True)
_u = sp.Symbol("u", positive=True)


def visibility() -> Derivation:
    """The share of places for which the larger output lies past a threshold."""
    law = sp.Min(1, gap / grain)
    place, more = sp.symbols("place more", positive=True)
    # The lower output lies at ``place`` above a threshold.
    seen = sp.Integral(1 / grain, (place, grain - gap, grain))
    narrow = grain / (1 + more)
    # All places where the gap is wider than the grain.
    start = sp.Max(grain - gap, 0)
    whole = sp.Integral(1 / grain, (place, start, grain))
    wide = grain + more
    return Derivation(
        law,
        (
            proved("gap below a grain", seen.subs(gap, narrow), law.subs(gap, narrow)),
            proved("gap above it", whole.subs(gap, wide), law.subs(gap, wide)),
        ),
    )


# --- Information of the index of a cell ----------------------------------------------


def _cell(low: sp.Expr, high: sp.Expr) -> sp.Expr:
    """Squared slope of a cell's probability over itself; low >= 0 keeps its digits."""
    return (phi(low) - phi(high)) ** 2 / (Phi(-low) - Phi(-high))


def _information(place: sp.Expr) -> sp.Expr:
    """The cell around the rounded value, and those k above and k below, mirrored.

    The output lies ``place`` grains above the rounded value.
    """

    def cell(k: sp.Expr, side: int) -> sp.Expr:
        return _cell((k - _HALF - side * place) * _h, (k + _HALF - side * place) * _h)

    return cell(sp.S.Zero, 1) + Lattice(cell(_k, 1) + cell(_k, -1), (_k, 1, sp.oo))


def dither_efficiency() -> Derivation:
    """Score of the index of a cell; raw information less what the cells hide."""
    law = _information(output / grain - sp.floor(output / grain + _HALF))
    f, low, high = sp.symbols("f low high", real=True)
    density = phi((_x - f) / sigma) / sigma
    chance = sp.integrate(density, (_x, low, high))
    slope = sp.integrate(sp.diff(density, f), (_x, low, high))
    ends = {low: f + sigma * _z, high: f + sigma * (_z + _u)}
    cell = _cell(_z, _z + _u)
    c = sp.Symbol("c", real=True)
    centre = (phi(_z) - phi(_z + _u)) / (Phi(-_z) - Phi(-_z - _u))
    told = mean(sp.expand(xi**2 - (xi - c) ** 2), _z, _z + _u).doit().subs(c, centre)
    # All cells in their order, steps of two sigma: what is left out is below 1e-55.
    every = sp.S.Zero
    for k in range(-8, 9):
        a, b = ((k + side) * grain for side in (-_HALF, _HALF))
        share = Phi((b - f) / sigma) - Phi((a - f) / sigma)
        every += sigma**2 * sp.diff(sp.log(share), f) ** 2 * share
    at = {sigma: _HALF, grain: 1, output: sp.Rational(2, 7), f: sp.Rational(2, 7)}
    near = 2 * _cell(sp.S.Zero, _u)
    return Derivation(
        law,
        (
            proved(
                "one cell's information, over that of the raw output",
                (sigma**2 * slope**2 / chance).subs(ends),
                cell,
            ),
            proved(
                "which is the raw one less what varies inside the cell",
                in_erf(told),
                in_erf(cell),
            ),
            checked("cell by cell, by the slope of ln P", every, law, at),
            proved("on a threshold, weak noise", sp.Limit(near, _u, sp.oo), 2 / sp.pi),
        ),
    )


def _place_mean() -> sp.Expr:
    """Over all places of a cell, mirrored where it is centred on the output."""
    inside = _cell(_z, _z + _h)
    # Beyond 16 sigma lies less than 1e-54.
    parts = (Quadrature(inside, (_z, *ends)) for ends in ((-_h / 2, 0), (0, 16)))
    return 2 / _h * sum(parts)


def dither_efficiency_mean() -> Derivation:
    """Places in all cells, laid end to end, are one line."""
    law = _place_mean()
    # Smooth and periodic in the place: six of them leave less than 1e-50.
    spread = sum(_information(sp.Rational(j, 6) - _HALF) for j in range(6)) / 6
    at = {sigma: 1, grain: 1}
    lone = sp.Limit(_cell(_z, _z + _u), _u, sp.oo)
    return Derivation(
        law,
        (
            checked("mean over even places", spread, law, at),
            proved(
                "weak noise: each threshold gives the information of a label",
                in_erf(lone.doit() + lone.doit().subs(_z, -_z)),
                in_erf(phi(_z) ** 2 / (Phi(_z) * Phi(-_z))),
            ),
        ),
    )


# --- The mean of a rounded normal ----------------------------------------------------


def _decay() -> sp.Expr:
    return sp.exp(-2 * sp.pi**2 * _n**2 * sigma**2 / grain**2)


def _bias() -> sp.Expr:
    wave = (-1) ** _n / _n * _decay() * sp.sin(2 * sp.pi * _n * output / grain)
    return grain / sp.pi * Lattice(wave, (_n, 1, sp.oo))


def _passed() -> sp.Expr:
    """Mean rounded value: a grain for each threshold passed, upwards less downwards."""
    place = (_k - _HALF) * grain
    passed = Phi((output - place) / sigma) - Phi((-output - place) / sigma)
    return grain * Lattice(passed, (_k, 1, sp.oo))


def _waves() -> tuple[Equality, ...]:
    saw = 2 * sp.Integral(_x * sp.sin(2 * sp.pi * _n * _x), (_x, -_HALF, _HALF))
    w = 2 * sp.pi * _n / grain
    spread = sp.cos(w * output) * sp.sin(w * sigma * xi)
    spread += sp.sin(w * output) * sp.cos(w * sigma * xi)
    return (
        proved("waves of x - round(x)", saw, -((-1) ** _n) / (sp.pi * _n)),
        proved("a wave under the noise", mean(spread), sp.sin(w * output) * _decay()),
    )


_AT: tuple[dict[sp.Symbol, Any], ...] = (
    {output: sp.Rational(2, 7), sigma: sp.Rational(1, 5), grain: 1},
    {output: sp.Rational(9, 5), sigma: sp.Rational(1, 3), grain: sp.Rational(1, 2)},
)


def dither_bias() -> Derivation:
    """Waves of a sawtooth under normal noise; Poisson's sum over the thresholds."""
    law = _bias()
    return Derivation(
        law,
        (
            *_waves(),
            checked("threshold by threshold", _passed() - output, law, *_AT),
        ),
    )


def dither_mean() -> Derivation:
    """The sum over rounded values."""
    law = output + _bias()
    chance = sp.S.Zero
    for sign in (1, -1):
        low, high = (
            (_k + side - sign * output / grain) * _h for side in (-_HALF, _HALF)
        )
        chance += sign * (Phi(-low) - Phi(-high))
    values = grain * Lattice(_k * chance, (_k, 1, sp.oo))
    return Derivation(law, (*_waves(), checked("value by value", values, law, *_AT)))


class At(sp.Function):
    """``expression`` where ``unknown`` is ``place``, which only digits can say."""

    nargs = 3

    @property
    def free_symbols(self) -> set[Any]:
        expression, unknown, place = self.args
        return (expression.free_symbols - {unknown}) | place.free_symbols

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        expression, unknown, place = self.args
        if self.free_symbols:
            return None
        there = place._eval_evalf(prec + 20)
        return sp.N(expression.subs(unknown, there), prec_to_dps(prec))


def largest_dither_bias() -> Derivation:
    """Where the slope of the bias is 0, a share u of the grain from a threshold."""
    wave = _decay() * sp.sin(2 * sp.pi * _n * _u)
    slope = Lattice(_decay() * sp.cos(2 * sp.pi * _n * _u), (_n, 1, sp.oo))
    place = Root(slope, _u, 0, sp.Rational(1, 4))
    law = grain * At(Lattice(wave / (sp.pi * _n), (_n, 1, sp.oo)), _u, place)
    # The same place and bias from the thresholds alone.
    at_u = (_HALF - _u) * grain
    r = sigma / grain
    density = phi(_u / r) / r + Lattice(
        (phi((_u - _k) / r) + phi((_u + _k) / r)) / r, (_k, 1, sp.oo)
    )
    crowded = Root(density - 1, _u, 0, sp.Rational(1, 4))
    passed = (_passed() / grain).subs(output, at_u)
    other = grain * At(_HALF - _u - passed, _u, crowded)
    # Each factor falls with u up to a half, so that the slope is 0 once.
    q = sp.exp(-2 * sp.pi**2 * r**2)
    factors = sp.prod(
        (1 - q ** (2 * m))
        * (1 + 2 * q ** (2 * m - 1) * sp.cos(2 * sp.pi * _u) + q ** (4 * m - 2))
        for m in range(1, 50)
    )
    near = {sigma: sp.Rational(2, 7), grain: 1, _u: sp.Rational(1, 5)}
    return Derivation(
        law,
        (
            proved(
                "a wave of the bias, from the threshold",
                sp.expand_trig(
                    (-1) ** _n * sp.sin(sp.expand(2 * sp.pi * _n * at_u / grain))
                ),
                -sp.sin(2 * sp.pi * _n * _u),
            ),
            checked("slope: the thresholds' density", density - 1, 2 * slope, near),
            checked("slope: Jacobi's product", factors - 1, 2 * slope, near),
            checked(
                "from the thresholds",
                other,
                law,
                {sigma: sp.Rational(1, 9), grain: sp.Rational(1, 2)},
            ),
        ),
    )


# --- Uniform noise of one grain ahead of the rounding ---------------------------------


def uniform_dither_variance() -> Derivation:
    """A share f above a rounded value is rounded up with chance f."""
    part = output / grain - sp.floor(output / grain)
    law = grain**2 * part * (1 - part)
    # Noise in (-1/2, 1/2) lifts f past 1/2, in steps.
    up = sp.Integral(1, (_x, _HALF - _f, _HALF))
    square = _f * (1 - _f) ** 2 + (1 - _f) * _f**2
    return Derivation(
        law,
        (
            proved("chance to be rounded up, and so the mean", up, _f),
            proved("mean square error", square, _f * (1 - _f)),
        ),
    )


def uniform_dither_snr() -> Derivation:
    """The variance averaged over all places."""
    law = 3 * (gap / grain) ** 2
    mean = 2 * grain**2 * sp.Integral(_f * (1 - _f), (_f, 0, 1))
    return Derivation(law, (proved("two answers", gap**2 / mean, law),))


def uniform_dither_wrong_sign() -> Derivation:
    """Both outputs between two rounded values, or one beyond the next."""
    d = gap / grain
    near, far = (1 - d + d**3 / 6) / 2, (2 - d) ** 3 / 12
    law = sp.Piecewise((near, d < 1), (far, d < 2), (0, True))
    # Lower output at f, the other at g: down against up, and half of the ties.
    same = _f * (1 - _g) + (_f * _g + (1 - _f) * (1 - _g)) / 2
    tie = _f * (1 - _g) / 2
    inside = sp.expand(same.subs(_g, _f + _u))
    across = sp.expand(tie.subs(_g, _f + _u - 1))
    within = sp.integrate(inside, (_f, 0, 1 - _u))
    return Derivation(
        law,
        (
            proved("between the same values", same, (1 + _f - _g) / 2),
            proved(
                "gap below a grain",
                within + sp.integrate(across, (_f, 1 - _u, 1)),
                near.subs(gap, _u * grain),
            ),
            proved(
                "gap above it",
                sp.integrate(across, (_f, 0, 2 - _u)),
                far.subs(gap, _u * grain),
            ),
        ),
    )
