"""What a decision SNR costs an attacker: queries with noise over queries without.

Each function raises ``DomainError``, naming the parameter, for an argument outside
its stated range. At ``snr = 0`` the ratios are infinite.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory import _angle
from querytax.theory._floats import Array, Floats, by_region, floats, ratio
from querytax.theory.law import law
from querytax.theory.smoothing import mean_norm

__all__ = [
    "best_constant_step",
    "best_minibatch",
    "best_step",
    "cosine",
    "fixed_length_step",
    "guaranteed_steps",
    "plain_drift",
    "sign_coordinate",
    "sign_drift",
    "sign_drift_of",
]

_SNR = "S, decision signal-to-noise ratio of one pair, power ratio, [0, inf)"
_DIMENSION = "d, dimension of the searched space, count, [1, inf)"
_PAIRS = "p, pairs of queries averaged into one gradient estimate, count, [1, inf)"
_ALIGNMENT = "ρ, correlation of response and local slope, ratio, [0, 1]"
_CONTRACTION = "m, noiseless contraction per step, fraction, (0, 1)"


def _broadcast(*values: npt.ArrayLike) -> tuple[Array, ...]:
    return tuple(np.broadcast_arrays(*(floats(value) for value in values)))


def _dilution(dimension: npt.ArrayLike, pairs: npt.ArrayLike) -> Floats:
    d = floats(expect.integer(dimension=dimension))
    return d / (floats(expect.integer(pairs=pairs)) + d + 1.0)


@law(
    formula="R = 1 + (d/(p + d + 1))/S",
    latex=r"R = 1 + \frac{d}{p + d + 1}\,\frac{1}{S}",
    symbols={"snr": _SNR, "dimension": _DIMENSION, "pairs": _PAIRS},
    regime="NES, smooth loss, step tuned at every iterate, S constant along the path",
    source=(
        "derived here for Aithal & Li 2022, Theorem 2, whose printed ratio holds "
        "only up to R = 5"
    ),
)
def best_step(
    snr: npt.ArrayLike, dimension: npt.ArrayLike, pairs: npt.ArrayLike
) -> Floats:
    """Query ratio of an NES attack that takes the best plain step.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    dimension : array_like of int
        Dimension d of the searched space.
    pairs : array_like of int
        Pairs p averaged into one gradient estimate.

    Notes
    -----
    The estimate has E‖ĝ‖² = ‖g‖² (1 + (d + 1 + d/S)/p). The best step on a smooth
    loss gains ‖g‖⁴/(2h E‖ĝ‖²), so the numbers of steps stand as (p+d+1+d/S) to
    (p+d+1).

    Examples
    --------
    >>> round(float(best_step(0.01, 100, 10)), 4)
    91.0901
    """
    share = _dilution(dimension, pairs)
    return 1.0 + ratio(share, expect.nonnegative(snr=snr))


@law(
    formula="R = √(1 + 1/S) κ_{d+1}/(κ_{p+d-1} ₂F₁(1 - p/2, ½; d/2 + 1; S/(1+S)))",
    latex=r"R = \sqrt{1 + \frac1S}\;\frac{\kappa_{d+1}}{\kappa_{p+d-1}}\Big/"
    r"{}_2F_1\left(1 - \tfrac p2, \tfrac12; \tfrac d2 + 1; \tfrac{S}{1+S}\right)",
    symbols={"snr": _SNR, "dimension": _DIMENSION, "pairs": _PAIRS},
    regime=(
        "NES with steps of fixed length, linear loss, far from the walls of the box "
        "and from the minimum: exact for steps along the normalised estimate; for sign "
        "steps with many dimensions and normal gradient entries"
    ),
    source="derived here; Output Randomization 2020, eq. (7), has the step only",
)
def fixed_length_step(
    snr: npt.ArrayLike, dimension: npt.ArrayLike, pairs: npt.ArrayLike
) -> Floats:
    """Query ratio of an NES attack whose steps have a fixed length.

    √(1 + (d/(p + d + 1))/S) for many dimensions, the root of :func:`best_step`.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    dimension : array_like of int
        Dimension d of the searched space.
    pairs : array_like of int
        Pairs p averaged into one gradient estimate.

    Notes
    -----
    A step along the normalised estimate gains its length times the slope times the
    cosine between them. Steps of fixed length add up, so that the numbers of steps
    stand as the mean cosine without noise, κ_p/κ_{p+d-1}, to :func:`cosine`.

    A sign step gains as much where the gradient's entries are N(0, τ²): a coordinate
    of the estimate is g plus a nearly normal error of variance s², and

        E[g (2Φ(g/s) - 1)] = τ² E[2φ(g/s)/s] = √(2/π) τ²/√(τ² + s²)

    (Stein's lemma), which is √(2/π) τ times the cosine.

    Examples
    --------
    >>> round(float(fixed_length_step(0.01, 100, 10)), 4)
    9.676
    """
    s = floats(expect.nonnegative(snr=snr))
    d = floats(expect.integer(dimension=dimension))
    p = floats(expect.integer(pairs=pairs))
    tight, loose = s / (1.0 + s), 1.0 / (1.0 + s)
    integral = _angle.integral(d, p, tight, loose)
    still = np.sqrt(2.0 * np.pi) / mean_norm(p + d - 1.0)
    return ratio(np.sqrt(1.0 + s), np.sqrt(s)) * (still / integral)


@law(
    formula="R = 1/(2Φ(√S) - 1)",
    latex=r"R = \frac{1}{2\Phi(\sqrt{S}) - 1}",
    symbols={"snr": "S of one coordinate's difference, power ratio, [0, inf)"},
    regime="one sign step per coordinate difference; known |slope|, normal noise",
    source="Output Randomization 2020, eq. (7) (row B7); derived here",
)
def sign_coordinate(snr: npt.ArrayLike) -> Floats:
    """Slow-down of a coordinate that moves by the sign of its own noisy difference.

    √(π/(2S)) for small S: a square root, where plain steps pay 1/S.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one coordinate's difference, in [0, inf).

    Examples
    --------
    >>> round(float(sign_coordinate(0.01)), 3)
    12.554
    """
    drift = special.erf(np.sqrt(floats(expect.nonnegative(snr=snr))) / np.sqrt(2.0))
    return ratio(1.0, drift)


def _decay(snr: Array, contraction: Array) -> Array:
    """-ln((1-m)² + m²/S) without cancellation, for S above m/(2-m)."""
    m = contraction
    low, left = np.minimum(m, 0.5), np.square(1.0 - m) + m * (m / snr)
    small = np.log1p(-low * (2.0 - low - low / snr))
    return -np.where(m < 0.5, small, np.log(left))


@law(
    formula="R = 2 ln(1/(1-m))/ln(1+S) if S/(1+S) <= m, "
    "else 2 ln(1/(1-m))/(-ln((1-m)² + m²/S))",
    latex=r"R = \frac{-2\ln(1-m)}{\max_{\mu \le m} "
    r"-\ln\left((1-\mu)^2 + \mu^2/S\right)}",
    symbols={"snr": _SNR, "contraction": _CONTRACTION},
    regime="multiplicative noise model, convergence in mean square, step at most m",
    source="derived here for Aithal & Li 2022, eq. (32), in place of eq. (6)",
)
def best_constant_step(snr: npt.ArrayLike, contraction: npt.ArrayLike) -> Floats:
    """Query ratio of the best constant step, in mean square, over exact steps.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    contraction : array_like
        Fraction m of the distance that a noiseless step removes, in (0, 1); the
        attacker may shorten the step, not lengthen it.

    Notes
    -----
    A step μ multiplies the mean square distance by (1-μ)² + μ²/S, least at
    μ = S/(1+S), where it is 1/(1+S).

    Examples
    --------
    >>> round(float(best_constant_step(0.01, 0.2)), 2)
    44.85
    """
    s, m = _broadcast(
        expect.nonnegative(snr=snr), expect.probability(contraction=contraction)
    )
    short = s * (1.0 - m) <= m
    return by_region(
        (s, m),
        (short, lambda s, m: ratio(-2.0 * np.log1p(-m), np.log1p(s))),
        (~short, lambda s, m: ratio(-2.0 * np.log1p(-m), _decay(s, m))),
    )


def _minibatch_floor(contraction: Array) -> tuple[Array, Array]:
    """The best x = B S and min over x of x·2 ln(1/(1-m))/(-ln((1-m)² + m²/x)).

    With 1 + w = e^v the minimum has v + 1 - e^-v = 2 ln(1/(1-m)), x = m²/((1-m)² w)
    and -ln(...) = 1 - e^-v. Newton's steps rise monotonically to v.
    """
    m = contraction
    length = -np.log1p(-m)
    v = length.copy()
    for _ in range(8):
        v -= (v - np.expm1(-v) - 2.0 * length) / (1.0 + np.exp(-v))
    best = m * (m / (np.square(1.0 - m) * np.expm1(v)))
    return best, best * (2.0 * length / -np.expm1(-v))


@law(
    formula="R = min over B >= 1 of 2 B ln(1/(1-m))/(-ln((1-m)² + m²/(B S)))",
    latex=r"R = \min_{B \ge 1} \frac{-2 B \ln(1-m)}"
    r"{-\ln\left((1-m)^2 + m^2/(B S)\right)}",
    symbols={"snr": _SNR, "contraction": _CONTRACTION},
    regime="multiplicative noise model, mean square, step unchanged, B real",
    source="derived here for Aithal & Li 2022, eq. (32), in place of eq. (6)",
)
def best_minibatch(snr: npt.ArrayLike, contraction: npt.ArrayLike) -> Floats:
    """Query ratio when the step stays and B pairs are averaged into each step.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    contraction : array_like
        Fraction m of the distance that a noiseless step removes, in (0, 1).

    Examples
    --------
    >>> round(float(best_minibatch(0.01, 0.2)), 2)
    49.83
    """
    contraction = floats(expect.probability(contraction=contraction))
    s, m, best, floor = _broadcast(
        expect.nonnegative(snr=snr), contraction, *_minibatch_floor(contraction)
    )
    averages = s < best
    return by_region(
        (s, m, floor),
        (averages, lambda s, m, floor: ratio(floor, s)),
        (~averages, lambda s, m, floor: ratio(-2.0 * np.log1p(-m), _decay(s, m))),
    )


@law(
    formula="N = (2 ln(1/r) + ln(1/ε))/ln(1 + S)",
    latex=r"N = \frac{2\ln(1/r) + \ln(1/\varepsilon)}{\ln(1 + S)}",
    symbols={
        "snr": _SNR,
        "error": "ε, probability of not arriving, probability, (0, 1)",
        "remaining": "r, distance left over distance at the start, ratio, (0, 1)",
    },
    regime="multiplicative noise model, best constant step; sufficient (Markov)",
    source="derived here for Aithal & Li 2022, eq. (32)",
)
def guaranteed_steps(
    snr: npt.ArrayLike, error: npt.ArrayLike, remaining: npt.ArrayLike
) -> Floats:
    """Steps after which the attack has arrived with probability at least 1 - error.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, in [0, inf).
    error : array_like
        Allowed probability ε of not having arrived, in (0, 1).
    remaining : array_like
        Distance r that may remain, as a fraction of the start's, in (0, 1).

    Examples
    --------
    >>> round(float(guaranteed_steps(0.01, 0.01, 0.01)))
    1388
    """
    nats = -2.0 * np.log(floats(expect.probability(remaining=remaining)))
    nats = nats - np.log(floats(expect.probability(error=error)))
    return ratio(nats, np.log1p(floats(expect.nonnegative(snr=snr))))


@law(
    formula="E cos = r (κ_p/κ_{d+1}) ₂F₁(1 - p/2, ½; d/2 + 1; r²), r² = ρ² S/(1 + S)",
    latex=r"\mathbb{E}\cos = r\,\frac{\kappa_p}{\kappa_{d+1}}\,"
    r"{}_2F_1\left(1 - \tfrac p2, \tfrac12; \tfrac d2 + 1; r^2\right),\quad "
    r"r^2 = \frac{\rho^2 S}{1 + S}",
    symbols={
        "snr": _SNR,
        "dimension": _DIMENSION,
        "pairs": _PAIRS,
        "alignment": _ALIGNMENT,
    },
    regime=(
        "exact: normal probes, fresh normal noise, and a response that is linear or "
        "whose rest is normal, with a size that the probe does not change"
    ),
    source="derived here; angle.mean_cosine by the SNR of a pair; κ is mean_norm",
)
def cosine(
    snr: npt.ArrayLike,
    dimension: npt.ArrayLike,
    pairs: npt.ArrayLike,
    alignment: npt.ArrayLike = 1.0,
) -> Floats:
    """Mean cosine between an NES estimate and the descent direction.

    What a step of fixed length along the estimate gains, on average.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, its signal the whole response to the probe, in
        [0, inf).
    dimension : array_like of int
        Dimension d of the searched space.
    pairs : array_like of int
        Pairs p averaged into the estimate.
    alignment : array_like
        Correlation ρ, over probes, of the response with the local slope along the
        probe, in [0, 1]; below 1 where curvature bends a wide probe's response.

    Notes
    -----
    With response G (ρ ĝ·u + √(1-ρ²) ω), ω normal and independent of the probe, and
    noise of variance G²/S, an answer has the correlation r = ρ √(S/(1 + S)) with the
    slope along its probe. The estimate's cosine is W/√(W² + χ²_{d-1}) with
    W = r χ_p + √(1-r²) Z. About r √(p/(d + r² p)) once p or d is large.

    Examples
    --------
    >>> round(float(cosine(1.0, 10, 10)), 6)
    0.576796
    """
    s = floats(expect.nonnegative(snr=snr))
    d = floats(expect.integer(dimension=dimension))
    p = floats(expect.integer(pairs=pairs))
    rho = floats(expect.unit(alignment=alignment))
    share = s / (1.0 + s)
    root = rho * np.sqrt(share)
    loose = 1.0 / (1.0 + s) + (1.0 - rho) * (1.0 + rho) * share
    integral = _angle.integral(d, p, np.square(root), loose)
    # Rounding may lift it above 1.
    return np.minimum(root * (mean_norm(p) / np.sqrt(2.0 * np.pi) * integral), 1.0)


@law(
    formula="c = ρ √(p/(ρ²(p+1) + d + d/S))",
    latex=r"c = \rho\sqrt{\frac{p}{\rho^2 (p + 1) + d + d/S}}",
    symbols={
        "snr": _SNR,
        "dimension": _DIMENSION,
        "pairs": _PAIRS,
        "alignment": _ALIGNMENT,
    },
    regime="exact: normal probes, fresh noise, response uncorrelated but for its slope",
    source="derived here; at ρ = 1, RND 2021, moments of the estimator",
)
def plain_drift(
    snr: npt.ArrayLike,
    dimension: npt.ArrayLike,
    pairs: npt.ArrayLike,
    alignment: npt.ArrayLike = 1.0,
) -> Floats:
    """Drift of a step as long as its NES estimate, over its root-mean-square length.

    ‖E ĝ‖/√E‖ĝ‖². Above :func:`cosine` for few pairs, since long estimates are the
    better aimed; the same once p or d is large.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one pair, its signal the whole response to the probe, in
        [0, inf).
    dimension : array_like of int
        Dimension d of the searched space.
    pairs : array_like of int
        Pairs p averaged into the estimate.
    alignment : array_like
        Correlation ρ, over probes, of the response with the local slope along the
        probe, in [0, 1].

    Notes
    -----
    With response G (ρ ĝ·u + √(1-ρ²) ω), ω uncorrelated with the probe, one pair's
    estimate has second moment G² (ρ²(d+2) + (1-ρ²) d + d/S) and mean ρG along ĝ.

    Examples
    --------
    >>> round(float(plain_drift(1.0, 10, 10)), 6)
    0.567962
    """
    share = floats(expect.nonnegative(snr=snr))
    d = floats(expect.integer(dimension=dimension))
    p = floats(expect.integer(pairs=pairs))
    rho = floats(expect.unit(alignment=alignment))
    # Below 1e-150 the drift goes as √S, and d/S would leave the floats.
    least = np.maximum(share, 1e-150)
    value = rho * np.sqrt(p / (rho * rho * (p + 1.0) + d + d / least))
    return value * np.sqrt(share / least) if np.any(share < least) else value


@law(
    formula="c' = h c/sqrt(1 + c^2 (h^2 - 1)), h = sqrt(2 kappa/pi)",
    latex=r"c' = \frac{h c}{\sqrt{1 + c^2 (h^2 - 1)}},\quad "
    r"h = \sqrt{\frac{2\kappa}{\pi}},\quad "
    r"\kappa = \frac{d\,\|g\|_2^2}{\|g\|_1^2}",
    symbols={
        "cosine": "c, cosine of the estimate with the gradient, ratio, [0, 1]",
        "gain": "h, spread of the gradient over its coordinates, ratio, (0, inf)",
    },
    regime="many coordinates, normal errors alike; exact as c -> 0 and where a share "
    "1/h^2 of the entries is normal and the others are 0; else interpolated",
    limits={
        "cosine <= 0.1, or gain within 0.1 of 1 (normal entries); "
        "sign_drift_of takes the entries": lambda cosine, gain: (
            (np.asarray(cosine) <= 0.1) | (np.abs(np.asarray(gain) - 1.0) <= 0.1)
        )
    },
    source="derived here",
)
def sign_drift(cosine: npt.ArrayLike, gain: npt.ArrayLike = 1.0) -> Floats:
    """Drift of a sign step, as a share of that of the exact gradient's sign.

    Parameters
    ----------
    cosine : array_like
        Cosine of the gradient estimate, in [0, 1].
    gain : array_like
        h = sqrt(2 kappa/pi) with kappa = d |g|_2^2/|g|_1^2: 1 for Gaussian entries,
        above it for a gradient that few coordinates carry.

    Notes
    -----
    A step moves every coordinate by the same length, and its use is weighted by |g_k|:
    the drift is sum |g_k| (2 Phi(|g_k|/s) - 1)/sum |g_k| with the estimate's standard
    deviation s a coordinate. For small c it is sqrt(2/pi) |g|_2^2/(s |g|_1) = h c.

    A gain alone does not fix it beyond: the law is 11 % low for entries of one size at
    c = 0.9, and 23 % high for log-normal ones at c = 0.5. Within the limits it is 6 %
    high for entries of Student's t3, and nearer for uniform or Laplacian ones.

    Examples
    --------
    >>> round(float(sign_drift(0.1, 1.5)), 4)
    0.1491
    """
    c = floats(expect.unit(cosine=cosine))
    h = floats(expect.positive(gain=gain))
    return h * c / np.hypot(np.sqrt((1.0 - c) * (1.0 + c)), h * c)


@law(
    formula="c' = Σ|g_k| erf(z|g_k|/√2)/Σ|g_k|, z = c √d/(√(1-c²) ‖g‖₂)",
    latex=r"c' = \frac{\sum_k |g_k|\,\operatorname{erf}(z |g_k|/\sqrt2)}"
    r"{\sum_k |g_k|},\quad z = \frac{c\sqrt d}{\sqrt{1 - c^2}\,\|g\|_2}",
    symbols={
        "gradient": "g, entries of the gradient or quantiles of their size at the "
        "midpoints of equal shares, any one unit, (..., d), not all 0",
        "cosine": "c, cosine of the estimate with the gradient, ratio, [0, 1]",
    },
    regime="normal errors, independent and alike over the coordinates; many "
    "coordinates, so that the error's length is known",
    source="derived here",
    tables={"gradient": 1},
)
def sign_drift_of(gradient: npt.ArrayLike, cosine: npt.ArrayLike) -> Floats:
    """Drift of a sign step whose gradient is known, over that of the exact signs.

    Parameters
    ----------
    gradient : array_like, shape (..., d)
        Entries g of the gradient, of any sign and scale, not all 0; or quantiles of
        their sizes at the midpoints of equal shares.
    cosine : array_like
        Cosine of the gradient estimate, in [0, 1]; broadcasts against the rows.

    Notes
    -----
    The estimate is g + s ξ with s √d = ‖g‖ √(1-c²)/c. A coordinate's sign is right
    with probability Φ(|g_k|/s), and counts as |g_k|.

    Examples
    --------
    >>> round(float(sign_drift_of([1.0, -1.0, 1.0, 1.0], 0.5)), 4)
    0.4363
    """
    g = np.abs(floats(expect.finite(gradient=gradient)))
    g = g[None] if g.ndim == 0 else g
    most = g.max(axis=-1, keepdims=True)
    some = np.broadcast_to(most > 0.0, g.shape)
    expect.that(some, "to have an entry other than 0", gradient=gradient)
    c = floats(expect.unit(cosine=cosine))
    g = g / most
    with np.errstate(divide="ignore"):
        z = np.minimum(c / np.sqrt((1.0 - c) * (1.0 + c)), 1e100)
    size = g / np.sqrt(np.mean(np.square(g), axis=-1, keepdims=True))
    right = special.erf(z[..., None] * size / np.sqrt(2.0))
    return (np.sum(g * right, axis=-1) / np.sum(g, axis=-1))[()]
