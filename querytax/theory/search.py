"""Searches that keep an incumbent and accept what looks better, under noise.

A candidate changes the true loss by Δ, better if negative, and is accepted if its
noisy answer beats what is believed of the incumbent: the one lucky answer that made it
(stale), a fresh answer asked beside each candidate (asked again), or the mean of all
answers about it, one more beside each candidate (averaged). Queries counted here are
those of candidates and of the incumbent beside them, not the search's first answer.
Each function raises ``DomainError``, naming the parameter, for an argument outside its
stated range.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.theory import _incumbent, _search
from querytax.theory._floats import Array, Floats, by_region, floats, ratio
from querytax.theory.directions import progress
from querytax.theory.law import RegimeWarning, law

__all__ = [
    "averaged_progress",
    "log_stale_ratio",
    "queries",
    "requeried_progress",
    "requeried_ratio",
    "stale_progress",
    "stale_ratio",
]

MODES = ("stale", "requery", "mean")

_SIGMA = "σ, standard deviation of one answer's noise, output unit, [0, inf)"
_SPREAD = "s_H, standard deviation of a candidate's true change, output unit, (0, inf)"
_MEAN = "m, mean true change of the loss by a candidate, output unit, finite"
_REPEATS = "M, repeats of every query, averaged, count, [1, inf)"
_DELTAS = (
    "Δ, sampled true changes of the loss by a candidate, output unit, finite; "
    "candidates on the last axis"
)
_SAMPLE = {"deltas": _DELTAS, "sigma": _SIGMA, "repeats": _REPEATS}
_EXACT = (
    "exact: changes of one law all the way, fresh normal noise on every answer, "
    "a long way"
)
_GRID = (
    "one law of changes all the way, fresh normal noise, a long way; numerically to "
    "1 % for σ <= s_H and 3 % for σ <= 1.3 s_H, from there on the low side in queries"
)
_SOURCE = "derived here"
_ROOT2 = float(np.sqrt(2.0))


# --- Closed forms of a noisy search's queries over a noiseless one's -----------------


@law(
    formula="R = 2M E(0)/E(√2 σ), E(s_N) = (s_H²/S) φ(m/S) - m Φ(-m/S), "
    "S² = s_H² + s_N²/M; at m = 0: R = 2M √(1 + 2σ²/(M s_H²))",
    latex=r"R = \frac{2M\,E(0)}{E(\sqrt2\,\sigma)},\quad E(s_N) = \frac{s_H^2}{S}\,"
    r"\varphi\left(\frac{m}{S}\right) - m\,\Phi\left(-\frac{m}{S}\right),\quad "
    r"S^2 = s_H^2 + \frac{s_N^2}{M}",
    symbols={
        "sigma": _SIGMA,
        "candidate_sigma": _SPREAD,
        "mean": _MEAN,
        "repeats": _REPEATS,
    },
    regime="exact: normal changes of one law all the way, fresh normal noise, a long "
    "way; infinite where noise makes the search accept more harm than good",
    source=_SOURCE,
)
def requeried_ratio(
    sigma: npt.ArrayLike,
    candidate_sigma: npt.ArrayLike,
    mean: npt.ArrayLike = 0.0,
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Queries over those of a noiseless search, if the incumbent is asked again.

    The noiseless search asks one question a candidate and knows its incumbent. The
    ratio is at least 2M, and infinite where the search makes no progress.

    Parameters
    ----------
    sigma : array_like
        Standard deviation of one answer's noise, in [0, inf).
    candidate_sigma : array_like
        Standard deviation s_H of a candidate's true change, in (0, inf).
    mean : array_like
        Mean true change m by a candidate; above 0 where curvature works against it.
    repeats : array_like of int
        Repeats M of every query, averaged.

    Examples
    --------
    >>> requeried_ratio([1.0, 2.0, 10.0], 1.0).round(2).tolist()
    [3.46, 6.0, 28.35]
    >>> requeried_ratio(2.0, 1.0, 0.3, [1, 4]).round(1).tolist()
    [inf, 21.9]
    """
    own = floats(expect.positive(candidate_sigma=candidate_sigma))
    m = floats(expect.finite(mean=mean))
    count = floats(expect.integer(repeats=repeats))
    noise = _ROOT2 * floats(expect.nonnegative(sigma=sigma)) / np.sqrt(count)
    m, own, noise, count = np.broadcast_arrays(m, own, noise, count)
    helped = m <= 0.0

    def gain(m: Array, own: Array, noise: Array, count: Array) -> Array:
        return 2.0 * count * ratio(progress(m, own, 0.0), progress(m, own, noise))

    return by_region((m, own, noise, count), (helped, gain), (~helped, _hindered))


