"""Where a budget of queries goes: estimates from more directions or more repeats.

Gradient estimates are drawn in full vectors and held against the gradient; a search
draws one candidate, compares it, and takes it or not.
"""

from __future__ import annotations

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean, normals, sums
from querytax.montecarlo._gradient import FORMS, enough, estimates, pairs
from querytax.montecarlo.declared import settled, simulation
from querytax.montecarlo.runs import Experiment

_KEY = "mean=mean_change candidate_sigma noise_sigma=comparison_sigma repeats"


@kernel
def _errors(  # type: ignore[no-untyped-def]
    out,
    first,
    slope,
    probe,
    sigma,
    dimension,
    directions,
    repeats,
    base_repeats,
    form,
    k0,
    k1,
):
    along = np.empty(out.size)
    estimates(
        along,
        out,
        first,
        slope,
        probe,
        sigma,
        dimension,
        directions,
        repeats,
        base_repeats,
        form,
        k0,
        k1,
    )
    for i in range(out.size):
        out[i] += (along[i] - slope) ** 2


@simulation(
    domain={"queries": "{1, 2, ...}"},
    keyed="gradient_norm queries dimension directions probe sigma repeats "
    "form=differences",
)
def spread(
    gradient_norm: float,
    probe: float,
    sigma: float,
    dimension: int,
    queries: int,
    repeats: int = 1,
    differences: str = "forward",
) -> Experiment:
    """Squared distance of a gradient estimate from the gradient of a linear loss.

    Its mean is the estimate's total variance as long as that is unbiased. The budget is
    a multiple of what a direction takes: the repeats where answers are centred, else
    twice them.
    """
    each = repeats * (1 if differences == "centred" else 2)
    expect.that(queries % each == 0, f"a multiple of {each}", queries=queries)
    directions = queries // each
    enough(directions, differences)
    drawn = mean(
        _errors,
        gradient_norm,
        probe,
        sigma,
        dimension,
        directions,
        repeats,
        0,
        FORMS[differences],
        low=0.0,
        cost=pairs(dimension, directions, repeats),
    )
    return settled(drawn, directions=directions)


@simulation(
    domain={"queries": "{1, 2, ...}"},
    keyed="gradient_norm dimension probe sigma queries base_repeats",
)
def cached_spread(
    gradient_norm: float,
    probe: float,
    sigma: float,
    dimension: int,
    base_repeats: int,
    queries: int,
) -> Experiment:
    """The same for forward differences that share one base value.

    What the base leaves of the budget goes into one query a direction.
    """
    directions = queries - base_repeats
    expect.that(directions > 0, f"above base_repeats, {base_repeats}", queries=queries)
    return mean(
        _errors,
        gradient_norm,
        probe,
        sigma,
        dimension,
        directions,
        1,
        base_repeats,
        FORMS["cached"],
        low=0.0,
        cost=pairs(dimension, directions, 1, base_repeats),
    )


@kernel
def _progress(  # type: ignore[no-untyped-def]
    out, first, middle, candidate_sigma, noise_sigma, repeats, share, k0, k1
):
    change, spare, noise = np.empty(out.size), np.empty(out.size), np.zeros(out.size)
    normals(change, spare, first, 0, 0, k0, k1)
    sums(noise, first, repeats, 1, k0, k1)
    for i in range(out.size):
        true = middle + candidate_sigma * change[i]
        seen = true + noise_sigma * noise[i] / repeats
        out[i] = -true * share if seen < 0.0 else 0.0


@simulation(keyed=_KEY)
def progress(
    mean_change: float,
    candidate_sigma: float,
    comparison_sigma: float,
    repeats: int = 1,
) -> Experiment:
    """Fall of the loss by one candidate, 0 where the comparison refuses it."""
    return mean(
        _progress,
        mean_change,
        candidate_sigma,
        comparison_sigma,
        repeats,
        1.0,
        cost=1.0 + repeats / 2.0,
    )


@simulation(keyed=_KEY)
def progress_per_query(
    mean_change: float,
    candidate_sigma: float,
    comparison_sigma: float,
    repeats: int = 1,
) -> Experiment:
    """Fall of the loss by one candidate, over the repeats of its comparison."""
    return mean(
        _progress,
        mean_change,
        candidate_sigma,
        comparison_sigma,
        repeats,
        1.0 / repeats,
        cost=1.0 + repeats / 2.0,
    )
