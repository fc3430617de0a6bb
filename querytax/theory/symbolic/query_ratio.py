"""Where the query ratios come from."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic import angle
from querytax.theory.symbolic._normal import Phi, expected, phi
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

snr, dimension, pairs = sp.symbols("snr dimension pairs", positive=True)
contraction, error, remaining = sp.symbols("contraction error remaining", positive=True)
alignment = sp.Symbol("alignment", positive=True)
_x = sp.Symbol("x", real=True)


def _second_moment(rho: sp.Expr) -> sp.Expr:
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
                "second moment of the estimate", g**2 * _second_moment(sp.S.One), second
            ),
            proved("progress of the best step", gain, g**4 / (2 * h * second)),
            proved("steps without noise and with it", quiet / gain, law),
        ),
    )


def _correlation() -> Equality:
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


def _aim(rho: sp.Expr) -> sp.Expr:
    """Mean cosine, by the angle's law."""
    series = sp.hyper(
        [1 - pairs / 2, sp.Rational(1, 2)], [dimension / 2 + 1], _tight(rho)
    )
    scale = angle.kappa(pairs) / angle.kappa(dimension + 1)
    return sp.sqrt(_tight(rho)) * scale * series


def fixed_length_step() -> Derivation:
    """Mean cosines without noise and with it; what a sign step gains of one."""
    g = sp.Symbol("g", real=True)
    tau, s = sp.symbols("tau s", positive=True)
    density = phi(g / tau) / tau
    # A step has the right sign with probability Φ(|g|/s).
    moved = sp.integrate(g * sp.erf(g / (sp.sqrt(2) * s)) * density, (g, -sp.oo, sp.oo))
    whole = sp.integrate(2 * g * density, (g, 0, sp.oo))
    quiet = angle.kappa(pairs) / angle.kappa(pairs + dimension - 1)
    return Derivation(
        quiet / _aim(sp.S.One),
        (
            *angle.mean_cosine(form="antithetic").steps,
            _correlation(),
            proved(
                "progress of a sign step: the cosine's share of the exact signs'",
                moved / whole,
                tau / sp.sqrt(tau**2 + s**2),
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
    found = sp.solve(bound - sp.log(error), n)[0]
    law = (2 * sp.log(1 / remaining) + sp.log(1 / error)) / sp.log(1 + snr)
    return Derivation(
        law,
        (proved("the count that brings the bound to the error", found, law),),
    )


def cosine() -> Derivation:
    """The angle's law at the correlation that alignment and noise leave."""
    steps = angle.mean_cosine(form="antithetic").steps
    return Derivation(_aim(alignment), (*steps, _correlation()))


def plain_drift() -> Derivation:
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
                length**2 / _second_moment(rho),
                law**2,
            ),
        ),
    )


def sign_drift() -> Derivation:
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


def sign_drift_of() -> Derivation:
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