def _hindered(m: Array, own: Array, noise: Array, count: Array) -> Array:
    """Both in units of the normal density, which may be 0 in floats."""
    width = np.hypot(own, noise)
    quiet, loud = np.square(own / width), np.square(noise / width)
    still = np.minimum(ratio(m, own), 1e100)
    t = still * (own / width)
    clear = _search.kept(still, np.ones_like(t), np.zeros_like(t))
    kept = _search.kept(t, quiet, loud)
    gains = kept > 0.0
    # Progress needs loud < 1/t², so that the normal densities stay comparable.
    bells = np.exp(-0.5 * np.square(still) * loud)
    paid = bells * (own / width) * ratio(clear, np.where(gains, kept, 1.0))
    return np.where(gains, 2.0 * count * paid, np.inf)


@law(
    formula="ln R, R = ln 2/E[ln(1 + e^Y) - Y/(1 + e^-Y)], Y ~ N(-τ², 2τ²), "
    "τ = π σ/(√3 s_H)",
    latex=r"\ln R,\quad R = \frac{\ln 2}{\mathbb{E}\left[\ln(1 + e^Y) - "
    r"\frac{Y}{1 + e^{-Y}}\right]},\ Y \sim \mathcal{N}(-\tau^2, 2\tau^2),\ "
    r"\tau = \frac{\pi\sigma}{\sqrt3\,s_H}",
    symbols={"sigma": _SIGMA, "candidate_sigma": _SPREAD},
    regime=f"{_EXACT}, and logistic changes of mean 0",
    source=_SOURCE,
)
def log_stale_ratio(sigma: npt.ArrayLike, candidate_sigma: npt.ArrayLike) -> Floats:
    """Logarithm of :func:`stale_ratio`, which itself soon passes the largest float.

    Parameters
    ----------
    sigma, candidate_sigma
        As in :func:`requeried_ratio`.

    Notes
    -----
    For large τ it is τ²/4 + ln(τ ln 2/√π).

    Examples
    --------
    >>> round(float(log_stale_ratio(100.0, 1.0)), 3)
    8228.932
    """
    own = floats(expect.positive(candidate_sigma=candidate_sigma))
    tau = ratio(expect.nonnegative(sigma=sigma), own * (np.sqrt(3.0) / np.pi))
    return _incumbent.log_stale_ratio(tau)


@law(
    formula="R = ln 2/E[ln(1 + e^Y) - Y/(1 + e^-Y)], Y ~ N(-τ², 2τ²), τ = π σ/(√3 s_H)",
    latex=r"R = \frac{\ln 2}{\mathbb{E}\left[\ln(1 + e^Y) - "
    r"\frac{Y}{1 + e^{-Y}}\right]},\quad Y \sim \mathcal{N}(-\tau^2, 2\tau^2),\ "
    r"\tau = \frac{\pi\sigma}{\sqrt3\,s_H}",
    symbols={"sigma": _SIGMA, "candidate_sigma": _SPREAD},
    regime=f"{_EXACT}, and logistic changes of mean 0; real attacks need fewer queries "
    "beyond σ = s_H",
    source=_SOURCE,
)
def stale_ratio(sigma: npt.ArrayLike, candidate_sigma: npt.ArrayLike) -> Floats:
    """Queries over those of a noiseless search that never asks its incumbent again.

    Cheaper than asking again while σ is below about s_H; the search all but freezes
    beyond about 2 s_H.

    Parameters
    ----------
    sigma, candidate_sigma
        As in :func:`requeried_ratio`.

    Notes
    -----
    By detailed balance the stored error is N(-σ²/s, σ²), s = √3 s_H/π the scale of
    the changes: the search believes in its luck.

    Examples
    --------
    >>> stale_ratio([0.5, 1.0, 2.0], 1.0).round(2).tolist()
    [1.33, 2.9, 48.3]
    """
    with np.errstate(over="ignore"):
        return np.exp(log_stale_ratio(sigma, candidate_sigma))


# --- From samples of the changes ------------------------------------------------------


def _sampled(
    deltas: npt.ArrayLike, sigma: npt.ArrayLike, repeats: npt.ArrayLike
) -> tuple[Array, Array, Array]:
    """Changes, noise of an averaged answer, and repeats."""
    changes = floats(expect.finite(deltas=deltas))
    expect.that(changes.size > 0, "a sample on the last axis", deltas=deltas)
    count = floats(expect.integer(repeats=repeats))
    noise = floats(expect.nonnegative(sigma=sigma)) / np.sqrt(count)
    return np.atleast_1d(changes), noise, count


