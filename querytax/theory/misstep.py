"""How often noise turns one comparison the wrong way."""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax.theory.law import Given, law
from querytax.theory.numerics import bivariate as _bivariate
from querytax.theory.numerics.floats import Array, Floats, over, ratio
from querytax.theory.relations import log_of
from querytax.theory.snr import averaged

_RANDOM = "normal differences over directions (linear loss), normal noise"
_FRESH = "fresh normal noise per query, averaged before any nonlinear step"


@law(
    "P = Φ(-√S)",
    "Aithal & Li 2022, Remark 2; corrected to raw outputs: Φ(-ΔF/(√2 σ))",
    regime="normal noise; one direction, whose difference is given",
    value="[0, 1/2]; falls in snr",
)
def fixed_direction(snr: Given) -> Floats:
    """Probability that a pair along a given direction shows the wrong sign.

    >>> round(float(fixed_direction(1.0)), 6)
    0.158655
    """
    return special.ndtr(-np.sqrt(snr))


log_fixed_direction = log_of(
    fixed_direction, lambda snr: special.log_ndtr(-np.sqrt(snr))
)


@law(
    "P = arctan(1/√S)/π",
    "RFD 2024, Theorem 1, with R = 1/S; the exact form of its correlation",
    regime=_RANDOM,
    value="[0, 1/2]; falls in snr",
)
def random_direction(snr: Given) -> Floats:
    """Share of random directions whose pair shows the wrong sign.

    ``snr`` is averaged over directions.

    >>> round(float(random_direction(1.0)), 9)
    0.25
    """
    return np.arctan2(1.0, np.sqrt(snr)) / np.pi


log_random_direction = log_of(random_direction)


def _law_of_one(direction: str, snr: Array) -> Floats:
    # A product beyond the floats settles the sign all the same.
    one = random_direction if direction == "random" else fixed_direction
    return one(np.minimum(snr, 1e300))


@law(
    "P(M S), P the law of one pair",
    "RFD 2024, Theorem 1 with R/M; Aithal & Li 2022, Theorem 4, corrected",
    regime=_FRESH,
    value="[0, 1/2]; falls in snr repeats",
)
def after_repeats(snr: Given, repeats: Given, direction: str = "random") -> Floats:
    """Probability of the wrong sign with both queries repeated and averaged.

    >>> round(float(after_repeats(0.25, 4)), 9)
    0.25
    """
    return _law_of_one(direction, averaged(snr, repeats))


@law(
    "P(2 S/(1/M + 1/M₀)), P the law of one pair",
    "RFD 2024, Theorem 1, with unequal repeats",
    regime=_FRESH,
    value="[0, 1/2]; falls in snr repeats base_repeats",
)
def after_unequal_repeats(
    snr: Given, repeats: Given, base_repeats: Given, direction: str = "random"
) -> Floats:
    """Probability of the wrong sign with unequal repeats of the two queries.

    >>> float(after_unequal_repeats(0.5, 1, 1))  # doctest: +ELLIPSIS
    0.30408...
    >>> round(float(after_unequal_repeats(0.625, 1, 4)), 9)
    0.25
    """
    return _law_of_one(direction, ratio(snr, 0.5 / repeats + 0.5 / base_repeats))


@law(
    "P = arctan(√R)/π, R = 2 Σ σ_i² G_i²/(η² G²)",
    "RFD 2024, Theorem 1, exact, its μ = η² and ν = σ²; extended to layers",
    regime="loss linear over the step and the noises; one query at each end",
    domain={
        "gradient_norm": "(0, inf)",
        "site_gradient_norms": "[0, inf)",
        "candidate_step": "(0, inf)",
    },
    value="[0, 1/2]; falls in gradient_norm candidate_step",
)
def noisy_layers(
    gradient_norm: Given,
    site_gradient_norms: Given,
    candidate_step: Given,
    sigmas: Given,
) -> Floats:
    """Share of wrong accept-or-reject signs, with noise on several layers.

    >>> round(float(noisy_layers(1.0, 1.0, 0.1, 0.1)), 6)
    0.304087
    >>> round(float(noisy_layers(2.0, [1.0, 1.0], 0.5, [0.3, 0.4])), 6)
    0.195913
    """
    # Products and squares by powers of two, so that no part over- or underflows.
    layers, power = _product(sigmas, site_gradient_norms)
    size, shift = _product(gradient_norm, candidate_step)
    top = power.max(axis=-1, keepdims=True)
    with np.errstate(under="ignore", over="ignore"):
        noise = np.sqrt(2.0 * np.square(np.ldexp(layers, power - top)).sum(axis=-1))
        return np.arctan(np.ldexp(noise / size, top[..., 0] - shift)) / np.pi


def _product(left: Array, right: Array) -> tuple[Array, Array]:
    """A product of two numbers as a factor near 1 and a power of two."""
    (a, i), (b, j) = np.frexp(left), np.frexp(right)
    whole = a * b
    # A zero must not be the largest of its kind.
    return whole, np.where(whole > 0.0, i + j, -4000)


