"""Where the laws of first passages come from."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import Phi, mean, phi, quantile, xi
from querytax.theory.symbolic._numeric import Lattice, Quadrature, Root
from querytax.theory.symbolic.derivation import Derivation, checked, proved

snr, noiseless_steps, steps, miss = sp.symbols(
    "snr noiseless_steps steps miss", positive=True
)
# Of a Brownian path, in units of one step's noise.
distance, drift = sp.symbols("distance drift", positive=True)
origin, target = sp.symbols("origin target", real=True)
n = sp.Symbol("n", positive=True, integer=True)
r = sp.Symbol("r", nonnegative=True, integer=True)
x = sp.Symbol("x", real=True)
_NEAR = {snr: sp.Rational(1, 4)}


def _below() -> sp.Expr:
    """E max(-S_n, 0)/n of a walk of N(√S, 1) steps."""
    y = sp.sqrt(snr * n)
    return sp.sqrt(n) * (phi(y) - y * Phi(-y)) / n


def _overshoot() -> sp.Expr:
    return (1 + snr) / (2 * sp.sqrt(snr)) - Lattice(_below(), (n, 1, sp.oo))


def overshoot() -> Derivation:
    """E H²/(2 E H) of the ladder height, by Spitzer's identity."""
    law = _overshoot()
    y = sp.Symbol("y", positive=True)
    part = sp.simplify(mean(-(y + xi), -sp.oo, -y).doit())
    terms = sp.zeta(-sp.Rational(1, 2) - r) * (-snr / 2) ** r / sp.factorial(r)
    series = Lattice(terms / ((2 * r + 1) * (2 * r + 2)), (r, 0, sp.oo))
    start = sp.sqrt(snr) / 4 - sp.zeta(sp.Rational(1, 2)) / sp.sqrt(2 * sp.pi)
    return Derivation(
        law,
        (
            proved("mean below zero", part, phi(y) - y * Phi(-y)),
            checked(
                "power series", start - snr * series / sp.sqrt(2 * sp.pi), law, _NEAR
            ),
        ),
    )


def first_gain() -> Derivation:
    """Spitzer's identity for the first ladder epoch."""
    law = sp.exp(Lattice(Phi(-sp.sqrt(n * snr)) / n, (n, 1, sp.oo)))
    terms = sp.zeta(sp.Rational(1, 2) - r) * (-snr / 2) ** r / sp.factorial(r)
    series = Lattice(terms / (2 * r + 1), (r, 0, sp.oo))
    told = sp.exp(-sp.sqrt(snr / (2 * sp.pi)) * series) / sp.sqrt(2 * snr)
    return Derivation(law, (checked("power series", told, law, _NEAR),))


def walk_mean() -> Derivation:
    """Wald: the mean of the walk where it stops is √S E T, its level and overshoot."""
    time, over = sp.symbols("time over", positive=True)
    level = noiseless_steps * sp.sqrt(snr)
    found = sp.solve(sp.Eq(sp.sqrt(snr) * time, level + over), time)[0]
    law = noiseless_steps + _overshoot() / sp.sqrt(snr)
    told = noiseless_steps + over / sp.sqrt(snr)
    return Derivation(law, (proved("Wald's identity", found, told),))


def _central(count: sp.Expr) -> sp.Expr:
    half = sp.Rational(1, 2)
    return sp.gamma(count + half) / (sp.sqrt(sp.pi) * sp.gamma(count + 1))


def no_gain() -> Derivation:
    """exp(Σ sⁿ/(2n)) = 1/√(1-s) generates the chances."""
    s = sp.Symbol("s")
    whole = sp.exp(sum(s**j / (2 * sp.Integer(j)) for j in range(1, 8)))
    found = sp.series(whole, s, 0, 8).removeO().coeff(s, 7)
    binomial = sp.binomial(2 * n, n) / 4**n
    return Derivation(
        _central(steps),
        (
            proved("chance after seven", found, _central(sp.Integer(7))),
            proved("binomial", sp.gammasimp(binomial.rewrite(sp.gamma)), _central(n)),
        ),
    )


def no_gain_steps() -> Derivation:
    """Its inverse."""
    law = Root(_central(steps) - miss, steps, sp.S.Zero, 1 / (sp.pi * miss**2))
    at = {miss: sp.Rational(3, 8)}
    return Derivation(law, (checked("three in eight", law, sp.Integer(2), at),))


def _path() -> tuple[sp.Expr, sp.Expr]:
    """How far the goal lies behind, and its image before, in the spread by then."""
    ahead = (drift * steps - distance) / sp.sqrt(steps)
    return ahead, -(drift * steps + distance) / sp.sqrt(steps)


def _told(expression: sp.Expr) -> sp.Expr:
    """In the SNR of a step and the steps of a path without noise."""
    way = noiseless_steps * sp.sqrt(snr)
    return expression.subs({distance: way, drift: sp.sqrt(snr)})


def arrived() -> Derivation:
    """The backward equation and its boundary, for the chance of having arrived."""
    ahead, image = _path()
    p = Phi(ahead) + sp.exp(2 * distance * drift) * Phi(image)
    flow = drift * -sp.diff(p, distance) + sp.diff(p, distance, 2) / 2
    density = distance / sp.sqrt(2 * sp.pi * steps**3)
    density *= sp.exp(-((distance - drift * steps) ** 2) / (2 * steps))
    n, pace = noiseless_steps, sp.sqrt(snr / steps)
    law = Phi((steps - n) * pace)
    law += sp.exp(2 * n * snr) * Phi(-(steps + n) * pace)
    return Derivation(
        law,
        (
            proved("backward equation", sp.diff(p, steps), sp.expand(flow)),
            proved("at the goal", p.subs(distance, 0), sp.S.One),
            proved("density of the time", sp.diff(p, steps), density),
            proved("in steps", _told(p), law),
        ),
    )


def not_arrived_time() -> Derivation:
    """The inverse of the chance that is left; without drift by erfinv."""
    ahead, image = _path()
    left = Phi(-ahead) - sp.exp(2 * distance * drift) * Phi(image)
    q = quantile(1 - miss)
    high = ((q + sp.sqrt(q**2 + 4 * noiseless_steps * snr)) ** 2) / (4 * snr)
    equation = sp.log(_told(left)) - sp.log(miss)
    law = Root(equation, steps, noiseless_steps / 4, high)
    idle = distance**2 / (2 * sp.erfinv(miss) ** 2)
    return Derivation(
        law,
        (
            checked(
                "without drift",
                left.subs({drift: 0, steps: idle}),
                miss,
                {miss: sp.Rational(1, 3), distance: sp.Integer(2)},
            ),
        ),
    )


def ou_mean() -> Derivation:
    ratio = Phi(x) / phi(x)
    law = Quadrature(ratio, (x, origin, target))
    high = sp.Symbol("high", real=True)
    time = sp.Integral(ratio, (x, origin, high))
    first, second = sp.diff(time, origin), sp.diff(time, origin, 2)
    flow = -origin * first + second
    # From far below a path decays as without noise: the ratio goes as 1/|x|.
    far = sp.limit(-x * sp.sqrt(2 * sp.pi) * sp.exp(x**2 / 2) * Phi(x), x, -sp.oo)
    return Derivation(
        law,
        (
            proved("backward equation", flow.doit(), -sp.S.One),
            proved("far below", far, sp.S.One),
        ),
    )
