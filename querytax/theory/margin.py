"""Accuracy from margins: noise of any site, once it is linear, is noise on the margin.

A margin is the right class's score less the best other's: positive where the answer
is right. Noise of standard deviation sigma at a site where the margin's gradient has
norm G moves the margin by a normal draw of standard deviation sigma G, at the input
and at a hidden layer alike. Each function raises ``DomainError``, naming the
parameter, for an argument outside its stated range.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory._floats import Array, Floats, by_region, floats, ratio
from querytax.theory.law import law

__all__ = [
    "accuracy",
    "accuracy_loss",
    "ball_flip",
    "flip_share",
    "quantile_sigma",
    "tied_rivals",
]

_SYMBOLS = {
    "margin": "m, margin of each image, right score less best other, margin unit, "
    "finite; images on the last axis",
    "gradient_norm": "G, norm of the margin's gradient at the site, image by image, "
    "margin per unit of the site, (0, inf)",
    "sigma": "σ, standard deviation of the noise at the site, site's unit, (0, inf)",
}
_TABLES = {"margin": 1, "gradient_norm": 1}
_LINEAR = (
    "margin linear over the noise, and one rival a class: with near rivals noise "
    "changes more answers, see accuracy.misclassification"
)
_SOURCE = "RFD 2024, eqs. (13), (14): the mean of Φ(L/(√ν G)), ν a variance there"


def _scaled(
    margin: npt.ArrayLike, gradient_norm: npt.ArrayLike, sigma: npt.ArrayLike
) -> Array:
    """m/(σ G), images on the last axis, between -1e100 and 1e100."""
    m = floats(expect.finite(margin=margin))
    noise = floats(expect.positive(sigma=sigma))[..., None]
    unit = ratio(np.abs(m), expect.positive(gradient_norm=gradient_norm))
    return np.copysign(np.minimum(ratio(unit, noise), 1e100), m)


@law(
    formula="mean of Φ(m/(σ G)) over the images",
    latex=r"\frac{1}{n}\sum_i \Phi\left(\frac{m_i}{\sigma G_i}\right)",
    symbols=_SYMBOLS,
    regime=_LINEAR,
    source=_SOURCE,
    tables=_TABLES,
)
def accuracy(
    margin: npt.ArrayLike, gradient_norm: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Accuracy under noise at one site, from each image's margin and its gradient.

    Parameters
    ----------
    margin : array_like
        Margins m, images on the last axis, finite; negative where the answer is wrong.
    gradient_norm : array_like
        Norms G of the margin's gradient at the site, in (0, inf).
    sigma : array_like
        Standard deviation of the noise at the site, in (0, inf); its shape is that of
        the answer.

    Examples
    --------
    >>> round(float(accuracy([0.1, 0.1, -0.1], 1.0, 0.1)), 6)
    0.613782
    """
    return special.ndtr(_scaled(margin, gradient_norm, sigma)).mean(axis=-1)


