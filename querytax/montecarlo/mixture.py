"""Noise whose scale is drawn as well: two answers, each with a scale of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, listed, normals
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo._scales import FORMS, random_scale
from querytax.montecarlo.runs import Experiment

__all__ = ["beta_wrong_sign", "wrong_sign"]


@kernel
def _beta(out, first, gap, form, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    one, other = np.empty(out.size), np.empty(out.size)
    normals(a, b, first, 0, 0, k0, k1)
    random_scale(one, first, form, 1, k0, k1)
    random_scale(other, first, form, 2, k0, k1)
    for i in range(out.size):
        out[i] = gap + one[i] * a[i] < other[i] * b[i]


def beta_wrong_sign(gap: float, sigma: float, form: str = "uniform") -> Experiment:
    """Whether two answers, each of a noise of random scale, mislead.

    Parameters
    ----------
    gap : float
        Size of the noiseless change, in (0, inf).
    sigma : float
        Standard deviation of the noise at full scale, in (0, inf).
    form : {"uniform", "arcsine", "bell", "constant"}
        Law of the scale on [0, 1]: Beta(a, a) with a = 1, 1/2 or 2, or always 1/2.
    """
    expect.one_of(FORMS, form=form)
    return event(
        "mixture.beta_wrong_sign",
        {
            "gap": expect.positive(gap=gap),
            "sigma": expect.positive(sigma=sigma),
            "form": form,
        },
        _beta,
        float(gap) / float(sigma),
        FORMS[form],
        cost=4.0,
    )


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


def wrong_sign(gap: float, sigma: Any, weight: Any) -> Experiment:
    """Whether two answers, each of a noise of a scale from a list, mislead.

    Parameters
    ----------
    gap : float
        Size of the noiseless change, in (0, inf).
    sigma, weight : sequence of float
        Standard deviations, in (0, inf), and how often each is drawn.
    """
    scales = np.atleast_1d(np.asarray(expect.positive(sigma=sigma), dtype=float))
    chances = np.atleast_1d(np.asarray(expect.positive(weight=weight), dtype=float))
    expect.that(
        scales.ndim == 1 and chances.shape == scales.shape,
        f"one for each of {scales.size} scales",
        weight=listed(chances),
    )
    return event(
        "mixture.wrong_sign",
        {
            "gap": expect.positive(gap=gap),
            "sigma": listed(scales),
            "weight": listed(chances),
        },
        _mixed,
        float(gap),
        scales,
        np.cumsum(chances / chances.sum()),
        cost=2.0,
    )
