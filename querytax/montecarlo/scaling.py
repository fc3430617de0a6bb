"""Margins times random factors: draw the factors, keep the largest, compare."""

from __future__ import annotations

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _wrong(out, first, margin, other, low, high, repeats, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        here, there = 0.0, 0.0
        for turn in range(repeats):
            w0, w1, w2, w3 = philox(first + np.uint64(i), turn, 0, k0, k1)
            u, v = uniform_pair(w0, w1, w2, w3)
            x, y = (low + (high - low) * u) * margin, (low + (high - low) * v) * other
            here = x if abs(x) > abs(here) else here
            there = y if abs(y) > abs(there) else there
        seen, true = here - there, margin - other
        if seen * true == 0.0 or margin == other:
            out[i] = 0.5
        else:
            out[i] = 1.0 if seen * true < 0.0 else 0.0


@simulation()
def wrong_sign(
    margin: float, other_margin: float, low: float, high: float, repeats: int = 1
) -> Experiment:
    """Whether two scaled margins come in the wrong order; a tie counts half.

    Of the repeats at each end the largest in size is kept.
    """
    expect.that(high > low, "above low", high=high)
    return mean(
        _wrong,
        margin,
        other_margin,
        low,
        high,
        repeats,
        low=0.0,
        high=1.0,
        cost=float(repeats),
    )
