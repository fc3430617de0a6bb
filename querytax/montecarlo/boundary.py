"""What noise does to a hard label: probe, add the noise, read which side it is.

Margins are linear, so that a noise vector moves them by a normal draw. A draw is one
label.
"""

from __future__ import annotations

import math

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals
from querytax.montecarlo._scales import FORMS, UNIFORM, random_scale
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _flip(out, first, margin, sigma, form, k0, k1):  # type: ignore[no-untyped-def]
    a, b, scale = np.empty(out.size), np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    random_scale(scale, first, form, 1, k0, k1)
    for i in range(out.size):
        out[i] = margin + scale[i] * sigma * a[i] < 0.0


@simulation(keyed="margin sigma=margin_sigma")
def flip(margin: float, margin_sigma: float) -> Experiment:
    """Whether noise changes one label."""
    return event(_flip, abs(margin), 2.0 * margin_sigma, FORMS["constant"])


@simulation(keyed="margin sigma=margin_sigma form=scale_law")
def scaled_noise_flip(
    margin: float, margin_sigma: float, scale_law: str = "uniform"
) -> Experiment:
    """Whether noise changes one label where the noise's scale is drawn as well."""
    return event(_flip, abs(margin), margin_sigma, FORMS[scale_law], cost=2.0)


@kernel
def _band(out, first, width, sigma, k0, k1):  # type: ignore[no-untyped-def]
    a, b, place = np.empty(out.size), np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    random_scale(place, first, UNIFORM, 1, k0, k1)
    for i in range(out.size):
        out[i] = width * place[i] + sigma * a[i] < 0.0


@simulation(keyed="width sigma=margin_sigma")
def band_flip(width: float, margin_sigma: float) -> Experiment:
    """Whether noise changes the label of a margin drawn from a band."""
    return event(_band, width, margin_sigma, cost=2.0)


@kernel
def _gain(out, first, probe, sigma, margin, k0, k1):  # type: ignore[no-untyped-def]
    u, v = np.empty(out.size), np.empty(out.size)
    normals(u, v, first, 0, 0, k0, k1)
    for i in range(out.size):
        seen = margin + probe * u[i] + sigma * v[i]
        out[i] = u[i] if seen > 0.0 else -u[i]


@simulation(keyed="probe sigma margin=offset")
def hopskipjump_gain(probe: float, sigma: float, offset: float = 0.0) -> Experiment:
    """Component of ``sign(label) u`` along the gradient, for one label.

    A margin of slope 1 is asked at ``x + probe u + sigma v``, with u and v normal
    vectors. It sees their coordinates along its gradient alone, and the mean of the
    others is 0 by symmetry, so that these two are drawn.
    """
    return mean(_gain, probe, sigma, offset)


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


@simulation(
    domain={"queries": "{1, 2, ...}", "dimension": "{2, 3, ...}"},
    keyed="probe sigma margin=offset labels=queries dimension",
)
def hopskipjump_cosine(
    offset: float, probe: float, sigma: float, dimension: int, queries: int
) -> Experiment:
    """Cosine between the gradient and an estimate from so many centred labels.

    The estimate is the mean of ``(label - mean label) u``. Its coordinates across the
    gradient are, given the labels, normal and alike, and are drawn as such.
    """
    return mean(
        _centred,
        probe,
        sigma,
        offset,
        queries,
        dimension,
        low=-1.0,
        high=1.0,
        cost=queries + dimension / 2.0,
    )
