"""Two normal outputs in the plane: the probability between two lines through 0.

A pair (X, Y) of unit variance around a mean at distance r from the origin falls on an
axis through the origin at an angle ψ from that mean, modulo π, with density

    exp(-r²/2)/π + u erf(u/√2) φ(h),    h = r sin ψ, u = r |cos ψ|.

All terms are positive, so that a narrow or far sector keeps its digits. The density
falls from ψ = 0 to π/2; sectors are cut there into pieces on which it is monotone.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax.theory.numerics.floats import Array, by_region
from querytax.theory.numerics.gaussian import ROOT2, ROOT2PI, legendre

Piece: TypeAlias = tuple[Array, Array, Array]
Truth: TypeAlias = npt.NDArray[np.bool_]

# exp(-40) of the largest value is below rounding.
_FALL = 80.0
# Angles from here on are too narrow to show that a circle is round.
_FLAT = 1e100


def _piece(h: Array, u: Array, angle: Array) -> Array:
    """exp(h²/2) times the mass from (h, u) on over an angle away from the mean."""
    shrink = np.maximum(u / _FLAT, 1.0)
    u = u / shrink
    h = np.minimum(h, _FLAT)
    angle = np.minimum(angle * shrink, np.pi)
    atom = np.exp(-0.5 * np.minimum(u * u, 1500.0)) * angle / np.pi
    # Where the exponent has grown by 40, if that is inside the piece.
    left = np.sqrt(np.maximum(u * u - _FALL, 0.0))
    far = np.sqrt(h * h + _FALL)
    # sin and cos of the angle from (h, u) to (far, left), without cancellation.
    inside = u * u > _FALL
    sine = _FALL * (h * h + u * u) / np.where(inside, far * u + left * h, 1.0)
    end = np.arctan2(sine, left * u + far * h)
    angle = np.where(inside, np.minimum(angle, end), angle)
    x, weight = legendre(40)
    step = angle[:, None] * x
    sine, cosine = np.sin(step), np.cos(step)
    h, u = h[:, None], u[:, None]
    side = np.maximum(u * cosine - h * sine, 0.0)
    growth = 2.0 * (h * sine) * (u * cosine) + (u * sine - h * sine) * (
        u * sine + h * sine
    )
    # Pieces end where the distance is greatest, up to rounding.
    fall = np.exp(-0.5 * np.maximum(growth, 0.0))
    value = side * special.erf(side / ROOT2) * fall
    return atom + angle / ROOT2PI * (value * weight).sum(axis=1)


def _masses(pieces: list[Piece]) -> tuple[Array, Array]:
    """The sum of pieces as scale exp(-exponent)."""
    least = pieces[0][0]
    for h, _, angle in pieces[1:]:
        least = np.where(angle > 0, np.minimum(least, h), least)
    total = np.zeros_like(least)
    for h, u, angle in pieces:
        used = angle > 0
        with np.errstate(over="ignore"):
            drop = (0.5 * (h - least)) * (h + least)
        mass = by_region((h, u, angle), (used, _piece))
        total = total + np.where(used, mass * np.exp(-np.maximum(drop, 0.0)), 0.0)
    with np.errstate(over="ignore"):
        return total, 0.5 * least * least


def _quadrant(h: Array, u: Array) -> Array:
    """0 from the mean up to π/2, then 1 and 2; -1 below the mean."""
    upper = np.where(u > 0, 0, 1)
    lower = np.where(u >= 0, -1, 2)
    return np.where((h > 0) | ((h == 0) & (u > 0)), upper, lower)


def sector(
    start: tuple[Array, Array], end: tuple[Array, Array], angle: Array
) -> tuple[Array, Array]:
    """Mass between two lines through the origin, as scale times exp(-exponent).

    ``start`` and ``end`` are h = r sin ψ and r cos ψ of the two lines, ``angle`` what
    lies between, at most π.
    """
    h0, u0, h1, u1, angle = np.broadcast_arrays(*start, *end, angle)
    shape = h0.shape
    h0, u0, h1, u1, angle = (
        np.atleast_1d(a).astype(float) for a in (h0, u0, h1, u1, angle)
    )
    # The same line, seen from its other end.
    turn = np.where((u0 < 0) | ((u0 == 0) & (h0 > 0)), -1.0, 1.0)
    h0, u0, h1, u1 = h0 * turn, u0 * turn, h1 * turn, u1 * turn
    first, last = _quadrant(h0, u0), _quadrant(h1, u1)
    crossed = (last - first) % 4
    crossed = np.where(crossed == 3, 0, crossed)
    h0, u0, h1, u1 = abs(h0), abs(u0), abs(h1), abs(u1)
    r = np.hypot(h0, u0)
    nearer = h0 <= h1
    inside = (
        np.where(nearer, h0, h1),
        np.where(nearer, u0, u1),
        np.where(crossed == 0, angle, 0.0),
    )
    zero = np.zeros_like(r)

    def towards(h: Array, u: Array, mean: Truth, used: Truth) -> Piece:
        """From a line to the mean, or away from it to the line at right angles."""
        width = np.where(mean, np.arctan2(h, u), np.arctan2(u, h))
        return np.where(mean, zero, h), np.where(mean, r, u), np.where(used, width, 0.0)

    pieces = [
        towards(h0, u0, first == -1, crossed > 0),
        towards(h1, u1, (first + crossed) % 2 == 0, crossed > 0),
        (zero, r, np.where(crossed == 2, 0.5 * np.pi, 0.0)),
    ]
    # All directions are alike there, and angles of coordinates may underflow.
    flat = r < 1e-100
    if flat.any():
        inside = (*inside[:2], np.where(flat, angle, inside[2]))
        pieces = [(h, u, np.where(flat, 0.0, width)) for h, u, width in pieces]
    # The least distance must belong to a piece that has mass.
    near = np.where(crossed == 0, inside[0], pieces[0][0])
    masses = _masses([(near, zero, zero), inside, *pieces])
    return masses[0].reshape(shape), masses[1].reshape(shape)


def probability(scale: Array, exponent: Array) -> Array:
    return (np.minimum(scale * np.exp(-np.minimum(exponent, 1e4)), 1.0))[()]


def logarithm(
    scale: Array, exponent: Array, rest: tuple[Array, Array] | None = None
) -> Array:
    """Minus infinity for a sector of no width; near 0 by what is left of the plane."""
    with np.errstate(divide="ignore"):
        value = np.minimum(np.log(scale) - exponent, 0.0)
    if rest is not None:
        left = np.minimum(probability(*rest), 0.5)
        value = np.where(value > -0.5, np.log1p(-left), value)
    return value[()]


def cross(x: Array, y: Array, z: Array) -> Array:
    """x y - z rounded once, for z close to x y."""
    mx, ex = np.frexp(x)
    my, ey = np.frexp(y)
    product = mx * my
    # Veltkamp's splitting gives the product's rounding error.
    cx, cy = 134217729.0 * mx, 134217729.0 * my
    hx, hy = cx - (cx - mx), cy - (cy - my)
    lx, ly = mx - hx, my - hy
    error = ((hx * hy - product) + hx * ly + lx * hy) + lx * ly
    shift = ex + ey
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp((product - np.ldexp(z, -shift)) + error, shift)
