"""Evaluation over floats and arrays alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

# A float for floats, an array of the broadcast shape for arrays.
Floats: TypeAlias = Any
Array: TypeAlias = npt.NDArray[np.floating[Any]]

_BLOCK = 4096


def floats(value: npt.ArrayLike) -> Array:
    """The value in double precision, an array of no axes if it is a number."""
    return np.asarray(value, dtype=float)


def square(x: npt.ArrayLike) -> Floats:
    """x², infinite where it passes the largest float."""
    with np.errstate(over="ignore"):
        return np.square(np.asarray(x, dtype=float))


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Floats:
    """Quotient of nonnegative numbers, infinite where it passes the largest float."""
    with np.errstate(over="ignore", divide="ignore"):
        return np.divide(
            np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
        )


def over(signal: npt.ArrayLike, noise: npt.ArrayLike) -> Floats:
    """``ratio``, and 0 where there is neither: as weak noise fades beside no signal."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        return zeroed(np.divide(signal, noise))


def zeroed(x: Any) -> Floats:
    """0 for what is no number: a product or quotient of nothing and infinity."""
    missing = np.isnan(x)
    # Looking is several times cheaper than writing.
    return np.where(missing, 0.0, x)[()] if missing.any() else x


def log_gap(x: Array) -> Array:
    """ln|1 - x| for x >= 0."""
    low = np.minimum(x, 0.5)
    with np.errstate(divide="ignore"):
        return np.where(x < 0.5, np.log1p(-low), np.log(np.abs(1.0 - x)))


def root_one_plus(x: Array) -> Array:
    """√(1 + x²) for x >= 0; several times faster than hypot."""
    small = np.minimum(x, 1e100)
    return np.sqrt(1.0 + small * small) * np.maximum(x * 1e-100, 1.0)


def by_region(
    arguments: tuple[Array, ...],
    *regions: tuple[npt.NDArray[np.bool_], Callable[..., Array]],
) -> Floats:
    """Evaluate each region's function on the elements inside it, and nowhere else.

    Functions see one-dimensional arrays of bounded length, so that they may spread
    each element over many quadrature nodes.
    """
    shape = np.broadcast_shapes(*(a.shape for a in arguments))
    full = [np.broadcast_to(a, shape).ravel() for a in arguments]
    out = np.full(full[0].size, np.nan)
    for region, function in regions:
        inside = np.flatnonzero(np.broadcast_to(region, shape))
        for start in range(0, inside.size, _BLOCK):
            block = inside[start : start + _BLOCK]
            out[block] = function(*(a[block] for a in full))
    return out.reshape(shape)[()]
