"""Wrong signs: draw a change of the loss and its noise, and compare the two.

A draw is one comparison, and the event that its noisy sign is not the noiseless one.
Losses are linear unless said otherwise. Every query has noise of its own.
"""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals, sums
from querytax.montecarlo._philox import normal_pair, philox, uniform_pair
from querytax.montecarlo._vectors import layer_noise, loss_change
from querytax.montecarlo.declared import Table, simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _fixed_direction(out, first, gap, noise, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        here, there = normal_pair(w0, w1, w2, w3)
        out[i] = gap + noise * here <= noise * there


@simulation(domain={"snr": "(0, inf)"})
def fixed_direction(snr: float) -> Experiment:
    """Share of pairs along one direction that show the wrong sign.

    Two noisy answers, whose noiseless ones differ by one; their difference has noise
    of variance ``1/snr``.
    """
    noise = math.sqrt(0.5 / snr)
    return event(_fixed_direction, 1.0, noise)


@kernel
def _random_direction(out, first, noise, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        change, z = normal_pair(w0, w1, w2, w3)
        out[i] = (change > 0.0) != (change + noise * z > 0.0)


@simulation(domain={"snr": "(0, inf)"})
def random_direction(snr: float) -> Experiment:
    """Share of random directions whose noisy change has the wrong sign.

    The change is standard normal over directions, its noise has variance ``1/snr``.
    :func:`noisy_layers` draws the vectors that make them so.
    """
    noise = 1.0 / math.sqrt(snr)
    return event(_random_direction, noise)


@kernel
def _repeated(  # type: ignore[no-untyped-def]
    out, first, noise, repeats, base_repeats, fixed, k0, k1
):
    change, other = np.ones(out.size), np.empty(out.size)
    if not fixed:
        normals(change, other, first, 0, 0, k0, k1)
    here, there = np.zeros(out.size), np.zeros(out.size)
    sums(here, first, repeats, 1, k0, k1)
    sums(there, first, base_repeats, 2, k0, k1)
    for i in range(out.size):
        seen = change[i] + noise * (here[i] / repeats - there[i] / base_repeats)
        out[i] = (change[i] > 0.0) != (seen > 0.0)


@simulation(domain={"snr": "(0, inf)"})
def after_unequal_repeats(
    snr: float, repeats: int, base_repeats: int, direction: str = "random"
) -> Experiment:
    """Share of wrong signs where candidate and base are asked unequally often.

    Every answer is drawn, those of one point are averaged, and the means compared.
    """
    noise = math.sqrt(0.5 / snr)
    return event(
        _repeated,
        noise,
        repeats,
        base_repeats,
        direction == "fixed",
        cost=1.0 + (repeats + base_repeats) / 2.0,
    )


@simulation()
def after_repeats(snr: float, repeats: int, direction: str = "random") -> Experiment:
    """Share of wrong signs where both queries of a pair are asked as often."""
    return after_unequal_repeats(snr, repeats, repeats, direction)


@kernel
def _vectors(  # type: ignore[no-untyped-def]
    out, first, slope, step, scales, dimension, features, repeats, base_repeats, k0, k1
):
    loss_change(out, first, slope, step, 0.0, dimension, k0, k1)
    noise = np.zeros(out.size)
    for layer in range(scales.size):
        layer_noise(
            noise,
            first,
            scales[layer],
            features,
            repeats,
            base_repeats,
            1 + 3 * layer,
            k0,
            k1,
        )
    for i in range(out.size):
        out[i] = (out[i] > 0.0) != (out[i] + noise[i] > 0.0)


@simulation(
    domain={
        "gradient_norm": "(0, inf)",
        "site_gradient_norms": "[0, inf)",
        "candidate_step": "(0, inf)",
    },
    keyed="gradient_norm step=candidate_step sigma=sigmas "
    "layer_gradient_norm=site_gradient_norms dimension features repeats base_repeats",
)
def noisy_layers(
    gradient_norm: float,
    site_gradient_norms: Table,
    candidate_step: float,
    sigmas: Table,
    dimension: int = 16,
    features: int = 16,
    repeats: int = 1,
    base_repeats: int = 1,
) -> Experiment:
    """Share of wrong accept-or-reject signs, in full vectors.

    Drawn coordinate by coordinate: a gradient of a random direction and the given
    norm, the candidate's normal vector, for each noisy layer a gradient by its
    features, and a noise vector on these features for every query.
    """
    layers = sigmas.size
    expect.that(
        site_gradient_norms.size in (1, layers),
        f"one, or one for each of {layers} layers",
        site_gradient_norms=site_gradient_norms.size,
    )
    return event(
        _vectors,
        gradient_norm,
        candidate_step,
        sigmas * site_gradient_norms,
        dimension,
        features,
        repeats,
        base_repeats,
        cost=dimension + layers * features * (1 + repeats + base_repeats) / 2.0,
    )


@kernel
def _bent(  # type: ignore[no-untyped-def]
    out, first, slope, step, curvature, noise, dimension, k0, k1
):
    loss_change(out, first, slope, step, curvature, dimension, k0, k1)
    here, there = np.empty(out.size), np.empty(out.size)
    normals(here, there, first, 0, 1, k0, k1)
    for i in range(out.size):
        seen = out[i] + noise * (here[i] - there[i])
        out[i] = (out[i] > 0.0) != (seen > 0.0)


@simulation(
    domain={"gradient_norm": "(0, inf)"},
    keyed="gradient_norm step=candidate_step curvature=mean_curvature loss_sigma "
    "dimension",
)
def bent(
    gradient_norm: float,
    mean_curvature: float,
    candidate_step: float,
    loss_sigma: float,
    dimension: int = 16,
) -> Experiment:
    """Share of wrong signs on a quadratic loss, in full vectors.

    The loss is ``g·x + c |x|²/2`` with g of the given norm; the candidate lies
    at ``ηu``, ``u ~ N(0, I)``, the base at 0, and both answers are noisy.
    """
    return event(
        _bent,
        gradient_norm,
        candidate_step,
        mean_curvature,
        loss_sigma,
        dimension,
        cost=dimension + 1.0,
    )


@kernel
def _over_changes(out, first, gaps, noise, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 1, k0, k1)
        chosen, _ = uniform_pair(w0, w1, w2, w3)
        out[i] = gaps[np.int64(chosen * gaps.size)]
    here, there = np.empty(out.size), np.empty(out.size)
    normals(here, there, first, 0, 0, k0, k1)
    for i in range(out.size):
        out[i] = out[i] + noise * here[i] <= noise * there[i]


@simulation(keyed="gap=gaps loss_sigma")
def over_changes(gaps: Table, loss_sigma: float) -> Experiment:
    """Share of wrong signs over given changes of the loss, one of them a draw."""
    return event(_over_changes, gaps, loss_sigma, cost=2.0)


@kernel
def _shared_base(  # type: ignore[no-untyped-def]
    out, first, noise, repeats, base_repeats, k0, k1
):
    one, two = np.empty(out.size), np.empty(out.size)
    normals(one, two, first, 0, 0, k0, k1)
    at_one, at_two, base = np.zeros(out.size), np.zeros(out.size), np.zeros(out.size)
    sums(at_one, first, repeats, 1, k0, k1)
    sums(at_two, first, repeats, 2, k0, k1)
    sums(base, first, base_repeats, 3, k0, k1)
    for i in range(out.size):
        level = noise * base[i] / base_repeats
        x = one[i] + noise * at_one[i] / repeats < level
        y = two[i] + noise * at_two[i] / repeats < level
        out[i] = 1.0 if x == y else -1.0


@simulation(domain={"snr": "(0, inf)"})
def acceptance_correlation(
    snr: float, repeats: int = 1, base_repeats: int = 1
) -> Experiment:
    """Correlation of two candidates' acceptances that share one noisy base.

    A draw is 1 where both are accepted or both refused, else -1: each is accepted half
    of the time, so that the mean is their correlation.
    """
    noise = math.sqrt(0.5 / snr)
    return mean(
        _shared_base,
        noise,
        repeats,
        base_repeats,
        low=-1.0,
        high=1.0,
        cost=1.0 + repeats + base_repeats / 2.0,
    )


@kernel
def _radius(out, first, change, scale, features, k0, k1):  # type: ignore[no-untyped-def]
    noise = np.zeros(out.size)
    layer_noise(noise, first, scale, features, 1, 0, 0, k0, k1)
    for i in range(out.size):
        out[i] = change + noise[i] <= 0.0


@simulation(
    keyed="gap=radius_gap slope sigma gradient_norm=site_gradient_norm features"
)
def radius(
    radius_gap: float,
    slope: float,
    site_gradient_norm: float,
    sigma: float,
    features: int = 16,
) -> Experiment:
    """Share of single labels that misjudge whether a direction's radius is smaller.

    One query, so far beyond the boundary, with a noise vector on all features.
    """
    return event(
        _radius, radius_gap * slope, sigma * site_gradient_norm, features, cost=features
    )
