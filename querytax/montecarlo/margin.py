"""Accuracy from margins: noise vectors on a linear margin, rivals and balls.

A draw is one image, one noise vector, and the answer that comes out.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals, sums
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo.declared import Table, settled, simulation
from querytax.montecarlo.runs import Experiment

_RIGHT, _LOST, _CHANGED = 0, 1, 2


@kernel
def _linear(  # type: ignore[no-untyped-def]
    out, first, margins, slopes, sigma, features, what, k0, k1
):
    noise = np.zeros(out.size)
    # A gradient that weighs all features alike.
    sums(noise, first, features, 0, k0, k1)
    each = sigma / math.sqrt(features)
    for i in range(out.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 1, k0, k1)
        row = np.int64(uniform_pair(w0, w1, w2, w3)[0] * margins.size)
        m = margins[row]
        before, after = m > 0.0, m + slopes[row] * each * noise[i] > 0.0
        change = np.float64(before) - np.float64(after)
        # An answer on the boundary is half right.
        change = change if m != 0.0 else 0.5 - np.float64(after)
        out[i] = np.float64(after) if what == _RIGHT else change
        out[i] = abs(change) if what == _CHANGED else out[i]


_IMAGES = simulation(
    keyed="margin=margins gradient_norm=site_gradient_norms sigma features"
)


def _drawn(
    kind: Callable[..., Experiment],
    what: int,
    margins: Table,
    norms: Table,
    sigma: float,
    features: int,
) -> Experiment:
    m, g = map(np.ascontiguousarray, np.broadcast_arrays(margins, norms))
    drawn = kind(_linear, m, g, sigma, features, what, cost=1.0 + features / 2.0)
    return settled(drawn, margins=m, site_gradient_norms=g)


@_IMAGES
def accuracy(
    margins: Table, site_gradient_norms: Table, sigma: float, features: int = 4
) -> Experiment:
    """Whether a noisy answer is right: a linear margin above zero, of a drawn image."""
    return _drawn(event, _RIGHT, margins, site_gradient_norms, sigma, features)


@_IMAGES
def accuracy_loss(
    margins: Table, site_gradient_norms: Table, sigma: float, features: int = 4
) -> Experiment:
    """Right answers lost to noise less those won; a margin of 0 is half right."""
    change = functools.partial(mean, low=-1.0, high=1.0)
    return _drawn(change, _LOST, margins, site_gradient_norms, sigma, features)


@_IMAGES
def flip_share(
    margins: Table, site_gradient_norms: Table, sigma: float, features: int = 4
) -> Experiment:
    """Whether noise changes an answer, right to wrong or wrong to right."""
    expect.that(margins != 0.0, "other than 0", margins=margins)
    return _drawn(event, _CHANGED, margins, site_gradient_norms, sigma, features)


@kernel
def _rivals(out, first, gap, rivals, k0, k1):  # type: ignore[no-untyped-def]
    size = out.size
    own, a, b = np.empty(size), np.empty(size), np.empty(size)
    best = np.full(size, -math.inf)
    normals(own, a, first, 0, 1, k0, k1)
    for j in range(rivals // 2):
        normals(a, b, first, j, 0, k0, k1)
        for i in range(size):
            best[i] = max(best[i], max(a[i], b[i]))
    if rivals % 2:
        normals(a, b, first, rivals // 2, 0, k0, k1)
        for i in range(size):
            best[i] = max(best[i], a[i])
    for i in range(size):
        out[i] = best[i] > gap + own[i]


@simulation(domain={"sigma": "(0, inf)"}, keyed="gap rivals sigma")
def tied_rivals(gap: float, sigma: float, rivals: int) -> Experiment:
    """Whether noise makes one of many equal rivals win."""
    return event(_rivals, gap / sigma, rivals, cost=1.0 + rivals / 2.0)


@kernel
def _ball(out, first, place, sigma, ball_radius, dimension, k0, k1):  # type: ignore[no-untyped-def]
    a, b = np.empty(out.size), np.empty(out.size)
    square = np.zeros(out.size)
    for j in range((dimension + 1) // 2):
        normals(a, b, first, j, 0, k0, k1)
        here = place if j == 0 else 0.0
        width = sigma if 2 * j + 1 < dimension else 0.0
        for i in range(out.size):
            x, y = here + sigma * a[i], width * b[i]
            square[i] += x * x + y * y
    for i in range(out.size):
        out[i] = square[i] > ball_radius * ball_radius


@simulation(keyed="depth dimension sigma ball_radius")
def ball_flip(
    depth: float, ball_radius: float, sigma: float, dimension: int
) -> Experiment:
    """Whether noise takes a point out of a ball-shaped class, in full vectors."""
    expect.that(
        depth <= ball_radius, f"at most the ball_radius {ball_radius:g}", depth=depth
    )
    return event(
        _ball, ball_radius - depth, sigma, ball_radius, dimension, cost=dimension / 2.0
    )