@law(
    formula="g = mean of -Δ Φ(-Δ √M/(√2 σ)) over the sample, over 2M",
    latex=r"g = \frac{1}{2M}\,\mathbb{E}\left[-\Delta\,\Phi\left(-\frac{\Delta"
    r"\sqrt M}{\sqrt2\,\sigma}\right)\right]",
    symbols=_SAMPLE,
    regime=_EXACT,
    source=_SOURCE,
    tables={"deltas": 1},
)
def requeried_progress(
    deltas: npt.ArrayLike, sigma: npt.ArrayLike, repeats: npt.ArrayLike = 1
) -> Floats:
    """Mean fall of the true loss per query, if the incumbent is asked again.

    Negative where noise makes the search accept more harm than good.

    Parameters
    ----------
    deltas : array_like, shape (..., candidates)
        Sampled true changes Δ of the loss, better if negative.
    sigma : array_like
        Standard deviation of one answer's noise; broadcasts with the other axes.
    repeats : array_like of int
        Repeats M of every query, averaged.

    Examples
    --------
    >>> requeried_progress([-1.0, 0.0, 2.0], [0.0, 1.0, 2.0]).round(4).tolist()
    [0.1667, 0.1005, 0.0264]
    """
    changes, noise, count = _sampled(deltas, sigma, repeats)
    return (0.5 * _incumbent.requeried(changes, noise)[0] / count)[()]


@law(
    formula="g = E[-Δ 1(Δ + e < b)]/M, e ~ N(0, σ²/M), b of the stationary law: "
    "p(b) P(Δ + e < b) = φ(b) ∫ p(c) P(Δ < c - b) dc",
    latex=r"g = \frac1M\,\mathbb{E}\left[-\Delta\,1(\Delta + e < b)\right],\quad "
    r"p(b)\,P(\Delta + e < b) = \varphi_e(b)\int p(c)\,P(\Delta < c - b)\,dc",
    symbols=_SAMPLE,
    regime=_GRID,
    source=_SOURCE,
    tables={"deltas": 1},
)
def stale_progress(
    deltas: npt.ArrayLike, sigma: npt.ArrayLike, repeats: npt.ArrayLike = 1
) -> Floats:
    """Mean fall of the true loss per query, if the incumbent is never asked again.

    The incumbent's stored error b is that of the answer which was accepted.

    Parameters
    ----------
    deltas, sigma, repeats
        As in :func:`requeried_progress`.

    Examples
    --------
    >>> stale_progress([-1.0, 0.0, 2.0], [0.0, 1.0, 2.0]).round(3).tolist()
    [0.333, 0.044, 0.0]
    """
    changes, noise, count = _sampled(deltas, sigma, repeats)
    return (_incumbent.stale(changes, noise)[0] / count)[()]


@law(
    formula="g = E[-Δ 1(Δ + e < b)]/(2M), b the mean of all answers about the "
    "incumbent, in the stationary law of b and their number",
    latex=r"g = \frac{1}{2M}\,\mathbb{E}\left[-\Delta\,1(\Delta + e < \bar b)\right]",
    symbols=_SAMPLE,
    regime=_GRID.replace("1.3", "2"),
    source=_SOURCE,
    tables={"deltas": 1},
)
def averaged_progress(
    deltas: npt.ArrayLike, sigma: npt.ArrayLike, repeats: npt.ArrayLike = 1
) -> Floats:
    """Mean fall of the true loss per query, if the incumbent's answers are averaged.

    Each candidate comes with one more answer about the incumbent; the answer that made
    it counts for as much as any other.

    Parameters
    ----------
    deltas, sigma, repeats
        As in :func:`requeried_progress`.

    Examples
    --------
    >>> averaged_progress([-1.0, 0.0, 2.0], [0.0, 1.0, 2.0]).round(3).tolist()
    [0.167, 0.114, 0.054]
    """
    changes, noise, count = _sampled(deltas, sigma, repeats)
    return (0.5 * _incumbent.averaged(changes, noise)[0] / count)[()]


