"""What noise does to a hard label: probe, add the noise, read which side it is.

Margins are linear, so that a noise vector moves them by a normal draw. A draw is one
label.
"""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals
from querytax.montecarlo._scales import FORMS, UNIFORM, random_scale
from querytax.montecarlo.runs import Experiment

__all__ = [
    "band_flip",
    "flip",
    "hopskipjump_cosine",
    "hopskipjump_gain",
    "scaled_noise_flip",
]


@kernel
def _flip(out, first, margin, sigma, form, k0, k1):  # type: ignore[no-untyped-def]
    a, b, scale = np.empty(out.size), np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    random_scale(scale, first, form, 1, k0, k1)
    for i in range(out.size):
        out[i] = margin + scale[i] * sigma * a[i] < 0.0


def flip(margin: float, sigma: float) -> Experiment:
    """Whether noise changes one label.

    Parameters
    ----------
    margin : float
        Noiseless margin; its sign does not matter.
    sigma : float
        Standard deviation of the noise on the margin, in (0, inf).
    """
    return event(
        "boundary.flip",
        {"margin": expect.finite(margin=margin), "sigma": expect.positive(sigma=sigma)},
        _flip,
        abs(float(margin)),
        2.0 * sigma,
        FORMS["constant"],
    )


def scaled_noise_flip(margin: float, sigma: float, form: str = "uniform") -> Experiment:
    """Whether noise changes one label where the noise's scale is drawn as well.

    Parameters
    ----------
    margin : float
        Noiseless margin; its sign does not matter.
    sigma : float
        Standard deviation of the noise on the margin at full scale, in (0, inf).
    form : {"arcsine", "uniform", "bell", "constant"}
        Law of the scale on [0, 1]: Beta(a, a) with a = 1/2, 1 or 2, or always 1/2.
    """
    expect.one_of(FORMS, form=form)
    return event(
        "boundary.scaled_noise_flip",
        {
            "margin": expect.finite(margin=margin),
            "sigma": expect.positive(sigma=sigma),
            "form": form,
        },
        _flip,
        abs(float(margin)),
        float(sigma),
        FORMS[form],
        cost=2.0,
    )


@kernel
def _band(out, first, width, sigma, k0, k1):  # type: ignore[no-untyped-def]
    a, b, place = np.empty(out.size), np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    random_scale(place, first, UNIFORM, 1, k0, k1)
    for i in range(out.size):
        out[i] = width * place[i] + sigma * a[i] < 0.0


def band_flip(width: float, sigma: float) -> Experiment:
    """Whether noise changes the label of a margin drawn from a band.

    Parameters
    ----------
    width : float
        Width of the band [0, width] of margins, in (0, inf).
    sigma : float
        Standard deviation of the noise on the margin, in (0, inf).
    """
    return event(
        "boundary.band_flip",
        {"width": expect.positive(width=width), "sigma": expect.positive(sigma=sigma)},
        _band,
        float(width),
        float(sigma),
        cost=2.0,
    )


@kernel
def _gain(out, first, probe, sigma, margin, k0, k1):  # type: ignore[no-untyped-def]
    u, v = np.empty(out.size), np.empty(out.size)
    normals(u, v, first, 0, 0, k0, k1)
    for i in range(out.size):
        seen = margin + probe * u[i] + sigma * v[i]
        out[i] = u[i] if seen > 0.0 else -u[i]


def hopskipjump_gain(probe: float, sigma: float, margin: float = 0.0) -> Experiment:
    """Component of ``sign(label) u`` along the gradient, for one label.

    A margin of slope 1 is asked at ``x + probe u + sigma v``, with u and v normal
    vectors. It sees their coordinates along its gradient alone, and the mean of the
    others is 0 by symmetry, so that these two are drawn.

    Parameters
    ----------
    probe : float
        Standard deviation of the probe on each input, in (0, inf).
    sigma : float
        Standard deviation of the noise on each input, in (0, inf).
    margin : float
        Distance of the probed point from the boundary; its sign does not matter.
    """
    return mean(
        "boundary.hopskipjump_gain",
        {
            "probe": expect.positive(probe=probe),
            "sigma": expect.positive(sigma=sigma),
            "margin": expect.finite(margin=margin),
        },
        _gain,
        float(probe),
        float(sigma),
        float(margin),
    )


@kernel
def _centred(out, first, probe, sigma, margin, labels, dimension, k0, k1):  # type: ignore[no-untyped-def]
    size = out.size
    u, v = np.empty(size), np.empty(size)
    signed, plain, total = np.zeros(size), np.zeros(size), np.zeros(size)
    for b in range(labels):
        normals(u, v, first, b, 0, k0, k1)
        for i in range(size):
            label = 1.0 if margin + probe * u[i] + sigma * v[i] > 0.0 else -1.0
            signed[i] += label * u[i]
            plain[i] += u[i]
            total[i] += label
    others = np.zeros(size)
    for j in range(dimension // 2):
        normals(u, v, first, j, 1, k0, k1)
        if 2 * j + 2 == dimension:
            # The first of as many coordinates is the one along the gradient.
            v[:] = 0.0
        for i in range(size):
            others[i] += u[i] * u[i] + v[i] * v[i]
    for i in range(size):
        middle = total[i] / labels
        # Labels that are all the same are not centred.
        middle = 0.0 if abs(middle) == 1.0 else middle
        along = signed[i] - middle * plain[i]
        power = labels - 2.0 * middle * total[i] + labels * middle * middle
        out[i] = along / math.sqrt(along * along + power * others[i])


def hopskipjump_cosine(
    probe: float, sigma: float, margin: float, labels: int, dimension: int
) -> Experiment:
    """Cosine between the gradient and an estimate from so many centred labels.

    The estimate is the mean of ``(label - mean label) u``. Its coordinates across the
    gradient are, given the labels, normal and alike, and are drawn as such.

    Parameters
    ----------
    probe : float
        Standard deviation of the probe on each input, in (0, inf).
    sigma : float
        Standard deviation of the noise on each input, in [0, inf).
    margin : float
        Distance of the probed point from the boundary; its sign does not matter.
    labels : int
        Labels asked for one estimate.
    dimension : int
        Dimension of the input, at least 2.
    """
    count = int(expect.integer(labels=labels))
    d = int(expect.integer(2, dimension=dimension))
    return mean(
        "boundary.hopskipjump_cosine",
        {
            "probe": expect.positive(probe=probe),
            "sigma": expect.nonnegative(sigma=sigma),
            "margin": expect.finite(margin=margin),
            "labels": count,
            "dimension": d,
        },
        _centred,
        float(probe),
        float(sigma),
        float(margin),
        count,
        d,
        low=-1.0,
        high=1.0,
        cost=count + d / 2.0,
    )
