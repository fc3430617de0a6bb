"""Gradient estimates of a linear loss: random directions, noisy answers, their mean.

The loss is ``gradient_norm`` times the first input, so that noise on the others does
not reach it and is not drawn. Of the directions every coordinate is drawn, and those
that make up one coordinate of the estimate are summed at once: nothing holds a vector.
"""

from __future__ import annotations

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import normals, sums

_FORWARD, _ANTITHETIC, _CENTRED, _CACHED = 0, 1, 2, 3
FORMS = {
    "forward": _FORWARD,
    "antithetic": _ANTITHETIC,
    "centred": _CENTRED,
    "cached": _CACHED,
}


@kernel
def _answers(  # type: ignore[no-untyped-def]
    first,
    count,
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
    """What multiplies each direction in the estimate, by direction and sample."""
    answers = np.empty((directions, count))
    u, spare, noise = np.empty(count), np.empty(count), np.empty(count)
    middle, pairs = np.zeros(count), (dimension + 1) // 2
    if form == _CACHED:
        sums(middle, first, base_repeats, 1, k0, k1)
        for i in range(count):
            middle[i] = slope * sigma * middle[i] / base_repeats
    for b in range(directions):
        normals(u, spare, first, b * pairs, 0, k0, k1)
        noise[:] = 0.0
        sums(noise, first, repeats, 2 * b + 2, k0, k1)
        for i in range(count):
            answers[b, i] = slope * (probe * u[i] + sigma * noise[i] / repeats)
        if form in (_FORWARD, _ANTITHETIC):
            noise[:] = 0.0
            sums(noise, first, repeats, 2 * b + 3, k0, k1)
            behind = probe if form == _ANTITHETIC else 0.0
            for i in range(count):
                base = slope * (sigma * noise[i] / repeats - behind * u[i])
                answers[b, i] -= base
        elif form == _CENTRED:
            for i in range(count):
                middle[i] += answers[b, i] / directions
    share = 1.0 / (probe * (directions - 1.0 if form == _CENTRED else directions))
    if form == _ANTITHETIC:
        share *= 0.5
    for b in range(directions):
        for i in range(count):
            answers[b, i] = (answers[b, i] - middle[i]) * share
    return answers


@kernel
def estimates(  # type: ignore[no-untyped-def]
    along,
    square,
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
    """An estimate's coordinate along the gradient, and the square of the others."""
    count, pairs = along.size, (dimension + 1) // 2
    answers = _answers(
        first,
        count,
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
    u, v = np.empty(count), np.empty(count)
    even, odd = np.empty(count), np.empty(count)
    square[:] = 0.0
    for j in range(pairs):
        even[:] = 0.0
        odd[:] = 0.0
        for b in range(directions):
            normals(u, v, first, b * pairs + j, 0, k0, k1)
            for i in range(count):
                even[i] += answers[b, i] * u[i]
                odd[i] += answers[b, i] * v[i]
        if 2 * j + 1 == dimension:
            odd[:] = 0.0
        if j == 0:
            along[:] = even
            even[:] = 0.0
        for i in range(count):
            square[i] += even[i] * even[i] + odd[i] * odd[i]


def pairs(
    dimension: int, directions: int, repeats: int, base_repeats: int = 0
) -> float:
    """Pairs of normals that one estimate takes, about."""
    return directions * (dimension / 2.0 + repeats + 1.0) + base_repeats / 2.0


def enough(directions: int, differences: str) -> None:
    """Refuse one direction alone, whose answer less the mean is 0."""
    least = 2 if differences == "centred" else 1
    expect.that(
        directions >= least, f"a whole number >= {least}", directions=directions
    )
