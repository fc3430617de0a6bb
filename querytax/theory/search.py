"""Searches that keep an incumbent and accept what looks better, under noise.

A candidate changes the true loss by Δ, better if negative, and is accepted if its
noisy answer beats what is believed of the incumbent: the one lucky answer that made it
(stale), a fresh answer asked beside each candidate (asked again), or the mean of all
answers about it, one more beside each candidate (averaged). Queries counted here are
those of candidates and of the incumbent beside them, not the search's first answer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from querytax import expect
from querytax.theory.directions import progress
from querytax.theory.law import Given, law
from querytax.theory.numerics import incumbent as _incumbent
from querytax.theory.numerics import search as _search
from querytax.theory.numerics.floats import Array, Floats, by_region, ratio
from querytax.theory.numerics.gaussian import ROOT2
from querytax.theory.relations import log_of

_LONG = "changes of one law all the way, fresh normal noise on every answer, a long way"
_SOURCE = "derived here"


# --- Closed forms of a noisy search's queries over a noiseless one's -----------------


@law(
    "R = 2M E(0)/E(√2 s), E(s_N) = (s_H²/w) φ(m/w) - m Φ(-m/w), "
    "w² = s_H² + s_N²/M; at m = 0: R = 2M √(1 + 2s²/(M s_H²))",
    _SOURCE,
    regime="normal " + _LONG,
    value="[2, inf]; rises in loss_sigma mean_change",
)
def requeried_ratio(
    candidate_sigma: Given,
    loss_sigma: Given,
    mean_change: Given = 0.0,
    repeats: Given = 1,
) -> Floats:
    """Queries over a noiseless search's, if the incumbent is asked again.

    The noiseless search asks one question a candidate and knows its incumbent. The
    ratio is at least 2M, and infinite where noise makes the search accept more harm
    than good.

    >>> requeried_ratio([1.0, 2.0, 10.0], 1.0).round(2).tolist()
    [3.46, 2.45, 2.02]
    >>> requeried_ratio(1.0, 2.0, 0.3, [1, 4]).round(1).tolist()
    [inf, 21.9]
    """
    m, own, count = mean_change, candidate_sigma, repeats
    noise = ROOT2 * loss_sigma / np.sqrt(count)

    def gain(m: Array, own: Array, noise: Array, count: Array) -> Array:
        return 2.0 * count * ratio(progress(m, own, 0.0), progress(m, own, noise))

    return by_region((m, own, noise, count), (m <= 0.0, gain), (m > 0.0, _hindered))


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
    "R = ln 2/E[ln(1 + e^Y) - Y/(1 + e^-Y)], Y ~ N(-τ², 2τ²), τ = π s/(√3 s_H)",
    _SOURCE,
    regime="logistic " + _LONG + "; mean 0",
    value="[1, inf]; rises in loss_sigma; falls in candidate_sigma",
)
def stale_ratio(candidate_sigma: Given, loss_sigma: Given) -> Floats:
    """Queries over a noiseless search's, if the incumbent is never asked again.

    Cheaper than asking again while s is below about s_H; the search all but freezes
    beyond about 2 s_H. Real attacks need fewer queries beyond s = s_H.

    By detailed balance the stored error is N(-s²/b, s²), b = √3 s_H/π the scale of
    the changes: the search believes in its luck. The logarithm of the ratio goes as
    τ²/4 + ln(τ ln 2/√π).

    >>> stale_ratio(1.0, [0.5, 1.0, 2.0]).round(2).tolist()
    [1.33, 2.9, 48.3]
    """
    with np.errstate(over="ignore"):
        return np.exp(_log_stale_ratio(candidate_sigma, loss_sigma))


def _log_stale_ratio(candidate_sigma: Given, loss_sigma: Given) -> Floats:
    tau = ratio(loss_sigma, candidate_sigma * (np.sqrt(3.0) / np.pi))
    return _incumbent.log_stale_ratio(tau)


log_stale_ratio = log_of(stale_ratio, _log_stale_ratio)


# --- From samples of the changes ------------------------------------------------------


def _sampled(deltas: Array, loss_sigma: Array, repeats: Array) -> tuple[Array, Array]:
    """Changes, and the noise of an averaged answer."""
    expect.that(deltas.size > 0, "a sample on the last axis", deltas=deltas)
    return deltas, loss_sigma / np.sqrt(repeats)


def _quiet(deltas: Array, noise: Array, times: float = 1.0) -> Floats:
    """Whether the noise of an answer is at most so many times the changes' spread."""
    unit = _incumbent.unit_of(np.abs(deltas).max(axis=-1))
    return ratio(noise, unit) <= times * (deltas / unit[..., None]).std(axis=-1)


def _at_most(times: float) -> dict[str, Callable[..., Floats]]:
    return {
        f"loss_sigma/√repeats <= {times} of the changes' standard deviation": (
            lambda deltas, loss_sigma, repeats=1: _quiet(
                deltas, loss_sigma / np.sqrt(repeats), times
            )
        )
    }


@law(
    "g = E[-δ Φ(-δ √M/(√2 s))]/(2M) over the sample",
    _SOURCE,
    regime=_LONG,
)
def requeried_progress(deltas: Given, loss_sigma: Given, repeats: Given = 1) -> Floats:
    """Mean fall of the loss per query, if the incumbent is asked again.

    Negative where noise makes the search accept more harm than good.

    >>> requeried_progress([-1.0, 0.0, 2.0], [0.0, 1.0, 2.0]).round(4).tolist()
    [0.1667, 0.1005, 0.0264]
    """
    moments = _incumbent.requeried(*_sampled(deltas, loss_sigma, repeats))
    return (0.5 * moments[0] / repeats)[()]


