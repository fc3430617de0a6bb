"""Where the query ratios come from."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic import angle, drift
from querytax.theory.symbolic._normal import Phi, expected, phi
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, checked, proved
from querytax.theory.symbolic.drift import dimension, pairs, snr

contraction, miss, remaining = sp.symbols("contraction miss remaining", positive=True)
_x = sp.Symbol("x", real=True)


def best_step() -> Derivation:
    """The quadratic in the step behind R, and its minimum."""
    g, h, step = sp.symbols("g h step", positive=True)
    # Each pair estimates the gradient g of a quadratic of curvature h.
    second = g**2 * (1 + (dimension + 1 + dimension / snr) / pairs)
    progress = step * g**2 - h * step**2 * second / 2
    best = sp.solve(sp.diff(progress, step), step)[0]
    gain = progress.subs(step, best)
    quiet = sp.limit(gain, snr, sp.oo)
    law = 1 + dimension / ((pairs + dimension + 1) * snr)
    return Derivation(
        law,
        (
            proved(
                "second moment of the estimate",
                g**2 * drift.second_moment(sp.S.One),
                second,
            ),
            proved("progress of the best step", gain, g**4 / (2 * h * second)),
            proved("steps without noise and with it", quiet / gain, law),
        ),
    )


def fixed_length_step() -> Derivation:
    """Mean cosines without noise and with it; what a sign step gains of one."""
    t, psi = sp.symbols("t psi", real=True)

    def signs(turned: sp.Expr) -> sp.Expr:
        """In two dimensions, over estimates of one quadrant; the others are alike."""
        gained = sp.cos(t + turned) + sp.sin(t + turned)
        return sp.integrate(gained, (t, 0, sp.pi / 2)) / (sp.pi / 2)

    quiet = angle.kappa(pairs) / angle.kappa(pairs + dimension - 1)
    return Derivation(
        quiet / drift.aim(sp.S.One),
        (
            *angle.mean_cosine(differences="antithetic").steps,
            drift.correlation(),
            proved(
                "progress of a sign step, by the angle: a cosine of the exact signs'",
                signs(psi) / signs(sp.S.Zero),
                sp.cos(psi),
            ),
        ),
    )


def sign_coordinate() -> Derivation:
    """Mean sign of a normal difference."""
    law = 1 / (2 * Phi(sp.sqrt(snr)) - 1)
    centred = phi(_x - sp.sqrt(snr))
    right = Quadrature(centred, (_x, 0, sp.oo))
    wrong = Quadrature(centred, (_x, -sp.oo, 0))
    weak = sp.Limit(law * sp.sqrt(snr), snr, 0)
    return Derivation(
        law,
        (
            checked("mean sign", right - wrong, 1 / law, {snr: sp.Rational(1, 3)}),
            proved("weak signals", weak, sp.sqrt(sp.pi / 2)),
        ),
    )


def _shrinkage(step: sp.Expr, share: sp.Expr) -> sp.Expr:
    """Mean square distance after a step with multiplicative noise, over that before."""
    return (1 - step) ** 2 + step**2 / share


def _length(factor: sp.Expr) -> sp.Expr:
    """Steps over the exact attack's, from the mean square factor of each."""
    return 2 * sp.log(1 - contraction) / sp.log(factor)


def best_constant_step() -> Derivation:
    """The step with the least mean square factor, if it is short enough."""
    mu = sp.Symbol("mu", positive=True)
    nu = sp.Symbol("nu", real=True)
    factor = _shrinkage(mu, snr)
    best = snr / (1 + snr)
    law = sp.Piecewise(
        (_length(1 / (1 + snr)), best <= contraction),
        (_length(_shrinkage(contraction, snr)), True),
    )
    after = expected((1 - mu - mu * nu / sp.sqrt(snr)) ** 2, nu)
    return Derivation(
        law,
        (
            proved("mean square after one step", after, factor),
            proved("level at the best step", sp.Subs(sp.diff(factor, mu), mu, best), 0),
            proved("its factor", factor.subs(mu, best), 1 / (1 + snr)),
        ),
    )


def best_minibatch() -> Derivation:
    """The best number of averaged pairs is a root: Lambert's function."""
    batch = sp.Symbol("batch", positive=True)
    m = contraction
    least = (1 - m) ** 2
    # The factor F at the best B has -ln F = 1 - (1-m)²/F.
    factor = least / sp.LambertW(sp.E * least)
    cost = batch * _length(_shrinkage(m, batch * snr))
    best = m**2 / (snr * (factor - least))
    law = sp.Piecewise(
        (cost.subs(batch, best), best > 1), (_length(_shrinkage(m, snr)), True)
    )
    at = {snr: sp.Rational(1, 50), m: sp.Rational(1, 5)}
    slope = sp.diff(sp.log(cost), batch)
    return Derivation(
        law,
        (
            checked(
                "at the best batch: a larger one saves as much as it costs",
                (1 / batch - slope).subs(batch, best),
                1 / best,
                at,
            ),
            checked("where F solves", 1 - least / factor, sp.log(1 / factor), at),
        ),
    )


def guaranteed_steps() -> Derivation:
    """Markov's inequality for the squared distance."""
    n = sp.Symbol("n", positive=True)
    # P(distance > r) <= E distance²/r², and the best step divides that by 1 + S.
    bound = -n * sp.log(1 + snr) - 2 * sp.log(remaining)
    found = sp.solve(bound - sp.log(miss), n)[0]
    law = (2 * sp.log(1 / remaining) + sp.log(1 / miss)) / sp.log(1 + snr)
    return Derivation(
        law,
        (proved("the count that brings the bound to the miss", found, law),),
    )
