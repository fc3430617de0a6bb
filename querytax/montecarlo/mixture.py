"""Noise whose scale is drawn as well: two answers, each with a scale of its own."""

from __future__ import annotations

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, normals
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo._scales import FORMS, random_scale
from querytax.montecarlo.declared import Table, simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _beta(out, first, gap, form, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    one, other = np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    random_scale(one, first, form, 1, k0, k1)
    random_scale(other, first, form, 2, k0, k1)
    for i in range(out.size):
        out[i] = gap + one[i] * a[i] < other[i] * b[i]


@simulation(
    domain={"gap": "(0, inf)", "sigma": "(0, inf)"}, keyed="gap sigma form=scale_law"
)
def beta_wrong_sign(gap: float, sigma: float, scale_law: str = "uniform") -> Experiment:
    """Whether two answers, each of a noise of random scale, mislead."""
    return event(_beta, gap / sigma, FORMS[scale_law], cost=4.0)


@kernel
def _mixed(out, first, gap, sigma, reached, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 1, k0, k1)
        u, v = uniform_pair(w0, w1, w2, w3)
        one, other = 0, 0
        for j in range(reached.size - 1):
            one += u > reached[j]
            other += v > reached[j]
        out[i] = gap + sigma[one] * a[i] < sigma[other] * b[i]


@simulation(domain={"gap": "(0, inf)"}, keyed="gap sigma=sigmas weight=weights")
def wrong_sign(gap: float, sigmas: Table, weights: Table) -> Experiment:
    """Whether two answers, each of a noise of a scale from a list, mislead."""
    expect.that(
        weights.shape == sigmas.shape,
        f"one for each of {sigmas.size} scales",
        weights=weights.size,
    )
    return event(_mixed, gap, sigmas, np.cumsum(weights / weights.sum()), cost=2.0)
