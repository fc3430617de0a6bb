"""Where the floors come from: divergences of normal answers, and what they must pay."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import Phi, phi, quantile
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

error, sigma, gap, excess = sp.symbols("error sigma gap excess", positive=True)
dimension, gradient_norm, radius, queries = sp.symbols(
    "dimension gradient_norm radius queries", positive=True
)
margin = sp.Symbol("margin", real=True)
_y = sp.Symbol("y", real=True)
_n = sp.Symbol("n", positive=True)


def _binary() -> sp.Expr:
    """Divergence of two opposite verdicts, d(ε)."""
    return (1 - 2 * error) * sp.log((1 - error) / error)


def _answer(mean: sp.Expr) -> sp.Expr:
    return phi((_y - mean) / sigma) / sigma


def _paid(distance: sp.Expr) -> sp.Integral:
    """Divergence of one answer, in nats, if the means are so far apart."""
    # ln of the quotient of the two densities, expanded.
    ratio = (_y**2 - (_y - distance) ** 2) / (2 * sigma**2)
    return sp.Integral(sp.expand(ratio * _answer(distance)), (_y, -sp.oo, sp.oo))


def _verdicts() -> Equality:
    cost = (1 - error) * sp.log((1 - error) / error)
    cost += error * sp.log(error / (1 - error))
    at = {error: sp.Rational(1, 7)}
    return checked("divergence of the verdicts", cost, _binary(), at)


def pairs_per_sign() -> Derivation:
    """Error of the mean of n differences, the likelihood-ratio test, solved for n."""
    law = 2 * sigma**2 * quantile(error) ** 2 / gap**2
    # The mean of n differences has variance 2σ²/n.
    wrong = Phi(-gap / sp.sqrt(2 * sigma**2 / _n))
    spread = sp.sqrt(2 * sigma**2 / _n)
    density = phi((_y - gap) / spread) / spread
    at = {sigma: sp.Rational(1, 3), gap: sp.Rational(1, 5), error: sp.Rational(1, 7)}
    return Derivation(
        law,
        (
            checked(
                "mass of the mean below 0",
                Quadrature(density, (_y, -sp.oo, 0)),
                wrong,
                {**at, _n: 5},
            ),
            checked("its value at the law's count", wrong.subs(_n, law), error, at),
        ),
    )


def queries_any_attacker() -> Derivation:
    """Each query pays at most the divergence of one answer (Wald)."""
    law = 2 * sigma**2 * _binary() / gap**2
    return Derivation(
        law, (_verdicts(), proved("cost over payment", _binary() / _paid(gap), law))
    )


def gradient_signs() -> Derivation:
    """Pinsker's bound for the mean coordinate, with all queries at the radius."""
    law = ((1 - 2 * error) * dimension * sigma / (gradient_norm * radius)) ** 2
    # Flipping sign i moves an answer by 2 u_i G/√d; Σ u_i² = r² over d coordinates.
    moved = 4 * (radius**2 / dimension) * gradient_norm**2 / dimension
    nats = _n * _paid(gap).doit().subs(gap, sp.sqrt(moved))
    # Share of wrong signs >= (1 - total variation)/2, and that <= √(nats/2).
    wrong = (1 - sp.sqrt(nats / 2)) / 2
    x = sp.Symbol("x", positive=True)
    # Pinsker is tight to second order for two nearby verdicts 1/2 ± x.
    binary = (sp.S.Half + x) * sp.log((1 + 2 * x) / (1 - 2 * x))
    binary += (sp.S.Half - x) * sp.log((1 - 2 * x) / (1 + 2 * x))
    return Derivation(
        law,
        (
            proved(
                "Pinsker is tight for near-even verdicts",
                sp.Limit(binary / (2 * (2 * x) ** 2), x, 0),
                1,
            ),
            checked(
                "share of wrong signs at the law's count",
                wrong.subs(_n, law),
                error,
                {
                    error: sp.Rational(1, 7),
                    dimension: 11,
                    sigma: sp.Rational(1, 3),
                    gradient_norm: 2,
                    radius: sp.Rational(3, 5),
                },
            ),
        ),
    )


