"""Where the query ratios come from."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic.derivation import Derivation, proved

snr, dimension, pairs = sp.symbols("snr dimension pairs", positive=True)


def best_step() -> Derivation:
    """The quadratic in the step behind R, and its minimum."""
    g, h, step = sp.symbols("g h step", positive=True)
    # Each pair estimates the gradient g of a quadratic of curvature h.
    second = g**2 * (1 + (dimension + 1 + dimension / snr) / pairs)
    progress = step * g**2 - h * step**2 * second / 2
    best = sp.solve(sp.diff(progress, step), step)[0]
    gain = progress.subs(step, best)
    quiet = sp.limit(gain, snr, sp.oo)
    law = 1 + dimension / ((pairs + dimension + 1) * snr)
    return Derivation(
        law,
        (
            proved("progress of the best step", gain, g**4 / (2 * h * second)),
            proved("steps without noise and with it", quiet / gain, law),
        ),
    )
