"""Accuracy from margins: noise of any site, once it is linear, is noise on the margin.

A margin is the right class's score less the best other's: positive where the answer
is right. Noise of standard deviation sigma at a site where the margin's gradient has
norm G moves the margin by a normal draw of standard deviation sigma G, at the input
and at a hidden layer alike.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from querytax import expect
from querytax.theory.law import Given, law
from querytax.theory.numerics.floats import Array, Floats, by_region, over, ratio

_LINEAR = (
    "margin linear over the noise, and one rival a class: with near rivals noise "
    "changes more answers, see accuracy.misclassification"
)
_SOURCE = "RFD 2024, eqs. (13), (14): the mean of Φ(L/(√ν G)), ν a variance there"


def _scaled(margins: Array, site_gradient_norms: Array, sigma: Array) -> Array:
    """m/(σ G), images on the last axis, between -1e100 and 1e100."""
    size = over(ratio(np.abs(margins), site_gradient_norms), sigma[..., None])
    return np.copysign(np.minimum(size, 1e100), margins)


@law(
    "mean of Φ(m_i/(σ G_i)) over the images",
    _SOURCE,
    regime=_LINEAR,
    value="[0, 1]",
)
def accuracy(margins: Given, site_gradient_norms: Given, sigma: Given) -> Floats:
    """Accuracy under noise at one site, from margins and their gradients.

    >>> round(float(accuracy([0.1, 0.1, -0.1], 1.0, 0.1)), 6)
    0.613782
    """
    return special.ndtr(_scaled(margins, site_gradient_norms, sigma)).mean(axis=-1)


@law(
    "mean of sign(m_i) Φ(-|m_i|/(σ G_i)) over the images",
    _SOURCE + "; clean accuracy less it, images wrong at first included",
    regime=_LINEAR,
    value="[-1/2, 1/2]",
)
def accuracy_loss(margins: Given, site_gradient_norms: Given, sigma: Given) -> Floats:
    """Accuracy that noise costs: what right images lose, wrong ones gain.

    The two cancel at first order, so that weak noise costs its square, see
    boundary.net_loss; a margin of zero counts as neither.

    >>> round(float(accuracy_loss([0.1, 0.1, -0.1], 1.0, 0.1)), 6)
    0.052885
    """
    t = _scaled(margins, site_gradient_norms, sigma)
    return (np.sign(t) * special.ndtr(-np.abs(t))).mean(axis=-1)


@law(
    "mean of Φ(-|m_i|/(σ G_i)) over the images",
    "SND 2022, P_mis on clean images; derived here",
    regime=_LINEAR,
    value="[0, 1/2]; rises in site_gradient_norms sigma",
)
def flip_share(margins: Given, site_gradient_norms: Given, sigma: Given) -> Floats:
    """Share of answers that noise changes, to wrong or to right.

    >>> round(float(flip_share([0.1, 0.1, -0.1], 1.0, 0.1)), 6)
    0.158655
    """
    t = np.abs(_scaled(margins, site_gradient_norms, sigma))
    return special.ndtr(-t).mean(axis=-1)


@law(
    "σ = √(2π) q",
    "derived here for RFD 2024, which puts σ proportional to q",
    regime="right images' m/G spread evenly from 0 to some σ, images wrong at first "
    "not counted; so r is small",
    value="[0, inf]; rises in quantile",
)
def quantile_sigma(quantile: Given) -> Floats:
    """Noise that changes a share r of right answers, by m/G's r-quantile.

    >>> round(float(quantile_sigma(0.01)), 6)
    0.025066
    """
    return np.sqrt(2.0 * np.pi) * quantile


def _tied(most: float) -> Callable[[Array, Array], Array]:
    """E[1 - Φ(z + a)ⁿ], n <= most, by the trapezoidal rule on positive terms."""
    # The maximum of many is a Gumbel variable of scale 1/size, and the rule errs by
    # exp(-π²/(size step)).
    size = np.sqrt(2.0 * np.log(most + 1.0))
    step, reach = min(0.25, 0.28 / size), 10.0 + size
    grid = np.arange(-reach, reach + step, step)

    def value(a: Array, n: Array) -> Array:
        z = grid - 0.5 * a[:, None]
        lost = -np.expm1(n[:, None] * special.log_ndtr(z + a[:, None]))
        return step / np.sqrt(2.0 * np.pi) * (np.exp(-0.5 * z * z) * lost).sum(axis=1)

    return value


@law(
    "P = E[1 - Φ(ξ + ΔF/σ)ⁿ]",
    "derived here in place of RFD 2024, eq. (13), which freezes the runner-up",
    regime="equal rivals, independent normal noise on every score",
    domain={"rivals": "{1, ..., 1000000000000}"},
    value="[0, 1]; rises in rivals sigma; falls in gap",
)
def tied_rivals(gap: Given, sigma: Given, rivals: Given) -> Floats:
    """Probability that noise makes one of n equal rivals win.

    One rival alone would win with probability Φ(-ΔF/(√2 σ)).

    >>> round(1 - float(tied_rivals(2.0, 1.0, 9)), 4)
    0.6736
    """
    a = np.minimum(over(gap, sigma), 1e100)
    few, some, near = rivals <= 1e2, rivals <= 1e5, a < 30.0
    return by_region(
        (a, rivals),
        (near & few, _tied(1e2)),
        (near & some & ~few, _tied(1e5)),
        (near & ~some, _tied(1e12)),
        # From here on two rivals win at once too rarely to show.
        (~near, lambda a, n: n * special.ndtr(-a / np.sqrt(2.0))),
    )


# e^-τ²/2 has vanished at the last; the rule errs by exp(-2π/0.15) and less.
_HEIGHTS = 0.15 * np.arange(59)


def _leaves(depth: Array, radius: Array, dimension: Array) -> Array:
    """P(X > ρ²) of the non-central χ², by its moment generating function E exp(sX).

    (1/2πi) ∫ E exp(s(X - ρ²)) ds/s over s > 0, in η: √(1 - 2s) = 1 + η/ρ, where the
    integrand falls like exp(-τ²/2) along any η + iτ; to the right of the pole at s = 0
    it is the probability of staying, negative.
    """
    centre = radius - depth
    gained = depth * (radius + centre)  # ρ² - r²
    # The saddle point, a root of (1 + v)² ρ² - (1 + v) d = r² without cancellation.
    double, root = 2.0 * radius**2 - dimension, np.hypot(dimension, 2 * radius * centre)
    v = np.where(double > 0.0, 2.0 * (dimension - gained), root - double)
    v /= np.where(double > 0.0, double + root, 2.0 * radius**2)
    start = radius * v / (1.0 + np.sqrt(1.0 + v))
    # At least 1 from the pole, and far from the branch point at -ρ.
    stays = (start >= 0.0) | ((start > -1.0) & (radius < 8.0))
    start = np.where(stays, np.maximum(start, 1.0), np.minimum(start, -1.0))
    eta = start[:, None] + 1j * _HEIGHTS
    rho, r, d = radius[:, None], centre[:, None], dimension[:, None]
    step = eta / rho
    v = step * (2.0 + step)
    power = v * gained[:, None] + np.square(r * v) / (1.0 + v) - d * special.log1p(v)
    terms = (np.exp(0.5 * power) * (1.0 + step) / (eta * (1.0 + 0.5 * step))).real
    terms[:, 0] *= 0.5
    return stays - 0.15 / np.pi * terms.sum(axis=1)


@law(
    "P = P(‖x + σξ‖ > R), ‖x‖ = R - m",
    "derived here for SND 2022, on votes; a non-central χ² tail",
    regime="a class that is a ball, normal noise on the input",
    value="[0, 1]; rises in dimension sigma; falls in depth ball_radius",
)
def ball_flip(
    depth: Given, ball_radius: Given, sigma: Given, dimension: Given
) -> Floats:
    """Probability that noise takes a point out of a ball-shaped class.

    Noise pushes a point out of a convex class: at a depth below about d σ²/(2R) more
    than half of the labels are wrong, and votes then only make it surer. Right to 1e-13
    relatively, in the tails of 1e9 dimensions to 3e-11.

    >>> round(float(ball_flip(0.005, 10.0, 0.01, 3072)), 5)
    0.84987
    """
    expect.that(depth <= ball_radius, "at most the radius", depth=depth)
    # A ball so small holds nothing, and one so large is a half-space.
    radius = np.clip(over(ball_radius, sigma), 1e-100, 1e100)
    m = np.minimum(over(depth, sigma), radius)
    # The noise is longer than that with a chance below exp(-800).
    never = m > np.sqrt(dimension) + 40.0
    value = by_region(
        (m, radius, dimension),
        (~never, _leaves),
        (never, lambda m, *_: np.zeros_like(m)),
    )
    return np.clip(value, 0.0, 1.0)
