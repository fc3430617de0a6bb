"""Integrals of the cosine's law over one positive variable, by the trapezoidal rule.

``tight`` is ρ², ``loose`` is 1 - ρ²; both are given, since either may be tiny.
"""

from __future__ import annotations

import functools
from functools import partial

import numpy as np
from scipy import special

from querytax.theory.numerics.floats import Array, Floats, by_region
from querytax.theory.smoothing import mean_norm

_FAR = 42.0
_T = np.arange(-4.0, 10.4, 0.08)
# v = exp(t - exp(-t)) spreads both ends of a half-line; its slope over v.
_V = np.exp(_T - np.exp(-_T))
_DV = 0.08 * _V * (1.0 + np.exp(-_T))


def _log(fallen: Array, rest: Array) -> Array:
    """ln of rest = 1 - fallen, from whichever of the two is the more accurate."""
    near = np.log1p(-np.minimum(fallen, 0.5))
    return np.where(fallen < 0.5, near, np.log(np.maximum(rest, 1e-300)))


@functools.cache
def _laguerre(nodes: int) -> tuple[Array, Array]:
    """Gauss's nodes and weights for exp(-t)/√t over t > 0."""
    t, weight = special.roots_genlaguerre(nodes, -0.5)
    return t, weight


def _peaked(d: Array, count: Array, tight: Array, _: Array, nodes: int) -> Array:
    """:func:`first` where it is nearly a bell, by v = ln cosh² y and Gauss's rule."""
    t, weight = _laguerre(nodes)
    half = 0.5 * (count - 2.0)
    rate = 0.5 * (d + 1.0) + half * tight
    v = t / rate[:, None]
    fall, share = np.expm1(-v), tight[:, None]
    rest = half[:, None] * (np.log1p(share * fall) + share * v)
    return (np.sqrt(-v / fall) * np.exp(rest)) @ weight / np.sqrt(rate)


def mean(d: Array, count: Array, root: Array, loose: Array) -> Floats:
    """Mean cosine of an estimate from ``count`` answers of correlation ρ = ``root``."""
    value = mean_norm(count) / np.sqrt(2.0 * np.pi)
    value = value * integral(d, count, np.square(root), loose)
    # Rounding may lift a cosine above 1.
    return np.minimum(root * value, 1.0)


def integral(d: Array, count: Array, tight: Array, loose: Array) -> Floats:
    """:func:`first` to 13 digits, by as few nodes as that takes."""
    rate = 0.5 * (d + 1.0) + 0.5 * (count - 2.0) * tight
    # Where both tails are slow, the bend between them wants more nodes.
    few = d + count < 6.0
    return by_region(
        (d, count, tight, loose),
        (rate >= 400.0, partial(_peaked, nodes=6)),
        ((rate >= 64.0) & (rate < 400.0), partial(_peaked, nodes=12)),
        ((rate >= 32.0) & (rate < 64.0), partial(_peaked, nodes=20)),
        ((rate < 32.0) & few, partial(first, nodes=240)),
        ((rate < 32.0) & ~few, first),
    )


def first(d: Array, count: Array, tight: Array, loose: Array, nodes: int = 48) -> Array:
    """∫ cosh^-(d+1)(y) (1 - ρ² tanh² y)^((B-2)/2) dy over the line."""
    half = 0.5 * (count - 2.0)
    # Decay in the tail, and the narrower bell that the second factor may impose.
    tail = _FAR / (d + np.minimum(count, 2.0) - 1.0)
    end = np.arccosh(np.exp(np.minimum(tail, 600.0)))
    end = np.where(tail < 1e-6, np.sqrt(2.0 * tail), end)
    pull = np.maximum(half * tight, 0.0)
    bell = np.sqrt(_FAR / np.maximum(pull, _FAR * 1.0001))
    end = np.where(pull > _FAR * 1.0001, np.minimum(end, np.arctanh(bell)), end)
    scale = 3.0 / np.sqrt(d + 1.0 + 2.0 * pull)
    reach = np.arcsinh(end / scale)[:, None]
    t = reach * (np.arange(nodes + 1.0) / nodes)
    y = scale[:, None] * np.sinh(t)
    hyper = np.square(np.sinh(y))
    cosh2 = 1.0 + hyper
    share = _log(
        tight[:, None] * (hyper / cosh2), (1.0 + loose[:, None] * hyper) / cosh2
    )
    log = half[:, None] * share - 0.5 * (d + 1.0)[:, None] * np.log1p(hyper)
    value = np.cosh(t) * np.exp(log)
    value[:, 0] *= 0.5
    return 2.0 / nodes * reach[:, 0] * scale * value.sum(axis=1)


def second(d: Array, count: Array, tight: Array, loose: Array) -> Array:
    """½∫ e^(-vd/2) q^((B-3)/2) [q + (B-1) ρ² e^-v] dv, q = 1 - ρ²(1 - e^-v)."""
    scale = 1.0 / (d + count * tight)
    v, n, rho = _V * scale[:, None], count[:, None], tight[:, None]
    kept = np.exp(-v)
    log = _log(-rho * np.expm1(-v), loose[:, None] + rho * kept)
    value = np.exp(0.5 * (n - 1.0) * log - 0.5 * d[:, None] * v)
    # At B = 1 the second term is 0, whatever its power.
    power = 0.5 * np.maximum(n - 3.0, -1.0) * log - v - 0.5 * d[:, None] * v
    value += (n - 1.0) * rho * np.exp(np.minimum(power, 0.0))
    return 0.5 * scale * (_DV * value).sum(axis=1)


def below(count: Array, root: Array) -> Array:
    """∫ (cosh y + ρ sinh y)^-B dy over y > 0."""
    n = count[:, None]
    scale = 1.0 / (count * root + np.sqrt(count))
    y = np.minimum(_V * scale[:, None], 300.0)
    rise = 2.0 * np.square(np.sinh(0.5 * y)) + root[:, None] * np.sinh(y)
    return scale * (_DV * np.exp(-n * np.log1p(rise))).sum(axis=1)


def log_power(count: Array, ratio: Array) -> Array:
    """(B/2) ln(c²/(1+c²)) at c = ratio."""
    wide = np.maximum(ratio, 1.0)
    narrow = np.minimum(ratio, 1.0)
    small = np.log(narrow) - 0.5 * np.log1p(np.square(narrow))
    return count * np.where(ratio > 1.0, -0.5 * np.log1p(np.square(1.0 / wide)), small)