@law(
    formula="mean of sign(m) Φ(-|m|/(σ G)) over the images",
    latex=r"\frac{1}{n}\sum_i \operatorname{sgn}(m_i)\,"
    r"\Phi\left(-\frac{|m_i|}{\sigma G_i}\right)",
    symbols=_SYMBOLS,
    regime=_LINEAR,
    source=_SOURCE + "; clean accuracy less it, images wrong at first included",
    tables=_TABLES,
)
def accuracy_loss(
    margin: npt.ArrayLike, gradient_norm: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Accuracy that noise costs: what right images lose less what wrong ones gain.

    The two cancel at first order, so that weak noise costs its square, see
    boundary.net_loss; a margin of zero counts as neither.

    Parameters
    ----------
    margin : array_like
        Margins m, images on the last axis, finite; negative where the answer is wrong.
    gradient_norm : array_like
        Norms G of the margin's gradient at the site, in (0, inf).
    sigma : array_like
        Standard deviation of the noise at the site, in (0, inf).

    Examples
    --------
    >>> round(float(accuracy_loss([0.1, 0.1, -0.1], 1.0, 0.1)), 6)
    0.052885
    """
    t = _scaled(margin, gradient_norm, sigma)
    return (np.sign(t) * special.ndtr(-np.abs(t))).mean(axis=-1)


@law(
    formula="mean of Φ(-|m|/(σ G)) over the images",
    latex=r"\frac{1}{n}\sum_i \Phi\left(-\frac{|m_i|}{\sigma G_i}\right)",
    symbols=_SYMBOLS,
    regime=_LINEAR,
    source="SND 2022, P_mis on clean images; derived here",
    tables=_TABLES,
)
def flip_share(
    margin: npt.ArrayLike, gradient_norm: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Share of answers that noise changes, right to wrong and wrong to right.

    Parameters
    ----------
    margin : array_like
        Margins m, images on the last axis, finite.
    gradient_norm : array_like
        Norms G of the margin's gradient at the site, in (0, inf).
    sigma : array_like
        Standard deviation of the noise at the site, in (0, inf).

    Examples
    --------
    >>> round(float(flip_share([0.1, 0.1, -0.1], 1.0, 0.1)), 6)
    0.158655
    """
    return special.ndtr(-np.abs(_scaled(margin, gradient_norm, sigma))).mean(axis=-1)


@law(
    formula="s = √(2π) q",
    latex=r"s = \sqrt{2\pi}\,q",
    symbols={
        "quantile": "q, margin over G below which a share r of the right images "
        "lies, site's unit, (0, inf)"
    },
    regime=(
        "margins of right images spread evenly from 0 to some s, images wrong at "
        "first not counted; r small"
    ),
    source="derived here for RFD 2024, which puts s proportional to q",
)
def quantile_sigma(quantile: npt.ArrayLike) -> Floats:
    """Noise that changes a share r of the right answers, from the r-quantile of m/G.

    Parameters
    ----------
    quantile : array_like
        Quantile q of the margin over its gradient's norm, in (0, inf).

    Examples
    --------
    >>> round(float(quantile_sigma(0.01)), 6)
    0.025066
    """
    return np.sqrt(2.0 * np.pi) * floats(expect.positive(quantile=quantile))


# --- Many rivals --------------------------------------------------------------------


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
    formula="P = E[1 - Φ(ξ + δ/s)ⁿ]",
    latex=r"P = 1 - \int \varphi(z)\,\Phi\left(z + \frac{\delta}{s}\right)^n dz",
    symbols={
        "gap": "δ, winner's score less each rival's, score, [0, inf)",
        "rivals": "n, rivals with the same score, count, {1, 2, ...}",
        "sigma": "s, standard deviation of the noise on each score, score, (0, inf)",
    },
    regime="exact: equal rivals, independent normal noise on every score",
    source="derived here in place of RFD 2024, eq. (13), which freezes the runner-up",
)
def tied_rivals(
    gap: npt.ArrayLike, rivals: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Probability that noise makes one of n equal rivals win.

    One rival alone would win with probability Φ(-δ/(√2 s)).

    Parameters
    ----------
    gap : array_like
        Winner's score less each rival's, in [0, inf).
    rivals : array_like of int
        Number n of rivals, up to 1e12.
    sigma : array_like
        Standard deviation s of the noise on each score, in (0, inf).

    Examples
    --------
    >>> round(1 - float(tied_rivals(2.0, 9, 1.0)), 4)
    0.6736
    """
    n = floats(expect.integer(rivals=rivals))
    expect.that(n <= 1e12, "at most 1e12", rivals=rivals)
    gap, sigma = expect.nonnegative(gap=gap), expect.positive(sigma=sigma)
    a = np.minimum(ratio(gap, sigma), 1e100)
    few, some, near = n <= 1e2, n <= 1e5, a < 30.0
    return by_region(
        (a, n),
        (near & few, _tied(1e2)),
        (near & some & ~few, _tied(1e5)),
        (near & ~some, _tied(1e12)),
        # From here on two rivals win at once too rarely to show.
        (~near & (n > 0), lambda a, n: n * special.ndtr(-a / np.sqrt(2.0))),
    )


# --- A curved boundary --------------------------------------------------------------


def _leaves(margin: Array, dimension: Array, sigma: Array, radius: Array) -> Array:
    """Over the length c of the noise across the radius, of chance χ_{d-1}."""
    out, inside = ratio(radius, sigma), ratio(radius - margin, sigma)
    power = dimension - 2.0
    middle = np.sqrt(np.maximum(power, 1.0))
    # The density of χ over its greatest value; c is at least zero.
    low = np.maximum(middle - 12.0, 0.0)
    step = (middle + 12.0 - low) / 120.0
    c = low[:, None] + step[:, None] * (np.arange(120) + 0.5)
    drop = power[:, None] * np.log(c / middle[:, None])
    weight = np.exp(drop - 0.5 * (c - middle[:, None]) * (c + middle[:, None]))
    weight /= weight.sum(axis=1, keepdims=True)
    across = np.sqrt((out[:, None] - c) * (out[:, None] + c))
    # √(ρ² - c²) - (ρ - m/σ) without the cancellation.
    lacking = ratio(margin, sigma)[:, None] - c * (c / (across + out[:, None]))
    chance = special.ndtr(-lacking) + special.ndtr(-(across + inside[:, None]))
    # Rounding may lift it above 1.
    return np.minimum((weight * chance).sum(axis=1), 1.0)


@law(
    formula="P(‖x + σξ‖ > ρ), ‖x‖ = ρ - m",
    latex=r"P\left(\lVert x + \sigma\xi\rVert > \rho\right),\qquad "
    r"\lVert x\rVert = \rho - m",
    symbols={
        "depth": "m, distance of the point from the boundary, input, [0, ball_radius]",
        "dimension": "d, dimension of the input, count, {4, 5, ...}",
        "sigma": "σ, standard deviation of the input noise, input, (0, inf)",
        "ball_radius": "ρ, radius of the ball that is the class, input, "
        "at least (√d + 16) σ",
    },
    regime="exact: a class that is a ball, normal noise on the input",
    source="derived here for SND 2022, on votes; a non-central χ² tail",
)
def ball_flip(
    depth: npt.ArrayLike,
    dimension: npt.ArrayLike,
    sigma: npt.ArrayLike,
    ball_radius: npt.ArrayLike,
) -> Floats:
    """Probability that noise takes a point out of a ball-shaped class.

    Noise pushes a point out of a convex class: at a depth below about d σ²/(2ρ) more
    than half of the labels are wrong, and votes then only make it surer.

    Parameters
    ----------
    depth : array_like
        Distance m of the point from the boundary, in [0, ball_radius].
    dimension : array_like of int
        Dimension d of the input, at least 4.
    sigma : array_like
        Standard deviation of the input noise, in (0, inf).
    ball_radius : array_like
        Radius of the ball, at least (√d + 16) σ.

    Examples
    --------
    >>> round(float(ball_flip(0.005, 3072, 0.01, 10.0)), 5)
    0.84987
    """
    m = floats(expect.nonnegative(depth=depth))
    d = floats(expect.integer(4, dimension=dimension))
    s = floats(expect.positive(sigma=sigma))
    rho = floats(expect.positive(ball_radius=ball_radius))
    expect.that(m <= rho, "at most the radius", depth=depth)
    wide = rho >= (np.sqrt(d) + 16.0) * s
    expect.that(wide, "at least (sqrt(dimension) + 16) sigma", ball_radius=ball_radius)
    everywhere = np.ones(np.broadcast_shapes(m.shape, d.shape, s.shape, rho.shape))
    return by_region((m, d, s, rho), (everywhere > 0, _leaves))