@law(
    "g = E[-δ 1(δ + e < b)]/M, e ~ N(0, s²/M), b of the stationary law: "
    "p(b) P(δ + e < b) = φ(b) ∫ p(c) P(δ < c - b) dc",
    _SOURCE,
    regime=_LONG,
    kind="approximation",
    limits=_at_most(1.3),
)
def stale_progress(deltas: Given, loss_sigma: Given, repeats: Given = 1) -> Floats:
    """Mean fall of the loss per query, if the incumbent is never asked again.

    The incumbent's stored error b is that of the answer which was accepted. Solved on a
    grid: to 1 % for noise up to the changes' standard deviation, to 3 % up to the
    limit; from there on it promises too few queries.

    >>> stale_progress([-1.0, 0.0, 2.0], [0.0, 1.0]).round(3).tolist()
    [0.333, 0.044]
    """
    moments = _incumbent.stale(*_sampled(deltas, loss_sigma, repeats))
    return (moments[0] / repeats)[()]


@law(
    "g = E[-δ 1(δ + e < b)]/(2M), b the mean of all answers about the "
    "incumbent, in the stationary law of b and their number",
    _SOURCE,
    regime=_LONG,
    kind="approximation",
    limits=_at_most(2.0),
)
def averaged_progress(deltas: Given, loss_sigma: Given, repeats: Given = 1) -> Floats:
    """Mean fall of the loss per query, if the incumbent's answers are averaged.

    Each candidate comes with one more answer about the incumbent; the answer that made
    it counts for as much as any other. As accurate as :func:`stale_progress`.

    >>> averaged_progress([-1.0, 0.0, 2.0], [0.0, 1.0, 2.0]).round(3).tolist()
    [0.167, 0.114, 0.054]
    """
    moments = _incumbent.averaged(*_sampled(deltas, loss_sigma, repeats))
    return (0.5 * moments[0] / repeats)[()]


_MOMENTS = {
    "stale": _incumbent.stale,
    "requery": _incumbent.requeried,
    "mean": _incumbent.averaged,
}


def _trusted(
    deltas: Array,
    stage_shares: Array,
    loss_sigma: Array,
    repeats: Array,
    incumbent: str = "stale",
) -> Floats:
    noise = np.asarray(loss_sigma / np.sqrt(repeats))[..., None]
    idle = (stage_shares <= 0.0) | (incumbent != "stale")
    return (idle | _quiet(deltas, noise)).all(axis=-1)


@law(
    "Q = Σ ∫ J dx over the stages, x the fall so far: v J'/2 + g J = 1, J "
    "continuous, 1/g at first; ends at Δ + E[δ₋²]/(2 E δ₋)",
    "derived here: first passage of a diffusion, ends moved as by renewal",
    regime="the changes' laws hold wherever a noisy search goes, and a stage takes a "
    "few accepted steps",
    kind="approximation",
    limits={
        "loss_sigma/√repeats <= the candidates' standard deviation at every stage, "
        "where the incumbent is stale": _trusted
    },
    domain={"fall": "[0, inf)"},
    tables={"deltas": 2},
    value="[0, inf]; rises in fall",
)
def queries(
    fall: Given,
    deltas: Given,
    stage_shares: Given,
    loss_sigma: Given,
    repeats: Given = 1,
    incumbent: str = "stale",
) -> Floats:
    """Mean number of queries until the true loss has fallen so far.

    Infinite where the first stage makes no progress; a later one without is passed by
    chance. ``fall``, ``loss_sigma``, ``repeats`` and the leading axes of the tables
    broadcast.

    Within 4 % of the chain where every stage gains ground, up to a half too few queries
    (safe) where a later one loses some; 10 % for a stale incumbent. Beyond its limit
    too many queries (unsafe): half of the searches take far fewer than the mean.

    >>> steps = [[-2.0, -1.0, 0.0, 1.0], [-0.5, 0.0, 0.5, 1.0]]
    >>> queries(10.0, steps, [0.5, 0.5], [0.0, 0.3]).round(1).tolist()
    [43.1, 70.5]
    >>> float(queries(10.0, steps, [0.5, 0.5], 0.3, incumbent="requery").round(1))
    108.6
    """
    changes, noise = _sampled(deltas, loss_sigma, repeats)
    # In a unit of the largest change, so that no square leaves the floats.
    unit = _incumbent.unit_of(np.abs(changes).max(axis=(-2, -1)))
    changes = changes / unit[..., None, None]
    way, noise = ratio(fall, unit), ratio(noise, unit)
    whole = np.abs(stage_shares.sum(axis=-1, keepdims=True) - 1.0) <= 1e-9
    expect.that(whole & (stage_shares >= 0.0), "with sum 1", stage_shares=stage_shares)
    with np.errstate(invalid="ignore"):
        ways = np.where(stage_shares > 0.0, way[..., None] * stage_shares, 0.0)
    moments = _MOMENTS[incumbent](changes, noise[..., None])
    # A pair of questions a candidate, but where the incumbent is not asked again.
    cost = repeats * (1.0 if incumbent == "stale" else 2.0)
    return (_incumbent.candidates(ways, changes, *moments) * cost)[()]