@law(
    formula="Q = Σ ∫ J dx over the stages, x the fall so far: v J'/2 + g J = 1, J "
    "continuous, 1/g at first; ends at G + E[Δ₋²]/(2 E Δ₋)",
    latex=r"Q = \int J\,dx,\quad \tfrac12 v_i J' + g_i J = 1,\quad J(0) = \frac1{g_1},"
    r"\quad 0 \le x \le G + \frac{\mathbb{E}\Delta_-^2}{2\,\mathbb{E}\Delta_-}",
    symbols={
        "gap": "G, fall of the true loss that is wanted, output unit, [0, inf)",
        "deltas": "Δ, sampled true changes of the loss at each stage of the way, "
        "output unit, finite; stages and candidates on the last two axes",
        "weights": "w, share of the way that each stage covers, [0, 1], sum 1; stages "
        "on the last axis",
        "sigma": _SIGMA,
        "mode": "'stale', 'requery' or 'mean': what is believed of the incumbent",
        "repeats": _REPEATS,
    },
    regime="the changes' laws hold wherever a noisy search goes, and a stage takes a "
    "few accepted steps: to 4 % of the chain where every stage gains ground, up to a "
    "half too few queries (safe) where a later one loses some. "
    "'stale' to about 10 % while σ/√M <= s_H of every stage, beyond it too many "
    "queries (unsafe): half of the searches take far fewer than the mean",
    source="derived here: first passage of a diffusion, ends moved as by renewal",
    tables={"deltas": 2, "weights": 1},
)
def queries(
    gap: npt.ArrayLike,
    deltas: npt.ArrayLike,
    weights: npt.ArrayLike,
    sigma: npt.ArrayLike,
    mode: str = "stale",
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Mean number of queries until the true loss has fallen by the gap.

    Infinite where the first stage makes no progress; a later one without is passed by
    chance. Warns with ``RegimeWarning``
    if a stale incumbent meets more noise than its candidates spread.

    Parameters
    ----------
    gap : array_like
        Fall G of the true loss that is wanted, in [0, inf).
    deltas : array_like, shape (..., stages, candidates)
        Sampled true changes Δ of the loss at each stage, better if negative.
    weights : array_like, shape (..., stages)
        Share of the gap that each stage covers, sum 1.
    sigma : array_like
        Standard deviation of one answer's noise, in [0, inf).
    mode : {"stale", "requery", "mean"}
        Whether the incumbent's one answer stands, is asked for again with each
        candidate, or is averaged with one more each time.
    repeats : array_like of int
        Repeats M of every query, averaged.

    Notes
    -----
    ``gap``, ``sigma``, ``repeats`` and the leading axes of the tables broadcast.

    Examples
    --------
    >>> steps = [[-2.0, -1.0, 0.0, 1.0], [-0.5, 0.0, 0.5, 1.0]]
    >>> queries(10.0, steps, [0.5, 0.5], [0.0, 0.3]).round(1).tolist()
    [43.1, 70.5]
    >>> queries(10.0, steps, [0.5, 0.5], [0.0, 0.3], "requery").round(1).tolist()
    [86.2, 108.6]
    """
    expect.one_of(MODES, mode=mode)
    way = floats(expect.nonnegative(gap=gap))
    changes, noise, count = _sampled(deltas, sigma, repeats)
    changes = np.atleast_2d(changes)
    # In a unit of the largest change, so that no square leaves the floats.
    unit = _incumbent.unit_of(np.abs(changes).max(axis=(-2, -1)))
    changes = changes / unit[..., None, None]
    way, noise = ratio(way, unit), ratio(noise, unit)
    shares = np.atleast_1d(floats(expect.unit(weights=weights)))
    whole = np.abs(shares.sum(axis=-1, keepdims=True) - 1.0) <= 1e-9
    expect.that(whole & (shares >= 0.0), "with sum 1", weights=shares)
    walked = shares > 0.0
    if mode == "stale" and np.any(walked & (noise[..., None] > changes.std(axis=-1))):
        warnings.warn(
            "search.queries wants sigma/sqrt(repeats) <= the candidates' standard "
            "deviation at every stage, where the incumbent is stale",
            RegimeWarning,
            stacklevel=3,
        )
    solved = {
        "stale": _incumbent.stale,
        "requery": _incumbent.requeried,
        "mean": _incumbent.averaged,
    }[mode]
    # A pair of questions a candidate, but where the incumbent is not asked again.
    cost = count * (1.0 if mode == "stale" else 2.0)
    with np.errstate(invalid="ignore"):
        ways = np.where(walked, way[..., None] * shares, 0.0)
    moments = solved(changes, noise[..., None])
    return (_incumbent.candidates(ways, changes, *moments) * cost)[()]
