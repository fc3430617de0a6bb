"""Wrong signs: draw a change of the loss and its noise, and compare the two."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from querytax import expect
from querytax.montecarlo._jit import kernel
from querytax.montecarlo._philox import normal_pair, philox
from querytax.montecarlo.runs import Experiment

__all__ = ["random_direction"]


@kernel
def _random_direction(first, count, noise, k0, k1):  # type: ignore[no-untyped-def]
    wrong = 0
    for i in range(count):
        w0, w1, w2, w3 = philox(
            first + np.uint64(i), np.uint64(0), np.uint64(0), k0, k1
        )
        change, z = normal_pair(w0, w1, w2, w3)
        wrong += (change > 0.0) != (change + noise * z > 0.0)
    return wrong


def random_direction(snr: float) -> Experiment:
    """Share of random directions whose noisy change has the wrong sign.

    The change is standard normal over directions, its noise has variance ``1/snr``.
    """
    noise = 1.0 / math.sqrt(expect.positive(snr=snr))

    def block(
        first: int, count: int, _: float, k0: Any, k1: Any
    ) -> tuple[float, float]:
        return float(_random_direction(np.uint64(first), count, noise, k0, k1)), 0.0

    return Experiment("misstep.random_direction", {"snr": snr}, block)
