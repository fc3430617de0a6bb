"""When a noisy path first gets there: walks, Brownian paths, and a path that is held.

A walk here has steps of N(√S, 1) in units of one step's noise: S is the decision SNR
of one step.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax import expect
from querytax.theory.law import Given, law
from querytax.theory.numerics import passage as _passage
from querytax.theory.numerics.floats import Array, Floats, by_region, ratio, square
from querytax.theory.relations import complement_of, inverse_of, log_of

_SPITZER = "Spitzer 1956; series of Chang and Peres 1997"
_ANDERSEN = "Sparre Andersen 1954"
_NOISE = "steps of any symmetric continuous noise, no signal (S = 0)"
_BROWNIAN = "Brownian path with drift"


@law(
    "ρ = (1 + S)/(2√S) - Σ_n E max(-S_n, 0)/n; ρ = -ζ(1/2)/√(2π) = 0.5826 at S = 0",
    _SPITZER,
    regime="walk of normal steps, distant level",
    value="[0.582597157939, inf]; rises in snr",
)
def overshoot(snr: Given) -> Floats:
    """Mean overshoot of a walk over a distant level, in noise of one step.

    >>> round(float(overshoot(0.0)), 10)
    0.5825971579
    """
    return _passage.overshoot(np.sqrt(snr))


@law(
    "E T = exp(Σ_n Φ(-√(n S))/n)",
    _SPITZER,
    regime="walk of normal steps",
    value="[1, inf]; falls in snr",
)
def first_gain(snr: Given) -> Floats:
    """Mean number of steps until a walk first lies above its start.

    1/√(2S) for small S.

    >>> round(float(first_gain(1e-4)), 4)
    71.1238
    """
    return _passage.ladder(np.sqrt(snr))


def _memories(snr: Array, noiseless_steps: Array) -> Array:
    """The way in memories of the start, n₀√S Re(√(S + 4πi) - √S)."""
    size = np.hypot(snr, 4.0 * np.pi) + snr
    # √(½(|w| + S)) - √S without cancellation for large S.
    pole = 8.0 * np.pi**2 / size / (np.sqrt(0.5 * size) + np.sqrt(snr))
    return noiseless_steps * np.sqrt(snr) * pole


@law(
    "E T = n₀ + ρ(S)/√S",
    "Wald 1945, with the mean overshoot; in place of Aithal & Li 2022, eq. (36)",
    regime="linear path, attacker stops at the first success, S constant",
    kind="approximation",
    limits={
        "a way of eight memories: noiseless_steps √S Re(√(S + 4πi) - √S) >= 8": (
            lambda snr, noiseless_steps: _memories(snr, noiseless_steps) >= 8.0
        ),
    },
    value="[0, inf]; rises in noiseless_steps",
)
def walk_mean(snr: Given, noiseless_steps: Given) -> Floats:
    """Mean number of steps until a noisy linear path first reaches its goal.

    The error falls exponentially in the way to go: 1e-5 at the limit, 1e-3 at half of
    it, 2 % at a quarter.

    >>> round(float(walk_mean(0.01, 100.0)), 2)
    106.08
    """
    root = np.sqrt(snr)
    return noiseless_steps + ratio(_passage.overshoot(root), root)


@law(
    "P(T > n) = C(2n, n)/4^n",
    _ANDERSEN,
    regime=_NOISE,
    domain={"steps": "{0, 1, ...}"},
    value="[0, 1]; falls in steps",
)
def no_gain(steps: Given) -> Floats:
    """Chance that pure noise has not yet lifted a path above its start.

    >>> round(float(no_gain(2)), 9)
    0.375
    """
    return np.exp(_passage.log_central(steps))


@law(
    "Γ(n + 1/2)/(√π Γ(n + 1)) = ε",
    _ANDERSEN,
    regime=_NOISE,
    value="[0, inf]; falls in miss",
)
def no_gain_steps(miss: Given) -> Floats:
    """Steps until pure noise has lifted a path above its start, but for ``miss``.

    The next whole number of steps is the quantile. 1/(π ε²) - 1/4 for small ε, and
    infinite mean.

    >>> round(float(no_gain_steps(0.01)), 2)
    3182.85
    """
    small = np.minimum(miss, 1e-9)
    far = ratio(ratio(1.0 / np.pi, small), small)
    return np.where(miss < 1e-9, far, _passage.central(np.maximum(miss, 1e-9)))[()]


def _scaled(snr: Array, noiseless_steps: Array, steps: Array) -> tuple[Array, ...]:
    """Of the path, in its spread by then: how far beyond the goal, and twice the way.

    The latter with its logarithm, where it underflows.
    """
    n = noiseless_steps
    with np.errstate(over="ignore", divide="ignore"):
        pace = ratio(np.sqrt(snr), np.sqrt(steps))
        beyond = np.clip((steps - n) * pace, -1e150, 1e150)
        log_twice = np.log(2.0) + 0.5 * (np.log(snr) - np.log(steps)) + np.log(n)
        return beyond, np.minimum(2.0 * n * pace, 2e150), np.minimum(log_twice, 346.0)


def _log_arrived(snr: Given, noiseless_steps: Given, steps: Given) -> Floats:
    value = _passage.log_arrived(*_scaled(snr, noiseless_steps, steps))
    return np.where(steps > 0.0, value, -np.inf)[()]


def _log_not_arrived(snr: Given, noiseless_steps: Given, steps: Given) -> Floats:
    value = _passage.log_not_arrived(*_scaled(snr, noiseless_steps, steps))
    return np.where(steps > 0.0, value, 0.0)[()]


@law(
    "P = Φ((n - n₀) √(S/n))",
    "derived here; Aithal & Li 2022, eq. (36), with the distance in place of its root",
    regime="walk of normal steps",
    domain={"snr": "(0, inf)", "steps": "(0, inf)"},
    value="[0, 1]; rises in steps; falls in noiseless_steps",
)
def beyond_goal(snr: Given, noiseless_steps: Given, steps: Given) -> Floats:
    """Chance that a walk lies beyond its goal after so many steps.

    Not that it has been there: that is :func:`arrived`, and more than half of it where
    the steps are as many as without noise.

    >>> round(float(beyond_goal(0.01, 100.0, 200.0)), 4)
    0.7602
    """
    with np.errstate(over="ignore"):
        way = (steps - noiseless_steps) / np.sqrt(steps) * np.sqrt(snr)
    return special.ndtr(way)


@law(
    "P = Φ((n - n₀) √(S/n)) + exp(2 n₀ S) Φ(-(n + n₀) √(S/n))",
    "Schrödinger 1915, the inverse normal law",
    regime=_BROWNIAN,
    domain={"snr": "(0, inf)"},
    value="[0, 1]; rises in steps; falls in noiseless_steps",
)
def arrived(snr: Given, noiseless_steps: Given, steps: Given) -> Floats:
    """Chance that a drifting path has reached its goal by some time.

    A walk of normal steps is looked at less often, and goes as this does with a way
    longer by 0.5826 of one step's noise, n₀ + 0.5826/√S, up to order 1/(n₀² S).

    >>> round(float(arrived(0.01, 100.0, 100.0)), 6)
    0.668102
    """
    return np.exp(_log_arrived(snr, noiseless_steps, steps))


log_arrived = log_of(arrived, _log_arrived)
not_arrived = complement_of(
    arrived, "not_arrived", lambda **given: np.exp(_log_not_arrived(**given))
)
log_not_arrived = log_of(not_arrived, _log_not_arrived)


def _not_arrived_time(snr: Given, noiseless_steps: Given, miss: Given) -> Floats:
    """Steps by which a drifting path has reached its goal, but for ``miss``.

    >>> round(float(not_arrived_time(0.01, 100.0, 0.01)), 1)
    498.4
    """
    n = noiseless_steps
    with np.errstate(over="ignore"):
        x = np.asarray(n * snr)

    def near(n: Array, s: Array, x: Array, miss: Array) -> Array:
        # With √n in units of the way, only x is left.
        return square(n * np.sqrt(s) * _passage.quantile(x, miss))

    def far(n: Array, s: Array, x: Array, miss: Array) -> Array:
        # The time is normal about n₀, of standard deviation n₀/√x.
        return n * (1.0 - special.ndtri(miss) / np.sqrt(x))

    return by_region((n, snr, x, miss), (x < 1e20, near), (x >= 1e20, far))


not_arrived_time = inverse_of(
    not_arrived, "steps", "miss", "not_arrived_time", _not_arrived_time
)


def _held(origin: Array, target: Array) -> tuple[Array, Array]:
    expect.that(target >= origin, "at least the origin", target=target)
    return _passage.ou_mantissa(origin, target)


@law(
    "θ T = √(2π) ∫ Φ(z) exp(z²/2) dz from x₀ to x₁",
    "derived here from the backward equation",
    regime="Ornstein-Uhlenbeck process: linear pull θ, constant normal noise",
    value="[0, inf]; rises in target; falls in origin",
)
def ou_mean(origin: Given, target: Given) -> Floats:
    """Mean time until a path held about a mean first reaches a goal above it.

    In units of 1/θ, θ the rate of the pull. A noiseless path below the mean takes
    ln(x₀/x₁); beyond the mean the time grows as exp(x₁²/2).

    >>> round(float(ou_mean(-10.0, 0.0)), 6)
    2.942694
    >>> round(float(ou_mean(0.0, 4.0)))
    2018
    """
    mantissa, exponent = _held(origin, target)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(mantissa == 0.0, 0.0, mantissa * np.exp(exponent))[()]


def _log_ou_mean(origin: Given, target: Given) -> Floats:
    mantissa, exponent = _held(origin, target)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mantissa == 0.0, -np.inf, np.log(mantissa) + exponent)[()]


log_ou_mean = log_of(ou_mean, _log_ou_mean)