def explained_fraction() -> Derivation:
    """Posterior of a normal prior, all directions equally informed."""
    tau = queries * gradient_norm**2 * radius**2 / (dimension**2 * sigma**2)
    law = tau / (1 + tau)
    prior = gradient_norm**2 / dimension
    # Each coordinate gets its share of T r² of squared probe.
    weight = queries * radius**2 / dimension
    w = sp.Symbol("w", positive=True)
    left = 1 / (1 / prior + w / sigma**2)
    shift = sp.Symbol("shift", positive=True)
    uneven = (left.subs(w, w + shift) + left.subs(w, w - shift)) / 2 - left
    precision, change = 1 / left, shift / sigma**2
    return Derivation(
        law,
        (
            proved("variance left, as a share", 1 - left.subs(w, weight) / prior, law),
            proved(
                "more is left where the shares differ",
                uneven,
                change**2 / (precision * (precision**2 - change**2)),
            ),
        ),
    )


def optimisation_1d() -> Derivation:
    """Two functions b² apart whose errors nowhere both pass below b²/(6 + 4√2)."""
    b, x, s = sp.symbols("b x s", positive=True)
    # f0 = x²/2, f1' = x - ψ, ψ a triangle of height b over [-b, 3b], slopes ±1/2.
    rising, falling = (s + b) / 2, (3 * b - s) / 2
    apart = sp.Integral(rising, (s, -b, b)) + sp.Integral(falling, (s, b, 3 * b))
    constant = 6 + 4 * sp.sqrt(2)
    # f1 is least at b, where ψ = x.
    first, second = x**2 / 2, (b - x) ** 2 / 4
    cross = sp.solve(first - second, x)
    worst = next(root for root in cross if root.subs(b, 1) > 0) ** 2 / 2
    apart_at_most = queries_any_attacker()
    law = apart_at_most.law.subs(gap, constant * excess)
    return Derivation(
        law,
        (
            *apart_at_most.steps,
            proved("f1 - f0 falls by 2b², from b² to -b²", apart, 2 * b**2),
            proved(
                "error of f1 left of its minimum",
                sp.Integral(rising - s, (s, x, b)),
                second,
            ),
            proved("where the errors cross they are least", b**2 / worst, constant),
        ),
    )


def optimisation() -> Derivation:
    """A cube of minima, its side the one that hides most."""
    side = sp.Symbol("side", positive=True)
    # Minima at (±μ, ..., ±μ): flipping sign i moves f by 2μ|x_i|, and Σ x_i² <= B².
    nats = queries * _paid(gap).doit().subs(gap, 2 * side * radius / sp.sqrt(dimension))
    variation = sp.sqrt(nats / 2)
    # A wrong sign costs μ²/2, and a share (1 - variation)/2 is wrong.
    excess_at = dimension * side**2 / 2 * (1 - variation) / 2
    best = sp.solve(sp.diff(excess_at, side), side)[0]
    hidden = dimension**2 * sigma**2 / (27 * queries * radius**2)
    # A cube that would leave the ball ends at it: d μ² = B².
    law = sp.Min(hidden, radius**2 / 12)
    point = {dimension: 11, sigma: sp.Rational(1, 3), radius: 2, queries: 300}
    return Derivation(
        law,
        (
            proved("excess of the best cube", excess_at.subs(side, best), hidden),
            checked("a cube inside the ball", law, hidden, point),
            checked(
                "a cube that ends at the ball: a third of the verdicts is left",
                law,
                (dimension * side**2 / 12).subs(side, radius / sp.sqrt(dimension)),
                {**point, queries: 1, sigma: 3},
            ),
        ),
    )


def _information() -> sp.Expr:
    u = margin / (sp.sqrt(2) * sigma)
    return phi(u) ** 2 / (2 * sigma**2 * Phi(u) * Phi(-u))


def _label() -> tuple[Equality, ...]:
    """Score of a label: the difference of two noisy outputs has variance 2σ²."""
    right = Phi(margin / (sp.sqrt(2) * sigma))
    wrong = 1 - right
    score = sp.diff(right, margin) ** 2 / right + sp.diff(wrong, margin) ** 2 / wrong
    at = {margin: sp.Rational(1, 5), sigma: sp.Rational(1, 3)}
    edge = sp.Limit(_information(), margin, 0)
    return (
        checked("mean square of the label's score", score, _information(), at),
        proved("on the boundary", edge, 1 / (sp.pi * sigma**2)),
    )


def hard_label_information() -> Derivation:
    """Squared slope of each label's probability over itself."""
    return Derivation(_information(), _label())
