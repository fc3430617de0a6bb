"""Progress of one accept-or-reject comparison, in units of the candidates' spread.

``mean`` is the candidate's mean change m/s_H; ``count`` is k = M s_H²/s_N², repeats in
units of the noise-to-signal ratio. The noise's share of the measured spread is 1/(1+k).
"""

from __future__ import annotations

import numpy as np

from querytax.theory.numerics.floats import Array, square
from querytax.theory.numerics.gaussian import mills, second_mills


def kept(t: Array, quiet: Array, loud: Array) -> Array:
    """quiet - t Mills(t), t >= 0, as loud's complement where quiet is near 1."""
    return np.where(loud < 0.5, second_mills(t) - loud, quiet - t * mills(t))


def _shares(count: Array) -> tuple[Array, Array]:
    loud = 1.0 / (1.0 + count)
    return np.where(count > 1.0, 1.0 - loud, count * loud), loud


def best_count(mean: Array) -> Array:
    """k/mean² of the real k > 0 with the most progress per repeat, for mean > 0.

    Stationary where (1-q)(t²(1-q) + q)/2 = q - t Mills(t), q = k/(1+k), t = mean √q.
    k/mean² falls from 2π to (3 + √17)/4.
    """

    # Beyond these k/mean² stands still.
    at = np.clip(mean, 1e-18, 1e8)

    def excess(c: Array) -> Array:
        quiet, loud = _shares(c * np.square(at))
        t = at * np.sqrt(quiet)
        slope = 0.5 * loud * (np.square(t) * loud + quiet)
        # Over its own size, so that no mean makes it vanish.
        return (kept(t, quiet, loud) - slope) / (slope + quiet * loud)

    low, high = np.full_like(at, 1.78), np.full_like(at, 6.29)
    under, over = excess(low), excess(high)
    side = np.zeros_like(at)
    middle = low
    # Illinois: false position that halves the value of an end that stayed twice.
    for _ in range(13):
        middle = low - under * ((high - low) / (over - under))
        value = excess(middle)
        right = value > 0.0
        under = np.where(right, np.where(side > 0.0, 0.5 * under, under), value)
        over = np.where(right, value, np.where(side < 0.0, 0.5 * over, over))
        low, high = np.where(right, low, middle), np.where(right, middle, high)
        side = np.where(right, 1.0, -1.0)
    return middle


def log_gain(mean: Array, count: Array) -> Array:
    """ln of progress per repeat, up to a constant; -inf where there is none."""
    quiet, loud = _shares(count)
    t = mean * np.sqrt(quiet)
    gain = np.maximum(kept(t, quiet, loud), 0.0)
    # exp(-t²/2), less what all counts share.
    lost = 0.5 * np.square(mean) * loud
    with np.errstate(divide="ignore"):
        return np.log(gain) - 0.5 * np.log(quiet) + lost - np.log(count)


def best_repeats(mean: Array, noise: Array) -> Array:
    """Whole number of repeats with the most progress each; ``noise`` is s_N/s_H."""
    with np.errstate(over="ignore"):
        best = best_count(mean) * square(mean * noise)
    low = np.maximum(np.floor(best), 1.0)
    high = low + 1.0
    # Past 2⁵² the neighbours are one number.
    near = best < 1e15
    inverse = square(1.0 / np.maximum(noise, 1e-150))
    # Beyond the floats a comparison with NaN keeps the lower count.
    with np.errstate(over="ignore", invalid="ignore"):
        more = log_gain(mean, high * inverse) > log_gain(mean, low * inverse)
    return np.where(near & more & (best > 1.0), high, low)
