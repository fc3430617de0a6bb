"""How often noise turns one comparison the wrong way.

Each function raises ``DomainError``, naming the parameter, for an argument outside
its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory import _bivariate
from querytax.theory._floats import Array, Floats, ratio
from querytax.theory.law import law
from querytax.theory.snr import averaged

__all__ = [
    "acceptance_correlation",
    "after_repeats",
    "after_unequal_repeats",
    "bent",
    "fixed_direction",
    "log_bent",
    "log_fixed_direction",
    "log_radius",
    "log_random_direction",
    "noisy_layers",
    "over_changes",
    "radius",
    "random_direction",
]

_SNR = "S, decision signal-to-noise ratio of one pair, power ratio, [0, inf)"
_MEAN_SNR = "S, decision SNR averaged over directions, power ratio, [0, inf)"
_FIXED = "normal noise; one direction, whose difference is given"
_RANDOM = "normal differences over directions (linear loss), normal noise"


def _root(snr: npt.ArrayLike) -> Array:
    return np.sqrt(np.asarray(expect.nonnegative(snr=snr), dtype=float))


@law(
    formula="P = Φ(-√S)",
    latex=r"P = \Phi(-\sqrt{S})",
    symbols={"snr": _SNR},
    regime=_FIXED,
    source="Aithal & Li 2022, Remark 2; corrected to raw outputs: Φ(-ΔF/(√2 σ))",
)
def fixed_direction(snr: npt.ArrayLike) -> Floats:
    """Probability that a pair along a given direction shows the wrong sign.

    Parameters
    ----------
    snr : array_like
        Decision SNR of the pair, in [0, inf).

    Examples
    --------
    >>> round(float(fixed_direction(1.0)), 6)
    0.158655
    """
    return special.ndtr(-_root(snr))


@law(
    formula="ln P = ln Φ(-√S)",
    latex=r"\ln P = \ln\Phi(-\sqrt{S})",
    symbols={"snr": _SNR},
    regime=_FIXED,
    source="Aithal & Li 2022, Remark 2; corrected to raw outputs: Φ(-ΔF/(√2 σ))",
)
def log_fixed_direction(snr: npt.ArrayLike) -> Floats:
    """Logarithm of :func:`fixed_direction`, where the probability underflows.

    Parameters
    ----------
    snr : array_like
        Decision SNR of the pair, in [0, inf).

    Examples
    --------
    >>> round(float(log_fixed_direction(1e6)), 2)
    -500007.83
    """
    return special.log_ndtr(-_root(snr))


@law(
    formula="P = arctan(1/√S)/π",
    latex=r"P = \frac{1}{\pi}\arctan\frac{1}{\sqrt{S}}",
    symbols={"snr": _MEAN_SNR},
    regime=_RANDOM,
    source="RFD 2024, Theorem 1, with R = 1/S; the exact form of its correlation",
)
def random_direction(snr: npt.ArrayLike) -> Floats:
    """Share of random directions whose pair shows the wrong sign.

    Parameters
    ----------
    snr : array_like
        Decision SNR averaged over directions, in [0, inf).

    Examples
    --------
    >>> round(float(random_direction(1.0)), 9)
    0.25
    """
    return np.arctan2(1.0, _root(snr)) / np.pi


@law(
    formula="ln P = ln(arctan(1/√S)/π)",
    latex=r"\ln P = \ln\left(\frac{1}{\pi}\arctan\frac{1}{\sqrt{S}}\right)",
    symbols={"snr": _MEAN_SNR},
    regime=_RANDOM,
    source="RFD 2024, Theorem 1, with R = 1/S; the exact form of its correlation",
)
def log_random_direction(snr: npt.ArrayLike) -> Floats:
    """Logarithm of :func:`random_direction`.

    Parameters
    ----------
    snr : array_like
        Decision SNR averaged over directions, in [0, inf).

    Examples
    --------
    >>> round(float(log_random_direction(1.0)), 6)
    -1.386294
    """
    return np.log(random_direction(snr))


@law(
    formula="P(M S)",
    latex=r"P_M(S) = P(M S)",
    symbols={
        "snr": _SNR,
        "repeats": "M, repeats of every query of the pair, count, [1, inf)",
        "direction": "'random' or 'fixed'",
    },
    regime="fresh normal noise per query, averaged before any nonlinear step",
    source="RFD 2024, Theorem 1 with R/M; Aithal & Li 2022, Theorem 4, corrected",
)
def after_repeats(
    snr: npt.ArrayLike, repeats: npt.ArrayLike, direction: str = "random"
) -> Floats:
    """Probability of the wrong sign after each query was repeated and averaged.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    repeats : array_like of int
        Repeats M of every query, at least 1.
    direction : {"random", "fixed"}
        Whether directions are drawn at random or one is given.

    Examples
    --------
    >>> round(float(after_repeats(0.25, 4)), 9)
    0.25
    """
    expect.one_of(("random", "fixed"), direction=direction)
    law_of_one = random_direction if direction == "random" else fixed_direction
    # A product beyond the floats settles the sign all the same.
    return law_of_one(np.minimum(averaged(snr, repeats), 1e300))


@law(
    formula="P(S 2/(1/M + 1/M0))",
    latex=r"P\left(\frac{2 S}{1/M + 1/M_0}\right)",
    symbols={
        "snr": _SNR,
        "repeats": "M, repeats of the query at the candidate, count, [1, inf)",
        "base_repeats": "M0, repeats of the query at the base, count, [1, inf)",
        "direction": "'random' or 'fixed'",
    },
    regime="fresh normal noise per query, averaged before any nonlinear step",
    source="RFD 2024, Theorem 1, with unequal repeats",
)
def after_unequal_repeats(
    snr: npt.ArrayLike,
    repeats: npt.ArrayLike,
    base_repeats: npt.ArrayLike,
    direction: str = "random",
) -> Floats:
    """Probability of the wrong sign when the two queries are repeated unequally.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, one query at each end, in [0, inf).
    repeats, base_repeats : array_like of int
        Repeats M at the candidate and M0 at the base, at least 1. A base that many
        candidates share leaves each one's probability as it is, and correlates them:
        see :func:`acceptance_correlation`.
    direction : {"random", "fixed"}
        Whether directions are drawn at random or one is given.

    Examples
    --------
    >>> float(after_unequal_repeats(0.5, 1, 1))  # doctest: +ELLIPSIS
    0.30408...
    >>> round(float(after_unequal_repeats(0.625, 1, 4)), 9)
    0.25
    """
    expect.one_of(("random", "fixed"), direction=direction)
    law_of_one = random_direction if direction == "random" else fixed_direction
    one = np.asarray(expect.integer(repeats=repeats), dtype=float)
    two = np.asarray(expect.integer(base_repeats=base_repeats), dtype=float)
    share = 0.5 / one + 0.5 / two
    return law_of_one(np.minimum(ratio(expect.nonnegative(snr=snr), share), 1e300))


@law(
    formula="P = arctan(√R)/π, R = 2 Σ σ_l² G_l²/(η² G²)",
    latex=r"P = \frac{1}{\pi}\arctan\sqrt{R},\quad "
    r"R = \frac{2\sum_l \sigma_l^2 G_l^2}{\eta^2 G^2}",
    symbols={
        "gradient_norm": "G, norm of the loss gradient by the input, loss per unit of "
        "input, (0, inf)",
        "step": "η, size of the candidate step ηu, u ~ N(0, I), input, (0, inf)",
        "sigma": "σ_l on the last axis, standard deviation of the noise on each "
        "feature of layer l, feature, (0, inf)",
        "layer_gradient_norm": "G_l on the last axis, norm of the loss gradient by the "
        "features of layer l, loss per unit of feature, [0, inf)",
    },
    regime="loss linear over the step and the noises; one query at each end",
    source="RFD 2024, Theorem 1, exact, its μ = η² and ν = σ²; extended to layers",
    tables={"sigma": 1, "layer_gradient_norm": 1},
)
def noisy_layers(
    gradient_norm: npt.ArrayLike,
    step: npt.ArrayLike,
    sigma: npt.ArrayLike,
    layer_gradient_norm: npt.ArrayLike,
) -> Floats:
    """Share of wrong accept-or-reject signs with noise on several layers' features.

    Parameters
    ----------
    gradient_norm : array_like
        Norm of the loss gradient by the input, in (0, inf).
    step : array_like
        Size η of the candidate step ``ηu``, ``u ~ N(0, I)``, in (0, inf).
    sigma : array_like
        Standard deviation of the noise of each layer, on the last axis, in (0, inf).
    layer_gradient_norm : array_like
        Norm of the loss gradient by each noisy layer's features, on the last axis, in
        [0, inf).

    Examples
    --------
    >>> round(float(noisy_layers(1.0, 0.1, [0.1], [1.0])), 6)
    0.304087
    >>> round(float(noisy_layers(2.0, 0.5, [0.3, 0.4], [1.0, 1.0])), 6)
    0.195913
    """
    width = np.asarray(expect.positive(sigma=sigma), dtype=float)
    slopes = np.asarray(
        expect.nonnegative(layer_gradient_norm=layer_gradient_norm), dtype=float
    )
    slope = np.asarray(expect.positive(gradient_norm=gradient_norm), dtype=float)
    size = np.asarray(expect.positive(step=step), dtype=float)
    # Products and squares by powers of two, so that no part over- or underflows.
    (layers, power), (size, shift) = _product(width, slopes), _product(slope, size)
    top = np.max(np.atleast_1d(power), axis=-1, keepdims=True)
    with np.errstate(under="ignore", over="ignore"):
        parts = np.ldexp(np.atleast_1d(layers), np.atleast_1d(power) - top)
        noise = np.sqrt(2.0 * np.square(parts).sum(axis=-1))
        ratio_of = np.ldexp(noise / size, top[..., 0] - shift)
    return np.arctan(ratio_of) / np.pi


def _product(left: Array, right: Array) -> tuple[Array, Array]:
    """A product of two numbers as a factor near 1 and a power of two."""
    (a, i), (b, j) = np.frexp(left), np.frexp(right)
    whole = a * b
    # A zero must not be the largest of its kind.
    return whole, np.where(whole > 0.0, i + j, -4000)


@law(
    formula="P = mean over i of Φ(-|h_i|/(√2 s))",
    latex=r"P = \frac{1}{n}\sum_i \Phi\left(-\frac{|h_i|}{\sqrt{2}\,s}\right)",
    symbols={
        "gap": "|h_i| on the last axis, noiseless changes over candidates, loss, "
        "[0, inf)",
        "loss_sigma": "s, standard deviation of the noise on one loss, loss, (0, inf)",
    },
    regime="exact for these candidates; normal noise; any law of the changes",
    source="RFD 2024, Theorem 1, conditional on the change; for any probes",
    tables={"gap": 1},
)
def over_changes(gap: npt.ArrayLike, loss_sigma: npt.ArrayLike) -> Floats:
    """Share of wrong signs over given changes of the loss, normal or not.

    Parameters
    ----------
    gap : array_like
        Sizes of the noiseless changes, one per candidate on the last axis, in [0, inf).
    loss_sigma : array_like
        Standard deviation of the noise on one loss, in (0, inf).

    Examples
    --------
    >>> round(float(over_changes([0.0, 1.0], 0.5)), 6)
    0.289325
    """
    sizes = np.atleast_1d(np.asarray(expect.nonnegative(gap=gap), dtype=float))
    s = np.asarray(expect.positive(loss_sigma=loss_sigma), dtype=float)[..., None]
    return special.ndtr(-np.sqrt(0.5) * ratio(sizes, s)).mean(axis=-1)[()]


def _bent(snr: npt.ArrayLike, bend: npt.ArrayLike) -> tuple[Array, Array]:
    """The double sector in which change and noisy change differ in sign."""
    root = _root(snr)
    pull = np.abs(np.asarray(expect.finite(bend=bend), dtype=float))
    root, pull = np.broadcast_arrays(root, np.minimum(pull, 1e150))
    along = 1.0 / np.hypot(1.0, root)
    across = root * along
    angle = np.arctan2(1.0, root)
    return _bivariate.sector((pull * across, pull * along), (pull, 0.0 * pull), angle)


_BEND = {
    "snr": "S, variance of the change over that of its noise, power ratio, [0, inf)",
    "bend": "b, mean of the change over its standard deviation, ratio, (-inf, inf)",
}
_BEND_REGIME = "normal changes with a mean, as curvature gives them; normal noise"


@law(
    formula="P = E Φ(-|H|√S), H ~ N(b, 1)",
    latex=r"P = \mathbb{E}\,\Phi(-|H|\sqrt{S}),\quad H \sim \mathcal{N}(b, 1)",
    symbols=_BEND,
    regime=_BEND_REGIME,
    source="derived here; RFD 2024, Theorem 1, beyond its linear loss",
)
def bent(snr: npt.ArrayLike, bend: npt.ArrayLike) -> Floats:
    """Share of wrong signs where the change of the loss has a mean: a curved loss.

    Parameters
    ----------
    snr : array_like
        Variance of the change over candidates over the variance of its noise, in
        [0, inf); the mean is left out.
    bend : array_like
        Mean of the change over its standard deviation; for a step ``ηu`` and a
        gradient norm G it is η tr(Hessian)/(2G) as long as the slope alone spreads it.

    Notes
    -----
    Change and noise are a point of the plane; the signs differ in a double sector of
    angle arctan(1/√S), whose mass is exp(-b²/2) arctan(1/√S)/π plus positive terms.

    Examples
    --------
    >>> round(float(bent(0.5, 0.0)), 6)
    0.304087
    >>> round(float(bent(0.5, 1.0)), 6)
    0.23848
    """
    # Rounding may lift it above a half.
    return np.minimum(_bivariate.probability(*_bent(snr, bend)), 0.5)


@law(
    formula="ln P, P = E Φ(-|H|√S), H ~ N(b, 1)",
    latex=r"\ln\mathbb{E}\,\Phi(-|H|\sqrt{S}),\quad H \sim \mathcal{N}(b, 1)",
    symbols=_BEND,
    regime=_BEND_REGIME,
    source="derived here; RFD 2024, Theorem 1, beyond its linear loss",
)
def log_bent(snr: npt.ArrayLike, bend: npt.ArrayLike) -> Floats:
    """Logarithm of :func:`bent`, where the probability underflows.

    Parameters
    ----------
    snr : array_like
        Variance of the change over that of its noise, in [0, inf).
    bend : array_like
        Mean of the change over its standard deviation.

    Examples
    --------
    >>> round(float(log_bent(1.0, 100.0)), 3)
    -2505.178
    """
    return _bivariate.logarithm(*_bent(snr, bend))


@law(
    formula="(2/π) arcsin(1/(1 + M0/M + 2 M0 S))",
    latex=r"\frac{2}{\pi}\arcsin\frac{1}{1 + M_0/M + 2 M_0 S}",
    symbols={
        "snr": _MEAN_SNR,
        "repeats": "M, repeats of the query at each candidate, count, [1, inf)",
        "base_repeats": "M0, repeats of the base query that all share, count, [1, inf)",
    },
    regime=_RANDOM + "; independent directions against one averaged noisy base",
    source="derived here for RFD 2024, Theorem 1 and the acceptance rule",
)
def acceptance_correlation(
    snr: npt.ArrayLike, repeats: npt.ArrayLike = 1, base_repeats: npt.ArrayLike = 1
) -> Floats:
    """Correlation of two candidates' acceptances that share one noisy base.

    Two are accepted together with probability 1/4 plus a quarter of it.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, one query at each end, averaged over directions.
    repeats, base_repeats : array_like of int
        Repeats M at each candidate and M0 at the base, at least 1.

    Examples
    --------
    >>> round(float(acceptance_correlation(0.5)), 3)
    0.216
    """
    one = np.asarray(expect.integer(repeats=repeats), dtype=float)
    two = np.asarray(expect.integer(base_repeats=base_repeats), dtype=float)
    s = np.minimum(np.asarray(expect.nonnegative(snr=snr), dtype=float), 1e290)
    return np.arcsin(1.0 / (1.0 + two / one + 2.0 * two * s)) * (2.0 / np.pi)


def _radii(
    gap: npt.ArrayLike,
    slope: npt.ArrayLike,
    sigma: npt.ArrayLike,
    gradient_norm: npt.ArrayLike,
) -> Array:
    change = ratio(expect.nonnegative(gap=gap), expect.positive(sigma=sigma))
    rise = ratio(
        expect.positive(slope=slope), expect.positive(gradient_norm=gradient_norm)
    )
    with np.errstate(over="ignore"):
        return np.minimum(np.minimum(change, 1e300) * np.minimum(rise, 1e300), 1e300)


_RADII = {
    "gap": "|Δr|, best radius less the candidate direction's, input, [0, inf)",
    "slope": "κ, slope of the loss along the direction at the boundary, loss per unit "
    "of input, (0, inf)",
    "sigma": "σ, standard deviation of the noise on each feature, feature, (0, inf)",
    "gradient_norm": "G, norm of the loss gradient by the noisy features, loss per "
    "unit of feature, (0, inf)",
}
_RADII_REGIME = "loss linear between the two radii; one noisy answer, not two"


@law(
    formula="P = Φ(-κ|Δr|/(σ G))",
    latex=r"P = \Phi\left(-\frac{\kappa\,|\Delta r|}{\sigma G}\right)",
    symbols=_RADII,
    regime=_RADII_REGIME,
    source="RFD 2024, eqs. (7)-(9), with the bracket missing in (7)",
)
def radius(
    gap: npt.ArrayLike,
    slope: npt.ArrayLike,
    sigma: npt.ArrayLike,
    gradient_norm: npt.ArrayLike,
) -> Floats:
    """Probability that one label misjudges whether a direction's radius is smaller.

    Parameters
    ----------
    gap : array_like
        Distance between the tested radius and the boundary's, in [0, inf).
    slope : array_like
        Slope of the loss along the direction, at the boundary, in (0, inf).
    sigma : array_like
        Standard deviation of the noise on each feature, in (0, inf).
    gradient_norm : array_like
        Norm of the loss gradient by the noisy features, in (0, inf).

    Examples
    --------
    >>> round(float(radius(0.1, 2.0, 0.2, 1.0)), 6)
    0.158655
    """
    return special.ndtr(-_radii(gap, slope, sigma, gradient_norm))


@law(
    formula="ln P = ln Φ(-κ|Δr|/(σ G))",
    latex=r"\ln P = \ln\Phi\left(-\frac{\kappa\,|\Delta r|}{\sigma G}\right)",
    symbols=_RADII,
    regime=_RADII_REGIME,
    source="RFD 2024, eqs. (7)-(9), with the bracket missing in (7)",
)
def log_radius(
    gap: npt.ArrayLike,
    slope: npt.ArrayLike,
    sigma: npt.ArrayLike,
    gradient_norm: npt.ArrayLike,
) -> Floats:
    """Logarithm of :func:`radius`, where the probability underflows.

    Parameters
    ----------
    gap : array_like
        Distance between the tested radius and the boundary's, in [0, inf).
    slope : array_like
        Slope of the loss along the direction, at the boundary, in (0, inf).
    sigma : array_like
        Standard deviation of the noise on each feature, in (0, inf).
    gradient_norm : array_like
        Norm of the loss gradient by the noisy features, in (0, inf).

    Examples
    --------
    >>> round(float(log_radius(0.1, 2.0, 0.002, 1.0)), 3)
    -5005.524
    """
    return special.log_ndtr(-_radii(gap, slope, sigma, gradient_norm))