@law(
    "P = mean over i of Φ(-ΔF_i/(√2 s))",
    "RFD 2024, Theorem 1, conditional on the change; for any probes",
    regime="exact for these candidates; normal noise; any law of the changes",
    value="[0, 1/2]; rises in loss_sigma",
)
def over_changes(gaps: Given, loss_sigma: Given) -> Floats:
    """Share of wrong signs over given changes of the loss, normal or not.

    >>> round(float(over_changes([0.0, 1.0], 0.5)), 6)
    0.289325
    """
    each = special.ndtr(-np.sqrt(0.5) * over(gaps, loss_sigma[..., None]))
    return each.mean(axis=-1)[()]


def _bent(snr: Array, bend: Array) -> tuple[Array, Array]:
    """The double sector in which change and noisy change differ in sign."""
    root, pull = np.broadcast_arrays(np.sqrt(snr), np.minimum(np.abs(bend), 1e150))
    along = 1.0 / np.hypot(1.0, root)
    angle = np.arctan2(1.0, root)
    start = pull * (root * along), pull * along
    return _bivariate.sector(start, (pull, 0.0 * pull), angle)


@law(
    "P = E Φ(-|x|√S), x ~ N(b, 1)",
    "derived here; RFD 2024, Theorem 1, beyond its linear loss",
    regime="normal changes with a mean, as curvature gives them; normal noise",
    value="[0, 1/2]; falls in snr",
)
def bent(snr: Given, bend: Given) -> Floats:
    """Share of wrong signs where changes have a mean: a curved loss.

    ``snr`` is the variance of the change over that of its noise. Change and noise are a
    point of the plane; the signs differ in a double sector of angle arctan(1/√S), whose
    mass is exp(-b²/2) arctan(1/√S)/π plus positive terms. It falls with abs(b).

    >>> round(float(bent(0.5, 0.0)), 6)
    0.304087
    >>> round(float(bent(0.5, 1.0)), 6)
    0.23848
    """
    # Rounding may lift it above a half.
    return np.minimum(_bivariate.probability(*_bent(snr, bend)), 0.5)


log_bent = log_of(bent, lambda snr, bend: _bivariate.logarithm(*_bent(snr, bend)))


@law(
    "(2/π) arcsin(1/(1 + M₀/M + 2 M₀ S))",
    "derived here for RFD 2024, Theorem 1 and the acceptance rule",
    regime=_RANDOM + "; independent directions against one averaged noisy base",
    value="[0, 1]; rises in repeats; falls in snr base_repeats",
)
def acceptance_correlation(
    snr: Given, repeats: Given = 1, base_repeats: Given = 1
) -> Floats:
    """Correlation of two candidates' acceptances that share one noisy base.

    Two are accepted together with probability 1/4 plus a quarter of it.

    >>> round(float(acceptance_correlation(0.5)), 3)
    0.216
    """
    noises = 1.0 + base_repeats / repeats
    both = noises + 2.0 * base_repeats * np.minimum(snr, 1e290)
    return np.arcsin(1.0 / both) * (2.0 / np.pi)


def _radii(
    radius_gap: Array, slope: Array, site_gradient_norm: Array, sigma: Array
) -> Floats:
    """κΔr/(σG), of parts that may lie beyond the floats."""
    change, rise = over(radius_gap, sigma), ratio(slope, site_gradient_norm)
    with np.errstate(over="ignore"):
        return np.minimum(np.minimum(change, 1e300) * np.minimum(rise, 1e300), 1e300)


@law(
    "P = Φ(-κΔr/(σG))",
    "RFD 2024, eqs. (7)-(9), with the bracket missing in (7)",
    regime="loss linear between the two radii; one noisy answer, not two",
    value="[0, 1/2]; rises in sigma site_gradient_norm; falls in radius_gap slope",
)
def radius(
    radius_gap: Given, slope: Given, site_gradient_norm: Given, sigma: Given
) -> Floats:
    """Probability that one label misjudges whether a radius is the smaller.

    >>> round(float(radius(0.1, 2.0, 1.0, 0.2)), 6)
    0.158655
    """
    return special.ndtr(-_radii(radius_gap, slope, site_gradient_norm, sigma))


log_radius = log_of(radius, lambda **given: special.log_ndtr(-_radii(**given)))


@law(
    "P = 2 Φ(-ΔF/(√2 s))",
    "SND 2022, section 3.2; corrected: two answers, and both sides",
    regime="normal noise on both answers, no change of the loss",
    value="[0, 1]; rises in loss_sigma; falls in gap",
)
def moved(gap: Given, loss_sigma: Given) -> Floats:
    """Chance that noise alone moves a difference of two losses by so much.

    >>> round(float(moved(0.1, 0.05)), 6)
    0.157299
    """
    return special.erfc(over(0.5 * gap, loss_sigma))
