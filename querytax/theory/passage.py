"""When a noisy path first gets there: walks, Brownian paths, and a path that is held.

A walk here has steps of N(√S, 1) in units of one step's noise: S is the decision SNR
of one step. Each function raises ``DomainError``, naming the parameter, for an
argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory import _passage
from querytax.theory._floats import Array, Floats, by_region, floats, ratio
from querytax.theory.law import law

__all__ = [
    "arrived",
    "first_gain",
    "log_arrived",
    "log_not_arrived",
    "log_ou_mean",
    "no_gain",
    "no_gain_steps",
    "not_arrived_time",
    "ou_mean",
    "overshoot",
    "walk_mean",
]

_SNR = "S, decision signal-to-noise ratio of one step, power ratio, [0, inf)"
_TIME = "t, steps taken, real, [0, inf)"
_DISTANCE = "h, way to go over the noise of one step, ratio, (0, inf)"
_DRIFT = "μ = √S, mean step over the noise of one step, ratio, [0, inf)"
_BROWNIAN = (
    "Brownian path; a walk of normal steps is watched less often, and goes as this "
    "with h + 0.5826, up to order 1/h²"
)
_OU = "x = (m - L)/s, way from the mean over the standard deviation"
_ORIGIN = _OU + ", at the start, real"
_TARGET = _OU + ", at the goal, real, above the start"
_CORRECTION = "ρ = -ζ(1/2)/√(2π) = 0.5826 at S = 0"


def _root(snr: npt.ArrayLike) -> Array:
    return np.sqrt(floats(expect.nonnegative(snr=snr)))


@law(
    formula="ρ = (1 + S)/(2√S) - Σ_n E max(-S_n, 0)/n; " + _CORRECTION,
    latex=r"\rho = \frac{1 + S}{2\sqrt S} - \sum_{n \ge 1} \frac1n\,"
    r"\mathbb{E}\max(-S_n, 0),\quad S_n \sim \mathcal{N}(n\sqrt S, n)",
    symbols={"snr": _SNR},
    regime="walk of normal steps, distant level; exact",
    source="Spitzer 1956; series of Chang and Peres 1997",
)
def overshoot(snr: npt.ArrayLike) -> Floats:
    """Mean overshoot of a walk over a distant level, in noise of one step.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one step, in [0, inf).

    Examples
    --------
    >>> round(float(overshoot(0.0)), 10)
    0.5825971579
    """
    return _passage.overshoot(_root(snr))


@law(
    formula="E T = exp(Σ_n Φ(-√(n S))/n)",
    latex=r"\mathbb{E}T = \exp\sum_{n \ge 1} \frac{\Phi(-\sqrt{n S})}{n}",
    symbols={"snr": _SNR},
    regime="walk of normal steps; exact",
    source="Spitzer 1956; series of Chang and Peres 1997",
)
def first_gain(snr: npt.ArrayLike) -> Floats:
    """Mean number of steps until a walk first lies above its start.

    1/√(2S) for small S.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one step, in [0, inf).

    Examples
    --------
    >>> round(float(first_gain(1e-4)), 4)
    71.1238
    """
    return _passage.ladder(_root(snr))


def _settled(snr: npt.ArrayLike, steps: npt.ArrayLike) -> Array:
    """Decay lengths of the memory of the start; the pole is √(S + 4πi) - √S."""
    s = np.maximum(floats(snr), 0.0)
    size = np.hypot(s, 4.0 * np.pi) + s
    # √(½(|w| + S)) - √S without cancellation for large S.
    pole = 8.0 * np.pi**2 / size / (np.sqrt(0.5 * size) + np.sqrt(s))
    return np.maximum(floats(steps), 0.0) * np.sqrt(s) * pole


@law(
    formula="E T = N + ρ(S)/√S",
    latex=r"\mathbb{E}T = N + \frac{\rho(S)}{\sqrt S}",
    symbols={
        "snr": _SNR,
        "steps": "N, steps without noise, real, (0, inf)",
    },
    regime=(
        "linear path, attacker stops at the first success, S constant; the error "
        "falls exponentially in the way to go"
    ),
    source="Wald 1945, with the mean overshoot; in place of Aithal & Li 2022, eq. (36)",
    limits={
        "a way of eight memory lengths: steps √S Re(√(S + 4πi) - √S) >= 8": (
            lambda snr, steps: ~(_settled(snr, steps) < 8.0)
        ),
    },
)
def walk_mean(snr: npt.ArrayLike, steps: npt.ArrayLike) -> Floats:
    """Mean number of steps until a noisy linear path first reaches its goal.

    Parameters
    ----------
    snr : array_like
        Decision SNR of one step, in [0, inf).
    steps : array_like
        Steps N that it takes without noise, in (0, inf).

    Examples
    --------
    >>> round(float(walk_mean(0.01, 100.0)), 2)
    106.08
    """
    root = _root(snr)
    n = floats(expect.positive(steps=steps))
    return n + ratio(_passage.overshoot(root), root)


@law(
    formula="P(T > n) = C(2n, n)/4^n",
    latex=r"P(T > n) = \binom{2n}{n} 4^{-n}",
    symbols={"steps": "n, steps taken, count, [0, inf)"},
    regime="steps of any symmetric continuous noise, no signal (S = 0); exact",
    source="Sparre Andersen 1954",
)
def no_gain(steps: npt.ArrayLike) -> Floats:
    """Chance that pure noise has not yet lifted a path above its start.

    Parameters
    ----------
    steps : array_like of int
        Steps n, from 0.

    Examples
    --------
    >>> round(float(no_gain(2)), 9)
    0.375
    """
    return np.exp(_passage.log_central(floats(expect.integer(0, steps=steps))))


@law(
    formula="Γ(n + 1/2)/(√π Γ(n + 1)) = ε",
    latex=r"\frac{\Gamma(n + \frac12)}{\sqrt\pi\,\Gamma(n + 1)} = \varepsilon",
    symbols={"error": "ε, probability of no gain yet, probability, (0, 1)"},
    regime="steps of any symmetric continuous noise, no signal (S = 0); exact",
    source="Sparre Andersen 1954",
)
def no_gain_steps(error: npt.ArrayLike) -> Floats:
    """Steps until pure noise has lifted a path above its start, but for ``error``.

    A real number; the next whole number of steps is the quantile. 1/(π ε²) - 1/4
    for small ε, and infinite mean.

    Parameters
    ----------
    error : array_like
        Probability ε of no gain yet, in (0, 1).

    Examples
    --------
    >>> round(float(no_gain_steps(0.01)), 2)
    3182.85
    """
    epsilon = floats(expect.probability(error=error))
    small = np.minimum(epsilon, 1e-9)
    far = ratio(ratio(1.0 / np.pi, small), small)
    near = np.maximum(epsilon, 1e-9)
    log_error = np.log(near)
    # Newton on a convex fall, from its left.
    n = np.maximum(1.0 / (np.pi * near * near) - 0.28, -log_error / (2.0 * np.log(2.0)))
    for _ in range(8):
        low = n < 20.0
        slope = np.where(
            low,
            special.digamma(n + 0.5) - special.digamma(n + 1.0),
            -0.5 / (n + 0.25),
        )
        n = n - (_passage.log_central(n) - log_error) / slope
    return np.where(epsilon < 1e-9, far, n)[()]


def _brownian(
    steps: npt.ArrayLike, distance: npt.ArrayLike, drift: npt.ArrayLike
) -> tuple[Array, Array, Array, Array]:
    """(μt - h)/√t, 2h/√t and its logarithm, and t."""
    t = floats(expect.nonnegative(steps=steps))
    h = floats(expect.positive(distance=distance))
    m = floats(expect.nonnegative(drift=drift))
    t, h, m = np.broadcast_arrays(t, h, m)
    root = np.sqrt(t)
    short = np.minimum(ratio(h, root), 1e150)
    with np.errstate(over="ignore", divide="ignore"):
        log_gap = np.minimum(np.log(2.0 * h) - 0.5 * np.log(t), 346.0)
        return np.minimum(m * root, 1e150) - short, 2.0 * short, log_gap, t


@law(
    formula="ln P, P = Φ((μt - h)/√t) + exp(2hμ) Φ(-(μt + h)/√t)",
    latex=r"\ln P,\quad P = \Phi\left(\frac{\mu t - h}{\sqrt t}\right) + "
    r"e^{2 h \mu}\,\Phi\left(-\frac{\mu t + h}{\sqrt t}\right)",
    symbols={"steps": _TIME, "distance": _DISTANCE, "drift": _DRIFT},
    regime=_BROWNIAN,
    source="Schrödinger 1915, the inverse normal law",
)
def log_arrived(
    steps: npt.ArrayLike, distance: npt.ArrayLike, drift: npt.ArrayLike
) -> Floats:
    """Logarithm of the chance that a drifting path has reached its goal in time.

    Parameters
    ----------
    steps : array_like
        Steps taken t, in [0, inf).
    distance : array_like
        Way to go over the noise of one step, in (0, inf).
    drift : array_like
        Mean step over the noise of one step, √S, in [0, inf).

    Examples
    --------
    >>> round(float(log_arrived(1.0, 40.0, 0.1)), 2)
    -799.92
    """
    a, gap, log_gap, t = _brownian(steps, distance, drift)
    return np.where(t > 0.0, _passage.log_arrived(a, gap, log_gap), -np.inf)[()]


@law(
    formula="P = Φ((μt - h)/√t) + exp(2hμ) Φ(-(μt + h)/√t)",
    latex=r"P = \Phi\left(\frac{\mu t - h}{\sqrt t}\right) + "
    r"e^{2 h \mu}\,\Phi\left(-\frac{\mu t + h}{\sqrt t}\right)",
    symbols={"steps": _TIME, "distance": _DISTANCE, "drift": _DRIFT},
    regime=_BROWNIAN,
    source="Schrödinger 1915, the inverse normal law",
)
def arrived(
    steps: npt.ArrayLike, distance: npt.ArrayLike, drift: npt.ArrayLike
) -> Floats:
    """Chance that a drifting path has reached its goal by some time.

    Parameters
    ----------
    steps : array_like
        Steps taken t, in [0, inf).
    distance : array_like
        Way to go over the noise of one step, in (0, inf).
    drift : array_like
        Mean step over the noise of one step, √S, in [0, inf).

    Examples
    --------
    >>> round(float(arrived(100.0, 10.0, 0.1)), 6)
    0.668102
    """
    return np.exp(log_arrived(steps, distance, drift))


@law(
    formula="ln(1 - P), P = Φ((μt - h)/√t) + exp(2hμ) Φ(-(μt + h)/√t)",
    latex=r"\ln(1 - P),\quad P = \Phi\left(\frac{\mu t - h}{\sqrt t}\right) + "
    r"e^{2 h \mu}\,\Phi\left(-\frac{\mu t + h}{\sqrt t}\right)",
    symbols={"steps": _TIME, "distance": _DISTANCE, "drift": _DRIFT},
    regime=_BROWNIAN,
    source="Schrödinger 1915, the inverse normal law",
)
def log_not_arrived(
    steps: npt.ArrayLike, distance: npt.ArrayLike, drift: npt.ArrayLike
) -> Floats:
    """Logarithm of the chance that a drifting path has not reached its goal yet.

    Parameters
    ----------
    steps : array_like
        Steps taken t, in [0, inf).
    distance : array_like
        Way to go over the noise of one step, in (0, inf).
    drift : array_like
        Mean step over the noise of one step, √S, in [0, inf).

    Examples
    --------
    >>> round(float(log_not_arrived(1e6, 1.0, 0.1)), 2)
    -5016.24
    """
    a, gap, log_gap, t = _brownian(steps, distance, drift)
    return np.where(t > 0.0, _passage.log_not_arrived(a, gap, log_gap), 0.0)[()]


@law(
    formula="1 - P(t) = ε, P as in arrived",
    latex=r"1 - P(t) = \varepsilon,\quad P(t) = "
    r"\Phi\left(\frac{\mu t - h}{\sqrt t}\right) + "
    r"e^{2 h \mu}\,\Phi\left(-\frac{\mu t + h}{\sqrt t}\right)",
    symbols={
        "error": "ε, probability of not having arrived, probability, (0, 1)",
        "distance": _DISTANCE,
        "drift": _DRIFT,
    },
    regime=_BROWNIAN,
    source="derived here from the inverse normal law",
)
def not_arrived_time(
    error: npt.ArrayLike, distance: npt.ArrayLike, drift: npt.ArrayLike
) -> Floats:
    """Time by which a drifting path has reached its goal, but for ``error``.

    Parameters
    ----------
    error : array_like
        Probability ε of not having arrived, in (0, 1).
    distance : array_like
        Way to go over the noise of one step, in (0, inf).
    drift : array_like
        Mean step over the noise of one step, √S, in [0, inf).

    Examples
    --------
    >>> round(float(not_arrived_time(0.01, 10.0, 0.1)), 1)
    498.4
    """
    epsilon = floats(expect.probability(error=error))
    h = floats(expect.positive(distance=distance))
    m = floats(expect.nonnegative(drift=drift))
    # With √t in units of h, only x = hμ is left.
    with np.errstate(over="ignore"):
        x, epsilon, h, m = np.broadcast_arrays(m * h, epsilon, h, m)
        near = x < 1e20
        root = by_region((x, epsilon), (near, _passage.quantile))
        # Beyond, the time is normal about h/μ, of standard deviation h/(μ √x).
        spread = -special.ndtri(epsilon) / np.sqrt(np.maximum(x, 1.0))
        return np.where(near, np.square(h * root), ratio(h, m) * (1.0 + spread))[()]


def _spread(origin: npt.ArrayLike, target: npt.ArrayLike) -> tuple[Array, Array]:
    start = floats(expect.finite(origin=origin))
    goal = floats(expect.finite(target=target))
    start, goal = np.broadcast_arrays(start, goal)
    expect.that(goal >= start, "at least the origin", target=goal)
    return start, goal


@law(
    formula="θ T = √(2π) ∫ Φ(z) exp(z²/2) dz from x0 to x1",
    latex=r"\theta T = \sqrt{2\pi}\int_{x_0}^{x_1} \Phi(z)\,e^{z^2/2}\,dz",
    symbols={"origin": _ORIGIN, "target": _TARGET},
    regime="Ornstein-Uhlenbeck process: linear pull θ, constant normal noise; exact",
    source="derived here from the backward equation",
)
def ou_mean(origin: npt.ArrayLike, target: npt.ArrayLike) -> Floats:
    """Mean time until a path held about a mean first reaches a goal above it.

    In units of 1/θ, θ the rate of the pull. A noiseless path below the mean takes
    ln(x0/x1); beyond the mean the time grows as exp(x1²/2).

    Parameters
    ----------
    origin, target : array_like
        Displacement less its mean, over its stationary standard deviation, at the
        start and at the goal.

    Examples
    --------
    >>> round(float(ou_mean(-10.0, 0.0)), 6)
    2.942694
    >>> round(float(ou_mean(0.0, 4.0)))
    2018
    """
    mantissa, exponent = _passage.ou_mantissa(*_spread(origin, target))
    with np.errstate(over="ignore", invalid="ignore"):
        value = mantissa * np.exp(exponent)
    return np.where(mantissa == 0.0, 0.0, value)[()]


@law(
    formula="ln(θ T), θ T = √(2π) ∫ Φ(z) exp(z²/2) dz from x0 to x1",
    latex=r"\ln(\theta T),\quad \theta T = "
    r"\sqrt{2\pi}\int_{x_0}^{x_1} \Phi(z)\,e^{z^2/2}\,dz",
    symbols={"origin": _ORIGIN, "target": _TARGET},
    regime="Ornstein-Uhlenbeck process: linear pull θ, constant normal noise; exact",
    source="derived here from the backward equation",
)
def log_ou_mean(origin: npt.ArrayLike, target: npt.ArrayLike) -> Floats:
    """Logarithm of the mean time until a held path first reaches a goal.

    Parameters
    ----------
    origin, target : array_like
        Displacement less its mean, over its stationary standard deviation, at the
        start and at the goal.

    Examples
    --------
    >>> round(float(log_ou_mean(0.0, 100.0)), 2)
    4996.31
    """
    mantissa, exponent = _passage.ou_mantissa(*_spread(origin, target))
    here = mantissa == 0.0
    return np.where(here, -np.inf, np.log(np.where(here, 1.0, mantissa)) + exponent)[()]
