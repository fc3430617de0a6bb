"""Noise at low confidence alone: walk to the boundary, and look at the softmax."""

from __future__ import annotations

import math

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import event
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _silent(out, first, margin, threshold, rivals, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        place, _ = uniform_pair(w0, w1, w2, w3)
        # The greatest logit is 0.
        total = 1.0
        for _ in range(rivals):
            total += math.exp(-margin * place)
        out[i] = 1.0 / total >= threshold


@simulation()
def silent_share(margin: float, threshold: float, rivals: int = 1) -> Experiment:
    """Whether an answer at a random place of the way to the boundary has no noise."""
    return event(_silent, abs(margin), threshold, rivals, cost=1.0 + rivals / 4.0)
