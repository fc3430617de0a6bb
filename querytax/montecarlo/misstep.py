"""Wrong signs: draw a change of the loss and its noise, and compare the two.

A draw is one comparison, and the event that its noisy sign is not the noiseless one.
Losses are linear unless said otherwise. Every query has noise of its own.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, listed, mean, normals, sums
from querytax.montecarlo._philox import normal_pair, philox, uniform_pair
from querytax.montecarlo._vectors import layer_noise, loss_change
from querytax.montecarlo.runs import Experiment

__all__ = [
    "acceptance_correlation",
    "after_repeats",
    "after_unequal_repeats",
    "bent",
    "fixed_direction",
    "noisy_layers",
    "over_changes",
    "radius",
    "random_direction",
]


@kernel
def _fixed_direction(out, first, gap, noise, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        here, there = normal_pair(w0, w1, w2, w3)
        out[i] = gap + noise * here <= noise * there


def fixed_direction(snr: float) -> Experiment:
    """Share of pairs along one direction that show the wrong sign.

    Two noisy answers, whose noiseless ones differ by one; their difference has noise
    of variance ``1/snr``.

    Parameters
    ----------
    snr : float
        Decision SNR of the pair, in (0, inf).
    """
    noise = math.sqrt(0.5 / expect.positive(snr=snr))
    return event("misstep.fixed_direction", {"snr": snr}, _fixed_direction, 1.0, noise)


@kernel
def _random_direction(out, first, noise, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 0, k0, k1)
        change, z = normal_pair(w0, w1, w2, w3)
        out[i] = (change > 0.0) != (change + noise * z > 0.0)


def random_direction(snr: float) -> Experiment:
    """Share of random directions whose noisy change has the wrong sign.

    The change is standard normal over directions, its noise has variance ``1/snr``.
    :func:`noisy_layers` draws the vectors that make them so.

    Parameters
    ----------
    snr : float
        Decision SNR averaged over directions, in (0, inf).
    """
    noise = 1.0 / math.sqrt(expect.positive(snr=snr))
    return event("misstep.random_direction", {"snr": snr}, _random_direction, noise)


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


def after_unequal_repeats(
    snr: float, repeats: int, base_repeats: int, direction: str = "random"
) -> Experiment:
    """Share of wrong signs where candidate and base are asked unequally often.

    Every answer is drawn, those of one point are averaged, and the means compared.

    Parameters
    ----------
    snr : float
        Decision SNR of one pair, one query at each end, in (0, inf).
    repeats, base_repeats : int
        Repeats M at the candidate and M0 at the base, at least 1.
    direction : {"random", "fixed"}
        Whether the noiseless change is drawn, standard normal, or given.
    """
    noise = math.sqrt(0.5 / expect.positive(snr=snr))
    one = int(expect.integer(repeats=repeats))
    two = int(expect.integer(base_repeats=base_repeats))
    expect.one_of(("random", "fixed"), direction=direction)
    return event(
        "misstep.after_unequal_repeats",
        {"snr": snr, "repeats": one, "base_repeats": two, "direction": direction},
        _repeated,
        noise,
        one,
        two,
        direction == "fixed",
        cost=1.0 + (one + two) / 2.0,
    )


def after_repeats(snr: float, repeats: int, direction: str = "random") -> Experiment:
    """Share of wrong signs where both queries of a pair are asked as often.

    Parameters
    ----------
    snr : float
        Decision SNR of one pair, in (0, inf).
    repeats : int
        Repeats M of every query, at least 1.
    direction : {"random", "fixed"}
        Whether the noiseless change is drawn, standard normal, or given.
    """
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


def noisy_layers(
    gradient_norm: float,
    step: float,
    sigma: npt.ArrayLike,
    layer_gradient_norm: npt.ArrayLike,
    *,
    dimension: int = 16,
    features: int | None = None,
    repeats: int = 1,
    base_repeats: int = 1,
) -> Experiment:
    """Share of wrong accept-or-reject signs, in full vectors.

    Drawn coordinate by coordinate: a gradient of a random direction and the given
    norm, the candidate's normal vector, for each noisy layer a gradient by its
    features, and a noise vector on these features for every query.

    Parameters
    ----------
    gradient_norm : float
        Norm of the loss gradient by the input, in (0, inf).
    step : float
        Size η of the candidate step ``ηu``, ``u ~ N(0, I)``, in (0, inf).
    sigma : float or array_like
        Standard deviation of the noise on each feature, of each layer, in (0, inf).
    layer_gradient_norm : float or array_like
        Norm of the loss gradient by each noisy layer's features, in [0, inf).
    dimension : int
        Dimension of the input.
    features : int, optional
        Features of a noisy layer; as many as the input has.
    repeats, base_repeats : int
        Queries at the candidate and at the base, averaged.
    """
    width = np.atleast_1d(np.asarray(expect.positive(sigma=sigma), dtype=float))
    norms = np.asarray(expect.nonnegative(layer_gradient_norm=layer_gradient_norm))
    expect.that(
        width.ndim == 1 and norms.size in (1, width.size),
        f"one, or one for each of {width.size} layers",
        layer_gradient_norm=listed(norms),
    )
    scales = width * norms.astype(float)
    d = int(expect.integer(dimension=dimension))
    h = d if features is None else int(expect.integer(features=features))
    one = int(expect.integer(repeats=repeats))
    two = int(expect.integer(base_repeats=base_repeats))
    return event(
        "misstep.noisy_layers",
        {
            "gradient_norm": expect.positive(gradient_norm=gradient_norm),
            "step": expect.positive(step=step),
            "sigma": listed(width),
            "layer_gradient_norm": listed(norms),
            "dimension": d,
            "features": h,
            "repeats": one,
            "base_repeats": two,
        },
        _vectors,
        float(gradient_norm),
        float(step),
        scales,
        d,
        h,
        one,
        two,
        cost=d + scales.size * h * (1 + one + two) / 2.0,
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


def bent(
    gradient_norm: float,
    step: float,
    curvature: float,
    loss_sigma: float,
    *,
    dimension: int = 16,
) -> Experiment:
    """Share of wrong signs on a quadratic loss, in full vectors.

    The loss is ``g·x + curvature |x|²/2`` with g of the given norm; the candidate lies
    at ``ηu``, ``u ~ N(0, I)``, the base at 0, and both answers are noisy.

    Parameters
    ----------
    gradient_norm : float
        Norm of the loss gradient at the base, in (0, inf).
    step : float
        Size η of the step, in (0, inf).
    curvature : float
        Every eigenvalue of the Hessian: the loss's mean change is
        ``curvature η² dimension/2``.
    loss_sigma : float
        Standard deviation of the noise on one loss, in (0, inf).
    dimension : int
        Dimension of the input. The change is normal only for many.
    """
    d = int(expect.integer(dimension=dimension))
    return event(
        "misstep.bent",
        {
            "gradient_norm": expect.positive(gradient_norm=gradient_norm),
            "step": expect.positive(step=step),
            "curvature": expect.finite(curvature=curvature),
            "loss_sigma": expect.positive(loss_sigma=loss_sigma),
            "dimension": d,
        },
        _bent,
        float(gradient_norm),
        float(step),
        float(curvature),
        float(loss_sigma),
        d,
        cost=d + 1.0,
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


def over_changes(gap: npt.ArrayLike, loss_sigma: float) -> Experiment:
    """Share of wrong signs over given changes of the loss, one of them a draw.

    Parameters
    ----------
    gap : array_like
        Sizes of the noiseless changes, in [0, inf).
    loss_sigma : float
        Standard deviation of the noise on one loss, in (0, inf).
    """
    gaps = np.ravel(np.asarray(expect.nonnegative(gap=gap), dtype=float))
    expect.that(gaps.size > 0, "not to be empty", gap="")
    return event(
        "misstep.over_changes",
        {"gap": listed(gaps), "loss_sigma": expect.positive(loss_sigma=loss_sigma)},
        _over_changes,
        gaps,
        float(loss_sigma),
        cost=2.0,
    )


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


def acceptance_correlation(
    snr: float, repeats: int = 1, base_repeats: int = 1
) -> Experiment:
    """Correlation of two candidates' acceptances that share one noisy base.

    A draw is 1 where both are accepted or both refused, else -1: each is accepted half
    of the time, so that the mean is their correlation.

    Parameters
    ----------
    snr : float
        Decision SNR of one pair, one query at each end, averaged over directions.
    repeats, base_repeats : int
        Repeats M at each candidate and M0 at the base, at least 1.
    """
    noise = math.sqrt(0.5 / expect.positive(snr=snr))
    one = int(expect.integer(repeats=repeats))
    two = int(expect.integer(base_repeats=base_repeats))
    return mean(
        "misstep.acceptance_correlation",
        {"snr": snr, "repeats": one, "base_repeats": two},
        _shared_base,
        noise,
        one,
        two,
        low=-1.0,
        high=1.0,
        cost=1.0 + one + two / 2.0,
    )


@kernel
def _radius(out, first, change, scale, features, k0, k1):  # type: ignore[no-untyped-def]
    noise = np.zeros(out.size)
    layer_noise(noise, first, scale, features, 1, 0, 0, k0, k1)
    for i in range(out.size):
        out[i] = change + noise[i] <= 0.0


def radius(
    gap: float,
    slope: float,
    sigma: float,
    gradient_norm: float,
    *,
    features: int = 16,
) -> Experiment:
    """Share of single labels that misjudge whether a direction's radius is smaller.

    One query, so far beyond the boundary, with a noise vector on all features.

    Parameters
    ----------
    gap : float
        Distance between the tested radius and the boundary's, in [0, inf).
    slope : float
        Slope of the loss along the direction, at the boundary, in (0, inf).
    sigma : float
        Standard deviation of the noise on each feature, in (0, inf).
    gradient_norm : float
        Norm of the loss gradient by the noisy features, in (0, inf).
    features : int
        How many features have noise.
    """
    h = int(expect.integer(features=features))
    return event(
        "misstep.radius",
        {
            "gap": expect.nonnegative(gap=gap),
            "slope": expect.positive(slope=slope),
            "sigma": expect.positive(sigma=sigma),
            "gradient_norm": expect.positive(gradient_norm=gradient_norm),
            "features": h,
        },
        _radius,
        float(gap) * slope,
        float(sigma) * gradient_norm,
        h,
        cost=h,
    )
