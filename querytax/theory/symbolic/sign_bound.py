"""Where the bounds on flipped signs come from."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic import smoothing
from querytax.theory.symbolic._normal import Phi, phi, quantile, xi
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved
from querytax.theory.symbolic.smoothing import dimension, lipschitz, probe, sigma

gap, smoothed_gap, median_gap, separation, smoothness = sp.symbols(
    "gap smoothed_gap median_gap separation smoothness", positive=True
)
repeats, direction_share = sp.symbols("repeats direction_share", positive=True)
t = sp.Symbol("t", positive=True)


def _spread() -> sp.Expr:
    """Lipschitz constant of the measured difference in its 2Md normal values."""
    return sp.sqrt(2 / repeats) * lipschitz * sigma


def _steepness() -> Equality:
    """M values of weight 1/M on both sides, each of slope Lσ."""
    i = sp.Symbol("i", integer=True)
    squares = sp.Sum((lipschitz * sigma / repeats) ** 2, (i, 1, 2 * repeats))
    return proved("squared slope in all values", squares, _spread() ** 2)


def _chernoff(past: sp.Expr, law: sp.Expr) -> Equality:
    """E exp(t(X - EX)) <= exp(t² s²/2), and the best t."""
    s = _spread()
    exponent = t**2 * s**2 / 2 - t * past
    return proved("least exponent", exponent - law, (t * s - past / s) ** 2 / 2)


def markov() -> Derivation:
    """The mean of |measured - h| is at most twice the mean of L‖σv‖."""
    law = sp.Min(1, 2 * lipschitz * sigma * smoothing.kappa() / gap)
    r = smoothing.r
    moved = sp.integrate(2 * lipschitz * sigma * r * smoothing.chi(), (r, 0, sp.oo))
    right = 2 * lipschitz * sigma * smoothing.kappa() / gap
    return Derivation(law, (proved("mean over size", moved / gap, right),))


def markov_share() -> Derivation:
    """|h| = L μ|ξ| for a linear loss."""
    law = sp.erfc(sp.sqrt(2) * sigma / probe * smoothing.kappa())
    # |ξ| at which Markov's bound is 1.
    size = 2 * lipschitz * sigma * smoothing.kappa() / (lipschitz * probe)
    a = sp.Symbol("a", positive=True)
    tail = 2 * sp.Integral(phi(xi), (xi, a, sp.oo)).doit()
    return Derivation(law, (proved("share of larger |ξ|", tail.subs(a, size), law),))


def markov_noise_ratio() -> Derivation:
    """The inverse of the share."""
    law = -quantile(direction_share / 2) / (2 * smoothing.kappa())
    reach = 2 * law * smoothing.kappa()
    inside = sp.Integral(phi(xi), (xi, -reach, reach))
    at = {direction_share: sp.Rational(1, 3), dimension: 7}
    return Derivation(
        law, (checked("the rest of them", inside, 1 - direction_share, at),)
    )


def concentration() -> Derivation:
    """Gaussian concentration about a mean that lies near the noiseless value."""
    past = gap - 2 * lipschitz * sigma * smoothing.kappa()
    law = -repeats * sp.Max(past, 0) ** 2 / (4 * lipschitz**2 * sigma**2)
    free = sp.Symbol("free", positive=True)
    exponent = -repeats * free**2 / (4 * lipschitz**2 * sigma**2)
    at = {lipschitz: 2, sigma: 1, dimension: 3, gap: 9, repeats: 2}
    shift = smoothing.smoothing_gap().law
    return Derivation(
        sp.exp(law),
        (
            _steepness(),
            _chernoff(free, exponent),
            checked(
                "past what smoothing may bridge at both ends",
                exponent.subs(free, gap - 2 * shift),
                law,
                at,
            ),
        ),
    )


def smoothed() -> Derivation:
    """Gaussian concentration about the mean."""
    law = -repeats * smoothed_gap**2 / (4 * lipschitz**2 * sigma**2)
    return Derivation(sp.exp(law), (_steepness(), _chernoff(smoothed_gap, law)))


def isoperimetric() -> Derivation:
    """A half-space is the set that loses most when it is narrowed."""
    z = median_gap * sp.sqrt(repeats) / (sp.sqrt(2) * lipschitz * sigma)
    law = Phi(-z)
    # A linear loss: the difference is normal about its median.
    y = sp.Symbol("y", real=True)
    density = phi((y - median_gap) / _spread()) / _spread()
    at = {median_gap: 2, repeats: 3, lipschitz: sp.Rational(3, 2), sigma: 1}
    wrong = sp.Rational(1, 2) - sp.Integral(density, (y, 0, median_gap))
    attained = checked("linear losses attain it", wrong, law, at)
    return Derivation(law, (_steepness(), attained))


def smoothing_shift() -> Derivation:
    """Each end moves by the gap; or the slope between them by K σ ‖v‖."""
    bent = smoothness * sigma * smoothing.kappa() * separation
    two = 2 * smoothing.smooth_gap().law
    law = sp.Min(two, bent, 2 * lipschitz * separation)
    r, s = smoothing.r, sp.Symbol("s", positive=True)
    slope = sp.integrate(smoothness * sigma * r * smoothing.chi(), (r, 0, sp.oo))
    along = sp.Integral(slope, (s, 0, separation))
    at = {dimension: 3, sigma: 1, lipschitz: 10**3, smoothness: sp.Rational(1, 7)}
    parabola = smoothness * sigma**2 * dimension
    return Derivation(
        law,
        (
            proved("mean change of slope along the way", along, bent),
            checked("K σ² d where f is nowhere steep", two, parabola, at),
        ),
    )
