"""Where a budget of queries goes: estimates from more directions or more repeats.

Gradient estimates are drawn in full vectors and held against the gradient; a search
draws one candidate, compares it, and takes it or not.
"""

from __future__ import annotations

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import mean as mean_of
from querytax.montecarlo._blocks import normals, sums
from querytax.montecarlo._gradient import FORMS, checked, estimates, pairs
from querytax.montecarlo.runs import Experiment

__all__ = ["cached_spread", "progress", "progress_per_query", "spread"]


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


def spread(
    gradient_norm: float,
    dimension: int,
    probe: float,
    sigma: float,
    queries: int,
    repeats: int = 1,
    form: str = "forward",
) -> Experiment:
    """Squared distance of a gradient estimate from the gradient of a linear loss.

    Its mean is the estimate's total variance as long as that is unbiased.

    Parameters
    ----------
    gradient_norm : float
        Norm of the gradient, in [0, inf).
    dimension : int
        Dimension of the input.
    probe, sigma : float
        Standard deviations of the probe, in (0, inf), and of the noise, in [0, inf),
        on each input.
    queries : int
        Budget, a multiple of what a direction takes: the repeats where answers are
        centred, else twice them.
    repeats : int
        Repeats of every query, averaged.
    form : {"forward", "antithetic", "centred"}
        A base query for each direction, reflected probes, or answers less their mean.
    """
    slope = float(expect.nonnegative(gradient_norm=gradient_norm))
    each = int(expect.integer(repeats=repeats)) * (1 if form == "centred" else 2)
    budget = int(expect.integer(queries=queries))
    expect.that(budget % each == 0, f"a multiple of {each}", queries=queries)
    a = checked(dimension, budget // each, probe, sigma, repeats, form)
    return mean_of(
        "directions.spread",
        {"gradient_norm": slope, "queries": budget, **a},
        _errors,
        slope,
        a["probe"],
        a["sigma"],
        a["dimension"],
        a["directions"],
        a["repeats"],
        0,
        FORMS[form],
        low=0.0,
        cost=pairs(a["dimension"], a["directions"], a["repeats"]),
    )


def cached_spread(
    gradient_norm: float,
    dimension: int,
    probe: float,
    sigma: float,
    queries: int,
    base_repeats: int,
) -> Experiment:
    """The same for forward differences that share one base value.

    Parameters
    ----------
    gradient_norm : float
        Norm of the gradient, in [0, inf).
    dimension : int
        Dimension of the input.
    probe, sigma : float
        Standard deviations of the probe, in (0, inf), and of the noise, in [0, inf),
        on each input.
    queries : int
        Budget; what the base leaves goes into one query per direction.
    base_repeats : int
        Repeats of the base query, averaged; fewer than the budget.
    """
    slope = float(expect.nonnegative(gradient_norm=gradient_norm))
    base = int(expect.integer(base_repeats=base_repeats))
    budget = int(expect.integer(base + 1, queries=queries))
    a = checked(dimension, budget - base, probe, sigma, 1, "forward")
    arguments = {key: a[key] for key in ("dimension", "probe", "sigma")}
    return mean_of(
        "directions.cached_spread",
        {"gradient_norm": slope, **arguments, "queries": budget, "base_repeats": base},
        _errors,
        slope,
        a["probe"],
        a["sigma"],
        a["dimension"],
        budget - base,
        1,
        base,
        FORMS["cached"],
        low=0.0,
        cost=pairs(a["dimension"], budget - base, 1, base),
    )


@kernel
def _progress(  # type: ignore[no-untyped-def]
    out, first, mean, candidate_sigma, noise_sigma, repeats, share, k0, k1
):
    change, spare, noise = np.empty(out.size), np.empty(out.size), np.zeros(out.size)
    normals(change, spare, first, 0, 0, k0, k1)
    sums(noise, first, repeats, 1, k0, k1)
    for i in range(out.size):
        true = mean + candidate_sigma * change[i]
        seen = true + noise_sigma * noise[i] / repeats
        out[i] = -true * share if seen < 0.0 else 0.0


def _search(
    name: str,
    mean: float,
    candidate_sigma: float,
    noise_sigma: float,
    repeats: int,
    shared: bool,
) -> Experiment:
    m = int(expect.integer(repeats=repeats))
    return mean_of(
        f"directions.{name}",
        {
            "mean": expect.finite(mean=mean),
            "candidate_sigma": expect.positive(candidate_sigma=candidate_sigma),
            "noise_sigma": expect.nonnegative(noise_sigma=noise_sigma),
            "repeats": m,
        },
        _progress,
        float(mean),
        float(candidate_sigma),
        float(noise_sigma),
        m,
        1.0 / m if shared else 1.0,
        cost=1.0 + m / 2.0,
    )


def progress(
    mean: float, candidate_sigma: float, noise_sigma: float, repeats: int = 1
) -> Experiment:
    """Fall of the loss by one candidate, 0 where the comparison refuses it.

    Parameters
    ----------
    mean : float
        Mean change of the loss by a candidate, finite.
    candidate_sigma : float
        Standard deviation of the change over candidates, in (0, inf).
    noise_sigma : float
        Standard deviation of one comparison's noise, in [0, inf).
    repeats : int
        Repeats of every comparison, averaged.
    """
    return _search("progress", mean, candidate_sigma, noise_sigma, repeats, False)


def progress_per_query(
    mean: float, candidate_sigma: float, noise_sigma: float, repeats: int = 1
) -> Experiment:
    """Fall of the loss by one candidate, over the repeats of its comparison.

    Parameters
    ----------
    mean : float
        Mean change of the loss by a candidate, finite.
    candidate_sigma : float
        Standard deviation of the change over candidates, in (0, inf).
    noise_sigma : float
        Standard deviation of one comparison's noise, in [0, inf).
    repeats : int
        Repeats of every comparison, averaged.
    """
    name = "progress_per_query"
    return _search(name, mean, candidate_sigma, noise_sigma, repeats, True)
