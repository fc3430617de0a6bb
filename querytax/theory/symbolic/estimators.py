"""Where the estimators' laws come from: the variance of a mean, and the score."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic import log_ratio
from querytax.theory.symbolic._normal import Phi, phi
from querytax.theory.symbolic.derivation import Derivation, proved

gap, sigma, pairs, probe = sp.symbols("gap sigma pairs probe", positive=True)
correlation = sp.Symbol("correlation", real=True)
output, other_output = sp.symbols("output other_output", positive=True)
relative_sigma, mean_ratio, mean_square_ratio = sp.symbols(
    "relative_sigma mean_ratio mean_square_ratio", positive=True
)
_Z = sp.Symbol("z", real=True)


def _expected(expression: sp.Expr) -> sp.Expr:
    """Of a polynomial in a standard normal z."""
    return sp.integrate(sp.expand(expression) * phi(_Z), (_Z, -sp.oo, sp.oo))


def outputs_first() -> Derivation:
    """The mean difference is normal."""
    a, b = sp.symbols("a b", real=True)
    # Noises a and ρa + √(1-ρ²) b of the two queries of a pair.
    difference = sp.expand((a - correlation * a - sp.sqrt(1 - correlation**2) * b) ** 2)
    variance = difference.subs({a**2: 1, b**2: 1}).subs({a: 0, b: 0})
    deviations = gap * sp.sqrt(pairs) / (sigma * sp.sqrt(2 * (1 - correlation)))
    total = sigma**2 * variance / pairs
    return Derivation(
        Phi(-deviations),
        (proved("deviations of the mean", deviations**2, gap**2 / total),),
    )


def log_first() -> Derivation:
    """The mean of N logarithms is all but normal: N times the SNR of one."""
    effective = log_ratio.effective_snr()
    law = Phi(-sp.sqrt(pairs * effective.law))
    m, v = sp.symbols("m v", positive=True)
    below = Phi(-m / sp.sqrt(v / pairs))
    one = Phi(-sp.sqrt(pairs * (m**2 / v)))
    return Derivation(
        law, (*effective.steps, proved("deviations of the mean", below, one))
    )


def log_first_cost() -> Derivation:
    """Two decision SNRs, one over the other."""
    effective = log_ratio.effective_snr()
    decision = (output - other_output) ** 2 / (2 * sigma**2)
    law = decision / effective.law
    many, few, s1, s2 = sp.symbols("many few s1 s2", positive=True)
    solved = sp.solve(many * s2 - few * s1, many)[0] / few
    same = proved("pairs for the same error", solved, s1 / s2)
    return Derivation(law, (*effective.steps, same))


def likelihood_root() -> Derivation:
    """The root of the score."""
    a = sp.Symbol("a", real=True)
    w = sp.Symbol("w", positive=True)
    # Of one ratio r with density proportional to w exp(-(rw-1)²/(2σ²)), averaged.
    likelihood = sp.log(w) - (mean_square_ratio * w**2 - 2 * mean_ratio * w + 1) / (
        2 * relative_sigma**2
    )
    score = sp.diff(likelihood, w)
    root = sp.sqrt(mean_ratio**2 + 4 * relative_sigma**2 * mean_square_ratio)
    best = (mean_ratio + root) / (2 * mean_square_ratio)
    solved = [r for r in sp.solve(score, w) if sp.simplify(r - best) == 0]
    curvature = sp.diff(likelihood, w, 2)
    return Derivation(
        -sp.log(best),
        (
            proved("the score's root", solved[0] if solved else sp.nan, best),
            proved("no score there", score.subs(w, best), 0),
            proved(
                "a maximum: the curvature is below 0",
                curvature,
                -1 / w**2 - mean_square_ratio / relative_sigma**2,
            ),
            proved("the factor is -ln w", sp.solve(w - sp.exp(-a), a)[0], -sp.log(w)),
        ),
    )


def fisher_information() -> Derivation:
    """The mean square of the score."""
    y, a = sp.symbols("y a", real=True)
    s = relative_sigma
    # y = ln(ratio)/β: the ratio over its truth, times the change of scale.
    ratio = sp.exp(probe * (y - a))
    log_density = probe * (y - a) - (ratio - 1) ** 2 / (2 * s**2)
    score = sp.diff(log_density, a)
    normal = probe * (_Z / s + _Z**2 - 1)
    seen = score.subs(y, a + sp.log(1 + s * _Z) / probe)
    law = probe**2 * (1 / s**2 + 2)
    return Derivation(
        law,
        (
            proved(
                "the score, of the noise", seen, probe * ((1 + s * _Z) * _Z / s - 1)
            ),
            proved("in powers of it", probe * ((1 + s * _Z) * _Z / s - 1), normal),
            proved("its mean is 0", _expected(normal), 0),
            proved("its mean square", _expected(normal**2), law),
        ),
    )


def variance_bound() -> Derivation:
    """One over the information of all."""
    s = relative_sigma
    law = s**2 / (pairs * probe**2 * (1 + 2 * s**2))
    information = pairs * fisher_information().law
    return Derivation(law, (proved("Cramér and Rao", 1 / information, law),))


def variance_bound_of_pairs() -> Derivation:
    """The information matrix of two means, in the direction of their log ratio."""
    factor = (sp.log(output) - sp.log(other_output)) / probe
    slope = sp.Matrix([sp.diff(factor, output), sp.diff(factor, other_output)])
    information = pairs / sigma**2 * sp.eye(2)
    bound = (slope.T * information.inv() * slope)[0]
    law = sigma**2 * (1 / output**2 + 1 / other_output**2) / (pairs * probe**2)
    return Derivation(law, (proved("Cramér and Rao", bound, law),))


def log_bias() -> Derivation:
    """The mean logarithm of a normal ratio around 1."""
    s = relative_sigma
    law = sp.log(s) + log_ratio.g(1 / s)
    # ln(1 + sξ) = sξ - s²ξ²/2 + ...: weak noise.
    series = sp.series(sp.log(1 + s * _Z), s, 0, 3).removeO()
    return Derivation(law, (proved("weak noise", _expected(series), -(s**2) / 2),))
