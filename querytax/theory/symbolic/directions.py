"""Where the budget of queries goes: variances, and the search's integral."""

from __future__ import annotations

from typing import Any

import mpmath
import sympy as sp

from querytax.theory.symbolic._normal import Phi, phi
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

gradient_norm, dimension, probe, sigma = sp.symbols(
    "gradient_norm dimension probe sigma", positive=True
)
queries, repeats, base_repeats = sp.symbols(
    "queries repeats base_repeats", positive=True
)
candidate_sigma, comparison_sigma = sp.symbols(
    "candidate_sigma comparison_sigma", positive=True
)
mean_change = sp.Symbol("mean_change", real=True)
x = sp.Symbol("x", real=True)


def _one(noise: sp.Expr) -> sp.Expr:
    """Total variance of one answer times its probe, noise in units of the slope.

    E(a'u + n)²‖u‖² less ‖a‖², by the coordinate along a and the d - 1 others.
    """
    r = sp.Symbol("r", positive=True)
    fourth, second = (2 * sp.integrate(r**k * phi(r), (r, 0, sp.oo)) for k in (4, 2))
    own = fourth + second * (dimension - 1)
    return gradient_norm**2 * (own + noise * (second * dimension) - 1)


def spread(*, differences: str = "forward") -> Derivation:
    """One direction's variance over the number of directions."""
    d, g, m, n = dimension, gradient_norm, repeats, queries
    ratio = sigma**2 / probe**2
    if differences == "forward":
        law = 2 * g**2 / n * (m * (d + 1) + 2 * d * ratio)
        found = _one(2 * ratio / m) / (n / (2 * m))
    elif differences == "antithetic":
        law = 2 * g**2 / n * (m * (d + 1) + d * ratio / 2)
        found = _one(2 * sigma**2 / m / (2 * probe) ** 2) / (n / (2 * m))
    else:
        law = g**2 * (m * (d + 1) + d * ratio) / (n - m)
        # Helmert's rotation: centred answers are one fewer independent ones.
        found = _one(ratio / m) / (n / m - 1)
    return Derivation(law, (proved("variance over directions", found, law),))


def cached_spread() -> Derivation:
    """The base's noise stands in every answer, and meets independent probes."""
    g, ratio = gradient_norm, sigma**2 / probe**2
    noise = ratio * (1 + 1 / base_repeats)
    law = g**2 * (dimension + 1 + dimension * noise) / (queries - base_repeats)
    found = _one(ratio + ratio / base_repeats) / (queries - base_repeats)
    return Derivation(law, (proved("variance over directions", found, law),))


def best_base_repeats() -> Derivation:
    """The last repeat that pays: cached_spread(M) = cached_spread(M - 1)."""
    c = dimension * sigma**2 / probe**2
    a = dimension + 1 + c
    root = sp.sqrt((a + 2 * c) ** 2 + 4 * a * c * (queries - 1))
    real = (root - a - 2 * c) / (2 * a)
    law = sp.Max(1, sp.ceiling(real))
    spread_ = cached_spread().law
    gain = spread_ - spread_.subs(base_repeats, base_repeats + 1)
    at = {dimension: 7, probe: 1, sigma: 2, queries: 50, gradient_norm: 1}
    return Derivation(
        law,
        (
            checked(
                "one more changes nothing", gain.subs(base_repeats, real) + 1, 1, at
            ),
        ),
    )


def _progress() -> sp.Expr:
    s = sp.sqrt(candidate_sigma**2 + comparison_sigma**2 / repeats)
    return candidate_sigma**2 / s * phi(mean_change / s) - mean_change * Phi(
        -mean_change / s
    )


def _integral() -> Equality:
    """The change that a measured one below 0 stands for, by normal regression."""
    width = sp.Symbol("width", positive=True)
    # Accepted below an edge x; its density in x is what a measured x stands for.
    z = (x - mean_change) / width
    below = candidate_sigma**2 / width * phi(z) - mean_change * Phi(z)
    share = candidate_sigma**2 / width**2
    regressed = -(mean_change + share * (x - mean_change)) * phi(z) / width
    return proved("density of what is accepted", sp.diff(below, x), regressed)


def progress() -> Derivation:
    """The mean over candidates, and its fall with the measured spread."""
    return Derivation(_progress(), (_integral(),))


def progress_per_query() -> Derivation:
    """Progress over the repeats that it took."""
    law = _progress() / repeats
    level = candidate_sigma / sp.sqrt(
        2 * sp.pi * repeats * (repeats + comparison_sigma**2 / candidate_sigma**2)
    )
    return Derivation(
        law, (_integral(), proved("at m = 0", law.subs(mean_change, 0), level))
    )


class _Best(sp.Function):
    """The whole number with the most progress per repeat, from m/s_H and s_N/s_H."""

    nargs = 2

    def _eval_evalf(self, prec: int) -> Any:
        mu, noise = (sp.N(a, 60) for a in self.args)
        value = [_gain(mu, noise, sp.S.One)]
        while len(value) < 4 or max(value[-3:]) > value[-4] or max(value) <= 0:
            value.append(_gain(mu, noise, sp.Integer(len(value) + 1)))
            if mu <= 0 and len(value) > 4:
                break
        return sp.Float(value.index(max(value)) + 1, mpmath.libmp.prec_to_dps(prec))


def _gain(mu: sp.Expr, noise: sp.Expr, count: sp.Expr) -> sp.Expr:
    point = {
        mean_change: mu,
        candidate_sigma: 1,
        comparison_sigma: noise,
        repeats: count,
    }
    return sp.N((_progress() / repeats).subs(point), 40)


def best_repeats() -> Derivation:
    """Where one repeat more stops to pay: M E'(M) = E(M), in k = M s_H²/s_N²."""
    k, mu = sp.symbols("k mu", positive=True)
    noise = sp.Symbol("noise", positive=True)
    point = {mean_change: mu, candidate_sigma: 1, comparison_sigma: noise}
    gain = (_progress() / repeats).subs(point)
    slope = (repeats**2 * sp.diff(gain, repeats)).subs(repeats, k * noise**2)
    q = k / (1 + k)
    t = mu * sp.sqrt(q)
    level = (1 - q) * (t**2 * (1 - q) + q) / 2 - q
    stationary = (phi(t) * level + t * Phi(-t)) / sp.sqrt(q)
    at = {k: sp.Rational(3, 2), mu: sp.Rational(2, 3), noise: 2}
    law = _Best(mean_change / candidate_sigma, comparison_sigma / candidate_sigma)
    return Derivation(
        law,
        (checked("slope in the repeats, whatever the noise", slope, stationary, at),),
    )
