"""Accuracy from margins: noise vectors on a linear margin, rivals and balls.

A draw is one image, one noise vector, and the answer that comes out.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, listed, mean, normals, sums
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo.runs import Experiment

__all__ = ["accuracy", "accuracy_loss", "ball_flip", "flip_share", "tied_rivals"]

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


def _images(
    name: str,
    what: int,
    margin: npt.ArrayLike,
    gradient_norm: npt.ArrayLike,
    sigma: float,
    features: int,
) -> Experiment:
    m, g = np.broadcast_arrays(
        np.atleast_1d(np.asarray(expect.finite(margin=margin), dtype=float)),
        np.asarray(expect.positive(gradient_norm=gradient_norm), dtype=float),
    )
    h = int(expect.integer(features=features))
    arguments: dict[str, float | str] = {
        "margin": listed(m),
        "gradient_norm": listed(g),
        "sigma": expect.positive(sigma=sigma),
        "features": h,
    }
    values = (np.ascontiguousarray(m), np.ascontiguousarray(g), float(sigma), h, what)
    cost = 1.0 + h / 2.0
    if what == _LOST:
        return mean(name, arguments, _linear, *values, low=-1.0, high=1.0, cost=cost)
    return event(name, arguments, _linear, *values, cost=cost)


def accuracy(
    margin: npt.ArrayLike,
    gradient_norm: npt.ArrayLike,
    sigma: float,
    *,
    features: int = 4,
) -> Experiment:
    """Whether a noisy answer is right: a linear margin above zero.

    Parameters
    ----------
    margin : array_like
        Margins of the images, one of which is drawn, finite.
    gradient_norm : array_like
        Norms of the margin's gradient at the site, in (0, inf).
    sigma : float
        Standard deviation of the noise on each feature of the site, in (0, inf).
    features : int
        How many features the site has.
    """
    return _images("margin.accuracy", _RIGHT, margin, gradient_norm, sigma, features)


def accuracy_loss(
    margin: npt.ArrayLike,
    gradient_norm: npt.ArrayLike,
    sigma: float,
    *,
    features: int = 4,
) -> Experiment:
    """Right answers lost to noise less those won.

    Parameters
    ----------
    margin : array_like
        Margins of the images, one of which is drawn, finite; one of zero counts as
        half right.
    gradient_norm : array_like
        Norms of the margin's gradient at the site, in (0, inf).
    sigma : float
        Standard deviation of the noise on each feature of the site, in (0, inf).
    features : int
        How many features the site has.
    """
    return _images(
        "margin.accuracy_loss", _LOST, margin, gradient_norm, sigma, features
    )


def flip_share(
    margin: npt.ArrayLike,
    gradient_norm: npt.ArrayLike,
    sigma: float,
    *,
    features: int = 4,
) -> Experiment:
    """Whether noise changes an answer, right to wrong or wrong to right.

    Parameters
    ----------
    margin : array_like
        Margins of the images, one of which is drawn, finite and not zero.
    gradient_norm : array_like
        Norms of the margin's gradient at the site, in (0, inf).
    sigma : float
        Standard deviation of the noise on each feature of the site, in (0, inf).
    features : int
        How many features the site has.
    """
    size = np.asarray(expect.finite(margin=margin), dtype=float)
    expect.that(size != 0.0, "other than 0", margin=margin)
    name = "margin.flip_share"
    return _images(name, _CHANGED, margin, gradient_norm, sigma, features)


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


def tied_rivals(gap: float, rivals: int, sigma: float) -> Experiment:
    """Whether noise makes one of many equal rivals win.

    Parameters
    ----------
    gap : float
        Winner's score less each rival's, in [0, inf).
    rivals : int
        How many rivals, each with noise of its own.
    sigma : float
        Standard deviation of the noise on each score, in (0, inf).
    """
    number = int(expect.integer(rivals=rivals))
    return event(
        "margin.tied_rivals",
        {
            "gap": expect.nonnegative(gap=gap),
            "rivals": number,
            "sigma": expect.positive(sigma=sigma),
        },
        _rivals,
        float(gap) / sigma,
        number,
        cost=1.0 + number / 2.0,
    )


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


def ball_flip(
    depth: float, dimension: int, sigma: float, ball_radius: float
) -> Experiment:
    """Whether noise takes a point out of a ball-shaped class, in full vectors.

    Parameters
    ----------
    depth : float
        Distance of the point from the boundary, in [0, ball_radius].
    dimension : int
        Dimension of the input.
    sigma : float
        Standard deviation of the noise on each input, in (0, inf).
    ball_radius : float
        Radius of the ball, in (0, inf).
    """
    radius = float(expect.positive(ball_radius=ball_radius))
    inside = float(expect.nonnegative(depth=depth))
    expect.that(inside <= radius, f"at most the radius {radius:g}", depth=inside)
    d = int(expect.integer(dimension=dimension))
    return event(
        "margin.ball_flip",
        {
            "depth": inside,
            "dimension": d,
            "sigma": expect.positive(sigma=sigma),
            "ball_radius": radius,
        },
        _ball,
        radius - inside,
        float(sigma),
        radius,
        d,
        cost=d / 2.0,
    )
